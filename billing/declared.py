"""Prices that providers declare themselves: nothing for servers of our own, a catalogue for the pretend vendor.

Free is said by a row, never by the lack of one: a model without a price is a fault to show.
"""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import transaction

from billing.models import Price
from providers.listing import OF_OUR_OWN, PRETENDED, declared_prices
from providers.models import LanguageModel, Provider, configuration_changed

SINCE = datetime(2025, 1, 1, tzinfo=UTC)  # before any call, so that the one that found the model is priced too
SOURCES = frozenset({OF_OUR_OWN, PRETENDED})


def price_declared(provider: Provider) -> int:
    """Keep what is declared for models that have no price at all. How many were priced."""
    declared = {price.model_id: price for price in declared_prices(provider)}
    if not declared:
        return 0
    with transaction.atomic():
        unpriced = LanguageModel.objects.filter(provider=provider, prices=None, model_id__in=declared)
        rows = [
            Price(
                model=model,
                currency=declared[model.model_id].currency,
                input_per_million=declared[model.model_id].input_per_million,
                output_per_million=declared[model.model_id].output_per_million,
                cached_per_million=declared[model.model_id].cached_per_million,
                valid_from=SINCE,
                source=declared[model.model_id].source,
            )
            for model in unpriced
        ]
        Price.objects.bulk_create(rows, ignore_conflicts=True)
        if rows:
            configuration_changed()
    return len(rows)
