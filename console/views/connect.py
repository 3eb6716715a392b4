"""Connecting a provider: the catalogue of kinds, the form of one kind, the check of a draft, and keeping it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console.access import needs
from console.audit import fields_of, record
from console.connecting import LINES, Found, Line, after, check, connect, found, waiting_words, with_variable
from console.forms.connect import ChoiceForm, DraftForm
from console.house import organisation_of
from console.verdicts import in_words
from console.views.answers import from_htmx, go, kept_from_caches, page, person_of
from providers import discovery
from providers.adapters import speaks
from providers.models import Provider
from providers.registry import KINDS, Kind, Place

FIELDS = ("name", "slug", "kind", "base_url", "enabled", "priority", "options")
TEMPLATE = "providers/add.html"


@dataclass(frozen=True, slots=True)
class Offer:
    """A tile of the catalogue."""

    kind: Kind
    words: str | Promise
    connected: int
    ready: bool  # may be connected


@needs("providers.change")
@require_safe
def add(request: HttpRequest) -> HttpResponse:
    return page(request, TEMPLATE, _catalogue(request), part="catalogue")


@needs("providers.change")
@require_safe
def discover(request: HttpRequest) -> HttpResponse:
    """Servers of our own that answer where they usually are and are not connected yet."""
    known = set(Provider.objects.values_list("kind", flat=True))
    offers = [(server, KINDS[server.kind]) for server in discovery.found() if server.kind not in known]
    return render(request, "providers/_discovered.html", {"servers": offers})


@needs("providers.change")
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def one_kind(request: HttpRequest, slug: str) -> HttpResponse:
    kind = _kind(slug)
    if request.method != "POST":
        initial = {"base_url": request.GET["address"]} if request.GET.get("address") else {}
        form = DraftForm(kind=kind, initial=initial)
        return _form(request, form, ChoiceForm(currency=organisation_of(request).currency))
    form, choices = DraftForm(request.POST, kind=kind), ChoiceForm(request.POST)
    if not (form.is_valid() & choices.is_valid()):
        return _form(request, form, choices, status=422)
    actor = person_of(request)
    try:
        provider, problem = connect(form.draft, choices.choice, enable="enable" in request.POST, by=actor.pk)
    except IntegrityError:  # somebody took the name in the same moment
        form.add_error("name", _("This name is taken."))
        return _form(request, form, choices, status=422)
    record(actor, "create", provider, after=fields_of(provider, *FIELDS), request=request)
    for credential in provider.credentials.all():
        record(actor, "add", credential, after={"ends_in": credential.last_four}, request=request)
    _tell(request, provider, problem)
    return go(request, "provider-detail", provider.slug)


@needs("providers.change")
@sensitive_post_parameters()
@require_POST
def check_draft(request: HttpRequest, line: str = "reached") -> HttpResponse:
    """One line of the check; its answer asks for the next one. Without scripts all of them at once."""
    if line not in LINES:
        raise Http404
    kind = _kind(request.POST.get("kind", ""))
    form = DraftForm(request.POST, kind=kind, checking=True)
    if not from_htmx(request):
        return _checked_at_once(request, form)
    context: dict[str, Any] = {"form": form, "first": line == "reached"}
    if not form.is_valid():
        return kept_from_caches(render(request, "providers/_checks.html", context | {"incomplete": True}))
    draft = with_variable(form.draft)
    told = check(draft, line)
    context |= {"lines": [told], "next": _next(told), "next_words": waiting_words(_next(told)) if _next(told) else ""}
    if told.name == "models" and told.ok:
        context |= _found_context(found(draft))
        context["choices"] = ChoiceForm(currency=organisation_of(request).currency)
    return kept_from_caches(render(request, "providers/_checks.html", context))


# -- what the pages show ---------------------------------------------------------------


def _catalogue(request: HttpRequest) -> dict[str, Any]:
    typed = request.GET.get("q", "").strip()[:60]
    counts: dict[str, int] = {}
    for slug in Provider.objects.values_list("kind", flat=True):
        counts[slug] = counts.get(slug, 0) + 1
    offers = [
        Offer(kind, _words(kind), counts.get(kind.slug, 0), not kind.retired and speaks(kind))
        for kind in sorted(KINDS.values(), key=_is_any)  # what has no vendor stands last
        if typed.lower() in f"{kind.name} {kind.slug}".lower() and kind.place is not Place.INSIDE
    ]
    groups = [(label, [offer for offer in offers if belongs(offer.kind)]) for label, belongs in GROUPS]
    return {"groups": [(label, tiles) for label, tiles in groups if tiles], "q": typed}


def _is_any(kind: Kind) -> bool:
    return not kind.base_url and not kind.variable


def _is_cloud(kind: Kind) -> bool:
    return kind.place is Place.CLOUD and not (kind.eu or kind.gathers or kind.retired)


GROUPS = (
    (gettext_lazy("Cloud"), _is_cloud),
    (gettext_lazy("Hosted in the EU"), lambda kind: kind.eu and not kind.retired),
    (gettext_lazy("On your own machines"), lambda kind: kind.place is Place.LOCAL),
    (gettext_lazy("Aggregators"), lambda kind: kind.gathers),
    (gettext_lazy("Retired"), lambda kind: bool(kind.retired)),
)


def _words(kind: Kind) -> str | Promise:
    if kind.retired:
        return kind.retired
    if not speaks(kind):
        return _("Not spoken yet")
    if kind.place is Place.LOCAL:
        return urlsplit(kind.base_url).netloc or _("Address of your own")
    if not kind.key_required:
        return _("Address, and a key if it wants one")
    return _("Key, or several parts") if kind.parts else _("API key")


def _kind(slug: str) -> Kind:
    kind = KINDS.get(slug)
    if kind is None or kind.retired or kind.place is Place.INSIDE or not speaks(kind):
        raise Http404
    return kind


def _form(
    request: HttpRequest, form: DraftForm, choices: ChoiceForm, *, status: int = 200, **more: Any
) -> HttpResponse:
    """The whole page, the drawer for htmx, or after a refusal only what is wrong: what was typed stays where it is."""
    context: dict[str, Any] = {"form": form, "choices": choices, "kind": form.kind, "faults": _faults(form, choices)}
    context |= more
    if from_htmx(request):
        template = "providers/_refused.html" if status == 422 else "providers/_connect.html"
        return kept_from_caches(render(request, template, context, status=status))
    return kept_from_caches(render(request, TEMPLATE, _catalogue(request) | context, status=status))


def _faults(*forms: Any) -> list[Any]:
    return [form for form in forms if form.is_bound and form.errors]


def _checked_at_once(request: HttpRequest, form: DraftForm) -> HttpResponse:
    choices = ChoiceForm(currency=organisation_of(request).currency)
    if not form.is_valid():
        return _form(request, form, choices, status=422)
    draft, lines, name = with_variable(form.draft), [], "reached"
    while name:
        told = check(draft, name)
        lines.append(told)
        name = _next(told)
    shown = DraftForm(request.POST, kind=form.kind, checking=True)
    more = _found_context(found(draft)) if lines[-1].name == "models" and lines[-1].ok else {}
    return _form(request, shown, choices, lines=lines, **more)


def _next(told: Line) -> str:
    """A model that does not answer leaves its provider's list as readable as before."""
    return after(told.name) if told.ok or told.name == "stream" else ""


def _found_context(models: Iterable[Found]) -> dict[str, Any]:
    rows = list(models)
    return {"models": rows, "unpriced": sum(model.price is None for model in rows)}


def _tell(request: HttpRequest, provider: Provider, problem: str) -> None:
    count = provider.models.filter(active=True).count()
    if problem:
        words = _("%(name)s is saved, but cannot answer yet: %(problem)s")
        messages.warning(request, words % {"name": provider.name, "problem": in_words(problem)})
        return
    if provider.enabled:
        words = ngettext("%(name)s connected, %(count)d model", "%(name)s connected, %(count)d models", count)
    else:
        words = ngettext("%(name)s saved and off, %(count)d model", "%(name)s saved and off, %(count)d models", count)
    messages.success(request, words % {"name": provider.name, "count": count})
