"""Shared amounts against a real database: two processes' worth of slices, what they are recalled for, and who dies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command

from billing import budgets, pots
from billing.journal import Journal
from billing.ledger import Ledger
from billing.loader import Loader, load_left
from billing.models import Pot, Slice
from billing.pools import Pool
from billing.records import Payer
from billing.slices import Short, Slices, Unavailable
from billing.terms import MONEY, REQUESTS, RUNNING, TOKENS, Key
from billing.windows import window_of
from tests.billing.samples import finished, left_behind, opened, settled
from tests.silence import silent_store

pytestmark = [pytest.mark.store, pytest.mark.django_db(transaction=True)]

KEY_ID = 3
MONEY_KEY: Key = ("key", KEY_ID, MONEY, "USD 2026-11 UTC")
RPM: Key = ("key", KEY_ID, REQUESTS, "")
TPM: Key = ("key", KEY_ID, TOKENS, "")
AT_ONCE: Key = ("team", 1, RUNNING, "")


@asynccontextmanager
async def node(name: str, place: str = "here") -> AsyncIterator[Slices]:
    """One process's, with its watch."""
    slices = Slices(name, place)
    watch = asyncio.create_task(slices.watch())
    yield slices
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
    await slices.close()


async def of_money(slices: Slices, limit: int, amount: int) -> Pool:
    window = window_of("month", "UTC", time.time())
    return await slices.hold(
        MONEY_KEY, limit, amount, time.time(), starts_at=window.starts_at, ends_at=window.ends_at, currency="USD"
    )


async def pot() -> Pot:
    return await Pot.objects.aget()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 - of rows that tell nobody when they change
            await asyncio.sleep(0.02)


async def agrees() -> bool:
    return await sync_to_async(budgets.disagreements)() == []


# -- one process ----------------------------------------------------------------------------


async def test_a_slice_is_taken_ahead_and_given_back() -> None:
    async with node("one") as one:
        pool = await of_money(one, 1000, 10)
        assert (pool.free, pool.held) == (490, 10)
        assert one.at_once(MONEY_KEY, 1000, 400, time.time()) is pool
        assert one.at_once(MONEY_KEY, 1000, 91, time.time()) is None
        pool.settle(10, 0)
        pool.settle(400, 0)
        assert (await pot()).taken == 500
        await until(lambda: _is(Pot, taken=0))
        await until(lambda: _none(Slice))
        await until(lambda: _empty(one))


async def test_as_many_fit_as_fit_and_the_refusal_tells_the_numbers() -> None:
    async with node("one") as one:
        results = await asyncio.gather(*(of_money(one, 1000, 30) for _ in range(50)), return_exceptions=True)
        held = [each for each in results if isinstance(each, Pool)]
        short = [each for each in results if isinstance(each, Short)]
        assert (len(held), len(short)) == (33, 17)
        assert {(each.spent, each.held, each.left) for each in short} == {(0, 990, 10)}
        held[0].settle(30, 25)
        with pytest.raises(Short) as refused:
            await of_money(one, 1000, 30)
        assert (refused.value.spent, refused.value.held, refused.value.left) == (25, 960, 15)


async def test_who_leaves_while_waiting_holds_nothing() -> None:
    async with node("one") as one:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(of_money(one, 10_000, 10)) for _ in range(20)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
        await until(lambda: _true(not one._filling))
        (pool,) = one._pools.values()
        assert pool.held == 100


async def test_a_minute_admits_its_limit_and_the_next_one_begins_anew() -> None:
    async with node("one") as one:
        results = await asyncio.gather(*(_hold(one, RPM, 5) for _ in range(9)), return_exceptions=True)
        assert sum(isinstance(each, Pool) for each in results) == 5
        await Pot.objects.aupdate(ends_at="2026-01-01T00:01Z", starts_at="2026-01-01T00:00Z")
        one._pools[RPM].ends_at = 1.0  # this process sees it too
        assert (await _hold(one, RPM, 5)).held == 1


async def test_a_lower_limit_holds_for_what_was_taken_before() -> None:
    async with node("one") as one:
        await of_money(one, 1000, 10)
        with pytest.raises(Short):
            await of_money(one, 15, 10)
        assert await of_money(one, 20, 10)


async def test_requests_at_once_come_back() -> None:
    async with node("one") as one:
        pools = [await _hold(one, AT_ONCE, 3) for _ in range(3)]
        with pytest.raises(Short):
            await _hold(one, AT_ONCE, 3)
        pools[0].settle(1, 0)
        assert await _hold(one, AT_ONCE, 3)
        for pool in pools:
            pool.settle(1, 0)
        await until(lambda: _is(Pot, taken=0))


# -- several ----------------------------------------------------------------------------------


async def test_two_processes_admit_exactly_the_limit() -> None:
    async with node("one") as one, node("two") as two:
        asked = [_hold(slices, RPM, 40) for slices in (one, two) * 30]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(each, Pool) for each in results) == 40
        assert sum(isinstance(each, Short) for each in results) == 20


async def test_what_another_process_has_free_is_recalled() -> None:
    async with node("one") as one, node("two") as two:
        pool = await of_money(one, 1000, 10)
        assert pool.free == 490
        assert await of_money(two, 1000, 900)
        assert pool.free == 0
        with pytest.raises(Short) as refused:
            await of_money(two, 1000, 91)
        assert (refused.value.spent, refused.value.held, refused.value.left) == (0, 910, 90)
        pool.settle(10, 10)  # spent, and not in the ledger yet
        with pytest.raises(Short) as refused:
            await of_money(two, 1000, 91)
        assert (refused.value.spent, refused.value.held) == (10, 900)


