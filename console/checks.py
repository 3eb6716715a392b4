"""Checking providers from the console: on the clock, when somebody asks for it, and what a good answer mends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

from django.db import DatabaseError, connection
from django.utils import timezone

from billing.declared import price_declared
from providers import health
from providers.errors import ProviderError
from providers.listing import refresh_models
from providers.models import HealthCheck, Provider

log = logging.getLogger(__name__)

_one = ThreadPoolExecutor(1, thread_name_prefix="checks")
_lock = threading.Lock()
_running: Future[None] | None = None


def check_providers(now: datetime, *, only: Iterable[int] | None = None) -> list[HealthCheck]:
    """Those that were inactive for what was said to us, and now answer, have their list read and are used again."""
    rows = health.check(now, only=only)
    answered = [row.provider_id for row in rows if row.ok and row.code != health.ADDRESS_ONLY]
    for provider in Provider.objects.filter(pk__in=answered).exclude(inactive_reason=""):
        if not refresh_models(provider).problem:
            price_declared(provider)
    return rows


def check_soon() -> Future[None]:
    """All of them, in a thread of this process: whoever asks does not wait. One round at a time, however many ask."""
    global _running
    with _lock:
        if _running is None or _running.done():
            ids = list(Provider.objects.filter(enabled=True).values_list("pk", flat=True))
            _running = _one.submit(_check_in_thread, ids)
        return _running


def _check_in_thread(ids: list[int]) -> None:
    try:
        check_providers(timezone.now(), only=ids)
    except (DatabaseError, ProviderError) as error:
        log.warning("the checks that somebody asked for broke off: %s", error)
    finally:
        connection.close()  # a connection of this thread, of no use to the next
