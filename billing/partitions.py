"""On Postgres the three record tables live in monthly partitions: made ahead, and for any month a record comes from.

A default partition takes what comes for a month that has none, so that nothing is ever refused for it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime

from django.db import DatabaseError, connection, transaction

from billing.models import Attempt, LedgerEntry, Request

log = logging.getLogger(__name__)

TABLES = tuple(model._meta.db_table for model in (Request, Attempt, LedgerEntry))
AHEAD = 2  # months after this one

Month = tuple[int, int]

# A table that is attached holds up nobody; one that is created as a partition would wait for every reader.
_CREATE = "CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
_ATTACH = "ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{end}')"


def month_of(moment: datetime) -> Month:
    return moment.year, moment.month


def months_from(now: datetime, ahead: int = AHEAD) -> list[Month]:
    """The month of `now` and those after it."""
    month = month_of(now.astimezone(UTC))
    months = [month]
    for _ in range(ahead):
        month = _next(month)
        months.append(month)
    return months


_known: set[Month] = set()  # what this process has seen to; the default partition catches the rest


def make_for(months: set[Month]) -> None:
    """Of the records of a batch; asks the database once for each month in the life of a process."""
    if not months <= _known:
        make(months)
        _known.update(months)


def make(months: Iterable[Month]) -> None:
    """Let each of the tables have a partition for each of these months. Nothing to do on SQLite."""
    if connection.vendor != "postgresql":
        return
    there = _there()
    for month in months:
        for table in TABLES:
            if _name(table, month) not in there:
                _make(table, month)


def _make(table: str, month: Month) -> None:
    name = _name(table, month)
    words = {"table": table, "name": name, "start": _start(month), "end": _start(_next(month))}
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            # Two processes come here in the same second of the month: the second one finds it done.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", ["relayhouse partitions"])
            cursor.execute("SELECT to_regclass(%s)", [name])
            if cursor.fetchone()[0] is None:
                cursor.execute(_CREATE.format(**words))
                cursor.execute(_ATTACH.format(**words))
    except DatabaseError as error:
        if not connection.is_usable():
            raise
        # Records of that month are in the default partition already, or somebody holds a lock on it. They go there.
        log.warning("no partition %s: %s", name, error)


def _there() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = ANY(%s::regclass[])",
            [list(TABLES)],
        )
        return {name for (name,) in cursor.fetchall()}


def _name(table: str, month: Month) -> str:
    return f"{table}_{month[0]:04d}_{month[1]:02d}"


def _next(month: Month) -> Month:
    year, number = month
    return (year + 1, 1) if number == 12 else (year, number + 1)


def _start(month: Month) -> str:
    return f"{month[0]:04d}-{month[1]:02d}-01 00:00:00+00"
