"""`make check`: everything but tests."""

from __future__ import annotations

import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor

from deploy import machine
from deploy.machine import PYTHON, ROOT
from deploy.say import line
from deploy.set_up import set_up

BIN = PYTHON.parent
CHECKS: dict[str, list[str]] = {
    "types": [f"{BIN}/mypy"],
    "format": [f"{BIN}/ruff", "format", "--check", "--quiet", "."],
    "lint": [f"{BIN}/ruff", "check", "--quiet", "."],
    "layers": [f"{BIN}/lint-imports"],
    "settings": [f"{PYTHON}", "manage.py", "check"],
    "migrations": [f"{PYTHON}", "manage.py", "makemigrations", "--check", "--dry-run"],
    "templates": [f"{BIN}/djlint", "templates", "--lint", "--quiet"],
    "translations": [f"{PYTHON}", "-m", "deploy.translations"],
    "docs": [f"{PYTHON}", "-m", "pytest", "tests/test_docs.py", "-p", "no:cacheprovider"],
}


def check() -> int:
    set_up(tests=True)
    missing = machine.fetch_tools("gettext")
    with tempfile.TemporaryDirectory(prefix="relayhouse-check-") as state, ThreadPoolExecutor(2) as pool:
        environment = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
        environment |= {"RELAYHOUSE_STATE": state, "DEBUG": "false"}
        done = {name: pool.submit(_run, command, environment) for name, command in CHECKS.items()}
        failed = [name for name in CHECKS if not _told(name, *done[name].result())]
    if missing:
        line("\nNot checked: whether new texts lack a translation, because gettext is missing: apt-get install gettext")
    if failed:
        line(f"\n{len(failed)} of {len(CHECKS)} checks failed: {', '.join(failed)}. `make fix` mends some.")
        return 1
    line(f"\nAll {len(CHECKS)} checks passed.")
    return 1 if missing and os.environ.get("EVERYTHING") else 0


def _run(command: list[str], environment: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout


def _told(name: str, code: int, output: str) -> bool:
    line(f"  {name} ... {'failed' if code else 'ok'}")
    if code:
        line("\n".join(f"    {text}" for text in output.strip().splitlines()))
    return code == 0
