"""From the journal to the ledger: everything once, whatever happens in between."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import msgspec
import pytest
from django.db import DatabaseError, connection, transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as trying
from hypothesis import strategies as st

from billing import journal as journals_own
from billing import loader as loaders_own
from billing.ids import new_request_id, started_at
from billing.journal import Journal, segment
from billing.journals import ASIDE, Home, homes
from billing.ledger import Ledger
from billing.lines import line_of
from billing.loader import Loader, load_left
from billing.models import Attempt, LedgerEntry, Request
from billing.records import Finished, Opened, Record, Settled
from billing.storing import COLUMNS, Builder, store
from billing.unfinished import Unfinished
from tests.billing.samples import DECISION, answered, finished, left_behind, opened, settled, voided
from tests.house import wait_until

pytestmark = [pytest.mark.store, pytest.mark.django_db]


# -- rows ---------------------------------------------------------------------------


def test_an_answered_request_is_three_rows(ledger: Ledger, loader: Loader) -> None:
    record = answered(ledger)
    loader.load()
    begun = record.opened
    request, attempt, entry = Request.objects.get(), Attempt.objects.get(), LedgerEntry.objects.get()
    assert (request.id, request.status, request.team_id, request.attempts) == (begun.request_id, "ok", 1, 1)
    assert request.decision == msgspec.json.decode(DECISION)
    assert (attempt.id, attempt.billed, attempt.upstream_id) == (begun.attempt_id, "provider", "chatcmpl-1")
    assert (entry.id, entry.kind, entry.amount_nano, entry.price_id) == (
        f"{begun.attempt_id}/charge/0",
        "charge",
        123_456,
        5,
    )
    assert (entry.input_tokens, entry.cached_tokens, entry.output_tokens) == (100, 20, 50)
    assert request.started_at == attempt.started_at == entry.started_at == started_at(begun.request_id)


@given(st.integers(0, 2**42))
def test_a_moment_is_spelled_as_django_spells_it(milliseconds: int) -> None:
    record = finished(new_request_id(milliseconds))
    builder = Builder()
    builder.add([record])
    ((_, spelled, *_),) = builder.batch.rows["billing_request"]
    expected = started_at(record.request_id)
    if connection.vendor == "sqlite":
        assert spelled == str(connection.ops.adapt_datetimefield_value(expected))
    else:
        assert datetime.fromisoformat(spelled) == expected


def test_django_finds_rows_by_their_key(ledger: Ledger, loader: Loader) -> None:
    """Also those of a whole second, which SQLite spells without a fraction."""
    for milliseconds in (1_795_000_000_000, 1_795_000_000_120):
        begun = opened(f"req_{milliseconds << 80 | 7 << 76 | 2 << 62:032x}")
        ledger.settle(settled(begun), finished(begun.request_id))
        loader.load()
        assert Request.objects.get(pk=(begun.request_id, started_at(begun.request_id)))
        assert Request.objects.filter(started_at__lte=started_at(begun.request_id)).exists()


@pytest.mark.parametrize("billed", ["voided", "ambiguous"])
def test_what_was_not_answered_costs_nothing(ledger: Ledger, loader: Loader, billed: str) -> None:
    ledger.settle(voided(billed=billed))
    loader.load()
    assert Attempt.objects.get().billed == billed
    assert not LedgerEntry.objects.exists()


def test_without_a_price_there_is_no_amount(ledger: Ledger, loader: Loader) -> None:
    ledger.settle(settled(opened(price_id=None, currency=""), amount_nano=None, formula=""))
    loader.load()
    entry = LedgerEntry.objects.get()
    assert (entry.amount_nano, entry.price_id, entry.currency) == (None, None, "")


def test_a_fallback_is_two_attempts_and_one_charge(ledger: Ledger, loader: Loader) -> None:
    first = opened()
    second = opened(first.request_id, 2, provider="other")
    ledger.reserve(first)
    ledger.settle(voided(first))
    ledger.reserve(second)
    ledger.settle(settled(second), finished(first.request_id, attempts=2, provider="other"))
    loader.load()
    assert list(Attempt.objects.order_by("number").values_list("billed", flat=True)) == ["voided", "provider"]
    assert LedgerEntry.objects.get().attempt_id == second.attempt_id
    assert Request.objects.get().attempts == 2


def test_a_request_without_any_attempt_has_its_row(ledger: Ledger, loader: Loader) -> None:
    ledger.finish(finished(opened().request_id, status="failed", error_code="model_not_found", attempts=0))
    loader.load()
    assert Request.objects.get().error_code == "model_not_found"
    assert not Attempt.objects.exists()


def test_the_columns_are_those_of_the_models() -> None:
    builder = Builder()
    record = settled()
    builder.add([record, finished(record.opened.request_id)])
    for table, (row,) in builder.batch.rows.items():
        assert len(row) == len(COLUMNS[table])


# -- once ----------------------------------------------------------------------------


def test_loading_twice_changes_nothing(ledger: Ledger, journal: Journal, loader: Loader) -> None:
    for _ in range(5):
        answered(ledger)
    loader.load()
    before = list(LedgerEntry.objects.order_by("id").values())
    Loader(journal).load()  # as after kill -9 between loading and dropping
    assert list(LedgerEntry.objects.order_by("id").values()) == before
    assert (Request.objects.count(), Attempt.objects.count(), len(before)) == (5, 5, 5)


def test_nothing_is_dropped_before_it_is_loaded(ledger: Ledger, journal: Journal, loader: Loader) -> None:
    answered(ledger)
    journal.rotate()
    assert segment(journal.home, 1).exists()
    loader.load()
    assert not segment(journal.home, 1).exists()
    assert journal.unloaded_bytes == 0


def test_an_attempt_that_runs_is_carried_over(
    ledger: Ledger, journal: Journal, loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals_own, "SEGMENT_BYTES", 2_000)
    long = opened(streamed=True)
    ledger.reserve(long)
    for _ in range(20):
        answered(ledger)
        loader.load()
    assert next(record for record in Home(journal.home).records() if isinstance(record, Opened)) == long
    assert len(Home(journal.home).files()) <= 3
    assert not Attempt.objects.filter(request_id=long.request_id).exists()
    ledger.settle(settled(long), finished(long.request_id))
    loader.load()
    assert Attempt.objects.get(request_id=long.request_id).billed == "provider"
    assert LedgerEntry.objects.count() == 21


@contextmanager
def broken_database() -> Iterator[None]:
    """For everybody: a table is away."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_request RENAME TO billing_request_away")
    yield
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_request_away RENAME TO billing_request")


