"""Refusals, told inside the shell: what is needed, who can grant it, and a button that asks them."""

from __future__ import annotations

import json
import time
from typing import Any, cast

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from console import throttle
from console.access import ACTIONS, RANK, signed_in
from console.audit import Named, record
from console.house import organisation_of
from console.invitations import absolute
from console.mail import mail_configured, send
from console.models import Role, User
from console.people import owners
from console.views.errors import around

SHOWN_OWNERS = 3


def refused(request: HttpRequest, action: str) -> HttpResponse:
    """The page that is seen instead, with status 403. A fragment gets the sentence as a toast."""
    context = reasons_for(request, action)
    if request.headers.get("HX-Request") == "true":
        words = {"title": _("You can look, not change"), "detail": str(context["needed"]), "kind": "bad"}
        return HttpResponse(status=403, headers={"HX-Trigger": json.dumps({"toast": words})})
    return render(request, "403.html", context, status=403)


def busy(request: HttpRequest) -> HttpResponse:
    """Something else holds what this change needs; it is over in seconds."""
    response = render(request, "503.html", around(request), status=503)
    response.headers["Retry-After"] = "5"
    return response


@signed_in
@require_POST
def ask(request: HttpRequest) -> HttpResponse:
    """Tells the owners that somebody would like to do this. Once a day is enough for each wish."""
    action = request.POST.get("action", "")
    if action not in ACTIONS:
        raise Http404("There is no such permission.")
    person = cast(User, request.user)
    wish = {f"ask:{person.pk}:{action}": throttle.Limit(1, 24 * 3600)}
    if not throttle.take(wish, time.time()).allowed:
        messages.info(request, _("You have asked already. The owners know."))
        return redirect("/")
    record(person, "ask", Named("access", action, action), request=request)
    names = [str(owner) for owner in owners()[:SHOWN_OWNERS]]
    if _mail_owners(request, person, action):
        messages.success(request, _("Asked. %(names)s got a mail.") % {"names": _listed(names)})
    elif mail_configured():
        messages.warning(request, _("Noted, but the mail was not sent. Tell %(names)s.") % {"names": _listed(names)})
    else:
        messages.info(
            request, _("Noted in the audit log. Mail is not set up, so tell %(names)s.") % {"names": _listed(names)}
        )
    return redirect("/")


def reasons_for(request: HttpRequest, action: str) -> dict[str, Any]:
    lowest = min(RANK[role] for role in ACTIONS[action])
    roles = [role for role in Role if role in ACTIONS[action] and RANK[role] == lowest]
    names = [str(owner) for owner in owners()[:SHOWN_OWNERS]]
    return {
        "action": action,
        "unseen": action.partition(".")[2].startswith("see"),
        "needed": _("This needs the role %(roles)s, or a higher one.")
        % {"roles": _listed([str(r.label) for r in roles])},
        "granted_by": _listed(names),
    }


def _listed(words: list[str]) -> str:
    """ "a, b or c" """
    if len(words) < 2:
        return "".join(words)
    return _("%(first)s or %(last)s") % {"first": ", ".join(words[:-1]), "last": words[-1]}


def _mail_owners(request: HttpRequest, person: User, action: str) -> bool:
    context = {
        "person": person,
        "action": action,
        "organisation": organisation_of(request),
        "link": absolute(reverse("person-detail", args=[person.pk]), request),
    }
    return send("access_request", [owner.email for owner in owners()], context)
