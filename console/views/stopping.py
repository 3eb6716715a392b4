"""Switching a provider off and on, disconnecting it and taking that back. What would stop is said before it does."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console import fleet, stopping
from console.access import needs
from console.audit import Named, fields_of, record
from console.views.answers import from_htmx, go, person_of
from console.views.fleet import shown
from console.views.undo import with_undo
from providers.models import Provider

FIELDS = ("name", "slug", "kind", "base_url", "enabled", "priority")


@needs("providers.change")
@require_POST
def enabled(request: HttpRequest, pk: int) -> HttpResponse:
    """On at once. Off at once where nothing uses it; otherwise it is said first what stops."""
    provider = get_object_or_404(Provider, pk=pk)
    on = request.POST.get("enabled") == "on"
    if provider.enabled == on:
        return _back(request)
    if not on and request.POST.get("sure") != "on":
        effect = stopping.effect_of(provider, timezone.now())
        if effect.in_use:
            return _ask(request, provider, effect, "off")
    before = fields_of(provider, "enabled")
    with transaction.atomic():
        provider.enabled = on
        provider.save(update_fields=["enabled"])
        record(person_of(request), "change", provider, before=before, after={"enabled": on}, request=request)
    fleet.forget()
    words = _("%(name)s is on.") if on else _("%(name)s is off. Nobody calls it from now on.")
    back = {"enabled": "" if on else "on", "sure": "on"}
    with_undo(request, words % {"name": provider.name}, reverse("provider-enabled", args=[pk]), back)
    return _back(request)


@needs("providers.change")
@require_safe
def disable_check(request: HttpRequest, pk: int) -> HttpResponse:
    provider = get_object_or_404(Provider, pk=pk)
    return _ask(request, provider, stopping.effect_of(provider, timezone.now()), "off")


@needs("providers.change")
@require_http_methods(["GET", "HEAD", "POST"])
def disconnect(request: HttpRequest, pk: int) -> HttpResponse:
    provider = get_object_or_404(Provider, pk=pk)
    effect = stopping.effect_of(provider, timezone.now())
    if request.method != "POST":
        return _ask(request, provider, effect, "disconnect")
    named = Named("provider", str(pk), provider.name)
    with transaction.atomic():
        before = fields_of(provider, *FIELDS)
        token = stopping.disconnect(provider)
        record(
            person_of(request), "delete", named, before=before, after=dict(stopping.told_of(effect)), request=request
        )
    fleet.forget()
    words = _("%(name)s is disconnected. Its past stays in requests and costs.") % {"name": before["name"]}
    with_undo(request, words, reverse("provider-reconnect"), {"token": token})
    return go(request, "provider-list")


@needs("providers.change")
@require_POST
def reconnect(request: HttpRequest) -> HttpResponse:
    provider = stopping.reconnect(request.POST.get("token", ""))
    if provider is None:
        messages.error(request, _("It cannot be brought back any more. Connect it again."))
        return go(request, "provider-list")
    fleet.forget()
    record(person_of(request), "restore", provider, after=fields_of(provider, *FIELDS), request=request)
    messages.success(request, _("%(name)s is back, with its keys and models.") % {"name": provider.name})
    return go(request, "provider-list")


def _ask(request: HttpRequest, provider: Provider, effect: stopping.Effect, act: str) -> HttpResponse:
    """The dialog, or without a script a page that says the same."""
    context: dict[str, Any] = {"provider": provider, "effect": effect, "act": act, "back": _from(request)}
    if not from_htmx(request):
        return render(request, "providers/stop.html", context)
    if request.method == "POST":  # the switch: its table stays as it is, and the dialog comes besides
        return shown(request, stop=context)
    return render(request, "providers/_stop.html", context)


def _from(request: HttpRequest) -> str:
    """The page to go back to, when it is one of ours."""
    wanted = request.POST.get("back", "") or request.GET.get("back", "")
    fine = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None, require_https=request.is_secure())
    return wanted if fine else reverse("provider-list")


def _back(request: HttpRequest) -> HttpResponse:
    return shown(request) if from_htmx(request) else redirect(_from(request))
