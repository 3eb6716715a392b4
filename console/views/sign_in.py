"""allauth's pages where they need a word more: how long to wait, what to do without mail, a company that is away."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from allauth.account import views as allauth_views
from allauth.socialaccount.providers.openid_connect import views as company_views
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from requests import RequestException  # what allauth asks the company with

from console.access import public
from console.accounts import company_refusal
from console.claims import is_claimed
from console.mail import mail_configured

logger = logging.getLogger(__name__)


@public
def sign_in(request: HttpRequest) -> HttpResponse:
    """A refused try answers 422, one too many 429 with the seconds to wait: programs see it too, not only people."""
    if not is_claimed():
        return redirect("welcome-how")
    response: HttpResponse = allauth_views.login(request)
    context: dict[str, Any] = getattr(response, "context_data", None) or {}
    form = context.get("form")
    if request.method == "POST" and form is not None and form.errors:
        response.status_code = 422
        if form.retry_after:
            response.status_code = 429
            response["Retry-After"] = str(form.retry_after)
    return response


@public
def forgotten(request: HttpRequest) -> HttpResponse:
    if not mail_configured():
        return render(request, "account/no_mail.html")
    response: HttpResponse = allauth_views.password_reset(request)
    return response


@public
def to_company(request: HttpRequest, provider_id: str) -> HttpResponse:
    return _asking_company(company_views.login, request, provider_id)


@public
def from_company(request: HttpRequest, provider_id: str) -> HttpResponse:
    return _asking_company(company_views.callback, request, provider_id)


def _asking_company(view: Callable[..., HttpResponse], request: HttpRequest, provider_id: str) -> HttpResponse:
    """Its configuration is read first, which allauth takes for granted."""
    try:
        return view(request, provider_id)
    except (RequestException, KeyError) as error:
        # A KeyError is an address that its configuration does not name.
        logger.warning("the company sign-in does not answer: %s", type(error).__name__)
        return company_refusal(request, _("The company sign-in does not answer."))
