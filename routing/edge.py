"""The bare ASGI application for /v1: key, body, gateway, answer.

No Django request, no ORM, no logging call on the way of a good request: see docs/architecture.md for what each layer
costs. A server does not cancel the work of a client that left, so every call watches `receive()` itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import msgspec
import orjson
from django.db import DatabaseError

from billing.records import Payer
from providers.chat import EmbeddingRequest, Fields
from providers.errors import Interrupted, ProviderError
from routing import flags, summaries, worker
from routing.callers import Caller
from routing.catalogue import model_object, models_body
from routing.contents import Kept, keeping
from routing.cors import Origins
from routing.counting import Uncountable, asking, count
from routing.embedding import EmbeddingCall
from routing.exchange import Exchange, Receive, Scope, Send, forget_cancellation
from routing.gateway import Call
from routing.intents import NONE, Hints
from routing.refusal import Refusal
from routing.repeats import LONGEST_NAME, Again, Conflict
from routing.wires import messages
from routing.wires.embeddings import answer_of, parse_embeddings, written
from routing.wires.openai import Malformed, ParsedChat, StreamState
from routing.wires.plain import encode_generated, parse_generate

log = logging.getLogger(__name__)

HOLD_SECONDS = 15.0  # the longest a client waits for a first byte before it gets a comment
LATE_SECONDS = 5.0  # after its deadline, a stream whose client is slow to read it

DOOR_OF = {"/v1/messages": "messages", "/v1/responses": "responses"}  # as flags call them; all else is chat

C = TypeVar("C", bound=Call)
Operation = Callable[[Exchange], Awaitable[None]]


class Edge:
    """Mounted on /v1. One instance a process."""

    def __init__(self, *, body_limit: int, hold_seconds: float = HOLD_SECONDS, plain_prefix: str = "/llm") -> None:
        """`plain_prefix` is where the plain endpoints are found."""
        self.body_limit = body_limit
        self.hold_seconds = hold_seconds
        self._routes: dict[str, dict[str, Operation]] = {
            "/v1/chat/completions": {"POST": self.chat},
            "/v1/messages": {"POST": self.chat},
            "/v1/messages/count_tokens": {"POST": self.count_tokens},
            "/v1/responses": {"POST": self.chat},
            "/v1/embeddings": {"POST": self.embeddings},
            "/v1/models": {"GET": self.models, "HEAD": self.models},
            f"{plain_prefix}/generate": {"POST": self.generate},
            f"{plain_prefix}/providers": {"GET": self.providers},
            f"{plain_prefix}/use-cases": {"GET": self.use_cases},
            f"{plain_prefix}/cost-summary": {"GET": self.cost_summary},
        }
        self._origins = Origins()
        self._model: dict[str, Operation] = {"GET": self.model, "HEAD": self.model}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        try:
            await self._answer(exchange)
        except asyncio.CancelledError:
            # A client that left: the call was settled on its way out and there is nobody to answer.
            if not exchange.left:
                raise
        finally:
            exchange.end()

    async def _answer(self, exchange: Exchange) -> None:
        try:
            operation = self._operation(exchange)
            if exchange.header(b"idempotency-key") and exchange.scope["method"] == "POST":
                await self._once(exchange, operation)
            else:
                await operation(exchange)
        except Refusal as refusal:
            await exchange.refuse(refusal)
        except Malformed as error:
            code = error.code or "invalid_request_error"
            await exchange.refuse(exchange.refusal(400, code, error.message, error.param))
        except Exception:
            # Whatever else it is, it is our fault: the client gets an answer and we get the trace.
            log.exception("request %s failed inside the gateway", exchange.request_id)
            await exchange.refuse(exchange.refusal(500, "internal_error", "The gateway failed. This was logged."))

    def _operation(self, exchange: Exchange) -> Operation:
        asked: str = exchange.scope["path"]
        path = asked.rstrip("/")
        methods = self._routes.get(path)
        if methods is None and path.startswith("/v1/models/"):
            methods = self._model
        if methods is None:
            raise exchange.refusal(404, "not_found", f"There is nothing at {asked[:200]}.")
        method: str = exchange.scope["method"]
        operation = methods.get(method)
        if operation is None and method == "OPTIONS" and exchange.header(b"access-control-request-method"):
            return partial(self._origins.preflight, methods=tuple(methods))
        if operation is None:
            exchange.more_headers.append((b"allow", ", ".join(methods).encode()))
            said = f"{path[:200]} takes {' or '.join(methods)}, not {method[:20]}."
            raise exchange.refusal(405, "method_not_allowed", said)
        return operation

    async def _once(self, exchange: Exchange, operation: Operation) -> None:
        """Answer, or give the answer again that the same question had under the same key."""
        caller = await exchange.caller()
        name = exchange.header(b"idempotency-key").decode("latin-1").strip()
        if not 0 < len(name) <= LONGEST_NAME:
            raise exchange.refusal(400, "invalid_idempotency_key", f"It has 1 to {LONGEST_NAME} characters.")
        body, path = await exchange.body(self.body_limit), exchange.scope["path"]
        repeats = (await worker.started()).repeats
        found = await repeats.claim(caller.key_id, path, name, body, exchange.request_id)
        if isinstance(found, Again):
            await exchange.give_again(found.request_id, found.content_type, found.body)
            return
        if isinstance(found, Conflict):
            retry = found.retry_after
            raise exchange.refusal(
                found.status, found.code, found.message, retry_after=retry, retryable=retry is not None
            )
        claim = found

        async def keep(content_type: bytes, answer: bytes) -> None:
            await repeats.keep(claim, content_type.decode(), answer)

        exchange.keep = keep
        try:
            await operation(exchange)
        finally:
            repeats.release(claim)

    # -- operations --------------------------------------------------------------

    async def chat(self, exchange: Exchange) -> None:
        caller = await exchange.caller()
        parsed = exchange.dialect.parse(await exchange.body(self.body_limit))
        call = self._call(exchange, caller, parsed)
        await self._run(exchange, call, self._stream if parsed.request.stream else self._plain)

    def _call(self, exchange: Exchange, caller: Caller, parsed: ParsedChat, door: str = "") -> Call:
        hints, metadata = exchange.hints(parsed, caller)
        if worker.gateway().snapshots.current.routing.flags:
            self._must_be_open(door or DOOR_OF.get(exchange.scope["path"].rstrip("/"), "chat"), exchange, caller, hints)
        exchange.watch()
        call = worker.gateway().call(
            parsed.request,
            Payer("api", caller.team_id, caller.user_id, caller.key_id),
            model=parsed.model,
            allowed_models=caller.allowed_models,
            extras=parsed.extras,
            strict=exchange.header(b"x-relayhouse-strict") == b"true",
            client_request_id=exchange.client_request_id(),
            request_id=exchange.request_id,
            recheck=exchange.caller,
            hints=hints,
        )
        call.headers, call.metadata = exchange.headers, metadata
        call.kept = self._keeping(caller, parsed.model, parsed.request.fields)
        return call

    def _keeping(self, caller: Caller, model: str, fields: Fields) -> Kept | None:
        """What collects the content of a call, where its key or team wants it kept."""
        teams = worker.gateway().snapshots.current.teams
        return keeping(caller.keeps_content, teams.get(caller.team_id or 0), model, fields)

    def _must_be_open(self, door: str, exchange: Exchange, caller: Caller, hints: Hints = NONE) -> None:
        """A door of the gateway may be closed by a flag, for all or for some."""
        payer = Payer("api", caller.team_id, caller.user_id, caller.key_id)
        gateway = worker.gateway()
        ask = gateway.asking(exchange.request_id, "", payer, caller.allowed_models, hints)
        why = flags.off(gateway.snapshots.current.routing.flags, f"feature:{door}", ask, datetime.now(UTC))
        if why:
            raise exchange.refusal(403, "feature_off", f"This is switched off here: {why}.")

    async def _run(self, exchange: Exchange, call: C, answer: Callable[[Exchange, C], Awaitable[None]]) -> None:
        call.gate = exchange.gate()
        async with call:
            try:
                await answer(exchange, call)
            except Refusal:
                if call.attempts and not exchange.started:
                    exchange.describe(call)
                raise
            except asyncio.CancelledError:
                if exchange.left:
                    raise
                # Not the client: the server is going down, and will not wait for us.
                forget_cancellation()
                raise exchange.refusal(503, "server_restart", "The server is restarting.", retryable=True) from None

    async def _plain(self, exchange: Exchange, call: Call) -> None:
        answer = await call.answer()
        exchange.describe(call)
        await exchange.answer(200, exchange.dialect.answer(answer, call.request_id, int(time.time())))

    async def _stream(self, exchange: Exchange, call: Call) -> None:
        exchange.keep_alive_after(self.hold_seconds)
        await call.open()
        exchange.describe(call)
        exchange.cut_at(call.deadline + LATE_SECONDS)
        model = call.model
        assert model is not None
        state = StreamState(
            request_id=call.request_id,
            model=model.model_id,
            created=int(time.time()),
            wants_usage=call.request.wants_usage,
            passes_frames=call.wire is call.request.wire,
        )
        encoder = exchange.dialect.encoder(state)
        try:
            async for events in call:
                encoder.counted = call.usage  # there when the last events come
                data = encoder.encode(events)
                if data:
                    await exchange.stream(data)
        except ProviderError as error:
            # Some of the answer is out: the client must not take what it has for the whole.
            await exchange.break_off(_error_of(error, exchange))
        except asyncio.CancelledError:
            if exchange.left:
                raise
            forget_cancellation()
            restart = Interrupted("The server is restarting.", code="server_restart")
            call.close(restart)
            await exchange.break_off(_error_of(restart, exchange))
        else:
            await exchange.finish_stream()

    async def embeddings(self, exchange: Exchange) -> None:
        caller = await exchange.caller()
        parsed = parse_embeddings(await exchange.body(self.body_limit))
        if worker.gateway().snapshots.current.routing.flags:
            self._must_be_open("embeddings", exchange, caller)
        exchange.watch()
        call = EmbeddingCall(
            worker.gateway(),
            EmbeddingRequest(parsed.texts, parsed.dimensions, parsed.user),
            Payer("api", caller.team_id, caller.user_id, caller.key_id),
            model=parsed.model,
            write=partial(written, encoding=parsed.encoding),
            allowed_models=caller.allowed_models,
            strict=exchange.header(b"x-relayhouse-strict") == b"true",
            client_request_id=exchange.client_request_id(),
            request_id=exchange.request_id,
        )
        call.recheck = exchange.caller
        call.kept = self._keeping(caller, parsed.model, {})
        if call.kept is not None:
            call.kept.fields = {"input": msgspec.Raw(orjson.dumps(parsed.texts))}
        await self._run(exchange, call, self._embedded)

    async def _embedded(self, exchange: Exchange, call: EmbeddingCall) -> None:
        await call.embed()
        exchange.describe(call)
        await exchange.answer(200, answer_of(call.vectors, call.served, call.total))

    async def count_tokens(self, exchange: Exchange) -> None:
        """How long a request in the Messages format is, without sending it."""
        caller = await exchange.caller()
        parsed = messages.parse_chat(await exchange.body(self.body_limit), counting=True)
        who = {"team_id": caller.team_id, "user_id": caller.user_id, "key_id": caller.key_id}
        ask = asking(parsed.model, allowed_models=caller.allowed_models, **who)
        try:
            counted = count(parsed.request.fields, ask, worker.gateway().snapshots.current)
        except Uncountable as error:
            problem = error.problem
            raise exchange.refusal(problem.status, problem.code, problem.message, "model") from None
        await exchange.answer(200, orjson.dumps({"input_tokens": counted.tokens}))

    # -- the plain endpoints -------------------------------------------------------

    async def generate(self, exchange: Exchange) -> None:
        """A whole answer, and beside it what an application wants to know of it."""
        caller = await exchange.caller()
        parsed = parse_generate(await exchange.body(self.body_limit))
        await self._run(exchange, self._call(exchange, caller, parsed, "plain"), self._generated)

    async def _generated(self, exchange: Exchange, call: Call) -> None:
        answer = await call.answer()
        exchange.describe(call)
        await exchange.answer(200, encode_generated(answer, call))

    async def providers(self, exchange: Exchange) -> None:
        caller = await exchange.caller()
        await exchange.answer(200, summaries.providers_body(worker.gateway().snapshots.current, caller))

    async def use_cases(self, exchange: Exchange) -> None:
        await exchange.caller()
        await exchange.answer(200, summaries.use_cases_body(worker.gateway().snapshots.current))

    async def cost_summary(self, exchange: Exchange) -> None:
        caller = await exchange.caller()
        snapshot = worker.gateway().snapshots.current
        try:
            told = await worker.in_database(lambda: summaries.cost_summary(caller, snapshot))
        except DatabaseError as error:
            log.error("a cost summary cannot be read: %s", error)
            said = "The ledger cannot be read. Try again shortly."
            raise exchange.refusal(503, "ledger_unavailable", said, retryable=True, retry_after=1.0) from None
        await exchange.answer(200, orjson.dumps(told))

    # -- the catalogue -------------------------------------------------------------

    async def models(self, exchange: Exchange) -> None:
        caller = await exchange.caller()
        await exchange.answer(
            200, models_body(worker.gateway().snapshots.current, caller.allowed_models, caller.team_id)
        )

    async def model(self, exchange: Exchange) -> None:
        caller = await exchange.caller()
        name = exchange.scope["path"].removeprefix("/v1/models/")
        found = model_object(worker.gateway().snapshots.current, name, caller)
        if found is None:
            raise exchange.refusal(404, "model_not_found", f"There is no model '{name[:200]}' for this key.", "model")
        await exchange.answer(200, orjson.dumps(found))


def _error_of(error: ProviderError, exchange: Exchange) -> bytes:
    return exchange.dialect.error(
        error.status, error.reason, error.message, request_id=exchange.request_id, retryable=error.retryable
    )
