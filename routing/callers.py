"""Whose key is this? A bounded cache per process in front of one indexed read."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.conf import settings
from django.db import DatabaseError, connections

from billing.budgets import terms_for
from billing.terms import Allowance, bounds
from routing.keys import RANDOM_CHARACTERS, peppers
from routing.models import ApiKey, FormerSecret
from routing.threads import with_fresh_connection

log = logging.getLogger(__name__)

MOST_HELD = 20_000
MOST_REFUSED = 10_000
FRESH_SECONDS = 60.0  # then a key is read again, if the database can be asked
STALE_SECONDS = 3600.0  # and if it cannot, the key goes on working for so long
UNASKED_SECONDS = 5.0  # between two tries of a database that failed
REFUSED_SECONDS = 5.0
READ_SECONDS = 1.0  # the longest a request waits to learn whose key it has
UNKNOWN_PER_SECOND = 100  # reads that found nothing, before others have to wait
MOST_WAITING = 500
USED_SECONDS = 60.0  # how exact `last_used_at` is

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Caller:
    """What a key says about the program that presents it."""

    key_id: int
    team_id: int | None
    user_id: int | None
    scopes: frozenset[str] = frozenset()
    allowed_models: frozenset[str] = frozenset()
    expires_at: float | None = None  # seconds since the epoch
    use_case: str = ""  # what `auto` means for it
    tier: str = ""
    allowance: Allowance | None = None  # what limits it; None: nothing
    origins: frozenset[str] = frozenset()  # of the pages that may use it in a browser
    keeps_content: bool | None = None  # None: as its team


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a key opens nothing, as the client is told."""

    status: int
    code: str
    message: str
    retry_after: float | None = None


INVALID = Refused(401, "invalid_api_key", "This API key is not valid. Check it, or ask for a new one.")
REVOKED = Refused(401, "key_revoked", "This API key was revoked.")
EXPIRED = Refused(401, "key_expired", "This API key has expired.")
REPLACED = Refused(401, "key_expired", "This API key was rotated, and this is its former secret: use the new one.")
TEAM_ARCHIVED = Refused(401, "key_revoked", "The team of this API key was archived.")
PERSON_INACTIVE = Refused(401, "key_revoked", "The person of this API key was deactivated.")
UNREADABLE = Refused(503, "ledger_unavailable", "Keys cannot be read at the moment. Try again shortly.", 1.0)
TOO_MANY = Refused(429, "too_many_unknown_keys", "Too many unknown keys are being tried. Try again shortly.", 1.0)


