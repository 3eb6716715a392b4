"""`make test`: everything on SQLite, and what is marked for it on a throw-away Postgres and Redis.

The tests run in parts, each a pytest of its own with its own database, folders and servers, as many beside each other
as there are cores. What measures time has less beside it than the rest, and the promises, which measure whole houses,
have the machine to themselves. A part that passed is one line; one that failed is shown whole.

What the machine cannot run is named in the last line, with the way to get it. With EVERYTHING=1, as in `.ci/run`, that
is a failure.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from deploy import machine
from deploy.beside import Part, run
from deploy.machine import PYTHON, ROOT
from deploy.say import line
from deploy.set_up import set_up

NEEDS = {
    "chromium": "the pages in a browser",
    "postgresql": "Postgres",
    "redis-server": "Redis",
}
SERVERS = ("-m", "tests.services", "run", "--", str(PYTHON))
MOST = 8  # more would start more than they save
CLOCKED = ("tests/routing", "tests/providers", "tests/faults")


def test() -> int:
    set_up(tests=True)
    missing = machine.fetch_tools(*NEEDS)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    lanes = min(cores, MOST)
    line("\nEverything on SQLite, and what depends on it on a throw-away Postgres and Redis")
    failed = run(together(lanes, servers=not {"postgresql", "redis-server"} & set(missing)), lanes)
    failed += run(against_the_clock(lanes), lanes)
    if "chromium" not in missing:
        failed += run(in_a_browser(lanes), lanes)
    failed += run(alone(), 1)
    return _close(failed, missing)


# -- in this order, so that who measures time has as few beside it as that takes ------------------------------------


def together(lanes: int, *, servers: bool) -> list[Part]:
    """What waits as long as it takes, with whole installations among it. The longest first: lanes end together."""
    parts = _shared_out("console", "tests/console", count=lanes)
    if servers:
        words = (*SERVERS, *_pytest("tests", *_ignored("tests/browser", "tests/promises"), marks="store or redis"))
        parts.insert(0, Part("on Postgres and Redis", words))
    rest = _ignored("tests/console", *CLOCKED, "tests/browser", "tests/promises")
    return [*parts, Part("everything else", _pytest("tests", *rest))]


def against_the_clock(lanes: int) -> list[Part]:
    """Providers that stall and clients that leave, in parts of a second: one process on each core."""
    return _shared_out("gateway and providers", *CLOCKED, count=lanes)


def in_a_browser(lanes: int) -> list[Part]:
    return _shared_out("browser", "tests/browser", count=lanes)


def alone() -> list[Part]:
    return [Part("promises", _pytest("tests/promises"))]


def shares(files: list[Path], count: int) -> list[list[Path]]:
    """Dealt out so that each share has about as much to read, which tells well enough how long it takes."""
    made: list[list[Path]] = [[] for _ in range(count)]
    weights = [0] * count
    for file in sorted(files, key=lambda file: (-file.stat().st_size, file)):
        lightest = weights.index(min(weights))
        made[lightest].append(file)
        weights[lightest] += file.stat().st_size
    return [sorted(share) for share in made if share]


def _shared_out(name: str, *folders: str, count: int) -> list[Part]:
    made = shares([file for folder in folders for file in (ROOT / folder).rglob("test_*.py")], count)
    return [
        Part(
            f"{name}, {number} of {len(made)}" if len(made) > 1 else name,
            _pytest(*(str(file.relative_to(ROOT)) for file in share)),
        )
        for number, share in enumerate(made, 1)
    ]


def _pytest(*words: str, marks: str = "not redis") -> tuple[str, ...]:
    color = ("--color=yes",) if sys.stdout.isatty() else ()
    return ("-m", "pytest", *color, "-m", marks, *words)


def _ignored(*folders: str) -> list[str]:
    return [f"--ignore={folder}" for folder in folders]


def _close(failed: list[str], missing: list[str]) -> int:
    if failed:
        line(f"\nSome tests failed: {'; '.join(failed)}.")
    elif not missing:
        line("\nAll tests ran and passed.")
    if missing:
        what = ", ".join(NEEDS[name] for name in missing)
        line(f"\nNot run: tests with {what}. To get them: apt-get install {' '.join(missing)}")
    return 1 if failed or (missing and os.environ.get("EVERYTHING")) else 0
