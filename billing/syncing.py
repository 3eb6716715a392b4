"""Have prices changed? What the lists say today, against the rows, as proposals that a person decides on.

Nothing that has a price gets another one from here. A model that has none gets the listed one at once, with its source,
because a call that nobody can price is worse than a list that is a week old.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

import httpx
from django.conf import settings
from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from billing.costs import Rates
from billing.declared import catalogue_steps
from billing.feed import Feed, FeedBroken, bundled, published
from billing.models import Price, PriceProposal
from billing.prices import Listed, at_moment, keep_first_prices, rates_of, row_at, same, set_price
from providers import connector
from providers.connector import Connector
from providers.errors import ProviderError
from providers.models import LanguageModel
from providers.price_lists import listed_as
from providers.registry import KINDS, Place

log = logging.getLogger(__name__)

FETCH_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Synced:
    source: str  # the list that was read
    priced: int = 0  # models that had no price and have one now
    proposed: int = 0  # changes found that nobody has seen yet
    unknown: tuple[str, ...] = ()  # models that no list knows and nobody priced
    problem: str = ""  # why the published list was not read, in words


def sync(*, now: datetime | None = None) -> Synced:
    """Read the lists, price what has no price, and propose what differs."""
    now = now or timezone.now()
    feed, problem = _feed(now)
    first: list[tuple[LanguageModel, list[Listed]]] = []
    news: list[tuple[LanguageModel, Listed | None]] = []
    unknown: list[str] = []
    for model in _models():
        steps, rows = _steps(model, feed), list(model.prices.all())
        if rows:
            news.append((model, _news(rows, steps, now)))
        elif steps:
            first.append((model, steps))
        else:
            unknown.append(str(model))
    priced = keep_first_prices(first)
    told = _told()
    proposed = sum(_propose(model, listed, told[model.pk], now) for model, listed in news)
    return Synced(feed.source, priced, proposed, tuple(unknown), problem)


def price_new(since: datetime) -> int:
    """Price models that came lately and that the catalogue did not know. Asks nobody. How many were priced."""
    new = list(_models(created_at__gte=since, prices=None))
    if not new:
        return 0
    feed = bundled()
    return keep_first_prices((model, steps) for model in new if (steps := _steps(model, feed)))


def _feed(now: datetime) -> tuple[Feed, str]:
    """The published list when the settings name one, else what the package brought; and what went wrong."""
    url = settings.PRICE_FEED_URL
    if not url:
        return bundled(), ""
    try:
        return published(_fetch(url), now), ""
    except (FeedBroken, httpx.HTTPError, httpx.InvalidURL, ProviderError) as error:
        log.warning("the price list at %s was not read: %s", url, error)
        return bundled(), str(error) or type(error).__name__


def _fetch(url: str) -> bytes:
    async def get(connector: Connector) -> bytes:
        async with connector.client(seconds=FETCH_SECONDS) as client:
            answer = await client.get(url)
            answer.raise_for_status()
            return answer.content

    return connector.call(get)


def _models(**narrowed: object) -> Iterator[LanguageModel]:
    """Those that can be called and that somebody else prices: not our own servers, not the pretend vendor."""
    elsewhere = [kind.slug for kind in KINDS.values() if kind.place is Place.CLOUD]
    rows = LanguageModel.objects.filter(
        active=True, provider__enabled=True, provider__kind__in=elsewhere, **narrowed
    ).select_related("provider")
    yield from rows.prefetch_related(Prefetch("prices", Price.objects.order_by("valid_from", "id"))).order_by("id")


def _steps(model: LanguageModel, feed: Feed) -> list[Listed]:
    place = listed_as(model.provider.kind, model.model_id)
    embedding = model.use == LanguageModel.Use.EMBEDDING
    found = feed.steps(*place, embedding=embedding) if place else []
    return found or catalogue_steps(model)


# -- what is new ----------------------------------------------------------------------


def _news(rows: list[Price], steps: list[Listed], now: datetime) -> Listed | None:
    """The first price that the list has and the rows have not: today's, or one announced for a day to come."""
    current = at_moment(steps, now)
    if current is not None and _differs(row_at(rows, now), current):
        return _like(row_at(rows, now), replace(current, valid_from=None))
    for step in steps:
        if step.valid_from and step.valid_from > now and _differs(row_at(rows, step.valid_from), step):
            return _like(row_at(rows, step.valid_from), step)
    return None


