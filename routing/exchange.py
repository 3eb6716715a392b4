"""One `/v1` request and its response: key, body, the watch on the client, and what goes out, in the right order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from billing.ids import new_request_id
from routing import cors, worker
from routing.admission import Gate, gate_of, limit_headers
from routing.callers import Caller, Refused
from routing.gateway import Call
from routing.intents import Hints, Unreadable, taken
from routing.refusal import Refusal
from routing.wires.dialects import dialect_of
from routing.wires.openai import ParsedChat

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_SECONDS = 30.0  # the longest a body may take to arrive
SEND_SECONDS = 60.0  # the longest a client may take to fetch the rest of an answer that is complete
MOST_KEPT = 8 * 1024 * 1024  # of a stream, for whoever repeats it; a longer one is not kept
LARGE = 64 * 1024  # about what a server takes from us, or from a client, without waiting
SHOULD_NOT_RETRY = frozenset({402, 408, 409, 429, 500, 502, 503, 504})  # what clients would try again by themselves

# A server of our own offers under this name to call somebody when the client leaves (`tell`), and to drop a client that
# does not take what is sent (`abort`): closing would wait for it.
LEAVING = "relayhouse.leaving"

JSON = (b"content-type", b"application/json")
EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
NO_STORE = (b"cache-control", b"no-store")
NO_BUFFER = (b"x-accel-buffering", b"no")
CLOSE = (b"connection", b"close")


class Exchange:
    __slots__ = (
        "_body",
        "_comment",
        "_cut",
        "_kept",
        "_kept_bytes",
        "_known",
        "_last_sent",
        "_late",
        "_loop",
        "_main",
        "_read",
        "_reminder",
        "_watching",
        "_when_left",
        "dialect",
        "headers",
        "keep",
        "left",
        "more_headers",
        "receive",
        "request_id",
        "scope",
        "send",
        "started",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.dialect = dialect_of(scope["path"])
        self.request_id = new_request_id()
        self.more_headers: list[tuple[bytes, bytes]] = []
        if self.dialect.id_header:
            self.more_headers.append((self.dialect.id_header, self.request_id.encode()))
        self.keep: Callable[[bytes, bytes], Awaitable[None]] | None = None  # of a whole answer: content type and body
        self.left = False  # the client is gone, or will never fetch the rest
        self.started = False  # the status line is out
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._loop = asyncio.get_running_loop()
        self._main: asyncio.Task[Any] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._when_left: Callable[[Callable[[], None] | None], None] | None = None
        self._reminder: asyncio.TimerHandle | None = None
        self._comment: asyncio.Task[None] | None = None
        self._cut: asyncio.TimerHandle | None = None
        self._last_sent = 0.0
        self._read = False
        self._late = False
        self._body = b""
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._known: Caller | None = None  # whose key it is

    # -- what came ---------------------------------------------------------------

    def header(self, name: bytes) -> bytes:
        return self.headers.get(name, b"")

    def client_request_id(self) -> str:
        given = self.header(b"x-request-id") or self.header(b"x-client-request-id")
        return "".join(c for c in given[:200].decode("ascii", "ignore") if c.isprintable()) if given else ""

    def _secret(self) -> str:
        """The key, however it is presented: the same rules for every way."""
        given = self.header(b"authorization")
        if given:
            scheme, _, secret = given.partition(b" ")
            if scheme.lower() == b"bearer":
                return secret.strip().decode("ascii", "replace")
            return ""
        return (self.header(b"x-api-key") or self.header(b"api-key")).strip().decode("ascii", "replace")

    async def caller(self) -> Caller:
        keys = (await worker.started()).keys
        secret = self._secret()
        if not secret:
            raise self.refusal(401, "missing_api_key", "No API key. Send it as 'Authorization: Bearer <key>'.")
        found = keys.known(secret, time.time())
        if found is None:
            found = await keys.find(secret)
        if isinstance(found, Refused):
            raise self.refusal(
                found.status,
                found.code,
                found.message,
                retry_after=found.retry_after,
                retryable=found.retry_after is not None,
            )
        if self._known is None and found.origins:
            cors.admit(self, found)
        self._known = found
        return found

    def gate(self) -> Gate | None:
        """What limits this caller."""
        known = self._known
        return gate_of(worker.gateway(), known.allowance, known.team_id) if known is not None else None

    def _tell_limits(self) -> None:
        """On every answer of a key that has some, as they are now."""
        known = self._known
        if known is None:
            return
        gateway = worker.gateway()
        teams = gateway.snapshots.current.team_bounds
        team = teams.get(known.team_id) if teams and known.team_id is not None else None
        if gateway.slices is not None and (known.allowance is not None or team is not None):
            self.more_headers += limit_headers(gateway.slices, known.allowance, team, time.time())

    async def body(self, limit: int) -> bytes:
        """The whole body, refused as soon as it is known to be too long."""
        if self._read:
            return self._body
        length = self.header(b"content-length")
        if length:
            if not length.isdigit():
                self.more_headers.append(CLOSE)
                raise self.refusal(400, "invalid_request_error", "The content-length is not a number.")
            if len(length) > 18 or int(length) > limit:
                raise self._too_large(limit)
        # A bare timer: asyncio.timeout() would cost as much as the rest of this method several times over.
        self._main = asyncio.current_task()
        late = self._loop.call_later(BODY_SECONDS, self._body_is_late)
        try:
            body = await self._whole_body(limit)
        except asyncio.CancelledError:
            if not self._late:
                raise
            forget_cancellation()
            self.more_headers.append(CLOSE)
            raise self.refusal(408, "request_timeout", "The body did not arrive in time.") from None
        finally:
            late.cancel()
        self._read, self._body = True, body
        return body

    def _body_is_late(self) -> None:
        self._late = True
        if self._main is not None:
            self._main.cancel()

    async def _whole_body(self, limit: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                self.left = True
                raise asyncio.CancelledError
            piece = message.get("body", b"")
            size += len(piece)
            if size > limit:
                raise self._too_large(limit)
            if not message.get("more_body"):
                return b"".join((*pieces, piece)) if pieces else piece
            pieces.append(piece)

    def _too_large(self, limit: int) -> Refusal:
        self.more_headers.append(CLOSE)
        return self.refusal(413, "request_too_large", f"The body is longer than {limit:,} bytes.")

    def _has_unread_body(self) -> bool:
        """A body that would have to be read for nothing before the connection could be used again."""
        if self._read:
            return False
        length = self.header(b"content-length")
        return b"transfer-encoding" in self.headers or (length.isdigit() and int(length[:18]) > LARGE)

    def refusal(self, status: int, code: str, message: str, param: str | None = None, **more: Any) -> Refusal:
        return Refusal(status, code, message, request_id=self.request_id, param=param, **more)

    def hints(self, parsed: ParsedChat, caller: Caller) -> tuple[Hints, Mapping[str, Any]]:
        """What the request says it is for, and its metadata."""
        try:
            return taken(parsed.model, self.headers, parsed.request.fields, use_case=caller.use_case, tier=caller.tier)
        except Unreadable as error:
            raise self.refusal(400, "invalid_hint", error.message, error.name) from None

    # -- the client may leave ------------------------------------------------------

    def watch(self) -> None:
        """Cancel the work when the client goes away. Call it once the body has been read."""
        offered = (self.scope.get("extensions") or {}).get(LEAVING)
        if offered is not None:
            self._when_left = offered["tell"]
            self._when_left(self._give_up)
        else:
            self._watching = self._loop.create_task(self._wait_for_leaving())

    async def _wait_for_leaving(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self._give_up()

    def _give_up(self) -> None:
        self.left = True
        if self._main is not None:
            self._main.cancel()

    def cut_at(self, when: float) -> None:
        """Whoever reads so slowly that the answer is not through by then does not get the rest."""
        self._cut = self._loop.call_at(when, self._cut_off)

    def _cut_off(self) -> None:
        self._give_up()
        offered = (self.scope.get("extensions") or {}).get(LEAVING)
        if offered is not None:
            offered["abort"]()

    def end(self) -> None:
        """Nothing more is watched or sent by itself: the last piece is on its way, or there will be none."""
        self._main = None
        if self._when_left is not None:
            self._when_left(None)
        if self._watching is not None:
            self._watching.cancel()
        if self._reminder is not None:
            self._reminder.cancel()
        if self._comment is not None:
            self._comment.cancel()
        if self._cut is not None:
            self._cut.cancel()

    # -- what goes out -------------------------------------------------------------

    def describe(self, call: Call) -> None:
        """Who answered, or was asked last, beside what was asked."""
        headers = self.more_headers
        model = call.model
        if model is not None:
            headers.append((b"x-relayhouse-provider", model.provider.slug.encode()))
        headers.append((b"x-relayhouse-model", _safe(call.ask.model or "auto")))
        route = call.decision.route if call.decision is not None else None
        if route is not None:
            headers.append((b"x-relayhouse-route", _safe(route.name)))
        if call.attempts > 1:
            headers.append((b"x-relayhouse-attempts", str(call.attempts).encode()))
        if call.warnings:
            headers.append((b"x-relayhouse-warnings", _safe(" ".join(call.warnings))))

    async def answer(self, status: int, body: bytes) -> None:
        self.started = True
        self._tell_limits()
        if self.keep is not None and status == 200:
            await self.keep(JSON[1], body)
        headers = [
            JSON,
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", self.request_id.encode()),
            NO_STORE,
            *self.more_headers,
        ]
        if self.scope["method"] == "HEAD":
            body = b""
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        if len(body) > LARGE:
            self.cut_at(self._loop.time() + SEND_SECONDS)
        else:
            self.end()
        await self.send({"type": "http.response.body", "body": body})

    async def refuse(self, refusal: Refusal) -> None:
        """An error object, or an error event when the status line is out already."""
        body = self.dialect.error(
            refusal.status,
            refusal.code,
            refusal.message,
            request_id=self.request_id,
            param=refusal.param,
            retryable=refusal.retryable,
        )
        if self.started:
            await self.break_off(body)
            return
        headers = self.more_headers
        if refusal.retry_after is not None:
            headers.append((b"retry-after", str(min(3600, max(1, round(refusal.retry_after)))).encode()))
        if refusal.spent and refusal.status in SHOULD_NOT_RETRY:
            headers.append((b"x-should-retry", b"false"))
        if self._has_unread_body() and CLOSE not in headers:
            headers.append(CLOSE)
        await self.answer(refusal.status, body)

    async def give_again(self, request_id: str, content_type: str, body: bytes) -> None:
        """An answer that was given before, in one piece."""
        self.started = True
        self._tell_limits()
        headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", request_id.encode()),
            (b"idempotency-hit", b"true"),
            NO_STORE,
            *self.more_headers,
        ]
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        if len(body) > LARGE:
            self.cut_at(self._loop.time() + SEND_SECONDS)
        else:
            self.end()
        await self.send({"type": "http.response.body", "body": body})

    async def _start_stream(self) -> None:
        self.started = True
        self._tell_limits()
        await self.send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    EVENTS,
                    (b"x-request-id", self.request_id.encode()),
                    NO_STORE,
                    NO_BUFFER,
                    *self.more_headers,
                ],
            }
        )

    async def stream(self, data: bytes) -> None:
        if self._comment is not None:
            await self._comment_sent()
        if not self.started:
            await self._start_stream()
        self._last_sent = self._loop.time()
        if self.keep is not None and self._kept_bytes <= MOST_KEPT:
            self._kept.append(data)
            self._kept_bytes += len(data)
        await self.send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish_stream(self) -> None:
        if self._comment is not None:
            await self._comment_sent()
        if self.keep is not None:
            await self.keep(EVENTS[1], b"".join(self._kept))
        await self.send({"type": "http.response.body", "body": b""})  # may wait for a client that is to be cut off
        self.end()

    async def break_off(self, error: bytes) -> None:
        """An error event and no end marker."""
        self.keep = None
        await self.stream(self.dialect.error_event(error))
        await self.finish_stream()

    def keep_alive_after(self, seconds: float) -> None:
        """A comment whenever nothing was sent for so long; the first one also sends the status line."""
        self._last_sent = self._loop.time()
        self._reminder = self._loop.call_later(seconds, self._remind, seconds)

    def _remind(self, seconds: float) -> None:
        now = self._loop.time()
        if now - self._last_sent >= seconds:
            self._last_sent = now
            if self._comment is None or self._comment.done():
                self._comment = self._loop.create_task(self._send_comment())
        self._reminder = self._loop.call_at(self._last_sent + seconds, self._remind, seconds)

    async def _send_comment(self) -> None:
        if not self.started:
            await self._start_stream()
        await self.send({"type": "http.response.body", "body": self.dialect.keep_alive, "more_body": True})

    async def _comment_sent(self) -> None:
        comment, self._comment = self._comment, None
        if comment is not None:
            await comment


def forget_cancellation() -> None:
    """It has done its work: what follows must be able to wait."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()


def _safe(text: str) -> bytes:
    """Text as a header value: one line of ASCII."""
    return text[:500].encode("ascii", "replace").translate(_PRINTABLE)


_PRINTABLE = bytes(c if 32 <= c < 127 else 63 for c in range(256))
