"""The socket of a room, `/ws/rooms/<id>/`: parse, ask the runs, forward their logs. JSON text both ways.

The browser sends `{"action": ...}`:

    subscribe   {"runs": {run: seq}, "last": message}   go on reading these runs, and tell what began after `last`
    send        {"text", "parent", "model", "draft_id"} the same draft begins one run, however often it is sent
    edit        {"message", "text", "model", "draft_id"}         ask that question differently: a new branch
    regenerate  {"message", "model", "draft_id"}                 give that answer once more: a new branch
    stop        {"run"}

The server sends:

    start   {"type", "run", "seq", "target", "swap", "content", "after", "say"}
            the new turns as HTML; `after` is the last message that stays in view above them, null for none
    delta   {"type", "run", "seq", "text"}           goes to the end of the open block
    block   {"type", "run", "seq", "html", "tail"}   a closed block goes before the open one, which becomes `tail`
    stats   {"type", "run", "seq", "by", "ttft", "tps", "in", "out", "cost"}   in words; empty: unknown
    stopping  {"type", "run", "seq"}
    done, error   {"type", "run", "seq", "target", "swap", "content", "say"}   the finished article
    sent    {"type", "draft_id", "run"}              the draft was taken: forget it
    refused {"type", "action", "draft_id", "code", "message"}

`target`, `swap` and `content` mean what they mean to hx-ws. `seq` grows by one a frame; a slow reader gets several
deltas as one, under the last number. Nothing is sent twice or left out between a `subscribe` and its socket's end.

Closed with 4401 (signed out), 4403 (may not), 4404 (no such room), 4408 (fell silent while being sent to), 4429 (too
many messages), 1009 (a message too large).
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ClassVar

from channels.generic.websocket import AsyncWebsocketConsumer
from django.urls import path
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console import runs, telling
from console.access import Declaration, can, declare_action
from console.models import Run, User
from console.runs import AlreadyBegun, Log, Question, Refused, Runs
from console.telling import Visitor

log = logging.getLogger(__name__)

SIGNED_OUT, NOT_ALLOWED, NOT_FOUND, TOO_SLOW, TOO_MANY, TOO_LARGE = 4401, 4403, 4404, 4408, 4429, 1009
MESSAGE_BYTES = 512 * 1024
BURST, PER_SECOND = 30, 5.0  # messages of one socket
MOST_FOLLOWED = 20  # runs of one socket
CHECK_SECONDS = 10.0  # while frames go out: may the reader still read them?
SEND_SECONDS = 30.0

CONNECT = declare_action("socket:connect", "play.see")
ACTIONS: Mapping[str, Declaration] = {
    "subscribe": declare_action("socket:subscribe", "play.see"),
    "send": declare_action("socket:send", "play.use"),
    "edit": declare_action("socket:edit", "play.use"),
    "regenerate": declare_action("socket:regenerate", "play.use"),
    "stop": declare_action("socket:stop", "play.use"),
}

REFUSALS: Mapping[str, str | Promise] = {
    "empty": _("There is nothing to send."),
    "too_long": _("This is longer than 100,000 characters. Shorten it, or send it in parts."),
    "still_writing": _("The answer before is still being written. Wait for it, or stop it."),
    "too_many_runs": _("Five answers are being written for you already. Wait for one, or stop one."),
    "no_message": _("That message is not in this room. Reload the page."),
    "no_room": _("This room was deleted."),
    "not_allowed": _("You can look, not change."),
    "not_understood": _("This page is out of date. Reload it."),
}


class RoomConsumer(AsyncWebsocketConsumer):
    # No channel layer: nothing here comes through one, and a layer that is down must not end a socket.
    channel_layer_alias: ClassVar[str] = "none"

    runs: Runs
    visitor: Visitor

    # -- coming and going ------------------------------------------------------------

    async def connect(self) -> None:
        self.room_id = int(self.scope["url_route"]["kwargs"]["room_id"])
        self.session_key: str = self.scope["session"].session_key or ""
        self._logs: dict[str, tuple[Log, int]] = {}  # by run, with the number read so far
        self._begun: dict[str, int] = {}  # runs whose start is still to be told, with their message
        self._known: set[str] = set()
        self._wake = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._closed = False
        self._last: int | None = None  # the newest message the browser had when it subscribed
        self._tokens, self._filled_at = float(BURST), time.monotonic()
        self.runs = await runs.started()
        await self.accept()  # so that the code below reaches the browser; nothing else is sent before it
        if await self._admit(CONNECT, closes=True) is None:
            return
        self.runs.enter_room(self.room_id, self._told)
        self._pump = asyncio.create_task(self._forward(), name=f"room {self.room_id}")

    async def disconnect(self, code: int) -> None:
        if self._pump is None:
            return
        self._pump.cancel()
        await asyncio.gather(self._pump, return_exceptions=True)
        self.runs.leave_room(self.room_id, self._told)
        for run_id in self._logs:
            self.runs.leave(run_id, self._wake.set)

    async def close(self, code: int | bool | None = None, reason: str | None = None) -> None:
        if not self._closed:
            self._closed = True
            await super().close(code, reason)

    async def _admit(self, declaration: Declaration, *, closes: bool = False) -> User | None:
        """The person of this session as they are now. Whoever is out, or asks for a foreign room, is closed."""
        visitor = await self.runs.reads(telling.visitor_of, self.session_key, self.room_id)
        if visitor is None:
            await self.close(SIGNED_OUT)
            return None
        if not can(visitor.person, CONNECT.action):
            await self.close(NOT_ALLOWED)
            return None
        if not visitor.owns_room:
            await self.close(NOT_FOUND)
            return None
        self.visitor = visitor
        return visitor.person if closes or can(visitor.person, declaration.action) else None

    # -- what the browser says ---------------------------------------------------------

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self._pump is None:
            return  # closed already
        if text_data is None or len(text_data.encode("utf-8", "replace")) > MESSAGE_BYTES:
            await self.close(TOO_LARGE)
            return
        if not self._has_turn():
            await self.close(TOO_MANY)
            return
        said = _object(text_data)
        name = said.get("action")
        declaration = ACTIONS.get(name) if isinstance(name, str) else None
        if declaration is None:
            await self._refuse(said, "not_understood")
            return
        person = await self._admit(declaration)
        if person is None:
            await self._refuse(said, "not_allowed")
            return
        act: Callable[[User, dict[str, Any]], Coroutine[Any, Any, None]] = getattr(self, f"_{name}")
        try:
            await act(person, said)
        except _NotUnderstood:
            await self._refuse(said, "not_understood")
        except Refused as refusal:
            await self._refuse(said, refusal.code)
        except AlreadyBegun as begun:
            await self._say({"type": "sent", "draft_id": said.get("draft_id"), "run": begun.run_id})
        except TimeoutError:
            await self.close(TOO_SLOW)

    def _has_turn(self) -> bool:
        now = time.monotonic()
        self._tokens = min(BURST, self._tokens + (now - self._filled_at) * PER_SECOND)
        self._filled_at = now
        self._tokens -= 1
        return self._tokens >= 0

    async def _subscribe(self, person: User, said: dict[str, Any]) -> None:
        wanted = said.get("runs") or {}
        last = _number(said, "last", 0) or 0
        if not isinstance(wanted, dict) or len(wanted) > MOST_FOLLOWED:
            raise _NotUnderstood
        follow = {str(run_id): seq for run_id, seq in wanted.items() if type(seq) is int and seq >= 0}
        there = await self.runs.reads(telling.runs_in_room, self.room_id, set(follow), last)
        self._last = last
        for run in there:
            seq = follow.get(run.pk)
            if seq is None:
                self._told(run.message_id, run.pk)
                continue
            self._known.add(run.pk)
            if run.status == Run.Status.RUNNING:
                await self._follow(run.pk, seq)
            else:
                await self._tell_end(run.pk, seq)  # its whole text says all that was missed
        self._wake.set()

    async def _send(self, person: User, said: dict[str, Any]) -> None:
        await self._begin(person, said, text=_text(said, "text"), parent_id=_number(said, "parent"))

    async def _edit(self, person: User, said: dict[str, Any]) -> None:
        await self._begin(person, said, text=_text(said, "text"), edits=_needed(said, "message"))

    async def _regenerate(self, person: User, said: dict[str, Any]) -> None:
        await self._begin(person, said, again=_needed(said, "message"))

    async def _begin(self, person: User, said: dict[str, Any], **question: Any) -> None:
        draft_id = _text(said, "draft_id")[:80]
        model = _text(said, "model")[:300].strip()
        begun = await self.runs.begin(person, Question(self.room_id, model=model, draft_id=draft_id, **question))
        await self._say({"type": "sent", "draft_id": draft_id, "run": begun.run_id})

    async def _stop(self, person: User, said: dict[str, Any]) -> None:
        run_id = _text(said, "run")
        if not await self.runs.reads(telling.runs_in_room, self.room_id, {run_id}, None):
            raise Refused("no_message")
        await self.runs.ask_stop(run_id)

    async def _refuse(self, said: dict[str, Any], code: str) -> None:
        words = await self.runs.reads(telling.in_words, self._visitor_or_none(), REFUSALS[code])
        told = {"type": "refused", "action": said.get("action"), "draft_id": said.get("draft_id")}
        await self._say(told | {"code": code, "message": words})

    def _visitor_or_none(self) -> Visitor | None:
        return getattr(self, "visitor", None)

    # -- what the runs say -----------------------------------------------------------

    def _told(self, message_id: int, run_id: str) -> None:
        """A run began in this room; it is told once the browser has said what it shows."""
        if run_id not in self._known:
            self._known.add(run_id)
            self._begun[run_id] = message_id
            self._wake.set()

    async def _follow(self, run_id: str, seq: int) -> None:
        self._logs[run_id] = (await self.runs.listen(run_id, self._wake.set, seq), seq)

    async def _forward(self) -> None:
        """One task a socket. It holds no frames: it reads from the logs as fast as the browser takes them."""
        checked = time.monotonic()
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                if time.monotonic() - checked > CHECK_SECONDS:
                    checked = time.monotonic()
                    if await self._admit(CONNECT, closes=True) is None:
                        return
                if self._last is not None:
                    await self._tell_starts(self._last)
                for run_id in tuple(self._logs):
                    await self._tell_frames(run_id)
        except TimeoutError:
            await self.close(TOO_SLOW)  # its connection takes nothing any more; a new one goes on from its number
        except OSError:
            return  # the browser went, or the server is going down: `disconnect` is on its way
        except Exception:
            # Whatever it was, the browser must not wait for ever: it connects again and goes on from its number.
            log.exception("the socket of room %s failed", self.room_id)
            await self.close(1011)

    async def _tell_starts(self, last: int) -> None:
        for run_id, message_id in sorted(self._begun.items(), key=lambda item: item[1]):
            del self._begun[run_id]
            if message_id <= last:
                continue  # the page came with it
            told = await self.runs.reads(telling.start_of, self.visitor, message_id)
            if told is None:
                continue
            await self._say({"type": "start", "run": run_id, **told.envelope})
            if told.live:
                await self._follow(run_id, told.envelope["seq"])
                self._wake.set()
            else:
                await self._tell_end(run_id, told.envelope["seq"])  # quicker than this was told: its end is news too

    async def _tell_frames(self, run_id: str) -> None:
        if run_id not in self._logs:
            return  # its end was told while another run's frames were sent
        found, seq = self._logs[run_id]
        for number, frame in runs.merged(found.since(seq)):
            match frame["type"]:
                case "stats":
                    words = await self.runs.reads(telling.stats_words, self.visitor, frame)
                    await self._say({"type": "stats", "run": run_id, "seq": number, **words})
                case "end":
                    await self._tell_end(run_id, number)
                    return
                case _:
                    await self._say({"run": run_id, "seq": number, **frame})
            self._logs[run_id] = found, number

    async def _tell_end(self, run_id: str, number: int) -> None:
        self.runs.leave(run_id, self._wake.set)
        self._logs.pop(run_id, None)
        told = await self.runs.reads(telling.end_of, self.visitor, run_id)
        if told is not None:
            await self._say({"run": run_id, "seq": number, **told})

    async def _say(self, told: dict[str, Any]) -> None:
        """Waits while the connection is full: that is how a slow browser holds back its own socket and no other."""
        if self._closed:
            return
        async with asyncio.timeout(SEND_SECONDS):
            await self.send(text_data=json.dumps(told, ensure_ascii=False, separators=(",", ":")))


class _NotUnderstood(Exception):
    """A message of another version of this page, or of somebody who writes their own."""


def _object(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _text(said: dict[str, Any], name: str) -> str:
    value = said.get(name, "")
    if not isinstance(value, str):
        raise _NotUnderstood
    return value.encode("utf-8", "replace").decode()


def _number(said: dict[str, Any], name: str, default: int | None = None) -> int | None:
    value = said.get(name, default)
    if value is None or value == "":
        return default
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        raise _NotUnderstood from None
    if not 0 <= number < 2**63:
        raise _NotUnderstood
    return number


def _needed(said: dict[str, Any], name: str) -> int:
    number = _number(said, name)
    if number is None:
        raise _NotUnderstood
    return number


websocket_urlpatterns: list[Any] = [path("ws/rooms/<int:room_id>/", RoomConsumer.as_asgi())]  # type: ignore[arg-type]  # the stubs know only HTTP views
