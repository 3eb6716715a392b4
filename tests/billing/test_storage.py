"""What the database itself guards: months in partitions on Postgres, and a ledger that only grows."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from billing import append_only, partitions
from billing.ids import new_request_id, started_at
from billing.models import Attempt, LedgerEntry, Request
from billing.records import Settled
from billing.storing import Builder, store
from tests.billing.samples import finished, opened, settled

pytestmark = pytest.mark.store

on_postgres = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no partitions")


def book(request_id: str = "", *, demo: bool = False) -> Settled:
    record = settled(opened(request_id, demo=demo))
    builder = Builder()
    builder.add([record, finished(record.opened.request_id, demo=demo)])
    store(builder.batch)
    return record


def id_of(moment: datetime) -> str:
    return new_request_id(int(moment.timestamp() * 1000))


@pytest.mark.django_db
def test_an_entry_cannot_be_changed_or_deleted() -> None:
    book()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        LedgerEntry.objects.update(amount_nano=1)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        LedgerEntry.objects.all().delete()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM billing_ledgerentry")
    assert LedgerEntry.objects.get().amount_nano == 123_456


@pytest.mark.django_db
def test_demonstration_rows_may_go() -> None:
    book(demo=True)
    real = book()
    assert LedgerEntry.objects.real().count() == 1
    LedgerEntry.objects.filter(demo=True).delete()
    assert LedgerEntry.objects.get().attempt_id == real.opened.attempt_id
    book(demo=True)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        LedgerEntry.objects.filter(demo=True).update(amount_nano=1)


@pytest.mark.django_db(transaction=True)
def test_emptying_the_tables_is_refused_while_there_is_money_in_them() -> None:
    book()
    with pytest.raises(Exception, match=r"append-only|couldn't be flushed"):
        call_command("flush", interactive=False, verbosity=0)
    assert LedgerEntry.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_tests_that_commit_start_with_an_empty_ledger() -> None:
    assert not LedgerEntry.objects.exists()
    book()
    append_only.lift(connection)
    LedgerEntry.objects.all().delete()
    append_only.protect(connection)
    book()
    with pytest.raises(DatabaseError, match="append-only"):
        LedgerEntry.objects.all().delete()


@pytest.mark.django_db
@on_postgres
def test_records_lie_in_the_partition_of_their_month() -> None:
    for month in (datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC), datetime(2031, 12, 31, 12, tzinfo=UTC)):
        record = book(id_of(month))
        for model in (Request, Attempt, LedgerEntry):
            with connection.cursor() as cursor:
                table = model._meta.db_table
                cursor.execute(
                    f"SELECT tableoid::regclass::text FROM {table} WHERE started_at = %s",
                    [started_at(record.opened.request_id)],
                )
                assert cursor.fetchall() == [(f"{table}_{month:%Y_%m}",)]


@pytest.mark.django_db
@on_postgres
def test_a_partition_is_guarded_like_the_whole() -> None:
    book(id_of(datetime(2029, 5, 5, tzinfo=UTC)))
    for statement in (
        "UPDATE billing_ledgerentry_2029_05 SET amount_nano = 0",
        "DELETE FROM billing_ledgerentry_2029_05",
        "TRUNCATE billing_ledgerentry",
    ):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


@pytest.mark.django_db
@on_postgres
def test_partitions_have_the_indexes_of_the_whole() -> None:
    partitions.make([(2030, 2)])
    with connection.cursor() as cursor:
        for table in partitions.TABLES:
            cursor.execute("SELECT count(*) FROM pg_indexes WHERE tablename = %s", [table])
            whole = cursor.fetchone()
            cursor.execute("SELECT count(*) FROM pg_indexes WHERE tablename = %s", [f"{table}_2030_02"])
            assert cursor.fetchone() == whole


@pytest.mark.django_db
@on_postgres
def test_what_is_in_the_default_partition_stays_there(caplog: pytest.LogCaptureFixture) -> None:
    """A row that came before its month had a partition is no reason to refuse those that follow."""
    moment = datetime(2033, 3, 3, tzinfo=UTC)
    Attempt.objects.create(
        id=f"{id_of(moment)}-1", started_at=moment, request_id=id_of(moment), number=1, status="ok", billed="provider"
    )
    partitions.make([(2033, 3)])
    assert "no partition billing_attempt_2033_03" in caplog.text
    book(id_of(moment))
    assert Attempt.objects.filter(started_at__year=2033).count() == 2


def test_months_go_on_over_the_year() -> None:
    assert partitions.months_from(datetime(2026, 11, 30, 23, tzinfo=UTC)) == [(2026, 11), (2026, 12), (2027, 1)]
