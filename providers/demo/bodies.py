"""Answers as the wire wants them: one JSON body, or the events of a stream that spell the same answer."""

from __future__ import annotations

import orjson

from providers.demo.answers import Answer
from providers.demo.catalogue import MODELS, Model
from providers.demo.embedding import in_base64

Usage = dict[str, object]
DONE = b"data: [DONE]\n\n"
_FINGERPRINT = "fp_relayhouse_demo"


def usage_of(answer: Answer) -> Usage:
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": len(answer.thoughts),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def chat_body(answer: Answer, usage: Usage | None, id: str, created: int, model: str) -> bytes:  # noqa: A002
    message: dict[str, object] = {"role": "assistant", "content": answer.text, "refusal": None, "annotations": []}
    if answer.thoughts:
        message["reasoning_content"] = answer.reasoning
    if answer.calls:
        message["content"] = None
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": "".join(call.arguments)}}
            for call in answer.calls
        ]
    body = {
        "id": id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish}],
        "system_fingerprint": _FINGERPRINT,
        "service_tier": "default",
    }
    if usage is not None:
        body["usage"] = usage
    return orjson.dumps(body)


def chat_events(
    answer: Answer,
    usage: Usage | None,
    name: str,
    created: int,
    model: str,
    *,
    wants_usage: bool,
) -> list[bytes]:
    """Every event but the deltas is built once; a delta is put between two halves that never change."""
    head = {"id": name, "object": "chat.completion.chunk", "created": created, "model": model}
    head["system_fingerprint"] = _FINGERPRINT
    before = b"data: " + orjson.dumps(head)[:-1] + b',"choices":[{"index":0,"delta":'
    ending = b',"usage":null}\n\n' if wants_usage else b"}\n\n"
    after = b',"logprobs":null,"finish_reason":null}]' + ending

    def event(delta: bytes) -> bytes:
        return before + delta + after

    opening = (
        b'{"role":"assistant","content":null}' if answer.calls else b'{"role":"assistant","content":"","refusal":null}'
    )
    events = [event(opening)]
    events += [event(b'{"reasoning_content":' + orjson.dumps(piece) + b"}") for piece in answer.thoughts]
    events += [event(b'{"content":' + orjson.dumps(piece) + b"}") for piece in answer.pieces]
    for at, call in enumerate(answer.calls):
        function = {"name": call.name, "arguments": ""}
        first = {"tool_calls": [{"index": at, "id": call.id, "type": "function", "function": function}]}
        events.append(event(orjson.dumps(first)))
        events += [
            event(orjson.dumps({"tool_calls": [{"index": at, "function": {"arguments": piece}}]}))
            for piece in call.arguments
        ]
    events.append(before + b'{},"logprobs":null,"finish_reason":' + orjson.dumps(answer.finish) + b"}]" + ending)
    if wants_usage and usage is not None:
        events.append(b"data: " + orjson.dumps({**head, "choices": [], "usage": usage}) + b"\n\n")
    events.append(DONE)
    return events


def model_entry(model: Model, created: int) -> dict[str, object]:
    return {
        "id": model.id,
        "object": "model",
        "created": created,
        "owned_by": "relayhouse",
        "name": model.name,
        "description": model.description,
        "type": "embedding" if model.embeds else "chat",
        "context_length": model.context,
        "max_output_tokens": model.max_output or None,
        "pricing": {
            "currency": model.currency,
            "input_per_million": str(model.input_price),
            "cached_per_million": str(model.cached_price),
            "output_per_million": str(model.output_price),
        },
    }


def models_body(created: int) -> bytes:
    return orjson.dumps({"object": "list", "data": [model_entry(model, created) for model in MODELS.values()]})


def embeddings_body(vectors: list[list[float]], tokens: int, model: str, *, as_base64: bool) -> bytes:
    entries = [
        {"object": "embedding", "index": at, "embedding": in_base64(vector) if as_base64 else vector}
        for at, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return orjson.dumps({"object": "list", "data": entries, "model": model, "usage": usage})
