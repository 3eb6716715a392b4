"""`manage.py serve` as an operator sees it: signals, deaths, refusals to start."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.processes import command, tree
from tests.calls import Caller
from tests.house import ROOT, House, wait_until

SLOW = "demo:custom?ttft=100&tps=40&tokens=60"  # a second and a half


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture(scope="module")
def caller(house: House) -> Caller:
    return Caller(house.url, house.key())


def get(house: House, path: str) -> tuple[int, str]:
    with urllib.request.urlopen(house.url + path, timeout=30) as reply:
        return reply.status, reply.read().decode()


def raw(house: House, request: bytes, seconds: float = 30.0) -> bytes:
    """What comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", house.port), timeout=seconds) as connection:
        connection.sendall(request)
        answer = b""
        while data := connection.recv(65536):
            answer += data
        return answer


def test_it_is_alive_and_ready(house: House) -> None:
    assert get(house, "/health/live")[0] == 200
    assert get(house, "/health/ready") == (200, '{"ready":true,"not_ready":[]}')


def test_it_says_where_it_is_once_and_with_a_code(house: House) -> None:
    lines = [line for line in house.log.read_text().splitlines() if line.startswith("Open ")]
    assert len(lines) == 1
    assert lines[0].startswith(f"Open {house.url}/welcome/")
    assert lines[0].endswith("/")


def test_the_code_stands_on_no_command_line(house: House) -> None:
    assert house.process is not None
    code = house.log.read_text().partition("/welcome/")[2].partition("/")[0]
    assert all(code not in command(pid) for pid in tree(house.process.pid))


def test_it_runs_a_worker_for_the_background_and_a_clock(house: House) -> None:
    assert house.process is not None
    wait_until(lambda: {"worker", "beat"} <= set(" ".join(map(command, tree(house.process.pid))).split()))  # type: ignore[union-attr]


def test_the_supervisor_is_small(house: House) -> None:
    assert house.process is not None
    for line in Path(f"/proc/{house.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            assert int(line.split()[1]) < 30_000


def test_what_it_keeps_is_its_owners_alone(house: House) -> None:
    assert house.state.stat().st_mode & 0o777 == 0o700
    for file in (house.state / "keys").iterdir():
        assert file.stat().st_mode & 0o077 == 0


def test_pages_name_files_by_their_content(house: House) -> None:
    page = get(house, "/accounts/login/")[1]
    start = page.index("/static/")
    path = page[start : page.index('"', start)]
    with urllib.request.urlopen(house.url + path, timeout=30) as reply:
        assert "immutable" in reply.headers["cache-control"]
        assert reply.headers.get("server") is None


def test_a_head_that_is_too_large_is_refused(house: House) -> None:
    request = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nx-long: " + b"a" * 100_000
    assert raw(house, request).startswith(b"HTTP/1.1 431 ")


def test_a_worker_that_dies_is_replaced(house: House) -> None:
    before = house.web_workers()
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: bool(house.web_workers()) and house.web_workers() != before)
    house.await_ready()
    assert "killed by SIGKILL" in house.log.read_text()


async def test_reloading_refuses_nobody_and_cuts_nothing(house: House, caller: Caller) -> None:
    assert house.process is not None
    before = house.web_workers()
    refused: list[str] = []
    asked = 0

    async def keep_asking(session: object) -> None:
        nonlocal asked
        while asyncio.get_running_loop().time() < end:
            try:
                async with session.get(f"{house.url}/health/live") as reply:  # type: ignore[attr-defined]
                    assert reply.status == 200
            except OSError as error:  # aiohttp's own are children of it
                refused.append(repr(error))
            asked += 1

    async with caller.session() as session:
        begun = asyncio.Event()
        stream = asyncio.create_task(caller.ask(session, "demo:custom?ttft=100&tps=20&tokens=120", begun=begun))
        await begun.wait()
        house.process.send_signal(signal.SIGHUP)
        end = asyncio.get_running_loop().time() + 60

        def watch() -> None:
            nonlocal end
            wait_until(lambda: set(house.web_workers()).isdisjoint(before), 60)
            end = 0.0

        await asyncio.gather(asyncio.to_thread(watch), *(keep_asking(session) for _ in range(4)))
        answer = await stream
    assert refused == []
    assert asked > 20
    assert answer.received
    assert house.process.poll() is None


