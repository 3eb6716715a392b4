"""Journals of processes that have ended: loaded by whoever finds them, and what was open booked as estimated."""

from __future__ import annotations

import pytest

from billing import journal as journals_own
from billing.journal import Journal, segment
from billing.journals import ASIDE, homes
from billing.ledger import Ledger
from billing.loader import Loader, load_left
from billing.models import Attempt, LedgerEntry, Request
from billing.records import Record
from billing.unfinished import CODE
from tests.billing.samples import answered, finished, left_behind, opened, settled, voided

pytestmark = [pytest.mark.store, pytest.mark.django_db]


def test_an_open_attempt_of_a_dead_process_is_estimated(loader: Loader, journal: Journal) -> None:
    begun = opened()
    left_behind(journal.folder, begun)
    assert loader.adopt() == 1
    attempt, entry, request = Attempt.objects.get(), LedgerEntry.objects.get(), Request.objects.get()
    assert (attempt.status, attempt.billed, attempt.error_code) == ("interrupted", "estimated", CODE)
    assert (entry.amount_nano, entry.usage_source, entry.input_tokens) == (900_000, "estimated", 120)
    assert (request.status, request.attempts, request.asked_model) == ("interrupted", 1, "bench:bench-1")
    assert len(homes(journal.folder)) == 1


def test_a_settlement_in_it_counts_and_not_the_estimate(loader: Loader, journal: Journal) -> None:
    begun = opened()
    left_behind(journal.folder, begun, settled(begun))  # cut off before the request's own record
    loader.adopt()
    assert LedgerEntry.objects.get().usage_source == "provider"
    assert Request.objects.get().status == "ok"


def test_a_request_that_died_between_two_attempts(loader: Loader, journal: Journal) -> None:
    first = opened()
    left_behind(journal.folder, first, voided(first))
    loader.adopt()
    assert Request.objects.get().status == "interrupted"
    assert not LedgerEntry.objects.exists()


def test_the_journal_of_a_living_process_is_left_alone(loader: Loader, journal: Journal) -> None:
    other = Journal.open(journal.folder, "node-2")
    other.append(opened())
    assert loader.adopt() == 0
    assert not Attempt.objects.exists()
    other.close()


def test_taken_over_after_it_was_loaded_in_part(loader: Loader, journal: Journal) -> None:
    """kill -9 after the ledger had it: the same records again, and an estimate for what was open only."""
    other = Journal.open(journal.folder, "node-2")
    ledger = Ledger(other)
    done = [answered(ledger) for _ in range(3)]
    running = opened()
    ledger.reserve(running)
    theirs = Loader(other)
    theirs.load()
    answered(ledger)
    other.close()
    loader.adopt()
    assert LedgerEntry.objects.filter(usage_source="provider").count() == len(done) + 1
    assert LedgerEntry.objects.get(usage_source="estimated").attempt_id == running.attempt_id


def test_killed_while_removing_what_is_loaded(
    loader: Loader, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever part of a loaded journal is left: nothing in it is booked again, and nothing otherwise than it was."""
    monkeypatch.setattr(journals_own, "SEGMENT_BYTES", 1_000)
    records: list[Record] = []
    for _ in range(4):
        first = opened()
        second = opened(first.request_id, 2)
        records += [first, voided(first), second, settled(second), finished(first.request_id, attempts=2)]
    home = left_behind(journal.folder, *records)
    kept = {path: path.read_bytes() for path in home.files()}
    loader.adopt()
    before = list(LedgerEntry.objects.order_by("id").values())
    for files in [list(kept)[count:] for count in range(len(kept))] + [[path] for path in kept]:
        home = left_behind(journal.folder, opened())
        for path in home.files():
            path.unlink()
        for path in files:
            path.write_bytes(kept[path])
        loader.adopt()
        assert list(LedgerEntry.objects.order_by("id").values()) == before


def test_a_journal_that_cannot_be_read_is_named_and_kept(loader: Loader, journal: Journal) -> None:
    home = left_behind(journal.folder, opened())
    segment(home.path, 0).mkdir()  # a file that cannot be read
    assert loader.adopt() == 0
    assert loader.unreadable == ("node-9",)
    assert home.path.exists()
    load_left(home, lenient=True)
    assert Attempt.objects.get().billed == "estimated"
    assert (journal.folder / ASIDE / "node-9").is_dir()
    loader.adopt()
    assert loader.unreadable == ()
