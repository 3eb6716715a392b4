"""Anthropic's Messages, for the suite that every kind must pass: `contract(scenario, seen, kind)` answers a request."""

from __future__ import annotations

import json
from typing import Any

from providers.registry import Kind
from tests.cloud import Answer, pieces, whole
from tests.upstream import Seen

LACKS: frozenset[str] = frozenset()

_EVENTS = "text/event-stream; charset=utf-8"
_WORDS = ("Hello", " from", " upstream", ".")
_ARGUMENTS = '{"city": "Riga"}'
_USAGE = {"input_tokens": 9, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 4}


def event(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


def message(content: list[dict[str, Any]], stop: str | None, usage: dict[str, int] = _USAGE) -> dict[str, Any]:
    return {
        "id": "msg_up",
        "type": "message",
        "role": "assistant",
        "model": "served-model",
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }


def error(kind: str, words: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_up"}


def _block(start: dict[str, Any], deltas: list[dict[str, Any]]) -> list[bytes]:
    told = [event("content_block_delta", index=0, delta=delta) for delta in deltas]
    return [event("content_block_start", index=0, content_block=start), *told, event("content_block_stop", index=0)]


def _stream(block: list[bytes], stop: str) -> list[bytes]:
    """The numbers at the beginning are a first guess: those at the end count."""
    begun = event("message_start", message=message([], None, _USAGE | {"output_tokens": 1}))
    end = event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage={"output_tokens": 4})
    return [begun, event("ping"), *block, end, event("message_stop")]


_TEXT = _stream(
    _block({"type": "text", "text": ""}, [{"type": "text_delta", "text": word} for word in _WORDS]), "end_turn"
)
_CALL = {"type": "tool_use", "id": "toolu_up", "name": "lookup", "input": {}}
_TOOL = _stream(
    _block(_CALL, [{"type": "input_json_delta", "partial_json": part} for part in (_ARGUMENTS[:9], _ARGUMENTS[9:])]),
    "tool_use",
)

REFUSALS: dict[str, Answer] = {
    "401": whole(error("authentication_error", "invalid x-api-key"), 401),
    "404": whole(error("not_found_error", "model: model-a"), 404),
    "429": whole(error("rate_limit_error", "This request would exceed your rate limit."), 429, retry_after="7"),
    "500": whole(error("api_error", "Internal server error"), 500),
    "too-long": whole(error("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"), 400),
    "no-money": whole(error("invalid_request_error", "Your credit balance is too low to access the API."), 400),
}


def contract(scenario: str, seen: Seen, kind: Kind) -> Answer:
    if scenario in REFUSALS:
        return REFUSALS[scenario]
    if seen.headers.get("anthropic-version") != "2023-06-01":
        return whole(error("invalid_request_error", "anthropic-version: header is required"), 400)
    path = seen.path.partition("?")[0]
    if seen.method == "GET" and path == "/v1/models":
        return whole({"data": [{"type": "model", "id": f"model-{n}"} for n in "ab"], "has_more": False})
    if path != "/v1/messages":
        return whole(error("not_found_error", "no such route"), 404)
    if "max_tokens" not in seen.json:
        return whole(error("invalid_request_error", "max_tokens: Field required"), 400)
    return _spoken(scenario, seen)


def _spoken(scenario: str, seen: Seen) -> Answer:
    if scenario == "cut":
        return pieces(*_TEXT[:4], content_type=_EVENTS, cut=True)
    if scenario == "error-200":
        said = error("overloaded_error", "Overloaded")
        return pieces(event("error", error=said["error"]), content_type=_EVENTS) if seen.streamed else whole(said)
    answered = any(block["type"] == "tool_result" for turn in seen.json["messages"] for block in turn["content"])
    calls = scenario == "tools" and not answered
    if seen.streamed:
        return pieces(*(_TOOL if calls else _TEXT), content_type=_EVENTS)
    if calls:
        return whole(message([_CALL | {"input": json.loads(_ARGUMENTS)}], "tool_use"))
    return whole(message([{"type": "text", "text": "".join(_WORDS)}], "end_turn"))
