"""Which of a provider's keys is used for this attempt? Drawn by weight among those that may be; dice are given."""

from __future__ import annotations

from collections.abc import Callable, Container

from providers.errors import BadCredentials, ProviderError, QuotaExhausted, RateLimited
from routing.snapshot import CredentialEntry


def usable(keys: tuple[CredentialEntry, ...], now: float, without: Container[int] = ()) -> tuple[CredentialEntry, ...]:
    """Those whose time has not ended and that were not refused to this request already."""
    return tuple(key for key in keys if (key.valid_until is None or now < key.valid_until) and key.id not in without)


def pick(keys: tuple[CredentialEntry, ...], draw: Callable[[], float]) -> CredentialEntry | None:
    """`draw` gives a number from 0 up to 1. A key of weight 0 is used only where all are of weight 0."""
    if len(keys) < 2:
        return keys[0] if keys else None
    total = sum(key.weight for key in keys)
    if not total:
        return keys[min(int(draw() * len(keys)), len(keys) - 1)]
    place = draw() * total
    for key in keys:
        place -= key.weight
        if place < 0:
            return key
    return next(key for key in reversed(keys) if key.weight)  # the draw was 1


def another_may_do(error: ProviderError) -> bool:
    """Whether this is about the key, so that another one of the same provider may fare better."""
    return isinstance(error, BadCredentials | RateLimited | QuotaExhausted)