class KeyBook:
    """The keys this process has met. Everything but `note_used` is for the event loop's thread."""

    def __init__(self) -> None:
        self._callers: dict[str, tuple[Caller, float]] = {}  # by hash, with when it was read
        self._refused: dict[str, tuple[Refused, float]] = {}
        self._reading: dict[str, asyncio.Task[Caller | Refused]] = {}
        # A key's hashes by a quicker digest of the key, which means nothing outside this process: OpenSSL takes longer
        # for one HMAC than all else here.
        self._hashed: dict[bytes, tuple[str, ...]] = {}
        self._digest_key = os.urandom(32)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="keys")
        self._peppers = tuple(reversed(tuple(peppers().values())))
        self._length = len(settings.BRAND["key_prefix"]) + 1 + RANDOM_CHARACTERS
        self._prefix = f"{settings.BRAND['key_prefix']}_"
        self._used: dict[int, float] = {}  # key -> when, not written yet
        self._noted: dict[int, float] = {}  # key -> when it was last written
        self._unknown = (0, 0)  # the second, and how many were not found in it
        self._changes = 0  # how often a key was to be forgotten
        self._unasked_until = 0.0  # the database just failed: until then nobody waits for it who need not

    def known(self, secret: str, now: float) -> Caller | Refused | None:
        """The answer, when it can be given at once. `now` is the time of day."""
        if not self._plausible(secret):
            return INVALID
        clock = time.monotonic()
        digest = hashlib.blake2b(secret.encode(), key=self._digest_key, digest_size=16).digest()
        remembered = self._hashed.get(digest)
        hashes = remembered or self._hashes(secret)
        for key_hash in hashes:
            held = self._callers.get(key_hash)
            if held is not None and clock - held[1] < FRESH_SECONDS:
                if remembered is None:  # only of keys that exist, so that guesses do not drive them out
                    _make_room(self._hashed, MOST_HELD)
                    self._hashed[digest] = hashes
                return self._admitted(held[0], now)
            refused = self._refused.get(key_hash)
            if refused is not None:
                if clock - refused[1] < REFUSED_SECONDS:
                    return refused[0]
                del self._refused[key_hash]
        return None

    async def find(self, secret: str) -> Caller | Refused:
        """The answer from the database, or the last one known when that cannot be asked."""
        if not self._plausible(secret):
            return INVALID
        hashes = self._hashes(secret)
        reading = self._reading.get(hashes[0])
        if reading is None:
            held = self._held(hashes)
            if held is None and self._too_many():
                return TOO_MANY
            if held is not None and self._stands_in(held):
                return self._admitted(held[0], time.time())
            reading = asyncio.create_task(self._read(hashes, held), name="read key")
            self._reading[hashes[0]] = reading
            reading.add_done_callback(lambda _: self._reading.pop(hashes[0], None))
        found = await asyncio.shield(reading)
        return self._admitted(found, time.time()) if isinstance(found, Caller) else found

    def forget(self, key_hash: str) -> None:
        """The key changed: the next request reads it again."""
        self._changes += 1
        self._callers.pop(key_hash, None)
        self._refused.pop(key_hash, None)

    @property
    def changes(self) -> int:
        """How often a key was to be forgotten: as long as it stays the same, so do the keys."""
        return self._changes

    def note_used(self) -> None:
        """Write down which keys were used. Blocks: call it in a thread that may use the database."""
        clock = time.monotonic()
        used, self._used = self._used, {}
        due = {key: at for key, at in used.items() if clock - self._noted.get(key, -USED_SECONDS) >= USED_SECONDS}
        for number in range(0, len(due), 500):
            some = list(due)[number : number + 500]
            when = datetime.fromtimestamp(max(due[key] for key in some), tz=UTC)
            ApiKey.objects.filter(id__in=some).update(last_used_at=when)
        self._noted.update(dict.fromkeys(due, clock))
        for key in [key for key, at in self._noted.items() if clock - at >= USED_SECONDS]:
            del self._noted[key]

    def close(self) -> None:
        self._thread.submit(connections.close_all)
        self._thread.shutdown(wait=False)

    def __len__(self) -> int:
        return len(self._callers)

    # -- one key -------------------------------------------------------------------

    def _plausible(self, secret: str) -> bool:
        """Anything that cannot be a key costs no read."""
        return len(secret) == self._length and secret.startswith(self._prefix) and secret.isascii()

    def _hashes(self, secret: str) -> tuple[str, ...]:
        presented = secret.encode()
        return tuple(hmac.digest(pepper, presented, "sha256").hex() for pepper in self._peppers)

    def _admitted(self, caller: Caller, now: float) -> Caller | Refused:
        if caller.expires_at is not None and caller.expires_at <= now:
            return EXPIRED
        self._used[caller.key_id] = now
        return caller

    def _held(self, hashes: Iterable[str]) -> tuple[Caller, float] | None:
        return next((held for key_hash in hashes if (held := self._callers.get(key_hash)) is not None), None)

    def _too_many(self) -> bool:
        second, missed = self._unknown
        return len(self._reading) >= MOST_WAITING or (missed >= UNKNOWN_PER_SECOND and second == int(time.monotonic()))

    def _stands_in(self, held: tuple[Caller, float]) -> bool:
        """While the database is away, what it said within the last hour counts."""
        clock = time.monotonic()
        return clock < self._unasked_until and clock - held[1] < STALE_SECONDS

    async def _read(self, hashes: tuple[str, ...], held: tuple[Caller, float] | None) -> Caller | Refused:
        loop = asyncio.get_running_loop()
        began, changes = time.monotonic(), self._changes
        try:
            async with asyncio.timeout(READ_SECONDS):
                key_hash, found = await loop.run_in_executor(self._thread, read_key, hashes)
        except (DatabaseError, TimeoutError) as error:
            self._unasked_until = time.monotonic() + UNASKED_SECONDS
            if held is not None and self._stands_in(held):
                return held[0]
            log.warning("a key could not be read: %s", error or "the database did not answer in time")
            return UNREADABLE
        if changes != self._changes:
            return found  # perhaps read before the change that was just announced: not to be remembered
        if isinstance(found, Caller):
            _keep(self._callers, key_hash, (found, began), MOST_HELD)
        else:
            for each in hashes:
                self._callers.pop(each, None)
            _keep(self._refused, key_hash, (found, began), MOST_REFUSED)
            if found is INVALID:
                second = int(time.monotonic())
                self._unknown = (second, self._unknown[1] + 1 if self._unknown[0] == second else 1)
        return found


