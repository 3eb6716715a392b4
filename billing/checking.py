"""Do journals and ledger agree? What the journals hold is compared with its rows, and the rows with each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from django.db import connection, transaction
from django.db.models import Count, Exists, F, OuterRef, QuerySet, Sum, Value
from django.db.models.functions import Concat

from billing import budgets
from billing.ids import started_at
from billing.journals import homes, set_aside
from billing.lines import Damaged
from billing.lookup import USAGE
from billing.models import Attempt, LedgerEntry, Request
from billing.records import Finished, Settled
from billing.rows import CHARGED
from billing.unfinished import Unfinished

MOST_TOLD = 100  # disagreements of one sort
PIECE = 500  # records compared at once


@dataclass(slots=True)
class Check:
    counts: dict[str, int] = field(default_factory=dict)
    disagreements: list[str] = field(default_factory=list)


def check(folder: Path) -> Check:
    found = Check()
    with _patience():
        _check_journals(folder, found)
        _check_rows(folder, found)
        found.disagreements += budgets.disagreements()
    return found


@contextmanager
def _patience() -> Iterator[None]:
    """A whole ledger takes longer to read than a page may."""
    if connection.vendor != "postgresql":
        yield
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        yield


# -- journals against rows --------------------------------------------------------


def _check_journals(folder: Path, found: Check) -> None:
    counts: Counter[str] = Counter({"journals": 0, "attempts not loaded yet": 0, "attempts running": 0})
    for home in homes(folder):
        counts["journals"] += 1
        alive, unfinished = home.is_held(), Unfinished()
        records = home.records()
        while piece := list(islice(records, PIECE)):
            for record in piece:
                if isinstance(record, Damaged):
                    found.disagreements.append(f"the journal of {home.node} has a damaged record")
                else:
                    unfinished.take(record)
            settled = {record.opened.attempt_id: record for record in piece if isinstance(record, Settled)}
            counts["attempts not loaded yet"] += _compare(settled, found)
            finished = [record for record in piece if isinstance(record, Finished)]
            _compare_requests(finished, found)
        counts["attempts running" if alive else "attempts not loaded yet"] += len(unfinished.open_attempts())
    found.disagreements += [f"{path} holds what the ledger did not take" for path in set_aside(folder)]
    found.counts |= counts


def _compare(settled: dict[str, Settled], found: Check) -> int:
    """How many of them are not in the ledger yet."""
    moments = {started_at(attempt_id) for attempt_id in settled}
    attempts = {row.id: row for row in Attempt.objects.filter(id__in=list(settled), started_at__in=moments)}
    entries = {
        row.attempt_id: row
        for row in LedgerEntry.objects.filter(
            id__in=[f"{attempt_id}/charge/0" for attempt_id in settled], started_at__in=moments
        )
    }
    for attempt_id, attempt in attempts.items():
        record, entry = settled[attempt_id], entries.get(attempt_id)
        if (attempt.status, attempt.billed) != (record.status, record.billed):
            found.disagreements.append(
                f"{attempt_id}: {record.status}, {record.billed} in the journal,"
                f" {attempt.status}, {attempt.billed} in the ledger"
            )
        if entry is not None and _told(entry) != _told_by(record):
            found.disagreements.append(f"{attempt_id}: {_told_by(record)} in the journal, {_told(entry)} in the ledger")
    return len(settled) - len(attempts)


def _told(entry: LedgerEntry) -> tuple[object, ...]:
    usage = tuple(getattr(entry, f"{bucket}_tokens") for bucket in USAGE)
    return (entry.amount_nano, entry.currency, entry.price_id, *usage)


def _told_by(record: Settled) -> tuple[object, ...]:
    return (record.amount_nano, record.opened.currency, record.opened.price_id, *record.usage)


def _compare_requests(finished: list[Finished], found: Check) -> None:
    told = {record.request_id: record.status for record in finished}
    moments = {started_at(request_id) for request_id in told}
    for request_id, status in Request.objects.filter(id__in=list(told), started_at__in=moments).values_list(
        "id", "status"
    ):
        if told[request_id] != status:
            found.disagreements.append(f"{request_id}: {told[request_id]} in the journal, {status} in the ledger")


# -- rows against each other ------------------------------------------------------


def _check_rows(folder: Path, found: Check) -> None:
    entries, charges = LedgerEntry.objects.all(), LedgerEntry.objects.filter(kind="charge")
    billed = Counter(dict(Attempt.objects.values_list("billed").annotate(Count("id"))))
    found.counts |= {
        "requests": Request.objects.count(),
        "attempts": sum(billed.values()),
        "attempts voided": billed["voided"],
        "attempts ambiguous": billed["ambiguous"],
        "charges": charges.count(),
        "charges estimated": charges.filter(usage_source="estimated").count(),
        "charges without a price": charges.filter(amount_nano=None).count(),
        "adjustments": entries.exclude(kind="charge").count(),
    }
    for currency, amount in entries.exclude(amount_nano=None).values_list("currency").annotate(Sum("amount_nano")):
        found.counts[f"nano-{currency or 'units'}"] = amount
    charge = charges.filter(id=Concat(OuterRef("id"), Value("/charge/0")), started_at=OuterRef("started_at"))
    attempt = Attempt.objects.filter(id=OuterRef("attempt_id"), started_at=OuterRef("started_at"))
    request = Request.objects.filter(id=OuterRef("request_id"), started_at=OuterRef("started_at"))
    _tell(found, Attempt.objects.filter(~Exists(charge), billed__in=CHARGED), "is billed and has no charge")
    _tell(found, Attempt.objects.filter(Exists(charge)).exclude(billed__in=CHARGED), "is not billed and has a charge")
    _tell(found, entries.filter(~Exists(attempt)), "belongs to no attempt")
    # The key makes charge 0 of an attempt the only one; this one got another key.
    _tell(found, charges.exclude(id=Concat(F("attempt_id"), Value("/charge/0"))), "is a second charge")
    alone = Attempt.objects.filter(~Exists(request)).values_list("request_id", flat=True)
    for request_id in _not_running(set(alone[:MOST_TOLD]), folder):
        found.disagreements.append(f"{request_id} has attempts and no row of its own")


def _tell(found: Check, rows: QuerySet[Attempt] | QuerySet[LedgerEntry], what: str) -> None:
    found.disagreements += [f"{row_id} {what}" for row_id in rows.values_list("id", flat=True)[:MOST_TOLD]]


def _not_running(request_ids: set[str], folder: Path) -> Iterable[str]:
    """Those that no journal tells of any more, and that were not finished while we looked."""
    about = frozenset(request_ids)
    for home in homes(folder) if about else []:
        unfinished = Unfinished()
        for record in home.records(about):
            if not isinstance(record, Damaged):
                unfinished.take(record)
        request_ids -= unfinished.request_ids()
    return sorted(request_ids - set(Request.objects.filter(id__in=request_ids).values_list("id", flat=True)))
