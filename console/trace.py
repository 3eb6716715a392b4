"""Why did this model answer? The stored decision and its attempts, as stations of a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from billing.ids import started_at
from billing.models import Attempt, Request
from console import formats
from console.models import Run
from console.picking import chosen, current_snapshot
from console.rooms import cost
from console.verdicts import in_words, order_in_words
from routing.snapshot import Snapshot

# The first word or words of a decision's reason, and how people say it. The rest of the reason is a name.
RULES = (
    "ROUTE",
    "TEAM DEFAULT",
    "HOUSE DEFAULT",
    "NO DEFAULT",
    "EXPLICIT",
    "ALIAS",
    "BARE",
    "UNKNOWN",
    "AUTO",
    "TOO LONG",
)


@dataclass(frozen=True, slots=True)
class Station:
    state: str  # hit, ok, bad, skip-step
    title: str
    words: str = ""
    number: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    request_id: str
    stations: list[Station]


def trace_of(run: Run) -> Trace | None:
    """None while the journal is still being read into the database: a moment."""
    moment = started_at(run.request_id)
    request = Request.objects.filter(id=run.request_id, started_at=moment).first()
    if request is None or not isinstance(request.decision, dict):
        return None
    attempts = list(Attempt.objects.filter(request_id=run.request_id, started_at=moment).order_by("number"))
    paid = cost(run.amount_nano, run.currency) or _("price unknown")
    return Trace(run.request_id, stations_of(request.decision, attempts, paid))


def stations_of(decision: dict[str, Any], attempts: Sequence[Attempt], paid: str) -> list[Station]:
    """`paid` is what the answer cost, in words."""
    snapshot = current_snapshot()
    stations = [_rule(decision)]
    stations += [
        Station("skip-step", _("Something else was looked at"), in_words(note)) for note in decision.get("notes", [])
    ]
    tried = {f"{attempt.provider}:{attempt.model}" for attempt in attempts}
    answered = any(attempt.status == "ok" for attempt in attempts)
    candidates: list[dict[str, Any]] = decision.get("candidates", [])
    for each in candidates:
        if not each["usable"]:
            name = chosen(each["model"], snapshot).name
            stations.append(
                Station("skip-step", _("%(model)s was left out") % {"model": name}, in_words(each["verdict"]))
            )
    stations += [_attempt(attempt, paid, snapshot) for attempt in attempts]
    for each in candidates:
        if each["usable"] and each["model"] not in tried and answered:
            name = chosen(each["model"], snapshot).name
            stations.append(
                Station("skip-step", _("%(model)s was not needed") % {"model": name}, in_words(each["verdict"]))
            )
    problem = decision.get("problem")
    if problem:
        stations.append(Station("bad", _("Nobody was asked"), problem["message"]))
    return stations


def _rule(decision: dict[str, Any]) -> Station:
    reason = str(decision.get("reason", ""))
    rule = next((each for each in RULES if reason.startswith(each)), "")
    name, _colon, order = reason.removeprefix(rule).strip().partition(": ")
    titles = {
        "ROUTE": _("A route was followed"),
        "TEAM DEFAULT": _("The team's default model"),
        "HOUSE DEFAULT": _("The organisation's default model"),
        "NO DEFAULT": _("No default model is set"),
        "EXPLICIT": _("Named in the request"),
        "ALIAS": _("An alias was named"),
        "BARE": _("A model was named, without a provider"),
        "UNKNOWN": _("The name is not known"),
    }
    said = in_words(order) if rule == "ROUTE" else order_in_words(order)
    words = _("%(name)s: %(order)s") % {"name": name, "order": said} if order else name
    return Station("hit", titles.get(rule, rule or reason), words)


def _attempt(attempt: Attempt, paid: str, snapshot: Snapshot) -> Station:
    name = chosen(f"{attempt.provider}:{attempt.model}", snapshot).name
    took = formats.duration(attempt.duration_ms)
    if attempt.status == "ok":
        first = formats.duration(attempt.first_token_ms) if attempt.first_token_ms is not None else took
        return Station("ok", _("%(model)s answered") % {"model": name}, paid, first)
    if attempt.status == "cancelled":
        return Station("skip-step", _("%(model)s was stopped") % {"model": name}, "", took)
    said = attempt.error_message or attempt.error_code
    return Station("bad", _("%(model)s failed") % {"model": name}, said, took)
