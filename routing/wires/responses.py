"""The OpenAI Responses format as our clients speak it: items in, items out, whatever vendor answers.

Nothing is stored between two calls: a client sends the whole conversation each time, reasoning included. What would
need a store (`previous_response_id`, `conversation`, `background`) or tools that run at a vendor is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import orjson

from providers.chat import (
    ChatAnswer,
    ChatRequest,
    Citation,
    FinishReason,
    State,
    Usage,
    Wire,
)
from routing.wires.openai import STATE, Malformed, ParsedChat, check_typed, parse_object

_RENAMED = {
    "max_output_tokens": "max_completion_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "parallel_tool_calls": "parallel_tool_calls",
    "user": "user",
    "safety_identifier": "safety_identifier",
    "service_tier": "service_tier",
    "prompt_cache_key": "prompt_cache_key",
    "metadata": "metadata",
}
# Taken and without effect here: nothing is stored, nothing is cut short, and what is included comes anyway.
_WITHOUT_EFFECT = frozenset({"store", "truncation", "include", "stream_options"})
_READ = frozenset({"model", "input", "instructions", "tools", "tool_choice", "reasoning", "text", "stream"})
_NEEDS_STORE = ("previous_response_id", "conversation", "background", "prompt")


# -- requests -----------------------------------------------------------------------


def parse_chat(body: bytes) -> ParsedChat:
    given = {name: _decoded(raw, name) for name, raw in parse_object(body).items()}
    given = {name: value for name, value in given.items() if value is not None}
    for name in _NEEDS_STORE:
        if given.pop(name, None):
            raise Malformed(
                f"'{name}' is not offered: nothing is stored between calls. Send the whole conversation as 'input'.",
                param=name,
                code="unsupported_parameter",
            )
    model = given.get("model", "")
    if not isinstance(model, str):
        raise Malformed("'model' must be text.", param="model", code="invalid_type")
    fields: dict[str, Any] = {"model": model, "messages": list(_messages(given))}
    if not any(message["role"] != "system" for message in fields["messages"]):
        raise Malformed("'input' needs a question.", param="input", code="missing_required_parameter")
    fields |= {ours: given[name] for name, ours in _RENAMED.items() if name in given}
    _read_tools(given, fields)
    thinking, text = _object(given, "reasoning"), _object(given, "text")
    if thinking.get("effort"):
        fields["reasoning_effort"] = thinking["effort"]
    if text.get("verbosity"):
        fields["verbosity"] = text["verbosity"]
    _read_format(text.get("format"), fields)
    extras = sorted(given.keys() - _READ - _WITHOUT_EFFECT - _RENAMED.keys())
    fields |= {name: given[name] for name in extras}
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}
    check_typed(raw, {"max_completion_tokens": "max_output_tokens"})
    stream = given.get("stream", False)
    if not isinstance(stream, bool):
        raise Malformed("'stream' must be true or false.", param="stream", code="invalid_type")
    return ParsedChat(ChatRequest(raw, stream, wants_usage=True, wire=Wire.RESPONSES), model, tuple(extras))


def _decoded(raw: msgspec.Raw, name: str) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        raise Malformed(f"'{name}' is not valid JSON.", param=name, code="invalid_json") from None


def _object(given: dict[str, Any], name: str) -> dict[str, Any]:
    value = given.get(name, {})
    if not isinstance(value, dict):
        raise Malformed(f"'{name}' must be an object.", param=name, code="invalid_type")
    return value


def _messages(given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if given.get("instructions"):
        yield {"role": "system", "content": given["instructions"]}
    items = given.get("input", [])
    if isinstance(items, str):
        items = [{"role": "user", "content": items}] if items else []
    if not isinstance(items, list):
        raise Malformed("'input' must be text or a list of items.", param="input", code="invalid_type")
    yield from _merged(_message(item, f"input[{number}]") for number, item in enumerate(items))


def _merged(messages: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What one turn of an assistant said, thought and called comes as several items; it is one message."""
    pending: dict[str, Any] | None = None
    for message in messages:
        if message["role"] != "assistant":
            if pending is not None:
                yield pending
                pending = None
            yield message
        elif pending is None:
            pending = message
        else:
            _join(pending, message)
    if pending is not None:
        yield pending


