"""The bare ASGI application for /v1: key, body, gateway, answer.

No Django request, no ORM, no logging call on the way of a good request: see docs/architecture.md for what each layer
costs. A server does not cancel the work of a client that left, so every call watches `receive()` itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import orjson

from billing.records import Payer
from providers.errors import Interrupted, ProviderError
from routing import worker
from routing.catalogue import model_object, models_body
from routing.exchange import Exchange, Receive, Scope, Send, forget_cancellation
from routing.gateway import Call
from routing.refusal import Refusal
from routing.wires import openai
from routing.wires.openai import Malformed, StreamState

log = logging.getLogger(__name__)

HOLD_SECONDS = 15.0  # the longest a client waits for a first byte before it gets a comment
LATE_SECONDS = 5.0  # after its deadline, a stream whose client is slow to read it

Operation = Callable[[Exchange], Awaitable[None]]


class Edge:
    """Mounted on /v1. One instance a process."""

    def __init__(self, *, body_limit: int, hold_seconds: float = HOLD_SECONDS) -> None:
        self.body_limit = body_limit
        self.hold_seconds = hold_seconds
        self._routes: dict[str, dict[str, Operation]] = {
            "/v1/chat/completions": {"POST": self.chat_completions},
            "/v1/models": {"GET": self.models, "HEAD": self.models},
        }
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
            await self._operation(exchange)(exchange)
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
        if operation is None:
            exchange.more_headers.append((b"allow", ", ".join(methods).encode()))
            said = f"{path[:200]} takes {' or '.join(methods)}, not {method[:20]}."
            raise exchange.refusal(405, "method_not_allowed", said)
        return operation

    # -- operations --------------------------------------------------------------

    async def chat_completions(self, exchange: Exchange) -> None:
        caller = await exchange.caller()
        parsed = openai.parse_chat(await exchange.body(self.body_limit))
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
        )
        async with call:
            try:
                await (self._stream if parsed.request.stream else self._plain)(exchange, call)
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
        await exchange.answer(200, openai.encode_answer(answer, call.request_id, int(time.time())))

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
            passes_frames=model.provider.kind.wire is call.request.wire,
        )
        try:
            async for events in call:
                state.counted = call.usage  # there when the last events come
                data = openai.encode_events(events, state)
                if data:
                    await exchange.stream(data)
        except ProviderError as error:
            # Some of the answer is out: the client must not take what it has for the whole.
            await exchange.break_off(_error_of(error, call.request_id))
        except asyncio.CancelledError:
            if exchange.left:
                raise
            forget_cancellation()
            restart = Interrupted("The server is restarting.", code="server_restart")
            call.close(restart)
            await exchange.break_off(_error_of(restart, call.request_id))
        else:
            await exchange.finish_stream()

    async def models(self, exchange: Exchange) -> None:
        caller = await exchange.caller()
        await exchange.answer(200, models_body(worker.gateway().snapshots.current, caller.allowed_models))

    async def model(self, exchange: Exchange) -> None:
        caller = await exchange.caller()
        name = exchange.scope["path"].removeprefix("/v1/models/")
        found = model_object(worker.gateway().snapshots.current, name, caller)
        if found is None:
            raise exchange.refusal(404, "model_not_found", f"There is no model '{name[:200]}' for this key.", "model")
        await exchange.answer(200, orjson.dumps(found))


def _error_of(error: ProviderError, request_id: str) -> bytes:
    return openai.error_object(
        error.status, error.reason, error.message, request_id=request_id, retryable=error.retryable
    )
