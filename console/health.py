"""Is this process alive, can it serve, and what has it done? A bare ASGI application: probes come often.

`/metrics` names providers and models. It answers programs of this machine, and whoever presents METRICS_TOKEN. What
came through a proxy is not of this machine, however near the proxy is.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
from typing import Any

import orjson
from django.conf import settings
from django.db import DatabaseError, connection

from routing import worker
from routing.metrics import METRICS

log = logging.getLogger(__name__)

PATHS = frozenset({"/health/live", "/health/ready", "/metrics"})
DATABASE_SECONDS = 1.0  # the longest a probe waits
REMEMBER_SECONDS = 1.0  # however many probes come, the database is asked this often

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"
FORWARDED = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"forwarded", b"x-real-ip"})


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["method"] not in ("GET", "HEAD"):
        await _answer(send, 405, TEXT, b"GET only\n", (b"allow", b"GET, HEAD"))
        return
    path = scope["path"]
    if path == "/health/live":
        await _answer(send, 200, JSON, b'{"live":true}')
    elif path == "/health/ready":
        missing = await what_is_missing()
        body = orjson.dumps({"ready": not missing, "not_ready": missing})
        await _answer(send, 503 if missing else 200, JSON, body)
    elif may_read_metrics(scope):
        await _answer(send, 200, PROMETHEUS, await asyncio.to_thread(rendered))
    else:
        await _answer(send, 403, TEXT, b"From this machine, or with METRICS_TOKEN as a bearer token.\n")


async def what_is_missing() -> list[str]:
    """The names of what is not ready; empty when this process can serve."""
    missing = []
    running = worker.running()
    if running is None:
        missing.append("worker")
    else:
        if running.draining:
            missing.append("draining")
        if running.journal.failed:
            missing.append("journal")
        # Money that somebody has to look for: see `manage.py journal abandon`.
        missing += [f"journal of {node}" for node in running.loader.unreadable]
        if not running.snapshots.loaded:
            missing.append("snapshot")
    if not await database.answers():
        missing.append("database")
    return missing


def rendered() -> bytes:
    """What this machine's processes counted, and how the providers are doing, which the database knows."""
    from console.gauges import provider_gauges  # pages and probes alike start without what only this needs

    try:
        return METRICS.render() + provider_gauges()
    except DatabaseError as error:
        log.warning("how the providers are doing is left out of /metrics", exc_info=error)
        return METRICS.render()
    finally:
        connection.close()  # a connection of this thread, of no use to the next


def may_read_metrics(scope: Any) -> bool:
    headers = dict(scope["headers"])
    if settings.METRICS_TOKEN:
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), settings.METRICS_TOKEN.encode()):
            return True
    client = scope.get("client")
    if client is None or not FORWARDED.isdisjoint(headers):
        return False
    try:
        return ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False


class Database:
    """Does it answer? One question at a time, in a thread, however many ask."""

    def __init__(self) -> None:
        self._asking: asyncio.Task[bool] | None = None
        self._asked_at = -REMEMBER_SECONDS

    async def answers(self) -> bool:
        now = asyncio.get_running_loop().time()
        asking = self._asking
        if asking is None or (asking.done() and now - self._asked_at > REMEMBER_SECONDS):
            asking = self._asking = asyncio.create_task(asyncio.to_thread(_ask), name="database probe")
            self._asked_at = now
        try:
            # Shielded: a probe that gives up does not end the question, so slow answers do not pile up threads.
            return await asyncio.wait_for(asyncio.shield(asking), DATABASE_SECONDS)
        except TimeoutError:
            return False


def _ask() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return True
    except DatabaseError as error:
        log.warning("the database does not answer", exc_info=error)
        return False
    finally:
        connection.close()  # a connection of this thread, of no use to the next


database = Database()


async def _answer(send: Any, status: int, kind: bytes, body: bytes, *more: tuple[bytes, bytes]) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *more]})
    await send({"type": "http.response.body", "body": body})
