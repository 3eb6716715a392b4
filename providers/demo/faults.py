"""How each fault looks on the wire: refused before it starts, spoilt in the body, or broken in mid-stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from providers.demo.answers import Answer
from providers.demo.catalogue import Fault
from providers.demo.wire import Refusal

JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"
YEAR = 365 * 24 * 3600


class Ending(Enum):
    """What happens after the last byte that is sent."""

    COMPLETE = "complete"
    CUT = "cut"  # the connection breaks
    STALL = "stall"  # it stays open, and nothing comes any more


@dataclass(frozen=True, slots=True)
class Reply:
    """Bytes to send in the order and pace of tokens. `length` is declared when the body is not a stream."""

    status: int
    content_type: str
    chunks: Sequence[bytes]
    ending: Ending = Ending.COMPLETE
    length: int | None = None
    headed: bool = True  # False: not even headers come


def whole(status: int, content_type: str, body: bytes) -> Reply:
    return Reply(status, content_type, [body] if body else [], length=len(body))


def _rate_limited(seconds: int) -> Refusal:
    return Refusal(
        429,
        f"Rate limit reached for requests: try again in {seconds} s.",
        type="requests",
        code="rate_limit_exceeded",
        headers={
            "retry-after": str(seconds),
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "0",
        },
    )


_OVERLOADED = Refusal(503, "The model is overloaded: try again shortly.", "server_error", "server_is_overloaded")
_BROKEN = Refusal(500, "The server had an error while answering.", "server_error", "server_error")
_LIMITED = _rate_limited(1)

REFUSALS: dict[Fault, Refusal] = {
    Fault.RATE_LIMIT: _LIMITED,
    Fault.RATE_LIMIT_ONCE: _LIMITED,
    Fault.RATE_LIMIT_FOREVER: _rate_limited(YEAR),
    Fault.SERVER_ERROR: _BROKEN,
    Fault.OVERLOADED: _OVERLOADED,
    Fault.FLAKY: _OVERLOADED,
    Fault.BAD_KEY: Refusal(401, "Incorrect API key provided.", code="invalid_api_key"),
    Fault.UNKNOWN_MODEL: Refusal(
        404, "The model does not exist or you do not have access to it.", code="model_not_found", param="model"
    ),
    Fault.CONTEXT_TOO_LONG: Refusal(
        400,
        "This model's maximum context length is 16 tokens; your messages are longer. Please shorten them.",
        code="context_length_exceeded",
        param="messages",
    ),
    Fault.CONTENT_FILTER: Refusal(
        400, "The request was refused by the content filter.", code="content_policy_violation", param="messages"
    ),
}

_PAGE = b"""<!DOCTYPE html>
<html><head><title>502 Bad Gateway</title></head>
<body><center><h1>502 Bad Gateway</h1></center><hr><center>pretend-proxy</center></body></html>
"""
_PORTAL = b"""<!DOCTYPE html>
<html><head><title>Welcome</title></head><body><h1>Sign in to use this network</h1></body></html>
"""

# Answers that are the same whether a stream was asked for or not.
REPLIES: dict[Fault, Reply] = {
    Fault.HTML: whole(502, "text/html; charset=utf-8", _PAGE),
    Fault.HTML_IN_200: whole(200, "text/html; charset=utf-8", _PORTAL),
    Fault.ERROR_IN_200: whole(200, JSON, _OVERLOADED.body()),
}


def spoilt_answer(fault: Fault | None, answer: Answer) -> Answer:
    if fault is Fault.FILTERED_MID_ANSWER:
        few = few_of(len(answer.pieces))
        return replace(answer, pieces=answer.pieces[:few], calls=(), finish="content_filter")
    return answer


def spoilt_usage(fault: Fault | None, usage: dict[str, object]) -> dict[str, object] | None:
    if fault is Fault.NO_USAGE:
        return None
    if fault is Fault.ABSURD_USAGE:
        prompt, completion = 4_000_000_000, 9_000_000_000
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return usage


def few_of(number: int) -> int:
    """How much is sent before something breaks: a dozen, or half of what is shorter."""
    return min(12, number // 2)


def plain_reply(fault: Fault | None, body: bytes) -> Reply:
    half = body[: len(body) // 2]
    match fault:
        case Fault.SILENT:
            return Reply(200, JSON, [], Ending.STALL, headed=False)
        case Fault.STALL:
            return Reply(200, JSON, [half], Ending.STALL, length=len(body))
        case Fault.CUT_MID_STREAM:
            return Reply(200, JSON, [half], Ending.CUT, length=len(body))
        case Fault.BAD_JSON | Fault.EARLY_END:
            return whole(200, JSON, half)
        case Fault.EMPTY:
            return whole(200, JSON, b"")
        case Fault.ERROR_FIRST_EVENT:
            return whole(_OVERLOADED.status, JSON, _OVERLOADED.body())
        case Fault.ERROR_MID_STREAM:
            return whole(_BROKEN.status, JSON, _BROKEN.body())
        case _:
            return whole(200, JSON, body)


def _event(refusal: Refusal) -> bytes:
    return b"data: " + refusal.body() + b"\n\n"


def stream_reply(fault: Fault | None, events: Sequence[bytes]) -> Reply:
    """`events` are the role, one for each token, the finish, perhaps the usage, and [DONE]."""
    some = events[: 1 + few_of(len(events))]
    match fault:
        case Fault.SILENT:
            return Reply(200, EVENTS, [], Ending.STALL)
        case Fault.STALL:
            return Reply(200, EVENTS, some, Ending.STALL)
        case Fault.CUT_MID_STREAM:
            return Reply(200, EVENTS, some, Ending.CUT)
        case Fault.EARLY_END:
            return Reply(200, EVENTS, some)
        case Fault.NO_DONE:
            return Reply(200, EVENTS, events[:-1])
        case Fault.BAD_JSON:
            return Reply(200, EVENTS, [events[0][: len(events[0]) // 2] + b"\n\n"])
        case Fault.EMPTY:
            return Reply(200, EVENTS, [])
        case Fault.ERROR_FIRST_EVENT:
            return Reply(200, EVENTS, [_event(_OVERLOADED)])
        case Fault.ERROR_MID_STREAM:
            return Reply(200, EVENTS, [*some, _event(_BROKEN)])
        case _:
            return Reply(200, EVENTS, events)
