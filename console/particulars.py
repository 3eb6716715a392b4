"""Everything about one request, for its page and its drawer."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import orjson
from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.lookup import find, payer_of
from billing.models import Attempt, Request, Team
from console import formats
from console.access import can, memberships_of
from console.faults import reason
from console.happened import happened
from console.models import User
from console.picking import chosen, current_snapshot
from console.receipt import receipts_of
from console.request_lines import booked_for, entries_of, tier_of, use_case_of
from console.said import parameters_of, turns_of
from console.trace import stations_of
from console.traffic import Sight
from console.waterfall import fall_of
from providers.models import Provider
from providers.registry import KINDS
from routing import contents
from routing.contents import Opened
from routing.models import ApiKey

PURPOSES = {
    "api": gettext_lazy("Through the API"),
    "playground": gettext_lazy("In the playground"),
    "system": gettext_lazy("By the house itself"),
}
# What was asked, in the words of routing/asks.py.
ASKED = {
    "input_tokens": gettext_lazy("Tokens of the prompt, as estimated"),
    "output_tokens": gettext_lazy("Longest answer it asks for"),
    "complexity": gettext_lazy("Complexity"),
    "estimated": gettext_lazy("Why it was taken for that"),
    "language": gettext_lazy("Language"),
    "needs": gettext_lazy("Needs"),
    "tags": gettext_lazy("Tags"),
    "end_user": gettext_lazy("For whom, as the client says"),
    "data_policy": gettext_lazy("Data policy of the team"),
    "headers": gettext_lazy("Headers that a rule names"),
    "metadata": gettext_lazy("Metadata that a rule names"),
}


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt, for the table of them."""

    attempt: Attempt
    name: str
    mark: Any
    error: str
    tone: str
    outcome: str
    billed: str


OUTCOMES = {
    "ok": ("ok", gettext_lazy("Answered")),
    "failed": ("bad", gettext_lazy("Failed")),
    "interrupted": ("bad", gettext_lazy("Broken off")),
    "cancelled": ("", gettext_lazy("Cancelled")),
}
BILLED = {
    "provider": gettext_lazy("as reported"),
    "counted": gettext_lazy("as counted"),
    "estimated": gettext_lazy("as estimated"),
    "voided": gettext_lazy("not charged"),
    "ambiguous": gettext_lazy("not charged, to be checked"),
}


def about(request: Request, person: User, base_url: str) -> dict[str, Any]:
    snapshot = current_snapshot()
    moment = {"request_id": request.id, "started_at": request.started_at}
    attempts = list(Attempt.objects.filter(**moment).order_by("number"))
    booked = booked_for([request])[request.id]
    paid = " + ".join(formats.money(nano, name) for name, nano in sorted(booked.amounts.items()))
    paid = _("no price") if booked.unpriced else paid or _("nothing")
    marks = {slug: KINDS.get(kind, name) for slug, kind, name in Provider.objects.values_list("slug", "kind", "name")}
    decision = request.decision if isinstance(request.decision, dict) else None
    kept = contents.opened(request.id) if may_read(person, request) else None
    asked = request.ask if isinstance(request.ask, dict) else {}
    return {
        "record": request,
        "happened": happened(request, attempts, snapshot),
        "at_utc": f"{request.started_at.astimezone(UTC):%H:%M:%S}",
        "paid": paid,
        "given": booked.given if booked.entries else asked.get("input_tokens"),
        "written": booked.written if booked.entries else None,
        "fall": fall_of(request, attempts, lambda slug: marks.get(slug, slug)),
        "stations": stations_of(decision, attempts, paid) if decision is not None else [],
        "receipts": receipts_of(entries_of([request])),
        "uncharged": [attempt.number for attempt in attempts if attempt.billed in ("voided", "ambiguous")],
        "tried": [_tried(attempt, marks) for attempt in attempts],
        "asked": _asked(request, asked),
        "facts": _facts(request, person),
        "kept": kept,
        "turns": turns_of(kept) if kept is not None else [],
        "parameters": parameters_of(kept) if kept is not None else "",
        "may_read": may_read(person, request),
        "unkept": _unkept(request),
        "curl": curl(request, kept, base_url),
        "playable": playable(request, person),
        "sees_providers": can(person, "providers.see"),
        "embeds": bool(decision and decision.get("use") == "embedding"),
    }


def may_read(person: User, request: Request) -> bool:
    """What was said is shown to whoever asked, to the team's leads and to those who run the gateway."""
    if can(person, "requests.read_content") or request.user_id == person.pk:
        return True
    return any(each.lead and each.team_id == request.team_id for each in memberships_of(person))


