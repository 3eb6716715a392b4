"""Was this asked before under the same `Idempotency-Key`? Then the first answer is given again, and nothing is billed.

Kept for a day. While the first is being answered a repetition is told to wait; an answer that failed leaves no trace,
so it may be asked again. Whoever dies while answering stops giving signs of life, and the next one takes over.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from django.db import DatabaseError, IntegrityError, InterfaceError, connections, transaction
from django.utils import timezone

from providers import vault
from routing.models import Repeat
from routing.threads import with_fresh_connection

log = logging.getLogger(__name__)

KEPT = timedelta(days=1)
LEASE = timedelta(seconds=30)  # without a sign of life
BEAT_SECONDS = 10.0
LONGEST_NAME = 255
LONGEST_ANSWER = 8 * 1024 * 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Claim:
    """This request is the first, and answers."""

    name: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Again:
    """It was answered before: here is the answer."""

    request_id: str
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Conflict:
    """It cannot be answered now, and why."""

    status: int
    code: str
    message: str
    retry_after: float | None = None


BUSY = Conflict(409, "idempotency_in_progress", "The first request with this key is still being answered.", 1.0)
OTHER = Conflict(422, "idempotency_key_reused", "This Idempotency-Key came with another request before.")
LOST = Conflict(
    409, "idempotency_answer_too_long", "This was answered before, and the answer is not kept. Ask under another key."
)
AWAY = Conflict(503, "idempotency_unavailable", "Repetitions cannot be told at the moment. Try again shortly.", 1.0)


class Repeats:
    """Of one process. Everything here is for the event loop; the database is asked in threads."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="repeats")
        self._answering: set[str] = set()
        self._beating: asyncio.Task[None] | None = None
        self._letting_go: set[asyncio.Task[None]] = set()

    async def claim(self, key_id: int, path: str, name: str, body: bytes, request_id: str) -> Claim | Again | Conflict:
        named = hashlib.sha256(f"{key_id}\0{path}\0{name}".encode()).hexdigest()
        digest = hashlib.sha256(body).hexdigest()
        try:
            found = await self._in_thread(lambda: _claim(named, digest, request_id, timezone.now()))
        except (DatabaseError, InterfaceError) as error:
            log.error("idempotency keys cannot be read: %s", error)
            return AWAY
        if isinstance(found, Claim):
            self._answering.add(found.name)
            if self._beating is None or self._beating.done():
                self._beating = asyncio.create_task(self._beat(), name="repeats beat")
        return found

    async def keep(self, claim: Claim, content_type: str, body: bytes) -> None:
        """The answer is whole: from now on it is given to whoever repeats the question."""
        self._answering.discard(claim.name)
        try:
            await self._in_thread(lambda: _keep(claim, content_type, body, timezone.now()))
        except (DatabaseError, InterfaceError) as error:
            # The answer goes out all the same; a repetition is answered anew when the lease is over.
            log.error("the answer of %s is not kept for repetitions: %s", claim.request_id, error)

    def release(self, claim: Claim) -> None:
        """It came to nothing, so it may be asked again. Not waited for: the client may be gone."""
        if claim.name not in self._answering:
            return
        self._answering.discard(claim.name)
        task = asyncio.create_task(self._let_go(claim))
        self._letting_go.add(task)
        task.add_done_callback(self._letting_go.discard)

    async def close(self) -> None:
        await asyncio.gather(*self._letting_go, return_exceptions=True)
        if self._beating is not None:
            self._beating.cancel()
        self._threads.submit(connections.close_all)
        self._threads.shutdown(wait=False)

    async def _let_go(self, claim: Claim) -> None:
        try:
            await self._in_thread(
                lambda: Repeat.objects.filter(name=claim.name, request_id=claim.request_id, ended_at=None).delete()
            )
        except (DatabaseError, InterfaceError) as error:
            log.error("an idempotency key is not released before its lease is over: %s", error)

    async def _beat(self) -> None:
        while self._answering:
            await asyncio.sleep(BEAT_SECONDS)
            names = list(self._answering)
            try:
                await self._in_thread(partial(_beat, names))
            except (DatabaseError, InterfaceError) as error:
                log.error("no sign of life of answers with an idempotency key: %s", error)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, with_fresh_connection, work)


def _claim(name: str, body: str, request_id: str, now: datetime) -> Claim | Again | Conflict:
    fresh = {"body": body, "request_id": request_id, "began_at": now, "beat_at": now}
    try:
        with transaction.atomic():
            Repeat.objects.create(name=name, **fresh)
        return Claim(name, request_id)
    except IntegrityError:
        pass
    row = Repeat.objects.filter(name=name).first()
    if row is None:
        return BUSY  # it was let go of in this very moment
    abandoned = row.ended_at is None and row.beat_at < now - LEASE
    if abandoned or row.began_at < now - KEPT:
        # Whoever changes the row first has it.
        taken = Repeat.objects.filter(pk=row.pk, request_id=row.request_id, beat_at=row.beat_at)
        more = {"ended_at": None, "content_type": "", "sealed": ""}
        return Claim(name, request_id) if taken.update(**fresh, **more) else BUSY
    if row.body != body:
        return OTHER
    if row.ended_at is None:
        return BUSY
    if not row.sealed:
        return LOST
    try:
        answer = vault.unseal(row.sealed, *_place(row.request_id))
    except vault.SealBroken:
        return LOST  # its key has left the ring
    return Again(row.request_id, row.content_type, answer.encode())


def _beat(names: list[str]) -> None:
    Repeat.objects.filter(name__in=names).update(beat_at=timezone.now())


def _keep(claim: Claim, content_type: str, body: bytes, now: datetime) -> None:
    sealed = vault.seal(body.decode(), *_place(claim.request_id)) if len(body) <= LONGEST_ANSWER else ""
    Repeat.objects.filter(name=claim.name, request_id=claim.request_id).update(
        ended_at=now, content_type=content_type, sealed=sealed
    )


def _place(request_id: str) -> tuple[str, str, str]:
    return ("repeat", request_id, "answer")
