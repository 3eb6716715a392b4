"""kill -9 at any moment: whatever a client was answered is in the ledger exactly once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as house
from django.db import connection

from tests.house import ROOT
from tests.promises.counts import report, times

pytestmark = [pytest.mark.store, pytest.mark.promise, pytest.mark.django_db(transaction=True)]

KILLS = times(3, 20)


class Machine:
    """A state folder with a database, and the processes on it. On Postgres the database is the tests' own."""

    def __init__(self, state: Path) -> None:
        self.environment = os.environ | {"RELAYHOUSE_STATE": str(state), "DJANGO_SETTINGS_MODULE": "console.settings"}
        if connection.vendor == "postgresql":
            address, _, _ = house.DATABASE_URL.rpartition("/")
            self.environment["DATABASE_URL"] = f"{address}/{connection.settings_dict['NAME']}"
        else:
            self.manage("migrate", "-v0")

    def manage(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *words], cwd=ROOT, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def killed(self, node: str, seconds: float | None) -> list[str]:
        """The requests a process answered before it was killed after so long; None: it knows itself when."""
        words = [node] if seconds is not None else [node, "before-dropping"]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.billing.writer", *words],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("go\n")
        process.stdin.flush()
        if seconds is not None:
            time.sleep(seconds)  # when it is killed is what this is about
            process.kill()
        answered = process.communicate()[0].splitlines()
        assert process.returncode == -signal.SIGKILL
        return [line for line in answered if len(line) == 36]

    def charges(self, request_ids: list[str]) -> Counter[str]:
        lines = self.manage("ledger", "show", *request_ids).splitlines()
        found: list[dict[str, Any]] = [json.loads(line) for line in lines]
        assert {line["usage_source"] for line in found} == {"provider"}
        return Counter(line["request_id"] for line in found)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "state")


def test_killed_at_random_moments(machine: Machine) -> None:
    seed = random.randrange(10**6)
    draw = random.Random(seed)
    sys.stderr.write(f"seed {seed}\n")
    answered: list[str] = []
    for number in range(KILLS):
        answered += machine.killed(f"node-{number}", draw.uniform(0.02, 0.6))
    assert answered
    some = draw.sample(answered, min(len(answered), 2000))
    assert machine.charges(some) == Counter(some)  # before anybody loaded what was left
    machine.manage("journal", "load")
    assert machine.charges(some) == Counter(some)
    counts = machine.manage("ledger", "check")
    told = dict(line.split(": ") for line in counts.splitlines() if ": " in line)
    assert told["journals"] == "0"
    # What was open is booked too; a client may not have read its answer's last byte.
    assert len(answered) <= int(told["charges"]) - int(told["charges estimated"]) <= len(answered) + KILLS
    report(f"{KILLS} kills, {len(answered)} answers, each charged once")


def test_killed_between_loading_and_dropping(machine: Machine) -> None:
    answered = machine.killed("node-1", None)
    assert len(answered) == 50
    before = machine.charges(answered)
    machine.manage("journal", "load")
    assert machine.charges(answered) == before == Counter(answered)
    assert "charges estimated: 1\n" in machine.manage("ledger", "check")
