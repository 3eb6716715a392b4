"""What Anthropic's Messages answers: whole, or as a stream of blocks; both to our own events."""

from __future__ import annotations

from typing import Any

import msgspec

from providers.adapters import refusals
from providers.adapters.answers import arguments_of, collected, finish_reason
from providers.adapters.events import TranslatingDecoder, is_stream
from providers.adapters.messages import Redacted, Thinking, state_of
from providers.chat import (
    ChatAnswer,
    Citation,
    Event,
    Finish,
    FinishReason,
    KeepAlive,
    ReasoningDelta,
    Start,
    State,
    TextDelta,
    Thought,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from providers.errors import ProviderError
from providers.tokens import count_tokens
from providers.wiring import HttpAnswer, Target

_FINISHES = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "tool_use": FinishReason.TOOL_CALLS,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "refusal": FinishReason.CONTENT_FILTER,
    "pause_turn": FinishReason.PAUSE,
}
# The status each of them has outside of a stream.
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_NOTHING = msgspec.Raw()


class _Spent(msgspec.Struct):
    thinking_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: _Spent | None = None


class _Citation(msgspec.Struct):
    url: str | None = None
    source: str | None = None
    title: str | None = None


class _Block(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = _NOTHING
    citations: list[_Citation] | None = None


class _Message(msgspec.Struct):
    id: str = ""
    model: str = ""
    content: list[_Block] = []
    stop_reason: str | None = None
    usage: _Usage | None = None


class _Answer(_Message):
    type: str = ""
    error: Any = None


_answer = msgspec.json.Decoder(_Answer)


def read_answer(answer: HttpAnswer, target: Target) -> ChatAnswer:
    if is_stream(answer.headers.get("content-type", ""), answer.body):
        return collected(MessageDecoder(target), answer.body, target)
    return read_body(answer.body, target)


def read_body(body: bytes, target: Target) -> ChatAnswer:
    try:
        told = _answer.decode(body)
    except refusals.UNREADABLE:
        raise refusals.unreadable(target, "sent something that is no answer.") from None
    if told.error is not None:
        raise reported(told.error, target)
    if told.type != "message":
        raise refusals.unreadable(target, "sent something that is no answer.")
    read = ChatAnswer(told.id, told.model or target.model)
    thoughts: list[Thinking | Redacted] = []
    for block in told.content:
        _add(block, read, thoughts)
    if state := state_of(thoughts):
        read.state = State(target.kind.slug, state)
    read.finish = finish_reason(_FINISHES, told.stop_reason or "", called=bool(read.tool_calls))
    if told.usage is not None:
        called = "".join(call.name + call.arguments for call in read.tool_calls)
        read.usage = usage_of(told.usage, read.text + called if thoughts else None)
    return read


def _add(block: _Block, read: ChatAnswer, thoughts: list[Thinking | Redacted]) -> None:
    match block.type:
        case "text":
            start = len(read.text)
            read.text += block.text or ""
            read.citations += cited(block.citations or (), start, len(read.text))
        case "tool_use":
            arguments = arguments_of(block.input)
            read.tool_calls.append(ToolCallDelta(len(read.tool_calls), block.id or "", block.name or "", arguments))
        case "thinking":
            read.reasoning += block.thinking or ""
            thoughts.append(Thinking(block.thinking or "", block.signature or ""))
        case "redacted_thinking":
            thoughts.append(Redacted(block.data or ""))
        # Tools that run there, and what came of them, are not for the client.


def cited(citations: Any, start: int, end: int) -> list[Citation]:
    """Only what somebody can follow: places in documents that were sent along have no address."""
    return [
        Citation(url, one.title or "", start, end)
        for one in citations
        if (url := one.url or one.source or "").startswith(("https://", "http://"))
    ]


def usage_of(told: _Usage, seen: str | None) -> Usage | None:
    """`seen` is what is visible of an answer with thinking in it: the thinking is the rest, where nobody counted it."""
    if told.input_tokens is None or told.output_tokens is None:
        return None
    cached, written = told.cache_read_input_tokens or 0, told.cache_creation_input_tokens or 0
    output, details = told.output_tokens, told.output_tokens_details
    thought = details.thinking_tokens if details is not None else None
    if thought is None:
        thought = 0 if seen is None else output - min(output, count_tokens("", seen))
    if min(told.input_tokens, cached, written, output, thought) < 0:
        return None
    thought = min(thought, output)
    return Usage(told.input_tokens, cached, written, output - thought, thought)


def reported(error: Any, target: Target) -> ProviderError:
    """The error that stands where an answer belongs: it has lost the status that goes with its type."""
    kind = error.get("type") if isinstance(error, dict) else None
    if isinstance(kind, str) and kind in _STATUSES:
        error = error | {"code": _STATUSES[kind]}
    return refusals.reported(error, target)


# -- the stream -----------------------------------------------------------------------------


class _Delta(msgspec.Struct):
    type: str = ""
    text: str = ""
    partial_json: str = ""
    thinking: str = ""
    signature: str = ""
    citation: _Citation | None = None
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    type: str = ""
    index: int = 0
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: _Message | None = None
    usage: _Usage | None = None
    error: Any = None


_event = msgspec.json.Decoder(_Event)


class _Open:
    """A block as it grows."""

    __slots__ = ("block", "call", "citations", "filled", "start", "texts")

    def __init__(self, block: _Block, call: int, start: int) -> None:
        self.block = block
        self.call = call
        self.start = start  # where in the whole text it begins
        self.filled = False  # a call that has arguments
        self.texts: list[str] = []  # of thinking, which goes back as it came
        self.citations: list[_Citation] = []


class MessageDecoder(TranslatingDecoder):
    """One stream. It ends with `message_stop`; what is told once for all is told there."""

    __slots__ = ("_called", "_length", "_native", "_open", "_seen", "_thoughts", "_usage")

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._open: dict[int, _Open] = {}
        self._called = 0
        self._length = 0  # of the text so far
        self._seen: list[str] = []
        self._thoughts: list[Thinking | Redacted] = []
        self._native = ""
        self._usage = _Usage()

    def _read(self, body: bytes) -> ChatAnswer:
        return read_body(body, self._target)

    def _translate(self, said: bytes, events: list[Event]) -> None:
        told = _event.decode(said)
        kind = told.type
        if kind == "content_block_delta":  # the common case first
            if told.delta is not None:
                self._add(told.index, told.delta, events)
        elif kind == "content_block_start":
            if told.content_block is not None:
                self._begin(told.index, told.content_block, events)
        elif kind == "content_block_stop":
            self._close(told.index, events)
        elif kind == "message_delta":
            self._native = (told.delta.stop_reason if told.delta else None) or self._native
            self._count(told.usage)
        elif kind == "message_start":
            message = told.message or _Message()
            self._count(message.usage)
            self._usage.output_tokens = None  # that was a guess: what it came to is told at the end
            events.append(Start(message.id, message.model or self._target.model))
        elif kind == "message_stop":
            self._finish(events)
        elif told.error is not None:
            raise reported(told.error, self._target)
        else:
            events.append(KeepAlive())  # a ping, or something newer than this

    def _begin(self, index: int, block: _Block, events: list[Event]) -> None:
        opened = self._open[index] = _Open(block, self._called, self._length)
        if block.type == "tool_use":
            self._called += 1
            self._seen.append(block.name or "")
            events.append(ToolCallDelta(opened.call, block.id or "", block.name or ""))
        elif block.type == "text":
            opened.citations += block.citations or ()
            self._say(block.text or "", events)
        elif block.type == "thinking":
            self._think(opened, block.thinking or "", events)

    def _add(self, index: int, delta: _Delta, events: list[Event]) -> None:
        kind = delta.type
        if kind == "text_delta":
            self._say(delta.text, events)
            return
        opened = self._open.get(index)
        if opened is None:
            return
        if kind == "input_json_delta":
            if delta.partial_json and opened.block.type == "tool_use":
                opened.filled = True
                self._seen.append(delta.partial_json)
                events.append(ToolCallDelta(opened.call, arguments=delta.partial_json))
        elif kind == "thinking_delta":
            self._think(opened, delta.thinking, events)
        elif kind == "signature_delta":
            opened.block.signature = (opened.block.signature or "") + delta.signature
        elif kind == "citations_delta" and delta.citation is not None:
            opened.citations.append(delta.citation)

    def _say(self, text: str, events: list[Event]) -> None:
        if text:
            self._length += len(text)
            self._seen.append(text)
            events.append(TextDelta(text))

    def _think(self, opened: _Open, text: str, events: list[Event]) -> None:
        if text:
            opened.texts.append(text)
            events.append(ReasoningDelta(text))

    def _close(self, index: int, events: list[Event]) -> None:
        opened = self._open.pop(index, None)
        if opened is None:
            return
        block = opened.block
        if block.type == "tool_use" and not opened.filled:
            events.append(ToolCallDelta(opened.call, arguments=arguments_of(block.input)))
        elif block.type == "text":
            events += cited(opened.citations, opened.start, self._length)
        elif block.type == "thinking":
            self._keep(Thinking("".join(opened.texts), block.signature or ""), events)
        elif block.type == "redacted_thinking":
            self._keep(Redacted(block.data or ""), events)

    def _keep(self, thought: Thinking | Redacted, events: list[Event]) -> None:
        self._thoughts.append(thought)
        events.append(Thought(self._target.kind.slug, msgspec.json.encode(thought).decode()))

    def _count(self, told: _Usage | None) -> None:
        """The numbers are totals: a newer one takes the older one's place."""
        if told is not None:
            for name in _Usage.__struct_fields__:
                if (value := getattr(told, name)) is not None:
                    setattr(self._usage, name, value)

    def _finish(self, events: list[Event]) -> None:
        if state := state_of(self._thoughts):
            events.append(State(self._target.kind.slug, state))
        events.append(Finish(finish_reason(_FINISHES, self._native, called=self._called > 0), self._native))
        usage = usage_of(self._usage, "".join(self._seen) if self._thoughts else None)
        if usage is not None:
            events.append(UsageReport(usage))
        self._end(events)