def _differs(row: Price | None, listed: Listed) -> bool:
    if row is None:
        return True
    if row.currency != listed.currency:
        return False  # a list in dollars says nothing about a price agreed in euros
    rates = _readable(row)
    return rates is None or not same(rates, rates_of(listed))


def _readable(row: Price) -> Rates | None:
    try:
        return rates_of(row)
    except ValueError:
        return None


def _like(row: Price | None, listed: Listed) -> Listed:
    """What the list does not say stays as the row has it."""
    return replace(listed, batch_share=row.batch_share) if row and listed.batch_share is None else listed


def _told() -> dict[int, list[PriceProposal]]:
    """By model, what people were shown and have not accepted, the newest first."""
    found: dict[int, list[PriceProposal]] = defaultdict(list)
    for each in PriceProposal.objects.exclude(state=PriceProposal.State.ACCEPTED).order_by("-found_at", "-id"):
        found[each.model_id].append(each)
    return found


def _propose(model: LanguageModel, listed: Listed | None, told: list[PriceProposal], now: datetime) -> bool:
    """Whether nobody has been shown this change. An open proposal follows the list, or goes with its cause."""
    open_one = next((each for each in told if each.state == PriceProposal.State.OPEN), None)
    dismissed = next((each for each in told if each.state == PriceProposal.State.DISMISSED), None)
    if listed is not None and open_one and _says(open_one, listed):
        return False
    if listed is None or (dismissed and _says(dismissed, listed)):
        if open_one:
            open_one.delete()
        return False
    values = {"values": listed.values(), "source": listed.source[:200], "found_at": now}
    if open_one:
        PriceProposal.objects.filter(pk=open_one.pk, state=PriceProposal.State.OPEN).update(**values)
    else:
        # Somebody else may be reading the lists at this moment: one open proposal a model.
        PriceProposal.objects.bulk_create([PriceProposal(model=model, **values)], ignore_conflicts=True)
    return True


def _says(proposal: PriceProposal, listed: Listed) -> bool:
    said = Listed.from_values(proposal.values)
    return said.valid_from == listed.valid_from and same(rates_of(said), rates_of(listed))


# -- deciding -------------------------------------------------------------------------


def open_proposals() -> QuerySet[PriceProposal]:
    rows = PriceProposal.objects.filter(state=PriceProposal.State.OPEN).select_related("model__provider")
    return rows.order_by("model__provider__name", "model__model_id")


def accept(number: int, *, by: int, now: datetime | None = None) -> tuple[PriceProposal, Price] | None:
    """The price from now on, or from the day it is announced for. None: somebody has decided already."""
    now = now or timezone.now()
    with transaction.atomic():
        proposal = _decide(number, PriceProposal.State.ACCEPTED, by, now)
        if proposal is None:
            return None
        return proposal, set_price(proposal.model, Listed.from_values(proposal.values), now=now)


def dismiss(number: int, *, by: int, now: datetime | None = None) -> PriceProposal | None:
    """The price stays; the same change is not proposed again. None: somebody has decided already."""
    with transaction.atomic():
        return _decide(number, PriceProposal.State.DISMISSED, by, now or timezone.now())


def accept_all(numbers: Iterable[int], *, by: int, now: datetime | None = None) -> list[tuple[PriceProposal, Price]]:
    """Those that somebody saw on the page, and no others that were found meanwhile."""
    with transaction.atomic():
        return [done for number in numbers if (done := accept(number, by=by, now=now))]


def _decide(number: int, state: str, by: int, now: datetime) -> PriceProposal | None:
    rows = PriceProposal.objects.select_for_update(of=("self",)).filter(pk=number, state=PriceProposal.State.OPEN)
    proposal = rows.select_related("model__provider").first()
    if proposal is not None:
        proposal.state, proposal.decided_at, proposal.decided_by_id = state, now, by
        proposal.save(update_fields=["state", "decided_at", "decided_by_id"])
    return proposal
