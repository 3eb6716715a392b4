"""Price changes that the lists know of: look, accept, leave as it is, or read the lists now."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from billing import syncing
from billing.models import Price, PriceProposal
from billing.prices import Listed
from billing.syncing import Synced
from console.access import can, needs
from console.audit import Named, record
from console.prices import MOST_SHOWN, proposals_for
from console.views.access import reasons_for
from console.views.answers import go, page, person_of


@needs("models.see")
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    actor = person_of(request)
    context: dict[str, Any] = proposals_for(actor)
    if not can(actor, "models.change"):
        context["needed"] = reasons_for(request, "models.change")["needed"]
    return page(request, "models/prices.html", context, part="proposals")


@needs("models.change")
@require_POST
def check(request: HttpRequest) -> HttpResponse:
    found = syncing.sync()
    if found.priced:
        note = f"{found.priced} models had no price"
        record(person_of(request), "add", Named("price", "list", found.source), note=note, request=request)
    if found.problem:
        words = _("The published list could not be read, so the one that came with this version was: %(problem)s")
        messages.warning(request, words % {"problem": found.problem})
    messages.success(request, " ".join(_told(found)))
    return _back(request)


@needs("models.change")
@require_POST
def accept(request: HttpRequest, pk: int) -> HttpResponse:
    done = syncing.accept(pk, by=person_of(request).pk)
    if done is None:
        return _too_late(request)
    _recorded(request, *done)
    messages.success(request, _("%(model)s has its new price.") % {"model": done[0].model})
    return _back(request)


@needs("models.change")
@require_POST
def dismiss(request: HttpRequest, pk: int) -> HttpResponse:
    proposal = syncing.dismiss(pk, by=person_of(request).pk)
    if proposal is None:
        return _too_late(request)
    record(person_of(request), "withdraw", _named(proposal), note=f"proposed by {proposal.source}", request=request)
    messages.success(request, _("The price of %(model)s stays as it is.") % {"model": proposal.model})
    return _back(request)


@needs("models.change")
@require_POST
def accept_all(request: HttpRequest) -> HttpResponse:
    numbers = [int(text) for text in request.POST.getlist("proposal")[:MOST_SHOWN] if text.isdecimal()]
    done = syncing.accept_all(numbers, by=person_of(request).pk)
    for proposal, price in done:
        _recorded(request, proposal, price)
    words = ngettext("%(n)d price is accepted.", "%(n)d prices are accepted.", len(done)) % {"n": len(done)}
    messages.success(request, words)
    return _back(request)


def _told(found: Synced) -> list[str]:
    words = []
    if found.priced:
        text = ngettext("%(n)d model has a price now.", "%(n)d models have a price now.", found.priced)
        words.append(text % {"n": found.priced})
    if found.proposed:
        text = ngettext("%(n)d price has changed.", "%(n)d prices have changed.", found.proposed)
        words.append(text % {"n": found.proposed})
    if found.unknown:
        count = len(found.unknown)
        text = ngettext("%(n)d model is in no list.", "%(n)d models are in no list.", count)
        words.append(text % {"n": count})
    return words or [_("Prices are read. Nothing has changed.")]


def _recorded(request: HttpRequest, proposal: PriceProposal, price: Price) -> None:
    after = Listed.from_values(proposal.values).values()
    note = f"accepted from {proposal.source}"
    record(person_of(request), "change", _named(proposal, price), after=after, note=note, request=request)


def _named(proposal: PriceProposal, price: Price | None = None) -> Named:
    return Named("price", str(price.pk if price else proposal.pk), str(proposal.model))


def _too_late(request: HttpRequest) -> HttpResponse:
    messages.info(request, _("Somebody has decided on this price already."))
    return _back(request)


def _back(request: HttpRequest) -> HttpResponse:
    """To the page whose form it was."""
    here = request.POST.get("next", "")
    safe = here.startswith("/") and url_has_allowed_host_and_scheme(here, allowed_hosts=None)
    return go(request, here if safe else "price-list")
