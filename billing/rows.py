"""From records to rows of the three tables. The same record always gives the same rows, but for when it was booked."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from billing.costs import MOST_NANO
from billing.models import Attempt, LedgerEntry, Request
from billing.records import Finished, Labels, Settled

Row = tuple[Any, ...]

# Of these an entry is booked; voided and ambiguous attempts cost nothing.
CHARGED = frozenset({"provider", "counted", "estimated"})

REQUEST_COLUMNS = tuple(field.attname for field in Request._meta.concrete_fields)
ATTEMPT_COLUMNS = tuple(field.attname for field in Attempt._meta.concrete_fields)
ENTRY_COLUMNS = tuple(field.attname for field in LedgerEntry._meta.concrete_fields)

NOTHING = b"null"
UNLABELLED = Labels()
# An escaped NUL, with the backslashes before it that escape each other.
ESCAPED_NUL = b"\\u0000"
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def request_row(record: Finished, moment: str) -> Row:
    payer, labels = record.payer, record.labels or UNLABELLED
    return (
        record.request_id,
        moment,
        record.status,
        record.error_code[:60],
        payer.purpose,
        payer.team_id,
        payer.user_id,
        payer.key_id,
        record.client_request_id[:200],
        record.asked_model[:300],
        record.provider[:80],
        record.model[:200],
        record.streamed,
        record.attempts,
        record.first_token_ms,
        record.duration_ms,
        record.revision,
        record.release,
        _json(bytes(record.decision)),
        msgspec.json.encode(record.warnings).decode() if record.warnings else None,
        record.demo,
        labels.use_case[:60],
        labels.tier[:60],
        labels.route[:140],
        labels.session[:200],
        record.queued_ms,
        _json(bytes(record.ask)),
    )


def attempt_row(record: Settled, moment: str) -> Row:
    opened = record.opened
    return (
        opened.attempt_id,
        moment,
        opened.request_id,
        opened.number,
        record.status,
        record.billed,
        opened.provider_id,
        opened.provider[:80],
        opened.model[:200],
        opened.credential_id,
        record.upstream_status,
        record.upstream_id[:200],
        record.error_code[:60],
        record.error_message[:500],
        record.first_token_ms,
        record.duration_ms,
        opened.demo,
    )


def entry_row(record: Settled, moment: str, booked_at: str) -> Row:
    opened, payer, labels = record.opened, record.opened.payer, record.opened.labels or UNLABELLED
    return (
        charge_id(opened.attempt_id),
        moment,
        booked_at,
        opened.request_id,
        opened.attempt_id,
        "charge",
        0,
        payer.purpose,
        payer.team_id,
        payer.user_id,
        payer.key_id,
        opened.provider_id,
        opened.provider[:80],
        opened.model[:200],
        *(record.usage if max(record.usage) <= MOST_NANO else [min(count, MOST_NANO) for count in record.usage]),
        record.billed,
        record.amount_nano,
        opened.currency,
        opened.price_id,
        record.formula[:400],
        opened.demo,
        labels.use_case[:60],
        labels.tier[:60],
        labels.route[:140],
        labels.arm[:140],
        labels.session[:200],
        msgspec.json.encode(labels.tags).decode() if labels.tags else None,
    )


def charge_id(attempt_id: str) -> str:
    return f"{attempt_id}/charge/0"


def _json(raw: bytes) -> str | None:
    return None if raw == NOTHING else raw.decode()


def scrubbed(row: Row) -> Row:
    """Without NUL characters, which no database takes: as such in text, escaped in JSON."""
    return tuple(
        _NUL.sub(r"\1\\ufffd", cell.replace("\x00", "\ufffd")) if isinstance(cell, str) else cell for cell in row
    )
