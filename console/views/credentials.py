"""The keys of one provider: adding one, checking it, putting another in its place, switching it off, removing it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import Max
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.models import Attempt
from console import keyring
from console.access import needs
from console.audit import record
from console.connecting import LINES, after, waiting_words
from console.connecting import check as ask
from console.forms.provider import KeyForm
from console.models import AuditEntry
from console.views.answers import from_htmx, go, kept_from_caches, page, person_of
from console.views.provider import context_of, provider_at
from console.views.undo import with_undo
from providers.models import Credential, Provider
from providers.registry import KINDS
from providers.vault import SealBroken

TEMPLATE = "providers/credentials.html"


@needs("providers.see")
@require_safe
def index(request: HttpRequest, slug: str) -> HttpResponse:
    return page(request, TEMPLATE, _keys(request, provider_at(slug)))


@needs("providers.change")
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest, slug: str) -> HttpResponse:
    provider = provider_at(slug)
    kind = KINDS[provider.kind]
    form = KeyForm(request.POST or None, provider=provider, kind=kind)
    if request.method != "POST":
        return _form(request, provider, form)
    if not form.is_valid() or not _accepted(form):
        return _form(request, provider, form, status=422)
    key = keyring.add(provider, form.cleaned_data["name"], form.draft, form.cleaned_data["weight"])
    record(person_of(request), "add", key, after={"ends_in": key.last_four, "weight": key.weight}, request=request)
    messages.success(request, _("The key %(name)s is in use.") % {"name": key.name})
    return go(request, "provider-credentials", provider.slug)


@needs("providers.change")
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def rotate(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """A new key in the place of an old one, which goes on for a while. The new one is checked first."""
    provider = provider_at(slug)
    old = get_object_or_404(provider.credentials, pk=pk)
    form = KeyForm(request.POST or None, provider=provider, kind=KINDS[provider.kind], old=old)
    if request.method != "POST":
        return _form(request, provider, form)
    if not form.is_valid() or not _accepted(form):
        return _form(request, provider, form, status=422)
    new = keyring.replace(old, form.draft, form.until)
    before, told = {"ends_in": old.last_four}, {"ends_in": new.last_four, "old_until": form.until}
    record(person_of(request), "rotate", new, before=before, after=told, request=request)
    messages.success(request, _("The key %(name)s is rotated. The old one goes on until it ends.") % {"name": new.name})
    return go(request, "provider-credentials", provider.slug)


@needs("providers.change")
@require_POST
def check(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Try a key that is kept, line by line like a draft."""
    provider = provider_at(slug)
    key = get_object_or_404(provider.credentials, pk=pk)
    name = request.POST.get("line") or "reached"
    if name not in LINES:
        raise Http404
    try:
        draft = keyring.with_key(provider, KINDS[provider.kind], key)
    except SealBroken:
        keyring.note_problem(key, "The API key cannot be opened with this key ring: enter it again.")
        messages.error(request, _("This key cannot be opened with this key ring: enter it again."))
        return go(request, "provider-credentials", provider.slug)
    lines, first = [], name == "reached"
    while name:
        told = ask(draft, name)
        lines.append(told)
        if told.name == "key":
            detail = (told.trouble.detail or told.words) if told.trouble else ""
            refused = told.trouble is not None and told.trouble.key_is_fine is False
            keyring.note_problem(key, detail if refused else "")
        name = after(told.name) if told.ok or told.name == "stream" else ""
        if from_htmx(request):
            break
    context = {"lines": lines, "next": name, "next_words": waiting_words(name) if name else "", "key": key}
    context |= {"first": first, "provider": provider}
    if from_htmx(request):
        return render(request, "providers/_key_check.html", context)
    return page(request, TEMPLATE, _keys(request, provider) | {"checked": context})


@needs("providers.change")
@require_POST
def weight(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    provider = provider_at(slug)
    key = get_object_or_404(provider.credentials, pk=pk)
    typed = request.POST.get("weight", "")
    if not typed.isdecimal() or int(typed) > 1000:
        messages.error(request, _("A weight is a whole number from 0 to 1,000."))
        return go(request, "provider-credentials", provider.slug)
    before, key.weight = key.weight, int(typed)
    key.save(update_fields=["weight"])
    record(person_of(request), "change", key, before={"weight": before}, after={"weight": key.weight}, request=request)
    messages.success(request, _("The weight of %(name)s is saved.") % {"name": key.name})
    return go(request, "provider-credentials", provider.slug)


@needs("providers.change")
@require_POST
def state(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """On or off. The other one undoes it."""
    provider = provider_at(slug)
    key = get_object_or_404(provider.credentials, pk=pk)
    wanted = request.POST.get("enabled") == "on"
    if key.enabled != wanted:
        key.enabled = wanted
        key.save(update_fields=["enabled"])
        verb = "activate" if wanted else "deactivate"
        record(person_of(request), verb, key, request=request)
    words = _("The key %(name)s is on.") if wanted else _("The key %(name)s is off.")
    back = {} if wanted else {"enabled": "on"}
    with_undo(request, words % {"name": key.name}, reverse("credential-state", args=[provider.slug, pk]), back)
    return go(request, "provider-credentials", provider.slug)


@needs("providers.change")
@require_POST
def delete(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """For good: what was sealed is gone."""
    provider = provider_at(slug)
    key = get_object_or_404(provider.credentials, pk=pk)
    record(person_of(request), "delete", key, before={"ends_in": key.last_four}, request=request)
    name = key.name
    key.delete()
    messages.success(request, _("The key %(name)s is removed.") % {"name": name})
    return go(request, "provider-credentials", provider.slug)


# -- what the pages show -----------------------------------------------------------------


def _accepted(form: KeyForm) -> bool:
    """A new key is tried before it is used. Whoever knows better may keep it all the same."""
    if form.cleaned_data["anyway"]:
        return True
    problem = keyring.try_key(form.draft)
    if problem:
        form.add_error("key", problem)
    return not problem


def _form(request: HttpRequest, provider: Provider, form: KeyForm, *, status: int = 200) -> HttpResponse:
    context = {"form": form, "kind": form.kind, "provider": provider, "old": form.old, "failed": status == 422}
    if from_htmx(request):
        template = "providers/_key_refused.html" if status == 422 else "providers/_key_form.html"
        return kept_from_caches(render(request, template, context, status=status))
    return kept_from_caches(page(request, TEMPLATE, _keys(request, provider) | context, status=status))


def _keys(request: HttpRequest, provider: Provider) -> dict[str, Any]:
    now = timezone.now()
    keys = list(provider.credentials.order_by("id"))
    used = dict(
        Attempt.objects.filter(provider_id=provider.pk, credential_id__in=[key.pk for key in keys])
        .values_list("credential_id")
        .annotate(last=Max("started_at"))
    )
    rows = [
        {"key": key, "state": keyring.state_of(key, now), "used": used.get(key.pk), "by": _maker(key)} for key in keys
    ]
    total = sum(key.weight for key in keyring.lasting(provider, now))
    return context_of(request, provider, "credentials") | {"keys": rows, "total": total, "now": now}


def _maker(key: Credential) -> str:
    made = AuditEntry.objects.filter(object_kind="credential", object_id=str(key.pk), verb__in=("add", "rotate"))
    return made.order_by("id").values_list("actor_name", flat=True).first() or ""
