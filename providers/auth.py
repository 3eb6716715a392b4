"""How a request proves who sends it: one small signer a scheme, from a secret to headers.

A secret is one text. One of several parts is the JSON of an object of texts: `parts` opens it. What signs a whole
request (AWS) is in sigv4.py, what is exchanged for a token first in signin.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec

from providers.sigv4 import AccessKey

Headers = dict[str, str]


def _bearer(secret: str) -> Headers:
    return {"authorization": f"Bearer {secret.removeprefix(TOKEN)}"}


def _api_key(secret: str) -> Headers:
    return {"api-key": secret}


def _api_key_or_token(secret: str) -> Headers:
    return _bearer(secret) if is_token(secret) else _api_key(secret)


def _x_api_key(secret: str) -> Headers:
    return {"x-api-key": secret}


def _x_goog_api_key(secret: str) -> Headers:
    return {"x-goog-api-key": secret}


def _none(secret: str) -> Headers:
    return {}


TOKEN = "Bearer "  # noqa: S105  what a token is marked with where a key would go by another header

SIGNERS: Mapping[str, Callable[[str], Headers]] = {
    "bearer": _bearer,
    "api-key": _api_key,
    "api-key-or-token": _api_key_or_token,
    "x-api-key": _x_api_key,
    "x-goog-api-key": _x_goog_api_key,
    "none": _none,
}


def signed(scheme: str, secret: str) -> Headers:
    """The headers that carry the secret. Without one there are none: some servers refuse an empty or made-up key.

    One of several parts is never sent: a token is, which it was exchanged for, or a signature made with it.
    """
    return SIGNERS[scheme](secret) if secret and secret[0] != "{" else {}


def is_sendable(secret: str) -> bool:
    """A header is one line of visible ASCII: a key pasted with a line break in it cannot be sent."""
    return secret.isascii() and secret.isprintable()


_SIGNED_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")  # three parts of base64, the first one JSON


def is_token(secret: str) -> bool:
    return secret.startswith(TOKEN) or _SIGNED_TOKEN.fullmatch(secret) is not None


# -- secrets of several parts -------------------------------------------------------------

_parts = msgspec.json.Decoder(dict[str, str])
_ACCESS_KEY = re.compile(r"(\w{8,128}):([^\s:]{8,})(?::(\S+))?")
_SHORTEST_HIDDEN = 4  # a part of fewer characters is no secret, and would be found in every word
PUBLIC_PARTS = frozenset({"authority", "scope"})  # of a secret: may be shown


def parts(secret: str) -> Mapping[str, str]:
    """None for a secret that is just one text. Raises ValueError for JSON that is no object of texts."""
    if not secret.startswith("{"):
        return {}
    try:
        return {name: value.strip() for name, value in _parts.decode(secret).items() if value.strip()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("the key is neither one text nor the JSON of an object of texts") from None


def access_key(secret: str) -> AccessKey | None:
    """The pair in a secret, written as JSON or `ID:SECRET[:TOKEN]`; None when it is a key of another sort."""
    found = parts(secret)
    if found:
        if not found.get("access_key_id") or not found.get("secret_access_key"):
            raise ValueError("the key needs access_key_id and secret_access_key")
        return AccessKey(found["access_key_id"], found["secret_access_key"], found.get("session_token", ""))
    pair = _ACCESS_KEY.fullmatch(secret)
    return AccessKey(pair[1], pair[2], pair[3] or "") if pair else None


def hidden_parts(secret: str) -> list[str]:
    """The texts of a secret that nobody may be shown."""
    try:
        found = parts(secret)
    except ValueError:
        return [secret]
    if not found:
        return [secret]
    return [value for name, value in found.items() if name not in PUBLIC_PARTS and len(value) >= _SHORTEST_HIDDEN]


def last_four(secret: str) -> str:
    """What a key is told from others by: its end, or that of the part which names it. Nothing of a short one."""
    try:
        found = parts(secret)
        pair = access_key(secret) if not found or "access_key_id" in found else None
    except ValueError:
        return ""
    shown = pair.id if pair else found.get("client_id", "") if found else secret
    return shown[-4:] if len(shown) >= 12 else ""
