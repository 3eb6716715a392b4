"""One line of JSON an attempt, for whoever collects logs: written by the loader, beside the traffic, many at once.

Only fields that we know to be harmless: what was asked and answered, and what a vendor said, is in none of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from billing.ids import milliseconds_of
from billing.records import Record, Settled

_encode = msgspec.json.Encoder().encode


def lines_of(records: Iterable[Record]) -> bytes:
    return b"".join(_encode(_told(record)) + b"\n" for record in records if type(record) is Settled)


def _told(record: Settled) -> dict[str, object]:
    opened, payer, labels = record.opened, record.opened.payer, record.opened.labels
    told: dict[str, object] = {
        "at": _moment(milliseconds_of(opened.request_id)),
        "event": "attempt",
        "request_id": opened.request_id,
        "attempt": opened.number,
        "purpose": payer.purpose,
        "team_id": payer.team_id,
        "key_id": payer.key_id,
        "provider": opened.provider,
        "model": opened.model,
        "status": record.status,
        "billed": record.billed,
        "upstream_status": record.upstream_status,
        "code": record.error_code,
        "first_token_ms": record.first_token_ms,
        "duration_ms": record.duration_ms,
        "tokens": record.usage,
        "cost_nano": record.amount_nano,
        "currency": opened.currency,
    }
    if labels is not None:
        told |= {"use_case": labels.use_case, "tier": labels.tier, "route": labels.route, "arm": labels.arm}
    return {name: value for name, value in told.items() if value not in (None, "")}


def _moment(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def write(records: Iterable[Record]) -> None:
    lines = lines_of(records)
    if lines:
        sys.stderr.buffer.write(lines)
        sys.stderr.buffer.flush()
