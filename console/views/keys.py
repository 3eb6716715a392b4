"""All API keys: who can call, and how much may each use? The list, and making one. One key is in key.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from console import issuing, keylist
from console.access import needs
from console.forms.keys import KeyForm
from console.holders import Person
from console.house import organisation_of
from console.invitations import absolute
from console.issuing import Actor
from console.keyuse import month_so_far
from console.overview import example_model
from console.picking import current_snapshot
from console.views.access import reasons_for
from console.views.answers import from_htmx, kept_from_caches, person_of
from routing.engine import AUTO
from routing.models import ApiKey

LIST = "keys/list.html"


@needs("keys.see")
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    template = "keys/live.html" if from_htmx(request) else LIST
    answer = render(request, template, listed(request))
    answer["Vary"] = "HX-Request"
    return answer


@needs("keys.see_all")
@require_safe
def month(request: HttpRequest) -> HttpResponse:
    """The foot of the list, which looks at a whole month and so comes after the page."""
    now = timezone.localtime(timezone.now())
    return render(request, "keys/_month.html", {"month": month_so_far(now), "now": now})


@needs("keys.make_own")
@sensitive_variables("secret")
@require_http_methods(["GET", "HEAD", "POST"])
def create(request: HttpRequest) -> HttpResponse:
    keeper = Person(person_of(request))
    form = KeyForm(
        request.POST if request.method == "POST" else None,
        keeper=keeper,
        snapshot=current_snapshot(),
        team=request.GET.get("team", ""),
    )
    if request.method != "POST" or not form.is_valid() or form.chosen is None:
        return _form(request, form, 422 if form.is_bound else 200)
    actor = Actor(keeper.user, request=request)
    key, secret = issuing.create(actor, form.chosen, form.values, form.spending)
    return shown_once(request, key, secret)


def listed(request: HttpRequest) -> dict[str, Any]:
    """What the list and its filters show."""
    person, now = Person(person_of(request)), timezone.now()
    view = keylist.View(request.GET, person)
    page = keylist.rows_at(person, view, now)
    may_make = person.makes_keys
    context: dict[str, Any] = {
        "view": view,
        "columns": view.columns(),
        "chips": view.chips(keylist.counts_of(person, now)),
        "rows": keylist.told(person, page.rows, now),
        "first": "" if page.is_first else view.query(),
        "next": view.query(after=page.next) if page.next else "",
        "may_make": may_make,
        "sees_all": person.sees_all,
        "base": absolute("/v1", request),
    }
    return context if may_make else context | {"needed": reasons_for(request, "keys.change")["needed"]}


@sensitive_variables("secret")
def shown_once(request: HttpRequest, key: ApiKey, secret: str, *, old_until: datetime | None = None) -> HttpResponse:
    """The one answer that carries a secret. It is in no cache, no log and no session."""
    context = {
        "key": key,
        "secret": secret,
        "model": _example(request, key),
        "base": absolute("/v1", request),
        "old_until": old_until,  # of a key that was rotated
        "since": int(timezone.now().timestamp()),
    }
    if from_htmx(request):
        return kept_from_caches(render(request, "keys/made.html", context | listed(request)))
    return kept_from_caches(render(request, "keys/secret.html", context))


def _form(request: HttpRequest, form: KeyForm, status: int) -> HttpResponse:
    if from_htmx(request):
        template = "keys/_fields.html" if form.is_bound else "keys/_form.html"
        return kept_from_caches(render(request, template, {"form": form}, status=status))
    return kept_from_caches(render(request, LIST, listed(request) | {"form": form}, status=status))


def _example(request: HttpRequest, key: ApiKey) -> str:
    """A model that this key may ask for, and that would answer."""
    if key.allowed_models:
        return str(key.allowed_models[0])
    house = organisation_of(request).default_model
    if key.use_case or house or (key.team is not None and key.team.default_model):
        return AUTO
    return example_model(house) or AUTO
