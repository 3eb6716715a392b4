"""The first page: is anything wrong, what happened, and on the first day what to do first."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from console import fleet, overview
from console.access import can, needs, public, to_sign_in
from console.claims import is_claimed
from console.house import organisation_of
from console.invitations import absolute
from console.models import User
from console.views.answers import go, page, person_of


@public
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """Nobody's house yet: how to claim it. A stranger: sign in. Everybody else: their overview."""
    if not isinstance(request.user, User):
        return to_sign_in(request) if is_claimed() else redirect("welcome-how")
    return _overview(request)


@needs("overview.see")
@require_POST
def hide_steps(request: HttpRequest) -> HttpResponse:
    person = person_of(request)
    person.checklist_hidden = True
    person.save(update_fields=["checklist_hidden"])
    messages.info(request, _("First steps are hidden. The command palette brings them back."))
    return go(request, "overview")


@needs("overview.see")
def _overview(request: HttpRequest) -> HttpResponse:
    person, now = person_of(request), timezone.now()
    everybody = can(person, "requests.see_all") and can(person, "costs.see_all")
    steps = overview.steps_for(person)
    asked_for = request.GET.get("steps") == "show"
    left = [step for step in steps if not step.done]
    context: dict[str, Any] = {
        "day": overview.last_day(now, None if everybody else person),
        "everybody": everybody,
        "steps": steps if asked_for or (left and not person.checklist_hidden) else [],
        "steps_done": len(steps) - len(left),
        "next_step": left[0].key if left else "",
        "counts": overview.provider_counts(),
        "may_play": can(person, "play.use"),
        "may_make_keys": can(person, "keys.change"),
        "may_see_providers": can(person, "providers.see"),
        "base": absolute("/v1", request),
    }
    if context["may_see_providers"]:
        context["providers"] = overview.listed_providers()
        context["ailing"] = [row for row in fleet.judged(now) if row.status.attention]
    if can(person, "audit.see"):
        context["changes"] = overview.changes()
    if context["may_make_keys"]:
        default = organisation_of(request).default_model
        context |= {"example_model": overview.example_model(default), "example_team": overview.example_team(person)}
    return page(request, "overview/overview.html", context)
