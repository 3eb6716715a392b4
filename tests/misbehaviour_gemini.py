"""Gemini's generateContent: for the suite that every kind must pass (test_contract.py), and for the whole gateway.

`contract(scenario, seen, kind)` is how a request is answered; `answers(seen)` reads the scenario off the model's name.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from providers.registry import KINDS, Kind
from tests.cloud import Answer, pieces, recorded, whole
from tests.faults.speech import ABSURD, COUNTED, UNCOUNTED, Reply, Speech
from tests.misbehaviour_embeddings import vector
from tests.upstream import Exchange, Seen

LACKS: frozenset[str] = frozenset()

_EVENTS = "text/event-stream"
_USAGE = {"promptTokenCount": 9, "candidatesTokenCount": 4, "totalTokenCount": 13}
_WORDS = ("Hello", " from", " upstream", ".")
_CALL = {"functionCall": {"name": "lookup", "args": {"city": "Riga"}}, "thoughtSignature": "c2lnbmVk"}


def piece(*parts: Any, finish: str = "", **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": list(parts)}}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "gemini-test", "responseId": "r1"} | more


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\r\n\r\n"


_TEXT = [event(piece({"text": word})) for word in _WORDS]
_END = event(piece({"text": "", "thoughtSignature": "c2ln"}, finish="STOP", usageMetadata=_USAGE))
_TOOL = event(piece(_CALL, finish="STOP", usageMetadata=_USAGE))


def error(code: int, status: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


def reason(name: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": name, "domain": "googleapis.com"}


def quota(name: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": name}]}


def retry(delay: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


_PER_MINUTE, _PER_DAY = "GenerateRequestsPerMinutePerProjectPerModel", "GenerateRequestsPerDayPerProjectPerModel"
_OVER = "You exceeded your current quota, please check your plan and billing details."
REFUSALS = {
    "401": (400, error(400, "INVALID_ARGUMENT", "API key not valid.", reason("API_KEY_INVALID"))),
    "404": (404, error(404, "NOT_FOUND", "models/x is not found for API version v1beta.")),
    "429": (429, error(429, "RESOURCE_EXHAUSTED", _OVER, quota(_PER_MINUTE), retry("7s"))),
    "500": (500, error(500, "INTERNAL", "An internal error has occurred.")),
    "too-long": (
        400,
        error(400, "INVALID_ARGUMENT", "The input token count (99) exceeds the maximum number of tokens allowed (16)."),
    ),
    "no-money": (429, error(429, "RESOURCE_EXHAUSTED", _OVER, quota(_PER_DAY), retry("7s"))),
}
_BUSY = error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")
_BLOCKED = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9}}


async def _embeds(it: Exchange) -> None:
    texts = [one["content"]["parts"][0]["text"] for one in it.seen.json["requests"]]
    await it.whole(json.dumps({"embeddings": [{"values": vector(text)} for text in texts]}).encode())


def _models() -> Answer:
    more = {"inputTokenLimit": 1048576, "outputTokenLimit": 65536, "supportedGenerationMethods": ["generateContent"]}
    return whole({"models": [{"name": f"models/{name}"} | more for name in ("model-a", "model-b")]})


def contract(scenario: str, seen: Seen, kind: Kind) -> Answer:
    if scenario in REFUSALS:
        status, body = REFUSALS[scenario]
        return whole(body, status)
    if not seen.headers.get("x-goog-api-key") or "key=" in seen.path:
        return whole(error(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers."), 403)
    path = unquote(seen.path)
    if seen.method == "GET":
        return _models()
    if path.endswith(":batchEmbedContents"):
        return _embeds
    streams = path.endswith(":streamGenerateContent?alt=sse")
    if scenario == "error-200":
        return pieces(_TEXT[0], event(_BUSY), content_type=_EVENTS) if streams else whole([_BUSY])
    if scenario == "blocked":
        return pieces(event(_BLOCKED), content_type=_EVENTS) if streams else whole(_BLOCKED)
    if scenario == "cut":
        return pieces(*_TEXT[:3], content_type=_EVENTS, cut=True)
    if scenario == "stops":  # the body ends as it should, but nobody said why
        return pieces(*_TEXT[:3], content_type=_EVENTS)
    if scenario == "thinks":
        file = "gemini/thinking.sse" if streams else "gemini/plain.json"
        return pieces(recorded(file), content_type=_EVENTS) if streams else whole(recorded(file))
    if scenario == "tools" and b"functionResponse" not in seen.body:
        return (
            pieces(_TOOL, content_type=_EVENTS) if streams else whole(piece(_CALL, finish="STOP", usageMetadata=_USAGE))
        )
    if streams:
        return pieces(*_TEXT, _END, content_type=_EVENTS)
    return whole(piece({"text": "".join(_WORDS)}, finish="STOP", usageMetadata=_USAGE))


def answers(seen: Seen) -> Answer:
    scenario = unquote(seen.path).rpartition("/models/")[2].partition(":")[0]
    return contract(scenario, seen, KINDS["gemini"])


# -- for the matrix of faults ------------------------------------------------------------------

_SECRET = "test-key-gemini-0123456789"
_COUNTS: dict[str, dict[str, Any]] = {
    COUNTED: {"usageMetadata": _USAGE},
    UNCOUNTED: {},
    ABSURD: {"usageMetadata": {"promptTokenCount": 4_000_000_000, "candidatesTokenCount": 9_000_000_000}},
}
_NO = REFUSALS | {
    "server": REFUSALS["500"],
    "key": (400, error(400, "INVALID_ARGUMENT", f"API key {_SECRET} not valid.", reason("API_KEY_INVALID"))),
    "forbidden": (403, error(403, "PERMISSION_DENIED", "The caller does not have permission.")),
    "request": (400, error(400, "INVALID_ARGUMENT", "Invalid value at 'generation_config.temperature'.")),
    "context": REFUSALS["too-long"],
    "model": REFUSALS["404"],
}
_FAILURES = {"overload": _BUSY, "server": error(500, "INTERNAL", "An internal error has occurred.")}


def _refuses(cause: str, wait: str) -> Reply:
    """When to come back stands in the body, and in no header."""
    if cause == "rate":
        details = [quota(_PER_MINUTE), *([retry(f"{wait}s")] if wait else [])]
        return Reply(json.dumps(error(429, "RESOURCE_EXHAUSTED", _OVER, *details)).encode(), 429)
    status, said = _NO[cause]
    return Reply(json.dumps(said).encode(), status)


def _whole(usage: str) -> bytes:
    return json.dumps(piece({"text": "".join(_WORDS)}, finish="STOP", **_COUNTS[usage])).encode()


def _closes(usage: str) -> tuple[bytes, ...]:
    return (event(piece({"text": "", "thoughtSignature": "c2ln"}, finish="STOP", **_COUNTS[usage])),)


def _odd() -> bytes:
    """A mark, comments, all three line endings, data over several lines."""
    first, second, third, *rest = [*_TEXT, _END]
    told = b"\xef\xbb\xbf: hello\n\n" + first.replace(b"\r\n", b"\n") + second.replace(b"\r\n", b"\r")
    told += third.replace(b', "modelVersion"', b',\r\ndata: "modelVersion"') + b"event: ping\r\ndata: nothing\r\n\r\n"
    return told + b"".join(rest)


SPEECH = Speech(
    name="gemini",
    kind="gemini",
    secret=_SECRET,
    hidden=(_SECRET,),
    root="/v1beta",
    stream_type=_EVENTS,
    is_streamed=lambda seen: ":streamGenerateContent" in seen.path,
    bears_key=lambda seen: seen.headers.get("x-goog-api-key") == _SECRET and _SECRET not in seen.path,
    whole=_whole,
    opening=(),  # it says nothing before it says something
    says=lambda word: event(piece({"text": word})),
    closing=_closes,
    refuses=_refuses,
    failures={cause: json.dumps([said]).encode() for cause, said in _FAILURES.items()},
    failing={cause: event(said) for cause, said in _FAILURES.items()},
    filtered=(Reply(json.dumps(_BLOCKED).encode()), (event(_BLOCKED),)),
    garbage=b"data: {not json}\r\n\r\n",
    news=(event({"load": 3}), b"event: ping\r\ndata: pong\r\n\r\n"),
    endless=b"data: {",
    odd=_odd(),
    call=(_TOOL,),  # calls come whole, and without an index
    arguments=json.dumps(_CALL["functionCall"]["args"], separators=(",", ":")),  # type: ignore[index]
)
