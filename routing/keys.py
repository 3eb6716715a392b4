"""Making API keys, and the hash that stands for one. The secret itself is never kept."""

from __future__ import annotations

import hmac
import secrets
import string
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from billing import budgets
from billing.models import Budget, Team
from routing.models import ApiKey, KeyChange

ALPHABET = string.ascii_letters + string.digits
RANDOM_CHARACTERS = 40  # 238 bits
SHOWN_CHARACTERS = 9  # of the secret, to recognise a key by
REMEMBERED = timedelta(days=1)


def pepper_file() -> Path:
    return Path(settings.RELAYHOUSE_STATE) / "keys" / "pepper"


@cache
def peppers() -> dict[int, bytes]:
    """By version, from the environment, else from the state folder. It is made by `console.keys`, never here."""
    if settings.RELAYHOUSE_KEY_PEPPER:
        return parse_peppers(settings.RELAYHOUSE_KEY_PEPPER)
    try:
        return parse_peppers(pepper_file().read_text())
    except FileNotFoundError:
        raise ImproperlyConfigured(
            f"The pepper of API keys is missing: neither RELAYHOUSE_KEY_PEPPER nor {pepper_file()} exists."
        ) from None


def parse_peppers(text: str) -> dict[int, bytes]:
    """`1:secret,2:secret` to secrets by version; the last one hashes new keys. A text without a colon is version 1."""
    found: dict[int, bytes] = {}
    for part in text.replace("\n", ",").split(","):
        version, colon, secret = part.strip().partition(":")
        if not colon:
            version, secret = "1", version
        if not secret:
            continue
        if not (version.isascii() and version.isdigit()):
            raise ImproperlyConfigured(f"Pepper of API keys: '{version}' is not a version number.")
        found[int(version)] = secret.encode()
    if not found:
        raise ImproperlyConfigured("Pepper of API keys: no secret in it.")
    return found


def hash_secret(secret: str, version: int | None = None) -> str:
    """The HMAC that is kept in place of the secret, under one version of the pepper or the newest."""
    known = peppers()
    pepper = known[next(reversed(known))] if version is None else known[version]
    return hmac.digest(pepper, secret.encode("utf-8", "replace"), "sha256").hex()


def new_secret() -> str:
    return f"{settings.BRAND['key_prefix']}_{''.join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))}"


def create_key(
    name: str,
    *,
    team: Team | None = None,
    user: Any = None,
    allowed_models: Iterable[str] = (),
    scopes: Iterable[str] = (),
    expires_at: datetime | None = None,
    created_by: Any = None,
) -> tuple[ApiKey, str]:
    """The row, and the secret, which nobody can read again."""
    secret = new_secret()
    key = ApiKey.objects.create(
        name=name,
        prefix=secret[:SHOWN_CHARACTERS],
        last_four=secret[-4:],
        hash=hash_secret(secret),
        pepper_version=next(reversed(peppers())),
        team=team,
        user=user,
        allowed_models=list(dict.fromkeys(allowed_models)),
        scopes=list(dict.fromkeys(scopes)),
        expires_at=expires_at,
        created_by=created_by,
    )
    return key, secret


def revoke(key: ApiKey, now: datetime) -> None:
    """End a key. Every process knows within two seconds."""
    key.revoked_at = now
    key.save(update_fields=["revoked_at"])


def set_budget(key: ApiKey, limit_nano: int, **values: Any) -> Budget:
    """What the key may spend, in place of what it might before. A ValueError says what is wrong: billing/budgets.py."""
    with transaction.atomic():
        budget = budgets.set_budget("key", key.pk, limit_nano=limit_nano, **values)
        key.tell()
    return budget


def remove_budget(key: ApiKey) -> bool:
    with transaction.atomic():
        removed = budgets.remove_budget("key", key.pk)
        key.tell()
    return removed


def prune_key_changes(now: datetime) -> int:
    """Forget changes that every process has read long ago. How many."""
    return KeyChange.objects.filter(at__lt=now - REMEMBERED).delete()[0]
