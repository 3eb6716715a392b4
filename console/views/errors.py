"""Pages for what went wrong: inside the shell where that is possible, one sentence, one action, the request's id."""

from __future__ import annotations

import logging
import sys
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

log = logging.getLogger(__name__)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _plain("400.html", request, 400)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render(request, "404.html", around(request), status=404)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render(request, "403.html", around(request), status=403)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The form was open for too long, or came from elsewhere."""
    log.info("csrf: %s", reason)
    context = {"words": _("This form is no longer valid. Load the page again, then send it once more.")}
    return render(request, "403.html", around(request) | context, status=403)


def server_error(request: HttpRequest) -> HttpResponse:
    """Needs neither database nor session, since one of them may be what broke."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        response = _plain("503.html", request, 503)
        response.headers["Retry-After"] = "5"
        return response
    return _plain("500.html", request, 500)


def around(request: HttpRequest) -> dict[str, Any]:
    """The shell for whoever is signed in, the gate for everybody else."""
    person = getattr(request, "user", None)
    return {"layout": "base.html" if person and person.is_authenticated else "gate.html"}


def _plain(template: str, request: HttpRequest, status: int) -> HttpResponse:
    context = {"brand": settings.BRAND, "request_id": getattr(request, "request_id", ""), "layout": "plain.html"}
    return HttpResponse(render_to_string(template, context), status=status)
