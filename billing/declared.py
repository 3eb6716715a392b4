"""What a model costs from the first call on: as its provider declares it, or as the catalogue has it.

Free is said by a row, never by the lack of one: a model without a price is a fault to show. Only models without any
price get one here, so that nothing anybody decided is overwritten.
"""

from __future__ import annotations

from dataclasses import replace

from billing.prices import Listed, keep_first_prices, steps_of
from providers import catalogue
from providers.listing import OF_OUR_OWN, PRETENDED, declared_prices
from providers.models import LanguageModel, Provider

SOURCES = frozenset({OF_OUR_OWN, PRETENDED})
CATALOGUE = "the catalogue"  # where an entry does not say more


def price_declared(provider: Provider) -> int:
    """Keep what is declared, or known, of models that have no price at all. How many were priced."""
    declared = {
        price.model_id: Listed(
            currency=price.currency,
            input_per_million=price.input_per_million,
            output_per_million=price.output_per_million,
            cached_per_million=price.cached_per_million,
            source=price.source,
        )
        for price in declared_prices(provider)
    }
    unpriced = LanguageModel.objects.filter(provider=provider, prices=None).select_related("provider")
    found = (
        (model, [declared[model.model_id]] if model.model_id in declared else catalogue_steps(model))
        for model in unpriced
    )
    return keep_first_prices((model, steps) for model, steps in found if steps)


def catalogue_steps(model: LanguageModel) -> list[Listed]:
    """What the catalogue says it cost, costs and will cost. Empty: it does not know, and nobody may guess."""
    entry = catalogue.find(model.provider.kind, model.model_id)
    if entry is None:
        return []
    steps = steps_of(entry, source=CATALOGUE, batch=entry.get("batch"))
    known = {entry["id"], *entry.get("aliases", ())}
    if model.model_id in known:
        return steps
    # Found without its date or region: what that may hide, whoever reads the source can see.
    return [replace(step, source=f"{step.source[:120]}, as {entry['id']}"[:200]) for step in steps]
