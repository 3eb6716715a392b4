"""The OpenAI wire as each of its vendors speaks it, for the suite that every kind must pass.

`contract(scenario, seen, kind)` is how a request is answered. What a vendor calls a bad key, an unknown model, a prompt
that is too long or an empty purse stands in `FACES`, as it documents it; the others say it as OpenAI does.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from providers.registry import Kind
from tests.faults.speech import ABSURD as ABSURD_USAGE
from tests.faults.speech import COUNTED, CUT_ARGUMENTS, UNCOUNTED, Reply, Speech
from tests.misbehaviour import ABSURD, DONE, USAGE, body, either, error, event, events, listing, refuses, stream
from tests.misbehaviour_embeddings import BEHAVIOURS, embeds, vector
from tests.upstream import Exchange, Seen

Behaviour = Callable[[Exchange], Awaitable[None]]

MODELS = ["model-a", "model-b"]
PATHS = ("/chat/completions", "/embeddings", "/feature-extraction")

_ARGUMENTS = '{"city": "Riga"}'
_CALL = {"id": "call_a1", "type": "function", "function": {"name": "lookup", "arguments": _ARGUMENTS}}


async def ok(it: Exchange) -> None:
    await either(it, body(), [*events(), DONE])


async def tools(it: Exchange) -> None:
    """A call in pieces; once its result is there, an answer."""
    if any(message.get("role") == "tool" for message in it.seen.json["messages"]):
        await ok(it)
        return
    pieces = [
        event({"role": "assistant", "content": None}),
        event({"tool_calls": [{"index": 0, **_CALL, "function": {"name": "lookup", "arguments": ""}}]}),
        event({"tool_calls": [{"index": 0, "function": {"arguments": _ARGUMENTS[:9]}}]}),
        event({"tool_calls": [{"index": 0, "function": {"arguments": _ARGUMENTS[9:]}}]}),
        event({}, "tool_calls"),
        event(None, usage=USAGE),
        DONE,
    ]
    await either(it, body("", tool_calls=[_CALL]), pieces)


async def cut(it: Exchange) -> None:
    await it.stream_head()
    await it.chunk(b"".join(events()[:3]))
    it.reset()


async def error_200(it: Exchange) -> None:
    said = error("The engine is overloaded.", "server_is_overloaded", "server_error")
    await (stream(it, [b"data: " + said + b"\n\n"]) if it.seen.streamed else it.whole(said))


async def embeddings(it: Exchange) -> None:
    if "/feature-extraction" in it.seen.path:
        await it.whole(json.dumps([vector(text) for text in it.seen.json["inputs"]]).encode())
    else:
        await embeds(it)


def _said(status: int, value: Any, **headers: str) -> Behaviour:
    if isinstance(value, str):
        return refuses(status, value.encode(), "text/plain", **headers)
    return refuses(status, json.dumps(value).encode(), **headers)


def _error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


_USUAL: Mapping[str, Behaviour] = {
    "401": _said(401, _error("Incorrect API key provided: test-key-sec***.", code="invalid_api_key")),
    "404": _said(404, _error("The model does not exist.", code="model_not_found", param="model")),
    "429": _said(429, _error("Rate limit reached.", code="rate_limit_exceeded"), retry_after="7"),
    "500": _said(500, _error("The server had an error.", type="server_error")),
    "too-long": _said(400, _error("This model's maximum context length is 16 tokens.", code="context_length_exceeded")),
    "no-money": _said(429, _error("You exceeded your current quota.", code="insufficient_quota")),
}

_MISTRAL = {"object": "error", "param": None}
FACES: Mapping[str, Mapping[str, Behaviour]] = {
    "azure-openai": {
        "401": _said(401, _error("Access denied due to invalid subscription key.", code="401")),
        "404": _said(404, _error("The deployment does not exist.", code="DeploymentNotFound")),
        "429": _said(429, _error("Exceeded token rate limit. Please retry after 34 seconds.", code="429"),
                     retry_after_ms="7000"),
        "too-long": _said(400, _error("Input tokens exceed the configured limit of 16 tokens.")),
    },
    "mistral": {
        "401": _said(401, {"detail": "Unauthorized"}),
        "404": _said(400, _MISTRAL | {"message": "Invalid model: x", "type": "invalid_model", "code": "1500"}),
        "429": _said(429, _MISTRAL | {"message": "Rate limit exceeded", "code": "3505"}, retry_after="7"),
        "too-long": _said(400, _MISTRAL | {"message": "Prompt is too large for model with 16 maximum context length"}),
    },
    "vllm": {
        "401": _said(401, {"error": "Unauthorized"}),
        "404": _said(404, _error("The model `x` does not exist.", type="NotFoundError", param="model", code=404)),
        "too-long": _said(400, {"object": "error", "message": "The prompt is longer than the maximum model length of "
                                "16.", "type": "BadRequestError", "code": 400}),
    },
    "lmstudio": {
        "401": _said(401, _error("Malformed LM Studio API token provided: test-key-s***", code="invalid_api_key")),
        "404": _said(400, _error("No models loaded. Please load a model.", code="model_not_found")),
        "too-long": _said(400, {"error": "The model is loaded with context length of only 4096 tokens."}),
    },
    "docker-model-runner": {
        "404": _said(404, "model not found"),
        "too-long": _said(400, _error("the request exceeds the available context size", code=400,
                                      type="exceed_context_size_error")),
    },
    "scaleway": {"404": _said(422, {"message": "model is missing"})},
    "groq": {
        "404": _said(400, _error("The model was decommissioned.", code="model_decommissioned")),
        "too-long": _said(400, _error("Please reduce the length of the messages or completion.")),
    },
    "xai": {
        "401": _said(400, {"code": "Client specified an invalid argument",
                           "error": "Incorrect API key provided: te***89."}),
        "404": _said(404, {"code": "Not found", "error": "The model x does not exist or your team has no access."}),
        "too-long": _said(400, {"code": "Client specified an invalid argument", "error": "This model's maximum prompt "
                                "length is 16 but the request contains 99 tokens."}),
        "no-money": _said(403, {"code": "The caller does not have permission",
                                "error": "Your newly created team doesn't have any credits yet."}),
    },
    "deepseek": {
        "401": _said(401, _error("Authentication Fails, Your api key: ****6789 is invalid",
                                 type="authentication_error", code="invalid_request_error")),
        "no-money": _said(402, _error("Insufficient Balance", type="unknown_error", code="invalid_request_error")),
    },
    "moonshot": {
        "401": _said(401, _error("Invalid Authentication", type="invalid_authentication_error")),
        "404": _said(404, _error("Not found the model x or Permission denied", type="resource_not_found_error")),
        "429": _said(429, _error("Too many requests", type="rate_limit_reached_error"), retry_after="7"),
        "too-long": _said(400, _error("Your request exceeded model token limit: 16", type="invalid_request_error")),
        "no-money": _said(429, _error("Your account is suspended", type="exceeded_current_quota_error")),
    },
    "zhipu": {
        "401": _said(401, _error("token expired or incorrect", code="1000")),
        "404": _said(400, _error("Unknown Model", code="1211")),
        "429": _said(429, _error("Rate limit reached for requests", code="1302"), retry_after="7"),
        "too-long": _said(400, _error("Prompt exceeds max length", code="1261")),
        "no-money": _said(429, _error("Insufficient balance", code="1113")),
    },
    "qwen": {
        "401": _said(401, _error("Incorrect API key provided.", code="InvalidApiKey")),
        "404": _said(404, {"code": "ModelNotFound", "message": "Model not exist.", "request_id": "r"}),
        "429": _said(429, _error("Requests throttled.", code="Throttling.RateQuota"), retry_after="7"),
        "too-long": _said(400, _error("Range of input length should be [1, 16]", code="InvalidParameter")),
        "no-money": _said(400, _error("Access denied: overdue payment.", code="Arrearage")),
    },
    "openrouter": {
        "401": _said(401, _error("Missing Authentication header", code=401)),
        "404": _said(400, _error("x is not a valid model ID", code=400)),
        "429": _said(429, _error("Provider returned error", code=429), retry_after="7"),
        "too-long": _said(400, _error("Provider returned error", code=400, metadata={
            "raw": '{"error":{"message":"This model\'s maximum context length is 16 tokens."}}'})),
        "no-money": _said(402, _error("This request requires more credits.", code=402)),
    },
    "huggingface": {
        "404": _said(400, _error("The requested model 'x/y' is not supported by any provider you have enabled.",
                                 type="invalid_request_error", param="model", code="model_not_supported")),
        "no-money": _said(402, {"error": "You have exceeded your monthly included credits."}),
    },
}  # fmt: skip

_SPOKEN: Mapping[str, Behaviour] = {"ok": ok, "tools": tools, "cut": cut, "error-200": error_200}


def contract(scenario: str, seen: Seen, kind: Kind) -> Behaviour:
    refused = FACES.get(kind.slug, {}).get(scenario) or _USUAL.get(scenario)
    if refused is not None:
        return refused
    if seen.method == "GET":
        return listing(MODELS)
    if not seen.path.partition("?")[0].endswith(PATHS):
        return _said(404, "no such route")
    if "embedding" in seen.path or "/feature-extraction" in seen.path:
        return embeddings if scenario == "ok" else BEHAVIOURS[scenario]
    return _SPOKEN[scenario]


# -- for the matrix of faults ------------------------------------------------------------------

_USAGES = {COUNTED: USAGE, UNCOUNTED: None, ABSURD_USAGE: ABSURD}
_OPENING, _CLOSING = events()[:1], events(usage=None)[-1:]
_OPENAI_SECRET = "test-key-openai-0123456789"
_REFUSALS: Mapping[str, tuple[int, bytes]] = {
    "rate": (429, error("Rate limit reached for requests.", "rate_limit_exceeded", "requests")),
    "server": (500, error("The server had an error.", "server_error", "server_error")),
    "key": (401, error(f"Incorrect API key provided: {_OPENAI_SECRET}.", "invalid_api_key")),
    "forbidden": (403, error("No permission.", "permission_denied", "permission_error")),
    "request": (400, error("Unsupported value.", "unsupported_value", param="temperature")),
    "context": (400, error("This model's maximum context length is 16 tokens.", "context_length_exceeded")),
    "filter": (400, error("Refused.", "content_policy_violation")),
    "model": (404, error("The model does not exist.", "model_not_found")),
}
_FAILURES = {
    "overload": error("The engine is overloaded.", "server_is_overloaded", "server_error"),
    "server": error("The server had an error.", "server_error", "server_error"),
}


def _refuses(cause: str, wait: str) -> Reply:
    status, said = _REFUSALS[cause]
    return Reply(said, status, {"retry_after": wait} if wait else {})


def _closes(usage: str) -> tuple[bytes, ...]:
    counted = _USAGES[usage]
    return (*_CLOSING, *([event(None, usage=counted)] if counted else []), DONE)


def _odd() -> bytes:
    """A mark, comments, all three line endings, data over several lines."""
    begun, hello, second, *rest = events()
    told = b"\xef\xbb\xbf: hello\r\n\r\n"
    told += begun.replace(b"\n", b"\r\n") + hello.replace(b"\n", b"\r") + b"event: ping\ndata: nothing\n\n"
    return told + second.replace(b', "object"', b',\ndata: "object"') + b"".join(rest) + b"id: 7\ndata:[DONE]\n\n"


def _call_piece(**more: Any) -> bytes:
    return event({"tool_calls": [{"index": 3, **more}]})


SPEECH = Speech(
    name="openai",
    kind="vllm",
    secret=_OPENAI_SECRET,
    hidden=(_OPENAI_SECRET,),
    root="/v1",
    stream_type="text/event-stream; charset=utf-8",
    is_streamed=lambda seen: seen.streamed,
    bears_key=lambda seen: seen.headers.get("authorization") == f"Bearer {_OPENAI_SECRET}",
    whole=lambda usage: body(usage=_USAGES[usage]),
    opening=tuple(_OPENING),
    says=lambda word: event({"content": word}),
    closing=_closes,
    refuses=_refuses,
    failures=_FAILURES,
    failing={cause: b"event: error\ndata: " + said + b"\n\n" for cause, said in _FAILURES.items()},
    filtered=(_refuses("filter", ""), None),
    garbage=b"data: {not json}\n\n",
    news=(b'event: metrics\ndata: {"type": "metrics", "load": 3}\n\n', b"event: ping\ndata: pong\n\n"),
    endless=b"data: {",
    odd=_odd(),
    call=(
        *_OPENING,
        _call_piece(id="call_1", type="function", function={"name": "lookup", "arguments": ""}),
        *(_call_piece(function={"arguments": part}) for part in (CUT_ARGUMENTS[:4], CUT_ARGUMENTS[4:])),
        event({}, "length"),
        event(None, usage=USAGE),
        DONE,
    ),
    arguments=CUT_ARGUMENTS,
)
