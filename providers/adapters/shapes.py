"""What a chunk or an answer of the OpenAI wire looks like, as far as we look: fixed shapes, and a lenient reading.

Decoding into a fixed shape costs a microsecond. What does not fit is read leniently, since odd types in fields we
hardly use are no reason to break an answer.
"""

from __future__ import annotations

from typing import Any

import msgspec

from providers.chat import FinishReason, ToolCallDelta, Usage
from providers.wiring import Target

NOTHING = msgspec.Raw()
_NULL = b"null"


class Function(msgspec.Struct):
    name: str | None = None
    arguments: Any = None  # text, but some send the object itself


class Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Message(msgspec.Struct):
    """A message, or the part of one that a chunk adds."""

    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None


class ChunkChoice(msgspec.Struct):
    delta: Message | None = None
    message: Message | None = None
    finish_reason: str | None = None
    error: msgspec.Raw = NOTHING


class Chunk(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    choices: list[ChunkChoice] | None = None
    usage: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING
    x_groq: msgspec.Raw = NOTHING  # where one vendor says why a stream ended early


CHUNK = msgspec.json.Decoder(Chunk)

_FINISHES: dict[str, FinishReason] = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "sensitive": FinishReason.CONTENT_FILTER,
    "error": FinishReason.ERROR,
    "network_error": FinishReason.ERROR,
    "insufficient_system_resource": FinishReason.ERROR,
}


def finish_reason(native: str, called: bool) -> FinishReason | None:
    """Some say `stop` although they called a tool, and some say nothing then."""
    if not native:
        return FinishReason.TOOL_CALLS if called else None
    reason = _FINISHES.get(native, FinishReason.STOP)
    return FinishReason.TOOL_CALLS if called and reason is FinishReason.STOP else reason


def call_delta(call: Call, at: int, frame: bytes = b"") -> ToolCallDelta:
    function = call.function or Function()
    arguments = function.arguments
    if arguments is None:
        arguments = ""
    elif not isinstance(arguments, str):
        arguments = msgspec.json.encode(arguments).decode()
    return ToolCallDelta(at if call.index is None else call.index, call.id or "", function.name or "", arguments, frame)


def read_parts(parts: list[Any]) -> tuple[str, str]:
    """Content as a list: texts, and thoughts which are themselves a list of texts."""
    texts, thoughts = [], []
    for part in parts:
        if not isinstance(part, dict):
            continue
        if isinstance(part.get("text"), str):
            texts.append(part["text"])
        inner = part.get("thinking")
        if isinstance(inner, list):
            thoughts.append(read_parts(inner)[0])
        elif isinstance(inner, str):
            thoughts.append(inner)
    return "".join(texts), "".join(thoughts)


def present(raw: msgspec.Raw) -> bytes:
    data = bytes(raw)
    return b"" if data == _NULL else data


def error_beside(raw: msgspec.Raw) -> Any:
    """An error that stands in a vendor's own field; None when there is none in it."""
    data = bytes(raw)
    if b'"error"' not in data:
        return None
    value = msgspec.json.decode(data)
    return value.get("error") if isinstance(value, dict) else None


# -- leniently ----------------------------------------------------------------------


def read_leniently(data: bytes) -> Chunk:
    """The same shape from JSON whose types are not all as expected: what does not fit is left out."""
    value = msgspec.json.decode(data)
    if not isinstance(value, dict):
        return Chunk()
    choices = value.get("choices")
    return Chunk(
        id=_text(value.get("id")),
        model=_text(value.get("model")),
        choices=[_lenient_choice(one) for one in choices if isinstance(one, dict)]
        if isinstance(choices, list)
        else None,
        usage=_raw(value.get("usage")),
        error=_raw(value.get("error")),
        x_groq=_raw(value.get("x_groq")),
    )


def _lenient_choice(value: dict[str, Any]) -> ChunkChoice:
    return ChunkChoice(
        delta=_lenient_message(value.get("delta")),
        message=_lenient_message(value.get("message")),
        finish_reason=_text(value.get("finish_reason")),
        error=_raw(value.get("error")),
    )


def _lenient_message(value: Any) -> Message | None:
    if not isinstance(value, dict):
        return None
    content = value.get("content")
    calls = value.get("tool_calls")
    return Message(
        content=content if isinstance(content, str | list) else None,
        reasoning_content=_text(value.get("reasoning_content")),
        reasoning=_text(value.get("reasoning")),
        refusal=_text(value.get("refusal")),
        tool_calls=[_lenient_call(one) for one in calls if isinstance(one, dict)] if isinstance(calls, list) else None,
    )


def _lenient_call(value: dict[str, Any]) -> Call:
    function = value.get("function")
    index = value.get("index")
    return Call(
        index=index if isinstance(index, int) else None,
        id=_text(value.get("id")),
        function=Function(_text(function.get("name")), function.get("arguments"))
        if isinstance(function, dict)
        else None,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _raw(value: Any) -> msgspec.Raw:
    return NOTHING if value is None else msgspec.Raw(msgspec.json.encode(value))


# -- usage --------------------------------------------------------------------------


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    cached_tokens: int | None = None
    prompt_cache_hit_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: Any = None  # in US dollars
    cost_details: Any = None
    is_byok: Any = None
    cost_in_usd_ticks: Any = None


_usage = msgspec.json.Decoder(_Usage, strict=False)


def read_usage(raw: msgspec.Raw, target: Target) -> Usage | None:
    """Disjoint buckets, none below zero; None when it says nothing that could be one."""
    try:
        said = _usage.decode(raw)
    except msgspec.DecodeError:
        return None
    if said.prompt_tokens is None and said.completion_tokens is None:
        return None
    prompt, completion = said.prompt_tokens or 0, said.completion_tokens or 0
    details = said.prompt_tokens_details or _PromptDetails()
    spent = said.completion_tokens_details or _CompletionDetails()
    cached = details.cached_tokens or said.cached_tokens or said.prompt_cache_hit_tokens or 0
    written = details.cache_write_tokens or 0
    reasoning, audio = spent.reasoning_tokens or said.reasoning_tokens or 0, spent.audio_tokens or 0
    if min(prompt, completion, cached, written, reasoning, audio) < 0:
        return None
    cached = min(cached, prompt)
    written = min(written, prompt - cached)
    audio = min(audio, completion)
    if target.kind.reasoning_in_output:
        reasoning = min(reasoning, completion - audio)
        completion -= reasoning
    uncached = prompt - cached - written
    spoken = min(max(details.audio_tokens or 0, 0), uncached)
    cost = _reported(said) if target.kind.sees_cost else None
    if cost is None and not spoken:
        return Usage(uncached, cached, written, completion - audio, reasoning, audio)
    return Usage(
        uncached, cached, written, completion - audio, reasoning, audio, audio_input=spoken, reported_nano=cost
    )


_TICKS = 10  # a billionth of a dollar has so many


def _reported(said: _Usage) -> int | None:
    """What the answer says it cost, in billionths of a dollar. Who brings a key of their own pays two bills."""
    ticks = said.cost_in_usd_ticks
    if isinstance(ticks, int) and not isinstance(ticks, bool):
        return round(ticks / _TICKS) if ticks >= 0 else None
    cost = _dollars(said.cost)
    if cost is None:
        return None
    if said.is_byok is True and isinstance(said.cost_details, dict):
        cost += _dollars(said.cost_details.get("upstream_inference_cost")) or 0.0
    return round(cost * 10**9)


def _dollars(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and 0 <= value < 10**6 else None
