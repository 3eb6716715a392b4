"""One try at one provider, from what would be sent to what came of it. It knows no other attempt and writes nothing."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from billing.records import Opened, Settled
from providers import vault
from providers.adapters import adapter_for
from providers.chat import ChatAnswer, ChatRequest, Ended, Event, Failed, KeepAlive, Start
from providers.errors import BadCredentials, ProviderError, TimedOut
from providers.wiring import Adapter, Decoder, HttpAnswer, HttpStream, Limits, Port, Target
from routing.settlement import Outcome, Tally
from routing.snapshot import CredentialEntry, ModelEntry, ProviderEntry

CONNECT_SECONDS, IDLE_SECONDS = 10.0, 120.0


class Attempt:
    """Made, then admitted with what the journal holds of it, then asked once: `answer()` or `open()`."""

    __slots__ = (
        "_adapter",
        "_chunks",
        "_context",
        "_decoder",
        "_failed",
        "_held",
        "_http",
        "_port",
        "_request",
        "_tally",
        "_target",
        "began",
        "credential",
        "ended",
        "model",
        "opened",
        "rates",
        "settled",
        "warnings",
    )

    def __init__(self, port: Port, request: ChatRequest, model: ModelEntry) -> None:
        """Raises ProviderError when there is nothing to send: the key cannot be read, the request does not fit."""
        self.model = model
        self.began = time.monotonic()
        credentials = model.provider.credentials
        self.credential = credentials[0] if credentials else None
        self.rates = model.rates_at(time.time())
        self.ended = False
        self.settled = False
        self.opened: Opened | None = None
        self._port = port
        self._request = request
        self._tally = Tally()
        self._target = _target(model, self.credential)
        self._adapter: Adapter = adapter_for(model.provider.kind)
        self._http, dropped = self._adapter.chat_request(request, self._target)
        self.warnings = tuple(dropped)
        self._decoder: Decoder | None = None
        self._context: AbstractAsyncContextManager[HttpStream] | None = None
        self._chunks: Any = None
        self._held: list[Event] = []
        self._failed: ProviderError | None = None

    @property
    def answering(self) -> bool:
        return self._tally.answering

    # -- talking to the provider ------------------------------------------------

    async def answer(self, limits: Limits) -> ChatAnswer:
        reply = await self._port.send(self._http, limits)
        self._tally.upstream_status = reply.status
        if reply.status >= 400:
            raise self._adapter.error(reply, self._target)
        answer = self._adapter.chat_answer(reply, self._target)
        self._tally.take_answer(answer)
        self.ended = True
        return answer

    async def open(self, limits: Limits) -> None:
        """Wait for the first meaningful event. Until it came, nothing was given out."""
        due = min(limits.deadline, asyncio.get_running_loop().time() + limits.first_byte)
        try:
            async with asyncio.timeout_at(due):
                await self._open(limits)
        except TimeoutError:
            # The port watches for silence; this is a provider that sends signs of life and no answer.
            raise TimedOut("The provider did not begin to answer in time.") from None

    async def _open(self, limits: Limits) -> None:
        self._context = self._port.stream(self._http, limits)
        stream = await self._context.__aenter__()
        self._tally.upstream_status = stream.status
        if stream.status >= 400:
            raise self._adapter.error(HttpAnswer(stream.status, stream.headers, await stream.read()), self._target)
        self._decoder = self._adapter.decoder(self._request, self._target)
        self._chunks = stream.chunks()
        while not self.ended and not _meaningful(self._held):
            if self._failed is not None:
                raise self._failed
            self._held += await self._read()

    async def next_events(self) -> list[Event]:
        """The next events; none when there are no more. Raises when the provider fails."""
        if self._held:
            events, self._held = self._held, []
            return events
        if self._failed is not None:
            raise self._failed
        return [] if self.ended else await self._read()

    async def _read(self) -> list[Event]:
        """Events of the next piece of data. What came together with a failure is given first, the failure next."""
        assert self._decoder is not None
        while True:
            data = await anext(self._chunks, None)
            events = self._decoder.feed(data) if data is not None else self._decoder.close()
            if events:
                last = events[-1]
                if type(last) is Failed:
                    self._failed = last.error
                    events.pop()
                    if not events:
                        raise self._failed
                elif data is None or type(last) is Ended:
                    self.ended = True
                self._tally.take(events)
                return events
            if data is None:
                self.ended = True
                return events

    async def hang_up(self) -> None:
        """Close the connection, or give it back when the answer was read to its end."""
        context, self._context = self._context, None
        if context is not None:
            await context.__aexit__(None, None, None)

    # -- what came of it ----------------------------------------------------------

    def outcome(self, error: BaseException | None, input_estimate: int) -> Outcome:
        return self._tally.outcome(error, self._request.fields, input_estimate, self.rates)

    def settled_as(self, outcome: Outcome, code: str, message: str, first_token_ms: int | None) -> Settled:
        assert self.opened is not None
        return Settled(
            opened=self.opened,
            status=outcome.status,
            billed=outcome.billed,
            usage=outcome.buckets,
            amount_nano=outcome.amount_nano,
            formula=outcome.formula,
            upstream_status=self._tally.upstream_status,
            upstream_id=self._tally.upstream_id[:200],
            error_code=code,
            error_message=message[:500],
            first_token_ms=first_token_ms,
            duration_ms=int((time.monotonic() - self.began) * 1000),
        )


def _meaningful(events: list[Event]) -> bool:
    """A role, a comment or a ping is no answer yet: until there is one, another candidate may still step in."""
    return any(type(event) not in (Start, KeepAlive) for event in events)


def limits_of(provider: ProviderEntry, deadline: float, first_byte: float) -> Limits:
    options = provider.options
    if not options:
        return Limits(deadline, CONNECT_SECONDS, first_byte, IDLE_SECONDS)
    return Limits(
        deadline=deadline,
        connect=_seconds(options, "connect_seconds", CONNECT_SECONDS),
        first_byte=_seconds(options, "first_event_seconds", first_byte),
        idle=_seconds(options, "idle_seconds", IDLE_SECONDS),
    )


def _seconds(options: Mapping[str, Any], name: str, usual: float) -> float:
    """A provider's own limit, where it has one that is a length of time."""
    own = options.get(name)
    return own if isinstance(own, int | float) and own > 0 else usual


def _target(model: ModelEntry, credential: CredentialEntry | None) -> Target:
    provider = model.provider
    return Target(
        provider_id=provider.id,
        provider=provider.slug,
        kind=provider.kind,
        base_url=provider.base_url or provider.kind.base_url,
        model=model.model_id,
        credential_id=credential.id if credential else None,
        secret=_secret(credential, provider.slug) if credential else "",
        options=provider.options,
        timeout_seconds=provider.timeout_seconds,
    )


def _secret(credential: CredentialEntry, provider: str) -> str:
    """Opened for one request, never kept in the snapshot."""
    if credential.variable:
        return os.environ.get(credential.variable, "").strip()
    if not credential.sealed:
        return ""
    try:
        return vault.unseal(credential.sealed, "credential", credential.uid, "secret")
    except vault.SealBroken:
        raise BadCredentials(
            f"The stored API key of {provider} cannot be opened: enter it again.", provider=provider, sent=False
        ) from None
