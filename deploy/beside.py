"""Several runs of pytest beside each other: what each says is kept, and shown when it has something to say."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from deploy.machine import PYTHON, ROOT
from deploy.say import line

NO_TESTS = 5  # pytest's code for "none selected"
LOOK_SECONDS = 0.1
END_SECONDS = 60.0


@dataclass(frozen=True)
class Part:
    name: str
    words: tuple[str, ...]  # for Python


@dataclass
class Running:
    part: Part
    said: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        outside = ("DATABASE_URL", "REDIS_URL")
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [PYTHON, *self.part.words],
                cwd=ROOT,
                env={name: value for name, value in os.environ.items() if name not in outside},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                # A group of its own: Ctrl-C comes to this process alone, which passes it on and waits for the end.
                process_group=0,
            )

    def text(self) -> str:
        return self.said.read_text(errors="replace").rstrip()

    def tell(self) -> bool:
        """Whether it passed."""
        passed = self.process.returncode in (0, NO_TESTS)
        if passed:
            line(f"  {self.part.name} ... {self.text().rpartition(chr(10))[2]}")
        else:
            line(f"\n-- {self.part.name}: failed --\n\n{self.text()}\n")
        return passed

    def send(self, what: signal.Signals) -> None:
        """To the whole group, as a terminal does it."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, what)


def run(parts: list[Part], lanes: int) -> list[str]:
    """In this order, so many at a time. The names of those that failed."""
    waiting, running, failed = [*parts], [], []
    with _folder() as folder, _terminable():
        try:
            while waiting or running:
                while waiting and len(running) < lanes:
                    running.append(Running(waiting.pop(0), folder / str(len(waiting))))
                time.sleep(LOOK_SECONDS)
                for each in [each for each in running if each.process.poll() is not None]:
                    running.remove(each)
                    if not each.tell():
                        failed.append(each.part.name)
        except BaseException:
            _end(running)
            raise
    return failed


def _end(running: list[Running]) -> None:
    """All of them at once, with time to tidy up; an interruption meanwhile ends that time."""
    try:
        for each in running:
            each.send(signal.SIGINT)
        for each in running:
            with suppress(subprocess.TimeoutExpired):
                each.process.wait(END_SECONDS)
    finally:
        for each in running:
            each.send(signal.SIGKILL)
            each.process.wait()
            line(f"\n-- {each.part.name}: interrupted --\n\n{each.text()}")


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="relayhouse-said-") as folder:
        yield Path(folder)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends what runs, too, and not only this process."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
