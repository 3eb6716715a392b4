"""What Bedrock's Converse answers: whole, or as a binary event stream; both to our own events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from providers.adapters import refusals
from providers.adapters.answers import arguments_of, as_events, collected, finish_reason
from providers.adapters.converse import Kept, ReasoningText, state_of
from providers.adapters.streams import AnswerStream
from providers.chat import (
    ChatAnswer,
    Citation,
    Ended,
    Event,
    Finish,
    FinishReason,
    ReasoningDelta,
    Start,
    State,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from providers.errors import ProviderError
from providers.eventstream import Message, MessageDecoder
from providers.tokens import count_tokens
from providers.wiring import HttpAnswer, Target

_FINISHES = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "tool_use": FinishReason.TOOL_CALLS,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "guardrail_intervened": FinishReason.CONTENT_FILTER,
    "content_filtered": FinishReason.CONTENT_FILTER,
    "malformed_model_output": FinishReason.ERROR,
    "malformed_tool_use": FinishReason.ERROR,
}
# The status each of them has outside of a stream.
_EXCEPTIONS = {
    "internalServerException": 500,
    "modelStreamErrorException": 424,
    "validationException": 400,
    "throttlingException": 429,
    "serviceUnavailableException": 503,
}


class _ToolUse(msgspec.Struct):
    toolUseId: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _Web(msgspec.Struct):
    url: str = ""


class _Location(msgspec.Struct):
    web: _Web | None = None


class _Citation(msgspec.Struct):
    title: str = ""
    source: str = ""
    location: _Location | None = None


class _Text(msgspec.Struct):
    text: str = ""


class _Cited(msgspec.Struct):
    content: list[_Text] = []
    citations: list[_Citation] = []


class _Block(msgspec.Struct):
    text: str | None = None
    toolUse: _ToolUse | None = None
    reasoningContent: Kept | None = None
    citationsContent: _Cited | None = None


class _Message(msgspec.Struct):
    content: list[_Block] = []


class _Output(msgspec.Struct):
    message: _Message | None = None


class _Usage(msgspec.Struct):
    inputTokens: int | None = None
    outputTokens: int | None = None
    cacheReadInputTokens: int | None = None
    cacheWriteInputTokens: int | None = None


class _Answer(msgspec.Struct):
    output: _Output
    stopReason: str = ""
    usage: _Usage | None = None


_answer = msgspec.json.Decoder(_Answer)

EVENTS = "application/vnd.amazon.eventstream"


def read_answer(answer: HttpAnswer, target: Target) -> ChatAnswer:
    """A stream where a whole answer was asked for is put together."""
    if EVENTS in answer.headers.get("content-type", ""):
        return collected(ConverseDecoder(target), answer.body, target)
    return read_body(answer.body, target, answer.headers.get("x-amzn-requestid", ""))


def read_body(body: bytes, target: Target, name: str = "") -> ChatAnswer:
    try:
        told = _answer.decode(body)
    except refusals.UNREADABLE:
        raise refusals.unreadable(target, "sent something that is no answer.") from None
    read = ChatAnswer(name, target.model)
    thoughts: list[Kept] = []
    for block in told.output.message.content if told.output.message else ():
        if block.text:
            read.text += block.text
        if block.toolUse is not None:
            read.tool_calls.append(_whole_call(block.toolUse, len(read.tool_calls)))
        if block.reasoningContent is not None:
            thoughts.append(block.reasoningContent)
        if block.citationsContent is not None:
            _add_cited(block.citationsContent, read)
    read.reasoning = "".join(block.reasoningText.text for block in thoughts if block.reasoningText)
    if state := state_of(thoughts):
        read.state = State(target.kind.slug, state)
    read.finish = finish_reason(_FINISHES, told.stopReason, called=bool(read.tool_calls))
    if told.usage is not None:
        called = "".join(call.name + call.arguments for call in read.tool_calls)
        read.usage = usage_of(told.usage, read.text + called if thoughts else None)
    return read


def _whole_call(call: _ToolUse, index: int) -> ToolCallDelta:
    return ToolCallDelta(index, call.toolUseId, call.name, arguments_of(call.input))


def _add_cited(cited: _Cited, read: ChatAnswer) -> None:
    start = len(read.text)
    read.text += "".join(piece.text for piece in cited.content)
    for one in cited.citations:
        if (found := _citation(one, start, len(read.text))) is not None:
            read.citations.append(found)


def _citation(one: _Citation, start: int | None = None, end: int | None = None) -> Citation | None:
    """Only what somebody can follow: places in documents have no address."""
    url = one.location.web.url if one.location and one.location.web else one.source
    return Citation(url, one.title, start, end) if url else None


def usage_of(told: _Usage, seen: str | None) -> Usage | None:
    """`seen` is the visible text of an answer that also has reasoning: of the one number for both, the rest is that."""
    if told.inputTokens is None or told.outputTokens is None:
        return None
    counts = (told.inputTokens, told.cacheReadInputTokens or 0, told.cacheWriteInputTokens or 0, told.outputTokens)
    if min(counts) < 0:
        return None
    fresh, cached, written, output = counts
    visible = output if seen is None else min(output, count_tokens("", seen))
    return Usage(fresh, cached, written, visible, output - visible)


# -- the stream -----------------------------------------------------------------------------


class _ToolStart(msgspec.Struct):
    toolUseId: str = ""
    name: str = ""


class _StartOfBlock(msgspec.Struct):
    toolUse: _ToolStart | None = None


class _BlockStart(msgspec.Struct):
    contentBlockIndex: int
    start: _StartOfBlock


class _ToolInput(msgspec.Struct):
    input: str = ""


class _Reasoning(msgspec.Struct):
    text: str | None = None
    signature: str | None = None
    redactedContent: str | None = None


class _Delta(msgspec.Struct):
    text: str | None = None
    toolUse: _ToolInput | None = None
    reasoningContent: _Reasoning | None = None
    citation: _Citation | None = None


class _BlockDelta(msgspec.Struct):
    delta: _Delta
    contentBlockIndex: int = 0


class _BlockStop(msgspec.Struct):
    contentBlockIndex: int


class _MessageStop(msgspec.Struct):
    stopReason: str = ""


class _Metadata(msgspec.Struct):
    usage: _Usage | None = None


_block_start = msgspec.json.Decoder(_BlockStart)
_block_delta = msgspec.json.Decoder(_BlockDelta)
_block_stop = msgspec.json.Decoder(_BlockStop)
_message_stop = msgspec.json.Decoder(_MessageStop)
_metadata = msgspec.json.Decoder(_Metadata)


class _Thought:
    """One block of reasoning as it grows."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.signatures: list[str] = []
        self.redacted: list[str] = []

    def kept(self) -> Kept:
        if self.redacted:
            return Kept(redactedContent="".join(self.redacted))
        return Kept(ReasoningText("".join(self.texts), "".join(self.signatures)))


