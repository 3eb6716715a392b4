"""A request as a line of the list: who answered, whose key it was, tokens and money. A few queries for a whole page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from billing.models import LedgerEntry, Request
from console import formats
from console.picking import Chosen, chosen, current_snapshot
from routing.models import ApiKey
from routing.snapshot import Snapshot

DECIMALS = 5  # of an amount, in every row
AMOUNT = tuple[int, str]


@dataclass(slots=True)
class Booked:
    """What the ledger has of one request."""

    amounts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    unpriced: bool = False
    given: int = 0  # tokens that went in
    written: int = 0  # and that came out
    entries: int = 0

    def add(self, entry: LedgerEntry) -> None:
        self.entries += 1
        self.given += entry.input_tokens + entry.cached_tokens + entry.cache_write_tokens
        self.written += entry.output_tokens + entry.reasoning_tokens + entry.audio_tokens
        if entry.amount_nano is None:
            self.unpriced = True
        elif entry.currency or entry.amount_nano:
            self.amounts[entry.currency] += entry.amount_nano


@dataclass(frozen=True, slots=True)
class Line:
    request: Request
    by: Chosen | None  # None: nobody answered
    use_case: str
    key: str
    booked: Booked
    currency: str = ""
    date: str = ""
    day: str = ""  # the same where another day begins

    @property
    def at(self) -> str:
        local = timezone.localtime(self.request.started_at)
        return f"{local:%H:%M:%S}"

    @property
    def tone(self) -> str:
        """Of its attempts."""
        if self.request.status in ("failed", "interrupted"):
            return "bad"
        return "warn" if self.request.attempts > 1 else ""

    @property
    def outcome(self) -> tuple[str, str]:
        """A badge where there is no answer to name: its tone and its words."""
        status, tried = self.request.status, self.request.attempts
        if status == "cancelled":
            return "", _("Cancelled")
        if status == "interrupted":
            return "bad", _("Broken off")
        return ("bad", _("No provider answered")) if tried else ("bad", _("Refused"))

    @property
    def cost(self) -> str:
        if self.booked.unpriced:
            return _("no price")
        amounts = self.booked.amounts or ({self.currency: 0} if self.currency else {})
        return " + ".join(formats.money(nano, name, DECIMALS) for name, nano in sorted(amounts.items())) or "–"


def lines_of(requests: Sequence[Request], currency: str, *, day: str = "") -> list[Line]:
    """`day` is that of the line above them: a day is named once."""
    snapshot = current_snapshot()
    keys = _keys(requests)
    booked = booked_for(requests)
    today = _day(timezone.now())
    lines = []
    day = day or today
    for request in requests:
        here = _day(request.started_at)
        lines.append(
            Line(
                request,
                chosen(f"{request.provider}:{request.model}", snapshot) if request.provider else None,
                use_case_of(request, snapshot),
                keys.get(request.key_id or 0, ""),
                booked[request.id],
                currency,
                here,
                "" if here == day else here,
            )
        )
        day = here
    return lines


def use_case_of(request: Request, snapshot: Snapshot) -> str:
    known = snapshot.routing.use_cases.get(request.use_case)
    return known.name if known is not None else request.use_case


def tier_of(request: Request, snapshot: Snapshot) -> str:
    known = snapshot.routing.tiers.get(request.tier)
    return known.name if known is not None else request.tier


def booked_for(requests: Iterable[Request]) -> dict[str, Booked]:
    found: dict[str, Booked] = {request.id: Booked() for request in requests}
    for entry in entries_of(requests):
        found[entry.request_id].add(entry)
    return found


def entries_of(requests: Iterable[Request]) -> list[LedgerEntry]:
    """An entry has the moment of its request, which keeps the search to one month."""
    moments = {request.id: request.started_at for request in requests}
    if not moments:
        return []
    times = {"started_at__gte": min(moments.values()), "started_at__lte": max(moments.values())}
    rows: Any = LedgerEntry.objects.filter(request_id__in=list(moments), **times)
    return list(rows.order_by("attempt_id", "sequence"))


def _keys(requests: Iterable[Request]) -> dict[int, str]:
    wanted = {request.key_id for request in requests if request.key_id is not None}
    return dict(ApiKey.objects.filter(pk__in=wanted).values_list("pk", "name")) if wanted else {}


def _day(moment: datetime) -> str:
    return date_format(timezone.localtime(moment), "l j F")
