"""What Ollama's `/api/chat` answers: one object, or one a line; both to our own events. `done` is the end."""

from __future__ import annotations

import msgspec

from providers.adapters import refusals
from providers.adapters.answers import arguments_of, collected, finish_reason, made_id
from providers.adapters.streams import AnswerStream
from providers.chat import (
    ChatAnswer,
    Event,
    Finish,
    FinishReason,
    KeepAlive,
    ReasoningDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from providers.errors import InvalidAnswer
from providers.ndjson import LineDecoder
from providers.tokens import count_tokens, family_of
from providers.wiring import Target

_FINISHES = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "load": FinishReason.ERROR,  # it only took the model into memory, or out of it
    "unload": FinishReason.ERROR,
}
_NOTHING = msgspec.Raw()
_NULL = b"null"


class _Function(msgspec.Struct):
    name: str = ""
    arguments: msgspec.Raw = _NOTHING


class _Call(msgspec.Struct):
    function: _Function
    id: str = ""


class _Message(msgspec.Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_Call] | None = None


class _Line(msgspec.Struct):
    model: str = ""
    created_at: str = ""
    message: _Message | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: msgspec.Raw = _NOTHING


_line = msgspec.json.Decoder(_Line)


def read_answer(body: bytes, target: Target) -> ChatAnswer:
    """The plain answer is a stream of one line; a server that streams nevertheless is understood too."""
    try:
        return collected(ChatLines(target), body, target)
    except InvalidAnswer as error:
        if error.reason == InvalidAnswer.code:
            raise
        raise refusals.unreadable(target, "sent something that is no answer.") from None  # a line that is no JSON


class ChatLines(AnswerStream):
    """One stream."""

    __slots__ = ("_called", "_lines", "_seen", "_started", "_thought")

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._lines = LineDecoder()
        self._started = ""  # when the answer was begun
        self._called = 0
        self._thought = False
        self._seen: list[str] = []

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        if not self._ended:
            self._take_all(self._lines.feed(data), events)
        return events

    def close(self) -> list[Event]:
        events: list[Event] = []
        if self._ended:
            return events
        self._take_all(self._lines.close(), events)
        if self._ended:
            return events
        if not self._started:
            raise refusals.unreadable(self._target, "sent an empty answer.")
        raise refusals.interrupted(self._target)

    def _take_all(self, lines: list[bytes], events: list[Event]) -> None:
        for line in lines:
            try:
                self._take(_line.decode(line), events)
            except refusals.UNREADABLE:
                self._fail(self._unreadable(line), events)
            if self._ended:
                return

    # -- one line -------------------------------------------------------------------

    def _take(self, line: _Line, events: list[Event]) -> None:
        if line.error is not _NOTHING and bytes(line.error) != _NULL:
            self._fail(refusals.reported({"error": msgspec.json.decode(line.error)}, self._target), events)
            return
        if line.message is None and not line.done:
            events.append(KeepAlive())  # of a sort we do not know
            return
        if not self._started:
            self._started = line.created_at or "now"
            events.append(Start("", line.model or self._target.model))
        if line.message is not None:
            self._take_message(line.message, events)
        if line.done:
            native = line.done_reason or ""
            events.append(Finish(finish_reason(_FINISHES, native, called=self._called > 0), native))
            family = family_of(self._target.kind.slug, self._target.model)
            usage = usage_of(line, "".join(self._seen) if self._thought else None, family)
            if usage is not None:
                events.append(UsageReport(usage))
            self._end(events)

    def _take_message(self, message: _Message, events: list[Event]) -> None:
        if message.thinking:
            self._thought = True
            events.append(ReasoningDelta(message.thinking))
        if message.content:
            self._seen.append(message.content)
            events.append(TextDelta(message.content))
        events += [self._call(call) for call in message.tool_calls or ()]

    def _call(self, call: _Call) -> ToolCallDelta:
        """It comes whole."""
        number, self._called = self._called, self._called + 1
        arguments = arguments_of(call.function.arguments)
        self._seen += [call.function.name, arguments]
        name = call.id or made_id(self._started, number, call.function.name, arguments)
        return ToolCallDelta(number, name, call.function.name, arguments)

    # -- what is wrong ----------------------------------------------------------------

    def _unreadable(self, line: bytes) -> InvalidAnswer:
        target = self._target
        if line[:1] == b"<":
            return refusals.unreadable(target, "sent a web page instead of an answer.")
        return refusals.broken(target, "sent a line that cannot be read.")


def usage_of(line: _Line, seen: str | None, family: str) -> Usage | None:
    """Counts of zero are left out there, and no prompt has none: without one nobody knows.

    `seen` is the visible text of an answer that also has thoughts: of the one number for both, the rest is those.
    """
    prompt, output = line.prompt_eval_count, line.eval_count or 0
    if not prompt or min(prompt, output) < 0:
        return None
    visible = output if seen is None else min(output, count_tokens(family, seen))
    return Usage(prompt, output=visible, reasoning=output - visible)
