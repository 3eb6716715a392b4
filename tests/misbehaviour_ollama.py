"""Ollama's own API: for the suite that every kind must pass (test_contract.py), and for the whole gateway.

`contract(scenario, seen, kind)` is how a request is answered; `answers(seen)` reads the scenario off the model's name.
"""

from __future__ import annotations

import json
from typing import Any

from providers.registry import KINDS, Kind
from tests.cloud import Answer, pieces, recorded, whole
from tests.faults.speech import ABSURD, COUNTED, UNCOUNTED, Reply, Speech
from tests.misbehaviour_embeddings import vector
from tests.upstream import Exchange, Seen

LACKS: frozenset[str] = frozenset({"no-money", "media-type"})

_LINES = "application/x-ndjson"
_COUNTS = {"prompt_eval_count": 9, "prompt_eval_duration": 100, "eval_count": 4, "eval_duration": 500}
_WORDS = ("Hello", " from", " upstream", ".")
_CALL = {"function": {"name": "lookup", "arguments": {"city": "Riga"}}}


def answer(message: dict[str, Any], *, done: bool = False, **more: Any) -> dict[str, Any]:
    said = {"model": "served", "created_at": "2026-11-21T12:00:00.1Z", "message": {"role": "assistant"} | message}
    return said | {"done": done} | ({"done_reason": "stop", **_COUNTS} if done else {}) | more


def line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


_TEXT = [line(answer({"content": word})) for word in _WORDS]
_END = line(answer({"content": ""}, done=True))
_CALLS = {"content": "", "tool_calls": [_CALL]}
REFUSALS = {
    "401": (401, {"error": "unauthorized"}),
    "404": (404, {"error": 'model "x" not found, try pulling it first'}),
    "429": (429, {"error": "you've reached your hourly usage limit"}),
    "500": (500, {"error": "model requires more system memory (9.1 GiB) than is available (4.0 GiB)"}),
    "too-long": (400, {"error": "prompt is longer than the context length currently available"}),
}
_CRASHED = {"error": "llama runner process has terminated"}


async def _embeds(it: Exchange) -> None:
    texts = it.seen.json["input"]
    counted = sum(len(text.split()) for text in texts)
    said = {"model": "served", "embeddings": [vector(text) for text in texts], "prompt_eval_count": counted}
    await it.whole(json.dumps(said).encode())


def _asked(seen: Seen) -> Answer:
    if seen.path.endswith("/api/version"):
        return whole({"version": "0.20.1"})
    more = {"details": {"family": "llama", "context_length": 8192}, "capabilities": ["completion", "tools"]}
    return whole({"models": [{"name": name, "model": name} | more for name in ("model-a", "model-b")]})


def contract(scenario: str, seen: Seen, kind: Kind) -> Answer:
    if scenario in REFUSALS:
        status, body = REFUSALS[scenario]
        return whole(body, status, **({"retry_after": "7"} if status == 429 else {}))
    if "/api/" not in seen.path:
        return whole(b"404 page not found", 404, "text/plain")
    if seen.method == "GET":
        return _asked(seen)
    if seen.path.endswith("/api/embed"):
        return _embeds
    streams = seen.json.get("stream", True)
    if scenario == "error-200":
        return pieces(_TEXT[0], line(_CRASHED), content_type=_LINES) if streams else whole(_CRASHED)
    if scenario == "cut":
        return pieces(*_TEXT[:3], content_type=_LINES, cut=True)
    if scenario == "stops":  # the body ends as it should, but nobody said that it is done
        return pieces(*_TEXT[:3], content_type=_LINES)
    if scenario == "thinks":
        file = recorded("ollama/thinking.ndjson" if streams else "ollama/plain.json")
        return pieces(file, content_type=_LINES) if streams else whole(file)
    if scenario == "tools" and b'"role":"tool"' not in seen.body:
        return pieces(line(answer(_CALLS)), _END, content_type=_LINES) if streams else whole(answer(_CALLS, done=True))
    if streams:
        return pieces(*_TEXT, _END, content_type=_LINES)
    return whole(answer({"content": "".join(_WORDS)}, done=True))


def answers(seen: Seen) -> Answer:
    return contract(seen.model if seen.method == "POST" else "ok", seen, KINDS["ollama"])


# -- for the matrix of faults ------------------------------------------------------------------

_SECRET = "test-key-ollama-0123456789"
_COUNTED: dict[str, dict[str, Any]] = {
    COUNTED: {},
    UNCOUNTED: {"prompt_eval_count": None, "eval_count": None},
    ABSURD: {"prompt_eval_count": 4_000_000_000, "eval_count": 9_000_000_000},
}
_NO = REFUSALS | {
    "rate": REFUSALS["429"],
    "server": REFUSALS["500"],
    "key": (401, {"error": f"unauthorized: {_SECRET}"}),
    "forbidden": (403, {"error": "this model requires a subscription"}),
    "request": (400, {"error": "invalid options: temperature"}),
    "context": REFUSALS["too-long"],
    "model": REFUSALS["404"],
}
_FAILURES = {
    "overload": {"error": "server busy, please try again.  maximum pending requests exceeded"},
    "server": _CRASHED,
}
# What a model will not say is part of what it says: nobody filters there.
_UNFILTERED = (Reply(json.dumps(answer({"content": "".join(_WORDS)}, done=True)).encode()), (*_TEXT, _END))


def _refuses(cause: str, wait: str) -> Reply:
    status, said = _NO[cause]
    return Reply(json.dumps(said).encode(), status, {"retry_after": wait} if wait else {})


SPEECH = Speech(
    name="ollama",
    kind="ollama",
    secret=_SECRET,
    hidden=(_SECRET,),
    stream_type=_LINES,
    is_streamed=lambda seen: bool(seen.json.get("stream", True)),
    bears_key=lambda seen: seen.headers.get("authorization") == f"Bearer {_SECRET}",
    whole=lambda usage: json.dumps(answer({"content": "".join(_WORDS)}, done=True, **_COUNTED[usage])).encode(),
    opening=(),  # it says nothing before it says something
    says=lambda word: line(answer({"content": word})),
    closing=lambda usage: (line(answer({"content": ""}, done=True, **_COUNTED[usage])),),
    refuses=_refuses,
    failures={cause: json.dumps(said).encode() for cause, said in _FAILURES.items()},
    failing={cause: line(said) for cause, said in _FAILURES.items()},
    filtered=_UNFILTERED,
    garbage=b"{not json}\n",
    news=(line({"status": "loading", "completed": 3}),),
    endless=b'{"model": "',
    # Both line endings, lines with nothing in them, blanks around, and no end of the last line.
    odd=b"\r\n".join([_TEXT[0].strip(), b"", b"  " + _TEXT[1].strip(), b"".join([*_TEXT[2:], b"\n", _END]).strip()]),
    call=(line(answer(_CALLS)), _END),  # calls come whole, and without an index
    arguments=json.dumps(_CALL["function"]["arguments"], separators=(",", ":")),
)
