"""Which requests does an address ask for? The words of its query, made sense of: one set for pages, CSV and API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from billing.ids import PREFIX

LONGEST = 200
SLOW_MS = 5000
MOMENT = 12  # digits of an id that are its moment
TICK = timedelta(milliseconds=1)

OUTCOMES = ("failed", "rerouted")
STATUSES = ("ok", "failed", "cancelled", "interrupted")
PURPOSES = ("api", "playground", "system")
BROKEN = Q(status__in=("failed", "interrupted"))
REROUTED = Q(status="ok", attempts__gt=1)  # answered, and not by the first that was asked


@dataclass(frozen=True, slots=True)
class Filters:
    """Empty asks for all of them, without those of the demonstration."""

    q: str = ""  # the beginning of an id, of a client's own id, or of a session
    outcome: str = ""
    slow: bool = False
    status: str = ""
    code: str = ""
    provider: str = ""
    model: str = ""
    use_case: str = ""
    tier: str = ""
    purpose: str = ""
    team: int | None = None
    key: int | None = None
    person: int | None = None
    since: datetime | None = None
    until: datetime | None = None  # not included
    demo: bool = False
    condition: Q = field(init=False, compare=False, repr=False)
    owners: Mapping[str, int] = field(init=False, compare=False, repr=False)
    # The range of time that is searched: as asked, and no longer than the beginning of an id leaves open.
    begins: datetime | None = field(init=False, compare=False, repr=False)
    ends: datetime | None = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        named = {"key_id": self.key, "user_id": self.person, "team_id": self.team}
        object.__setattr__(self, "owners", {name: value for name, value in named.items() if value is not None})
        object.__setattr__(self, "condition", _condition(self))
        first, last = _moments_of(self.q)
        object.__setattr__(self, "begins", max(filter(None, (self.since, first)), default=None))
        object.__setattr__(self, "ends", min(filter(None, (self.until, last)), default=None))

    def during(self, since: datetime | None, until: datetime | None) -> Filters:
        return replace(self, since=since, until=until)

    def asked(self) -> dict[str, Any]:
        """What is not as usual, as the words of an address."""
        told: dict[str, Any] = {}
        for each in fields(self):
            if each.init and (value := getattr(self, each.name)):
                told[each.name] = in_address(value)
        return told

    def query(self, **change: Any) -> str:
        """An address with something changed; what is empty is left out."""
        kept = {name: value for name, value in (self.asked() | change).items() if value not in ("", None)}
        return "?" + urlencode(kept) if kept else ""

    @property
    def narrowed(self) -> bool:
        return any(name not in ("since", "until", "demo") for name in self.asked())


def _condition(wanted: Filters) -> Q:
    """All of it but whose they are and when they began."""
    found = Q(demo=wanted.demo)
    if wanted.outcome == "failed":
        found &= BROKEN
    elif wanted.outcome == "rerouted":
        found &= REROUTED
    if wanted.slow:
        found &= Q(duration_ms__gt=SLOW_MS)
    exact = {"status": wanted.status, "error_code": wanted.code, "provider": wanted.provider, "model": wanted.model}
    exact |= {"use_case": wanted.use_case, "tier": wanted.tier, "purpose": wanted.purpose}
    for name, value in exact.items():
        if value:
            found &= Q(**{name: value})
    if wanted.q.startswith(PREFIX):
        found &= Q(id__startswith=wanted.q)
    elif wanted.q:
        found &= Q(client_request_id__startswith=wanted.q) | Q(session__startswith=wanted.q)
    return found


# -- from an address -------------------------------------------------------------------------


def asked_in(given: Mapping[str, str]) -> Filters:
    """What cannot be understood is left out: an address that somebody typed shows more, never an error."""
    text = {name: given.get(name, "").replace("\0", "").strip()[:LONGEST] for name in TEXTS}
    model = text["model"]
    if not text["provider"] and ":" in model:
        text["provider"], _, text["model"] = model.partition(":")
    if text["q"].lower().startswith(PREFIX):
        text["q"] = text["q"].lower().partition("-")[0]  # of an attempt: its request
    return Filters(
        **text,
        outcome=_among(OUTCOMES, given.get("outcome", "")),
        status=_among(STATUSES, given.get("status", "")),
        purpose=_among(PURPOSES, given.get("purpose", "")),
        slow=given.get("slow", "") in TRUE,
        demo=given.get("demo", "") in TRUE,
        team=_number(given.get("team", "")),
        key=_number(given.get("key", "")),
        person=_number(given.get("person", "")),
        since=moment_in(given.get("since", "")),
        until=moment_in(given.get("until", "")),
    )


TEXTS = ("q", "code", "provider", "model", "use_case", "tier")
TRUE = ("1", "on", "true")


def _moments_of(q: str) -> tuple[datetime | None, datetime | None]:
    """An id begins with its moment, so the beginning of one is a range of time as well."""
    digits = q.removeprefix(PREFIX)[:MOMENT]
    if not q.startswith(PREFIX) or any(digit not in "0123456789abcdef" for digit in digits):
        return None, None
    last = _moment_of(digits.ljust(MOMENT, "f"))
    return _moment_of(digits.ljust(MOMENT, "0")), last + TICK if last else None


def _moment_of(digits: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(digits, 16) / 1000, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return None  # beyond any calendar


def moment_in(text: str) -> datetime | None:
    """As a field for times sends it, in the hours of the page; or with an offset of its own."""
    try:
        found = parse_datetime(text)
    except ValueError:
        return None
    if found is None or not 1970 < found.year < 9999:
        return None
    return timezone.make_aware(found) if timezone.is_naive(found) else found


def in_address(value: Any) -> str:
    if isinstance(value, datetime):
        local = timezone.localtime(value)
        return f"{local:%Y-%m-%dT%H:%M}" if not (local.second or local.microsecond) else local.isoformat()
    return "1" if value is True else str(value)


def _among(words: tuple[str, ...], word: str) -> str:
    return word if word in words else ""


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None