def _keep(book: dict[str, tuple[T, float]], key_hash: str, entry: tuple[T, float], most: int) -> None:
    """The newest at the end; the oldest makes room."""
    book.pop(key_hash, None)
    _make_room(book, most)
    book[key_hash] = entry


def _make_room(book: dict[Any, Any], most: int) -> None:
    while len(book) >= most:
        del book[next(iter(book))]


def read_key(hashes: tuple[str, ...]) -> tuple[str, Caller | Refused]:
    """The hash that is a key's, and what the key says. For a thread of its own."""
    return with_fresh_connection(lambda: find_key(hashes))


def find_key(hashes: tuple[str, ...]) -> tuple[str, Caller | Refused]:
    """The same on the connection of whoever asks."""
    key = ApiKey.objects.filter(hash__in=hashes).select_related("team", "user").first()
    return (key.hash, _judged(key)) if key is not None else _find_former(hashes)


def _find_former(hashes: tuple[str, ...]) -> tuple[str, Caller | Refused]:
    """A secret that was rotated away opens its key until its own time ends."""
    former = FormerSecret.objects.filter(hash__in=hashes).select_related("key__team", "key__user").first()
    if former is None:
        return hashes[0], INVALID
    ends_at = former.ends_at.timestamp()
    if ends_at <= time.time():
        return former.hash, REPLACED
    found = _judged(former.key)
    if isinstance(found, Caller):
        found = replace(found, expires_at=min(ends_at, found.expires_at or ends_at))
    return former.hash, found


def _judged(key: ApiKey) -> Caller | Refused:
    if key.revoked_at is not None:
        return REVOKED
    if key.team is not None and key.team.archived_at is not None:
        return TEAM_ARCHIVED
    if key.user is not None and not key.user.is_active:
        return PERSON_INACTIVE
    return Caller(
        key_id=key.pk,
        team_id=key.team_id,
        user_id=key.user_id,
        scopes=frozenset(key.scopes),
        allowed_models=_names(key.allowed_models),
        expires_at=key.expires_at.timestamp() if key.expires_at else None,
        use_case=key.use_case,
        tier=key.tier,
        allowance=allowance_of(key),
        origins=frozenset(key.allowed_origins),
        keeps_content=key.keeps_content,
    )


def allowance_of(key: ApiKey) -> Allowance | None:
    limits = bounds("key", key.pk, key.requests_per_minute, key.tokens_per_minute, key.concurrency)
    terms = terms_for("key", key.pk)
    return Allowance(limits, terms) if limits is not None or terms is not None else None


def _names(allowed: Iterable[str]) -> frozenset[str]:
    """As written, and with the part before the colon in small letters, as slugs of providers are."""
    names = frozenset(allowed)
    return names | {prefix.lower() + colon + rest for prefix, colon, rest in (name.partition(":") for name in names)}
