"""The drawer of one model, with everything that is known of it and may be set by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.contrib import messages
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from billing.prices import set_price
from billing.withdrawal import displaced
from console import dossier, lineup
from console.access import can, needs
from console.audit import Named, fields_of, record
from console.forms.lineup import AliasForm, OverrideForm, PriceForm
from console.house import organisation_of
from console.lineup import Row
from console.views.answers import from_htmx, go, person_of
from console.views.prices import token_of
from console.views.undo import with_undo
from providers import facts
from providers.models import LanguageModel, ModelAlias


@needs("models.see")
@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    return _shown(request, _row(request, pk))


# -- what may be changed ---------------------------------------------------------------------


@needs("models.change")
@require_POST
def override(request: HttpRequest, pk: int) -> HttpResponse:
    row = _row(request, pk)
    form = OverrideForm(request.POST, model=row.model)
    if not form.is_valid():
        return _shown(request, row, status=422, override=form, open="override")
    before = dict(row.model.overrides)
    with transaction.atomic():
        facts.set_override(row.model, **form.values)
        after = dict(row.model.overrides)
        if before != after:
            _note(request, row.model, before, after)
    messages.success(request, _("%(name)s is saved.") % {"name": row.name})
    return _done(request, pk)


@needs("models.change")
@require_POST
def offer(request: HttpRequest, pk: int) -> HttpResponse:
    """On, off, or only as a fallback."""
    row = _row(request, pk)
    model = row.model
    before = fields_of(model, "active", "only_as_fallback")
    after = {name: request.POST.get(name, "") == "on" if name in _sent(request) else before[name] for name in before}
    if after == before:
        return _done(request, pk)
    with transaction.atomic():
        model.active, model.only_as_fallback = after["active"], after["only_as_fallback"]
        model.save(update_fields=["active", "only_as_fallback"])
        _note(request, model, before, after)
    back = {"sent": ",".join(sorted(before)), **{name: "on" for name, value in before.items() if value}}
    _undo(request, _offered(row), reverse("model-offer", args=[pk]), back)
    return _done(request, pk)


def _sent(request: HttpRequest) -> list[str]:
    """What the form is about: a box that is not ticked is not sent."""
    return request.POST.get("sent", "").split(",")


def _offered(row: Row) -> str:
    if not row.model.active:
        words = _("%(name)s is switched off.")
    elif row.model.only_as_fallback:
        words = _("%(name)s is only a fallback now.")
    else:
        words = _("%(name)s is offered everywhere.")
    return words % {"name": row.name}


@needs("models.change")
@require_POST
def add_alias(request: HttpRequest, pk: int) -> HttpResponse:
    row = _row(request, pk)
    form = AliasForm(request.POST)
    if form.is_valid():
        try:
            with transaction.atomic():
                alias = ModelAlias(name=form.cleaned_data["name"], model=row.model)
                alias.save()
                record(person_of(request), "add", _alias(alias), after={"model": row.string}, request=request)
            messages.success(request, _("“%(alias)s” means %(model)s.") % {"alias": alias.name, "model": row.string})
            return _done(request, pk)
        except IntegrityError:  # somebody took the name in the same moment
            form.add_error("name", _("This name is taken."))
    return _shown(request, row, status=422, alias_form=form, open="alias")


@needs("models.change")
@require_POST
def remove_alias(request: HttpRequest, pk: int, alias: int) -> HttpResponse:
    row = _row(request, pk)
    found = get_object_or_404(ModelAlias, pk=alias, model=row.model)
    with transaction.atomic():
        record(person_of(request), "remove", _alias(found), before={"model": row.string}, request=request)
        found.delete()
    words = _("“%(alias)s” means nothing any more.") % {"alias": found.name}
    _undo(request, words, reverse("model-alias-add", args=[pk]), {"name": found.name})
    return _done(request, pk)


@needs("models.change")
@require_POST
def price(request: HttpRequest, pk: int) -> HttpResponse:
    """A new row of the price history; the old ones stay what they were."""
    row = _row(request, pk)
    form = PriceForm(request.POST)
    if not form.is_valid():
        return _shown(request, row, status=422, price_form=form, open="price")
    now, who = timezone.now(), person_of(request).pk
    with transaction.atomic():
        gone = displaced(row.model, form.listed, by=who, now=now)
        kept = set_price(row.model, form.listed, by=who, now=now)
        named = Named("price", str(kept.pk), row.string)
        record(person_of(request), "create", named, after=form.listed.values(), request=request)
    words = _("%(name)s has its new price.") % {"name": row.name}
    _undo(request, words, reverse("price-undo"), {"token": token_of(kept, gone)})
    return _done(request, pk)


def _alias(alias: ModelAlias) -> Named:
    return Named("alias", str(alias.pk), alias.name)


def _note(request: HttpRequest, model: LanguageModel, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    record(person_of(request), "change", model, before=before, after=after, request=request)


# -- the drawer ------------------------------------------------------------------------------


def _row(request: HttpRequest, pk: int) -> Row:
    person, now = person_of(request), timezone.now()
    model = lineup.visible_models(person).filter(pk=pk).first()
    if model is None:
        raise Http404
    served = {model.provider_id}
    if model.canonical:
        others = lineup.visible_models(person).filter(canonical=model.canonical, active=True)
        served |= set(others.values_list("provider_id", flat=True))
    row = Row(model, lineup.costs_at(now, [pk]).get(pk), len(served))
    row.first_ms = lineup.first_tokens(now).get(row.string)
    return row


def _shown(request: HttpRequest, row: Row, *, status: int = 200, **more: Any) -> HttpResponse:
    """The drawer for htmx, a page of its own for whoever has no script or follows a link."""
    person = person_of(request)
    context = dossier.about(row, person, timezone.now()) | {
        "may_change": can(person, "models.change"),
        "may_play": can(person, "play.use"),
        "open": "",
        "alone": _is_alone(request),
        "saved": status == 200 and request.method == "POST" and not _from_matrix(request),
        "priced": lineup.priced([row])[0],
    }
    if context["may_change"]:
        currency = row.cost.currency if row.cost else organisation_of(request).currency
        context |= {
            "override": OverrideForm(model=row.model),
            "alias_form": AliasForm(),
            "price_form": PriceForm(initial={"currency": currency}),
        }
    within = "models/_alone.html" if context["alone"] else "models/drawer.html"
    answer = render(request, within if from_htmx(request) else "models/detail.html", context | more, status=status)
    answer["Vary"] = "HX-Request"
    return answer


def _done(request: HttpRequest, pk: int) -> HttpResponse:
    """After a change: the drawer anew with its row behind it, or the page of the model."""
    if from_htmx(request) and not _is_alone(request):
        return _shown(request, _row(request, pk))
    wanted = request.POST.get("next", "")
    safe = wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return redirect(wanted) if safe and not from_htmx(request) else go(request, "model-detail", pk)


def _undo(request: HttpRequest, words: str, address: str, fields: Mapping[str, Any]) -> None:
    """A notice whose way back leads to where it was read."""
    here = urlsplit(request.headers.get("HX-Current-URL", ""))
    back = {"next": here.path + (f"?{here.query}" if here.query else "")} if here.path else {}
    with_undo(request, words, address, {**fields, **back})


def _is_alone(request: HttpRequest) -> bool:
    """Not in a drawer over the list, but the page of the model itself."""
    here = request.headers.get("HX-Current-URL")
    return here is None or urlsplit(here).path != reverse("model-list")


def _from_matrix(request: HttpRequest) -> bool:
    """Where the rows behind the drawer are not those of the list of prices."""
    return "view" in parse_qs(urlsplit(request.headers.get("HX-Current-URL", "")).query)
