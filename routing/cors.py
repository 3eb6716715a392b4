"""May a page of this origin call /v1 in a browser? Only where the key lists it, and only then a browser is told so.

A browser asks before it sends the key (OPTIONS, without it): it is let on when some key lists its origin. The request
that follows is judged by its own key. Requests of programs, which send no Origin, are none of this module's business.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.db import DatabaseError
from django.utils import timezone

from routing import worker
from routing.callers import Caller, KeyBook
from routing.models import ApiKey

if TYPE_CHECKING:
    from routing.exchange import Exchange

log = logging.getLogger(__name__)

FRESH_SECONDS = 60.0  # then keys may have expired
REMEMBERED_SECONDS = b"600"  # how long a browser may go without asking again
EXPOSED = (
    b"x-request-id, retry-after, x-should-retry, x-relayhouse-provider, x-relayhouse-model, x-relayhouse-route,"
    b" x-relayhouse-attempts, x-relayhouse-warnings"
)
LONGEST_ORIGIN = 200
VARY = (b"vary", b"origin")


def admit(exchange: Exchange, caller: Caller) -> None:
    """For a caller whose key lists origins: let this one in, or refuse it. Without an Origin there is nothing to do."""
    origin = exchange.header(b"origin")
    if not origin:
        return
    if origin.decode("latin-1").lower() not in caller.origins:
        said = f"This API key may not be used from {origin.decode('latin-1')[:200]}: its origins are listed."
        raise exchange.refusal(403, "origin_not_allowed", said)
    exchange.more_headers += [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", EXPOSED),
        VARY,
    ]


class Origins:
    """Every origin that some living key lists, as this process knows it. Read again when a key has changed."""

    def __init__(self) -> None:
        self._listed: frozenset[str] = frozenset()
        self._seen: tuple[KeyBook | None, int, float] = (None, 0, 0.0)
        self._reading = asyncio.Lock()

    async def preflight(self, exchange: Exchange, methods: tuple[str, ...]) -> None:
        origin = exchange.header(b"origin")
        wanted = exchange.header(b"access-control-request-headers")
        if origin.decode("latin-1").lower() not in await self._known(exchange):
            raise exchange.refusal(403, "origin_not_allowed", "No API key lists this origin.")
        headers = [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-methods", ", ".join(methods).encode()),
            (b"access-control-max-age", REMEMBERED_SECONDS),
            (b"x-request-id", exchange.request_id.encode()),
            VARY,
        ]
        if wanted:
            headers.append((b"access-control-allow-headers", wanted[:2000]))
        exchange.started = True
        await exchange.send({"type": "http.response.start", "status": 204, "headers": headers})
        exchange.end()
        await exchange.send({"type": "http.response.body", "body": b""})

    async def _known(self, exchange: Exchange) -> frozenset[str]:
        keys = (await worker.started()).keys
        async with self._reading:
            book, changes, until = self._seen
            if book is keys and changes == keys.changes and time.monotonic() < until:
                return self._listed
            seen = (keys, keys.changes, time.monotonic() + FRESH_SECONDS)
            try:
                self._listed = await worker.in_database(listed_origins)
            except DatabaseError as error:
                log.warning("the origins of keys cannot be read: %s", error)
                said = "Keys cannot be read at the moment. Try again shortly."
                raise exchange.refusal(503, "ledger_unavailable", said, retryable=True, retry_after=1.0) from None
            self._seen = seen
            return self._listed


def parsed_origin(typed: str) -> str:
    """As browsers send it: a scheme, a host and perhaps a port, in small letters. Empty: it is none."""
    if len(typed) > LONGEST_ORIGIN or not typed.isascii() or not typed.isprintable():
        return ""
    try:
        parts = urlsplit(typed.rstrip("/").lower())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    if usual is None or not host or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        return ""
    if any(sign in host for sign in "* _%"):
        return ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != usual else "")


def listed_origins() -> frozenset[str]:
    living = ApiKey.objects.live(timezone.now()).exclude(allowed_origins=[])
    return frozenset(origin for listed in living.values_list("allowed_origins", flat=True) for origin in listed)
