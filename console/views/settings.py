"""How this installation behaves, section by section."""

from __future__ import annotations

import platform
from typing import Any

import django
from django.conf import settings
from django.contrib import messages
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from billing.models import Organisation
from console.access import can, needs, require
from console.accounts import company_sign_in, default_role
from console.audit import fields_of, record
from console.forms.settings import GeneralForm
from console.mail import mail_configured
from console.models import Role
from console.views.access import reasons_for
from console.views.answers import go, page, person_of, refused_form
from providers.models import Configuration

FIELDS = ("name", "label", "time_zone", "currency", "language", "default_model")


@needs("settings.see")
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    return redirect("settings-general")


@needs("settings.see")
@require_http_methods(["GET", "HEAD", "POST"])
def general(request: HttpRequest) -> HttpResponse:
    house = Organisation.get()
    before = fields_of(house, *FIELDS)
    if request.method != "POST":
        context = _context(request, form=GeneralForm(instance=house), house=house)
        return page(request, "settings/general.html", context)
    require(request, "settings.change")
    form = GeneralForm(request.POST, instance=house)
    if not form.is_valid():
        return refused_form(request, "settings/general.html", _context(request, form=form, house=house), part="form")
    form.save()
    record(person_of(request), "change", house, before=before, after=fields_of(house, *FIELDS), request=request)
    messages.success(request, _("Settings are saved."))
    return go(request, "settings-general")


@needs("settings.see")
@require_safe
def sign_in(request: HttpRequest) -> HttpResponse:
    """Facts that the environment decides, so there is nothing to press."""
    context = _context(
        request,
        company=company_sign_in(),
        issuer=settings.OIDC_SERVER_URL,
        default_role=Role(default_role()).label,
        mail=mail_configured(),
        sender=settings.DEFAULT_FROM_EMAIL,
        site_url=settings.SITE_URL,
        days=settings.SESSION_COOKIE_AGE // 86400,
        https=settings.HTTPS,
    )
    return page(request, "settings/sign_in.html", context)


@needs("settings.see")
@require_safe
def about(request: HttpRequest) -> HttpResponse:
    configuration = Configuration.objects.filter(id=1).first()
    context = _context(
        request,
        version=settings.VERSION,
        python=platform.python_version(),
        django=django.get_version(),
        database=connection.display_name,
        redis=bool(settings.REDIS_URL),
        state=str(settings.RELAYHOUSE_STATE) if can(request.user, "settings.change") else "",
        revision=configuration.revision if configuration else 1,
    )
    return page(request, "settings/about.html", context)


def _context(request: HttpRequest, **more: Any) -> dict[str, Any]:
    may_change = can(request.user, "settings.change")
    needed = "" if may_change else reasons_for(request, "settings.change")["needed"]
    return {"may_change": may_change, "needed": needed} | more
