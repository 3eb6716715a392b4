"""A stream of the OpenAI wire: bytes to events. The frame of a chunk goes with its first event, so it passes once."""

from __future__ import annotations

import msgspec

from providers.adapters import refusals
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
from providers.chat import (
    Ended,
    Event,
    Failed,
    Finish,
    FinishReason,
    KeepAlive,
    ReasoningDelta,
    Start,
    TextDelta,
    UsageReport,
)
from providers.errors import Interrupted, InvalidAnswer, ProviderError, TooLarge
from providers.sse import EVENT_BYTES, EventDecoder, framed
from providers.wiring import Target

_DONE = b"[DONE]"
_DONE_FRAME = b"data: [DONE]\n\n"
_NULL = b"null"


class ChatDecoder:
    """One stream. The frame of a chunk goes with its first event, so that it passes exactly once.

    A body that is no stream although one was asked for is told by its first byte: JSON is taken for a whole answer
    and given as a stream of one chunk, a web page is no answer at all.
    """

    __slots__ = ("_called", "_ended", "_finished", "_sniffed", "_sse", "_started", "_target", "_whole", "_whole_bytes")

    def __init__(self, target: Target) -> None:
        self._target = target
        self._sse = EventDecoder()
        self._started = False
        self._called = False
        self._finished = False
        self._ended = False  # nothing that comes now counts
        self._whole: list[bytes] | None = None
        self._whole_bytes = 0
        self._sniffed = False

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        if self._ended:
            return events
        if not self._sniffed and not self._looks_like_events(data):
            return events
        for said, frame in self._sse.feed(data):
            if said is None:
                events.append(KeepAlive())
            elif said == _DONE:
                self._ended = True
                events.append(Ended(_DONE_FRAME))
                break
            else:
                self._take(said, frame, events)
                if self._ended:
                    break
        return events

    def close(self) -> list[Event]:
        events: list[Event] = []
        if self._ended:
            return events
        if self._whole is not None:
            return self._of_whole_answer(b"".join(self._whole))
        for said, frame in self._sse.close():
            if said == _DONE:
                self._ended = True
                return [*events, Ended(_DONE_FRAME)]
            if said is not None and _is_json(said):
                self._take(said, frame, events)
        if self._finished and not self._target.kind.sends_done:
            self._ended = True
            return [*events, Ended(_DONE_FRAME)]
        if events and type(events[-1]) is Failed:
            return events
        if not self._sniffed:
            raise refusals.unreadable(self._target, "sent an empty answer.")
        raise Interrupted(
            f"The answer of {self._target.provider} stopped before its end.", provider=self._target.provider
        )

    # -- one chunk ------------------------------------------------------------------

    def _take(self, data: bytes, frame: bytes, events: list[Event]) -> None:
        try:
            if not data.isascii():
                data.decode()
            try:
                chunk = CHUNK.decode(data)
            except msgspec.ValidationError:
                chunk = read_leniently(data)  # which may find out that it is no JSON either
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._fail(
                InvalidAnswer(
                    f"{self._target.provider} sent an event that is not JSON.",
                    code="upstream_protocol_error",
                    provider=self._target.provider,
                ),
                events,
            )
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

    def _fail(self, error: ProviderError, events: list[Event]) -> None:
        self._ended = True
        events.append(Failed(error))

    # -- bodies that are no stream -----------------------------------------------------

    def _looks_like_events(self, data: bytes) -> bool:
        if self._whole is None:
            first = data.lstrip()[:1]
            if first == b"<":
                raise refusals.unreadable(self._target, "sent a web page instead of an answer.")
            if first not in (b"{", b"["):
                self._sniffed = bool(first)
                return True
            self._whole = []
        self._whole.append(data)
        self._whole_bytes += len(data)
        if self._whole_bytes > EVENT_BYTES:
            raise TooLarge(f"The answer of {self._target.provider} is too long.", provider=self._target.provider)
        return False

    def _of_whole_answer(self, body: bytes) -> list[Event]:
        answer = read_answer(body, self._target)
        self._ended = True
        events: list[Event] = [Start(answer.id, answer.model, framed(as_chunk(body)))]
        if answer.reasoning:
            events.append(ReasoningDelta(answer.reasoning))
        if answer.text:
            events.append(TextDelta(answer.text))
        events += answer.tool_calls
        events.append(Finish(answer.finish or FinishReason.STOP))
        if answer.usage is not None:
            events.append(UsageReport(answer.usage))
        events.append(Ended(_DONE_FRAME))
        return events


def _is_odd(delta: Message) -> bool:
    return delta.content.__class__ is list or delta.refusal is not None


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
