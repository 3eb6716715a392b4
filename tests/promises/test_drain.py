"""SIGTERM with streams open: none is cut. SIGHUP neither."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.calls import Answer, Caller
from tests.house import House, wait_until
from tests.promises.counts import report, times

pytestmark = pytest.mark.promise

STREAMS = times(20, 100)
TOKENS = 40
MODEL = f"demo:custom?ttft=50&tps=15&tokens={TOKENS}"  # nearly three seconds


async def open_streams(caller: Caller, session: object) -> list[asyncio.Task[Answer]]:
    begun = [asyncio.Event() for _ in range(STREAMS)]
    tasks = [asyncio.create_task(caller.ask(session, MODEL, begun=event)) for event in begun]  # type: ignore[arg-type]
    for event in begun:
        await event.wait()
    return tasks


async def test_sigterm_cuts_no_stream(house: House, caller: Caller) -> None:
    async with caller.session() as session:
        tasks = await open_streams(caller, session)
        code = await asyncio.to_thread(house.stop)
        answers = await asyncio.gather(*tasks)
    assert [answer.error for answer in answers if not answer.received] == []
    assert code == 0
    report(f"SIGTERM with {STREAMS} streams open: none cut, exit {code}")


async def test_sighup_cuts_no_stream(house: House, caller: Caller) -> None:
    assert house.process is not None
    rounds = times(1, 50)
    for _ in range(rounds):
        before = await asyncio.to_thread(house.web_workers)
        async with caller.session() as session:
            tasks = await open_streams(caller, session)
            house.process.send_signal(signal.SIGHUP)
            await asyncio.to_thread(await_replaced, house, before)
            answers = await asyncio.gather(*tasks)
        assert [answer.error for answer in answers if not answer.received] == []
    report(f"{rounds} reloads with {STREAMS} streams open: none cut")


def await_replaced(house: House, before: list[int]) -> None:
    wait_until(lambda: set(before).isdisjoint(house.web_workers()), 60)
