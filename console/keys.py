"""The two secrets under everything kept: the key ring (opens credentials) and the pepper (recognises API keys).

They are made once, when a house has nothing to lose yet. A house with data and without them does not start: a new ring
would open nothing, and a new pepper would end every API key without a word.
"""

from __future__ import annotations

import secrets

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from console.models import User
from console.state import keep
from providers import vault
from providers.models import Credential
from routing.keys import pepper_file, peppers
from routing.models import ApiKey


def ensure() -> None:
    """Both secrets are there and fit the data, or ImproperlyConfigured says in a sentence what is missing."""
    ring = settings.RELAYHOUSE_KEY_RING or vault.ring_file().exists()
    pepper = settings.RELAYHOUSE_KEY_PEPPER or pepper_file().exists()
    if not (ring and pepper) and has_data():
        raise ImproperlyConfigured(_missing(bool(ring), bool(pepper)))
    if not ring:
        keep(vault.ring_file(), f"first:{vault.new_ring_key()}")
        vault.key_ring.cache_clear()
    if not pepper:
        keep(pepper_file(), f"1:{secrets.token_urlsafe(32)}")
        peppers.cache_clear()
    peppers()
    _check_ring()


def has_data() -> bool:
    """Is there anything that a new key would lock out?"""
    return User.objects.exists() or ApiKey.objects.exists() or Credential.objects.exclude(sealed="").exists()


def _missing(ring: bool, pepper: bool) -> str:
    lost = [
        *([] if ring else [f"the key ring (RELAYHOUSE_KEY_RING, or {vault.ring_file()})"]),
        *([] if pepper else [f"the pepper (RELAYHOUSE_KEY_PEPPER, or {pepper_file()})"]),
    ]
    return f"This house has data but not {' and not '.join(lost)}. Restore it from the backup of the state folder."


def _check_ring() -> None:
    """Every key that sealed something must still be in the ring, and open the newest secret it sealed."""
    ring = vault.key_ring()
    newest: dict[str, Credential] = {}
    for credential in Credential.objects.exclude(sealed="").filter(variable="").order_by("pk"):
        newest[credential.sealed.partition(":")[0]] = credential
    for name, credential in newest.items():
        if name not in ring:
            raise ImproperlyConfigured(
                f"The key ring lacks the key '{name}', which sealed stored credentials. Restore it from the backup."
            )
        try:
            credential.reveal()
        except vault.SealBroken:
            raise ImproperlyConfigured(
                f"The key '{name}' of the key ring does not open what it sealed. Restore the ring from the backup."
            ) from None
