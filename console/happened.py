"""What happened to this request? A title, a badge and one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.models import Attempt, Request
from console import formats
from console.faults import reason, why
from console.picking import chosen
from providers.errors import Interrupted
from routing.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Happened:
    title: str
    badge: tuple[str, str]  # its tone, its word
    sentence: str


def happened(request: Request, attempts: Sequence[Attempt], snapshot: Snapshot) -> Happened:
    if request.status == "ok":
        return _answered(request, attempts, snapshot)
    last = _name(attempts[-1], snapshot) if attempts else ""
    took = formats.duration(request.duration_ms)
    if request.status == "cancelled":
        return Happened(_("Cancelled"), ("", _("Cancelled")), _cancelled(request, last, took))
    if request.status == "interrupted":
        return Happened(_("Broken off"), ("bad", _("Broken off")), _interrupted(request, last, took))
    if not attempts:
        return Happened(_("Refused"), ("bad", _("Refused")), _refused(request))
    sentence = _failures(attempts, snapshot)
    return Happened(_("No provider answered"), ("bad", _("Failed")), sentence)


def _answered(request: Request, attempts: Sequence[Attempt], snapshot: Snapshot) -> Happened:
    by = chosen(f"{request.provider}:{request.model}", snapshot).name
    title = _("Answered by %(model)s") % {"model": by}
    told: dict[str, Any] = {"model": by, "took": formats.duration(request.duration_ms)}
    failed = [attempt for attempt in attempts if attempt.status != "ok"]
    if not failed:
        if request.first_token_ms is None:
            return Happened(title, ("ok", _("Answered")), _("%(model)s answered in %(took)s.") % told)
        told["first"] = formats.duration(request.first_token_ms)
        words = _("%(model)s began to answer after %(first)s and was through after %(took)s.") % told
        return Happened(title, ("ok", _("Answered")), words)
    told |= {"first": _name(failed[0], snapshot), "why": why(failed[0].error_code), "n": len(failed)}
    if len(failed) > 1:
        words = ngettext(
            "%(n)d attempt failed, the first at %(first)s: %(why)s. Then %(model)s answered.",
            "%(n)d attempts failed, the first at %(first)s: %(why)s. Then %(model)s answered.",
            len(failed),
        )
    elif told["first"] == by:
        words = _("%(model)s failed at first: %(why)s. Asked again, it answered.")
    else:
        words = _("%(first)s failed: %(why)s. So %(model)s answered.")
    return Happened(title, ("warn", _("Rerouted")), words % told)


def _failures(attempts: Sequence[Attempt], snapshot: Snapshot) -> str:
    last = attempts[-1]
    told = {"model": _name(last, snapshot), "why": why(last.error_code), "n": len(attempts)}
    words = ngettext(
        "%(model)s was asked and failed: %(why)s.",
        "%(n)d attempts failed, the last at %(model)s: %(why)s.",
        len(attempts),
    )
    return words % told


def _refused(request: Request) -> str:
    problem = request.decision.get("problem") if isinstance(request.decision, dict) else None
    words = reason(request.error_code) if request.error_code else ""
    if problem:
        return _("Nobody was asked. %(problem)s") % {"problem": problem.get("message", "")}
    return _("Nobody was asked: %(why)s.") % {"why": why(request.error_code)} if words else _("Nobody was asked.")


def _interrupted(request: Request, model: str, took: str) -> str:
    told = {"model": model, "took": took, "why": why(request.error_code)}
    if request.error_code in ("", Interrupted.code):
        return _("%(model)s broke off after %(took)s. What had come by then was passed on.") % told
    return _("%(model)s broke off after %(took)s: %(why)s. What had come by then was passed on.") % told


def _cancelled(request: Request, model: str, took: str) -> str:
    told = {"model": model, "took": took}
    if not model:
        return _("The client left after %(took)s, before anybody was asked.") % told
    if request.first_token_ms is None:
        return _("The client left after %(took)s, before %(model)s had begun to answer.") % told
    return _("The client left after %(took)s, while %(model)s was answering.") % told


def _name(attempt: Attempt, snapshot: Snapshot) -> str:
    return chosen(f"{attempt.provider}:{attempt.model}", snapshot).name
