"""One try at one provider, from what would be sent to what came of it. It knows no other attempt and writes nothing."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from billing.records import Opened, Settled
from providers import parameters, signin, vault
from providers.adapters import adapter_of, wire_of
from providers.chat import ChatAnswer, ChatRequest, Ended, Event, Failed, KeepAlive, Start
from providers.errors import BadCredentials, ProviderError, TimedOut
from providers.wiring import Adapter, Decoder, HttpAnswer, HttpRequest, HttpStream, Limits, Opening, Port, Target
from routing.picking import pick, usable
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
        "_unsigned",
        "began",
        "credential",
        "ended",
        "model",
        "opened",
        "rates",
        "settled",
        "warnings",
        "wire",
    )

    def __init__(
        self,
        port: Port,
        request: ChatRequest,
        model: ModelEntry,
        *,
        draw: Callable[[], float] = random.random,
        refused: Collection[int] = (),
    ) -> None:
        """Raises ProviderError when there is nothing to send: the key cannot be read, the request does not fit.

        `draw` decides between several keys; `refused` are the numbers of those that did not do for this request.
        """
        self.model = model
        self.began = time.monotonic()
        self.credential, self._target = _keyed(model, draw, refused)
        self.rates = model.rates_at(time.time())
        self.ended = False
        self.settled = False
        self.opened: Opened | None = None
        self._port = port
        self._request = request
        self._tally = Tally(sees_cost=model.provider.kind.sees_cost, agent=model.provider.kind.agent)
        self.wire = wire_of(self._target, request)
        self._adapter: Adapter = adapter_of(self._target, request)
        changed: list[str] = []
        if model.parameters:
            request, changed = parameters.applied(request, model.parameters, model.model_id, self.wire)
            self._request = request
        self._unsigned: Target | None = None  # the target before somebody signed in, where that is to be done
        if model.provider.kind.exchanges is not None:
            self._look_before()
        self._http, dropped = self._written()
        self.warnings = (*changed, *dropped)
        self._decoder: Decoder | None = None
        self._context: AbstractAsyncContextManager[HttpStream] | None = None
        self._chunks: Any = None
        self._held: list[Event] = []
        self._failed: ProviderError | None = None

    @property
    def answering(self) -> bool:
        return self._tally.answering

    # -- talking to the provider ------------------------------------------------

    def _written(self) -> tuple[HttpRequest, list[str]]:
        """What is sent, and what of the request is not."""
        return self._adapter.chat_request(self._request, self._target)

    async def answer(self, limits: Limits) -> ChatAnswer:
        answer = self._adapter.chat_answer(await self._reply(limits), self._target)
        self._tally.take_answer(answer)
        self.ended = True
        return answer

    async def _reply(self, limits: Limits) -> HttpAnswer:
        if self._unsigned is not None:
            await self._within(limits, self._prepare(self._unsigned, limits))
        reply = await self._port.send(self._http, limits)
        self._tally.upstream_status = reply.status
        if reply.status >= 400:
            raise self._refusal(reply)
        return reply

    async def open(self, limits: Limits) -> None:
        """Wait for the first meaningful event. Until it came, nothing was given out."""
        await self._within(limits, self._open(limits))

    async def _within(self, limits: Limits, work: Coroutine[Any, Any, None]) -> None:
        due = min(limits.deadline, asyncio.get_running_loop().time() + limits.first_byte)
        try:
            async with asyncio.timeout_at(due):
                await work
        except TimeoutError:
            # The port watches for silence; this is a provider that sends signs of life and no answer.
            signing_in = self._unsigned is not None and self._context is None
            raise TimedOut("The provider did not begin to answer in time.", sent=not signing_in) from None

    async def _open(self, limits: Limits) -> None:
        if self._unsigned is not None:
            await self._prepare(self._unsigned, limits)
        self._context = self._port.stream(self._http, limits)
        stream = await self._context.__aenter__()
        self._tally.upstream_status = stream.status
        if stream.status >= 400:
            raise self._refusal(HttpAnswer(stream.status, stream.headers, await stream.read()))
        self._decoder = self._adapter.decoder(self._request, self._target)
        self._chunks = stream.chunks()
        while not self.ended and not _meaningful(self._held):
            if self._failed is not None:
                raise self._failed
            self._held += await self._read()

    def _look_before(self) -> None:
        if signin.needed(self._target) or isinstance(self._adapter, Opening):
            self._unsigned = self._target
            self._target = signin.before(self._target)

    async def _prepare(self, unsigned: Target, limits: Limits) -> None:
        """For the kinds that are signed in to: what is sent is worked out again with the token, and what it opened."""
        self._target = await signin.ready(unsigned, self._port)
        if isinstance(self._adapter, Opening):
            reply = await self._port.send(self._adapter.opening_request(self._target), limits)
            if reply.status >= 400:
                raise self._refusal(reply)
            self._target = self._adapter.opened(reply, self._target)
        self._http, _ = self._written()

    def _refusal(self, reply: HttpAnswer) -> ProviderError:
        error = self._adapter.error(reply, self._target)
        if self._unsigned is not None and isinstance(error, BadCredentials):
            signin.forget(self._unsigned)
        return error

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


def limits_of(provider: ProviderEntry, deadline: float, first_byte: float, at_most: float | None = None) -> Limits:
    """`at_most` is what a route gives the first token."""
    options = provider.options
    if not options:
        return Limits(deadline, CONNECT_SECONDS, min(first_byte, at_most or first_byte), IDLE_SECONDS)
    first_byte = _seconds(options, "first_event_seconds", first_byte)
    return Limits(
        deadline=deadline,
        connect=_seconds(options, "connect_seconds", CONNECT_SECONDS),
        first_byte=min(first_byte, at_most or first_byte),
        idle=_seconds(options, "idle_seconds", IDLE_SECONDS),
    )


def _seconds(options: Mapping[str, Any], name: str, usual: float) -> float:
    """A provider's own limit, where it has one that is a length of time."""
    own = options.get(name)
    return own if isinstance(own, int | float) and own > 0 else usual


def _keyed(
    model: ModelEntry, draw: Callable[[], float], refused: Collection[int]
) -> tuple[CredentialEntry | None, Target]:
    """A key and the target with it. One that cannot be opened gives way to one that can."""
    credential = _key(model.provider, draw, refused)
    try:
        return credential, _target(model, credential)
    except BadCredentials:
        without = {*refused, *([credential.id] if credential else [])}
        if not usable(model.provider.credentials, time.time(), without):
            raise
        return _keyed(model, draw, without)


def _key(provider: ProviderEntry, draw: Callable[[], float], refused: Collection[int]) -> CredentialEntry | None:
    """Where every key was refused, they are all tried again: a moment may have passed."""
    if not provider.credentials:
        return None
    lasting = usable(provider.credentials, time.time())
    if not lasting:
        raise BadCredentials(
            f"The last API key of {provider.slug} has ended: add another.", provider=provider.slug, sent=False
        )
    return pick(usable(lasting, 0.0, refused) or lasting, draw)


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
        longest=model.max_output,
        parameters=model.parameters,
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
