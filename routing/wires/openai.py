"""The OpenAI format as our clients speak it: bytes to a request, events to bytes, refusals to error objects.

Nothing here knows a vendor or the network. Requests keep every value below the top level as the bytes that came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import orjson

from providers.chat import (
    ChatAnswer,
    ChatRequest,
    Citation,
    Ended,
    Event,
    Failed,
    Fields,
    Finish,
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

# Every top-level field of a chat completion that some vendor documents; anything else is a mistake worth telling.
KNOWN_FIELDS = frozenset(
    """
    model messages stream stream_options max_tokens max_completion_tokens temperature top_p n stop seed
    presence_penalty frequency_penalty logit_bias logprobs top_logprobs tools tool_choice parallel_tool_calls functions
    function_call response_format reasoning_effort verbosity metadata store user safety_identifier service_tier
    prompt_cache_key prompt_cache_options prompt_cache_retention modalities audio prediction web_search_options
    moderation
    """.split()
)

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"

STATE = "relayhouse_state"  # a field of a message: see providers/adapters/asked.py, which reads it

_top_level = msgspec.json.Decoder(Fields)


class Malformed(Exception):
    """The request is not one: what is wrong, where, and under which code."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class _Message(msgspec.Struct):
    role: str
    content: msgspec.Raw = msgspec.Raw(b"null")


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


_model = msgspec.json.Decoder(str)
_flag = msgspec.json.Decoder(bool | None)
_messages = msgspec.json.Decoder(list[_Message])
_stream_options = msgspec.json.Decoder(_StreamOptions | None)
_number = msgspec.json.Decoder(float | None)
_tokens = msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=1, le=2**31)] | None)
_choices = msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=1, le=128)] | None)

# Checked before anything is sent, so that a slip gets its name and not a vendor's wording.
_TYPED: tuple[tuple[str, msgspec.json.Decoder[Any]], ...] = (
    ("max_tokens", _tokens),
    ("max_completion_tokens", _tokens),
    ("temperature", _number),
    ("top_p", _number),
    ("n", _choices),
)


_AS_OURS: Mapping[str, str] = {}


class ParsedChat(msgspec.Struct, frozen=True):
    request: ChatRequest
    model: str
    extras: tuple[str, ...]  # fields nobody documents; only some kinds of provider take them


def parse_chat(body: bytes) -> ParsedChat:
    return read_chat(parse_object(body))


def read_chat(fields: Fields) -> ParsedChat:
    model = _parse_field(fields, "model", _model, default='""')
    if "messages" not in fields:
        raise Malformed("'messages' is required.", param="messages", code="missing_required_parameter")
    if not _parse_field(fields, "messages", _messages):
        raise Malformed("'messages' needs at least one message.", param="messages", code="empty_array")
    check_typed(fields)
    options = _parse_field(fields, "stream_options", _stream_options) if "stream_options" in fields else None
    request = ChatRequest(
        fields=fields,
        stream=bool(_parse_field(fields, "stream", _flag)) if "stream" in fields else False,
        wants_usage=options is not None and options.include_usage,
    )
    extras = () if fields.keys() <= KNOWN_FIELDS else tuple(sorted(fields.keys() - KNOWN_FIELDS))
    return ParsedChat(request, model, extras)


def check_typed(fields: Fields, called: Mapping[str, str] = _AS_OURS) -> None:
    """Numbers where numbers belong. `called` has the client's own names of fields that another format renames."""
    for name, decoder in _TYPED:
        if name in fields:
            _parse_field({called.get(name, name): fields[name]}, called.get(name, name), decoder)


def parse_object(body: bytes) -> Fields:
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"The body is not UTF-8: byte {error.start}.", code="invalid_json") from None
    try:
        return _top_level.decode(body)
    except msgspec.ValidationError:
        raise Malformed("The body must be a JSON object.", code="invalid_json") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise Malformed(f"The body is not valid JSON: {_where(error, body)}.", code="invalid_json") from None


