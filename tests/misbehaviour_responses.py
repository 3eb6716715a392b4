"""The Responses wire, for the suite that every kind must pass: `contract(scenario, seen, kind)` answers a request."""

from __future__ import annotations

import base64
import json
from typing import Any

from providers.registry import Kind
from tests.cloud import Answer, pieces, whole
from tests.upstream import Seen

LACKS: frozenset[str] = frozenset()

_EVENTS = "text/event-stream; charset=utf-8"
_WORDS = ("Hello", " from", " upstream", ".")
_CALL = {"type": "function_call", "id": "fc_up", "call_id": "call_up", "name": "lookup", "status": "completed",
         "arguments": '{"city": "Riga"}'}  # fmt: skip
_COST = {"currency": "USD", "input_cost": 0.00001, "output_cost": 0.00001, "total_cost": 0.00002}
_USAGE = {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13, "cost": _COST}


def event(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


def error(words: str, code: int, **more: str) -> dict[str, Any]:
    return {"error": {"message": words, "code": code, **more}}


def response(output: list[dict[str, Any]], status: str = "completed", **more: Any) -> dict[str, Any]:
    head = {"id": "resp_up", "object": "response", "created_at": 1_795_000_000, "model": "served-model"}
    return {**head, "status": status, "output": output, **more}


def said(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": "msg_up", "role": "assistant", "status": "completed", "content": [part]}


_TEXT_END = response([said("".join(_WORDS))], usage=_USAGE)
_TOOL_END = response([_CALL], "requires_action", usage=_USAGE)
_BEGUN = event("response.created", response=response([], "in_progress"))
_TEXT = [
    _BEGUN,
    event("response.output_item.added", output_index=0, item={"type": "message", "id": "msg_up", "content": []}),
    *(event("response.output_text.delta", output_index=0, content_index=0, delta=word) for word in _WORDS),
    event("response.output_item.done", output_index=0, item=_TEXT_END["output"][0]),
    event("response.completed", response=_TEXT_END),
]
_TOOL = [
    _BEGUN,
    event("response.output_item.done", output_index=0, item=_CALL),
    event("response.completed", response=_TOOL_END),
]

REFUSALS: dict[str, Answer] = {
    "401": whole(error("Invalid API key provided.", 401, type="invalid_api_key"), 401),
    "404": whole(error("Invalid model 'model-a'.", 400, type="invalid_model"), 400),
    "429": whole(error("Request rate limit exceeded.", 429), 429, retry_after="7"),
    "500": whole(error("Internal server error.", 500), 500),
    "too-long": whole(error("This model's maximum context length is 16 tokens.", 400), 400),
    "no-money": whole(error("You exceeded your current quota.", 401, type="insufficient_quota"), 401),
}


def contract(scenario: str, seen: Seen, kind: Kind) -> Answer:
    if scenario in REFUSALS:
        return REFUSALS[scenario]
    if seen.method == "GET" and seen.path == "/v1/models":
        return whole({"object": "list", "data": [{"id": f"model-{n}", "object": "model"} for n in "ab"]})
    if seen.path == "/v1/embeddings":
        return _embeddings(seen)
    if not seen.path.endswith(kind.responses_path or kind.chat_path):
        return whole(error("no such route", 404), 404)
    if scenario == "cut":
        return pieces(*_TEXT[:4], content_type=_EVENTS, cut=True)
    if scenario == "error-200":
        failed = {"message": "The engine is overloaded.", "code": "server_is_overloaded", "type": "server_error"}
        if seen.streamed:
            return pieces(_BEGUN, event("response.failed", error=failed), content_type=_EVENTS)
        return whole(response([], "failed", error=failed))
    calls = scenario == "tools" and not any(item["type"] == "function_call_output" for item in seen.json["input"])
    if seen.streamed:
        return pieces(*(_TOOL if calls else _TEXT), content_type=_EVENTS)
    return whole(_TOOL_END if calls else _TEXT_END)


def _embeddings(seen: Seen) -> Answer:
    """Numbers of one byte each; the first one is the length of the text."""
    rows = [
        {"object": "embedding", "index": n, "embedding": base64.b64encode(bytes([len(text), 0, 255])).decode()}
        for n, text in enumerate(seen.json["input"])
    ]
    tokens = {"prompt_tokens": len(rows), "total_tokens": len(rows), "cost": _COST}
    return whole({"object": "list", "data": rows, "model": "served-embed", "usage": tokens})
