"""The first page of all: whoever holds the printed link makes the house theirs."""

from __future__ import annotations

from typing import Any

from allauth.account.utils import perform_login
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.models import Organisation
from console.access import public
from console.audit import record
from console.claims import AlreadyClaimed, Founding, found, is_claimed, open_code
from console.forms.choices import languages
from console.forms.welcome import WelcomeForm
from console.guesses import guess
from console.models import ClaimCode
from console.passwords import verdict
from console.views.answers import from_htmx, page, refused_form

PASSWORD_FIELDS = ("password", "password1", "new")  # as the forms that ask for a new one call it


@public
@require_safe
def how(request: HttpRequest) -> HttpResponse:
    """Nobody owns the house yet, and this browser has no link."""
    return redirect("overview") if is_claimed() else render(request, "welcome/how.html", {"reason": "none"})


@public
@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def claim(request: HttpRequest, code: str) -> HttpResponse:
    now = timezone.now()
    opened = open_code(code, now)
    if opened is None:
        return _closed(request)
    if request.method == "POST":
        return _claimed(request, opened)
    form = WelcomeForm(initial=_guessed(request))
    return page(request, "welcome/claim.html", _context(form, opened), part="house")


@csrf_exempt
@public
@never_cache
@sensitive_post_parameters(*PASSWORD_FIELDS)
@require_POST
def password_verdict(request: HttpRequest) -> HttpResponse:
    """Said while it is typed. By POST, so that no log and no history ever holds it.

    It changes nothing and knows nobody, so it asks for no token: signing in changes the token while a verdict may
    still be on its way, and that must not be an error in somebody's first minute.
    """
    typed = next((request.POST[name] for name in PASSWORD_FIELDS if request.POST.get(name)), "")[:512]
    return render(request, "welcome/claim.html#verdict", {"verdict": verdict(typed) if typed else None})


def _claimed(request: HttpRequest, opened: ClaimCode) -> HttpResponse:
    form = WelcomeForm(request.POST)
    if not form.is_valid():
        return refused_form(request, "welcome/claim.html", _context(form, opened))
    answers: dict[str, Any] = form.cleaned_data
    try:
        owner, __ = found(opened, Founding(**answers, team=_("Everyone")), timezone.now())
    except AlreadyClaimed:
        return _closed(request)
    record(owner, "claim", Organisation.get(), request=request)
    response: HttpResponse = perform_login(request, owner, redirect_url=reverse("play"))
    return response


def _context(form: WelcomeForm, opened: ClaimCode) -> dict[str, Any]:
    return {"form": form, "code": opened, "version": settings.VERSION}


def _closed(request: HttpRequest) -> HttpResponse:
    reason = "claimed" if is_claimed() else "ended"
    return render(request, "welcome/how.html", {"reason": reason}, status=404 if reason == "ended" else 410)


def _guessed(request: HttpRequest) -> dict[str, str]:
    zone = request.GET.get("zone", "") if from_htmx(request) else ""
    house = guess(request.headers.get("Accept-Language", ""), zone)
    organisation = Organisation.get()
    language = (get_language() or "").partition("-")[0]
    return {
        "organisation": organisation.name,
        "time_zone": house.time_zone,
        "currency": house.currency,
        "language": language if language in dict(languages()) else organisation.language,
    }
