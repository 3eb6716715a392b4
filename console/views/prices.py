"""Price changes that the lists know of: look, accept, leave as it is, or read the lists now."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core import signing
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from billing import syncing, withdrawal
from billing.models import Price, PriceProposal
from billing.prices import Listed
from billing.syncing import Synced
from billing.withdrawal import Kept, TakenBack
from console.access import can, needs
from console.audit import Named, record
from console.prices import MOST_SHOWN, proposals_for
from console.views.access import reasons_for
from console.views.answers import go, page, person_of
from console.views.undo import with_undo

UNDO_SECONDS = 60 * 60
SALT = "console.prices.undo"


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
    done = _accept(request, [pk])
    if not done:
        return _too_late(request)
    words = _("%(model)s has its new price.") % {"model": done[0][0].model}
    with_undo(request, words, reverse("price-undo"), {"token": _token(done), "next": _here(request)})
    return _back(request)


@needs("models.change")
@require_POST
def dismiss(request: HttpRequest, pk: int) -> HttpResponse:
    proposal = syncing.dismiss(pk, by=person_of(request).pk)
    if proposal is None:
        return _too_late(request)
    record(person_of(request), "withdraw", _named(proposal), note=f"proposed by {proposal.source}", request=request)
    words = _("The price of %(model)s stays as it is.") % {"model": proposal.model}
    with_undo(request, words, reverse("price-reopen", args=[pk]), {"next": _here(request)})
    return _back(request)


@needs("models.change")
@require_POST
def accept_all(request: HttpRequest) -> HttpResponse:
    done = _accept(request, [int(text) for text in request.POST.getlist("proposal")[:MOST_SHOWN] if text.isdecimal()])
    if not done:
        return _too_late(request)
    words = ngettext("%(n)d price is accepted.", "%(n)d prices are accepted.", len(done)) % {"n": len(done)}
    with_undo(request, words, reverse("price-undo"), {"token": _token(done), "next": _here(request)})
    return _back(request)


# -- and back ---------------------------------------------------------------------------------


@needs("models.change")
@require_POST
def undo(request: HttpRequest) -> HttpResponse:
    """Prices as they were before somebody accepted or typed them; what had been proposed is proposed again."""
    try:
        told = signing.loads(request.POST.get("token", ""), salt=SALT, max_age=UNDO_SECONDS)
    except signing.BadSignature:
        messages.error(request, _("It is too late to take this back. Set the price by hand."))
        return _back(request)
    back = [done for one in told if (done := _take_back(request, **one)) is not None]
    for words in _taken_back(back):
        messages.success(request, words)
    if stays := len(told) - len(back):
        text = ngettext(
            "%(n)d price stays: it has changed since.", "%(n)d prices stay: they have changed since.", stays
        )
        messages.warning(request, text % {"n": stays})
    return _back(request)


@needs("models.change")
@require_POST
def reopen(request: HttpRequest, pk: int) -> HttpResponse:
    with transaction.atomic():
        proposal = withdrawal.open_again(pk)
        if proposal is None:
            return _too_late(request)
        note = f"proposed by {proposal.source}, open again"
        record(person_of(request), "restore", _named(proposal), note=note, request=request)
    messages.success(request, _("The price of %(model)s is to be decided on again.") % {"model": proposal.model})
    return _back(request)


def token_of(price: Price, kept: list[Kept]) -> str:
    """What the way back from a price that somebody typed needs to know."""
    return signing.dumps([{"price": price.pk, "kept": kept, "proposal": None}], salt=SALT, compress=True)


Done = tuple[PriceProposal, Price, list[Kept]]


def _accept(request: HttpRequest, numbers: list[int]) -> list[Done]:
    """Each with the announced rows that gave way to it."""
    now, found = timezone.now(), []
    with transaction.atomic():
        for number in numbers:
            proposal = syncing.open_proposals().filter(pk=number).first()
            if proposal is None:
                continue
            kept = withdrawal.displaced(proposal.model, Listed.from_values(proposal.values), now=now)
            done = syncing.accept(number, by=person_of(request).pk, now=now)
            if done is not None:
                _recorded(request, *done)
                found.append((*done, kept))
    return found


def _token(done: list[Done]) -> str:
    told = [{"price": price.pk, "kept": kept, "proposal": proposal.pk} for proposal, price, kept in done]
    return signing.dumps(told, salt=SALT, compress=True)


def _take_back(request: HttpRequest, price: int, kept: list[Kept], proposal: int | None) -> TakenBack | None:
    with transaction.atomic():
        done = withdrawal.take_back(price, kept)
        if done is None:
            return None
        again = withdrawal.open_again(proposal) if proposal is not None else None
        note = "taken back; calls were paid by it" if done.was_used else "taken back"
        record(
            person_of(request),
            "withdraw",
            Named("price", str(price), str(done.price.model)),
            before=withdrawal.listed_of(done.price).values(),
            after=withdrawal.listed_of(done.former).values() if done.former else None,
            note=f"{note}, proposed again" if again else note,
            request=request,
        )
    return done


def _taken_back(done: list[TakenBack]) -> list[str]:
    used = sum(each.was_used for each in done)
    if len(done) == 1:
        words = [_("%(model)s has its former price again.") % {"model": done[0].price.model}]
    elif done:
        words = [ngettext("%(n)d price is as it was.", "%(n)d prices are as they were.", len(done)) % {"n": len(done)}]
    else:
        words = []
    return [*words, _("Calls that were made meanwhile keep the price they had.")] if used else words


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
    return go(request, _here(request) or "price-list")


def _here(request: HttpRequest) -> str:
    """The page whose form it was; empty when that is none of ours."""
    here = request.POST.get("next", "")
    return here if here.startswith("/") and url_has_allowed_host_and_scheme(here, allowed_hosts=None) else ""
