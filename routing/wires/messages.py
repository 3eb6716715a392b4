"""The Anthropic Messages format as our clients speak it: a request read into our own words, events written into theirs.

Whatever vendor answers, a client of this format gets blocks in order: thinking, text, tool use. What the format offers
and no request of ours can say (server tools, containers) is refused by name, never dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson

from providers.chat import (
    ChatAnswer,
    ChatRequest,
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
    Thought,
    ToolCallDelta,
    Usage,
    UsageReport,
    Wire,
)
from routing.wires.openai import STATE, Malformed, ParsedChat, check_typed, parse_object

VENDOR = "anthropic"  # whose thinking blocks a client may send back
KEEP_ALIVE = b'event: ping\ndata: {"type":"ping"}\n\n'

_TAKEN = frozenset(
    """
    model messages max_tokens system stream temperature top_p stop_sequences tools tool_choice thinking output_config
    metadata service_tier
    """.split()
)
_STOP_REASONS = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
    FinishReason.PAUSE: "pause_turn",
    FinishReason.ERROR: "end_turn",
}
_UNSIGNED = {"type": "thinking", "thinking": "", "signature": ""}
# Tokens of thinking that were asked for, and the effort that comes near.
_EFFORTS = ((4096, "low"), (16384, "medium"))


# -- requests -----------------------------------------------------------------------


def parse_chat(body: bytes, *, counting: bool = False) -> ParsedChat:
    """`counting`: it will not be sent, so nobody says how long the answer may be."""
    given = {name: _decoded(raw, name) for name, raw in parse_object(body).items()}
    model = _of(given, "model", str, "")
    if not isinstance(given.get("messages"), list) or not given["messages"]:
        raise Malformed("'messages' needs at least one message.", param="messages")
    longest = given.get("max_tokens", 1 if counting else None)
    if not isinstance(longest, int) or isinstance(longest, bool) or longest < 1:
        raise Malformed("'max_tokens' must be a whole number of at least 1.", param="max_tokens")
    fields: dict[str, Any] = {"model": model, "messages": list(_messages(given)), "max_tokens": longest}
    for name, ours in (("temperature", "temperature"), ("top_p", "top_p"), ("stop_sequences", "stop")):
        if given.get(name) is not None:
            fields[ours] = given[name]
    _read_tools(given, fields)
    _read_thinking(given, fields)
    user = _of(given, "metadata", dict, {}).get("user_id")
    if user:
        fields["user"] = user
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}
    extras = sorted(name for name, value in given.items() if name not in _TAKEN and value is not None)
    raw |= {name: msgspec.Raw(msgspec.json.encode(given[name])) for name in extras}
    check_typed(raw)
    stream = _of(given, "stream", bool, False)
    return ParsedChat(ChatRequest(raw, stream, wants_usage=True, wire=Wire.ANTHROPIC), model, tuple(extras))


def _decoded(raw: msgspec.Raw, name: str) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        raise Malformed(f"'{name}' is not valid JSON.", param=name, code="invalid_json") from None


def _of(given: dict[str, Any], name: str, kind: type, default: Any) -> Any:
    value = given.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise Malformed(f"'{name}' is of the wrong type.", param=name, code="invalid_type")
    return value


def _messages(given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    system = given.get("system")
    if system:
        yield {"role": "system", "content": _contents(system, "system")}
    for number, message in enumerate(given["messages"]):
        where = f"messages[{number}]"
        role = message.get("role") if isinstance(message, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
            raise Malformed(f"'{where}.content' must be text or a list of blocks.", param=f"{where}.content")
        match role:
            case "user":
                yield from _of_user(blocks, where)
            case "assistant":
                yield _of_assistant(blocks, where)
            case "system":
                yield {"role": "system", "content": _contents(content, where)}
            case _:
                raise Malformed(f"'{where}.role' must be user or assistant.", param=f"{where}.role")


def _of_user(blocks: list[dict[str, Any]], where: str) -> Iterator[dict[str, Any]]:
    """Results of tools are messages of their own; pictures in them follow as the user's."""
    parts: list[dict[str, Any]] = []
    for number, block in enumerate(blocks):
        if block.get("type") != "tool_result":
            parts.append(_part(block, f"{where}.content[{number}]"))
            continue
        inner = block.get("content") or ""
        told = [{"type": "text", "text": inner}] if isinstance(inner, str) else inner
        if not isinstance(told, list):
            param = f"{where}.content[{number}].content"
            raise Malformed(f"'{param}' must be text or a list of blocks.", param=param)
        each = [_part(one, f"{where}.content[{number}]") for one in told]
        text = "".join(one.get("text", "") for one in each)
        yield {"role": "tool", "tool_call_id": str(block.get("tool_use_id", "")), "content": text}
        parts += [one for one in each if one["type"] != "text"]
    if parts:
        yield {"role": "user", "content": _plain(parts)}


