"""A nearly spent budget under a rush: two processes admit exactly as many requests as fit, and nothing stays held."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from billing.costs import NANO, Rates, decimal, worst_case
from providers.tokens import count_request
from tests import misbehaviour
from tests.calls import Caller
from tests.house import House, wait_until
from tests.misbehaviour import USAGE, body
from tests.promises.counts import report, times
from tests.upstream import Exchange, Upstream

pytestmark = pytest.mark.promise

WORKERS = 2
ANSWER = 50  # tokens allowed
MESSAGES = [{"role": "user", "content": "Count, please."}]
CONNECT = """
from decimal import Decimal
from billing.models import Price
from providers.models import LanguageModel, Provider
provider = Provider.objects.create(name="Up", kind="vllm", base_url="{url}")
model = LanguageModel.objects.create(provider=provider, model_id="waits", listed=True)
Price.objects.create(model=model, input_per_million=Decimal(1), output_per_million=Decimal(2), source="test")
"""
POTS = """
import json
from billing.models import Pot, Slice
from billing import budgets
print(json.dumps([list(Pot.objects.values("what", "spent", "taken")), Slice.objects.count(), budgets.disagreements()]))
"""

released = threading.Event()


async def waits(it: Exchange) -> None:
    """Holds its answer until all have asked."""
    while not released.is_set():
        await it.pause(0.02)
    await it.whole(body())


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    misbehaviour.BEHAVIOURS["waits"] = waits
    released.clear()
    with Upstream() as server:
        yield server
    del misbehaviour.BEHAVIOURS["waits"]


@pytest.fixture
def house(tmp_path: Path, upstream: Upstream) -> Iterator[House]:
    with House(tmp_path, workers=WORKERS, ALLOWED_PRIVATE_HOSTS="127.0.0.1") as house:
        house.manage("shell", "-v0", "-c", CONNECT.format(url=upstream.base_url))
        yield house
        released.set()


def worst() -> int:
    """What one request may cost, in nano-units."""
    fields = {"messages": msgspec.Raw(json.dumps(MESSAGES).encode()), "max_tokens": msgspec.Raw(b"%d" % ANSWER)}
    return worst_case(count_request("vllm", fields), ANSWER, Rates(1, "USD", Decimal(1), Decimal(2)))


def key_with(house: House, nano: int) -> str:
    words = ["key", "create", "--team", "Race", "--name", "race", "--budget", decimal(nano), "--period", "day"]
    return house.manage(*words).strip()


async def ask(caller: Caller, session: aiohttp.ClientSession) -> tuple[int, str]:
    told = {"model": "up:waits", "max_tokens": ANSWER, "messages": MESSAGES}
    async with session.post(f"{caller.url}/v1/chat/completions", json=told) as answer:
        got: dict[str, Any] = await answer.json()
    return answer.status, str(got.get("error", {}).get("code", ""))


def at_rest(house: House) -> Any:
    return json.loads(house.manage("shell", "-v0", "-c", POTS))


async def test_as_many_as_fit_and_not_one_more(house: House, upstream: Upstream) -> None:
    asked, fitting = times(120, 500), times(17, 83)
    actual = USAGE["prompt_tokens"] * 1000 + USAGE["completion_tokens"] * 2000
    for number in range(times(1, 5)):
        released.clear()
        before = len(upstream.chats)
        caller = Caller(house.url, await asyncio.to_thread(key_with, house, fitting * worst() + worst() // 2))
        results: Counter[tuple[int, str]] = Counter()
        async with caller.session() as session:
            waiting = {asyncio.create_task(ask(caller, session)) for _ in range(asked)}
            while waiting and len(waiting) > fitting:
                done, waiting = await asyncio.wait(waiting, timeout=60, return_when=asyncio.FIRST_COMPLETED)
                assert done, f"{len(waiting)} wait, and {fitting} fit"
                results.update(task.result() for task in done)
            assert results == {(429, "budget_reserved"): asked - fitting}
            await asyncio.to_thread(upstream.await_that, lambda it: len(it.chats) - before == fitting, 30)  # noqa: B023
            released.set()
            results.update(await asyncio.gather(*waiting))
            assert results[200, ""] == fitting
            # What was held is there again, but for what was spent, to the last nano-unit.
            left = fitting * worst() + worst() // 2 - fitting * actual
            while left >= worst():
                assert (await ask(caller, session))[0] == 200
                left -= actual
            assert await ask(caller, session) == (402, "insufficient_quota")
        report(f"race {number + 1}: {asked} asked, {fitting} fitted, {results[200, '']} were admitted")
    wait_until(lambda: at_rest(house)[1] == 0)
    pots, _, disagreements = at_rest(house)
    assert (disagreements, {pot["taken"] for pot in pots}) == ([], {0})
    assert house.stop() == 0
    assert "agree" in house.manage("ledger", "check")


async def test_two_processes_keep_one_limit(house: House) -> None:
    asked, limit = times(60, 500), times(20, 200)
    words = ["key", "create", "--team", "Race", "--name", "race", "--requests-per-minute", str(limit)]
    caller = Caller(house.url, (await asyncio.to_thread(house.manage, *words)).strip())
    released.set()
    async with caller.session() as session:
        results = Counter(await asyncio.gather(*(ask(caller, session) for _ in range(asked))))
    assert results == {(200, ""): limit, (429, "rate_limit_exceeded"): asked - limit}
    report(f"{asked} asked, {limit} a minute allowed, {results[200, '']} were admitted")


async def test_a_killed_process_holds_nothing_for_ever(house: House, upstream: Upstream) -> None:
    count = 12
    caller = Caller(house.url, await asyncio.to_thread(key_with, house, NANO))
    async with caller.session() as session:
        tasks = [asyncio.create_task(ask(caller, session)) for _ in range(count)]
        await asyncio.to_thread(upstream.await_that, lambda it: len(it.chats) == count, 30)
        for pid in await asyncio.to_thread(house.web_workers):
            os.kill(pid, signal.SIGKILL)
        released.set()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, aiohttp.ClientError) for each in ended)
    await asyncio.to_thread(house.await_ready)
    wait_until(lambda: at_rest(house)[0][0]["spent"] == count * worst(), 60)  # booked as it was reserved
    pots, slices, disagreements = at_rest(house)
    assert (pots[0]["taken"], slices, disagreements) == (0, 0, [])
