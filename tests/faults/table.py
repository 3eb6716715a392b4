"""The fault matrix as a table: what a client gets, what it costs and what the vendor sees, said once for every wire.

Where a wire differs, `but` says how, and the comment why. How a row is asked for is in `world.py`, what it is checked
against in `test_matrix.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

NONE = "none"  # this way of asking is not part of the fault

V, P, C, A = "voided", "provider", "counted", "ambiguous"
COUNTS, OPENS, NOTHING = "counts", "opens", "nothing"  # what the circuit breaker makes of it


@dataclass(frozen=True)
class Fault:
    """What a client gets: a status and code, or for a stream that had begun `broken` and the code of its end."""

    id: str
    behaviour: str
    plain: str
    stream: str
    billed: tuple[str, str]  # of the first attempt, plain and streamed
    attempts: tuple[int, int] = (1, 1)  # without a fallback
    # With one: "200" unless said otherwise.
    plain_with_b: str = "200"
    stream_with_b: str = "200"
    seconds: float = 0.5  # how long it may take without a fallback
    seconds_with_b: float = 0.0  # the same unless said otherwise
    place: str = ""  # an address of its own, where it is that which is wrong; see world.py
    times: str = ""  # of the provider: which of them is short
    reached: bool = True  # the vendor got to see the request
    seen: int = 1  # how often it got to see one attempt
    breaker: str = COUNTS
    finish: str = ""  # what the client is told about the end of a whole answer, where that is the point
    but: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def on(self, wire: str) -> Fault:
        return replace(self, **self.but.get(wire, {}))

    def expected(self, *, streamed: bool, with_b: bool) -> str:
        alone = self.stream if streamed else self.plain
        if not with_b or alone == NONE:
            return alone
        return self.stream_with_b if streamed else self.plain_with_b


LATE, STALLED, DEADLINE = "504 upstream_timeout", "upstream_stalled", "deadline_exceeded"
INVALID, PROTOCOL = "502 upstream_invalid_response", "upstream_protocol_error"
INTERRUPTED, TOO_LARGE = "upstream_stream_interrupted", "upstream_too_large"
OVERLOADED, ERROR = "503 upstream_overloaded", "502 upstream_error"
LIMITED, AUTH = "429 rate_limit_exceeded", "502 upstream_auth"
UNREACHABLE, TLS, BLOCKED = "502 upstream_unreachable", "502 upstream_tls", "502 target_blocked"
NO_MODEL = "502 upstream_model_not_found"


def same(fault: str, behaviour: str, outcome: str, billed: str, **more: Any) -> Fault:
    """Plain and streamed alike."""
    return Fault(fault, behaviour, outcome, outcome, (billed, billed), **more)


def wrong(behaviour: str, outcome: str, **more: Any) -> Fault:
    """A request that is wrong wherever it goes."""
    return same("F13", behaviour, outcome, V, plain_with_b=outcome, stream_with_b=outcome, breaker=NOTHING, **more)


def broken(fault: str, behaviour: str, plain: str, code: str, billed: str = A, **more: Any) -> Fault:
    """Streams that had begun: what was said cannot be taken back, fallback or not."""
    end = f"broken {code}"
    return Fault(fault, behaviour, plain, end, (billed, C), stream_with_b=end, **more)


def address(fault: str, place: str, outcome: str, **more: Any) -> Fault:
    return same(fault, "ok", outcome, V, place=place, reached=False, **more)


FAULTS = [
    same("F00", "ok", "200", P, breaker=NOTHING),  # what the others are compared with
    address("F01", "shut", UNREACHABLE, attempts=(3, 3), seconds_with_b=0.3),
    same("F02", "resets", UNREACHABLE, A, place="fresh"),
    same("F02", "closes", UNREACHABLE, A, place="fresh"),
    same("F03", "silent", LATE, A, times="first", seconds=1.3),
    same("F04", "headers-only", LATE, A, times="first", seconds=1.3),
    Fault("F04", "opens-only", NONE, LATE, (A, A), times="first", seconds=1.3),
    broken("F05", "stalls", f"504 {STALLED}", STALLED, times="idle", seconds=1.3),
    broken("F06", "drips", f"504 {DEADLINE}", DEADLINE, times="total", seconds=2.3, plain_with_b=f"504 {DEADLINE}"),
    same("F07", "limited-briefly", LIMITED, V, attempts=(2, 2), seconds=1.5, seconds_with_b=0.3, breaker=NOTHING),
    same("F08", "limited", LIMITED, V, attempts=(3, 3), breaker=NOTHING),
    same("F09", "limited-for-ever", LIMITED, V, breaker=NOTHING),
    same("F10", "fails", ERROR, V, attempts=(3, 3)),
    same("F11", "page", ERROR, V, attempts=(3, 3)),
    same(
        "F12",
        "key-refused",
        AUTH,
        V,
        breaker=OPENS,
        # Only a 401 is believed to be about every request: these say it as 403 and as 400.
        but={"bedrock": {"breaker": COUNTS}, "gemini": {"breaker": COUNTS}},
    ),
    same("F12", "forbidden", AUTH, V),
    wrong("bad-request", "400 invalid_request_error"),
    wrong("too-long", "400 context_length_exceeded"),
    wrong(
        "filtered",
        "400 content_filter",
        but={
            # There it is how an answer ends, and the answer is paid for.
            wire: {"plain": "200", "stream": "200", "billed": (P, P), "finish": "content_filter"}
            | {"plain_with_b": "200", "stream_with_b": "200"}
            for wire in ("anthropic", "bedrock")
        }
        # There is no such thing there.
        | {"ollama": {"plain": NONE, "stream": NONE}},
    ),
    same("F14", "no-such-model", NO_MODEL, V, breaker=OPENS),
    broken("F15", "cuts", f"502 {INTERRUPTED}", INTERRUPTED),
    Fault("F15", "cuts-at-once", f"502 {INTERRUPTED}", f"502 {INTERRUPTED}", (A, A)),
    same(
        "F16",
        "half-json",
        INVALID,
        A,
        # A whole answer is written as a line of a stream is: half of it is a line that cannot be read.
        but={"ollama": {"stream": f"502 {PROTOCOL}"}},
    ),
    same("F16", "empty", INVALID, A),
    same(
        "F17",
        "error-200",
        OVERLOADED,
        V,
        attempts=(3, 3),
        # Its errors are told by the status: a 200 with something else in it is no error that anybody documents.
        but={"bedrock": {"plain": INVALID, "stream": INVALID, "billed": (A, A), "attempts": (1, 1)}},
    ),
    Fault("F18", "undecodable-first", INVALID, f"502 {PROTOCOL}", (A, A)),
    broken("F18", "undecodable-later", INVALID, PROTOCOL),
    same("F18", "unknown-types", "200", P, breaker=NOTHING),
    same(
        "F19",
        "error-first",
        OVERLOADED,
        V,
        attempts=(3, 3),
        but={"bedrock": {"plain": INVALID, "billed": (A, V), "attempts": (1, 3)}},  # as above
    ),
    broken(
        "F20",
        "error-later",
        ERROR,
        "upstream_error",
        V,
        attempts=(3, 1),
        but={"bedrock": {"plain": INVALID, "billed": (A, C), "attempts": (1, 1)}},  # as above
    ),
    broken("F21", "ends-early", INVALID, INTERRUPTED),
    same("F22", "page-of-200", INVALID, A),
    Fault("F22", "stream-for-plain", "200", NONE, (P, P), breaker=NOTHING),
    Fault("F22", "plain-for-stream", NONE, "200", (P, P), breaker=NOTHING),
    Fault("F23", "huge-body", f"502 {TOO_LARGE}", NONE, (A, A), seconds=2.5),
    Fault("F23", "huge-piece", NONE, f"502 {TOO_LARGE}", (A, A), seconds=2.5),
    Fault("F23", "huge-stream", NONE, f"broken {TOO_LARGE}", (A, C), stream_with_b=f"broken {TOO_LARGE}", seconds=5.0),
    same("F24", "bomb", INVALID, A),
    address("F25", "tls-expired", TLS, seconds=0.7),
    address("F25", "tls-wrong-host", TLS, seconds=0.7),
    address("F25", "tls-self-signed", TLS, seconds=0.7),
    address("F25", "tls-hangs", TLS, times="connect", seconds=1.3),
    address("F25", "tls-plaintext", TLS, seconds=0.7),
    same("F25", "ok", "200", P, place="tls-good", breaker=NOTHING),
    address("F26", "dns-none", UNREACHABLE, attempts=(3, 3)),
    address("F26", "dns-fails", UNREACHABLE, attempts=(3, 3)),
    address("F26", "dns-slow", UNREACHABLE, attempts=(3, 3), times="connect", seconds=3.3, seconds_with_b=1.3),
    address("F26", "dns-forbidden", BLOCKED, seconds=0.3),
    address("F26", "dns-rebinds", BLOCKED, seconds=0.3),
    same("F26", "ok", "200", P, place="dns-good", breaker=NOTHING),
    same("F27", "redirects", INVALID, V),
    same("F27", "redirects-whole", INVALID, V),
    same("F28", "no-usage", "200", C, breaker=NOTHING),
    same("F28", "absurd-usage", "200", C, breaker=NOTHING),
    Fault("F29", "odd-framing", NONE, "200", (P, P), breaker=NOTHING),
    same("F30", "not-http", INVALID, A, seconds=1.3),
    same("F30", "many-headers", INVALID, A, seconds=1.3),
    same("F30", "long-header", INVALID, A, seconds=1.3),
    # It keeps to HTTP, and is no answer for as long as it goes on.
    same("F30", "continues", LATE, A, times="first", seconds=1.3),
    Fault("F30", "bad-chunk", NONE, f"502 {INTERRUPTED}", (A, A), seconds=1.3),
    # Asked once before, so that there is a connection to be found stale: the vendor sees the request on it, and again.
    same("F31", "stale", "200", P, place="stale", seen=2, breaker=NOTHING),
    Fault("F32", "tools", NONE, "200", (P, P), breaker=NOTHING),
    same("F33", "drips-headers", LATE, A, times="first", seconds=1.3),
]
