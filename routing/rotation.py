"""A new secret for a key that goes on. Who it is, what it may and what it spent stay; the old secret ends later."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from routing.keys import SHOWN_CHARACTERS, hash_secret, new_secret, peppers
from routing.models import ApiKey, FormerSecret

LONGEST_OVERLAP = timedelta(days=30)
REMEMBERED = timedelta(days=90)  # so that whoever comes with a former secret is told what it is


class Ended(Exception):
    """A key that was revoked, or has expired, gets no new secret."""


def rotate(key: ApiKey, overlap: timedelta, now: datetime) -> str:
    """The new secret, which nobody can read again. Both open the key until the overlap ends."""
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise ValueError(f"An overlap is between none and {LONGEST_OVERLAP.days} days.")
    secret = new_secret()
    with transaction.atomic():
        held = ApiKey.objects.select_for_update().get(pk=key.pk)  # two at once: the later one replaces the earlier
        if held.revoked_at is not None or (held.expires_at is not None and held.expires_at <= now):
            raise Ended
        held.former_secrets.filter(ends_at__lt=now - REMEMBERED).delete()
        FormerSecret.objects.create(
            key=held,
            hash=held.hash,
            pepper_version=held.pepper_version,
            last_four=held.last_four,
            ends_at=now + overlap,
        )
        key.prefix, key.last_four, key.hash = secret[:SHOWN_CHARACTERS], secret[-4:], hash_secret(secret)
        key.pepper_version = next(reversed(peppers()))
        key.save(update_fields=["prefix", "last_four", "hash", "pepper_version"])
    return secret


def end_former_secrets(key: ApiKey, now: datetime) -> int:
    """Those that still open the key open it no more. How many."""
    living = list(key.former_secrets.filter(ends_at__gt=now))
    for former in living:
        former.ends_at = now
        former.save(update_fields=["ends_at"])
    return len(living)
