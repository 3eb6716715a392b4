"""Bedrock's Converse, for the suite that every kind must pass: see test_contract.py."""

from __future__ import annotations

import json
from typing import Any

from providers.registry import Kind
from tests.cloud import Answer, framed, pieces, whole
from tests.misbehaviour_embeddings import vector
from tests.upstream import Exchange, Seen

LACKS: frozenset[str] = frozenset()
EMBEDS = "amazon.titan-embed-text-v2:0"

_EVENTS = "application/vnd.amazon.eventstream"
_USAGE = {"inputTokens": 9, "outputTokens": 4, "totalTokens": 13}
_WORDS = ("Hello", " from", " upstream", ".")
_CALL = {"toolUseId": "call_a1", "name": "lookup"}


def _plain(content: list[Any], stop: str = "end_turn") -> Answer:
    message = {"role": "assistant", "content": content}
    return whole({"output": {"message": message}, "stopReason": stop, "usage": _USAGE, "metrics": {"latencyMs": 9}})


def _frames(*events: tuple[str, Any], sort: str = "event") -> list[bytes]:
    return framed("\n".join(json.dumps([sort, name, payload]) for name, payload in events).encode())


def _delta(index: int, delta: Any) -> tuple[str, Any]:
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": delta}


def _stream(*blocks: tuple[str, Any], stop: str = "end_turn") -> list[bytes]:
    return _frames(
        ("messageStart", {"role": "assistant"}),
        *blocks,
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": stop}),
        ("metadata", {"usage": _USAGE, "metrics": {"latencyMs": 9}}),
    )


_TEXT = _stream(*[_delta(0, {"text": word}) for word in _WORDS])
_TOOL = _stream(
    ("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": _CALL}}),
    _delta(0, {"toolUse": {"input": '{"city"'}}),
    _delta(0, {"toolUse": {"input": ':"Riga"}'}}),
    stop="tool_use",
)


def _refusal(status: int, name: str, message: str, **headers: str) -> Answer:
    return whole({"message": message}, status, x_amzn_errortype=name, **headers)


_REFUSALS = {
    "401": _refusal(403, "UnrecognizedClientException", "The security token included in the request is invalid."),
    "404": _refusal(404, "ResourceNotFoundException", "Could not resolve the foundation model."),
    "429": _refusal(429, "ThrottlingException", "Too many requests.", retry_after="7"),
    "500": _refusal(500, "InternalServerException", "The server had an error."),
    "too-long": _refusal(400, "ValidationException", "Input is too long for requested model."),
    "no-money": _refusal(400, "ServiceQuotaExceededException", "Your quota is used up."),
}


async def _embeds(it: Exchange) -> None:
    text = it.seen.json["inputText"]
    await it.whole(json.dumps({"embedding": vector(text), "inputTextTokenCount": len(text.split())}).encode())


def _models(seen: Seen) -> Answer:
    if "inference-profiles" in seen.path:
        return whole({"inferenceProfileSummaries": []})
    more = {"outputModalities": ["TEXT"], "inferenceTypesSupported": ["ON_DEMAND"]}
    return whole({"modelSummaries": [{"modelId": name, "modelName": name} | more for name in ("model-a", "model-b")]})


def contract(scenario: str, seen: Seen, kind: Kind) -> Answer:
    if scenario in _REFUSALS:
        return _REFUSALS[scenario]
    if seen.method == "GET":
        return _models(seen)
    if seen.path.endswith("/invoke"):
        return _embeds
    streams = seen.path.endswith("/converse-stream")
    if scenario == "error-200":
        failed = _frames(("modelStreamErrorException", {"message": "It broke."}), sort="exception")
        return pieces(*failed, content_type=_EVENTS) if streams else whole({"message": "It broke."})
    if scenario == "cut":
        return pieces(*_TEXT[:3], content_type=_EVENTS, cut=True)
    if scenario == "tools" and b"toolResult" not in seen.body:
        call = {"toolUse": {**_CALL, "input": {"city": "Riga"}}}
        return pieces(*_TOOL, content_type=_EVENTS) if streams else _plain([call], "tool_use")
    return pieces(*_TEXT, content_type=_EVENTS) if streams else _plain([{"text": "".join(_WORDS)}])
