"""Rows into the database, many at once: what is there already stays as it is, so that loading twice changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from billing import partitions
from billing.ids import milliseconds_of
from billing.models import Attempt, LedgerEntry, Request
from billing.records import Finished, Record, Settled
from billing.rows import (
    ATTEMPT_COLUMNS,
    CHARGED,
    ENTRY_COLUMNS,
    ESCAPED_NUL,
    REQUEST_COLUMNS,
    Row,
    attempt_row,
    entry_row,
    request_row,
    scrubbed,
)
from billing.spending import Charge, book, charge_of, counted

REQUESTS, ATTEMPTS, ENTRIES = (model._meta.db_table for model in (Request, Attempt, LedgerEntry))
CONFLICT = "ON CONFLICT (id, started_at) DO NOTHING"
PIECE = 500  # rows between two chances for other threads to run
COLUMNS = {REQUESTS: REQUEST_COLUMNS, ATTEMPTS: ATTEMPT_COLUMNS, ENTRIES: ENTRY_COLUMNS}


@dataclass(slots=True)
class Batch:
    """What is stored in one transaction. Without records it is nothing."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: {REQUESTS: [], ATTEMPTS: [], ENTRIES: []})
    months: set[partitions.Month] = field(default_factory=set)
    escaped: bool = True  # some text may have to be escaped for COPY
    charges: list[Charge] = field(default_factory=list)  # of keys: some budget may count them

    def __len__(self) -> int:
        return sum(map(len, self.rows.values()))


class Builder:
    """Turns records into a batch, in pieces, so that nobody waits long for the interpreter. What came from `lines` with
    an escaped NUL in them is scrubbed: it would fail, and looking at every text of every record costs too much."""

    def __init__(self, lines: bytes = ESCAPED_NUL) -> None:
        self.batch = Batch(escaped=any(mark in lines for mark in _TELLING))
        self._clean = ESCAPED_NUL not in lines
        # SQLite keeps text, and Django compares it as text.
        on_sqlite = connection.vendor == "sqlite"
        self._spelling, self._zone = "%Y-%m-%d %H:%M:%S", "" if on_sqlite else "+00:00"
        self._booked_at = timezone.now().strftime(f"{self._spelling}.%f{self._zone}")
        self._seconds: dict[int, str] = {}

    def add(self, records: Iterable[Record]) -> None:
        rows = self.batch.rows
        for record in records:
            if type(record) is Settled:
                moment = self._moment(record.opened.request_id)
                rows[ATTEMPTS].append(attempt_row(record, moment))
                if record.billed in CHARGED:
                    rows[ENTRIES].append(entry_row(record, moment, self._booked_at))
                    charge = charge_of(record)
                    if charge is not None:
                        self.batch.charges.append(charge)
            elif type(record) is Finished:
                rows[REQUESTS].append(request_row(record, self._moment(record.request_id)))
        if not self._clean:
            for table in rows.values():
                table[:] = map(scrubbed, table)

    def _moment(self, request_id: str) -> str:
        """The moment in the id as the database spells it. Many requests begin within the same second."""
        seconds, milliseconds = divmod(milliseconds_of(request_id), 1000)
        spelled = self._seconds.get(seconds)
        if spelled is None:
            second = datetime.fromtimestamp(seconds, tz=UTC)
            self.batch.months.add(partitions.month_of(second))
            spelled = self._seconds[seconds] = second.strftime(self._spelling)
        fraction = f".{milliseconds:03d}000" if milliseconds else ""
        return f"{spelled}{fraction}{self._zone}"


def store(batch: Batch, node: str = "") -> None:
    """All of it or nothing. `node` is whose journal it is from: what was spent was held in its slices."""
    if not batch:
        return
    partitions.make_for(batch.months)
    with transaction.atomic(), connection.cursor() as cursor:
        spent = counted(batch.charges)
        if connection.vendor == "postgresql":
            _copy(cursor, batch)
        else:
            _insert(cursor, batch)
        book(spent, node)


def _insert(cursor: CursorWrapper, batch: Batch) -> None:
    for table, rows in batch.rows.items():
        columns = COLUMNS[table]
        values = ", ".join(["%s"] * len(columns))
        cursor.executemany(
            f"INSERT INTO {table} ({_listed(columns)}) VALUES ({values}) {CONFLICT}",  # noqa: S608
            rows,
        )


def _copy(cursor: CursorWrapper, batch: Batch) -> None:
    """COPY knows no conflicts: through loading tables, of this connection's own and empty again at each commit."""
    cursor.execute("SELECT " + ", ".join(f"to_regclass('pg_temp.loading_{table}')" for table in COLUMNS))
    if None in cursor.fetchone():
        cursor.execute(
            ";".join(
                f"CREATE TEMPORARY TABLE IF NOT EXISTS loading_{table} (LIKE {table}) ON COMMIT DELETE ROWS"
                for table in COLUMNS
            )
        )
    work = []
    for table, rows in batch.rows.items():
        if rows:
            columns = _listed(COLUMNS[table])
            with cursor.copy(f"COPY loading_{table} ({columns}) FROM STDIN") as copy:
                for number in range(0, len(rows), PIECE):
                    copy.write(copied(rows[number : number + PIECE], escaped=batch.escaped))
                    time.sleep(0)  # let the event loop have the interpreter
            work.append(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM loading_{table} {CONFLICT}")  # noqa: S608
            if connection.savepoint_ids:
                work.append(f"DELETE FROM loading_{table}")  # noqa: S608  (the commit is not ours)
    cursor.execute(";".join(work))


def copied(rows: Iterable[Row], *, escaped: bool) -> str:
    """As COPY reads them, all at once: psycopg's own way asks for each value how to write it."""
    lines = []
    for row in rows:
        cells = ["\\N" if cell is None else cell if type(cell) is str else str(cell) for cell in row]
        if escaped:
            cells = [
                text.translate(_ESCAPES) if type(cell) is str else text for cell, text in zip(row, cells, strict=True)
            ]
        lines.append("\t".join(cells))
    lines.append("")
    return "\n".join(lines)


_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
# What is written in JSON without any of these has no text in it that must be escaped for COPY.
_TELLING = (b"\\", b"\t", b"\r")


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)
