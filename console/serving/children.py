"""One process the supervisor looks after, and the line between the two.

The line is a socket pair. The child writes one byte when it is ready; it reads nothing, but when its end closes, the
supervisor is gone, even by `kill -9`, and the child stops too.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

READY = b"r"
LONGEST_PAUSE, LONGEST_PAUSE_OF_SERVING = 30.0, 2.0  # seconds


@dataclass(frozen=True)
class Job:
    """What a slot runs: a module of ours, with its arguments."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    web: bool = False


@dataclass(eq=False)
class Child:
    job: Job
    process: subprocess.Popen[bytes]
    line: socket.socket
    started: float
    ready: bool = False
    expected: bool = False  # it was told to end

    @classmethod
    def start(cls, job: Job, listener: int | None) -> Child:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        passed = [theirs.fileno()]
        command = [sys.executable, "-m", job.module, *job.arguments, "--line", str(theirs.fileno())]
        if job.web and listener is not None:
            passed.append(listener)
            command += ["--listener", str(listener)]
        with theirs:
            # A group of its own: Ctrl+C in a terminal reaches the supervisor alone, which then drains in order.
            process = subprocess.Popen(  # noqa: S603 - our own modules
                command, pass_fds=passed, stdin=subprocess.DEVNULL, process_group=0
            )
        return cls(job, process, ours, time.monotonic())

    @property
    def age(self) -> float:
        return time.monotonic() - self.started

    def hear(self) -> None:
        """Read what it has to say. At the end of the line it is dying: the reaper finds it."""
        try:
            if READY in self.line.recv(16):
                self.ready = True
        except (BlockingIOError, ConnectionResetError):
            pass

    def tell(self, number: signal.Signals) -> None:
        self.expected = True
        try:
            self.process.send_signal(number)
        except ProcessLookupError:
            pass

    def kill(self) -> None:
        """With everything it started."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def gone(self) -> bool:
        return self.process.poll() is not None

    def how_it_ended(self) -> str:
        code = self.process.returncode
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


@dataclass(eq=False)
class Slot:
    """A place that must be filled. `due` is when it may be filled (again)."""

    job: Job
    child: Child | None = None
    failures: int = 0
    due: float = 0.0
    leaving: bool = field(default=False)

    def fill(self, listener: int | None) -> None:
        self.child = Child.start(self.job, listener)

    def lost(self, now: float) -> float:
        """Its child died: how long to wait before the next one, twice as long each time it comes soon again. Not very
        long for one that could serve: whoever asks meanwhile would wait for nothing."""
        assert self.child is not None
        lived, served = self.child.age, self.child.ready
        self.failures = 0 if lived > 60 and served else self.failures + 1
        longest = LONGEST_PAUSE_OF_SERVING if served else LONGEST_PAUSE
        pause = 0.0 if self.failures == 0 else min(longest, 0.1 * 2 ** (self.failures - 1))
        self.child = None
        self.due = now + pause
        return pause


def living(slots: Iterable[Slot]) -> list[Child]:
    return [slot.child for slot in slots if slot.child is not None]
