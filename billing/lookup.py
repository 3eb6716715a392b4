"""What was booked for a request? The ledger and, as if it were in it already, what the journals still hold."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from billing.ids import PREFIX, started_at
from billing.journals import homes
from billing.lines import Damaged
from billing.models import Attempt, LedgerEntry, Request
from billing.records import Finished, Opened, Payer, Record, Settled
from billing.rows import CHARGED, charge_id
from billing.unfinished import Unfinished

USAGE = ("input", "cached", "cache_write", "output", "reasoning", "audio")

Line = dict[str, Any]


@dataclass(slots=True)
class Found:
    """Lines as `manage.py ledger show` prints them, by request; and what else is known of those requests."""

    lines: dict[str, list[Line]]
    unknown: list[str] = field(default_factory=list)
    running: dict[str, int] = field(default_factory=dict)  # attempts that were not settled yet


def find(request_ids: Iterable[str], folder: Path, *, attempts: bool = False) -> Found:
    """With `attempts`, also those that cost nothing: voided and ambiguous ones."""
    wanted = list(dict.fromkeys(request_ids))
    valid = [request_id for request_id in wanted if is_request_id(request_id)]
    # First the journals: what is loaded between the two looks is seen twice, and never missed.
    known, settled, running = _journaled(valid, folder)
    entries = {charge_id(record.opened.attempt_id): _line_of_record(record) for record in settled}
    moments = [started_at(request_id) for request_id in valid]
    stored = {row.id: row for row in Attempt.objects.filter(request_id__in=valid, started_at__in=moments)}
    for row in stored.values():
        entries[charge_id(row.id)] = _line_of_attempt(row)
        running.discard(row.id)
    for entry in LedgerEntry.objects.filter(request_id__in=valid, started_at__in=moments):
        entries[entry.id] = _line_of_entry(entry, stored.get(entry.attempt_id))
    known |= {row.request_id for row in stored.values()} | {line["request_id"] for line in entries.values()}
    known |= set(Request.objects.filter(id__in=valid, started_at__in=moments).values_list("id", flat=True))
    found = Found({request_id: [] for request_id in valid if request_id in known})
    for line in sorted(entries.values(), key=lambda line: (line["attempt"], line["sequence"])):
        if attempts or line["kind"]:
            found.lines[line["request_id"]].append(line)
    found.unknown = [request_id for request_id in wanted if request_id not in known]
    for attempt_id in running:
        request_id = attempt_id.rpartition("-")[0]
        found.running[request_id] = found.running.get(request_id, 0) + 1
    return found


def payer_of(request_id: str, folder: Path) -> Payer | None:
    """Whose request it is, as long as only a journal knows of it."""
    for home in homes(folder) if is_request_id(request_id) else []:
        for record in home.records(frozenset({request_id})):
            if not isinstance(record, Damaged):
                return record.opened.payer if isinstance(record, Settled) else record.payer
    return None


def is_request_id(text: str) -> bool:
    try:
        started_at(text)
    except (ValueError, OverflowError, OSError):
        return False
    return text.startswith(PREFIX) and len(text) == len(PREFIX) + 32


def _journaled(request_ids: Collection[str], folder: Path) -> tuple[set[str], list[Settled], set[str]]:
    """Requests the journals know of, attempts settled in them, and attempts that are not."""
    known: set[str] = set()
    settled: dict[str, Settled] = {}
    running: set[str] = set()
    about = frozenset(request_ids)
    for home in homes(folder) if about else []:
        alive = home.is_held()
        unfinished = Unfinished()
        records: list[Record] = [record for record in home.records(about) if not isinstance(record, Damaged)]
        for record in records:
            unfinished.take(record)
        if alive:
            running |= {opened.attempt_id for opened in unfinished.open_attempts()}
        else:
            records += unfinished.endings()  # as the next loader will book them
        for record in records:
            known.add(_request_of(record))
            if isinstance(record, Settled):
                settled[record.opened.attempt_id] = record
    return known & set(request_ids), list(settled.values()), running - settled.keys()


def _request_of(record: Record) -> str:
    if isinstance(record, Settled):
        return record.opened.request_id
    assert isinstance(record, Opened | Finished)
    return record.request_id


def _line_of_record(record: Settled) -> Line:
    opened = record.opened
    charged = record.billed in CHARGED
    return _line(
        opened.request_id,
        opened.number,
        "charge" if charged else None,
        status=record.status,
        billed=record.billed,
        provider=opened.provider,
        model=opened.model,
        usage=record.usage,
        amount_nano=record.amount_nano if charged else None,
        currency=opened.currency,
        price_id=opened.price_id,
        usage_source=record.billed if charged else None,
        formula=record.formula,
    )


def _line_of_entry(entry: LedgerEntry, attempt: Attempt | None) -> Line:
    return _line(
        entry.request_id,
        _number(entry.attempt_id),
        entry.kind,
        sequence=entry.sequence,
        status=attempt.status if attempt else None,
        billed=attempt.billed if attempt else entry.usage_source,
        provider=entry.provider,
        model=entry.model,
        usage=tuple(getattr(entry, f"{bucket}_tokens") for bucket in USAGE),
        amount_nano=entry.amount_nano,
        currency=entry.currency,
        price_id=entry.price_id,
        usage_source=entry.usage_source,
        formula=entry.formula,
    )


def _line_of_attempt(row: Attempt) -> Line:
    return _line(
        row.request_id, row.number, None, status=row.status, billed=row.billed, provider=row.provider, model=row.model
    )


def _line(request_id: str, attempt: int, kind: str | None, **more: Any) -> Line:
    """`kind` is charge, adjustment, or None of what was not charged."""
    usage = more.pop("usage", (0,) * len(USAGE))
    line: Line = {"request_id": request_id, "attempt": attempt, "kind": kind, "sequence": 0}
    line |= {"status": None, "billed": None, "provider": "", "model": ""}
    line |= {"usage": dict(zip(USAGE, usage, strict=True)), "amount_nano": None, "currency": "", "price_id": None}
    return line | {"usage_source": None, "formula": ""} | more


def _number(attempt_id: str) -> int:
    return int(attempt_id.rpartition("-")[2])
