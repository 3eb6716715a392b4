"""A stream of the OpenAI wire: bytes to events. The frame of a chunk goes with its first event, so it passes once."""

from __future__ import annotations

import msgspec

from providers.adapters import refusals
from providers.adapters.answers import as_events
from providers.adapters.bodies import as_chunk, read_answer
from providers.adapters.shapes import (
    CHUNK,
    NOTHING,
    Message,
    call_delta,
    error_beside,
    finish_reason,
    read_leniently,
    read_parts,
    read_usage,
)
from providers.adapters.streams import DONE, EventStream
from providers.chat import (
    Event,
    Finish,
    FinishReason,
    KeepAlive,
    ReasoningDelta,
    Start,
    TextDelta,
    UsageReport,
)
from providers.sse import framed
from providers.wiring import Target

_DONE_FRAME = b"data: [DONE]\n\n"
_NULL = b"null"


class ChatDecoder(EventStream):
    """One stream. The frame of a chunk goes with its first event, so that it passes exactly once."""

    __slots__ = ("_called", "_finished", "_started")

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._started = False
        self._called = False
        self._finished = False

    def _stop(self, events: list[Event]) -> None:
        """Some have no mark of the end but the reason for it."""
        if self._finished and not self._target.kind.sends_done:
            self._end(events, _DONE_FRAME)
        else:
            super()._stop(events)

    # -- one chunk ------------------------------------------------------------------

    def _take(self, said: bytes, frame: bytes, events: list[Event]) -> None:
        if said == DONE:
            self._end(events, _DONE_FRAME)
            return
        try:
            if not said.isascii():
                said.decode()
            try:
                chunk = CHUNK.decode(said)
            except msgspec.ValidationError:
                chunk = read_leniently(said)  # which may find out that it is no JSON either
        except refusals.UNREADABLE:
            self._fail(refusals.broken(self._target, "sent an event that is not JSON."), events)
            return
        error = chunk.error
        if error is not NOTHING and bytes(error) != _NULL:
            self._fail(refusals.reported(msgspec.json.decode(error), self._target), events)
            return
        if chunk.x_groq is not NOTHING and (beside := error_beside(chunk.x_groq)):
            self._fail(refusals.reported(beside, self._target), events)
            return
        choices = chunk.choices
        if choices is None:
            events.append(KeepAlive())  # of a type we do not know
            return
        if not self._started:
            self._started = True
            events.append(Start(chunk.id or "", chunk.model or "", frame))
            frame = b""
        for choice in choices:
            if choice.error is not NOTHING and bytes(choice.error) != _NULL:
                self._fail(refusals.reported(msgspec.json.decode(choice.error), self._target), events)
                return
            delta = choice.delta
            if delta is not None:
                # The common case first: a chunk that adds text.
                content = delta.content
                if content.__class__ is str and content:
                    events.append(TextDelta(content, frame))
                    frame = b""
                if delta.tool_calls or delta.reasoning_content or delta.reasoning or _is_odd(delta):
                    frame = self._take_rest(delta, frame, events)
            native = choice.finish_reason
            if native:
                self._finished = True
                events.append(Finish(finish_reason(native, self._called) or FinishReason.STOP, native, frame))
                frame = b""
        usage = chunk.usage
        if usage is not NOTHING and bytes(usage) != _NULL:
            counted = read_usage(usage, self._target)
            if counted is not None:
                # The frame of a chunk that only tells the usage is for whoever asked for it.
                events.append(UsageReport(counted, frame if not choices else b""))
                if not choices:
                    frame = b""
        if frame:
            events.append(KeepAlive(frame))  # nothing for us, but it is part of the answer

    def _take_rest(self, delta: Message, frame: bytes, events: list[Event]) -> bytes:
        thought = delta.reasoning_content or delta.reasoning
        text = delta.refusal or ""
        if isinstance(delta.content, list):
            listed_text, listed_thought = read_parts(delta.content)
            text, thought = text + listed_text, (thought or "") + listed_thought
        if thought:
            events.append(ReasoningDelta(thought, frame))
            frame = b""
        if text:
            events.append(TextDelta(text, frame))
            frame = b""
        for at, call in enumerate(delta.tool_calls or ()):
            self._called = True
            events.append(call_delta(call, at, frame))
            frame = b""
        return frame

    def _of_whole_answer(self, body: bytes) -> list[Event]:
        answer = read_answer(body, self._target)
        return as_events(answer, framed(as_chunk(body)), _DONE_FRAME)


def _is_odd(delta: Message) -> bool:
    return delta.content.__class__ is list or delta.refusal is not None
