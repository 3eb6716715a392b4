"""Keeps the processes of one installation running: starts, restarts, reloads, drains. Small: it loads no Django.

SIGTERM, SIGINT   drain and exit 0; a second one ends sooner
SIGHUP            a new generation of web workers on the same socket, then the old one drains
"""

from __future__ import annotations

import argparse
import os
import resource
import select
import signal
import socket
import sys
import time
from collections import deque
from datetime import UTC, datetime
from types import FrameType

from console.serving.children import Child, Job, Slot, living

READY_SECONDS = 60.0  # the longest a web worker may take to start
GRACE_SECONDS = 10.0  # beyond the drain, for journals and connections
HURRY_SECONDS = 5.0  # after a second signal
TIDY_SECONDS = 1.0  # for background work when every answer is finished: a task only does what the next tick repeats
BACKGROUND_AFTER = 3.0  # seconds: the first visitor has the processors to themselves
FILES = 65536  # open files and sockets wanted; the hard limit of the machine wins


def say(level: str, event: str, **fields: object) -> None:
    """The same form as console.logs writes."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    more = "".join(f" {name}={value}" for name, value in fields.items())
    try:
        sys.stderr.write(f'at={now} level={level} from=console.serving event="{event}"{more}\n')
        sys.stderr.flush()
    except OSError:
        pass  # the terminal is gone; nobody is left to tell


class Supervisor:
    def __init__(self, listener: socket.socket, *, workers: int, drain_seconds: float, greeting: str) -> None:
        self.listener: socket.socket | None = listener
        self.drain_seconds = drain_seconds
        self.greeting = greeting
        self.web = [Slot(job) for job in web_jobs(workers)]
        self.background = [
            Slot(Job("background worker", "console.serving.background", ("worker",))),
            Slot(Job("beat", "console.serving.background", ("beat",))),
        ]
        self.coming: list[Slot] = []  # the next generation, until all of it is ready
        self.leaving: list[Child] = []  # told to end, not yet gone
        self.stopped = 0.0
        self.stop_by: float | None = None
        self.code = 0
        self.was_ready = False
        self._signals: deque[int] = deque()
        self._wake, self._waker = socket.socketpair()
        self._has_terminal = has_terminal()

    def run(self) -> int:
        self._listen_to_signals()
        while True:
            self._obey()
            self._reap()
            if self.stop_by is None:
                self._fill()
                self._promote()
            elif not self.leaving:
                return self.code
            elif time.monotonic() > self.stop_by:
                self._kill_the_rest()
            elif not any(child.job.web for child in self.leaving) and time.monotonic() > self.stopped + TIDY_SECONDS:
                self._end_background()
            self._wait()

    # -- signals ------------------------------------------------------------------

    def _listen_to_signals(self) -> None:
        for end in (self._wake, self._waker):
            end.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._note)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)  # only to wake up

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)

    def _obey(self) -> None:
        while self._signals:
            number = self._signals.popleft()
            if number == signal.SIGHUP and not (self._has_terminal and not has_terminal()):
                self._reload()
            elif self.stop_by is None:
                self._stop()
            else:
                self._hurry()

    def _stop(self, code: int = 0) -> None:
        say("info", f"stopping; answers have {self.drain_seconds:g} seconds to finish")
        self.code = code
        self.stopped = time.monotonic()
        self.stop_by = self.stopped + self.drain_seconds + GRACE_SECONDS
        if self.listener is not None:
            self.listener.close()
            self.listener = None
        self._dismiss([*self.web, *self.coming, *self.background])

    def _hurry(self) -> None:
        assert self.stop_by is not None
        self.stop_by = min(self.stop_by, time.monotonic() + HURRY_SECONDS)
        for child in self.leaving:
            child.tell(signal.SIGTERM)

    def _reload(self) -> None:
        if self.stop_by is not None or self.coming:
            return
        say("info", "reloading")
        self.coming = [Slot(Job(s.job.name, s.job.module, ("--check",), web=True)) for s in self.web]
        for slot in self.coming:
            slot.fill(self._descriptor())

    # -- processes ------------------------------------------------------------------

    def _fill(self) -> None:
        now = time.monotonic()
        wanted = [*self.web, *self.background] if self.was_ready else self.web
        for slot in wanted:
            if slot.child is None and slot.due <= now:
                slot.fill(self._descriptor())
        for child in living([*self.web, *self.coming]):
            if not child.ready and child.age > READY_SECONDS:
                say("error", f"{child.job.name} did not get ready in {READY_SECONDS:g} seconds", pid=child.process.pid)
                child.kill()

    def _promote(self) -> None:
        """What follows when workers have become ready."""
        if not self.was_ready and any(child.ready for child in living(self.web)):
            self.was_ready = True
            for slot in self.background:
                slot.due = time.monotonic() + BACKGROUND_AFTER
            print(self.greeting, flush=True)  # noqa: T201
        if self.coming and all(slot.child is not None and slot.child.ready for slot in self.coming):
            old, self.web, self.coming = self.web, self.coming, []
            for slot in self.web:
                slot.job = Job(slot.job.name, slot.job.module, web=True)
            self._dismiss([*old, *self.background])
            say("info", "reloaded; the generation before finishes its answers")

    def _dismiss(self, slots: list[Slot]) -> None:
        for slot in slots:
            child, slot.child = slot.child, None
            slot.due = slot.failures = 0
            if child is not None:
                child.tell(signal.SIGTERM)
                self.leaving.append(child)

    def _reap(self) -> None:
        now = time.monotonic()
        for child in [child for child in self.leaving if child.gone()]:
            self.leaving.remove(child)
            child.line.close()
            if child.process.returncode not in (0, -signal.SIGTERM):  # told to end before it could listen
                say("warning", f"{child.job.name} {child.how_it_ended()}", pid=child.process.pid)
        for slot in [*self.web, *self.background]:
            if slot.child is not None and slot.child.gone():
                self._bury(slot, now)
        if any(slot.child is not None and slot.child.gone() for slot in self.coming):
            say("error", "the new generation cannot start; the old one goes on")
            coming, self.coming = self.coming, []
            self._dismiss(coming)

    def _bury(self, slot: Slot, now: float) -> None:
        child = slot.child
        assert child is not None
        child.kill()  # what it may have started itself
        child.line.close()
        if slot.job.web and not self.was_ready:
            slot.child = None
            say("error", f"{slot.job.name} {child.how_it_ended()} before it was ready")
            self._stop(code=1)
            return
        pause = slot.lost(now)
        say(
            "error",
            f"{slot.job.name} {child.how_it_ended()}; the next one starts in {pause:g} s",
            pid=child.process.pid,
        )

    def _kill_the_rest(self) -> None:
        for child in self.leaving:
            say("error", f"{child.job.name} did not end in time and is killed", pid=child.process.pid)
            child.kill()
            child.process.wait()
        self.code = 1

    def _end_background(self) -> None:
        for child in self.leaving:
            child.kill()
            child.process.wait()
            child.line.close()
        self.leaving.clear()

    def _descriptor(self) -> int | None:
        return self.listener.fileno() if self.listener is not None else None

    def _wait(self) -> None:
        lines = {child.line: child for child in living([*self.web, *self.coming]) if not child.ready}
        readable, _, _ = select.select([self._wake, *lines], [], [], self._until_something_is_due())
        for end in readable:
            if end is self._wake:
                try:
                    self._wake.recv(4096)
                except BlockingIOError:
                    pass
            else:
                lines[end].hear()

    def _until_something_is_due(self) -> float:
        if self.stop_by is not None:
            return max(0.0, min(0.2, self.stop_by - time.monotonic()))
        waiting = [slot.due for slot in [*self.web, *self.background] if slot.child is None]
        return max(0.01, min([5.0, *(due - time.monotonic() for due in waiting)]))


def web_jobs(workers: int) -> list[Job]:
    return [Job(f"web worker {n}", "console.serving.web", web=True) for n in range(1, workers + 1)]


def has_terminal() -> bool:
    """Is there a terminal whose closing would be meant by SIGHUP?"""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def allow_many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError):
        pass  # macOS refuses some values; the soft limit then stays


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listener", type=int, required=True)
    parser.add_argument("--greeting", type=int, required=True, help="a pipe with the line to print when ready")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--drain", type=float, default=60)
    options = parser.parse_args()
    with os.fdopen(options.greeting) as pipe:
        greeting = pipe.read()
    allow_many_files()
    listener = socket.socket(fileno=options.listener)
    return Supervisor(listener, workers=options.workers, drain_seconds=options.drain, greeting=greeting).run()


if __name__ == "__main__":
    sys.exit(main())
