"""A streamed answer in the Responses format: each item is announced, filled, and given whole at its end."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from providers.chat import (
    Citation,
    Ended,
    Event,
    Finish,
    FinishReason,
    KeepAlive,
    ReasoningDelta,
    State,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from routing.wires.openai import KEEP_ALIVE
from routing.wires.responses import annotation, called, reasoning, response_object, said, written_part


@dataclass(slots=True)
class _Item:
    """One that is being written."""

    id: str
    at: int
    kind: str
    call_id: str = ""
    name: str = ""
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.texts)


@dataclass(slots=True)
class ResponseStream:
    """One answer on its way out. `counted` is our own count, for when the provider gives none."""

    request_id: str
    model: str
    created: int = 0
    counted: Usage | None = None
    usage: Usage | None = None
    _number: int = 0  # of events
    _begun: bool = False
    _output: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    _open: _Item | None = None  # thoughts, or text
    _calls: dict[int, _Item] = field(default_factory=dict)
    _items: int = 0
    _citations: list[Any] = field(default_factory=list)
    _state: State | None = None
    _finish: FinishReason | None = None

    def encode(self, events: Iterable[Event]) -> bytes:
        return b"".join(piece for event in events for piece in self._written(event))

    def _written(self, event: Event) -> Iterator[bytes]:
        if isinstance(event, KeepAlive):
            yield KEEP_ALIVE
            return
        if not self._begun:
            self._begun = True
            begun = response_object(self.request_id, self.model, self.created, [], None, None)
            yield self._event("response.created", response=begun)
            yield self._event("response.in_progress", response=begun)
        match event:
            case TextDelta(text=text) if text:
                item = yield from self._into("message")
                item.texts.append(text)
                yield self._within("response.output_text.delta", item, content_index=0, delta=text, logprobs=[])
            case ReasoningDelta(text=text) if text:
                item = yield from self._into("reasoning")
                item.texts.append(text)
                yield self._within("response.reasoning_summary_text.delta", item, summary_index=0, delta=text)
            case ToolCallDelta():
                yield from self._call(event)
            case Citation():
                self._citations.append(annotation(event))
            case State():
                self._state = event
            case UsageReport(usage=usage):
                self.usage = usage
            case Finish(reason=reason):
                self._finish = reason
            case Ended():
                yield from self._end()

    # -- items ---------------------------------------------------------------------

    def _begin(self, kind: str, prefix: str) -> _Item:
        item = _Item(f"{prefix}_{self.request_id}_{self._items}", self._items, kind)
        self._items += 1
        return item

    def _into(self, kind: str) -> Generator[bytes, None, _Item]:
        if self._open is not None and self._open.kind == kind:
            return self._open
        yield from self._close()
        item = self._open = self._begin(kind, "msg" if kind == "message" else "rs")
        if kind == "message":
            yield self._event(
                "response.output_item.added", output_index=item.at, item=said(item.id, "", [], "in_progress")
            )
            yield self._within("response.content_part.added", item, content_index=0, part=written_part("", []))
        else:
            yield self._event("response.output_item.added", output_index=item.at, item=reasoning(item.id, "", None))
            part = {"type": "summary_text", "text": ""}
            yield self._within("response.reasoning_summary_part.added", item, summary_index=0, part=part)
        return item

    def _call(self, event: ToolCallDelta) -> Iterator[bytes]:
        item = self._calls.get(event.index)
        if item is None:
            yield from self._close()
            item = self._calls[event.index] = self._begin("call", "fc")
            item.call_id, item.name = event.id or f"call_{event.index}", event.name
            began = called(item.id, item.call_id, item.name, "", "in_progress")
            yield self._event("response.output_item.added", output_index=item.at, item=began)
        if event.arguments:
            item.texts.append(event.arguments)
            yield self._within("response.function_call_arguments.delta", item, delta=event.arguments)

    def _close(self) -> Iterator[bytes]:
        item, self._open = self._open, None
        if item is None:
            return
        if item.kind == "message":
            part = written_part(item.text, self._citations)
            yield self._within("response.output_text.done", item, content_index=0, text=item.text, logprobs=[])
            yield self._within("response.content_part.done", item, content_index=0, part=part)
            yield from self._done(item, said(item.id, item.text, self._citations))
            self._citations = []
        else:
            text = {"type": "summary_text", "text": item.text}
            yield self._within("response.reasoning_summary_text.done", item, summary_index=0, text=item.text)
            yield self._within("response.reasoning_summary_part.done", item, summary_index=0, part=text)
            yield from self._done(item, reasoning(item.id, item.text, None))

    def _done(self, item: _Item, whole: dict[str, Any]) -> Iterator[bytes]:
        self._output.append((item.at, whole))
        yield self._event("response.output_item.done", output_index=item.at, item=whole)

    def _end(self) -> Iterator[bytes]:
        yield from self._close()
        for item in self._calls.values():
            yield self._within("response.function_call_arguments.done", item, name=item.name, arguments=item.text)
            yield from self._done(item, called(item.id, item.call_id, item.name, item.text))
        if self._state is not None:
            sealed = self._begin("reasoning", "rs")
            whole = reasoning(sealed.id, "", self._state)
            yield self._event("response.output_item.added", output_index=sealed.at, item=whole)
            yield from self._done(sealed, whole)
        output = [whole for _, whole in sorted(self._output, key=lambda done: done[0])]
        usage = self.usage or self.counted or Usage()
        response = response_object(self.request_id, self.model, self.created, output, self._finish, usage)
        yield self._event(f"response.{response['status']}", response=response)

    # -- events --------------------------------------------------------------------

    def _within(self, kind: str, item: _Item, **more: Any) -> bytes:
        return self._event(kind, item_id=item.id, output_index=item.at, **more)

    def _event(self, kind: str, **more: Any) -> bytes:
        event = {"type": kind, "sequence_number": self._number, **more}
        self._number += 1
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps(event))


def error_event(error: bytes) -> bytes:
    """In a stream the fields of an error stand at the top; as an object too, for that is what clients raise by."""
    inner = orjson.loads(error)["error"]
    event = {**inner, "type": "error", "sequence_number": 0, "error": inner}
    return b"event: error\ndata: %s\n\n" % orjson.dumps(event)
