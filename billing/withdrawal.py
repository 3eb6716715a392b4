"""How is a price taken back? Rows of the past stay what they were, so it depends on whether the price has been used.

One that has not begun is gone, and what it stood in for is announced again. One that has begun ends now, and the former
price holds again; it is never deleted, since a call that it pays may still be on its way into the ledger. One by which
calls were paid stays as it is, and the former price is written anew from now on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from billing.models import LedgerEntry, Price, PriceProposal
from billing.prices import Listed, row_at
from providers.models import LanguageModel

Kept = Mapping[str, Any]  # a row that gave way, as JSON keeps it


@dataclass(frozen=True, slots=True)
class TakenBack:
    price: Price  # the one that holds no more
    former: Price | None  # what holds instead; None: nothing has a price now, as before
    was_used: bool


def displaced(model: LanguageModel, listed: Listed, *, by: int | None = None, now: datetime) -> list[Kept]:
    """Announced rows that `set_price` deletes for this one. Ask in its transaction, with the same `now`."""
    LanguageModel.objects.select_for_update().get(pk=model.pk)
    begins = max(listed.valid_from or now, now)
    to_come = model.prices.filter(valid_from__gt=now)
    gone = list(to_come.filter(valid_from=begins))
    if by is not None:
        gone += to_come.filter(valid_from__gt=begins, set_by_id=None)
    return [{"values": listed_of(row).values(), "set_by": row.set_by_id} for row in gone]


def listed_of(row: Price) -> Listed:
    values = {each.name: getattr(row, each.name) for each in fields(Listed)}
    return Listed(**values | {"tiers": tuple(row.tiers), "windows": tuple(row.windows)})


def take_back(number: int, kept: Iterable[Kept] = (), *, now: datetime | None = None) -> TakenBack | None:
    """None: it is taken back already, or somebody has set another price of this model since."""
    now = now or timezone.now()
    with transaction.atomic():
        LanguageModel.objects.select_for_update().filter(prices=number).first()  # one after the other, as in set_price
        price = Price.objects.filter(pk=number).select_related("model__provider").first()
        if price is None:
            return None
        rows = price.model.prices
        if price.valid_until is not None or rows.filter(pk__gt=number).exists():
            return None
        used = LedgerEntry.objects.filter(started_at__gte=price.valid_from, price_id=number).exists()
        begun = price.valid_from <= now
        if not begun:
            rows.get(pk=number).delete()
        for each in kept:
            Listed.from_values(each["values"]).row(price.model, set_by_id=each["set_by"]).save(force_insert=True)
        former = row_at(rows.exclude(pk=number), now)
        if begun and used and former is not None:
            former = _anew(former, now)
        elif begun:
            price.valid_until = now
            price.save(update_fields=["valid_until"])
    return TakenBack(price, former, used)


def _anew(row: Price, now: datetime) -> Price:
    """The same price from now on; whoever typed it has still typed it."""
    same = listed_of(row).row(row.model, set_by_id=row.set_by_id, valid_from=now, valid_until=row.valid_until)
    same.save(force_insert=True)
    return same


def open_again(number: int) -> PriceProposal | None:
    """A proposal that was decided on. None: it is open, or the list has said something newer of this model since."""
    with transaction.atomic():
        rows = PriceProposal.objects.select_for_update(of=("self",)).exclude(state=PriceProposal.State.OPEN)
        proposal = rows.filter(pk=number).select_related("model__provider").first()
        if proposal is None or PriceProposal.objects.filter(model=proposal.model_id, pk__gt=number).exists():
            return None
        proposal.state, proposal.decided_at, proposal.decided_by_id = PriceProposal.State.OPEN, None, None
        proposal.save(update_fields=["state", "decided_at", "decided_by_id"])
    return proposal
