"""`manage.py ledger` and `manage.py journal`: what people and scripts are told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing import append_only
from billing.ids import new_request_id, started_at
from billing.journal import LOCK, Journal, segment
from billing.journals import ASIDE
from billing.ledger import Ledger
from billing.loader import Loader
from billing.models import Attempt, LedgerEntry, Request
from billing.records import Opened
from tests.billing.samples import finished, opened, settled, voided

pytestmark = [pytest.mark.store, pytest.mark.django_db]

Manage = Callable[..., tuple[str, str]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.JOURNAL_FOLDER = tmp_path / "journal"
    return tmp_path / "journal"


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    journal = Journal.open(folder, "node-1")
    yield journal
    journal.close()


@pytest.fixture
def ledger(journal: Journal) -> Ledger:
    return Ledger(journal)


@pytest.fixture
def manage() -> Manage:
    """Runs a command; its standard output and standard error."""

    def run(*words: str) -> tuple[str, str]:
        out, err = StringIO(), StringIO()
        try:
            call_command(*words, stdout=out, stderr=err)
        except CommandError as error:
            error.args = (f"{error}\n{out.getvalue()}{err.getvalue()}",)
            raise
        return out.getvalue(), err.getvalue()

    return run


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def fallen_back(ledger: Ledger) -> Opened:
    """A request with a voided attempt and an answered one."""
    first = opened()
    second = opened(first.request_id, 2, provider="other")
    ledger.reserve(first)
    ledger.settle(voided(first))
    ledger.reserve(second)
    ledger.settle(settled(second), finished(first.request_id, attempts=2))
    return first


# -- show -----------------------------------------------------------------------------


@pytest.mark.parametrize("loaded", [False, True])
def test_a_charge_is_one_line_whether_loaded_or_not(
    ledger: Ledger, journal: Journal, manage: Manage, loaded: bool
) -> None:
    begun = fallen_back(ledger)
    if loaded:
        Loader(journal).load()
    (line,) = lines(manage("ledger", "show", begun.request_id)[0])
    assert line == {
        "request_id": begun.request_id,
        "attempt": 2,
        "kind": "charge",
        "sequence": 0,
        "status": "ok",
        "billed": "provider",
        "provider": "other",
        "model": "bench-1",
        "usage": {"input": 100, "cached": 20, "cache_write": 0, "output": 50, "reasoning": 0, "audio": 0},
        "amount_nano": 123_456,
        "currency": "USD",
        "price_id": 5,
        "usage_source": "provider",
        "formula": "(100 input x 2.5) / 1M = 0.00025 USD",
    }


@pytest.mark.parametrize("loaded", [False, True])
def test_attempts_that_cost_nothing_are_shown_when_asked_for(
    ledger: Ledger, journal: Journal, manage: Manage, loaded: bool
) -> None:
    begun = fallen_back(ledger)
    if loaded:
        Loader(journal).load()
    first, second = lines(manage("ledger", "show", begun.request_id, "--attempts")[0])
    assert (first["attempt"], first["kind"], first["billed"], first["amount_nano"]) == (1, None, "voided", None)
    assert (second["attempt"], second["kind"]) == (2, "charge")


def test_an_adjustment_is_a_line_of_its_own(ledger: Ledger, journal: Journal, manage: Manage) -> None:
    begun = opened()
    ledger.settle(settled(begun), finished(begun.request_id))
    Loader(journal).load()
    LedgerEntry.objects.create(
        id=f"{begun.attempt_id}/adjustment/1",
        started_at=started_at(begun.request_id),
        booked_at=timezone.now(),
        request_id=begun.request_id,
        attempt_id=begun.attempt_id,
        kind="adjustment",
        sequence=1,
        usage_source="provider",
        amount_nano=-456,
    )
    charge, adjustment = lines(manage("ledger", "show", begun.request_id)[0])
    assert (charge["kind"], adjustment["kind"], adjustment["amount_nano"]) == ("charge", "adjustment", -456)
    assert "adjustments: 1" in manage("ledger", "check")[0]


def test_several_requests_come_in_the_order_asked_for(ledger: Ledger, journal: Journal, manage: Manage) -> None:
    ids = []
    for loaded in (True, False):
        begun = opened()
        ledger.settle(settled(begun), finished(begun.request_id))
        ids.append(begun.request_id)
        if loaded:
            Loader(journal).load()
    for asked in (ids, ids[::-1]):
        assert [line["request_id"] for line in lines(manage("ledger", "show", *asked)[0])] == asked


def test_one_that_costs_nothing_is_known_and_prints_nothing(ledger: Ledger, manage: Manage) -> None:
    record = finished(opened().request_id, attempts=0, status="failed")
    ledger.finish(record)
    assert manage("ledger", "show", record.request_id) == ("", "")


def test_one_that_runs_is_known(ledger: Ledger, manage: Manage) -> None:
    begun = opened()
    ledger.reserve(begun)
    out, err = manage("ledger", "show", begun.request_id)
    assert out == ""
    assert err == f"{begun.request_id}: 1 attempt not settled yet\n"


def test_what_a_dead_process_left_is_shown_as_it_will_be_booked(folder: Path, manage: Manage) -> None:
    dead = Journal.open(folder, "node-2")
    begun = opened()
    dead.append(begun)
    dead.close()
    (before,) = lines(manage("ledger", "show", begun.request_id)[0])
    assert (before["usage_source"], before["amount_nano"]) == ("estimated", 900_000)
    assert manage("journal", "load")[0] == "1 journal loaded.\n"
    (after,) = lines(manage("ledger", "show", begun.request_id)[0])
    assert after == before


def test_an_unknown_id_is_an_error_and_the_others_are_shown(ledger: Ledger, manage: Manage) -> None:
    begun = opened()
    ledger.settle(settled(begun), finished(begun.request_id))
    stranger = new_request_id()
    for unknown in (stranger, "req_nonsense", "x", "req_" + "z" * 32, "req_" + "f" * 32):
        with pytest.raises(CommandError) as failed:
            manage("ledger", "show", unknown, begun.request_id)
        assert unknown in str(failed.value)
        assert '"amount_nano": 123456' in str(failed.value)


# -- check ----------------------------------------------------------------------------


def test_agreement_is_counted(ledger: Ledger, journal: Journal, manage: Manage) -> None:
    fallen_back(ledger)
    Loader(journal).load()
    waiting, running = opened(), opened()
    ledger.settle(settled(waiting), finished(waiting.request_id))
    ledger.reserve(running)
    out, _ = manage("ledger", "check")
    for words in (
        "attempts not loaded yet: 1",
        "attempts running: 1",
        "requests: 1",
        "attempts: 2",
        "attempts voided: 1",
        "charges: 1",
        "nano-USD: 123456",
        "agree",
    ):
        assert words in out


def test_a_request_between_two_attempts_is_no_disagreement(ledger: Ledger, journal: Journal, manage: Manage) -> None:
    begun = opened()
    ledger.reserve(begun)
    ledger.settle(voided(begun))
    Loader(journal).load()
    assert "agree" in manage("ledger", "check")[0]
    Attempt.objects.create(
        id=f"{new_request_id()}-1", started_at=timezone.now(), request_id="req_1", number=1, billed="voided"
    )
    with pytest.raises(CommandError, match="req_1 has attempts and no row of its own"):
        manage("ledger", "check")


def test_every_kind_of_disagreement_is_told(ledger: Ledger, journal: Journal, manage: Manage) -> None:
    from django.db import connection

    def booked() -> Opened:
        begun = opened()
        ledger.reserve(begun)
        ledger.settle(settled(begun), finished(begun.request_id))
        Loader(journal).load()
        return begun

    changed, missing, surplus, orphan, twice = (booked() for _ in range(5))
    append_only.lift(connection)
    LedgerEntry.objects.filter(attempt_id=changed.attempt_id).update(amount_nano=1)
    LedgerEntry.objects.filter(attempt_id=missing.attempt_id).delete()
    Attempt.objects.filter(id=surplus.attempt_id).update(billed="voided")
    Attempt.objects.filter(id=orphan.attempt_id).delete()
    entry = LedgerEntry.objects.get(attempt_id=twice.attempt_id)
    entry.pk = (f"{twice.attempt_id}/charge/1", entry.started_at)
    entry.save(force_insert=True)
    append_only.protect(connection)
    with pytest.raises(CommandError) as failed:
        manage("ledger", "check")
    told = str(failed.value)
    for words in (
        f"{changed.attempt_id}: (123456, 'USD', 5, 100, 20, 0, 50, 0, 0) in the journal, (1,",
        f"{missing.attempt_id} is billed and has no charge",
        f"{surplus.attempt_id}: ok, provider in the journal, ok, voided in the ledger",
        f"{surplus.attempt_id} is not billed and has a charge",
        f"{orphan.attempt_id}/charge/0 belongs to no attempt",
        f"{twice.attempt_id}/charge/1 is a second charge",
    ):
        assert words in told


def test_what_was_set_aside_is_a_disagreement(folder: Path, journal: Journal, manage: Manage) -> None:
    journal.append(opened())
    path = segment(journal.home, 1)
    path.write_bytes(b"00000000" + path.read_bytes()[8:])
    with pytest.raises(CommandError, match="the journal of node-1 has a damaged record"):
        manage("ledger", "check")
    Loader(journal).load()
    with pytest.raises(CommandError, match="holds what the ledger did not take"):
        manage("ledger", "check")
    assert f"Not in the ledger: {folder / ASIDE / 'node-1.journal'}" in manage("journal", "show")[0]


# -- journals ---------------------------------------------------------------------------


def test_journals_are_listed(folder: Path, journal: Journal, manage: Manage) -> None:
    journal.append(opened())
    dead = Journal.open(folder, "a-dead-one")
    dead.append(opened())
    dead.close()
    size = segment(dead.home, 1).stat().st_size
    out, _ = manage("journal", "show")
    assert [row.split() for row in out.splitlines()[1:]] == [
        ["a-dead-one", "ended", str(size), "1"],
        ["node-1", "running", str(size), "1"],
    ]


def test_a_journal_whose_process_runs_is_not_given_up(journal: Journal, manage: Manage) -> None:
    with pytest.raises(CommandError, match="The process of node-1 runs"):
        manage("journal", "abandon", "node-1")
    with pytest.raises(CommandError, match="There is no journal of 'node-7' here"):
        manage("journal", "abandon", "node-7")


def test_what_is_left_of_a_lost_journal_is_booked(folder: Path, manage: Manage) -> None:
    lost = Journal.open(folder, "node-2")
    begun = opened()
    lost.append(begun)
    lost.close()
    segment(lost.home, 7).mkdir()
    with pytest.raises(CommandError, match="Is a directory"):
        manage("journal", "load")
    (lost.home / LOCK).unlink()
    assert "1 open requests booked as estimated" in manage("journal", "abandon", "node-2")[0]
    assert LedgerEntry.objects.get().usage_source == "estimated"
    assert Request.objects.get().status == "interrupted"
    assert not lost.home.exists()