def _join(turn: dict[str, Any], more: dict[str, Any]) -> None:
    if more.get("content"):
        turn["content"] = (turn.get("content") or "") + more["content"]
    if more.get("tool_calls"):
        turn["tool_calls"] = turn.get("tool_calls", []) + more["tool_calls"]
    for name in (STATE, "reasoning_content"):
        if name in more:
            turn[name] = more[name]


def _message(item: Any, where: str) -> dict[str, Any]:
    match item:
        case {"type": "function_call", "name": str(name)}:
            call = {"name": name, "arguments": item.get("arguments") or "{}"}
            tool = {"id": str(item.get("call_id", "")), "type": "function", "function": call}
            return {"role": "assistant", "content": None, "tool_calls": [tool]}
        case {"type": "function_call_output"}:
            output = item.get("output", "")
            text = output if isinstance(output, str) else _text(output, where)
            return {"role": "tool", "tool_call_id": str(item.get("call_id", "")), "content": text}
        case {"type": "reasoning"}:
            return {"role": "assistant", "content": None, **(_state(item) or _thought(item))}
        case {"role": "assistant"}:
            content = item.get("content")
            return {"role": "assistant", "content": content if isinstance(content, str) else _text(content, where)}
        case {"role": "user" | "system" | "developer" as role}:
            content = item.get("content")
            return {"role": role, "content": content if isinstance(content, str) else _parts(content, where)}
    kind = item.get("type") if isinstance(item, dict) else None
    raise Malformed(f"'{where}': items of type '{str(kind)[:60]}' are not known here.", param=where)


def _state(item: dict[str, Any]) -> dict[str, Any]:
    """Sealed reasoning is ours only when we sealed it: `<vendor>:<what it gave>`."""
    sealed = item.get("encrypted_content")
    vendor, colon, data = sealed.partition(":") if isinstance(sealed, str) else ("", "", "")
    return {STATE: {"vendor": vendor, "data": data}} if colon else {}


def _thought(item: dict[str, Any]) -> dict[str, Any]:
    """What nobody sealed is plain text: some vendors want it back with the calls it led to."""
    text = _text(item.get("summary") or [], "reasoning")
    return {"reasoning_content": text} if text else {}


def _text(content: Any, where: str) -> str:
    parts = content if isinstance(content, list) else []
    if not all(isinstance(part, dict) for part in parts):
        raise Malformed(f"'{where}.content' must be text or a list of parts.", param=f"{where}.content")
    return "".join(str(part.get("text") or part.get("refusal") or "") for part in parts)


