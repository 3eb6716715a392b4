"""A parameter that a provider refuses by name is left out once, and the client is told; nothing else is left out."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests import misbehaviour
from tests.routing.gate import Gate, connect
from tests.upstream import Exchange, Upstream

REFUSES = ("temperature", "tools", "seed")


async def picky(it: Exchange) -> None:
    """Refuses what it does not take, one by one."""
    name = next((name for name in REFUSES if name in it.seen.json), "")
    if not name:
        return await misbehaviour.BEHAVIOURS["ok"](it)
    said = {
        "message": f"Unsupported parameter: '{name}'.",
        "type": "invalid_request_error",
        "param": name,
        "code": None,
    }
    await it.whole(json.dumps({"error": said}).encode(), 400)


@pytest.fixture(scope="module")
def target(gate: Gate, first: Upstream) -> Iterator[str]:
    misbehaviour.BEHAVIOURS["picky"] = picky
    connect("Picky", first.base_url, ["picky"])
    gate.refresh()
    yield "picky:picky"
    del misbehaviour.BEHAVIOURS["picky"]


@pytest.mark.parametrize("stream", [False, True])
def test_it_is_left_out_once(gate: Gate, target: str, first: Upstream, stream: bool) -> None:
    answer = gate.chat(target, temperature=0.3, stream=stream)
    assert answer.status == 200
    assert "temperature" not in first.requests[-1].json
    records = gate.records(answer.request_id)
    assert records.billed == ["voided", "provider"]
    assert records.request.warnings == ["'temperature' was dropped: picky refused it."]
    if not stream:
        assert "'temperature' was dropped" in answer.headers["x-relayhouse-warnings"]


def test_only_one_is_left_out(gate: Gate, target: str, first: Upstream) -> None:
    before = len(first.requests)
    answer = gate.chat(target, temperature=0.3, seed=7)
    assert (answer.status, answer.error["param"]) == (400, "seed")
    assert len(first.requests) == before + 2


@pytest.mark.parametrize("headers", [{"x-relayhouse-strict": "true"}, {}])
def test_what_may_not_be_left_out_is_not(gate: Gate, target: str, first: Upstream, headers: dict[str, str]) -> None:
    before = len(first.requests)
    wanted = {"temperature": 0.3} if headers else {"tools": [{"type": "function", "function": {"name": "f"}}]}
    answer = gate.chat(target, headers=headers, **wanted)
    assert answer.status == 400
    assert len(first.requests) == before + 1
