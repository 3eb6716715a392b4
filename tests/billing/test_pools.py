"""A process's part of a shared amount, on plain values: never more than there is, and nothing gets lost."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from billing.pools import Pool, portion
from billing.terms import MONEY, REQUESTS, Bounds, Key, Terms, bounds

KEY: Key = ("key", 1, MONEY, "USD 2026-11 UTC")


def test_half_a_share_is_taken_while_there_is_plenty() -> None:
    assert portion(1000, [1], 0) == 500
    assert portion(1000, [1], 1) == 250
    assert portion(1000, [1], 4) == 100


def test_near_the_end_as_much_as_is_waited_for() -> None:
    assert portion(10, [3, 3, 3, 3], 0) == 9
    assert portion(10, [10], 3) == 10
    assert portion(10, [1], 3) == 1


def test_what_does_not_fit_gets_nothing() -> None:
    assert portion(9, [10, 1], 0) == 0
    assert portion(0, [1], 0) == 0
    assert portion(-5, [1], 0) == 0


@given(st.integers(-100, 10**12), st.lists(st.integers(1, 10**9), min_size=1, max_size=20), st.integers(0, 50))
def test_a_portion_is_never_more_than_is_left_and_always_of_use(left: int, needs: list[int], others: int) -> None:
    taken = portion(left, needs, others)
    assert 0 <= taken <= max(0, left)
    assert (taken == 0) == (needs[0] > left)
    if taken:
        assert taken >= needs[0]


def test_what_was_not_used_is_free_again() -> None:
    pool = Pool(KEY, 100)
    pool.free = 50
    assert pool.hold(30, 1.0)
    assert not pool.hold(30, 1.0)
    pool.settle(30, 12)
    assert (pool.free, pool.held, pool.settled) == (38, 0, 12)


def test_what_cost_more_than_was_held_is_owed() -> None:
    pool = Pool(KEY, 100)
    pool.free = 10
    assert pool.hold(10, 1.0)
    pool.settle(10, 15)
    assert (pool.free, pool.settled) == (-5, 15)
    assert not pool.hold(0, 1.0)


def test_alone_a_process_uses_its_share_of_a_limit() -> None:
    pool = Pool(("key", 1, REQUESTS, ""), 10)
    pool.others = 1
    assert [pool.hold_softly(1, 1.0) for _ in range(6)] == [True] * 5 + [False]
    assert pool.free == -5  # owed to the store


def test_without_a_limit_there_is_nothing_to_look_at() -> None:
    assert bounds("team", 1, None, None, None) is None
    assert bounds("team", 1, 60, None, 3) == Bounds("team", 1, 60, None, 3)
    assert [limit for _, limit in Bounds("team", 1, 60, None, 3).entering] == [60, 3]


def test_another_calendar_or_currency_is_another_amount() -> None:
    terms = [
        Terms(1, "key", 7, 100, currency, "month", zone)
        for currency in ("USD", "EUR")
        for zone in ("UTC", "Asia/Tokyo")
    ]
    assert len({each.key(each.window(1.8e9)) for each in terms}) == 4


class Processes(RuleBasedStateMachine):
    """Three processes and a store that gives them what is left, as the database does; some are killed."""

    @initialize(limit=st.integers(0, 5000))
    def begin(self, limit: int) -> None:
        self.limit, self.taken, self.spent, self.granted = limit, 0, 0, 0
        self.pools = [Pool(KEY, limit) for _ in range(3)]
        self.running: list[deque[int]] = [deque() for _ in range(3)]

    @rule(who=st.integers(0, 2), need=st.integers(1, 400))
    def ask(self, who: int, need: int) -> None:
        pool = self.pools[who]
        if not pool.hold(need, 0.0):
            others = sum(other.free + other.held > 0 for other in self.pools if other is not pool)
            amount = portion(self.limit - self.spent - self.taken, [need - pool.free], others)
            self.taken += amount
            pool.free += amount
            if not pool.hold(need, 0.0):
                return
        self.running[who].append(need)

    @rule(who=st.integers(0, 2), share=st.floats(0, 1))
    def end(self, who: int, share: float) -> None:
        if self.running[who]:
            held = self.running[who].popleft()
            actual = int(held * share)
            self.pools[who].settle(held, actual)
            # The ledger has it: out of the slice, into what is spent.
            self.spent += actual
            self.taken -= actual

    @rule(who=st.integers(0, 2))
    def give_back(self, who: int) -> None:
        pool = self.pools[who]
        self.taken -= pool.free
        pool.free = 0

    @rule(who=st.integers(0, 2))
    def kill(self, who: int) -> None:
        """What was running is booked as it was held, and the rest of the slice is free."""
        pool = self.pools[who]
        self.spent += pool.held
        self.taken -= pool.held + pool.free
        self.pools[who], self.running[who] = Pool(KEY, self.limit), deque()

    @invariant()
    def never_more_than_there_is(self) -> None:
        held = sum(pool.held for pool in self.pools)
        assert self.spent + held <= self.limit
        assert self.spent + self.taken <= self.limit

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.taken == sum(pool.free + pool.held for pool in self.pools)
        assert [pool.held for pool in self.pools] == [sum(running) for running in self.running]


TestProcesses = Processes.TestCase
