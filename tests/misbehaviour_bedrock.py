"""Bedrock's Converse, for the suite that every kind must pass: see test_contract.py."""

from __future__ import annotations

import json
from typing import Any
from zlib import crc32

from providers.registry import Kind
from tests.cloud import Answer, framed, pieces, signature_is_good, whole
from tests.faults.speech import ABSURD, COUNTED, CUT_ARGUMENTS, UNCOUNTED, Reply, Speech
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


# -- for the matrix of faults ------------------------------------------------------------------

_PAIR = {
    "access_key_id": "TESTACCESSKEY0123",
    "secret_access_key": "test-secret/0123456789+abcdef",
    "session_token": "test-session/0123456789=",
}
_USAGES: dict[str, dict[str, Any]] = {
    COUNTED: {"usage": _USAGE},
    UNCOUNTED: {},
    ABSURD: {"usage": {"inputTokens": 4_000_000_000, "outputTokens": 9_000_000_000, "totalTokens": 13_000_000_000}},
}
_NO: dict[str, tuple[int, str, str]] = {
    "rate": (429, "ThrottlingException", "Too many requests."),
    "server": (500, "InternalServerException", "The server had an error."),
    "key": (403, "UnrecognizedClientException", f"{_PAIR['session_token']} of {_PAIR['access_key_id']} is invalid."),
    "forbidden": (403, "AccessDeniedException", "User is not authorized to perform this action."),
    "request": (400, "ValidationException", "temperature must be between 0 and 1."),
    "context": (400, "ValidationException", "Input is too long for requested model."),
    "model": (404, "ResourceNotFoundException", "Could not resolve the foundation model."),
}
_FAILURES = {
    "overload": ("serviceUnavailableException", {"message": "The service is busy."}),
    "server": ("internalServerException", {"message": "The server had an error."}),
}


def _refuses(cause: str, wait: str) -> Reply:
    status, name, words = _NO[cause]
    headers = {"x_amzn_errortype": f"{name}:http://internal.example/"} | ({"retry_after": wait} if wait else {})
    return Reply(json.dumps({"message": words}).encode(), status, headers)


def _whole(usage: str, stop: str = "end_turn") -> bytes:
    said = {"role": "assistant", "content": [{"text": "".join(_WORDS)}]}
    told = {"output": {"message": said}, "stopReason": stop, "metrics": {"latencyMs": 9}, **_USAGES[usage]}
    return json.dumps(told).encode()


def _closes(usage: str, stop: str = "end_turn") -> tuple[bytes, ...]:
    return tuple(
        _frames(
            ("contentBlockStop", {"contentBlockIndex": 0}),
            ("messageStop", {"stopReason": stop}),
            ("metadata", {"metrics": {"latencyMs": 9}, **_USAGES[usage]}),
        )
    )


def _says(word: str) -> bytes:
    return _frames(_delta(0, {"text": word}))[0]


_OPENING = tuple(_frames(("messageStart", {"role": "assistant"})))
_WORDS_SAID = tuple(map(_says, _WORDS))
# As long as a message may not be, with a checksum that says that this is what was meant.
_LENGTHS = (1 << 30).to_bytes(4, "big") + (16).to_bytes(4, "big")

SPEECH = Speech(
    name="bedrock",
    kind="bedrock",
    secret=json.dumps(_PAIR),
    hidden=tuple(_PAIR.values()),
    options={"region": "eu-west-1"},
    stream_type=_EVENTS,
    is_streamed=lambda seen: seen.path.endswith("/converse-stream"),
    bears_key=lambda seen: signature_is_good(seen, _PAIR["secret_access_key"], "eu-west-1", _PAIR["session_token"]),
    whole=_whole,
    opening=_OPENING,
    says=_says,
    closing=_closes,
    refuses=_refuses,
    failures={cause: json.dumps(said).encode() for cause, (_, said) in _FAILURES.items()},
    failing={cause: _frames(said, sort="exception")[0] for cause, said in _FAILURES.items()},
    # What it will not say ends an answer; there is no error for it.
    filtered=(
        Reply(_whole(COUNTED, "guardrail_intervened")),
        (*_OPENING, *_WORDS_SAID, *_closes(COUNTED, "guardrail_intervened")),
    ),
    garbage=_says("Hello")[:-1] + b"\0",  # its checksum is another's
    news=(*_frames(("hologram", {"light": 1})), *_frames(_delta(7, {"hologram": {"light": 1}}))),
    endless=_LENGTHS + crc32(_LENGTHS).to_bytes(4, "big"),
    odd=b"".join([*_OPENING, *_WORDS_SAID, *_closes(COUNTED)]),  # a message can be written in one way alone
    call=(
        *_OPENING,
        *_frames(
            ("contentBlockStart", {"contentBlockIndex": 4, "start": {"toolUse": _CALL}}),
            _delta(4, {"toolUse": {"input": CUT_ARGUMENTS[:4]}}),
            _delta(4, {"toolUse": {"input": CUT_ARGUMENTS[4:]}}),
            ("contentBlockStop", {"contentBlockIndex": 4}),
        ),
        *_closes(COUNTED, "max_tokens")[1:],
    ),
    arguments=CUT_ARGUMENTS,
)
