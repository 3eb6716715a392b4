"""Anthropic's Messages, for the suite that every kind must pass: `contract(scenario, seen, kind)` answers a request."""

from __future__ import annotations

import json
from typing import Any

from providers.registry import Kind
from tests.cloud import Answer, pieces, whole
from tests.faults.speech import ABSURD, COUNTED, CUT_ARGUMENTS, UNCOUNTED, Reply, Speech
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


# -- for the matrix of faults ------------------------------------------------------------------

_SECRET = "test-key-anthropic-0123456789"
_USAGES = {
    COUNTED: _USAGE,
    UNCOUNTED: None,
    ABSURD: _USAGE | {"input_tokens": 4_000_000_000, "output_tokens": 9_000_000_000},
}
_NO: dict[str, tuple[int, str, str]] = {
    "rate": (429, "rate_limit_error", "This request would exceed your rate limit."),
    "server": (500, "api_error", "Internal server error"),
    "key": (401, "authentication_error", f"invalid x-api-key {_SECRET}"),
    "forbidden": (403, "permission_error", "Your API key may not use this."),
    "request": (400, "invalid_request_error", "temperature: range: 0..1"),
    "context": (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
    "model": (404, "not_found_error", "model: model-a"),
}
_FAILURES = {
    "overload": error("overloaded_error", "Overloaded"),
    "server": error("api_error", "Internal server error"),
}


def _refuses(cause: str, wait: str) -> Reply:
    status, kind, words = _NO[cause]
    return Reply(json.dumps(error(kind, words)).encode(), status, {"retry_after": wait} if wait else {})


def _whole(usage: str, stop: str = "end_turn") -> bytes:
    told = message([{"type": "text", "text": "".join(_WORDS)}], stop) | {"usage": _USAGES[usage]}
    return json.dumps(told).encode()


def _closes(usage: str, stop: str = "end_turn") -> tuple[bytes, ...]:
    """The opening has a guess of the numbers; without those here nothing is known."""
    counted = _USAGES[usage]
    delta = {"stop_reason": stop, "stop_sequence": None}
    told = event("message_delta", delta=delta, **({"usage": counted} if counted else {}))
    return event("content_block_stop", index=0), told, event("message_stop")


_OPENING = (
    event("message_start", message=message([], None, _USAGE | {"output_tokens": 1})),
    event("ping"),
    event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
)


def _says(word: str) -> bytes:
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": word})


def _odd() -> bytes:
    """A mark, comments, all three line endings, data over several lines, an event without a name."""
    begun, hello, *rest = [*_OPENING, *map(_says, _WORDS), *_closes(COUNTED)]
    told = b"\xef\xbb\xbf: hello\r\n\r\n" + begun.replace(b"\n", b"\r\n") + hello.replace(b"\n", b"\r")
    told += rest[0].replace(b', "index"', b',\ndata: "index"') + rest[1].partition(b"\n")[2]
    return told + b"".join(rest[2:])


_CUT_CALL = (
    _OPENING[0],
    event("content_block_start", index=5, content_block=_CALL),
    *(
        event("content_block_delta", index=5, delta={"type": "input_json_delta", "partial_json": part})
        for part in (CUT_ARGUMENTS[:4], CUT_ARGUMENTS[4:])
    ),
    event("content_block_stop", index=5),
    *_closes(COUNTED, "max_tokens")[1:],
)

SPEECH = Speech(
    name="anthropic",
    kind="anthropic",
    secret=_SECRET,
    hidden=(_SECRET,),
    stream_type=_EVENTS,
    is_streamed=lambda seen: seen.streamed,
    bears_key=lambda seen: seen.headers.get("x-api-key") == _SECRET,
    whole=_whole,
    opening=_OPENING,
    says=_says,
    closing=_closes,
    refuses=_refuses,
    failures={cause: json.dumps(said).encode() for cause, said in _FAILURES.items()},
    failing={cause: event("error", error=said["error"]) for cause, said in _FAILURES.items()},
    # What it will not say ends an answer; there is no error for it.
    filtered=(
        Reply(_whole(COUNTED, "refusal")),
        (*_OPENING, *map(_says, _WORDS), *_closes(COUNTED, "refusal")),
    ),
    garbage=b"event: content_block_delta\ndata: {not json}\n\n",
    news=(
        event("metrics", load=3),
        event("content_block_start", index=7, content_block={"type": "hologram"}),
        event("content_block_delta", index=7, delta={"type": "hologram_delta", "light": 1}),
        event("content_block_stop", index=7),
    ),
    endless=b"event: content_block_delta\ndata: {",
    odd=_odd(),
    call=_CUT_CALL,
    arguments=CUT_ARGUMENTS,
)
