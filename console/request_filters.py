"""The filters above the list of requests: chips, what may be chosen, and what is chosen already, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.models import Team
from console.access import can
from console.models import User
from console.picking import current_snapshot
from console.sifting import PURPOSES, STATUSES, Filters
from console.traffic import Sight
from providers.models import Provider
from routing.models import ApiKey
from routing.snapshot import Routing

MOST = 300  # of one kind that can be chosen; others are reached by their address

STATUS_WORDS = {
    "ok": gettext_lazy("Answered"),
    "failed": gettext_lazy("Failed"),
    "cancelled": gettext_lazy("Cancelled by the client"),
    "interrupted": gettext_lazy("Broken off"),
}
PURPOSE_WORDS = {
    "api": gettext_lazy("Through the API"),
    "playground": gettext_lazy("In the playground"),
    "system": gettext_lazy("By the house itself"),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A field of the filter: a list when there are options, else a text."""

    name: str
    label: str
    value: str
    options: list[tuple[str, str]]


def chips(wanted: Filters) -> list[dict[str, Any]]:
    """Each toggles itself."""
    outcome = wanted.outcome
    words = [
        (_("Failed"), "outcome", "" if outcome == "failed" else "failed", outcome == "failed"),
        (_("Rerouted"), "outcome", "" if outcome == "rerouted" else "rerouted", outcome == "rerouted"),
        (_("Slow, over 5 s"), "slow", "" if wanted.slow else "1", wanted.slow),
        (_("Demonstration"), "demo", "" if wanted.demo else "1", wanted.demo),
    ]
    return [{"word": word, "href": wanted.query(**{name: value}), "on": on} for word, name, value, on in words]


def told(wanted: Filters) -> list[dict[str, str]]:
    """What else is chosen, each with the address without it."""
    asked = wanted.asked()
    named = current_snapshot().routing if wanted.use_case or wanted.tier else Routing()
    cases, tiers = named.use_cases, named.tiers
    names = {
        "status": str(STATUS_WORDS.get(wanted.status, "")),
        "code": _("error %(code)s") % {"code": wanted.code},
        "provider": _("provider %(name)s") % {"name": wanted.provider},
        "model": _("model %(name)s") % {"name": wanted.model},
        "use_case": cases[wanted.use_case].name if wanted.use_case in cases else wanted.use_case,
        "tier": tiers[wanted.tier].name if wanted.tier in tiers else wanted.tier,
        "purpose": str(PURPOSE_WORDS.get(wanted.purpose, "")),
        "team": _("team %(name)s") % {"name": _named(Team, wanted.team)},
        "key": _("key %(name)s") % {"name": _named(ApiKey, wanted.key)},
        "person": _named(User, wanted.person),
    }
    return [{"word": names[name], "href": wanted.query(**{name: ""})} for name in names if name in asked]


def choices(person: User, sight: Sight, wanted: Filters) -> list[Choice]:
    snapshot = current_snapshot()
    fields = [
        Choice("status", _("Ended"), wanted.status, [(name, str(STATUS_WORDS[name])) for name in STATUSES]),
        Choice("use_case", _("Use case"), wanted.use_case, _pairs(snapshot.routing.use_cases)),
        Choice("tier", _("Tier"), wanted.tier, _pairs(snapshot.routing.tiers)),
        Choice("provider", _("Provider"), wanted.provider, _providers(person)),
        Choice("model", _("Model"), wanted.model, []),
        Choice("key", _("Key"), str(wanted.key or ""), _keys(person, sight)),
        Choice("code", _("Error code"), wanted.code, []),
        Choice("purpose", _("How"), wanted.purpose, [(name, str(PURPOSE_WORDS[name])) for name in PURPOSES]),
    ]
    teams = _teams(sight)
    if teams:
        fields.insert(5, Choice("team", _("Team"), str(wanted.team or ""), teams))
    if can(person, "people.see"):
        people = User.objects.filter(is_active=True).order_by("name")[:MOST]
        fields.insert(6, Choice("person", _("Person"), str(wanted.person or ""), [(str(p.pk), str(p)) for p in people]))
    return fields


def _pairs(entries: Any) -> list[tuple[str, str]]:
    return [(slug, each.name) for slug, each in entries.items()]


def _providers(person: User) -> list[tuple[str, str]]:
    if not can(person, "models.see"):
        return []
    return list(Provider.objects.order_by("name").values_list("slug", "name")[:MOST])


def _teams(sight: Sight) -> list[tuple[str, str]]:
    rows = Team.objects.all() if sight.everything else Team.objects.filter(pk__in=sight.teams)
    return [(str(pk), name) for pk, name in rows.order_by("name").values_list("pk", "name")[:MOST]]


def _keys(person: User, sight: Sight) -> list[tuple[str, str]]:
    rows = ApiKey.objects.select_related("team")
    if not sight.everything:
        rows = rows.filter(Q(team__in=sight.teams) | Q(user=person))
    elif not can(person, "keys.see_all"):
        return []  # whoever looks only does not learn which keys there are
    return [(str(key.pk), f"{key.name}, {key.team}" if key.team else key.name) for key in rows.order_by("name")[:MOST]]


def _named(model: Any, pk: int | None) -> str:
    if pk is None:
        return ""
    found = model.objects.filter(pk=pk).first()
    return getattr(found, "name", "") or str(pk)