async def test_nobody_waits_long_for_a_process_that_is_dead() -> None:
    async with node("two") as two:
        dead = Slices("dead", "here")
        await of_money(dead, 1000, 10)
        await dead.close()
        began = time.monotonic()
        with pytest.raises(Short):
            await of_money(two, 1000, 900)
        assert time.monotonic() - began < 5.0
        await sync_to_async(pots.sweep)("here", ["dead"], time.time() + 60)
        assert await Slice.objects.filter(node="dead").aexists(), "its journal is still there"
        await sync_to_async(pots.sweep)("elsewhere", [], time.time() + 60)
        assert await Slice.objects.filter(node="dead").aexists(), "its journal is not ours to look for"
        await sync_to_async(pots.sweep)("here", [], time.time() + 60)
        assert await of_money(two, 1000, 900)


# -- the ledger ----------------------------------------------------------------------------------


async def test_what_was_spent_is_what_the_ledger_says(tmp_path: Path) -> None:
    async with node("one") as one:
        journal = Journal.open(tmp_path / "journal", "one")
        ledger, loader = Ledger(journal), Loader(journal)
        pool = await of_money(one, 10_000_000, 900_000)
        record = opened(pot_id=pool.pot_id)
        ledger.reserve(record)
        ledger.settle(settled(record), finished(record.request_id))
        pool.settle(900_000, 123_456)
        await sync_to_async(loader.load)()
        await sync_to_async(loader.load)()
        row = await pot()
        assert (row.spent, row.taken) == (123_456, 5_000_000 - 123_456)
        await until(lambda: _is(Pot, taken=0, spent=123_456))
        assert await agrees()
        await sync_to_async(loader.close)()
        journal.close()


async def test_a_killed_process_gives_back_what_its_journal_did_not_use(tmp_path: Path) -> None:
    dead = Slices("dead", "here")
    pool = await of_money(dead, 10_000_000, 900_000)
    await dead.close()
    record = opened(pot_id=pool.pot_id)
    home = await sync_to_async(left_behind)(tmp_path / "journal", record, node="dead")
    await sync_to_async(load_left)(home)
    row = await pot()
    assert (row.spent, row.taken) == (900_000, 0)
    assert not await Slice.objects.aexists()
    assert await agrees()


async def test_a_budget_begins_with_what_was_spent_before(tmp_path: Path) -> None:
    def book(amount: int, **fields: Any) -> None:
        journal = Journal.open(tmp_path / "journal", "one")
        loader = Loader(journal)
        record = opened(**fields)
        Ledger(journal).settle(settled(record, amount_nano=amount), finished(record.request_id))
        loader.close()
        journal.close()

    await sync_to_async(book)(400)
    await sync_to_async(book)(50, currency="EUR")
    await sync_to_async(book)(60, demo=True)
    await sync_to_async(book)(70, payer=Payer("api", team_id=1, key_id=99))
    async with node("one") as one:
        with pytest.raises(Short) as refused:
            await of_money(one, 1000, 700)
        assert refused.value.spent == 400
        # Asked before there was a budget, and booked after: it counts all the same.
        await sync_to_async(book)(500)
        with pytest.raises(Short) as refused:
            await of_money(one, 1000, 200)
        assert refused.value.spent == 900
        assert await agrees()


async def test_a_sum_that_is_not_the_ledgers_is_told() -> None:
    async with node("one") as one:
        await of_money(one, 1000, 10)
    await Pot.objects.aupdate(spent=5)
    (told,) = await sync_to_async(budgets.disagreements)()
    assert "5 nano-USD are counted as spent, and 0 are in the ledger" in told


# -- without the store ------------------------------------------------------------------------


async def test_without_the_store_what_is_held_goes_on() -> None:
    async with node("one") as one:
        pool = await of_money(one, 1000, 10)
        await _hold(one, RPM, 10)
        with silent_store():
            assert await of_money(one, 1000, 400) is pool
            began = time.monotonic()
            with pytest.raises(Unavailable):
                await of_money(one, 1000, 400)
            with pytest.raises(Unavailable):
                await of_money(one, 1000, 400)
            assert time.monotonic() - began < 3.0
            # A limit fails soft: this process has all of it, being alone.
            results = await asyncio.gather(*(_hold(one, RPM, 10) for _ in range(12)), return_exceptions=True)
            assert sum(isinstance(each, Pool) for each in results) == 9
        await until(lambda: _again(one))


async def _hold(slices: Slices, key: Key, limit: int, amount: int = 1) -> Pool:
    return await slices.hold(key, limit, amount, time.time())


async def _again(slices: Slices) -> bool:
    try:
        await of_money(slices, 1000, 450)
    except Unavailable:
        return False
    return True


async def _is(model: Any, **values: Any) -> bool:
    return bool(await model.objects.filter(**values).aexists())


async def _none(model: Any) -> bool:
    return not await model.objects.aexists()


async def _empty(slices: Slices) -> bool:
    return len(slices) == 0


async def _true(value: bool) -> bool:
    return value


async def test_what_a_lost_machine_had_taken_can_be_given_up() -> None:
    lost = Slices("lost-1", "elsewhere")
    await of_money(lost, 1000, 10)
    await lost.close()
    with pytest.raises(CommandError, match="no journal of 'lost-1'"):
        await sync_to_async(call_command)("journal", "abandon", "lost-1")
    await Slice.objects.aupdate(lease_until="2026-01-01T00:00Z")
    out = StringIO()
    await sync_to_async(call_command)("journal", "abandon", "lost-1", stdout=out)
    assert "that is free" in out.getvalue()
    assert (await pot()).taken == 0
