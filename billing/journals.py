"""The journals in a folder as anybody may read them: whose they are, whether their process lives, what they hold.

Whoever gets a journal's lock knows that its process has ended, however it ended, and is the only one to load it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from billing.journal import CARRIED, ENDING, LOCK, remove
from billing.lines import Damaged, records_in
from billing.records import Record

SLICE = 224 * 1024  # bytes read at once; the shortest records in it make fewer than 2,000 rows, typical ones 600
PLACE = ".place"  # beside the folder
ASIDE = ".damaged"  # what could not be read or booked is kept here for people to look at


@dataclass(frozen=True, slots=True)
class Home:
    """Where one journal lies."""

    path: Path

    @property
    def node(self) -> str:
        return self.path.name

    def files(self) -> list[Path]:
        """In the order in which they must be read."""
        segments = sorted(path for path in self.path.glob(f"*{ENDING}") if path.name != CARRIED)
        carried = self.path / CARRIED
        return [carried, *segments] if carried.exists() else segments

    def is_held(self) -> bool:
        """Whether its process lives."""
        with _locked(self.path, fcntl.LOCK_SH) as got:
            return not got and (self.path / LOCK).exists()

    def size(self) -> int:
        return sum(path.stat().st_size for path in self.files())

    def records(self, about: Container[str] | None = None) -> Iterator[Record | Damaged]:
        """Everything in it now; with `about`, only of these requests. A file dropped meanwhile was loaded before."""
        for path in self.files():
            try:
                with path.open("rb", buffering=0) as file:
                    offset = 0
                    while lines := whole_lines(file.fileno(), offset):
                        offset += len(lines)
                        yield from records_in(lines, about)
            except FileNotFoundError:
                continue


def place_of(folder: Path) -> str:
    """The folder's own name, whatever the machine or the container is called: who has taken something there says so."""
    path = folder.with_suffix(PLACE)
    try:
        return path.read_text()
    except FileNotFoundError:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = folder.with_suffix(f"{PLACE}.{secrets.token_hex(8)}")
        draft.write_text(secrets.token_hex(16))
        with suppress(FileExistsError):
            os.link(draft, path)  # whole, and once
        draft.unlink()
        return path.read_text()


def homes(folder: Path) -> list[Home]:
    if not folder.is_dir():
        return []
    return [Home(path) for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]


@contextmanager
def taken(home: Home) -> Iterator[bool]:
    """Whether it could be taken over: its process has ended and nobody else is at it."""
    with _locked(home.path, fcntl.LOCK_EX) as got:
        yield got


@contextmanager
def _locked(path: Path, how: int) -> Iterator[bool]:
    try:
        lock = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        # Somebody has loaded and removed it, or was stopped just before the last step.
        with suppress(OSError):
            path.rmdir()
        yield False
        return
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        # Removed between opening and locking: then it is a lock on nothing.
        yield os.fstat(lock).st_nlink > 0
    finally:
        os.close(lock)


def whole_lines(file: int, offset: int, end: int | None = None, *, size: int = SLICE) -> bytes:
    """About so many bytes of lines from there on, up to `end`; none when there is no whole line."""
    while True:
        wanted = size if end is None else min(size, end - offset)
        found = os.pread(file, wanted, offset)
        cut = found.rfind(b"\n") + 1
        if cut or len(found) < size:
            return found[:cut]
        size *= 2  # a line longer than that: some decision


def put_aside(folder: Path, node: str, lines: bytes) -> Path:
    """Keep what the ledger does not take."""
    aside = folder / ASIDE
    aside.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = aside / f"{node}{ENDING}"
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "ab") as stream:
        stream.write(lines)
        stream.flush()
        os.fdatasync(file)
    return path


def set_aside(folder: Path) -> list[Path]:
    """What people must look at."""
    aside = folder / ASIDE
    return sorted(aside.iterdir()) if aside.is_dir() else []


def discard(home: Home) -> None:
    """Everything in it is in the ledger."""
    remove(home.path)


def move_aside(home: Home) -> Path:
    """Keep the whole of it, away from where loaders look."""
    aside = home.path.parent / ASIDE
    aside.mkdir(mode=0o700, parents=True, exist_ok=True)
    return home.path.rename(aside / home.node)
