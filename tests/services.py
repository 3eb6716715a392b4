"""Throw-away Postgres and Redis on free ports of this machine, always stopped and removed again.

python -m tests.services run -- pytest -m store     sets DATABASE_URL and REDIS_URL for the command
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

READY_SECONDS = 30.0
PORTS = range(20_000, 32_768)
INITDB = "-U relayhouse -A trust -E UTF8 --locale=C --no-sync --no-instructions"


class CannotStart(Exception):
    """The server is not installed or did not come up; the message says how to get it."""


def postgres_binaries() -> Path | None:
    """The folder with `initdb` and `postgres`: Debian keeps it off the PATH."""
    found = shutil.which("initdb")
    if found and (Path(found).parent / "postgres").exists():
        return Path(found).parent
    debian = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(debian, key=lambda folder: float(folder.parent.name), default=None)


def redis_binary() -> str | None:
    return shutil.which("redis-server") or shutil.which("valkey-server")


def free_port() -> int:
    """Below what systems hand out by themselves: nobody can be given it before the server that it is for takes it."""
    while True:
        port = PORTS.start + secrets.randbelow(len(PORTS))
        with socket.socket() as probe:
            # As servers take theirs: what an ended connection left behind is no hindrance.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@contextmanager
def postgres_server(**settings: str) -> Iterator[str]:
    """Its URL. As root it runs as the user `postgres`, because it refuses to run as root."""
    folder = postgres_binaries()
    if folder is None:
        raise CannotStart("Postgres is not installed: apt-get install postgresql")
    with _folder("postgres") as home, ExitStack() as stack:
        port = free_port()
        who = _unprivileged(home)
        made = subprocess.run(
            [folder / "initdb", *INITDB.split(), "-D", home / "data"],
            capture_output=True,
            text=True,
            cwd=home,
            **who,
        )
        if made.returncode:
            raise CannotStart(f"initdb failed: {made.stderr.strip()}")
        chosen = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(home),
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": "200",
        } | settings
        words = [word for name, value in chosen.items() for word in ("-c", f"{name}={value}")]
        log = stack.enter_context((home / "log").open("w"))
        server = subprocess.Popen([folder / "postgres", "-D", home / "data", *words], stdout=log, stderr=log, **who)
        stack.callback(_stop, server, signal.SIGINT)
        _await(server, home, _answers_as_postgres(port))
        yield f"postgres://relayhouse@127.0.0.1:{port}/postgres"


@contextmanager
def redis_process() -> Iterator[str]:
    """Its URL. It keeps nothing on disk."""
    binary = redis_binary()
    if binary is None:
        raise CannotStart("Redis is not installed: apt-get install redis-server")
    with _folder("redis") as home, ExitStack() as stack:
        port = free_port()
        log = stack.enter_context((home / "log").open("w"))
        server = subprocess.Popen(
            [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", home],
            stdout=log,
            stderr=log,
        )
        stack.callback(_stop, server, signal.SIGTERM)
        _await(server, home, _answers_as_redis(port))
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    # Short and in /tmp: the path of a Unix socket may have no more than about 100 characters.
    home = Path(tempfile.mkdtemp(prefix=f"{name}-", dir="/tmp"))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _unprivileged(home: Path) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    try:
        account = pwd.getpwnam("postgres")
    except KeyError:
        account = pwd.getpwnam("nobody")
    os.chown(home, account.pw_uid, account.pw_gid)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _await(server: subprocess.Popen[Any], home: Path, answers: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not answers():
        if server.poll() is not None or time.monotonic() > deadline:
            raise CannotStart(f"It did not start: {(home / 'log').read_text().strip()}")
        time.sleep(0.02)


def _answers_as_postgres(port: int) -> Callable[[], bool]:
    import psycopg

    def answers() -> bool:
        try:
            psycopg.connect(
                host="127.0.0.1", port=port, user="relayhouse", dbname="postgres", connect_timeout=2
            ).close()
        except psycopg.OperationalError:
            return False
        return True

    return answers


def _answers_as_redis(port: int) -> Callable[[], bool]:
    def answers() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    return answers


def _stop(server: subprocess.Popen[Any], how: signal.Signals) -> None:
    if server.poll() is None:
        server.send_signal(how)
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()
    server.wait()


def run(command: list[str]) -> int:
    """The command's exit code, with both servers standing while it ran."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    with postgres_server() as database, redis_process() as redis:
        environment = os.environ | {"DATABASE_URL": database, "REDIS_URL": redis}
        with subprocess.Popen(command, env=environment) as process:
            try:
                return process.wait()
            except KeyboardInterrupt:
                process.wait()  # the command heard it as well, and may need the servers until it has ended
                raise
            except BaseException:
                process.terminate()
                raise


def main(words: list[str]) -> int:
    if len(words) < 3 or words[:2] != ["run", "--"]:
        sys.stderr.write("usage: python -m tests.services run -- COMMAND ...\n")
        return 2
    try:
        return run(words[2:])
    except CannotStart as error:
        sys.stderr.write(f"{error}\n")
        return 3
    except KeyboardInterrupt:
        return 130  # the command has said so already


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
