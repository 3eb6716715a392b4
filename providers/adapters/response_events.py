"""What OpenAI's Responses answers as a stream: events about items, to our own events."""

from __future__ import annotations

from typing import Any

import msgspec

from providers.adapters.answers import collected
from providers.adapters.events import TranslatingDecoder, is_stream
from providers.adapters.response_answers import (
    Annotation,
    Item,
    Response,
    Source,
    annotated,
    cited,
    finish_of,
    kept_of,
    read_body,
    reported,
    usage_of,
)
from providers.adapters.response_items import Kept, state_of
from providers.chat import (
    ChatAnswer,
    Event,
    Finish,
    KeepAlive,
    ReasoningDelta,
    Start,
    State,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from providers.errors import ProviderError
from providers.wiring import HttpAnswer, Target

_ENDS = ("response.completed", "response.incomplete")


def read_answer(answer: HttpAnswer, target: Target) -> ChatAnswer:
    if is_stream(answer.headers.get("content-type", ""), answer.body):
        return collected(ResponseDecoder(target), answer.body, target)
    return read_body(answer.body, target)


class _Event(msgspec.Struct):
    type: str = ""
    delta: str = ""
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    item: Item | None = None
    response: Response | None = None
    annotation: Annotation | None = None
    results: list[Source] | None = None
    contents: list[Source] | None = None
    thought: str | None = None
    error: Any = None
    code: str | int | None = None
    message: str | None = None
    param: str | None = None


_event = msgspec.json.Decoder(_Event)


class _Growing:
    """A call as it grows."""

    __slots__ = ("filled", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.filled = False


class ResponseDecoder(TranslatingDecoder):
    """One stream. It ends with the whole answer once more, which is also asked for what was not streamed."""

    __slots__ = ("_calls", "_kept", "_length", "_parts", "_started", "_thinking", "_told", "_waiting")

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._started = False
        self._calls: dict[int, _Growing] = {}  # by the number of the item
        self._parts: dict[tuple[int, int], int] = {}  # where in the whole text each part begins
        self._length = 0
        self._kept: dict[int, Kept] = {}
        self._told: set[str] = set()  # addresses that were cited
        self._waiting: list[Source] = []  # what was found and not cited, so far
        self._thinking = False

    def _read(self, body: bytes) -> ChatAnswer:
        return read_body(body, self._target)

    def _translate(self, said: bytes, events: list[Event]) -> None:
        told = _event.decode(said)
        kind = told.type
        if kind == "response.output_text.delta" or kind == "response.refusal.delta":  # the common case first
            self._say(told, told.delta, events)
        elif kind == "response.function_call_arguments.delta":
            self._add_arguments(told, events)
        elif kind == "response.reasoning_summary_text.delta" or kind == "response.reasoning_text.delta":
            self._think(told.delta, events)
        elif kind == "response.reasoning_summary_part.added":
            if told.summary_index:
                self._think("\n\n", events)
        elif kind == "response.output_text.annotation.added":
            self._annotate(told, events)
        elif kind == "response.output_item.added":
            if told.item is not None and told.item.type == "function_call":
                self._call(told.output_index, told.item, events)
        elif kind == "response.output_item.done":
            if told.item is not None:
                self._close(told.output_index, told.item, events)
        elif kind in _ENDS:
            self._finish(told.response or Response(), events)
        elif kind == "response.failed" or kind == "error" or told.error is not None:
            raise self._failure(told)
        elif kind == "response.created":
            response = told.response or Response()
            self._started = True
            events.append(Start(response.id, response.model or self._target.model))
        elif kind.startswith("response.reasoning."):
            self._follow(told, events)
        else:
            events.append(KeepAlive())

    def _failure(self, told: _Event) -> ProviderError:
        error = told.error or (told.response.error if told.response else None)
        if error is None:
            words = told.message or "The answer failed."
            error = {"message": words, "code": told.code, "param": told.param}
        return reported(error, self._target)

    def _say(self, told: _Event, text: str, events: list[Event]) -> None:
        place = (told.output_index, told.content_index)
        if place not in self._parts:
            self._parts[place] = self._length
        if text:
            self._length += len(text)
            events.append(TextDelta(text))

    def _think(self, text: str, events: list[Event]) -> None:
        if text:
            self._thinking = True
            events.append(ReasoningDelta(text))

    def _follow(self, told: _Event, events: list[Event]) -> None:
        """What an agent says about what it is doing, step by step."""
        if told.thought:
            self._think(f"\n\n{told.thought}" if self._thinking else told.thought, events)
        else:
            events.append(KeepAlive())
        self._waiting += told.results or told.contents or ()

    def _annotate(self, told: _Event, events: list[Event]) -> None:
        start = self._parts.get((told.output_index, told.content_index), self._length)
        citation = annotated(told.annotation, start) if told.annotation is not None else None
        if citation is not None:
            self._told.add(citation.url)
            events.append(citation)

    # -- calls ----------------------------------------------------------------------------

    def _call(self, index: int, item: Item, events: list[Event]) -> _Growing:
        growing = self._calls.get(index)
        if growing is None:
            growing = self._calls[index] = _Growing(len(self._calls))
            events.append(ToolCallDelta(growing.number, item.call_id or item.id or "", item.name or ""))
        return growing

    def _add_arguments(self, told: _Event, events: list[Event]) -> None:
        growing = self._calls.get(told.output_index)
        if growing is not None and told.delta:
            growing.filled = True
            events.append(ToolCallDelta(growing.number, arguments=told.delta))

    # -- ends -----------------------------------------------------------------------------

    def _close(self, index: int, item: Item, events: list[Event]) -> None:
        """An item is whole: what was not told of it in pieces is told now."""
        kept = kept_of(item)
        if kept is not None:
            self._kept[index] = kept
        if item.type == "function_call":
            growing = self._call(index, item, events)
            if not growing.filled:
                growing.filled = True
                events.append(ToolCallDelta(growing.number, arguments=item.arguments or "{}"))
        elif item.type == "message":
            self._close_message(index, item, events)
        elif item.type == "search_results" or item.type == "fetch_url_results":
            self._waiting += item.results or item.contents or ()

    def _close_message(self, index: int, item: Item, events: list[Event]) -> None:
        for number, part in enumerate(item.content or ()):
            place = (index, number)
            if place not in self._parts:
                self._parts[place] = self._length
                if text := part.text or part.refusal or "":
                    self._length += len(text)
                    events.append(TextDelta(text))
        self._cite(index, item, events)

    def _cite(self, index: int, item: Item, events: list[Event]) -> None:
        """Sources that were not named beside the text."""
        for number, part in enumerate(item.content or ()):
            for one in part.annotations or ():
                citation = annotated(one, self._parts.get((index, number), 0))
                if citation is not None and citation.url not in self._told:
                    self._told.add(citation.url)
                    events.append(citation)

    def _catch_up(self, output: list[Item], events: list[Event]) -> None:
        """What is only told at the end. Numbers of items are not relied on: some leave out here what they streamed."""
        spoken, called = self._length > 0, bool(self._calls)
        for index, item in enumerate(output):
            if item.type == "function_call":
                if not called:
                    self._close(index, item, events)
            elif item.type != "message" or not spoken:
                self._close(index, item, events)
            else:
                self._cite(index, item, events)

    def _finish(self, response: Response, events: list[Event]) -> None:
        if not self._started:
            self._started = True
            events.append(Start(response.id, response.model or self._target.model))
        if response.error is not None:
            raise reported(response.error, self._target)
        self._catch_up(response.output, events)
        reason, native = finish_of(response, called=bool(self._calls), target=self._target)
        events += cited(self._waiting, self._told)
        if state := state_of(kept for _, kept in sorted(self._kept.items())):
            events.append(State(self._target.kind.slug, state))
        events.append(Finish(reason, native))
        usage = usage_of(response.usage, self._target)
        if usage is not None:
            events.append(UsageReport(usage))
        self._end(events)
