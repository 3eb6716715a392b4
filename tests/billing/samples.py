"""Records as the gateway writes them. A test names only what it is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from billing.ids import attempt_id, new_request_id
from billing.journal import Journal
from billing.journals import Home
from billing.ledger import Ledger
from billing.records import Finished, Opened, Payer, Record, Settled

PAYER = Payer("api", team_id=1, key_id=3)
DECISION = b'{"reason":"EXPLICIT bench:bench-1","candidates":[{"model":"bench:bench-1","verdict":"usable"}]}'


def opened(request_id: str = "", number: int = 1, **fields: Any) -> Opened:
    request_id = request_id or new_request_id()
    fields = {
        "payer": PAYER,
        "provider_id": 4,
        "provider": "bench",
        "model": "bench-1",
        "credential_id": None,
        "price_id": 5,
        "currency": "USD",
        "reserved_nano": 900_000,
        "input_estimate": 120,
        "asked_model": "bench:bench-1",
        "streamed": False,
        "revision": 12,
        "release": 3,
    } | fields
    return Opened(attempt_id(request_id, number), request_id, number, **fields)


def settled(record: Opened | None = None, **fields: Any) -> Settled:
    fields = {
        "status": "ok",
        "billed": "provider",
        "usage": (100, 20, 0, 50, 0, 0),
        "amount_nano": 123_456,
        "formula": "(100 input x 2.5) / 1M = 0.00025 USD",
        "upstream_status": 200,
        "upstream_id": "chatcmpl-1",
        "duration_ms": 12,
    } | fields
    return Settled(record or opened(), **fields)


def voided(record: Opened | None = None, **fields: Any) -> Settled:
    nothing = {"usage": (0,) * 6, "amount_nano": None, "formula": "", "upstream_status": 429, "upstream_id": ""}
    return settled(
        record, **({"status": "failed", "billed": "voided", "error_code": "rate_limited"} | nothing | fields)
    )


def finished(request_id: str, **fields: Any) -> Finished:
    fields = {
        "payer": PAYER,
        "status": "ok",
        "asked_model": "bench:bench-1",
        "provider": "bench",
        "model": "bench-1",
        "attempts": 1,
        "duration_ms": 14,
        "decision": msgspec.Raw(DECISION),
    } | fields
    return Finished(request_id, **fields)


def answered(ledger: Ledger, **fields: object) -> Settled:
    begun = opened()
    record = settled(begun, **fields)
    ledger.reserve(begun)
    ledger.settle(record, finished(begun.request_id))
    return record


def left_behind(folder: Path, *records: Record, node: str = "node-9") -> Home:
    """The journal of a process that has ended."""
    journal = Journal.open(folder, node)
    for record in records:
        journal.append(record)
    journal.close()
    return Home(folder / node)
