"""Where an attempt is written before its first byte goes upstream, and its settlement before the last one goes out.

One journal a process: a folder with a lock that the process holds and numbered segments that are only ever appended to.
What `append` returned from survives the process; a thread tells the disk every 50 ms. A loader (loader.py) reads the
segments into the database and drops them; what it has read of requests that go on is carried over in a file of its own.

When the disk is full, nothing new is begun, but what was begun can still be settled: a spare file is given up for that.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from billing.appending import write
from billing.lines import line_of
from billing.records import Record

log = logging.getLogger(__name__)

SEGMENT_BYTES = 8 * 1024 * 1024
SPARE_BYTES = 4 * 1024 * 1024  # some four thousand settlements
SYNC_SECONDS = 0.05
RECOVERY_SECONDS = 1.0
MOST_OWED = 10_000  # settlements kept in memory when even the spare is used up

LOCK, SPARE, CARRIED, ENDING = "lock", "spare", "carried.journal", ".journal"


class JournalFailed(Exception):
    """The record was not written. The message says why, and names no content."""


class Journal:
    """This process's own. `append` may be called from any thread; it costs one `write`."""

    def __init__(self, home: Path, lock: int) -> None:
        self.home = home
        self.node = home.name
        self.failed = ""  # why nothing new can be written, in words; empty when all is well
        self.appended_bytes = 0
        self.loaded_bytes = 0  # of those; the loader counts
        self._held = lock
        self._lock = threading.Lock()
        self._number = 0
        self._file = -1
        self._size = 0
        self._retired: list[int] = []  # files of full segments that the disk was not told of yet
        self._unnamed = True  # whether the disk was not told yet that there is a further file
        self._dirty = False
        self._owed: list[bytes] = []
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._keep_synced, name="journal", daemon=True)

    @classmethod
    def open(cls, folder: Path, node: str) -> Journal:
        """A new journal in `folder`, held until it is closed or the process ends, however it ends."""
        home, draft = folder / node, folder / f".{node}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if home.exists():
                raise JournalFailed(f"There is a journal of {node} already.")
            draft.mkdir(mode=0o700)
            lock = os.open(draft / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(home)  # only now others see it, and they see it held
            journal = cls(home, lock)
            journal._begin_segment()
        except OSError as error:
            raise JournalFailed(f"No journal can be kept in {folder}: {error.strerror}.") from error
        journal._make_spare()
        journal._thread.start()
        return journal

    @property
    def folder(self) -> Path:
        return self.home.parent

    @property
    def unloaded_bytes(self) -> int:
        return self.appended_bytes - self.loaded_bytes

    # -- writing ----------------------------------------------------------------

    def append(self, *records: Record, owed: bool = False) -> None:
        """Write them, whole and in order. `owed` is what ends something begun: it is written as long as anything can
        be, and when nothing can, it is kept and written later; JournalFailed is raised all the same."""
        try:
            lines = b"".join([line_of(record) for record in records])
        except UnicodeEncodeError as error:
            raise JournalFailed("A record holds text that is no Unicode.") from error
        with self._lock:
            if self.failed and (self._closed or not owed):
                raise JournalFailed(self.failed)
            try:
                self._write(lines)
            except OSError as error:
                self._fail(error)
                if not owed:
                    raise JournalFailed(self.failed) from error
                self._write_owed(lines)

    def _write(self, lines: bytes) -> None:
        if self._file < 0 or (self._size and self._size + len(lines) > SEGMENT_BYTES):
            self._begin_segment()
        written = 0
        try:
            written = write(self._file, lines)
            if written != len(lines):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            if written:
                self._cut_back()
            raise
        self._size += written
        self.appended_bytes += written
        if not self._dirty:
            self._dirty = True
            self._wake.set()

    def _cut_back(self) -> None:
        """Half a record must not stand before the next one."""
        try:
            os.ftruncate(self._file, self._size)
        except OSError:
            # It stays, at the end of this segment, where a reader ignores it.
            self._retired.append(self._file)
            self._file = -1

    def _begin_segment(self) -> None:
        path = segment(self.home, self._number + 1)
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        if self._file >= 0:
            self._retired.append(self._file)
        self._file, self._size, self._number = file, 0, self._number + 1
        self._unnamed = True

    def _fail(self, error: OSError) -> None:
        self.failed = f"The journal in {self.folder} cannot be written: {error.strerror}."
        (self.home / SPARE).unlink(missing_ok=True)

    def _write_owed(self, lines: bytes) -> None:
        try:
            self._write(lines)  # there is the room of the spare now
        except OSError as error:
            if len(self._owed) < MOST_OWED:
                self._owed.append(lines)
            raise JournalFailed(self.failed) from error

    # -- the disk ---------------------------------------------------------------

    def _keep_synced(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(RECOVERY_SECONDS)
            self._closing.wait(SYNC_SECONDS)  # what comes meanwhile goes with it
            self.sync()
            if self.failed:
                self._closing.wait(RECOVERY_SECONDS)
                self._recover()

    def sync(self) -> None:
        """Everything appended before is on the disk after."""
        with self._lock:
            self._wake.clear()
            retired, self._retired = self._retired, []
            files = [*retired, self._file] if self._dirty and self._file >= 0 else retired
            unnamed, self._dirty, self._unnamed = self._unnamed, False, False
        try:
            for file in files:
                os.fdatasync(file)
            if unnamed:
                sync_folder(self.home)
        except OSError as error:
            with self._lock:
                self._fail(error)
        finally:
            for file in retired:
                os.close(file)

    def _recover(self) -> None:
        """Begin to take records again, once what is owed is written and there is room for the spare."""
        with self._lock:
            try:
                while self._owed:
                    self._write(self._owed[0])
                    self._owed.pop(0)
            except OSError:
                return
        self._make_spare()

    def _make_spare(self) -> None:
        path = self.home / SPARE
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(file, 0, SPARE_BYTES)
            finally:
                os.close(file)
        except OSError as error:
            with self._lock:
                self._fail(error)
            return
        with self._lock:
            if self.failed:
                log.warning("the journal can be written again")
            self.failed = ""

    # -- for the loader -----------------------------------------------------------

    def position(self) -> tuple[int, int]:
        """The number of the segment that is written to, and how much of it is whole."""
        with self._lock:
            return self._number, self._size

    def rotate(self) -> None:
        """Let what has been written so far be a segment of its own, so that it can be dropped."""
        with self._lock:
            if self._size:
                self._begin_segment()

    def drop(self, number: int, unfinished: Iterable[Record]) -> None:
        """Let go of a segment that is loaded, and keep what is still needed of it and of those before."""
        lines = b"".join([line_of(record) for record in unfinished])
        try:
            carry_over(self.home, lines)
        except OSError as error:
            with self._lock:
                self._fail(error)
            carry_over(self.home, lines)  # with the room of the spare
        segment(self.home, number).unlink(missing_ok=True)

    # -- the end --------------------------------------------------------------------

    def close(self) -> None:
        """Let go of it. A journal with nothing left in it disappears; another is found by the next loader."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._owed:
            self._recover()
        self.sync()
        with self._lock:
            self.failed, self._closed = f"The journal of {self.node} is closed.", True
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
        (self.home / SPARE).unlink(missing_ok=True)
        if not any(path.stat().st_size for path in self.home.iterdir()):
            remove(self.home)
        os.close(self._held)


def segment(home: Path, number: int) -> Path:
    return home / f"{number:08d}{ENDING}"


def carry_over(home: Path, lines: bytes) -> None:
    """Replace what is carried, in one step."""
    carried, draft = home / CARRIED, home / f"{CARRIED}.draft"
    if not lines:
        carried.unlink(missing_ok=True)
        return
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as stream:
            stream.write(lines)
            stream.flush()
            os.fdatasync(stream.fileno())
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    draft.replace(carried)
    sync_folder(home)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(home: Path) -> None:
    """From the oldest on: what is left when this process is killed here is a journal that began later, in which
    nothing is open that was settled. The lock goes last, so that it stays a journal until then."""
    order = {CARRIED: 0, LOCK: 2}
    for path in sorted(home.iterdir(), key=lambda path: (order.get(path.name, 1), path.name)):
        path.unlink(missing_ok=True)
    home.rmdir()