def _of_assistant(blocks: list[dict[str, Any]], where: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None}
    texts, calls, thoughts = [], [], []
    for number, block in enumerate(blocks):
        match block.get("type"):
            case "text":
                texts.append(str(block.get("text", "")))
            case "tool_use":
                arguments = msgspec.json.encode(block.get("input") or {}).decode()
                function = {"name": str(block.get("name", "")), "arguments": arguments}
                calls.append({"id": str(block.get("id", "")), "type": "function", "function": function})
            case "thinking" | "redacted_thinking":
                thoughts.append(block)
            case kind:
                raise _unknown_block(kind, f"{where}.content[{number}]")
    if texts:
        message["content"] = "".join(texts)
    if calls:
        message["tool_calls"] = calls
    signed = [block for block in thoughts if block.get("signature") or block.get("data")]
    if signed:
        message[STATE] = {"vendor": VENDOR, "data": msgspec.json.encode(signed).decode()}
    # Thinking that nobody signed came from another vendor: some of them want it back with the calls it led to.
    thought = "".join(str(block.get("thinking") or "") for block in thoughts if block not in signed)
    if thought:
        message["reasoning_content"] = thought
    return message


def _contents(content: Any, where: str) -> Any:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Malformed(f"'{where}' must be text or a list of text blocks.", param=where)
    return _plain([_part(block, f"{where}[{number}]") for number, block in enumerate(content)])


def _plain(parts: list[dict[str, Any]]) -> Any:
    """One text is written as text: some models take nothing else."""
    only = parts[0] if len(parts) == 1 else {}
    return only["text"] if only.keys() == {"type", "text"} else parts


def _part(block: Any, where: str) -> dict[str, Any]:
    source = block.get("source") if isinstance(block, dict) else None
    match block:
        case {"type": "text", "text": str(text)}:
            marked = {"cache_control": block["cache_control"]} if block.get("cache_control") else {}
            return {"type": "text", "text": text, **marked}
        case {"type": "image"} if isinstance(source, dict):
            url = source.get("url") if source.get("type") == "url" else _data_url(source, "image/png")
            return {"type": "image_url", "image_url": {"url": url}}
        case {"type": "document"} if isinstance(source, dict) and source.get("type") == "base64":
            data = _data_url(source, "application/pdf")
            return {"type": "file", "file": {"file_data": data, "filename": block.get("title") or "document.pdf"}}
        case {"type": "document"} if isinstance(source, dict) and source.get("type") == "text":
            return {"type": "text", "text": str(source.get("data", ""))}
    raise _unknown_block(block.get("type") if isinstance(block, dict) else None, where)


def _data_url(source: dict[str, Any], usual: str) -> str:
    return f"data:{source.get('media_type') or usual};base64,{source.get('data', '')}"


def _unknown_block(kind: Any, where: str) -> Malformed:
    return Malformed(f"'{where}': blocks of type '{str(kind)[:60]}' are not known here.", param=where)


def _read_tools(given: dict[str, Any], fields: dict[str, Any]) -> None:
    tools = _of(given, "tools", list, [])
    if tools:
        fields["tools"] = [_tool(tool, f"tools[{number}]") for number, tool in enumerate(tools)]
    choice = _of(given, "tool_choice", dict, {})
    if choice.get("disable_parallel_tool_use") is not None:
        fields["parallel_tool_calls"] = not choice["disable_parallel_tool_use"]
    match choice.get("type"):
        case None:
            pass
        case "auto" | "none" as named:
            fields["tool_choice"] = named
        case "any":
            fields["tool_choice"] = "required"
        case "tool":
            fields["tool_choice"] = {"type": "function", "function": {"name": str(choice.get("name", ""))}}
        case _:
            raise Malformed("'tool_choice.type' must be auto, any, tool or none.", param="tool_choice")


def _tool(tool: Any, where: str) -> dict[str, Any]:
    if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
        raise Malformed(f"'{where}' needs a name.", param=where)
    if tool.get("type") not in (None, "custom"):
        raise Malformed(f"'{where}': tools that run at a vendor ('{tool['type']}') are not offered here.", param=where)
    function = {"name": tool["name"], "parameters": tool.get("input_schema") or {"type": "object", "properties": {}}}
    function |= {name: tool[name] for name in ("description", "strict") if tool.get(name) is not None}
    return {"type": "function", "function": function}


def _read_thinking(given: dict[str, Any], fields: dict[str, Any]) -> None:
    thinking, output = _of(given, "thinking", dict, {}), _of(given, "output_config", dict, {})
    match thinking.get("type"):
        case "enabled":
            budget = thinking.get("budget_tokens")
            budget = budget if isinstance(budget, int) else 0
            fields["reasoning_effort"] = next((effort for most, effort in _EFFORTS if budget <= most), "high")
        case "disabled":
            fields["reasoning_effort"] = "none"
    if output.get("effort"):
        fields["reasoning_effort"] = output["effort"]
    wanted = output.get("format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        schema = {"name": "answer", "schema": wanted.get("schema") or {}, "strict": True}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}


# -- answers ------------------------------------------------------------------------


def encode_answer(answer: ChatAnswer, request_id: str, created: int) -> bytes:
    content: list[dict[str, Any]] = list(_thoughts(answer))
    if answer.text:
        content.append({"type": "text", "text": answer.text})
    content += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": _input(call.arguments)}
        for call in answer.tool_calls
    ]
    return orjson.dumps(
        {
            **_head(request_id, answer.model),
            "content": content,
            "stop_reason": _STOP_REASONS[answer.finish] if answer.finish else "end_turn",
            "stop_sequence": None,
            "usage": usage_object(answer.usage or Usage()),
        }
    )


