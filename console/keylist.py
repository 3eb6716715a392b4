"""The list of API keys: what of it an address asks for, and what each row says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.core.cache import cache
from django.db.models import Count, Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from billing.models import Team
from console.access import memberships_of
from console.holders import Person
from console.keyuse import MOST_COUNTED, WEEK, Meter, meters, nearly_spent, requests_since
from console.paging import Page, page_of
from routing.models import ApiKey, KeyChange

SOON = timedelta(days=14)
UNUSED = timedelta(days=30)
LONG_AGO, FAR = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
COUNT_SECONDS = 60
LONGEST = 100
OWN = "mine"
STATES = {
    "": gettext_lazy("Active"),
    "attention": gettext_lazy("Needs attention"),
    "unused": gettext_lazy("Unused for 30 days"),
    "ended": gettext_lazy("Ended"),
}
FIRST = "-created"
# What a list may be sorted by: the fields that make the order, the last of them unique.
SORTS: dict[str, tuple[str, ...]] = {
    "name": ("name", "id"),
    "-name": ("-name", "-id"),
    "used": ("used", "id"),
    "-used": ("-used", "-id"),
    "expires": ("ends", "id"),
    "-expires": ("-ends", "-id"),
    "created": ("created_at", "id"),
    "-created": ("-created_at", "-id"),
}


@dataclass(frozen=True, slots=True)
class Row:
    key: ApiKey
    meter: Meter | None
    requests: int
    state: tuple[str, str]  # the tone of its badge, and the word
    may_change: bool
    may_end: bool

    @property
    def many(self) -> bool:
        """More than are counted."""
        return self.requests >= MOST_COUNTED


class View:
    """The words of an address, made sense of."""

    def __init__(self, given: Any, person: Person) -> None:
        self.q = given.get("q", "").replace("\0", "").strip()[:LONGEST]
        self.state = given.get("state", "") if given.get("state", "") in STATES else ""
        self.teams = teams_of(person)
        wanted = given.get("team", "")
        self.team = wanted if wanted == OWN or wanted in dict(self.teams) else ""
        self.sort = given.get("sort", FIRST) if given.get("sort", FIRST) in SORTS else FIRST
        self.after = given.get("after", "")

    @property
    def narrowed(self) -> bool:
        return bool(self.q or self.team or self.state)

    def query(self, **change: str) -> str:
        """The address with something changed; what is usual is left out, from its first page."""
        words = {"q": self.q, "team": self.team, "state": self.state, "sort": self.sort, "after": ""} | change
        usual = {"q": "", "team": "", "state": "", "sort": FIRST, "after": ""}
        return "?" + urlencode({name: value for name, value in words.items() if value != usual[name]})

    def columns(self) -> list[dict[str, Any]]:
        told = []
        for key, label, css, down_first in COLUMNS:
            down, on = f"-{key}" == self.sort, self.sort.removeprefix("-") == key
            turned = (key if down else f"-{key}") if on else (f"-{key}" if down_first else key)
            told.append(
                {
                    "label": label,
                    "css": css,
                    "href": self.query(sort=turned) if key else "",
                    "sort": ("descending" if down else "ascending") if on else "none",
                }
            )
        return told

    def chips(self, counts: dict[str, int]) -> list[dict[str, Any]]:
        return [
            {"word": word, "href": self.query(state=key), "count": counts[key or "active"], "on": key == self.state}
            for key, word in STATES.items()
        ]


COLUMNS: tuple[tuple[str, str | Promise, str, bool], ...] = (
    ("name", gettext_lazy("Key"), "", False),
    ("", gettext_lazy("Team"), "p3", False),
    ("", gettext_lazy("Spent of budget"), "p1", False),
    ("", gettext_lazy("Requests, 7 d"), "n p2", False),
    ("used", gettext_lazy("Last used"), "p3", True),
    ("expires", gettext_lazy("Expires"), "p2", False),
)


def teams_of(person: Person) -> list[tuple[str, str]]:
    """Slugs and names of those whose keys a person sees."""
    if person.sees_all:
        return list(Team.objects.filter(archived_at=None).values_list("slug", "name"))
    return sorted((each.team.slug, each.team.name) for each in memberships_of(person.user))


def rows_at(person: Person, view: View, now: datetime) -> Page[ApiKey]:
    keys = _narrowed(person.visible(), person, view, now)
    by = SORTS[view.sort]
    if "used" in by[0]:
        keys = keys.annotate(used=Coalesce("last_used_at", Value(LONG_AGO)))
    if "ends" in by[0]:
        keys = keys.annotate(ends=Coalesce("expires_at", Value(FAR)))
    return page_of(keys.select_related("team", "user"), by, view.after)


def told(person: Person, keys: list[ApiKey], now: datetime) -> list[Row]:
    """The rows of a page with their figures."""
    numbers = [key.pk for key in keys]
    spent, asked = meters(numbers, now), requests_since(numbers, now - WEEK)
    return [
        Row(
            key,
            spent.get(key.pk),
            asked.get(key.pk, 0),
            state_of(key, spent.get(key.pk), now),
            person.may_change(key),
            person.may_end(key),
        )
        for key in keys
    ]


def state_of(key: ApiKey, meter: Meter | None, now: datetime) -> tuple[str, str]:
    if key.revoked_at is not None:
        return "", _("Revoked")
    if key.expires_at is not None and key.expires_at <= now:
        return "warn", _("Expired")
    if meter is not None and meter.spent:
        return "bad", _("Budget spent")
    if key.expires_at is not None and key.expires_at <= now + SOON:
        days = (key.expires_at - now).days
        words = ngettext("%(n)d day left", "%(n)d days left", days) % {"n": days} if days else _("Ends today")
        return "warn", words
    if meter is not None and meter.tone == "warn":
        return "warn", _("Nearly spent")
    return ("ok", _("Live")) if key.last_used_at else ("", _("Not used yet"))


def counts_of(person: Person, now: datetime) -> dict[str, int]:
    """How many are behind each chip; looked up again when a key has changed, or after a minute."""
    change = KeyChange.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    whose = "all" if person.sees_all else f"{person.user.pk}.{'.'.join(slug for slug, _name in teams_of(person))}"
    name = f"keys.counts.{whose[:200]}.{change}"
    kept: dict[str, int] | None = cache.get(name)
    if kept is None:
        living, soon = _living(now), _attention(now)
        kept = person.visible().aggregate(
            active=Count("pk", filter=living),
            attention=Count("pk", filter=living & soon),
            unused=Count("pk", filter=living & _unused(now)),
            ended=Count("pk", filter=_ended(now)),
        )
        cache.set(name, kept, COUNT_SECONDS)
    return kept


def in_state(keys: QuerySet[ApiKey], state: str, now: datetime) -> QuerySet[ApiKey]:
    """Those behind one of the chips."""
    match state:
        case "attention":
            return keys.filter(_living(now) & _attention(now))
        case "unused":
            return keys.filter(_living(now) & _unused(now))
        case "ended":
            return keys.filter(_ended(now))
    return keys.filter(_living(now))


def _narrowed(keys: QuerySet[ApiKey], person: Person, view: View, now: datetime) -> QuerySet[ApiKey]:
    if view.team == OWN:
        keys = keys.filter(user=person.user)
    elif view.team:
        keys = keys.filter(team__slug=view.team)
    keys = in_state(keys, view.state, now)
    if view.q:
        owner = Q(user__name__icontains=view.q) | Q(user__email__icontains=view.q)
        shown = Q(last_four__iexact=view.q.lstrip("…")) | Q(prefix=view.q[:9])
        keys = keys.filter(Q(name__icontains=view.q) | owner | shown)
    return keys


def _living(now: datetime) -> Q:
    return Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=now))


def _ended(now: datetime) -> Q:
    return Q(revoked_at__isnull=False) | Q(expires_at__lte=now)


def _attention(now: datetime) -> Q:
    return Q(expires_at__lte=now + SOON) | Q(pk__in=nearly_spent(now).values("scope_id"))


def _unused(now: datetime) -> Q:
    since = now - UNUSED
    return Q(last_used_at__lt=since) | Q(last_used_at=None, created_at__lt=since)
