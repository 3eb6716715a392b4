"""The pretend vendor as a server: reads a request, and answers at the speed of the model until the client leaves."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any

import msgspec
import orjson

from providers.demo import answers, bodies, embedding, faults, wire
from providers.demo.catalogue import Fault, Model, WrongParameters, find
from providers.demo.draw import Draw
from providers.demo.faults import Ending, Reply
from providers.demo.wire import ChatAsk, Refusal

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Operation = Callable[[bytes, Send], Awaitable[None]]

_LONGEST_BODY = 16 * 1024 * 1024
_LONGEST_PIECE = 16  # characters of a token, at most: tells a hopeless prompt without counting it
_MOST_AT_ONCE = 64  # events in one write, when the reader or the loop is late
_BORN = 1_735_689_600  # what the list of models gives as their date
_STALL_SECONDS = 900.0  # nobody is kept for ever


class Pace:
    """When each token is due. A factor of 0 means now."""

    def __init__(self, model: Model, factor: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._first = self._loop.time() + model.first_token_seconds * factor
        self._step = factor / model.tokens_per_second if model.tokens_per_second else 0.0
        self.unhurried = self._step > 0

    def is_due(self, token: int) -> bool:
        return self._loop.time() >= self._first + token * self._step

    async def until(self, token: int) -> None:
        await asyncio.sleep(max(0.0, self._first + token * self._step - self._loop.time()))


class Application:
    """An ASGI application. `pace` multiplies every wait: 1 is the declared speed, 0 is at once."""

    def __init__(self, *, pace: float = 1.0) -> None:
        self.pace = pace
        self.running = 0  # answers being written now
        self._refused_once: OrderedDict[bytes, None] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await _lifespan(receive, send)
            case "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            operation = self._operation(scope["method"], scope["path"])
            body = await _body(receive)
        except Refusal as refusal:
            await _refuse(send, refusal)
            return
        if body is None:
            return  # left before the request was whole
        self.running += 1
        try:
            await _until_gone(receive, self._answer(operation, body, send))
        finally:
            self.running -= 1

    def _operation(self, method: str, path: str) -> Operation:
        operation: Operation
        path = path.rstrip("/")
        name = path.removeprefix("/v1/models/")
        if path == "/v1/models":
            allowed, operation = "GET", self._list
        elif name != path:
            allowed, operation = "GET", _describe(name)
        elif path == "/v1/chat/completions":
            allowed, operation = "POST", self._chat
        elif path == "/v1/embeddings":
            allowed, operation = "POST", self._embed
        else:
            raise Refusal(404, f"Unknown request URL: {method} {path[:200]}.", code="unknown_url")
        if method != allowed and not (method == "HEAD" and allowed == "GET"):
            said = f"Not allowed to {method} on {path[:200]}: use {allowed}."
            raise Refusal(405, said, code="method_not_supported", headers={"allow": allowed})
        return operation

    async def _answer(self, operation: Operation, body: bytes, send: Send) -> None:
        try:
            await operation(body, send)
        except Refusal as refusal:
            await _refuse(send, refusal)

    async def _list(self, body: bytes, send: Send) -> None:
        await _send_whole(send, bodies.models_body(_BORN))

    # --- Chat ---

    async def _chat(self, body: bytes, send: Send) -> None:
        ask = wire.read_chat(body)
        model = _model(ask.model)
        if model.embeds:
            said = f"'{model.id}' only makes embeddings: use /v1/embeddings."
            raise Refusal(400, said, code="unsupported_model", param="model")
        pace = Pace(model, self.pace)
        if model.fault is not None and self._strikes(model.fault, ask):
            await pace.until(0)
            raise faults.REFUSALS[model.fault]
        reply, tokens = _reply(ask, model)
        # A stream begins with its first token; a plain answer is sent when its last one is written.
        await pace.until(0 if ask.stream else tokens)
        await _send_reply(send, reply, pace)

    def _strikes(self, fault: Fault, ask: ChatAsk) -> bool:
        """Whether this request is one of those that the fault refuses."""
        if fault not in faults.REFUSALS:
            return False
        draw = Draw.of(ask.model, msgspec.to_builtins(ask.messages), ask.seed, ask.stream)
        if fault is Fault.FLAKY:
            return draw.below(3, "flaky") == 0
        if fault is Fault.RATE_LIMIT_ONCE:
            if draw.seed in self._refused_once:
                del self._refused_once[draw.seed]
                return False
            self._refused_once[draw.seed] = None
            if len(self._refused_once) > 1_000:
                self._refused_once.popitem(last=False)
        return True

    # --- Embeddings ---

    async def _embed(self, body: bytes, send: Send) -> None:
        ask = wire.read_embedding(body)
        model = _model(ask.model)
        pace = Pace(model, self.pace)
        if model.fault in faults.REFUSALS:
            await pace.until(0)
            raise faults.REFUSALS[model.fault]
        if not model.embeds:
            said = f"'{model.id}' makes no embeddings: ask relay-1-embed."
            raise Refusal(400, said, code="unsupported_model", param="model")
        inputs, dimensions = embedding.inputs_of(ask), embedding.dimensions_of(ask)
        vectors = []
        for text in inputs:
            vectors.append(embedding.vector(text, dimensions))
            await asyncio.sleep(0)  # a thousand texts are no reason to keep others waiting
        await pace.until(0)
        tokens = sum(embedding.tokens_of(text) for text in inputs)
        as_base64 = ask.encoding_format == "base64"
        await _send_whole(send, bodies.embeddings_body(vectors, tokens, model.id, as_base64=as_base64))


def _model(name: str) -> Model:
    try:
        model = find(name)
    except WrongParameters as error:
        raise Refusal(400, f"{name[:100]}: {error}", code="invalid_value", param="model") from None
    if model is None:
        said = f"The model '{name[:100]}' does not exist."
        raise Refusal(404, said, code="model_not_found", param="model")
    return model


def _describe(name: str) -> Operation:
    async def describe(body: bytes, send: Send) -> None:
        await _send_whole(send, orjson.dumps(bodies.model_entry(_model(name), _BORN)))

    return describe


def _reply(ask: ChatAsk, model: Model) -> tuple[Reply, int]:
    """What is sent, and how many tokens it took to write."""
    if model.fault in faults.REPLIES:
        return faults.REPLIES[model.fault], 0
    answer = faults.spoilt_answer(model.fault, answers.answer(ask, model, _prompt_tokens(ask, model)))
    usage = faults.spoilt_usage(model.fault, bodies.usage_of(answer))
    name, created = f"chatcmpl-{secrets.token_hex(12)}", int(time.time())
    if ask.stream:
        events = bodies.chat_events(answer, usage, name, created, model.id, wants_usage=ask.wants_usage)
        return faults.stream_reply(model.fault, events), 0
    body = bodies.chat_body(answer, usage, name, created, model.id)
    return faults.plain_reply(model.fault, body), answer.completion_tokens


def _prompt_tokens(ask: ChatAsk, model: Model) -> int:
    hopeless = sum(len(message.text) for message in ask.messages) > model.context * _LONGEST_PIECE
    tokens = model.context + 1 if hopeless else ask.prompt_tokens
    if tokens > model.context:
        said = f"This model's maximum context length is {model.context} tokens; your messages have more."
        raise Refusal(400, said, code="context_length_exceeded", param="messages")
    return tokens


# --- ASGI ---


async def _body(receive: Receive) -> bytes | None:
    """The request's body, or None when the client left before its end."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > _LONGEST_BODY:
            raise Refusal(413, f"The body is larger than {_LONGEST_BODY} bytes.", code="request_too_large")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def _until_gone(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Do the work, and stop it in the middle of a word when the client leaves: no server does that for us."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working, watching = asyncio.create_task(work), asyncio.create_task(gone())
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _send_reply(send: Send, reply: Reply, pace: Pace) -> None:
    if reply.headed:
        headers = {} if reply.length is None else {"content-length": str(reply.length)}
        if reply.length is None:
            headers["cache-control"] = "no-cache"
        await _send_start(send, reply.status, reply.content_type, headers)
    await _send_chunks(send, reply, pace)
    match reply.ending:
        case Ending.COMPLETE:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        case Ending.STALL:
            await asyncio.sleep(_STALL_SECONDS)
        case Ending.CUT:
            pass  # to return now is the ASGI way to say that the connection broke


async def _send_chunks(send: Send, reply: Reply, pace: Pace) -> None:
    """The first two chunks, role and first token, are due together; from then on one a token."""
    chunks, at, streamed = reply.chunks, 0, reply.length is None
    while at < len(chunks):
        if streamed:
            await pace.until(max(0, at - 1))
        until = at + 1
        while pace.unhurried and until < len(chunks) and until - at < _MOST_AT_ONCE and pace.is_due(until - 1):
            until += 1
        await send({"type": "http.response.body", "body": b"".join(chunks[at:until]), "more_body": True})
        at = until


async def _send_whole(send: Send, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
    await _send_start(send, status, faults.JSON, {"content-length": str(len(body)), **(headers or {})})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _refuse(send: Send, refusal: Refusal) -> None:
    await _send_whole(send, refusal.body(), refusal.status, refusal.headers)


async def _send_start(send: Send, status: int, content_type: str, headers: dict[str, str]) -> None:
    named = {"content-type": content_type, "x-request-id": f"req_{secrets.token_hex(12)}", **headers}
    lines = [(name.encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def make_application(*, pace: float = 1.0) -> Application:
    return Application(pace=pace)


application = make_application()
