"""Clients leaving at random points: no connection, task or slot is left, and nothing is charged twice."""

from __future__ import annotations

import asyncio
import random
import re
import time
import urllib.request
from pathlib import Path

import pytest

from tests.calls import Caller
from tests.house import House
from tests.promises.counts import report, times

pytestmark = pytest.mark.promise

CLIENTS = times(100, 1000)
AT_ONCE = 50
STREAMED = "demo:custom?ttft=100&tps=60&tokens=60"
PLAIN = "demo:custom?ttft=200&tps=400&tokens=60"
SETTLED_SECONDS = 5.0


def gauges(house: House) -> dict[str, float]:
    with urllib.request.urlopen(f"{house.url}/metrics", timeout=5) as reply:
        text = reply.read().decode()
    found = {name: float(value) for name, value in re.findall(r"^(relayhouse_\w+) ([\d.]+)$", text, re.M)}
    return {name: found[name] for name in WATCHED}


WATCHED = (
    "relayhouse_requests_in_flight",
    "relayhouse_upstream_calls_open",
    "relayhouse_connections_open",
    "relayhouse_tasks",
)


def open_files(house: House) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in house.web_workers())


async def test_nothing_is_left(house: House, caller: Caller) -> None:
    chance = random.Random(1000)
    async with caller.session() as session:  # warm: what a worker opens once is not a leak
        for stream in (True, False):
            assert (await caller.ask(session, STREAMED, stream=stream)).received
    caller.answers.clear()
    at_rest = await asyncio.to_thread(gauges, house)
    files = open_files(house)
    turns = asyncio.Semaphore(AT_ONCE)

    async def come_and_go(session: object, number: int) -> None:
        async with turns:
            stream = number % 4 != 0
            model = STREAMED if stream else PLAIN
            await caller.leave(session, model, after=chance.uniform(0, 1.0), stream=stream)  # type: ignore[arg-type]

    async with caller.session() as session:
        await asyncio.gather(*(come_and_go(session, number) for number in range(CLIENTS)))
    left = [answer for answer in caller.answers if not answer.received]
    assert len(left) > CLIENTS / 3

    deadline = time.monotonic() + SETTLED_SECONDS
    while True:
        now, still = await asyncio.to_thread(gauges, house), open_files(house)
        if all(now[name] <= at_rest[name] for name in WATCHED) and still <= files + 2:  # the question's own connection
            break
        assert time.monotonic() < deadline, (at_rest, now, files, still)
        await asyncio.sleep(0.1)
    assert now["relayhouse_requests_in_flight"] == 0
    assert now["relayhouse_upstream_calls_open"] == 0
    house.manage("ledger", "check")
    report(f"{CLIENTS} clients, {len(left)} left before the end: nothing open, {now}")
