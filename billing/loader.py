"""Moves the journal into the ledger: in batches, as often as needed, and only then lets go of what it has read.

A thread of each process that has a journal. When the database is down the journal grows and traffic goes on. Journals
of processes that have ended are taken over at start and once a minute; what they had open is booked as estimated.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, connection
from django.utils import timezone

from billing import attempt_log, partitions, pots
from billing.ids import started_at
from billing.journal import Journal, segment
from billing.journals import SLICE, Home, discard, homes, move_aside, place_of, put_aside, taken, whole_lines
from billing.lines import Damaged, line_of, records_in
from billing.models import Attempt
from billing.records import Finished, Record, Settled
from billing.storing import Batch, Builder, store
from billing.unfinished import Unfinished

log = logging.getLogger(__name__)

TICK_SECONDS = 0.2
BUSY_TICK_SECONDS = 0.5  # when much came in the last one: a transaction costs about the same however many rows it has
BUSY_BYTES = 128 * 1024
LONGEST_WAIT_SECONDS = 2.0  # between two tries when the database is down
ADOPTION_SECONDS = 60.0
IDLE_SECONDS = 5.0  # then what is loaded is dropped, however little it is
WORTH_DROPPING = 1024 * 1024
CLOSE_SECONDS = 5.0
COMPLAINT_SECONDS = 10.0
PIECE = 150  # records between two chances for other threads to run


class Loader:
    """Of one journal, and of those its folder was left with."""

    def __init__(self, journal: Journal) -> None:
        self.unreadable: tuple[str, ...] = ()  # nodes whose journals could not be read when last tried
        self._journal = journal
        self._unfinished = Unfinished()
        self._number = 1
        self._offset = 0
        self._file = -1
        self._fresh_since = self._caught_up_at = time.monotonic()
        self._turn = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loader", daemon=True)
        self._complained = -COMPLAINT_SECONDS

    # -- the thread -----------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop, and load what is left. What cannot be loaded now is left to the next loader of this folder."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        deadline = time.monotonic() + CLOSE_SECONDS
        while True:
            try:
                self.load()
                self._let_go(everything=True)
                break
            except (DatabaseError, InterfaceError, OSError) as error:
                self._complain(error)
                connection.close()
                if time.monotonic() > deadline:
                    break
                time.sleep(TICK_SECONDS)
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        connection.close()

    @property
    def lag_seconds(self) -> float:
        """How old the oldest record is that is not in the ledger, at most."""
        return time.monotonic() - self._caught_up_at if self._journal.unloaded_bytes else 0.0

    def _run(self) -> None:
        wait, adopt_at = 0.0, 0.0
        while not self._stop.wait(wait):
            try:
                loaded = self._journal.loaded_bytes
                self.load()
                busy = self._journal.loaded_bytes - loaded > BUSY_BYTES
                self._let_go()
                if time.monotonic() >= adopt_at:
                    adopt_at = time.monotonic() + ADOPTION_SECONDS
                    partitions.make(partitions.months_from(timezone.now()))
                    self.adopt()
                wait = BUSY_TICK_SECONDS if busy else TICK_SECONDS
            except Exception as error:
                # Whatever it was: a thread that ended here would let the journal grow with nobody to see it.
                self._complain(error)
                connection.close()
                wait = min(max(wait, TICK_SECONDS) * 2, LONGEST_WAIT_SECONDS)
        connection.close()

    def _complain(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._complained >= COMPLAINT_SECONDS:
            self._complained = now
            log.error("the journal is not loaded: %s", error, exc_info=not isinstance(error, DatabaseError | OSError))

    # -- our own journal ------------------------------------------------------------

    def load(self) -> None:
        """Everything that was appended before is in the ledger after. Raises what the database raises."""
        with self._turn:
            began = time.monotonic()
            while self._load_slice():
                pass
            self._caught_up_at = began

    def _load_slice(self) -> bool:
        number, size = self._journal.position()
        behind = number > self._number
        if self._file < 0:
            self._file = os.open(segment(self._journal.home, self._number), os.O_RDONLY | os.O_CLOEXEC)
        end = size if number == self._number else None
        lines = whole_lines(self._file, self._offset, end, size=slice_bytes())
        if lines:
            _load(lines, self._unfinished, self._journal.home)
            self._offset += len(lines)
            self._journal.loaded_bytes += len(lines)
            self._fresh_since = time.monotonic()
        elif behind:
            self._next_segment()
        return bool(lines) or behind

    def _next_segment(self) -> None:
        self._journal.drop(self._number, self._unfinished.records())
        os.close(self._file)
        self._file = -1
        self._number, self._offset = self._number + 1, 0

    def _let_go(self, everything: bool = False) -> None:
        """Drop what is loaded of the segment that is being written to, now and then."""
        with self._turn:
            idle = time.monotonic() - self._fresh_since > IDLE_SECONDS
            if self._offset and (everything or idle or self._offset >= WORTH_DROPPING):
                self._journal.rotate()
                while self._load_slice():
                    pass

    # -- what others have left --------------------------------------------------------

    def adopt(self) -> int:
        """Load the journals in this folder whose processes have ended, and remove them. How many there were."""
        count, unreadable = 0, []
        for home in homes(self._journal.folder):
            if home.path == self._journal.home:
                continue
            with taken(home) as got:
                if not got:
                    continue
                try:
                    load_left(home)
                except OSError as error:
                    unreadable.append(home.node)
                    log.error("the journal of %s cannot be read: %s", home.node, error)
                else:
                    count += 1
        self.unreadable = tuple(unreadable)
        living = {home.node for home in homes(self._journal.folder)}
        pots.sweep(place_of(self._journal.folder), living, time.time())
        return count


def load_left(home: Home, *, lenient: bool = False) -> int:
    """The journal of a process that has ended, whose lock the caller holds. How many requests were booked as estimated.
    When `lenient`, a file that cannot be read is passed over, and the journal is set aside instead of removed."""
    unfinished, passed_over = Unfinished(), False
    for path in home.files():
        try:
            _load_file(path, unfinished, home.path)
        except OSError as error:
            if not lenient:
                raise
            passed_over = True
            log.error("passed over %s: %s", path, error.strerror)
    endings = unsettled(unfinished.endings())
    builder = Builder()
    builder.add(endings)
    _store(builder.batch, endings, home.path)
    if endings:
        log.warning("%s ended with %d requests open: booked as estimated", home.node, len(unfinished))
    if passed_over:
        pots.free_node(home.node)
        log.error("what could not be read of %s is in %s", home.node, move_aside(home))
    else:
        pots.free_node(home.node)
        discard(home)
    return len(unfinished)


def unsettled(endings: Sequence[Settled | Finished]) -> list[Settled | Finished]:
    """Without attempts that are in the ledger: what an attempt came to is said once."""
    ids = [record.opened.attempt_id for record in endings if isinstance(record, Settled)]
    there = set(Attempt.objects.filter(id__in=ids, started_at__in=map(started_at, ids)).values_list("id", flat=True))
    return [record for record in endings if isinstance(record, Finished) or record.opened.attempt_id not in there]


def _load_file(path: Path, unfinished: Unfinished, home: Path) -> None:
    offset = 0
    with path.open("rb", buffering=0) as file:
        while lines := whole_lines(file.fileno(), offset, size=slice_bytes()):
            _load(lines, unfinished, home)
            offset += len(lines)
        torn = os.fstat(file.fileno()).st_size - offset
    if torn:
        log.warning("%s ends with %d bytes of a record that was never whole", path, torn)


# -- a slice ----------------------------------------------------------------------------


def slice_bytes() -> int:
    """Small on SQLite, where a batch keeps every other writer waiting."""
    return SLICE if connection.vendor == "sqlite" else 4 * SLICE


def _load(lines: bytes, unfinished: Unfinished, home: Path) -> None:
    builder = Builder(lines)
    records: list[Record] = []
    found = iter(records_in(lines))
    while piece := list(islice(found, PIECE)):
        whole = [record for record in piece if not isinstance(record, Damaged)]
        if len(whole) < len(piece):
            _set_aside(home, [record.line + b"\n" for record in piece if isinstance(record, Damaged)], "damaged")
        builder.add(whole)
        records += whole
        time.sleep(0)  # let the event loop have the interpreter
    _store(builder.batch, records, home)
    if settings.ATTEMPT_LOG:
        attempt_log.write(records)
    for record in records:
        unfinished.take(record)


def _store(batch: Batch, records: Sequence[Record], home: Path) -> None:
    try:
        store(batch, home.name)
    except (DataError, IntegrityError):
        # One of them is not to be had in the database. The others must not wait for it.
        for record in records:
            _store_alone(record, home)


def _store_alone(record: Record, home: Path) -> None:
    builder = Builder()
    builder.add([record])
    try:
        store(builder.batch, home.name)
    except (DataError, IntegrityError) as error:
        _set_aside(home, [line_of(record)], str(error).splitlines()[0])


def _set_aside(home: Path, lines: list[bytes], why: str) -> None:
    path = put_aside(home.parent, home.name, b"".join(lines))
    log.error("%d of its records: %s. They are not in the ledger, but in %s", len(lines), why, path)