def _thoughts(answer: ChatAnswer) -> Iterator[dict[str, Any]]:
    if answer.state is not None and answer.state.vendor == VENDOR:
        yield from msgspec.json.decode(answer.state.data)
    elif answer.reasoning:
        yield {"type": "thinking", "thinking": answer.reasoning, "signature": ""}


def _input(arguments: str) -> Any:
    try:
        return msgspec.json.decode(arguments or "{}")
    except msgspec.DecodeError:
        return {}  # a model's broken JSON; the stream would have shown it as it came


def _head(request_id: str, model: str) -> dict[str, Any]:
    return {"id": f"msg_{request_id}", "type": "message", "role": "assistant", "model": model}


def usage_object(usage: Usage) -> dict[str, int]:
    return {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.completion,
    }


@dataclass(slots=True)
class MessageStream:
    """One answer on its way out. `counted` is our own count, for when the provider gives none."""

    request_id: str
    model: str
    counted: Usage | None = None
    usage: Usage | None = None
    _begun: bool = False
    _index: int = -1
    _open: str = ""  # the kind of block that is being written
    _stop: str = "end_turn"
    _calls: dict[int, int] = field(default_factory=dict)  # the block of each call

    def encode(self, events: Iterable[Event]) -> bytes:
        return b"".join(piece for event in events for piece in self._written(event))

    def _written(self, event: Event) -> Iterator[bytes]:
        if isinstance(event, KeepAlive):
            yield KEEP_ALIVE
            return
        if not self._begun:
            self._begun = True
            message = {**_head(self.request_id, self.model), "content": [], "stop_reason": None, "stop_sequence": None}
            yield _event("message_start", message={**message, "usage": usage_object(Usage())})
        match event:
            case TextDelta(text=text) if text:
                yield from self._into("text", {"type": "text", "text": ""})
                yield self._delta({"type": "text_delta", "text": text})
            case ReasoningDelta(text=text) if text:
                yield from self._into("thinking", _UNSIGNED)
                yield self._delta({"type": "thinking_delta", "thinking": text})
            case Thought(vendor=vendor, data=data) if vendor == VENDOR:
                yield from self._seal(msgspec.json.decode(data))
            case ToolCallDelta():
                yield from self._call(event)
            case UsageReport(usage=usage):
                self.usage = usage
            case Finish(reason=reason):
                self._stop = _STOP_REASONS[reason]
            case Ended():
                yield from self._end()
            case Start() | State() | Failed():
                pass  # the beginning was written, what a state holds is in the blocks, errors are the edge's
            case _:
                pass

    def _seal(self, thought: dict[str, Any]) -> Iterator[bytes]:
        """The end of a block of thinking: the signature, which may be all of it, so that a client can send it back."""
        if thought["type"] != "thinking":
            yield from self._into("sealed", thought)
        elif thought["signature"]:
            yield from self._into("thinking", _UNSIGNED)
            yield self._delta({"type": "signature_delta", "signature": thought["signature"]})
        yield from self._close()

    def _call(self, event: ToolCallDelta) -> Iterator[bytes]:
        if event.index not in self._calls:
            block = {"type": "tool_use", "id": event.id or f"toolu_{event.index}", "name": event.name, "input": {}}
            yield from self._into(f"tool {event.index}", block)
            self._calls[event.index] = self._index
        if event.arguments:
            # Pieces of two calls may be mixed: each goes to its own block, which clients tell apart by number.
            delta = {"type": "input_json_delta", "partial_json": event.arguments}
            yield _event("content_block_delta", index=self._calls[event.index], delta=delta)

    def _into(self, kind: str, block: dict[str, Any]) -> Iterator[bytes]:
        if self._open == kind:
            return
        yield from self._close()
        self._index += 1
        self._open = kind
        yield _event("content_block_start", index=self._index, content_block=block)

    def _close(self) -> Iterator[bytes]:
        if self._open:
            self._open = ""
            yield _event("content_block_stop", index=self._index)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", index=self._index, delta=delta)

    def _end(self) -> Iterator[bytes]:
        yield from self._close()
        usage = self.usage or self.counted or Usage()
        yield _event(
            "message_delta", delta={"stop_reason": self._stop, "stop_sequence": None}, usage=usage_object(usage)
        )
        yield _event("message_stop")


def _event(kind: str, **more: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps({"type": kind, **more}))


# -- refusals -----------------------------------------------------------------------

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def error_object(
    status: int, code: str, message: str, *, request_id: str, param: str | None = None, retryable: bool = False
) -> bytes:
    kind = _TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")
    details = {"error_code": code, "param": param, "retryable": retryable}
    error = {"type": kind, "message": message, "details": details}
    return orjson.dumps({"type": "error", "error": error, "request_id": request_id})


def error_event(error: bytes) -> bytes:
    return b"event: error\ndata: %s\n\n" % error
