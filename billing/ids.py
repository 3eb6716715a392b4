"""Ids that carry their moment: `req_` and a UUIDv7 in hex. A replayed record finds the same time in the same id."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

PREFIX = "req_"
TAIL = 10  # random bytes of an id
STOCK = 400  # tails drawn at once: asking the system takes longer than what it then does

_stock: list[int] = []
# A process that was forked must not give out what its parent does.
os.register_at_fork(after_in_child=_stock.clear)


def new_request_id(now_ms: int | None = None) -> str:
    milliseconds = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    tail = _random_tail()
    value = milliseconds << 80 | 0x7 << 76 | (tail >> 68 & 0xFFF) << 64 | 0b10 << 62 | tail & (1 << 62) - 1
    return f"{PREFIX}{value:032x}"


def _random_tail() -> int:
    """Taking from a list is one step, so no two threads get the same."""
    while True:
        try:
            return _stock.pop()
        except IndexError:
            drawn = os.urandom(STOCK * TAIL)
            _stock.extend([int.from_bytes(drawn[at : at + TAIL]) for at in range(0, len(drawn), TAIL)])


def milliseconds_of(request_or_attempt_id: str) -> int:
    return int(request_or_attempt_id[len(PREFIX) : len(PREFIX) + 12], 16)


def started_at(request_or_attempt_id: str) -> datetime:
    return datetime.fromtimestamp(milliseconds_of(request_or_attempt_id) / 1000, tz=UTC)


def attempt_id(request_id: str, number: int) -> str:
    return f"{request_id}-{number}"
