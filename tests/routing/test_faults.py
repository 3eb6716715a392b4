"""The fault matrix of docs/reliability.md on the OpenAI wire: every fault, plain and streamed, with and without a
healthy fallback. All of them are asked at once; each test looks at one."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import httpx
import pytest

from tests.routing.gate import MESSAGES, WAIT_SECONDS, Gate, Got

TEXT = "Hello from upstream."
NONE = "none"  # this way of asking is not part of the fault


@dataclass(frozen=True)
class Fault:
    """What a client gets: a status and code, or for a stream that had begun `broken` and the code of its end."""

    id: str
    behaviour: str
    plain: str
    stream: str
    billed: tuple[str, str]  # of the first attempt, plain and streamed
    attempts: int = 1  # without a fallback
    # With one: "200" unless said otherwise.
    plain_with_b: str = "200"
    stream_with_b: str = "200"
    seconds: float = 0.5  # how long it may take without a fallback


V, P, C, A = "voided", "provider", "counted", "ambiguous"
LATE, STALLED, DEADLINE = "504 upstream_timeout", "upstream_stalled", "deadline_exceeded"
INVALID, INTERRUPTED = "502 upstream_invalid_response", "upstream_stream_interrupted"
OVERLOADED, ERROR = "503 upstream_overloaded", "502 upstream_error"
LIMITED = "429 rate_limit_exceeded"

FAULTS = [
    Fault("F01", "shut", "502 upstream_unreachable", "502 upstream_unreachable", (V, V), attempts=3),
    Fault("F02", "resets", "502 upstream_unreachable", "502 upstream_unreachable", (A, A)),
    Fault("F02", "closes", "502 upstream_unreachable", "502 upstream_unreachable", (A, A)),
    Fault("F03", "silent", LATE, LATE, (A, A), seconds=1.0),
    Fault("F04", "headers-only", LATE, LATE, (A, A), seconds=1.0),
    Fault(
        "F05", "stalls", f"504 {STALLED}", f"broken {STALLED}", (A, C), stream_with_b=f"broken {STALLED}", seconds=1.5,
    ),
    Fault(
        "F06", "drips", f"504 {DEADLINE}", f"broken {DEADLINE}", (A, C), plain_with_b=f"504 {DEADLINE}",
        stream_with_b=f"broken {DEADLINE}", seconds=2.5,
    ),
    Fault("F07", "429-soon", LIMITED, LIMITED, (V, V), attempts=2, seconds=1.5),
    Fault("F08", "429", LIMITED, LIMITED, (V, V), attempts=3),
    Fault("F09", "429-absurd", LIMITED, LIMITED, (V, V)),
    Fault("F10", "500", ERROR, ERROR, (V, V), attempts=3),
    Fault("F11", "html", ERROR, ERROR, (V, V), attempts=3),
    Fault("F12", "401", "502 upstream_auth", "502 upstream_auth", (V, V)),
    Fault("F12", "403", "502 upstream_auth", "502 upstream_auth", (V, V)),
    Fault(
        "F13", "filtered", "400 content_filter", "400 content_filter", (V, V),
        plain_with_b="400 content_filter", stream_with_b="400 content_filter",
    ),
    Fault(
        "F13", "too-long", "400 context_length_exceeded", "400 context_length_exceeded", (V, V),
        plain_with_b="400 context_length_exceeded", stream_with_b="400 context_length_exceeded",
    ),
    Fault(
        "F13", "400", "400 invalid_request_error", "400 invalid_request_error", (V, V),
        plain_with_b="400 invalid_request_error", stream_with_b="400 invalid_request_error",
    ),
    Fault("F14", "404", "502 upstream_model_not_found", "502 upstream_model_not_found", (V, V)),
    Fault("F15", "cuts", f"502 {INTERRUPTED}", f"broken {INTERRUPTED}", (A, C), stream_with_b=f"broken {INTERRUPTED}"),
    Fault("F15", "cuts-at-once", NONE, f"502 {INTERRUPTED}", (A, A)),
    Fault("F16", "bad-json", INVALID, INVALID, (A, A)),
    Fault("F16", "empty", INVALID, INVALID, (A, A)),
    Fault("F17", "error-200", OVERLOADED, OVERLOADED, (V, V), attempts=3),
    Fault("F18", "undecodable-first", INVALID, "502 upstream_protocol_error", (A, A)),
    Fault(
        "F18", "undecodable-later", INVALID, "broken upstream_protocol_error", (A, C),
        stream_with_b="broken upstream_protocol_error",
    ),
    Fault("F18", "unknown-types", "200", "200", (P, P)),
    Fault("F19", "error-first", OVERLOADED, OVERLOADED, (V, V), attempts=3),
    Fault(
        "F20", "error-later", ERROR, "broken upstream_error", (V, C), attempts=3,
        stream_with_b="broken upstream_error",
    ),
    Fault("F21", "ends-early", INVALID, f"broken {INTERRUPTED}", (A, C), stream_with_b=f"broken {INTERRUPTED}"),
    Fault("F22", "html-200", INVALID, INVALID, (A, A)),
    Fault("F22", "sse-for-json", "200", NONE, (P, P)),
    Fault("F22", "json-for-sse", NONE, "200", (P, P)),
    Fault("F23", "huge-line", NONE, "502 upstream_too_large", (A, A), seconds=2.5),
    Fault("F23", "huge-body", "502 upstream_too_large", NONE, (A, A), seconds=2.5),
    Fault("F24", "bomb", INVALID, INVALID, (A, A)),
    Fault("F27", "redirects", INVALID, INVALID, (V, V)),
    Fault("F28", "no-usage", "200", "200", (C, C)),
    Fault("F28", "absurd-usage", "200", "200", (C, C)),
    Fault("F29", "odd-framing", NONE, "200", (P, P)),
    Fault("F30", "not-http", INVALID, INVALID, (A, A), seconds=1.3),
    Fault("F30", "many-headers", INVALID, INVALID, (A, A), seconds=1.3),
    Fault("F30", "long-header", INVALID, INVALID, (A, A), seconds=1.3),
    Fault("F30", "bad-chunk", NONE, f"502 {INTERRUPTED}", (A, A), seconds=1.3),
    Fault("F33", "drips-headers", LATE, LATE, (A, A), seconds=1.3),
]  # fmt: skip

CASES = [
    pytest.param(fault, streamed, with_b, id=f"{fault.id}-{fault.behaviour}-{way}-{'A+B' if with_b else 'A'}")
    for fault in FAULTS
    for streamed, way, expected in ((False, "plain", fault.plain), (True, "stream", fault.stream))
    if expected != NONE
    for with_b in (False, True)
]


def model_of(fault: Fault, with_b: bool) -> str:
    if with_b:
        return fault.behaviour
    return "shut:shut" if fault.behaviour == "shut" else f"a:{fault.behaviour}"


@pytest.fixture(scope="module")
def answers(gate: Gate) -> dict[tuple[str, bool], Got]:
    """By model and way of asking. What takes long takes long side by side."""
    asked = sorted({(model_of(case.values[0], case.values[2]), case.values[1]) for case in CASES})  # type: ignore[arg-type, union-attr]
    return asyncio.run(ask_all(gate, asked))


async def ask_all(gate: Gate, asked: list[tuple[str, bool]]) -> dict[tuple[str, bool], Got]:
    limits = httpx.Limits(max_connections=200)
    places = asyncio.Semaphore(16)  # two cores: more at once would only wait for each other

    async def ask(client: httpx.AsyncClient, model: str, streamed: bool) -> Got:
        body = {"model": model, "messages": MESSAGES, "stream": streamed}
        async with places:
            began = time.perf_counter()
            answer = await client.post("/v1/chat/completions", json=body, headers=gate.headers)
            return Got(answer.status_code, answer.headers, answer.content, time.perf_counter() - began)

    async with httpx.AsyncClient(base_url=gate.url, timeout=WAIT_SECONDS, limits=limits) as client:
        found = {}
        # Floods last and by themselves: they leave no time to those who have little.
        for together in ([one for one in asked if "huge" not in one[0]], [one for one in asked if "huge" in one[0]]):
            found |= dict(zip(together, await asyncio.gather(*(ask(client, *one) for one in together)), strict=True))
    return found


def told(got: Got) -> str:
    """As the table says it."""
    if got.is_stream:
        assert got.status == 200
        if got.error:
            assert not got.done, "an interrupted stream must not look whole"
            assert got.text, "the answer had begun"
            return f"broken {got.error['code']}"
        assert got.done
        return "200"
    return "200" if got.status == 200 else f"{got.status} {got.error['code']}"


@pytest.mark.parametrize(("fault", "streamed", "with_b"), CASES)
def test_fault(gate: Gate, answers: dict[tuple[str, bool], Got], fault: Fault, streamed: bool, with_b: bool) -> None:
    got = answers[model_of(fault, with_b), streamed]
    alone = fault.stream if streamed else fault.plain
    expected = (fault.stream_with_b if streamed else fault.plain_with_b) if with_b else alone
    assert told(got) == expected
    assert got.seconds < fault.seconds + 1.5
    if expected == "200":
        assert got.text == TEXT
    else:
        assert set(got.error) == {"message", "type", "param", "code", "retryable", "request_id"}
        assert got.error["request_id"] == got.request_id
        assert b"secret-proxy-7" not in got.body
        assert b"test-key-sec" not in got.body
        assert b"<" not in got.body
    records = gate.records(got.request_id)
    first = records.attempts[0]
    assert first.billed == fault.billed[streamed]
    fell_back = with_b and expected == "200" and alone != "200"
    if fell_back:
        assert len(records.attempts) == 2
        assert records.billed[1] == P
        assert got.headers["x-relayhouse-attempts"] == "2"
        assert got.headers["x-relayhouse-provider"] in ("b", "b2")
    elif not with_b:
        assert len(records.attempts) == (1 if "broken" in expected else fault.attempts)
    charged = [billed for billed in records.billed if billed not in (V, A)]
    assert [entry.usage_source for entry in records.entries] == charged
    assert all(entry.amount_nano for entry in records.entries)
    assert records.request.attempts == len(records.attempts)
    assert records.request.status == (
        "ok" if expected == "200" else "interrupted" if "broken" in expected else "failed"
    )
    if not got.is_stream and got.status in (429, 502, 503, 504):
        assert got.headers["x-should-retry"] == "false"


def test_what_a_client_is_told_about_waiting(answers: dict[tuple[str, bool], Got]) -> None:
    assert answers["a:429-soon", False].headers["retry-after"] == "1"
    assert answers["a:429", False].headers["retry-after"] == "1"
    assert answers["a:429-absurd", False].headers["retry-after"] == "3600"


def test_nothing_is_left_in_flight(gate: Gate, answers: dict[tuple[str, bool], Got]) -> None:
    assert answers
    gate.at_rest()


def test_a_stale_connection_costs_nobody_anything(gate: Gate) -> None:
    for _ in range(3):  # F31
        got = gate.chat("a:stale")
        assert (got.status, got.text) == (200, TEXT)
        assert gate.records(got.request_id).billed == [P]


def test_tool_calls_arrive_as_they_were_sent(gate: Gate) -> None:
    got = gate.chat("a:tools", stream=True)  # F32
    calls = [
        call for event in got.events for choice in event["choices"] for call in choice["delta"].get("tool_calls", ())
    ]
    assert "".join(call["function"]["arguments"] for call in calls) == '{"city": "Riga"}'
    assert calls[0]["function"]["name"] == "lookup"
