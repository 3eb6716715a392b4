"""What happens on the clock. A task calls functions that tests and people can call as well; never from a request.

What a task needs is imported when it runs: beat loads this module only for the names.
"""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from console.celery import app


@app.task
def prune() -> None:
    from console import pruning

    pruning.prune(timezone.now())


@app.task
def check_providers() -> None:
    from console import checks

    checks.check_providers(timezone.now())


@app.task
def reckon_hours() -> None:
    from billing import hours

    hours.reckon(timezone.now())


@app.task
def reckon_late_hours() -> None:
    """A journal that was left behind may have been loaded hours after its calls."""
    from billing import hours

    hours.reckon(timezone.now(), back=hours.LATE)


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


@app.task
def read_price_lists() -> None:
    from billing import syncing

    syncing.sync()


@app.task
def price_new_models() -> None:
    """What the catalogue does not know may still be in the list; somebody may be about to call it."""
    from billing import syncing

    syncing.price_new(timezone.now() - timedelta(hours=1))


@app.task
def look_for_servers() -> None:
    """Whoever opens the catalogue is told at once of local servers that answer."""
    from providers import discovery

    discovery.found(fresh=True)
