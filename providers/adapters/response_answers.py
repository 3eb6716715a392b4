"""What OpenAI's Responses answers, whole: items to our own values. The stream is in response_events.py."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from providers.adapters import refusals
from providers.adapters.response_items import Kept, state_of
from providers.chat import (
    ChatAnswer,
    Citation,
    FinishReason,
    State,
    ToolCallDelta,
    Usage,
)
from providers.errors import ProviderError
from providers.wiring import Target

_INCOMPLETE = {"max_output_tokens": FinishReason.LENGTH, "content_filter": FinishReason.CONTENT_FILTER}
# The status that an error inside an answer would have outside of one; of the others it is the request that is wrong.
_STATUSES = {"server_error": 500, "rate_limit_exceeded": 429, "vector_store_timeout": 504}
_OF_THE_REQUEST = (
    "invalid_",
    "image_",
    "empty_image",
    "failed_to_download",
    "unsupported_",
    "bio_policy",
    "misalignment_",
)


class Annotation(msgspec.Struct):
    type: str = ""
    url: str | None = None
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None
    annotations: list[Annotation] | None = None


class Source(msgspec.Struct):
    url: str | None = None
    title: str | None = None


class Item(msgspec.Struct):
    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    thought_signature: str | None = None
    content: list[_Part] | None = None
    summary: list[_Part] | None = None
    encrypted_content: str | None = None
    results: list[Source] | None = None
    contents: list[Source] | None = None


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Cost(msgspec.Struct):
    currency: str = "USD"
    total_cost: float | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None
    cost: _Cost | None = None


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class Response(msgspec.Struct):
    id: str = ""
    object: str = ""
    model: str = ""
    status: str | None = None
    output: list[Item] = []
    usage: _Usage | None = None
    error: Any = None
    incomplete_details: _Incomplete | None = None


_response = msgspec.json.Decoder(Response)


def read_body(body: bytes, target: Target) -> ChatAnswer:
    try:
        told = _response.decode(body)
    except refusals.UNREADABLE:
        raise refusals.unreadable(target, "sent something that is no answer.") from None
    if told.error is not None:
        raise reported(told.error, target)
    if told.object != "response" or told.status in ("queued", "in_progress"):
        raise refusals.unreadable(target, "sent something that is no whole answer.")
    read = _content(told, target)
    read.finish, _ = finish_of(told, called=bool(read.tool_calls), target=target)
    read.usage = usage_of(told.usage, target)
    return read


def _content(told: Response, target: Target) -> ChatAnswer:
    read = ChatAnswer(told.id, told.model or target.model)
    kept: list[Kept] = []
    sources: list[Source] = []
    for item in told.output:
        if (one := kept_of(item)) is not None:
            kept.append(one)
        match item.type:
            case "message":
                _add_message(item, read)
            case "reasoning":
                read.reasoning += "\n\n".join(_thoughts(item))
            case "function_call":
                call_id = item.call_id or item.id or ""
                call = ToolCallDelta(len(read.tool_calls), call_id, item.name or "", item.arguments or "{}")
                read.tool_calls.append(call)
            case "search_results" | "fetch_url_results":
                sources += item.results or item.contents or ()
    read.citations += cited(sources, {citation.url for citation in read.citations})
    if state := state_of(kept):
        read.state = State(target.kind.slug, state)
    return read


def _add_message(item: Item, read: ChatAnswer) -> None:
    for part in item.content or ():
        start = len(read.text)
        read.text += part.text or part.refusal or ""
        read.citations += [found for one in part.annotations or () if (found := annotated(one, start)) is not None]


def _thoughts(item: Item) -> list[str]:
    return [part.text for part in (item.summary or item.content or ()) if part.text]


def kept_of(item: Item) -> Kept | None:
    match item.type:
        case "reasoning":
            return Kept("reasoning", _sealed(item)) if item.encrypted_content else None
        case "message":
            return Kept("message")
        case "function_call":
            call_id = item.call_id or item.id or ""
            return Kept("function_call", call_id=call_id, thought_signature=item.thought_signature or "")
    return None


def _sealed(item: Item) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": part.text} for part in item.summary or () if part.text]
    sealed = {"type": "reasoning", "summary": summary, "encrypted_content": item.encrypted_content}
    return {"id": item.id, **sealed} if item.id else sealed


def annotated(one: Annotation, start: int) -> Citation | None:
    """`start` is where in the whole text the part begins that it speaks of."""
    if one.type not in ("", "url_citation", "citation") or not one.url:
        return None
    if one.start_index is None or one.end_index is None:
        return Citation(one.url, one.title or "")
    return Citation(one.url, one.title or "", start + one.start_index, start + one.end_index)


def cited(sources: Iterable[Source], told: set[str]) -> list[Citation]:
    """What was found, as far as it was not cited before. Adds it to `told`."""
    citations = []
    for one in sources:
        if one.url and one.url not in told:
            told.add(one.url)
            citations.append(Citation(one.url, one.title or ""))
    return citations


def finish_of(told: Response, *, called: bool, target: Target) -> tuple[FinishReason, str]:
    """Raises the error that an answer which failed is."""
    status = told.status or "completed"
    if status in ("failed", "cancelled"):
        raise reported({"message": f"The answer was {status}.", "type": "server_error"}, target)
    if status == "incomplete":
        reason = (told.incomplete_details.reason if told.incomplete_details else None) or ""
        return _INCOMPLETE.get(reason, FinishReason.STOP), reason or status
    return (FinishReason.TOOL_CALLS if called else FinishReason.STOP), status


def usage_of(told: _Usage | None, target: Target) -> Usage | None:
    if told is None or told.input_tokens is None or told.output_tokens is None:
        return None
    into, spent = told.input_tokens_details or _InputDetails(), told.output_tokens_details or _OutputDetails()
    cached = into.cached_tokens or into.cache_read_input_tokens or 0
    written = into.cache_write_tokens or into.cache_creation_input_tokens or 0
    prompt, output, thought = told.input_tokens, told.output_tokens, spent.reasoning_tokens or 0
    if min(prompt, output, cached, written, thought) < 0:
        return None
    if told.total_tokens == prompt + cached + written + output:
        prompt += cached + written  # its input leaves out what was cached
    cached = min(cached, prompt)
    written = min(written, prompt - cached)
    thought = min(thought, output)
    return Usage(
        prompt - cached - written, cached, written, output - thought, thought, reported_nano=_cost(told.cost, target)
    )


def _cost(told: _Cost | None, target: Target) -> int | None:
    """In billionths of a dollar, where this kind says it."""
    if not target.kind.sees_cost or told is None or told.total_cost is None or told.currency != "USD":
        return None
    return round(told.total_cost * 10**9) if 0 <= told.total_cost < 10**6 else None


def reported(error: Any, target: Target) -> ProviderError:
    """The error that stands where an answer belongs: it has lost the status that goes with its code."""
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, str):
        status = _STATUSES.get(code) or (400 if code.startswith(_OF_THE_REQUEST) else None)
        error = error | {"type": code, "code": status} if status else error
    return refusals.reported(error, target)