def _where(error: Exception, body: bytes) -> str:
    """msgspec names the byte of a wrong character; a body that just ends has its length for a position."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    words = str(error)
    if "truncated" in words:
        return f"it ends too soon (byte {len(body)})"
    return words.removeprefix("JSON is malformed: ")


def _parse_field(fields: Fields, name: str, decoder: msgspec.json.Decoder[Any], default: str = "") -> Any:
    raw = fields.get(name)
    try:
        return decoder.decode(default if raw is None else raw)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        param = name + path.rstrip("`")
        raise Malformed(f"'{param}': {what[0].lower()}{what[1:]}.", param=param, code="invalid_type") from None
    except (msgspec.DecodeError, RecursionError):
        raise Malformed(f"'{name}' is not valid JSON.", param=name, code="invalid_json") from None


# -- answers ------------------------------------------------------------------


def encode_events(events: Iterable[Event], stream: StreamState) -> bytes:
    """Server-sent events for one batch. A frame that came on this wire passes as it is, the rest is written anew."""
    pieces: list[bytes] = []
    for event in events:
        kind = type(event)
        if kind is UsageReport:
            stream.usage = event.usage  # type: ignore[union-attr]
            if not stream.wants_usage:
                continue
        elif kind is Ended and stream.wants_usage and stream.usage is None and stream.counted is not None:
            pieces.append(_usage_chunk(stream.counted, stream))  # the provider did not say: our own count, then
        frame = event.frame
        if frame:
            pieces.append(frame)
        elif not stream.passes_frames:
            written = _written(event, stream)
            if written:
                pieces.append(written)
    return b"".join(pieces)


@dataclass(slots=True)
class StreamState:
    """What the chunks of one answer have in common."""

    request_id: str
    model: str
    created: int
    wants_usage: bool
    passes_frames: bool  # the provider speaks this wire: an event without a frame belongs to one already sent
    usage: Usage | None = None  # as the provider reported it
    counted: Usage | None = None  # as it was settled

    def encode(self, events: Iterable[Event]) -> bytes:
        return encode_events(events, self)


def _written(event: Event, stream: StreamState) -> bytes:
    match event:
        case Start():
            return _chunk(stream, {"role": "assistant", "content": ""})
        case TextDelta(text=text):
            return _chunk(stream, {"content": text})
        case ReasoningDelta(text=text):
            return _chunk(stream, {"reasoning_content": text})
        case ToolCallDelta():
            return _chunk(stream, {"tool_calls": [_tool_call(event)]})
        case State(vendor=vendor, data=data):
            return _chunk(stream, {STATE: {"vendor": vendor, "data": data}})
        case Citation():
            return _chunk(stream, {"annotations": [_annotation(event)]})
        case Finish(reason=reason):
            return _chunk(stream, {}, finish=reason.value)
        case UsageReport(usage=usage):
            return _usage_chunk(usage, stream)
        case KeepAlive():
            return KEEP_ALIVE
        case Ended():
            return DONE
        case Thought():
            return b""  # they go back together, as a state
        case Failed():
            return b""  # the gateway raises its error, the edge writes it


def _head(stream: StreamState) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{stream.request_id}",
        "object": "chat.completion.chunk",
        "created": stream.created,
        "model": stream.model,
    }


def _usage_chunk(usage: Usage, stream: StreamState) -> bytes:
    return _frame({**_head(stream), "choices": [], "usage": usage_object(usage)})


def _chunk(stream: StreamState, delta: dict[str, Any], finish: str | None = None) -> bytes:
    return _frame({**_head(stream), "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def _frame(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def _tool_call(delta: ToolCallDelta) -> dict[str, Any]:
    call: dict[str, Any] = {"index": delta.index, "function": {"arguments": delta.arguments}}
    if delta.id:
        call |= {"id": delta.id, "type": "function"}
    if delta.name:
        call["function"]["name"] = delta.name
    return call


def _annotation(source: Citation) -> dict[str, Any]:
    cited: dict[str, Any] = {"url": source.url, "title": source.title}
    if source.start is not None and source.end is not None:
        cited |= {"start_index": source.start, "end_index": source.end}
    return {"type": "url_citation", "url_citation": cited}


def usage_object(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def encode_answer(answer: ChatAnswer, request_id: str, created: int) -> bytes:
    """A whole answer: the provider's own bytes where it speaks this wire."""
    if answer.body:
        return answer.body
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in answer.tool_calls
        ]
    if answer.citations:
        message["annotations"] = [_annotation(source) for source in answer.citations]
    if answer.state is not None:
        message[STATE] = {"vendor": answer.state.vendor, "data": answer.state.data}
    choice = {"index": 0, "message": message, "finish_reason": answer.finish.value if answer.finish else None}
    return orjson.dumps(
        {
            "id": f"chatcmpl-{request_id}",
            "object": "chat.completion",
            "created": created,
            "model": answer.model,
            "choices": [choice],
            "usage": usage_object(answer.usage) if answer.usage else None,
        }
    )


# -- refusals -----------------------------------------------------------------

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def error_object(
    status: int, code: str, message: str, *, request_id: str, param: str | None = None, retryable: bool = False
) -> bytes:
    kind = _TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")
    return orjson.dumps(
        {
            "error": {
                "message": message,
                "type": kind,
                "param": param,
                "code": code,
                "retryable": retryable,
                "request_id": request_id,
            }
        }
    )


def error_event(error: bytes) -> bytes:
    return b"data: " + error + b"\n\n"


def models_object(rows: Sequence[dict[str, Any]]) -> bytes:
    return orjson.dumps({"object": "list", "data": rows})