def booking(request_id: str, sight: Sight) -> dict[str, Any] | None:
    """A request that only a journal knows of, as far as it may be seen; None: there is none."""
    payer = payer_of(request_id, settings.JOURNAL_FOLDER)
    if payer is None:
        return None
    seen = sight.everything or payer.team_id in sight.teams or (sight.user is not None and payer.user_id == sight.user)
    if not seen:
        return None
    found = find([request_id], settings.JOURNAL_FOLDER, attempts=True)
    return {"id": request_id, "lines": found.lines.get(request_id, []), "running": found.running.get(request_id, 0)}


def _tried(attempt: Attempt, marks: dict[str, Any]) -> Tried:
    tone, words = OUTCOMES.get(attempt.status, ("", attempt.status))
    return Tried(
        attempt,
        chosen(f"{attempt.provider}:{attempt.model}", current_snapshot()).name,
        marks.get(attempt.provider, attempt.provider),
        reason(attempt.error_code) if attempt.error_code else "",
        tone,
        str(words),
        str(BILLED.get(attempt.billed, attempt.billed)),
    )


def _facts(request: Request, person: User) -> list[tuple[str, str, str]]:
    """Name, value, and where it leads. What is empty is left out."""
    snapshot = current_snapshot()
    key = ApiKey.objects.filter(pk=request.key_id).first() if request.key_id is not None else None
    team = Team.objects.filter(pk=request.team_id).first() if request.team_id is not None else None
    user = User.objects.filter(pk=request.user_id).first() if request.user_id is not None else None
    listed = reverse("request-list")
    told = [
        (_("Asked for"), request.asked_model or "auto", ""),
        (_("Use case"), use_case_of(request, snapshot), f"{listed}?use_case={request.use_case}"),
        (_("Tier"), tier_of(request, snapshot), f"{listed}?tier={request.tier}"),
        (_("Route"), request.route, _cell(request, person)),
        (_("How"), str(PURPOSES.get(request.purpose, request.purpose)), ""),
        (
            _("Key"),
            f"{key.name}, {key}" if key else "",
            reverse("key-detail", args=[key.pk]) if key and can(person, "keys.see", key) else "",
        ),
        (_("Team"), team.name if team else "", f"{listed}?team={request.team_id}"),
        (_("Person"), str(user) if user else "", f"{listed}?person={request.user_id}"),
        (_("Session"), request.session, ""),
        (_("The client's own id"), request.client_request_id, ""),
        (_("Streamed"), _("Yes") if request.streamed else _("No"), ""),
        (_("Configuration"), _("revision %(n)s") % {"n": request.revision} if request.revision else "", ""),
    ]
    return [(name, value, href if value else "") for name, value, href in told if value]


def _key_page(key: ApiKey | None, person: User) -> str:
    return reverse("key-detail", args=[key.pk]) if key is not None and can(person, "keys.see", key) else ""


def _cell(request: Request, person: User) -> str:
    if not can(person, "routing.see") or not (request.use_case and request.tier):
        return ""
    return f"{reverse('routing')}?cell={request.use_case}/{request.tier}"


def _asked(request: Request, asked: dict[str, Any]) -> list[tuple[str, str]]:
    told = []
    for name, words in ASKED.items():
        value = asked.get(name)
        if not value:
            continue
        if isinstance(value, dict):
            value = ", ".join(f"{key}: {text}" for key, text in value.items())
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        elif isinstance(value, int):
            value = formats.number(value)
        told.append((str(words), str(value)))
    return told


def _unkept(request: Request) -> str:
    """Why there is no content to show."""
    key = ApiKey.objects.filter(pk=request.key_id).first() if request.key_id is not None else None
    team = Team.objects.filter(pk=request.team_id).first() if request.team_id is not None else None
    if key is not None and key.keeps_content is not None:
        return "key" if not key.keeps_content else "late"
    return "late" if team is not None and team.keeps_content else "team"


def playable(request: Request, person: User) -> str:
    """The model to open in the playground; empty: it cannot be."""
    embeds = isinstance(request.decision, dict) and request.decision.get("use") == "embedding"
    if embeds or not can(person, "play.use"):
        return ""
    return f"{request.provider}:{request.model}" if request.provider else request.asked_model


def curl(request: Request, kept: Opened | None, base_url: str) -> str:
    """The call again, as a program would send it. The key is named, not told."""
    embeds = isinstance(request.decision, dict) and request.decision.get("use") == "embedding"
    fields: dict[str, Any] = dict(kept.fields) if kept is not None else {}
    if not fields:
        said: Any = {"input": "…"} if embeds else {"messages": [{"role": "user", "content": "…"}]}
        fields = said | ({"stream": True} if request.streamed else {})
    fields = {"model": request.asked_model or "auto"} | fields
    body = orjson.dumps(fields, option=orjson.OPT_INDENT_2).decode()
    lines: Sequence[str] = (
        f"curl {base_url}/v1/{'embeddings' if embeds else 'chat/completions'}",
        '-H "Authorization: Bearer $RELAYHOUSE_API_KEY"',
        "-H 'Content-Type: application/json'",
        f"-d {shlex.quote(body)}",
    )
    return " \\\n  ".join(lines)
