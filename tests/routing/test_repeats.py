"""The same `Idempotency-Key`: asked once, billed once, answered as often as it is repeated."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.utils import timezone

from routing.keys import create_key
from routing.models import Repeat
from routing.repeats import KEPT, LONGEST_ANSWER, Claim, _keep
from tests.routing.gate import Gate, Got
from tests.upstream import Upstream


def ask(gate: Gate, key: str, model: str = "a:ok", secret: str = "", **fields: object) -> Got:
    headers = {"idempotency-key": key}
    if secret:
        headers["authorization"] = f"Bearer {secret}"
    return gate.chat(model, headers=headers, **fields)


@pytest.mark.parametrize("stream", [False, True])
def test_a_repetition_gets_the_first_answer_and_costs_nothing(gate: Gate, first: Upstream, stream: bool) -> None:
    answer = ask(gate, f"again-{stream}", stream=stream)
    seen = len(first.requests)
    again = ask(gate, f"again-{stream}", stream=stream)
    assert (again.status, again.body) == (200, answer.body)
    assert again.headers["content-type"] == answer.headers["content-type"]
    assert again.headers["idempotency-hit"] == "true"
    assert "idempotency-hit" not in answer.headers
    assert again.request_id == answer.request_id
    assert len(first.requests) == seen
    assert len(gate.records(answer.request_id).entries) == 1


def test_another_question_under_the_same_key_is_refused(gate: Gate) -> None:
    ask(gate, "other")
    refused = ask(gate, "other", temperature=0.1)
    assert (refused.status, refused.error["code"]) == (422, "idempotency_key_reused")


def test_whoever_repeats_too_soon_is_told_to_wait(gate: Gate, first: Upstream) -> None:
    slow = threading.Thread(target=ask, args=(gate, "soon", "a:long"), kwargs={"stream": True})
    slow.start()
    gate.until(lambda: Repeat.objects.filter(ended_at=None).exists(), "the first never began")
    refused = ask(gate, "soon", "a:long", stream=True)
    slow.join()
    assert (refused.status, refused.error["code"]) == (409, "idempotency_in_progress")
    assert refused.headers["retry-after"] == "1"
    assert "x-should-retry" not in refused.headers
    gate.at_rest()


@pytest.mark.parametrize(("model", "stream"), [("a:500", False), ("a:cuts", True), ("a:400", False)])
def test_what_failed_may_be_asked_again(gate: Gate, first: Upstream, model: str, stream: bool) -> None:
    ask(gate, f"failed-{model}", model, stream=stream)
    gate.until(lambda: not Repeat.objects.filter(ended_at=None).exists(), "the key was never released")
    seen = len(first.requests)
    again = ask(gate, f"failed-{model}", model, stream=stream)
    assert "idempotency-hit" not in again.headers
    assert len(first.requests) > seen


def test_keys_of_different_callers_have_nothing_in_common(gate: Gate) -> None:
    _, secret = create_key("another", team=gate.team)
    mine = ask(gate, "shared")
    theirs = ask(gate, "shared", secret=secret)
    assert "idempotency-hit" not in theirs.headers
    assert mine.request_id != theirs.request_id


def test_other_formats_have_it_too(gate: Gate) -> None:
    body = b'{"model":"a:ok","max_tokens":5,"messages":[{"role":"user","content":"Hello"}]}'
    answers = [gate.post(body, {"idempotency-key": "messages"}, "/v1/messages") for _ in range(2)]
    assert answers[0].body == answers[1].body
    assert answers[1].headers["idempotency-hit"] == "true"


def test_a_key_that_is_too_long_is_refused(gate: Gate) -> None:
    refused = ask(gate, "x" * 256)
    assert (refused.status, refused.error["code"]) == (400, "invalid_idempotency_key")


def test_an_answer_whose_process_died_may_be_asked_again(gate: Gate) -> None:
    answer = ask(gate, "died")
    died = timezone.now() - timedelta(minutes=1)
    Repeat.objects.filter(request_id=answer.request_id).update(ended_at=None, beat_at=died, sealed="")
    again = ask(gate, "died")
    assert (again.status, again.request_id != answer.request_id) == (200, True)
    assert ask(gate, "died").request_id == again.request_id


def test_after_a_day_it_is_a_new_question(gate: Gate) -> None:
    answer = ask(gate, "old")
    Repeat.objects.filter(request_id=answer.request_id).update(began_at=timezone.now() - KEPT - timedelta(seconds=1))
    assert "idempotency-hit" not in ask(gate, "old", temperature=0.7).headers


def test_an_answer_whose_key_left_the_ring_is_not_given_again(gate: Gate) -> None:
    answer = ask(gate, "retired")
    Repeat.objects.filter(request_id=answer.request_id).update(sealed="gone:AAAA")
    refused = ask(gate, "retired")
    assert (refused.status, refused.error["code"]) == (409, "idempotency_answer_too_long")


def test_answers_are_kept_sealed(gate: Gate) -> None:
    answer = ask(gate, "sealed")
    row = Repeat.objects.get(request_id=answer.request_id)
    assert row.sealed
    assert "upstream" not in row.sealed


def test_an_answer_too_long_to_keep_is_not_billed_again_unseen(gate: Gate) -> None:
    answer = ask(gate, "long")
    row = Repeat.objects.get(request_id=answer.request_id)
    _keep(Claim(row.name, row.request_id), "application/json", b"x" * (LONGEST_ANSWER + 1), timezone.now())
    refused = ask(gate, "long")
    assert (refused.status, refused.error["code"]) == (409, "idempotency_answer_too_long")
