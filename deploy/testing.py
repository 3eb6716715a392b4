"""`make test`: everything on SQLite, then what is marked for it on a throw-away Postgres and Redis.

What the machine cannot run is named in the last line, with the way to get it. With EVERYTHING=1, as in `.ci/run`, that
is a failure.
"""

from __future__ import annotations

import os
import subprocess

from deploy import machine
from deploy.machine import PYTHON, ROOT
from deploy.say import line
from deploy.set_up import set_up

NO_TESTS = 5  # pytest's code for "none selected"
NEEDS = {
    "chromium": "the pages in a browser",
    "postgresql": "Postgres",
    "redis-server": "Redis",
}


def test() -> int:
    set_up(tests=True)
    missing = machine.fetch_tools(*NEEDS)
    environment = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    line("\nEverything, on SQLite")
    marks = "not redis" + (" and not browser" if "chromium" in missing else "")
    codes = [_pytest(environment, ["-m", "pytest", "-m", marks])]
    if "postgresql" not in missing and "redis-server" not in missing:
        line("\nWhat depends on the database or on Redis, on a throw-away Postgres and Redis")
        wrapped = ["-m", "tests.services", "run", "--", str(PYTHON)]
        codes.append(_pytest(environment, [*wrapped, "-m", "pytest", "-m", "store or redis"]))
    return _close(codes, missing)


def _pytest(environment: dict[str, str], words: list[str]) -> int:
    code = subprocess.run([PYTHON, *words], cwd=ROOT, env=environment).returncode
    return 0 if code == NO_TESTS else code


def _close(codes: list[int], missing: list[str]) -> int:
    failed = max(codes)
    if not missing:
        line("\nSome tests failed." if failed else "\nAll tests ran and passed.")
        return failed
    what = ", ".join(NEEDS[name] for name in missing)
    line(f"\nNot run: tests with {what}. To get them: apt-get install {' '.join(missing)}")
    return failed or (1 if os.environ.get("EVERYTHING") else 0)
