"""`make test`: its parts leave nothing out, tell what failed, and end together."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import testing
from deploy.beside import Part, run
from tests.house import wait_until

ROOT = Path(__file__).resolve().parent.parent
HALVES = "import sys; sys.stdout.write('one\\n'); sys.stderr.write('the last line\\n'); sys.exit({code})"
SERVER = """
import os, pathlib, signal, subprocess, sys, time
child = subprocess.Popen(["sleep", "600"])
pathlib.Path({file!r}).write_text(f"{{os.getpid()}} {{child.pid}}")
try:
    child.wait()
finally:
    sys.stdout.write("tidied up\\n")
"""
LANES = """
from deploy.beside import Part, run
run([Part("a", ("-c", {first!r})), Part("b", ("-c", {second!r}))], 2)
"""


def part(name: str, code: int) -> Part:
    return Part(name, ("-c", HALVES.format(code=code)))


def test_one_that_passed_is_a_line_and_one_that_failed_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([part("good", 0), part("bad", 1), part("none selected", 5)], 2) == ["bad"]
    told = capsys.readouterr().out
    assert "  good ... the last line\n" in told
    assert "  none selected ... the last line\n" in told
    assert "-- bad: failed --\n\none\nthe last line\n" in told


def test_one_that_was_killed_has_failed(capsys: pytest.CaptureFixture[str]) -> None:
    killed = Part("killed", ("-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
    assert run([killed], 1) == ["killed"]
    assert "killed: failed" in capsys.readouterr().out


def test_no_more_run_at_a_time_than_there_are_lanes(tmp_path: Path) -> None:
    alone = "import pathlib; here = pathlib.Path({file!r}); here.touch(exist_ok=False); here.unlink()"
    parts = [Part(str(number), ("-c", alone.format(file=str(tmp_path / "here")))) for number in range(4)]
    assert run(parts, 1) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_all_and_shows_what_they_said(tmp_path: Path, how: signal.Signals) -> None:
    files = [tmp_path / "first", tmp_path / "second"]
    first, second = (SERVER.format(file=str(file)) for file in files)
    program = LANES.format(first=first, second=second)
    lanes = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: all(file.exists() and file.read_text() for file in files))
    pids = [int(pid) for file in files for pid in file.read_text().split()]
    lanes.send_signal(how)
    told = lanes.communicate(timeout=60)[0].decode()
    assert lanes.returncode != 0
    assert told.count("interrupted --") == told.count("tidied up") == 2
    for pid in pids:
        wait_until(lambda pid=pid: not lives(pid))  # type: ignore[misc]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_every_file_is_in_one_part(lanes: int) -> None:
    groups = [testing.together(lanes, servers=False), testing.against_the_clock(lanes)]
    groups += [testing.in_a_browser(lanes), testing.alone()]
    found = [file for group in groups for each in group for file in files_of(each)]
    assert sorted(found) == sorted((ROOT / "tests").rglob("test_*.py"))


def files_of(each: Part) -> list[Path]:
    places = [ROOT / word for word in each.words if word.startswith("tests/") or word == "tests"]
    left_out = [ROOT / word.partition("=")[2] for word in each.words if word.startswith("--ignore=")]
    found = [file for place in places for file in ([place] if place.is_file() else place.rglob("test_*.py"))]
    return [file for file in found if not any(folder in file.parents for folder in left_out)]


def test_shares_are_about_equal() -> None:
    files = [*(ROOT / "tests" / "console").glob("test_*.py")]
    weights = [sum(file.stat().st_size for file in share) for share in testing.shares(files, 3)]
    assert len(weights) == 3
    assert max(weights) - min(weights) < 20_000


def test_outside_servers_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    names = "import os, sys; sys.exit('DATABASE_URL' in os.environ or 'REDIS_URL' in os.environ)"
    assert run([Part("inside", ("-c", names))], 1) == []