def test_what_cannot_be_loaded_stays_in_the_journal(ledger: Ledger, journal: Journal, loader: Loader) -> None:
    with broken_database():
        for _ in range(2):
            answered(ledger)
            with pytest.raises(DatabaseError), transaction.atomic():
                loader.load()
        assert journal.unloaded_bytes == Home(journal.home).size() > 0
        assert loader.lag_seconds > 0
    loader.load()
    assert LedgerEntry.objects.count() == 2
    assert (journal.unloaded_bytes, loader.lag_seconds) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_the_thread_goes_on_when_the_database_is_back(
    ledger: Ledger, journal: Journal, loader: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    left_behind(journal.folder, opened())
    with broken_database():
        answered(ledger)
        loader.start()
        wait_until(lambda: "the journal is not loaded" in caplog.text)
        answered(ledger)
    wait_until(lambda: not journal.unloaded_bytes)
    wait_until(lambda: len(homes(journal.folder)) == 1)
    answered(ledger)
    loader.close()
    journal.close()
    assert homes(journal.folder) == []
    assert Counter(LedgerEntry.objects.values_list("usage_source", flat=True)) == {"provider": 3, "estimated": 1}


@pytest.mark.django_db(transaction=True)
def test_closing_without_a_database_leaves_it_to_the_next(
    ledger: Ledger, journal: Journal, loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaders_own, "CLOSE_SECONDS", 0.0)
    with broken_database():
        record = answered(ledger)
        loader.close()
        journal.close()
    (home,) = homes(journal.folder)
    assert not home.is_held()
    load_left(home)
    assert LedgerEntry.objects.get().attempt_id == record.opened.attempt_id


# -- what the database does not take ---------------------------------------------------------


def test_text_of_any_kind_is_taken(ledger: Ledger, loader: Loader) -> None:
    begun = opened(asked_model="a\x00b" * 200, provider="p" * 100)
    wild = "\x00" + "é😀\\\t\n" * 200
    ledger.settle(
        settled(begun, error_message=wild, upstream_id=wild, formula=wild, usage=(10**30, 0, 0, 0, 0, 0)),
        finished(
            begun.request_id,
            asked_model="a\x00b" * 200,
            client_request_id=wild,
            warnings=(wild,),
            decision=msgspec.Raw(b'{"reason":"a\\u0000b \\\\u0000"}'),
        ),
    )
    loader.load()
    request, attempt = Request.objects.get(), Attempt.objects.get()
    assert attempt.error_message == wild.replace("\x00", "\ufffd")[:500]
    assert (len(attempt.upstream_id), len(request.asked_model)) == (200, 300)
    assert request.decision == {"reason": "a\ufffdb \\u0000"}
    assert request.warnings == [wild.replace("\x00", "\ufffd")]
    assert LedgerEntry.objects.get().input_tokens == 2**63 - 1


@pytest.mark.parametrize(
    "decision", [b'{"reason":\t"tab"}', b'{"reason":\r\n"ends"}', b'{"reason":"\\"\\\\N\\t"}', b'{"reason":"plain"}']
)
def test_a_decision_however_it_is_written_is_taken(ledger: Ledger, loader: Loader, decision: bytes) -> None:
    ledger.finish(finished(new_request_id(), decision=msgspec.Raw(decision), client_request_id="\\N"))
    ledger.finish(finished(new_request_id(), decision=msgspec.Raw(decision), client_request_id=""))
    loader.load()
    for request in Request.objects.all():
        assert request.decision == msgspec.json.decode(decision)
    assert set(Request.objects.values_list("client_request_id", flat=True)) == {"\\N", ""}


def test_one_impossible_record_does_not_hold_up_the_rest(
    ledger: Ledger, journal: Journal, loader: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    answered(ledger)
    impossible = opened()
    ledger.settle(settled(impossible, duration_ms=-1))
    answered(ledger)
    loader.load()
    assert LedgerEntry.objects.count() == 2
    kept = journal.folder / ASIDE / "node-1.journal"
    assert impossible.attempt_id.encode() in kept.read_bytes()
    assert "not in the ledger, but in" in caplog.text
    assert "damaged." not in caplog.text


def test_damage_is_kept_and_told(ledger: Ledger, journal: Journal, loader: Loader) -> None:
    answered(ledger)
    answered(ledger)
    path = segment(journal.home, 1)
    written = bytearray(path.read_bytes())
    written[40] ^= 1
    path.write_bytes(written)
    loader.load()
    assert LedgerEntry.objects.count() == 2  # only the opening of the first is damaged
    assert (journal.folder / ASIDE / "node-1.journal").read_bytes() == written.splitlines(keepends=True)[0]


# -- in any order, any number of times ---------------------------------------------------------


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    """Requests with some attempts each, cut off anywhere."""
    records: list[Record] = []
    for _ in range(draw(st.integers(1, 4))):
        begun = opened()
        story: list[Record] = []
        for number in range(1, draw(st.integers(1, 3)) + 1):
            each = opened(begun.request_id, number)
            story += [each, draw(st.sampled_from([settled, voided]))(each)]
        story.append(finished(begun.request_id, attempts=len(story) // 2))
        records += story[: draw(st.integers(1, len(story)))]
    return records


@trying(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(histories(), st.data())
def test_each_record_once_gives_the_same_rows_as_many_times(records: list[Record], data: st.DataObject) -> None:
    def load(portion: list[Record]) -> None:
        builder = Builder()
        builder.add(portion)
        store(builder.batch)

    order = data.draw(st.permutations(records + data.draw(st.lists(st.sampled_from(records), max_size=5))))
    cut = data.draw(st.integers(0, len(order)))
    load(order[:cut])
    load(order[cut:])
    load(order)
    ids = {record.opened.attempt_id: record for record in records if isinstance(record, Settled)}
    charged = {attempt_id for attempt_id, record in ids.items() if record.billed == "provider"}
    moments = {started_at(attempt_id) for attempt_id in ids}
    assert set(Attempt.objects.filter(started_at__in=moments, id__in=ids).values_list("id", flat=True)) == set(ids)
    entries = LedgerEntry.objects.filter(attempt_id__in=ids)
    assert sorted(entries.values_list("attempt_id", flat=True)) == sorted(charged)


@given(histories())
def test_reading_again_from_what_is_carried_changes_nothing(records: list[Record]) -> None:
    first = Unfinished()
    for record in records:
        first.take(record)
    again = Unfinished()
    for record in [*first.records(), *records, *first.records()]:
        again.take(record)
    assert {line_of(record) for record in again.endings()} == {line_of(record) for record in first.endings()}
    ended = {record.request_id for record in records if isinstance(record, Finished)}
    assert first.request_ids() == {_request_of(record) for record in records} - ended


def _request_of(record: Record) -> str:
    return record.opened.request_id if isinstance(record, Settled) else record.request_id


def test_on_postgres_a_batch_is_no_more_than_a_few_questions(ledger: Ledger, loader: Loader) -> None:
    from django.test.utils import CaptureQueriesContext

    answered(ledger)
    loader.load()
    for _ in range(100):
        answered(ledger)
    with CaptureQueriesContext(connection) as asked:
        loader.load()
    assert len(asked) <= 12
    assert LedgerEntry.objects.count() == 101
