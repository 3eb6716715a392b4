"""Theme and language, changed where they are shown: kept with the person, or in a cookie before they sign in."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from console.access import public
from console.context_processors import THEME_COOKIE
from console.models import User

YEAR = 365 * 24 * 3600


@public
@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    chosen = request.POST.get("theme", "")
    if chosen not in User.Theme.values:
        return HttpResponseBadRequest("There is no such theme.")
    response = _back(request)
    _keep(request, response, "theme", chosen, THEME_COOKIE)
    return response


@public
@require_POST
def language(request: HttpRequest) -> HttpResponse:
    chosen = request.POST.get("language", "")
    if chosen not in dict(settings.LANGUAGES):
        return HttpResponseBadRequest("There is no such language.")
    response = _back(request)
    _keep(request, response, "language", chosen, settings.LANGUAGE_COOKIE_NAME)
    return response


def _keep(request: HttpRequest, response: HttpResponse, field: str, chosen: str, cookie: str) -> None:
    """In both: the sign-in page of this browser then looks like the pages behind it."""
    if isinstance(request.user, User):
        setattr(request.user, field, chosen)
        request.user.save(update_fields=[field])
    response.set_cookie(cookie, chosen, max_age=YEAR, samesite="Lax", secure=settings.SESSION_COOKIE_SECURE)


def _back(request: HttpRequest) -> HttpResponse:
    """To the page it was changed on; a script that changed it itself needs no page."""
    if request.headers.get("HX-Request") == "true":
        return HttpResponse(status=204)
    wanted = request.POST.get("next") or request.headers.get("Referer", "")
    safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return redirect(wanted if safe else "/")
