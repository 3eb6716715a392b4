"""Ids that carry their moment: `req_` and a UUIDv7 in hex. A replayed record finds the same time in the same id."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

PREFIX = "req_"


def new_request_id(now_ms: int | None = None) -> str:
    milliseconds = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    tail = int.from_bytes(os.urandom(10))
    value = milliseconds << 80 | 0x7 << 76 | (tail >> 68 & 0xFFF) << 64 | 0b10 << 62 | tail & (1 << 62) - 1
    return f"{PREFIX}{value:032x}"


def milliseconds_of(request_or_attempt_id: str) -> int:
    return int(request_or_attempt_id[len(PREFIX) : len(PREFIX) + 12], 16)


def started_at(request_or_attempt_id: str) -> datetime:
    return datetime.fromtimestamp(milliseconds_of(request_or_attempt_id) / 1000, tz=UTC)


def attempt_id(request_id: str, number: int) -> str:
    return f"{request_id}-{number}"
