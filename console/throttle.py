"""How many tries are left before a wait? Counted before anything expensive happens, shared by every process."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

from django.core.cache import cache

from console.locks import slot


@dataclass(frozen=True, slots=True)
class Limit:
    tries: int
    seconds: int

    @property
    def minutes(self) -> int:
        return math.ceil(self.seconds / 60)


@dataclass(frozen=True, slots=True)
class Room:
    """`left` tries after this one; when there was no room for it, how long to wait."""

    allowed: bool
    left: int
    wait: int = 0


def take(limits: dict[str, Limit], now: float) -> Room:
    """Count one try under every key, or under none when one of them is full."""
    with slot("throttle"):
        kept = {key: _recent(key, limit, now) for key, limit in limits.items()}
        waits = [
            math.ceil(tries[-limit.tries] + limit.seconds - now)
            for (key, limit), tries in zip(limits.items(), kept.values(), strict=True)
            if len(tries) >= limit.tries
        ]
        if waits:
            return Room(False, 0, max(1, *waits))
        for key, limit in limits.items():
            cache.set(_name(key), [*kept[key], now], limit.seconds)
        return Room(True, min(limit.tries - len(kept[key]) - 1 for key, limit in limits.items()))


def give_back(limits: dict[str, Limit], now: float) -> None:
    """The try at `now` was a good one: it does not count."""
    with slot("throttle"):
        for key, limit in limits.items():
            tries = [at for at in _recent(key, limit, now) if at != now]
            cache.set(_name(key), tries, limit.seconds)


def _recent(key: str, limit: Limit, now: float) -> list[float]:
    tries: list[float] = cache.get(_name(key)) or []
    return [at for at in tries if at > now - limit.seconds]


def _name(key: str) -> str:
    return f"throttle:{hashlib.sha256(key.encode()).hexdigest()}"
