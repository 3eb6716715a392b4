"""The filtered list as CSV: written page by page as it goes out, with an end to it, and nothing a sheet would run."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable
from datetime import UTC
from decimal import Decimal
from typing import Any

from asgiref.sync import sync_to_async

from billing.models import Request, Team
from console.models import User
from console.request_lines import Booked, booked_for
from console.sifting import Filters
from console.traffic import Found, Sight, TooSlow, page_at
from routing.models import ApiKey

MOST = 50_000
AT_ONCE = 1000
LOOK_SECONDS = 20.0  # for a page of a sparse filter
NANO = Decimal(10) ** 9
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a sheet takes for the beginning of one

COLUMNS = (
    "id", "started_at", "status", "error_code", "purpose", "use_case", "tier", "route", "asked_model", "provider",
    "model", "attempts", "streamed", "first_token_ms", "duration_ms", "input_tokens", "output_tokens", "amount",
    "currency", "team", "key", "person", "session", "client_request_id",
)  # fmt: skip


async def rows(sight: Sight, wanted: Filters) -> AsyncIterator[bytes]:
    yield _written([COLUMNS])
    before, count = "", 0
    while count < MOST:
        try:
            found, cells = await sync_to_async(_page)(sight, wanted, before)
        except TooSlow:
            yield _written([["The database took too long: narrow the time, and export again."]])
            return
        if cells:
            yield _written(cells)
        count += len(cells)
        if not found.older:
            return
        if found.searched_to is not None:
            yield _written([[f"Searched back to {found.searched_to.isoformat()}; narrow the time for the rest."]])
            return
        before = found.older
    yield _written([[f"No more than {MOST} rows are exported at once; narrow the time for the rest."]])


def _page(sight: Sight, wanted: Filters, before: str) -> tuple[Found, list[list[str]]]:
    found = page_at(sight, wanted, before, AT_ONCE, seconds=LOOK_SECONDS)
    booked = booked_for(found.rows)
    names = {
        "team": dict(Team.objects.filter(pk__in={row.team_id for row in found.rows}).values_list("pk", "name")),
        "key": dict(ApiKey.objects.filter(pk__in={row.key_id for row in found.rows}).values_list("pk", "name")),
        "person": dict(User.objects.filter(pk__in={row.user_id for row in found.rows}).values_list("pk", "email")),
    }
    return found, [_cells(row, booked[row.id], names) for row in found.rows]


def _cells(row: Request, booked: Booked, names: dict[str, dict[int, str]]) -> list[str]:
    values: dict[str, Any] = {name: getattr(row, name, "") for name in COLUMNS}
    values |= {
        "started_at": row.started_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        "streamed": "true" if row.streamed else "false",
        "input_tokens": booked.given if booked.entries else "",
        "output_tokens": booked.written if booked.entries else "",
        "amount": " ".join(f"{Decimal(nano) / NANO:f}" for _, nano in sorted(booked.amounts.items())),
        "currency": " ".join(sorted(booked.amounts)),
        "team": names["team"].get(row.team_id or 0, ""),
        "key": names["key"].get(row.key_id or 0, ""),
        "person": names["person"].get(row.user_id or 0, ""),
    }
    return [harmless("" if values[name] is None else str(values[name])) for name in COLUMNS]


def harmless(text: str) -> str:
    """A cell that a sheet would take for a formula is marked as text."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _written(lines: Iterable[Iterable[str]]) -> bytes:
    sheet = io.StringIO()
    csv.writer(sheet).writerows(lines)
    return sheet.getvalue().encode()
