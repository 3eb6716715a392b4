"""A whole installation as its user has it: `manage.py serve` in a folder of its own, on a free port of this machine."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from bench.processes import command, tree
from tests.services import free_port

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 90.0
STOP_SECONDS = 90.0

_migrated = tempfile.TemporaryDirectory(prefix="relayhouse-migrated-")


def wait_until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Until it is so, or the test fails."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def _new_database(url: str) -> str:
    """One of its own on the same server: each house has keys of its own, which fit no other's data."""
    server, _, _ = url.rpartition("/")
    name = f"house_{secrets.token_hex(6)}"
    with psycopg.connect(url.replace("postgres://", "postgresql://", 1), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{server}/{name}"


class House:
    """`with House(folder) as house:` migrates, serves, and stops everything again. `house.url` is where it is."""

    def __init__(self, folder: Path, *, workers: int = 1, **environment: str) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.workers = workers
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        own = {"RELAYHOUSE_STATE": str(self.state), "LOG_LEVEL": "WARNING"}
        made = dict.fromkeys(("RELAYHOUSE_KEY_RING", "RELAYHOUSE_KEY_PEPPER", "SECRET_KEY"), "")  # at first start
        self.environment = os.environ | own | made | environment
        if "DATABASE_URL" in self.environment and "DATABASE_URL" not in environment:
            self.environment["DATABASE_URL"] = _new_database(self.environment["DATABASE_URL"])
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "serve.log"

    def __enter__(self) -> House:
        self.prepare()
        self.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.stop()

    def prepare(self) -> None:
        """Migrate; after the first SQLite house of this test run, take a copy of what it had then."""
        kept = Path(_migrated.name) / "state"
        if "DATABASE_URL" in self.environment or not kept.exists():
            self.manage("migrate", "-v0")
            if "DATABASE_URL" not in self.environment and not kept.exists():
                shutil.copytree(self.state, kept)
        else:
            shutil.copytree(kept, self.state)

    def manage(self, *words: str, check: bool = True) -> str:
        """Runs a management command there and gives its standard output."""
        done = subprocess.run(
            [sys.executable, "manage.py", *words], cwd=ROOT, env=self.environment, capture_output=True, text=True
        )
        if check and done.returncode:
            raise AssertionError(f"manage.py {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def start(self) -> None:
        command = [sys.executable, "manage.py", "serve", "--port", str(self.port), "--workers", str(self.workers)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        try:
            self.await_ready()
        except BaseException:
            self.stop()  # nobody else would: a `with` that did not begin has no end
            raise

    def await_ready(self, seconds: float = START_SECONDS) -> None:
        assert self.process is not None
        deadline = time.monotonic() + seconds
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/health/ready", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"serve is not ready:\n{self.log.read_text()}") from None
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(how)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"serve did not stop:\n{self.log.read_text()}") from None

    def key(self, team: str = "Test") -> str:
        """A new API key's secret."""
        return self.manage("key", "create", "--team", team, "--name", "test").strip()

    def web_workers(self) -> list[int]:
        """Their process ids."""
        assert self.process is not None
        return [pid for pid in tree(self.process.pid) if "console.serving.web" in command(pid)]
