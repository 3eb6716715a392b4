"""`kill -9` of a worker under load: every answer a client received is in the ledger exactly once."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from collections import Counter

import aiohttp
import pytest

from tests.calls import Caller
from tests.house import House, wait_until
from tests.promises.counts import report, times

pytestmark = pytest.mark.promise

CLIENTS = 16
PLAIN = "demo:custom?ttft=5&tps=0&tokens=20"
STREAMED = "demo:custom?ttft=5&tps=400&tokens=60"


async def test_every_answer_is_in_the_ledger_once(house: House, caller: Caller) -> None:
    chance = random.Random(20)
    kills = times(3, 20)
    stop = asyncio.Event()

    async def keep_asking(session: aiohttp.ClientSession, number: int) -> None:
        stream = number % 2 == 0
        while not stop.is_set():
            answer = await caller.ask(session, STREAMED if stream else PLAIN, stream=stream)
            if answer.error:
                await asyncio.sleep(0.05)  # as a program does when nobody answers

    async with caller.session() as session, asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(keep_asking(session, number))
        for _ in range(kills):
            await asyncio.to_thread(await_answers, caller, CLIENTS)
            await asyncio.sleep(chance.uniform(0.05, 0.4))
            (pid,) = await asyncio.to_thread(house.web_workers)
            os.kill(pid, signal.SIGKILL)
        stop.set()
    received = {answer.request_id for answer in caller.answers if answer.received}
    broken = [answer for answer in caller.answers if not answer.received]
    assert len(received) > kills * CLIENTS
    assert broken, "no kill hit an answer on its way: the load was too light to prove anything"

    assert house.stop() == 0
    charged = await asyncio.to_thread(charges_of, house, received)
    assert {request_id for request_id in received if charged[request_id] != 1} == set()
    # What was cut is settled too, once at most: nobody pays twice for half an answer.
    begun = {answer.request_id for answer in broken if answer.request_id}
    cut = await asyncio.to_thread(charges_of, house, begun)
    assert [request_id for request_id, count in cut.items() if count > 1] == []
    house.manage("ledger", "check")
    report(f"{kills} kills: {len(received)} answers received, each charged once; {len(broken)} cut")


def await_answers(caller: Caller, more: int) -> None:
    """The worker is there and answers again."""
    enough = received_by(caller) + more
    wait_until(lambda: received_by(caller) >= enough)


def received_by(caller: Caller) -> int:
    return sum(answer.received for answer in caller.answers)


def charges_of(house: House, request_ids: set[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    wanted = sorted(request_ids)
    for start in range(0, len(wanted), 500):
        for line in house.manage("ledger", "show", *wanted[start : start + 500]).splitlines():
            charge = json.loads(line)
            found[charge["request_id"]] += 1
    return found
