"""Which prices would change, and to what? Open proposals as the pages show them, and what nobody can price."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.cache import cache
from django.db.models import Prefetch
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from billing.costs import NANO, Rates
from billing.models import Price, PriceProposal
from billing.prices import Difference, Listed, differences, rates_of, row_at, unpriced
from billing.syncing import open_proposals
from console import formats
from console.access import can
from console.models import User
from providers.models import current_revision
from providers.registry import KINDS, Kind

MOST_SHOWN = 50
MOST_NAMED = 8
FRESH_SECONDS = 60

# In the order of costs.BUCKETS; per request stands last, where -1 finds it.
BUCKETS: tuple[str | Promise, ...] = (
    pgettext_lazy("tokens", "Input"),
    gettext_lazy("Cached input"),
    gettext_lazy("Cache write"),
    pgettext_lazy("tokens", "Output"),
    gettext_lazy("Reasoning"),
    gettext_lazy("Audio output"),
    gettext_lazy("Audio input"),
    gettext_lazy("Each request"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One rate, as it is and as it would be."""

    name: str
    variant: str  # for which prompts or hours; empty: usually
    old: str
    new: str
    change: str
    dearer: bool | None  # None: it cannot be said


@dataclass(frozen=True, slots=True)
class Proposed:
    number: int
    model: str
    name: str
    kind: Kind | None
    lines: list[Line]
    begins: datetime | None  # None: when it is accepted
    source: str
    found_at: datetime
    typed: bool  # a person set the price that this would replace


def proposals_for(person: User, now: datetime | None = None) -> dict[str, Any]:
    """What templates/models/_proposals.html shows."""
    now = now or timezone.now()
    found = open_proposals()
    rows = found.prefetch_related(Prefetch("model__prices", Price.objects.order_by("valid_from", "id")))
    names, missing = _unpriced()
    return {
        "proposals": [_shown(each, now) for each in rows[:MOST_SHOWN]],
        "proposal_count": found.count(),
        "unpriced": names,
        "unpriced_count": missing,
        "may_price": can(person, "models.change"),
    }


def _unpriced() -> tuple[list[str], int]:
    """The first names and how many there are. Counted once a revision: it looks at every model."""
    key = f"prices.unpriced.{current_revision()[0]}"
    kept: tuple[list[str], int] | None = cache.get(key)
    if kept is None:
        missing = unpriced()
        named = missing.order_by("provider__slug", "model_id").select_related("provider")[:MOST_NAMED]
        kept = [str(model) for model in named], missing.count()
        cache.set(key, kept, FRESH_SECONDS)
    return kept


def _shown(proposal: PriceProposal, now: datetime) -> Proposed:
    model, listed = proposal.model, Listed.from_values(proposal.values)
    row = row_at(list(model.prices.all()), listed.valid_from or now)
    new = rates_of(listed)
    return Proposed(
        number=proposal.pk,
        model=str(model),
        name=model.name or model.model_id,
        kind=KINDS.get(model.provider.kind),
        lines=[_line(each, listed.currency) for each in differences(_rates(row), new)],
        begins=listed.valid_from,
        source=proposal.source,
        found_at=proposal.found_at,
        typed=row is not None and row.set_by_id is not None,
    )


def _rates(row: Price | None) -> Rates | None:
    try:
        return rates_of(row) if row else None
    except ValueError:
        return None  # such a row prices nothing


def _line(each: Difference, currency: str) -> Line:
    known = each.old is not None and each.new is not None
    return Line(
        name=str(BUCKETS[each.bucket]),
        variant=variant_words(each.variant),
        old=rate_words(each.old, currency),
        new=rate_words(each.new, currency),
        change=formats.pct(each.percent / 100, comparing=True) if each.percent is not None else "",
        dearer=each.new > each.old if known and each.old is not None and each.new is not None else None,
    )


def rate_words(nano: int | None, currency: str) -> str:
    """A rate in full: a price of 0.0375 is not 0.04."""
    if nano is None:
        return "–"
    exponent = (Decimal(nano) / NANO).normalize().as_tuple().exponent
    return formats.money(nano, currency, max(2, -int(exponent)))


def variant_words(variant: tuple[Any, ...]) -> str:
    """`billing.prices.variants` says what they are."""
    words = []
    if variant[:1] == ("window",):
        words.append(_("%(begins)s to %(ends)s UTC") % {"begins": _clock(variant[1]), "ends": _clock(variant[2])})
    if "tier" in variant:
        words.append(_("prompts over %(tokens)s tokens") % {"tokens": formats.number(variant[-1])})
    return ", ".join(words)


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
