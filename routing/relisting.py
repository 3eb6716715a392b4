"""Has a server of our own loaded a model since we last read its list? Asked before a name is refused."""

from __future__ import annotations

import asyncio
import logging
import time

from providers.registry import Place
from routing.compiler import SnapshotStore

log = logging.getLogger(__name__)

PAUSE_SECONDS = 5.0


class Relister:
    """Reads the list of a local provider again, at most once in a few seconds each."""

    def __init__(self, snapshots: SnapshotStore) -> None:
        self._snapshots = snapshots
        self._last: dict[int, float] = {}

    async def relist(self, model: str) -> bool:
        """True when the provider named before the colon was asked and its models may have changed."""
        prefix, colon, _ = model.partition(":")
        snapshot = self._snapshots.current
        slug = snapshot.slugs.get(prefix.lower()) if colon else None
        provider = snapshot.providers.get(slug) if slug else None
        if provider is None or not provider.enabled or provider.kind.place is not Place.LOCAL:
            return False
        now = time.monotonic()
        if now - self._last.get(provider.id, -PAUSE_SECONDS) < PAUSE_SECONDS:
            return False
        self._last[provider.id] = now
        return await asyncio.to_thread(_refresh, provider.id)


def _refresh(provider_id: int) -> bool:
    from django.db import DatabaseError, connection

    from billing.declared import price_declared
    from providers.listing import refresh_models
    from providers.models import Provider

    try:
        provider = Provider.objects.filter(id=provider_id).first()
        if provider is None or not refresh_models(provider).changed:
            return False
        price_declared(provider)
        return True
    except DatabaseError as error:
        log.warning("the list of provider %s could not be kept: %s", provider_id, error)
        return False
    finally:
        connection.close()  # a connection of this thread, of no use to the next
