"""Who changed what, when: an append-only chain in which each entry carries the hash of the one before.

`content` (before and after) enters the chain as a digest, so that it can be erased for a person without breaking it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from django.db import connection, models, transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from console.addresses import client_address
from console.models import AuditEntry, User

GENESIS = "0" * 64
CHAIN_LOCK = 0x52656C6179  # Postgres advisory lock: one writer at the end of the chain
SECRET_WORDS = ("password", "secret", "token", "hash", "api_key", "sealed")
COUNTS = ("tokens_per_minute",)  # of tokens that are no secrets

VERBS = {
    "create": _("created"),
    "change": _("changed"),
    "delete": _("deleted"),
    "archive": _("archived"),
    "restore": _("restored"),
    "add": _("added"),
    "remove": _("removed"),
    "invite": _("invited"),
    "resend": _("renewed"),
    "withdraw": _("withdrew"),
    "accept": _("accepted"),
    "claim": _("claimed"),
    "activate": _("activated"),
    "deactivate": _("deactivated"),
    "revoke": _("revoked"),
    "rotate": _("rotated"),
    "apply": _("applied"),
    "publish": _("published"),
    "ask": _("asked for"),
    "check": _("checked"),
    "sign_in": _("signed in"),
    "sign_in_failed": _("failed to sign in"),
    "sign_out": _("signed out"),
    "end": _("ended"),
    "reset_link": _("made a reset link for"),
}
# With their article, since languages join it to the noun.
KINDS = {
    "user": _("the person"),
    "team": _("the team"),
    "membership": _("the membership"),
    "invitation": _("the invitation"),
    "organisation": _("the organisation"),
    "apikey": _("the API key"),
    "provider": _("the provider"),
    "credential": _("the credential"),
    "languagemodel": _("the model"),
    "alias": _("the alias"),
    "price": _("the price"),
    "authenticator": _("the two-factor"),
    "session": _("the session"),
    "password": _("the password"),
    "configuration": _("the configuration"),
    "access": _("the access"),
    "room": _("the room"),
}


@dataclass(frozen=True, slots=True)
class Named:
    """What an entry is about when it is not a row: `Named("access", "teams.change", "teams.change")`."""

    kind: str
    id: str
    name: str = ""


def record(
    actor: User | None,
    verb: str,
    obj: models.Model | Named,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    note: str = "",
    request: HttpRequest | None = None,
    actor_name: str = "",
) -> AuditEntry:
    """Append one entry, in the caller's transaction. When both sides are given, only what differs is kept."""
    content = _content(before, after)
    named = obj if isinstance(obj, Named) else Named(obj._meta.model_name or "", str(obj.pk), str(obj))
    entry = AuditEntry(
        at=timezone.now(),
        actor_id=actor.pk if actor else None,
        actor_name=(actor_name or (str(actor) if actor else ""))[:200],
        address=client_address(request) if request else None,
        verb=verb,
        object_kind=named.kind,
        object_id=named.id[:100],
        object_name=named.name[:300],
        content=content,
        note=note[:300],
        content_digest=digest(content),
    )
    with transaction.atomic():
        _hold_the_end()
        last = AuditEntry.objects.order_by("-id").values_list("hash", flat=True).first()
        entry.previous_hash = last or GENESIS
        entry.hash = chained(entry)
        entry.save(force_insert=True)
    return entry


def record_command(
    command: str, verb: str, obj: models.Model | Named, *, before: Any = None, after: Any = None, note: str = ""
) -> AuditEntry:
    """The same for a change made on the command line: `record_command("apply", "change", provider, ...)`."""
    return record(None, verb, obj, before=before, after=after, note=note, actor_name=f"manage.py {command}")


def fields_of(row: models.Model, *names: str) -> dict[str, Any]:
    """These fields as they are now, for `before` and `after`."""
    return {name: getattr(row, name) for name in names}


def _hold_the_end() -> None:
    """Nobody else appends until this transaction ends. SQLite's writing transactions already exclude each other."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CHAIN_LOCK])


def _content(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if before is None and after is None:
        return None
    old, new = dict(before or {}), dict(after or {})
    if before is not None and after is not None:
        same = {key for key in old.keys() & new.keys() if old[key] == new[key]}
        old = {key: value for key, value in old.items() if key not in same}
        new = {key: value for key, value in new.items() if key not in same}
    plain: dict[str, Any] = json.loads(json.dumps({"before": _veiled(old), "after": _veiled(new)}, default=str))
    return plain


def _veiled(values: dict[str, Any]) -> dict[str, Any]:
    return {key: "…" if _is_secret(key.lower()) else value for key, value in values.items()}


def _is_secret(name: str) -> bool:
    return name not in COUNTS and any(word in name for word in SECRET_WORDS)


# -- the chain ----------------------------------------------------------------


def digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def chained(entry: AuditEntry) -> str:
    """The hash of an entry: everything but its content, which stands in by its digest, after the hash before it."""
    parts = [
        entry.previous_hash,
        entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        entry.actor_id,
        entry.actor_name,
        str(ipaddress.ip_address(entry.address)) if entry.address else "",
        entry.verb,
        entry.object_kind,
        entry.object_id,
        entry.object_name,
        entry.note,
        entry.content_digest,
    ]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Verified:
    """`broken` is the id of the first entry that does not fit; `head` is the hash of the last one that does."""

    entries: int
    erased: int
    head: str
    broken: int | None = None
    reason: str = ""


def verify() -> Verified:
    """Walk the whole chain from its first entry."""
    previous, entries, erased = GENESIS, 0, 0
    for entry in _in_order():
        reason = _fault(entry, previous)
        if reason:
            return Verified(entries, erased, previous, entry.pk, reason)
        if entry.content is None and entry.content_digest != digest(None):
            erased += 1
        previous = entry.hash
        entries += 1
    return Verified(entries, erased, previous)


def _in_order() -> Iterator[AuditEntry]:
    return AuditEntry.objects.order_by("id").iterator(chunk_size=1000)


def _fault(entry: AuditEntry, previous: str) -> str:
    if entry.previous_hash != previous:
        return "an entry before it is missing or was moved"
    if entry.content is not None and digest(entry.content) != entry.content_digest:
        return "its content was changed"
    if chained(entry) != entry.hash:
        return "it was changed"
    return ""
