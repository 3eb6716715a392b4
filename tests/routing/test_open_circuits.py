"""A target that fails is left alone: the fallback answers at once, and without one the refusal comes at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial

import pytest

from providers.errors import TimedOut
from providers.registry import KINDS
from routing import circuits
from routing.breaker import DEFAULT
from routing.decisions import Candidate, Decision
from routing.shut import LAST_RESORT, without_shut
from routing.snapshot import ModelEntry, ProviderEntry
from tests.routing.gate import Gate
from tests.upstream import Upstream


@pytest.fixture(scope="module")
def gate(gate: Gate) -> Iterator[Gate]:
    """The same gate, with circuits that open."""
    before, gate.worker.breakers.rules = gate.worker.breakers.rules, DEFAULT
    yield gate
    gate.worker.breakers.rules = before


@pytest.fixture(autouse=True)
def closed(gate: Gate) -> Iterator[None]:
    yield
    gate.refresh()  # what was noticed is written by now
    circuits.Circuit.objects.all().delete()
    gate.call(partial(forget_all, gate))


async def forget_all(gate: Gate) -> None:
    await gate.worker.snapshots.refresh()
    breakers = gate.worker.breakers
    breakers.states, breakers.held, breakers.changes = {}, {}, []
    breakers._last_resort = 0.0


def test_after_five_failures_nobody_is_sent_there(gate: Gate, first: Upstream) -> None:
    while not gate.worker.breakers.shut(["a:500"], time.time()):
        assert gate.chat("a:500").status == 502
    # Nobody else is left, so one a second may try all the same; the others are told at once.
    refused = next(got for got in iter(lambda: gate.chat("a:500"), None) if got.status != 502)
    seen = len(first.requests)
    assert (refused.status, refused.error["code"]) == (503, "circuit_open")
    assert 1 <= int(refused.headers["retry-after"]) <= 3600
    records = gate.records(refused.request_id)
    assert (records.request.attempts, records.attempts) == (0, [])
    assert len(first.requests) == seen


def test_the_fallback_answers_without_asking_the_one_that_fails(gate: Gate, first: Upstream) -> None:
    while not gate.worker.breakers.shut(["a:500"], time.time()):
        gate.chat("a:500")
    seen = len(first.requests)
    answer = gate.chat("500")
    assert (answer.status, answer.headers["x-relayhouse-provider"]) == (200, "b")
    assert "x-relayhouse-attempts" not in answer.headers
    assert len(first.requests) == seen
    told = gate.records(answer.request_id).request.decision["candidates"]
    assert told[0]["model"] == "a:500"
    assert told[0]["verdict"].startswith("its circuit is open until ")


@pytest.mark.parametrize("behaviour", ["401", "404"])
def test_a_refusal_that_waiting_does_not_mend_opens_it_at_once(gate: Gate, behaviour: str) -> None:
    assert gate.chat(f"a:{behaviour}").status == 502
    assert gate.worker.breakers.shut([f"a:{behaviour}"], time.time())
    assert gate.chat(behaviour).headers["x-relayhouse-provider"] == "b"


def test_wrong_requests_and_limits_open_nothing(gate: Gate) -> None:
    for _ in range(6):
        gate.chat("a:429")
        gate.chat("a:400")
    assert gate.worker.breakers.shut(["a:429", "a:400"], time.time()) == {}


def test_an_answer_closes_it(gate: Gate) -> None:
    breakers = gate.worker.breakers
    for _ in range(5):
        breakers.note("a:ok", TimedOut("silent"), time.time())
    assert breakers.shut(["a:ok"], time.time())
    assert gate.chat("a:ok").status == 200  # the one trial that is allowed when nobody is left
    assert breakers.shut(["a:ok"], time.time()) == {}


def test_what_a_person_holds_is_left_alone_by_every_process(gate: Gate) -> None:
    circuits.hold("a:ok", "maintenance", None)
    gate.refresh()
    refused = gate.chat("a:ok")
    assert (refused.status, refused.error["code"]) == (503, "circuit_open")
    assert "until somebody closes it" in refused.error["message"]
    assert circuits.release("a:ok")
    gate.refresh()
    assert gate.chat("a:ok").status == 200


def test_what_opened_is_told_to_the_others(gate: Gate) -> None:
    gate.chat("a:401")
    gate.refresh()
    row = circuits.Circuit.objects.get(target="a:401")
    assert row.until is not None
    assert "API key" in row.reason


# -- the decision --------------------------------------------------------------------------


def entry(slug: str) -> ModelEntry:
    provider = ProviderEntry(1, slug, slug.title(), KINDS["vllm"], "http://127.0.0.1:9/v1", 100)
    return ModelEntry(1, provider, "m")


DECISION = Decision((Candidate(entry("a"), True, "first"), Candidate(entry("b"), True, "fallback")), "BARE m")
NOW = datetime.fromisoformat("2026-11-24T10:00:00+00:00").timestamp()


def test_those_left_say_nothing_of_circuits() -> None:
    told = without_shut(DECISION, {"a:m": NOW + 130}, NOW)
    assert [model.string for model in told.usable] == ["b:m"]
    assert told.candidates[0].verdict == "its circuit is open until 10:02:10 UTC"
    assert told.candidates[1] == DECISION.candidates[1]
    assert told.problem is None


def test_nobody_left_is_told_with_the_shortest_wait() -> None:
    told = without_shut(DECISION, {"a:m": NOW + 130, "b:m": NOW + 12}, NOW)
    assert told.problem is not None
    assert (told.problem.code, told.problem.retry_after) == ("circuit_open", 12)


def test_the_last_resort_is_tried_all_the_same() -> None:
    told = without_shut(DECISION, {"a:m": NOW + 130, "b:m": NOW + 12}, NOW, "b:m")
    assert [model.string for model in told.usable] == ["b:m"]
    assert told.candidates[1].verdict == LAST_RESORT


def test_what_was_not_usable_stays_as_it_was() -> None:
    off = Candidate(entry("c"), False, "C is switched off")
    decision = replace(DECISION, candidates=(*DECISION.candidates, off))
    assert without_shut(decision, {"a:m": NOW + 5}, NOW).candidates[2] == off
