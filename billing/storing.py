"""Rows into the database, many at once: what is there already stays as it is, so that loading twice changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from billing import partitions
from billing.ids import started_at
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
    moment_for,
    request_row,
    scrubbed,
)

REQUESTS, ATTEMPTS, ENTRIES = (model._meta.db_table for model in (Request, Attempt, LedgerEntry))
COLUMNS = {REQUESTS: REQUEST_COLUMNS, ATTEMPTS: ATTEMPT_COLUMNS, ENTRIES: ENTRY_COLUMNS}


@dataclass(slots=True)
class Batch:
    """What is stored in one transaction. Without records it is nothing."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: {REQUESTS: [], ATTEMPTS: [], ENTRIES: []})
    months: set[partitions.Month] = field(default_factory=set)

    def __len__(self) -> int:
        return sum(map(len, self.rows.values()))


class Builder:
    """Turns records into a batch, in pieces, so that nobody waits long for the interpreter. What came from `lines` with
    an escaped NUL in them is scrubbed: it would fail, and looking at every text of every record costs too much."""

    def __init__(self, lines: bytes = ESCAPED_NUL) -> None:
        self.batch = Batch()
        self._clean = ESCAPED_NUL not in lines
        self._spelled = moment_for(connection.vendor)
        self._booked_at = self._spelled(timezone.now())
        self._moments: dict[str, str] = {}

    def add(self, records: Iterable[Record]) -> None:
        rows = self.batch.rows
        for record in records:
            if type(record) is Settled:
                moment = self._moment(record.opened.request_id)
                rows[ATTEMPTS].append(attempt_row(record, moment))
                if record.billed in CHARGED:
                    rows[ENTRIES].append(entry_row(record, moment, self._booked_at))
            elif type(record) is Finished:
                rows[REQUESTS].append(request_row(record, self._moment(record.request_id)))
        if not self._clean:
            for table in rows.values():
                table[:] = map(scrubbed, table)

    def _moment(self, request_id: str) -> str:
        spelled = self._moments.get(request_id)
        if spelled is None:
            began = started_at(request_id)
            self.batch.months.add(partitions.month_of(began))
            spelled = self._moments[request_id] = self._spelled(began)
        return spelled


def store(batch: Batch) -> None:
    """All of it or nothing."""
    if not batch:
        return
    partitions.make_for(batch.months)
    put = _copy if connection.vendor == "postgresql" else _insert
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            _make_loading_tables(cursor)
        for table, rows in batch.rows.items():
            if rows:
                put(cursor, table, rows)


def _insert(cursor: CursorWrapper, table: str, rows: Sequence[Row]) -> None:
    columns = COLUMNS[table]
    values = ", ".join(["%s"] * len(columns))
    cursor.executemany(
        f"INSERT INTO {table} ({_listed(columns)}) VALUES ({values}) ON CONFLICT (id, started_at) DO NOTHING",  # noqa: S608
        rows,
    )


def _make_loading_tables(cursor: CursorWrapper) -> None:
    """Of this connection's own, empty again at each commit."""
    cursor.execute("SELECT " + ", ".join(f"to_regclass('pg_temp.loading_{table}')" for table in COLUMNS))
    if None in cursor.fetchone():
        for table in COLUMNS:
            cursor.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS loading_{table} (LIKE {table}) ON COMMIT DELETE ROWS")


def _copy(cursor: CursorWrapper, table: str, rows: Sequence[Row]) -> None:
    """COPY knows no conflicts: through a loading table."""
    columns = _listed(COLUMNS[table])
    loading = f"loading_{table}"
    with cursor.copy(f"COPY {loading} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    cursor.execute(
        f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {loading} ON CONFLICT (id, started_at) DO NOTHING"  # noqa: S608
    )
    if connection.in_atomic_block and len(connection.savepoint_ids):
        cursor.execute(f"DELETE FROM {loading}")  # noqa: S608  (this transaction goes on)


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)