class ConverseDecoder(AnswerStream):
    """One stream. It ends with the body, and only after `messageStop` and `metadata`.

    A whole answer in its place is told by its first byte: no message is so long that its length begins like JSON.
    """

    __slots__ = ("_begun", "_calls", "_filled", "_finished", "_messages", "_seen", "_thoughts", "_told", "_whole")

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._messages = MessageDecoder()
        self._calls: dict[int, int] = {}  # number of a block -> number of its call
        self._filled: set[int] = set()  # blocks of calls that have arguments
        self._thoughts: dict[int, _Thought] = {}
        self._seen: list[str] = []
        self._finished = False
        self._told = False  # what it used: the last event
        self._begun = False
        self._whole: list[bytes] | None = None

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        if not self._begun:
            self._begin_with(data)
        if self._whole is not None:
            self._whole.append(data)
            return events
        for message in self._messages.feed(data):
            if self._ended:
                return events
            try:
                self._take(message, events)
            except refusals.UNREADABLE:
                self._fail(refusals.broken(self._target, "sent an event that cannot be read."), events)
        fault = self._messages.fault
        if fault is not None and not self._ended:
            fault.provider = self._target.provider
            self._fail(fault, events)
        return events

    def close(self) -> list[Event]:
        if self._ended:
            return []
        if self._whole is not None:
            self._ended = True
            return as_events(read_body(b"".join(self._whole), self._target))
        if not self._begun:
            raise refusals.unreadable(self._target, "sent an empty answer.")
        if self._finished and self._told and self._messages.between:
            return [Ended()]
        raise refusals.interrupted(self._target)

    def _begin_with(self, data: bytes) -> None:
        first = data.lstrip()[:1]
        self._begun = bool(first)
        if first == b"<":
            raise refusals.unreadable(self._target, "sent a web page instead of an answer.")
        if first == b"{":
            self._whole = []

    # -- one message --------------------------------------------------------------------

    def _take(self, message: Message, events: list[Event]) -> None:
        headers, payload = message
        kind = headers.get(":event-type")
        if kind == "contentBlockDelta":  # the common case first
            self._take_delta(payload, events)
        elif headers.get(":message-type") != "event":
            self._fail(self._reported(headers, payload), events)
        elif kind == "messageStart":
            events.append(Start("", self._target.model))
        elif kind == "contentBlockStart":
            self._begin(_block_start.decode(payload), events)
        elif kind == "contentBlockStop":
            self._close(_block_stop.decode(payload).contentBlockIndex, events)
        elif kind == "messageStop":
            self._finish(_message_stop.decode(payload).stopReason, events)
        elif kind == "metadata":
            self._told = True
            self._report(_metadata.decode(payload).usage, events)

    def _take_delta(self, payload: bytes, events: list[Event]) -> None:
        told = _block_delta.decode(payload)
        delta = told.delta
        if delta.text is not None:
            self._seen.append(delta.text)
            events.append(TextDelta(delta.text))
        elif delta.toolUse is not None:
            self._add_arguments(told.contentBlockIndex, delta.toolUse.input, events)
        elif delta.reasoningContent is not None:
            self._think(told.contentBlockIndex, delta.reasoningContent, events)
        elif delta.citation is not None and (found := _citation(delta.citation)) is not None:
            events.append(found)

    def _begin(self, told: _BlockStart, events: list[Event]) -> None:
        tool = told.start.toolUse
        if tool is None:
            return
        number = self._calls[told.contentBlockIndex] = len(self._calls)
        self._seen.append(tool.name)
        events.append(ToolCallDelta(number, tool.toolUseId, tool.name))

    def _add_arguments(self, block: int, text: str, events: list[Event]) -> None:
        number = self._calls.get(block)
        if number is None or not text:
            return
        self._filled.add(block)
        self._seen.append(text)
        events.append(ToolCallDelta(number, arguments=text))

    def _think(self, block: int, told: _Reasoning, events: list[Event]) -> None:
        thought = self._thoughts.setdefault(block, _Thought())
        if told.signature:
            thought.signatures.append(told.signature)
        if told.redactedContent:
            thought.redacted.append(told.redactedContent)
        if told.text:
            thought.texts.append(told.text)
            events.append(ReasoningDelta(told.text))

    def _close(self, block: int, events: list[Event]) -> None:
        number = self._calls.get(block)
        if number is not None and block not in self._filled:
            self._filled.add(block)
            events.append(ToolCallDelta(number, arguments="{}"))

    def _finish(self, native: str, events: list[Event]) -> None:
        self._finished = True
        if state := state_of([thought.kept() for _, thought in sorted(self._thoughts.items())]):
            events.append(State(self._target.kind.slug, state))
        events.append(Finish(finish_reason(_FINISHES, native, called=bool(self._calls)), native))

    def _report(self, told: _Usage | None, events: list[Event]) -> None:
        usage = usage_of(told, "".join(self._seen) if self._thoughts else None) if told is not None else None
        if usage is not None:
            events.append(UsageReport(usage))

    # -- what is wrong --------------------------------------------------------------------

    def _reported(self, headers: Mapping[str, Any], payload: bytes) -> ProviderError:
        """An exception, which is one of the service's own, or an error of the stream itself."""
        name = str(headers.get(":exception-type") or headers.get(":error-code") or "")
        words = refusals.read_words(payload).message or str(headers.get(":error-message") or "")
        code = {"message": words, "code": str(_EXCEPTIONS.get(name, 500)), "type": name[:1].upper() + name[1:]}
        return refusals.reported(code, self._target)
