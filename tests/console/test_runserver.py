"""`manage.py runserver`: the same site for development, without a lifespan. The first request starts what it needs."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.calls import Answer, Caller
from tests.house import ROOT, House, wait_until


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    house.prepare()
    command = [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{house.port}"]
    environment = house.environment | {"DEBUG": "true"}
    with house.log.open("ab") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    wait_until(lambda: answers(house) or server.poll() is not None, 60)
    assert server.poll() is None, house.log.read_text()
    yield house
    server.send_signal(signal.SIGTERM)  # SIGINT is ignored by whatever a shell starts in the background
    server.wait(20)


def answers(house: House) -> bool:
    try:
        with urllib.request.urlopen(f"{house.url}/health/live", timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def test_it_serves_pages_and_the_gateway(house: House) -> None:
    with urllib.request.urlopen(f"{house.url}/accounts/login/", timeout=20) as page:
        assert b"/static/css/" in page.read()
    answer = asyncio.run(asked(Caller(house.url, house.key())))
    assert answer.received, answer
    assert answer.text()


async def asked(caller: Caller) -> Answer:
    async with caller.session() as session:
        return await caller.ask(session, "demo:custom?ttft=10&tps=400&tokens=40")
