"""How a request proves who sends it: one small signer a scheme, from a secret to headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Headers = dict[str, str]


def _bearer(secret: str) -> Headers:
    return {"authorization": f"Bearer {secret}"}


def _api_key(secret: str) -> Headers:
    return {"api-key": secret}


def _x_api_key(secret: str) -> Headers:
    return {"x-api-key": secret}


def _none(secret: str) -> Headers:
    return {}


SIGNERS: Mapping[str, Callable[[str], Headers]] = {
    "bearer": _bearer,
    "api-key": _api_key,
    "x-api-key": _x_api_key,
    "none": _none,
}


def signed(scheme: str, secret: str) -> Headers:
    """The headers that carry the secret. Without one there are none: some servers refuse an empty or made-up key."""
    return SIGNERS[scheme](secret) if secret else {}


def is_sendable(secret: str) -> bool:
    """A header is one line of visible ASCII: a key pasted with a line break in it cannot be sent."""
    return secret.isascii() and secret.isprintable()
