"""A new house can answer at once: the pretend vendor's provider, its models and the prices it declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from billing.declared import price_declared
from billing.models import Organisation
from providers.models import LanguageModel, Provider, configuration_changed

if TYPE_CHECKING:
    from providers.demo.catalogue import Model

SLUG = "demo"
PRIORITY = 900  # after every real provider
DEFAULT_MODEL = "demo:relay-1"


def furnish_new_house() -> None:
    """Asked at every start. Once somebody has claimed the house it is theirs: what an owner removed stays away."""
    claimed = Organisation.objects.exclude(claimed_at=None).exists()
    if not claimed and not Provider.objects.filter(kind=SLUG).exists():
        furnish()


def furnish() -> Provider:
    """The demo provider with every model of its catalogue. Whatever is there already stays as it is."""
    from providers.demo.catalogue import MODELS  # with all its texts: no use to a process that only starts

    with transaction.atomic():
        provider, _ = Provider.objects.get_or_create(
            slug=SLUG,
            defaults={"name": "Demo", "kind": "demo", "priority": PRIORITY, "models_read_at": timezone.now()},
        )
        LanguageModel.objects.bulk_create([_row(provider, model) for model in MODELS.values()], ignore_conflicts=True)
        price_declared(provider)
        house = Organisation.get()
        if not house.default_model:
            house.default_model = DEFAULT_MODEL
            house.save(update_fields=["default_model"])
        configuration_changed()
    return provider


def _row(provider: Provider, model: Model) -> LanguageModel:
    return LanguageModel(
        provider=provider,
        model_id=model.id,
        name=model.name,
        use=LanguageModel.Use.EMBEDDING if model.embeds else LanguageModel.Use.CHAT,
        context=model.context,
        max_output=model.max_output or None,
        capabilities=["embeddings"] if model.embeds else ["tools", *(["reasoning"] if model.reasons else [])],
        listed=True,
    )
