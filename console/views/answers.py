"""How a page answers: whole, or the part that htmx asked for; and after a change, where the browser goes next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django_htmx.http import HttpResponseClientRedirect

from console.models import User


def person_of(request: HttpRequest) -> User:
    """Who is asking, where the view has a mark that lets only signed-in people through."""
    person = request.user
    if not isinstance(person, User):
        raise PermissionDenied
    return person


def from_htmx(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request") == "true"


def page(
    request: HttpRequest, template: str, context: Mapping[str, Any], *, part: str = "", status: int = 200
) -> HttpResponse:
    """The whole page, or its named part when htmx asks and there is one."""
    name = f"{template}#{part}" if part and from_htmx(request) else template
    return render(request, name, dict(context), status=status)


def refused_form(request: HttpRequest, template: str, context: Mapping[str, Any], *, part: str = "") -> HttpResponse:
    """What was typed comes back with the fields that are wrong."""
    return page(request, template, context, part=part, status=422)


def go(request: HttpRequest, to: Any, *args: Any) -> HttpResponse:
    """On to another page after a change. htmx would swap a redirect's page into the form, so it is told to leave."""
    response = redirect(to, *args)
    return HttpResponseClientRedirect(response["Location"]) if from_htmx(request) else response


def kept_from_caches(response: HttpResponse) -> HttpResponse:
    """For pages that show a link or a code once."""
    response["Cache-Control"] = "no-store"
    return response


def query_of(request: HttpRequest, *names: str) -> str:
    """The parts of the address that the links of a list keep: `state=archived&q=data&`."""
    kept = {name: request.GET[name] for name in names if request.GET.get(name)}
    return urlencode(kept) + "&" if kept else ""
