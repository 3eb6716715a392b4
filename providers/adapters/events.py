"""Server-sent events of a wire that must be translated: the framing, what comes instead of a stream, and the end.

A wire says what one event means (`_take`) and what a whole answer is (`_read`); everything else is the same for all.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from providers.adapters import refusals
from providers.chat import (
    ChatAnswer,
    Citation,
    Ended,
    Event,
    Failed,
    Finish,
    FinishReason,
    KeepAlive,
    ReasoningDelta,
    Start,
    State,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from providers.errors import Interrupted, InvalidAnswer, ProviderError, TooLarge
from providers.sse import EVENT_BYTES, EventDecoder
from providers.wiring import Decoder, Target

EVENTS = "text/event-stream"
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_DONE = b"[DONE]"


class TranslatingDecoder:
    """One stream. A body that is no stream although one was asked for is told by its first byte."""

    __slots__ = ("_ended", "_sniffed", "_sse", "_target", "_whole", "_whole_bytes")

    def __init__(self, target: Target) -> None:
        self._target = target
        self._sse = EventDecoder()
        self._ended = False  # nothing that comes now counts
        self._sniffed = False
        self._whole: list[bytes] | None = None
        self._whole_bytes = 0

    def _take(self, said: bytes, events: list[Event]) -> None:
        """What one event means. May raise what cannot be decoded, and the error that the event reports."""
        raise NotImplementedError

    def _read(self, body: bytes) -> ChatAnswer:
        """What a whole answer means."""
        raise NotImplementedError

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        if self._ended or (not self._sniffed and not self._looks_like_events(data)):
            return events
        for said, _ in self._sse.feed(data):
            if said is None or said == _DONE:
                events.append(KeepAlive())
                continue
            self._take_safely(said, events)
            if self._ended:
                break
        return events

    def close(self) -> list[Event]:
        events: list[Event] = []
        if self._ended:
            return events
        if self._whole is not None:
            self._ended = True
            return as_events(self._read(b"".join(self._whole)))
        for said, _ in self._sse.close():
            if said is not None and said[:1] == b"{" and said[-1:] == b"}":  # a whole one without its empty line
                self._take_safely(said, events)
        if self._ended:
            return events
        if not self._sniffed:
            raise refusals.unreadable(self._target, "sent an empty answer.")
        raise Interrupted(
            f"The answer of {self._target.provider} stopped before its end.", provider=self._target.provider
        )

    def _take_safely(self, said: bytes, events: list[Event]) -> None:
        try:
            if not said.isascii():
                said.decode()
            self._take(said, events)
        except ProviderError as error:
            self._fail(error, events)
        except UNREADABLE:
            self._fail(self._broken("sent an event that cannot be read."), events)

    def _end(self, events: list[Event]) -> None:
        self._ended = True
        events.append(Ended())

    def _fail(self, error: ProviderError, events: list[Event]) -> None:
        self._ended = True
        events.append(Failed(error))

    def _broken(self, what: str) -> InvalidAnswer:
        target = self._target
        return InvalidAnswer(f"{target.provider} {what}", code="upstream_protocol_error", provider=target.provider)

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


def is_stream(content_type: str, body: bytes) -> bool:
    """A stream where a whole answer was asked for."""
    return EVENTS in content_type or body[:6] == b"event:" or body[:5] == b"data:"


def as_events(answer: ChatAnswer) -> list[Event]:
    """A whole answer, told as a stream."""
    events: list[Event] = [Start(answer.id, answer.model)]
    if answer.reasoning:
        events.append(ReasoningDelta(answer.reasoning))
    if answer.text:
        events.append(TextDelta(answer.text))
    events += answer.citations
    events += answer.tool_calls
    if answer.state is not None:
        events.append(answer.state)
    events.append(Finish(answer.finish or FinishReason.STOP))
    if answer.usage is not None:
        events.append(UsageReport(answer.usage))
    return [*events, Ended()]


def collected(decoder: Decoder, body: bytes, target: Target) -> ChatAnswer:
    """A stream, put together to a whole answer."""
    try:
        events = decoder.feed(body) + decoder.close()
    except Interrupted as error:
        raise InvalidAnswer(error.message, provider=target.provider) from None
    return gathered(events)


def gathered(events: Iterable[Event]) -> ChatAnswer:
    """Raises the error that is among the events."""
    answer = ChatAnswer()
    calls: dict[int, list[ToolCallDelta]] = {}
    for event in events:
        match event:
            case Start():
                answer.id, answer.model = event.id, event.model
            case TextDelta():
                answer.text += event.text
            case ReasoningDelta():
                answer.reasoning += event.text
            case ToolCallDelta():
                calls.setdefault(event.index, []).append(event)
            case Citation():
                answer.citations.append(event)
            case State():
                answer.state = event
            case UsageReport():
                answer.usage = event.usage
            case Finish():
                answer.finish = event.reason
            case Failed():
                raise event.error
    answer.tool_calls = [_joined(index, deltas) for index, deltas in sorted(calls.items())]
    return answer


def _joined(index: int, deltas: list[ToolCallDelta]) -> ToolCallDelta:
    return ToolCallDelta(
        index,
        next((delta.id for delta in deltas if delta.id), ""),
        "".join(delta.name for delta in deltas),
        "".join(delta.arguments for delta in deltas),
    )
