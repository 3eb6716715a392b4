"""A whole answer and its stream, one told as the other; and what the answers of several wires have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b

import msgspec

from providers.chat import (
    ChatAnswer,
    Citation,
    Ended,
    Event,
    Failed,
    Finish,
    FinishReason,
    ReasoningDelta,
    Start,
    State,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from providers.errors import Interrupted, InvalidAnswer
from providers.wiring import Decoder, Target


def as_events(answer: ChatAnswer, first: bytes = b"", last: bytes = b"") -> list[Event]:
    """A whole answer, told as a stream; `first` and `last` are frames to pass on."""
    events: list[Event] = [Start(answer.id, answer.model, first)]
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
    return [*events, Ended(last)]


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


def finish_reason(finishes: Mapping[str, FinishReason], native: str, *, called: bool) -> FinishReason:
    """By a wire's own words. Some say that they stopped although they called a tool."""
    reason = finishes.get(native, FinishReason.STOP)
    return FinishReason.TOOL_CALLS if called and reason is FinishReason.STOP else reason


def arguments_of(given: msgspec.Raw) -> str:
    """Those of a call that come as an object and not as text."""
    data = bytes(given)
    return msgspec.json.format(data, indent=-1).decode() if data and data != b"null" else "{}"


def made_id(answer: str, number: int, name: str, arguments: str) -> str:
    """For a call that has none: one that no other call of the talk has."""
    said = f"{answer}/{number}/{name}/{arguments}"
    return f"call_{blake2b(said.encode('utf-8', 'replace'), digest_size=9).hexdigest()}"
