"""A run belongs to the process, not to a socket: seen from two processes that share a database, and at their ends."""

from __future__ import annotations

import json
import os
import signal
import socket as sockets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.house import House, wait_until

pytestmark = pytest.mark.promise
SECONDS = 20.0
STEADILY = "demo:custom?ttft=0&tps=150&tokens=400"
AT_LENGTH = "demo:custom?ttft=0&tps=150&tokens=600"  # four seconds: long enough to come back to on a slow machine
SLOWLY = "demo:custom?ttft=0&tps=40&tokens=4000"

ROOM = """
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from console.models import Room
from routing import demonstration
from tests import factories
demonstration.furnish()
from console.models import User
bob = User.objects.filter(name="Bob").first() or factories.make_user("Bob", teams=[factories.make_team("Research")])
session = import_module(settings.SESSION_ENGINE).SessionStore()
session[SESSION_KEY] = str(bob.pk)
session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
session[HASH_SESSION_KEY] = bob.get_session_auth_hash()
session.save()
print(session.session_key, Room.objects.create(owner=bob).pk)
"""
STATE = """
import json
from console.models import Run
run = Run.objects.select_related("message").get(pk="{run}")
print(json.dumps([run.status, run.error_code, run.message.text]))
"""


class Two:
    """Two installations on one database: what a second machine is to the first."""

    def __init__(self, one: House, other: House) -> None:
        self.one, self.other = one, other
        self.session, self.room = other.manage("shell", "-v0", "-c", ROOM).split()[-2:]
        self._open = ExitStack()

    def socket(self, house: House, runs: dict[str, int] | None = None, last: int = 0) -> ClientConnection:
        headers = {"Cookie": f"relayhouse_session={self.session}"}
        address = f"{house.url.replace('http', 'ws')}/ws/rooms/{self.room}/"
        # Without a bound on what is read ahead: a full queue would keep `close` from hearing that the server agrees.
        opening = connect(address, additional_headers=headers, origin=house.url, max_queue=None)  # type: ignore[arg-type]
        socket = self._open.enter_context(opening)
        say(socket, action="subscribe", runs=runs or {}, last=last)
        return socket

    def state(self, run: str) -> tuple[str, str, str]:
        status, code, text = json.loads(self.other.manage("shell", "-v0", "-c", STATE.format(run=run)).splitlines()[-1])
        return status, code, text

    def close(self) -> None:
        self._open.close()


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, House]]:
    folder = tmp_path_factory.mktemp("two")
    keys = {name: os.environ[name] for name in ("SECRET_KEY", "RELAYHOUSE_KEY_RING", "RELAYHOUSE_KEY_PEPPER")}
    shared = {"DATABASE_URL": f"sqlite:///{folder / 'shared.sqlite3'}", "DRAIN_SECONDS": "30", **keys}
    (folder / "one").mkdir()
    (folder / "other").mkdir()
    other = House(folder / "other", **shared)
    with House(folder / "one", **shared) as one, ExitStack() as stack:
        stack.callback(other.stop)
        other.start()  # the database is there already
        yield one, other


@pytest.fixture
def two(houses: tuple[House, House]) -> Iterator[Two]:
    one, other = houses
    if one.process is None:
        wait_until(lambda: is_free(one.port))  # what a kill left behind ends by itself
        one.start()
    both = Two(one, other)
    yield both
    both.close()


def is_free(port: int) -> bool:
    with sockets.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def say(socket: ClientConnection, **message: Any) -> None:
    socket.send(json.dumps(message))


def hear(socket: ClientConnection, *kinds: str) -> dict[str, Any]:
    while True:
        told: dict[str, Any] = json.loads(socket.recv(timeout=SECONDS))
        if told["type"] in kinds:
            return told


def ask(socket: ClientConnection, model: str) -> str:
    say(socket, action="send", text="Hello", model=model, draft_id="d")
    return str(hear(socket, "start")["run"])


def read(socket: ClientConnection, until: int | None = None) -> tuple[str, int, str]:
    """Text, number of the last frame and how it ended: at the end of the answer, or after so many deltas."""
    text, seq, deltas = "", 0, 0
    while until is None or deltas < until:
        told = hear(socket, "delta", "done", "error")
        if told["type"] != "delta":
            return text, told["seq"], told["type"]
        text, seq, deltas = text + told["text"], told["seq"], deltas + 1
    return text, seq, ""


def kill(house: House) -> None:
    """First the process that writes, which would notice the end of its supervisor and finish in order."""
    (worker,) = house.web_workers()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{worker}").exists())  # its supervisor saw it
    house.stop(signal.SIGKILL)


def test_another_process_goes_on_where_a_browser_was(two: Two) -> None:
    first = two.socket(two.one)
    elsewhere = two.socket(two.other)
    run = ask(first, AT_LENGTH)
    start = hear(elsewhere, "start")  # told by the table: this process did not begin it
    assert start["run"] == run
    text, seq, _ = read(first, until=6)  # pieces grow on a slow machine: not so many that the answer is over
    first.close()
    back = two.socket(two.other, {run: seq}, last=10**6)
    rest, _, end = read(back)
    assert end == "done"
    status, _, whole = two.state(run)
    assert status == "done"
    # What the start of a socket shows already is not told again, so its text may begin later.
    assert whole.endswith(text + rest)
    assert whole.endswith(read(elsewhere)[0])
    assert text
    assert rest


def test_stop_reaches_the_process_that_writes(two: Two) -> None:
    writing, elsewhere = two.socket(two.one), two.socket(two.other)
    run = ask(writing, SLOWLY)
    hear(elsewhere, "delta")
    asked = time.monotonic()
    say(elsewhere, action="stop", run=run)
    assert hear(writing, "stopping")["run"] == run
    assert time.monotonic() - asked < 2
    assert hear(elsewhere, "done")["run"] == run
    assert two.state(run)[0] == "stopped"


def test_a_process_that_stops_finishes_its_answers(two: Two) -> None:
    socket = two.socket(two.one)
    run = ask(socket, STEADILY)
    read(socket, until=5)
    elsewhere = two.socket(two.other)
    assert two.one.stop() == 0
    assert read(elsewhere)[2] == "done"
    status, code, text = two.state(run)
    assert (status, code) == ("done", "")
    assert len(text) > 500


def test_a_process_that_dies_leaves_what_its_log_holds(two: Two) -> None:
    socket = two.socket(two.one)
    run = ask(socket, SLOWLY)
    heard, seq, _ = read(socket, until=20)
    elsewhere = two.socket(two.other, {run: 1})
    while hear(elsewhere, "delta")["seq"] < seq:
        pass  # the other process knows only what the log holds
    kill(two.one)
    told = hear(elsewhere, "error")
    assert "The server restarted" in told["say"]
    status, code, text = two.state(run)
    assert (status, code) == ("interrupted", "server_restart")
    assert heard in text
