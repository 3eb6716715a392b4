"""Signing in before a request: a secret that lasts is exchanged for a token that does not, which is sent in its place.

`ready` is what everybody calls who sends something to a provider. It does nothing for a key that is sent as it is.
Tokens are kept in memory until shortly before their end, by a digest of the secret; whoever needs one while it is being
fetched waits for the same answer. What a sign-in refuses the provider never sees, so nothing can have been billed.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import msgspec

from providers import auth
from providers.adapters.refusals import cleaned
from providers.errors import BadCredentials, ProviderError, Unreachable
from providers.registry import Exchange
from providers.wiring import HttpAnswer, HttpRequest, Limits, Port, Target

EARLY_SECONDS = 300.0  # a token is not used in its last minutes
REFUSED_SECONDS = 5.0  # what was refused is not asked again for so long
EXCHANGE_SECONDS = 10.0
MOST_TOKENS = 256
_ANSWER_BYTES = 64 * 1024
_LONGEST_DAYS = 90


class _Answer(msgspec.Struct):
    access_token: str
    expires_in: float = 0.0
    refresh_token: str = ""


class _Refusal(msgspec.Struct):
    error: str = ""
    error_description: str = ""


_answer = msgspec.json.Decoder(_Answer, strict=False)
_refusal = msgspec.json.Decoder(_Refusal)


@dataclass(frozen=True, slots=True)
class _Kept:
    until: float  # on the monotonic clock
    token: str = ""
    refresh_token: str = ""  # that came with it, to be used the next time
    refused: str = ""


def needed(target: Target) -> bool:
    """Whether the secret is one that is exchanged."""
    return target.kind.exchanges is not None and target.secret[:1] == "{"


def before(target: Target) -> Target:
    """The target while its token has not come: to see what a request would be, never to send it."""
    return _with_token(target, "-") if needed(target) else target


async def ready(target: Target, port: Port) -> Target:
    """The target as requests to it are signed. Raises BadCredentials or Unreachable."""
    exchange = target.kind.exchanges
    if exchange is None or not needed(target):
        return target
    return _with_token(target, await _tokens.get(target, exchange, port))


def forget(target: Target) -> None:
    """Its token was refused: the next request fetches another."""
    if needed(target):
        _tokens.forget(target)


def forget_all() -> None:
    """Every token of this process: its keys may have changed in ways that only whoever calls this knows."""
    _tokens.clear()


def _with_token(target: Target, token: str) -> Target:
    return msgspec.structs.replace(target, secret=auth.TOKEN + token)


class _Tokens:
    """Of this process. Bounded: the one that was not used for longest goes first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._coming: dict[bytes, asyncio.Task[str]] = {}

    async def get(self, target: Target, exchange: Exchange, port: Port) -> str:
        key = _key(target)
        kept = self._kept.get(key)
        if kept is not None and time.monotonic() < kept.until:
            self._kept.move_to_end(key)
            if kept.refused:
                raise BadCredentials(kept.refused, provider=target.provider, sent=False)
            return kept.token
        coming = self._coming.get(key)
        if coming is None or coming.done() or coming.get_loop() is not asyncio.get_running_loop():
            refresh_token = kept.refresh_token if kept is not None else ""
            coming = asyncio.create_task(self._fetch(key, target, exchange, port, refresh_token), name="sign-in")
            coming.add_done_callback(_looked_at)
            self._coming[key] = coming
        # Whoever leaves does not take the answer from the others.
        return await asyncio.shield(coming)

    def forget(self, target: Target) -> None:
        key = _key(target)
        kept = self._kept.get(key)
        if kept is not None and kept.token:
            self._kept[key] = _Kept(0.0, refresh_token=kept.refresh_token)

    def clear(self) -> None:
        self._kept.clear()

    async def _fetch(self, key: bytes, target: Target, exchange: Exchange, port: Port, refresh_token: str) -> str:
        task = asyncio.current_task()
        try:
            kept = await _exchanged(target, exchange, port, refresh_token)
        except BadCredentials as error:
            self._keep(key, _Kept(time.monotonic() + REFUSED_SECONDS, refused=error.message))
            raise
        finally:
            if self._coming.get(key) is task:
                del self._coming[key]
        self._keep(key, kept)
        return kept.token

    def _keep(self, key: bytes, kept: _Kept) -> None:
        self._kept[key] = kept
        self._kept.move_to_end(key)
        while len(self._kept) > MOST_TOKENS:
            self._kept.popitem(last=False)


