"""What has served its time and is deleted: in batches, so that nobody waits for a lock."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from importlib import import_module

from django.conf import settings
from django.db.models import Model, QuerySet

from console.models import ClaimCode, RunFrame
from providers import health
from routing import circuits, contents
from routing.keys import prune_key_changes
from routing.models import Repeat
from routing.repeats import KEPT

log = logging.getLogger(__name__)

DAY = timedelta(days=1)
BATCH = 2000


def prune(now: datetime) -> dict[str, int]:
    """How many of each went."""
    gone = {
        "frames of runs": _delete(RunFrame.objects.filter(run__ended_at__lt=now - DAY)),
        "claim codes": _delete(ClaimCode.objects.filter(expires_at__lt=now - DAY)),
        "key changes": prune_key_changes(now),
        "answers kept for repetitions": _delete(Repeat.objects.filter(began_at__lt=now - KEPT)),
        "checks of providers": _delete(health.served(now)),
        "kept contents": _delete(contents.served(now - timedelta(days=settings.CONTENT_DAYS))),
        "circuits that closed": circuits.forget(now - 7 * DAY),
    }
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    told = ", ".join(f"{count} {name}" for name, count in gone.items() if count)
    if told:
        log.info("pruned %s", told)
    return gone


def _delete(rows: QuerySet[Model]) -> int:
    count = 0
    while keys := list(rows.values_list("pk", flat=True)[:BATCH]):
        count += rows.model._default_manager.filter(pk__in=keys).delete()[0]
    return count