def _parts(content: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(content, list):
        raise Malformed(f"'{where}.content' must be text or a list of parts.", param=f"{where}.content")
    return [_part(part, f"{where}.content[{number}]") for number, part in enumerate(content)]


def _part(part: Any, where: str) -> dict[str, Any]:
    match part:
        case {"type": "input_text" | "output_text" | "text", "text": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "input_image", "image_url": str(url)}:
            detail = {"detail": part["detail"]} if part.get("detail") else {}
            return {"type": "image_url", "image_url": {"url": url, **detail}}
        case {"type": "input_audio", "input_audio": dict(audio)}:
            return {"type": "input_audio", "input_audio": audio}
        case {"type": "input_file", "file_data": str(data)}:
            return {"type": "file", "file": {"file_data": data, "filename": part.get("filename") or "file"}}
    kind = part.get("type") if isinstance(part, dict) else None
    raise Malformed(f"'{where}': parts of type '{str(kind)[:60]}' are not known here.", param=where)


def _read_tools(given: dict[str, Any], fields: dict[str, Any]) -> None:
    tools = given.get("tools", [])
    if not isinstance(tools, list):
        raise Malformed("'tools' must be a list.", param="tools", code="invalid_type")
    if tools:
        fields["tools"] = [_tool(tool, f"tools[{number}]") for number, tool in enumerate(tools)]
    match given.get("tool_choice"):
        case None:
            pass
        case "auto" | "none" | "required" as choice:
            fields["tool_choice"] = choice
        case {"type": "function", "name": str(name)}:
            fields["tool_choice"] = {"type": "function", "function": {"name": name}}
        case _:
            raise Malformed("'tool_choice' must be auto, none, required or a function by name.", param="tool_choice")


def _tool(tool: Any, where: str) -> dict[str, Any]:
    if not isinstance(tool, dict) or tool.get("type") != "function" or not isinstance(tool.get("name"), str):
        kind = tool.get("type") if isinstance(tool, dict) else None
        raise Malformed(
            f"'{where}': only functions with a name are offered here, not '{str(kind)[:60]}'.",
            param=where,
            code="unsupported_parameter",
        )
    names = ("name", "description", "parameters", "strict")
    return {"type": "function", "function": {name: tool[name] for name in names if tool.get(name) is not None}}


def _read_format(wanted: Any, fields: dict[str, Any]) -> None:
    match wanted:
        case None | {"type": "text"}:
            pass
        case {"type": "json_object"}:
            fields["response_format"] = {"type": "json_object"}
        case {"type": "json_schema", "schema": dict(schema)}:
            named = {name: wanted[name] for name in ("name", "description", "strict") if wanted.get(name) is not None}
            fields["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", **named, "schema": schema},
            }
        case _:
            raise Malformed(
                "'text.format' must be text, json_object, or json_schema with a schema.", param="text.format"
            )


# -- answers ------------------------------------------------------------------------


def encode_answer(answer: ChatAnswer, request_id: str, created: int) -> bytes:
    output: list[dict[str, Any]] = []
    if answer.reasoning or answer.state is not None:
        output.append(reasoning(f"rs_{request_id}", answer.reasoning, answer.state))
    if answer.text or not answer.tool_calls:
        annotations = [annotation(source) for source in answer.citations]
        output.append(said(f"msg_{request_id}", answer.text, annotations))
    output += [
        called(f"fc_{request_id}_{number}", call.id, call.name, call.arguments)
        for number, call in enumerate(answer.tool_calls)
    ]
    return orjson.dumps(
        response_object(request_id, answer.model, created, output, answer.finish, answer.usage or Usage())
    )


def response_object(
    request_id: str, model: str, created: int, output: list[Any], finish: FinishReason | None, usage: Usage | None
) -> dict[str, Any]:
    why = {FinishReason.LENGTH: "max_output_tokens", FinishReason.CONTENT_FILTER: "content_filter"}
    reason = why.get(finish) if finish else None
    return {
        "id": f"resp_{request_id}",
        "object": "response",
        "created_at": created,
        "status": "in_progress" if usage is None else "incomplete" if reason else "completed",
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": False,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": None if usage is None else usage_object(usage),
    }


def usage_object(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }


def said(item_id: str, text: str, annotations: list[Any], status: str = "completed") -> dict[str, Any]:
    content = [written_part(text, annotations)] if status == "completed" else []
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": content}


def written_part(text: str, annotations: list[Any]) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}


def called(item_id: str, call_id: str, name: str, arguments: str, status: str = "completed") -> dict[str, Any]:
    called = {"call_id": call_id, "name": name, "arguments": arguments}
    return {"id": item_id, "type": "function_call", "status": status, **called}


def reasoning(item_id: str, text: str, state: State | None) -> dict[str, Any]:
    item: dict[str, Any] = {"id": item_id, "type": "reasoning", "summary": []}
    if text:
        item["summary"] = [{"type": "summary_text", "text": text}]
    if state is not None:
        item["encrypted_content"] = f"{state.vendor}:{state.data}"
    return item


def annotation(source: Citation) -> dict[str, Any]:
    where = {"start_index": source.start or 0, "end_index": source.end or 0}
    return {"type": "url_citation", "url": source.url, "title": source.title, **where}
