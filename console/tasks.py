"""What happens on the clock. A task calls functions that tests and people can call as well; never from a request.

What a task needs is imported when it runs: beat loads this module only for the names.
"""

from __future__ import annotations

from django.utils import timezone

from console.celery import app


@app.task
def prune() -> None:
    from console import pruning

    pruning.prune(timezone.now())


@app.task
def read_local_model_lists() -> None:
    """Servers of our own load and unload models without telling anybody."""
    from billing.declared import price_declared
    from providers.listing import refresh_models
    from providers.models import Provider
    from providers.registry import KINDS, Place

    for provider in Provider.objects.filter(enabled=True):
        kind = KINDS.get(provider.kind)
        if kind is not None and kind.place is Place.LOCAL:
            refresh_models(provider)
            price_declared(provider)
