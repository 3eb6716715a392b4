"""What a process holds of a shared amount, and how much it should take. Pure: no clock, no database, no locks.

    free = taken + settled back - held - spent

A request holds before it goes on and settles to what it really used. Whatever is free may be given back. Nothing here
says no to anybody: a pool that has too little asks the store (slices.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from billing.terms import MONEY, RUNNING, Key


class Pool:
    """One shared amount as this process has it, within one window."""

    __slots__ = (
        "books",
        "currency",
        "demo",
        "ends_at",
        "filling",
        "free",
        "going",
        "held",
        "key",
        "left",
        "limit",
        "others",
        "pot_id",
        "settled",
        "starts_at",
        "used",
        "used_at",
        "waiting",
    )

    def __init__(
        self,
        key: Key,
        limit: int,
        starts_at: float = 0.0,
        ends_at: float = float("inf"),
        currency: str = "",
        *,
        demo: bool = False,
    ) -> None:
        self.key = key
        self.books = key[2] == MONEY  # what is spent of it comes into the ledger
        self.limit = limit
        self.currency = currency  # of money
        self.demo = demo
        self.starts_at = starts_at  # seconds since the epoch
        self.ends_at = ends_at
        self.free = 0  # may be below nought, when something took more than it held
        self.held = 0  # by running requests
        self.settled = 0  # spent, and the store was not told yet
        self.used = 0  # held so far, whatever came of it
        self.used_at = 0.0
        self.left = limit  # with the store, when it was last asked
        self.others = 0  # processes that had some of it then
        self.pot_id = 0  # nought: the store was never asked
        self.waiting: list[Any] = []  # who waits for more; slices.py knows what they are
        self.filling = False
        self.going: Any = None  # done when what was given back has arrived

    def hold(self, amount: int, now: float) -> bool:
        """At once, or not at all."""
        if self.free < amount:
            return False
        self.free -= amount
        self.held += amount
        self.used += amount
        self.used_at = now
        return True

    def settle(self, amount: int, actual: int) -> None:
        """What was held is over: so much of it was used."""
        self.held -= amount
        self.free += amount - actual
        if self.books:
            self.settled += actual

    def hold_softly(self, amount: int, now: float) -> bool:
        """While the store cannot be asked: within this process's share of a limit. It is owed to the store."""
        share = self.limit // (self.others + 1)
        so_far = self.held if self.key[2] == RUNNING else self.used
        if so_far + amount > max(share, min(1, self.limit)):
            return False
        self.free -= amount
        self.held += amount
        self.used += amount
        self.used_at = now
        return True

    def remaining(self) -> int:
        """What is left of it, as far as this process knows."""
        return max(0, min(self.limit, self.free + self.left))

    @property
    def idle(self) -> bool:
        """Nothing would be lost without it."""
        return not (self.held or self.free or self.settled or self.waiting or self.filling or self.going)


def portion(left: int, needs: Sequence[int], others: int) -> int:
    """How much to take of what is left, when so many other processes have some of it. Nought: not even the first fits.

    Half of this process's share while there is plenty; what those who wait need, one by one, when there is not.
    """
    if left < 0 or needs[0] > left:
        return 0
    exact = 0
    for need in needs:
        if exact + need > left:
            break
        exact += need
    return max(exact, left // (2 * (others + 1)))
