"""Secrets at rest: AES-GCM under a key ring, bound to the place they are kept in.

A sealed text is `<ring key id>:<base64 of nonce and ciphertext>`. The place (table, row, field) goes in as associated
data, so that a value copied into another row does not open there.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

NONCE_BYTES = 12


class SealBroken(Exception):
    """The text cannot be opened: wrong place, wrong key ring, or changed."""


def new_ring_key() -> str:
    return base64.urlsafe_b64encode(AESGCM.generate_key(bit_length=256)).decode()


def parse_ring(text: str) -> dict[str, bytes]:
    """`id:base64,id:base64` to keys by id; the first one seals."""
    ring: dict[str, bytes] = {}
    for part in text.replace("\n", ",").split(","):
        name, found, encoded = part.strip().partition(":")
        if not name:
            continue
        try:
            key = base64.urlsafe_b64decode(encoded)
        except ValueError:
            key = b""
        if not found or len(key) != 32:
            raise ImproperlyConfigured(f"Key ring: '{name}' is not followed by 32 bytes in base64.")
        ring[name] = key
    if not ring:
        raise ImproperlyConfigured("Key ring: no key in it.")
    return ring


def ring_file() -> Path:
    return Path(settings.RELAYHOUSE_STATE) / "keys" / "ring"


@cache
def key_ring() -> Mapping[str, bytes]:
    """From the environment, else from the state folder. It is made by `console.keys`, never here."""
    if settings.RELAYHOUSE_KEY_RING:
        return parse_ring(settings.RELAYHOUSE_KEY_RING)
    try:
        return parse_ring(ring_file().read_text())
    except FileNotFoundError:
        raise ImproperlyConfigured(
            f"The key ring is missing: neither RELAYHOUSE_KEY_RING nor {ring_file()} exists."
        ) from None


def seal(text: str, *place: str) -> str:
    ring = key_ring()
    name = next(iter(ring))
    nonce = os.urandom(NONCE_BYTES)
    sealed = AESGCM(ring[name]).encrypt(nonce, text.encode(), _bound(place))
    return f"{name}:{base64.urlsafe_b64encode(nonce + sealed).decode()}"


def unseal(sealed: str, *place: str) -> str:
    name, _, encoded = sealed.partition(":")
    key = key_ring().get(name)
    if key is None:
        raise SealBroken(f"The key ring has no key '{name}'.")
    raw = base64.urlsafe_b64decode(encoded)
    try:
        return AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _bound(place)).decode()
    except InvalidTag:
        raise SealBroken("This secret was not sealed for this place, or it was changed.") from None


def _bound(place: tuple[str, ...]) -> bytes:
    return "\x00".join(place).encode()