async def test_sigterm_lets_an_open_stream_finish(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        caller = Caller(house.url, house.key())
        async with caller.session() as session:
            begun = asyncio.Event()
            stream = asyncio.create_task(caller.ask(session, SLOW, begun=begun))
            await begun.wait()
            code = await asyncio.to_thread(house.stop)
            answer = await stream
        assert answer.received
        assert len(answer.text().split()) > 10
        assert code == 0
        shown = house.manage("ledger", "show", answer.request_id)
        assert answer.request_id in shown
        assert list((house.state / "journal").iterdir()) == []


async def test_what_outlives_the_drain_is_told(tmp_path: Path) -> None:
    with House(tmp_path, DRAIN_SECONDS="1") as house:
        caller = Caller(house.url, house.key())
        async with caller.session() as session:
            begun = asyncio.Event()
            stream = asyncio.create_task(caller.ask(session, "demo:custom?tps=2&tokens=100", begun=begun))
            await begun.wait()
            code = await asyncio.to_thread(house.stop)
            answer = await stream
    assert b"server_restart" in answer.body
    assert not answer.whole
    assert code == 0


def test_a_second_signal_ends_sooner(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        process = house.process
        assert process is not None
        key = house.key()
        body = b'{"model":"demo:custom?tps=1&tokens=100","stream":true,"messages":[{"role":"user","content":"Hi"}]}'
        with socket.create_connection(("127.0.0.1", house.port), timeout=20) as connection:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n"
            connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            process.send_signal(signal.SIGTERM)
            wait_until(lambda: "stopping" in house.log.read_text())
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0


def test_workers_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        assert house.process is not None
        family = tree(house.process.pid)
        wait_until(lambda: len(tree(house.process.pid)) >= 4)  # type: ignore[union-attr]
        family = tree(house.process.pid)
        house.process.kill()
        house.process.wait()
        wait_until(lambda: not any(_lives(pid) for pid in family))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


# -- refusals to start ------------------------------------------------------------------------------------------


def serve(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A start that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "manage.py", "serve", *words],
        cwd=ROOT,
        env=os.environ | {"RELAYHOUSE_STATE": str(folder)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_it_does_not_start_with_pending_migrations(tmp_path: Path) -> None:
    done = serve(tmp_path, "--port", "0")
    assert done.returncode == 1
    assert "manage.py migrate" in done.stderr


def test_it_does_not_start_on_a_port_that_is_taken(house: House) -> None:
    done = serve(house.state, "--port", str(house.port))
    assert done.returncode == 1
    assert "choose another with --port" in done.stderr


@pytest.mark.parametrize("words", [("--port", "70000"), ("--host", "nowhere.invalid"), ("--workers", "0")])
def test_it_does_not_start_where_it_cannot(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = serve(tmp_path, *words)
    assert done.returncode == 1
    assert words[0] in done.stderr


def test_it_does_not_start_with_settings_that_make_no_sense(tmp_path: Path) -> None:
    done = serve(tmp_path, "--port", "0", TRUSTED_PROXIES="everybody")
    assert done.returncode == 1
    assert "console.E002" in done.stderr
    assert "HINT" in done.stderr


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://user@127.0.0.1/relayhouse", "postgres://user:password@host/name"),
        ("postgres://user@127.0.0.1:1/relayhouse", "The database does not answer"),
    ],
)
def test_it_does_not_start_without_its_database(tmp_path: Path, url: str, said: str) -> None:
    done = serve(tmp_path, "--port", "0", DATABASE_URL=url)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_it_migrates_when_it_is_told_to(tmp_path: Path) -> None:
    house = House(tmp_path)
    command = [sys.executable, "manage.py", "serve", "--migrate", "--port", str(house.port)]
    with house.log.open("ab") as log:
        house.process = subprocess.Popen(command, cwd=ROOT, env=house.environment, stdout=log, stderr=log)
    try:
        house.await_ready(60)
    finally:
        assert house.stop() == 0
