"""The commands behind the Makefile."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable

from deploy import checks, machine, testing
from deploy.machine import PYTHON, ROOT
from deploy.say import Stop, line
from deploy.set_up import BROWSER_FILES, foreign_server, set_up


def run() -> int:
    """Set up, and become `manage.py serve`."""
    host, port, workers = (os.environ.get(name) or default for name, default in SERVE.items())
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise Stop(f"PORT is '{port}'. Give a number: make run PORT=8123")
    if not workers.isdigit() or int(workers) < 1:
        raise Stop(f"WORKERS is '{workers}'. Give a number: make run WORKERS=2")
    set_up()
    line("Starting ...")
    words = ["manage.py", "serve", "--host", host, "--port", port, "--workers", workers, "--migrate"]
    os.execv(PYTHON, [str(PYTHON), *words])


SERVE = {"HOST": "127.0.0.1", "PORT": "8000", "WORKERS": "1"}


def fix() -> int:
    set_up(tests=True)
    ruff = str(PYTHON.parent / "ruff")
    return max(subprocess.run([ruff, *words], cwd=ROOT).returncode for words in (["check", "--fix"], ["format"]))


def bench() -> int:
    set_up(tests=True)
    return _python("-m", "bench", *shlex.split(os.environ.get("ARGS", "")))


def prove() -> int:
    set_up(tests=True)
    foreign_server()
    os.environ["RELAYHOUSE_PROVE"] = "full"
    words = ["-m", "pytest", "-m", "promise", "-s", *shlex.split(os.environ.get("ARGS", ""))]
    line("\nEvery promise, on SQLite")
    codes = [_python(*words)]
    if not machine.fetch_tools("postgresql", "redis-server"):
        line("\nEvery promise, on a throw-away Postgres and Redis")
        codes.append(_python("-m", "tests.services", "run", "--", str(PYTHON), *words, "tests/promises"))
    return max(codes)


def clean() -> int:
    """Everything that the set-up and the tools made. What an installation keeps (var/) stays."""
    folders = [
        ".venv",
        ".venv-llama",
        "node_modules",
        ".mypy_cache",
        ".ruff_cache",
        ".pytest_cache",
        ".import_linter_cache",
    ]
    folders += [".hypothesis", ".schemathesis", "static/vendor", "static/fonts"]
    for folder in folders:
        shutil.rmtree(ROOT / folder, ignore_errors=True)
    for file in [*BROWSER_FILES, *(str(path) for path in (ROOT / "locale").glob("*/LC_MESSAGES/*.mo"))]:
        (ROOT / file).unlink(missing_ok=True)
    for top in sorted(path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")):
        for cache in [*top.rglob("__pycache__")] if top.name != "var" else []:
            shutil.rmtree(cache, ignore_errors=True)
    line("Removed .venv, node_modules and everything else that was made. var/ is untouched.")
    return 0


def _python(*words: str) -> int:
    return subprocess.run([PYTHON, *words], cwd=ROOT).returncode


COMMANDS: dict[str, Callable[[], int]] = {
    "run": run,
    "test": testing.test,
    "check": checks.check,
    "fix": fix,
    "bench": bench,
    "prove": prove,
    "clean": clean,
}

if __name__ == "__main__":
    sys.exit("Use: python3 -m deploy")