def _looked_at(task: asyncio.Task[str]) -> None:
    """Everybody who waited may have left: the error was for them, and is none of this process."""
    if not task.cancelled():
        task.exception()


def _key(target: Target) -> bytes:
    return hashlib.sha256("\x00".join((target.kind.slug, target.provider, target.secret)).encode()).digest()


_tokens = _Tokens()


# -- one exchange -----------------------------------------------------------------------


async def _exchanged(target: Target, exchange: Exchange, port: Port, refresh_token: str) -> _Kept:
    request = request_for(target, exchange, refresh_token)
    now = asyncio.get_running_loop().time()
    limits = Limits(
        deadline=now + EXCHANGE_SECONDS,
        connect=EXCHANGE_SECONDS / 2,
        first_byte=EXCHANGE_SECONDS,
        idle=EXCHANGE_SECONDS,
        body_bytes=_ANSWER_BYTES,
    )
    try:
        answer = await port.send(request, limits)
    except ProviderError as error:
        raise _unreachable(target, error.message) from error
    if answer.status in (408, 429) or answer.status >= 500:
        raise _unreachable(target, f"it answered {answer.status}.")
    if answer.status >= 400:
        raise _refused(target, answer)
    try:
        told = _answer.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _unreachable(target, "it answered something that is no token.") from None
    if not told.access_token or not auth.is_sendable(told.access_token):
        raise _unreachable(target, "it answered an unusable token.")
    lasts = min(max(told.expires_in, 0.0), _LONGEST_DAYS * 86_400.0)
    usable = max(lasts - EARLY_SECONDS, lasts / 2)
    return _Kept(time.monotonic() + usable, told.access_token, told.refresh_token or refresh_token)


def request_for(target: Target, exchange: Exchange, refresh_token: str = "") -> HttpRequest:
    """What is asked of the login server. The secret's parts decide how."""
    try:
        parts = auth.parts(target.secret)
    except ValueError as error:
        raise _bad(target, f"{error}.") from None
    missing = [name for name in ("tenant_id", "client_id") if not parts.get(name)]
    if missing:
        raise _bad(target, f"it needs {' and '.join(missing)}.")
    form = {"client_id": parts["client_id"], "scope": parts.get("scope") or exchange.scope}
    form |= _grant(target, exchange, parts)
    if refresh_token and "refresh_token" in form:
        form["refresh_token"] = refresh_token
    if parts.get("client_secret"):
        form["client_secret"] = parts["client_secret"]
    path = exchange.path.replace("{tenant_id}", quote(parts["tenant_id"], safe=""))
    authority = (parts.get("authority") or exchange.authority).rstrip("/")
    headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
    # Of no kind: whatever the provider may reach, a login server is at a public address over HTTPS.
    return HttpRequest("POST", authority + path, headers, urlencode(form).encode())


def _grant(target: Target, exchange: Exchange, parts: Mapping[str, str]) -> dict[str, str]:
    if parts.get("refresh_token"):
        return {"grant_type": "refresh_token", "refresh_token": parts["refresh_token"]}
    if parts.get("assertion"):
        return {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": parts["assertion"],
            "requested_token_use": "on_behalf_of",
        }
    if exchange.for_a_person:
        raise _bad(target, f"{target.kind.name} answers a person: it needs the refresh_token of one.")
    if not parts.get("client_secret"):
        raise _bad(target, "it needs client_secret.")
    return {"grant_type": "client_credentials"}


def _bad(target: Target, why: str) -> BadCredentials:
    return BadCredentials(f"{target.provider} cannot be signed in to: {why}", provider=target.provider, sent=False)


def _refused(target: Target, answer: HttpAnswer) -> BadCredentials:
    try:
        told = _refusal.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told = _Refusal()
    # Trace and correlation ids follow on lines of their own.
    words = cleaned(told.error_description.partition("\n")[0] or told.error, target.secret)
    error = _bad(target, words or f"the login server answered {answer.status} without saying why.")
    error.upstream_status = answer.status
    return error


def _unreachable(target: Target, why: str) -> Unreachable:
    return Unreachable(
        f"The login server of {target.provider} could not be used: {why}", provider=target.provider, sent=False
    )
