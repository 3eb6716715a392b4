"""What was asked and answered is kept where the key or its team says so, sealed and bounded, and nowhere else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from django.apps import apps
from django.db import connection

from billing.ids import new_request_id
from providers.chat import ChatAnswer, ReasoningDelta, TextDelta, ToolCallDelta
from routing import contents
from routing.contents import LONGEST, Contents, Kept, keeping, opened, shortened
from routing.keys import create_key
from routing.models import ApiKey, KeptContent
from routing.snapshot import TeamEntry
from tests.routing.gate import Gate, Got

ASKED, ANSWERED = "the-canary-sings-at-dawn", "Hello from upstream."
MESSAGES = [{"role": "user", "content": ASKED}]


@contextmanager
def team_keeps(gate: Gate) -> Iterator[None]:
    def say(keeps: bool) -> None:
        gate.team.keeps_content = keeps
        gate.team.save()
        gate.refresh()

    say(True)
    try:
        yield
    finally:
        say(False)


def key_that_says(gate: Gate, keeps: bool | None) -> dict[str, str]:
    key, secret = create_key(f"keeps {keeps}", team=gate.team)
    ApiKey.objects.filter(pk=key.pk).update(keeps_content=keeps)
    return {"authorization": f"Bearer {secret}", "x-secret-header": ASKED[::-1]}


def ask(gate: Gate, headers: dict[str, str] | None = None, model: str = "a:ok", **fields: Any) -> Got:
    return gate.chat(model, headers=headers, messages=MESSAGES, **fields)


def kept(gate: Gate, request_id: str) -> contents.Opened:
    gate.until(lambda: KeptContent.objects.filter(request_id=request_id).exists(), "it was never kept")
    found = opened(request_id)
    assert found is not None
    return found


def everything_in_the_database() -> str:
    """Every row of every table of ours, as text."""
    rows = []
    for model in apps.get_models():
        with connection.cursor() as cursor:
            cursor.execute(f'SELECT * FROM "{model._meta.db_table}"')
            rows += [str(row) for row in cursor.fetchall()]
    return "\n".join(rows)


def forgotten(gate: Gate, request_id: str) -> None:
    """It is booked, and nothing that was said is anywhere: neither in a table nor in a journal."""
    gate.records(request_id)
    assert gate.worker.gateway.contents.waiting == 0
    assert opened(request_id) is None
    written = everything_in_the_database()
    assert (ASKED in written, ANSWERED in written) == (False, False)
    for file in gate.worker.journal.folder.rglob("*"):
        assert not file.is_file() or ASKED.encode() not in file.read_bytes(), file


# -- who keeps ---------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_is_kept_of_others(gate: Gate, stream: bool) -> None:
    answer = ask(gate, stream=stream)
    assert answer.text == ANSWERED
    forgotten(gate, answer.request_id)


@pytest.mark.store
@pytest.mark.parametrize("stream", [False, True])
def test_a_key_that_wants_it_has_its_content_kept_and_sealed(gate: Gate, stream: bool) -> None:
    answer = ask(gate, key_that_says(gate, True), stream=stream, temperature=0.25)
    found = kept(gate, answer.request_id)
    assert (found.fields["messages"], found.fields["model"], found.fields["temperature"]) == (MESSAGES, "a:ok", 0.25)
    assert (found.answer, found.cut) == ({"text": ANSWERED}, False)
    written = everything_in_the_database()
    assert (ASKED in written, ANSWERED in written, ASKED[::-1] in written) == (False, False, False)
    assert ASKED[::-1] not in json.dumps(dict(found.fields))  # no header is part of it


def test_a_team_keeps_for_its_keys_unless_one_says_no(gate: Gate) -> None:
    with team_keeps(gate):
        assert kept(gate, ask(gate, key_that_says(gate, None)).request_id).answer == {"text": ANSWERED}
        silent = ask(gate, key_that_says(gate, False)).request_id
    forgotten(gate, silent)
    forgotten(gate, ask(gate, key_that_says(gate, None)).request_id)  # and no longer, once it is switched off


def test_what_failed_is_kept_with_what_had_come(gate: Gate) -> None:
    headers = key_that_says(gate, True)
    refused = kept(gate, ask(gate, headers, "a:500").request_id)
    assert (refused.fields["messages"], refused.answer) == (MESSAGES, {})
    broken = ask(gate, headers, "a:cuts", stream=True)
    assert kept(gate, broken.request_id).answer == {"text": broken.text}


def test_texts_for_embedding_are_kept_and_their_vectors_are_not(gate: Gate) -> None:
    body = json.dumps({"model": "a:nothing-like-it", "input": [ASKED]}).encode()
    answer = gate.post(body, key_that_says(gate, True), "/v1/embeddings")
    assert kept(gate, answer.request_id).fields["input"] == [ASKED]


@pytest.mark.parametrize(
    ("own", "team", "keeps"),
    [
        (None, None, False),
        (None, TeamEntry("a"), False),
        (None, TeamEntry("a", keeps_content=True), True),
        (False, TeamEntry("a", keeps_content=True), False),
        (True, TeamEntry("a"), True),
        (True, None, True),
    ],
)
def test_the_key_decides_before_its_team(own: bool | None, team: TeamEntry | None, keeps: bool) -> None:
    assert (keeping(own, team, "a:ok", {}) is not None) is keeps


# -- what is kept of a long one ----------------------------------------------------------------


def raw(**fields: Any) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(json.dumps(value, ensure_ascii=False).encode()) for name, value in fields.items()}


@pytest.mark.parametrize("length", [LONGEST, 3 * LONGEST, 5 * 1024 * 1024])
def test_a_long_question_is_cut_and_can_still_be_read(length: int) -> None:
    text, cut = shortened(raw(messages=[{"role": "user", "content": "é" * (length // 2)}], temperature=1))
    assert cut
    assert len(text.encode()) <= LONGEST
    found = json.loads(text)
    assert found["temperature"] == 1
    assert "é" * 100 in str(found["messages"])


def test_many_short_texts_are_cut_as_well() -> None:
    text, cut = shortened(raw(messages=[{"role": "user", "content": f"{n}"} for n in range(30_000)]))
    assert cut
    assert len(text.encode()) <= LONGEST


def test_a_short_question_is_kept_as_it_came() -> None:
    text, cut = shortened(raw(messages=MESSAGES))
    assert (json.loads(text), cut) == ({"messages": MESSAGES}, False)


def test_an_answer_is_put_together_from_its_pieces() -> None:
    one = Kept("a:ok", {})
    one.take([TextDelta("Let "), ReasoningDelta("Hm."), TextDelta("me.")])
    one.take([ToolCallDelta(1, "c2", "find", '{"q":'), ToolCallDelta(0, "c1", "look", "{}")])
    one.take([ToolCallDelta(1, arguments="1}")])
    assert one.answer == {
        "text": "Let me.",
        "reasoning": "Hm.",
        "tool_calls": [{"name": "look", "arguments": "{}"}, {"name": "find", "arguments": '{"q":1}'}],
    }
    whole = Kept("a:ok", {})
    whole.take_answer(ChatAnswer(text="Yes.", tool_calls=[ToolCallDelta(0, "c1", "look", "{}")]))
    assert whole.answer == {"text": "Yes.", "tool_calls": [{"name": "look", "arguments": "{}"}]}


def test_an_endless_answer_takes_no_endless_memory() -> None:
    one = Kept("a:ok", {})
    for _ in range(100):
        one.take([TextDelta("x" * 10_000)])
    assert LONGEST < one.written <= LONGEST + 10_000


# -- the queue ---------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_what_does_not_fit_is_counted_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "MOST_BYTES", 1000)
    queue = Contents()
    fits, larger = Kept("a:ok", raw(messages="x" * 500)), Kept("a:ok", raw(messages="x" * 600))
    first, second = new_request_id(), new_request_id()
    queue.keep(fits, first)
    queue.keep(larger, second)
    queue.close()
    assert (queue.dropped, queue.waiting) == (1, 0)
    assert (opened(first) is not None, opened(second)) == (True, None)
    queue.keep(Kept("a:ok", {}), new_request_id())  # too late
    assert queue.dropped == 2


@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_written_as_text_hinders_no_other() -> None:
    queue = Contents()
    odd, fine = Kept("a:ok", {"messages": msgspec.Raw(b"\xff\xfe")}), Kept("a:ok", raw(messages=MESSAGES))
    odd.take([TextDelta("\ud800")])
    numbers = new_request_id(), new_request_id()
    for one, number in zip((odd, fine), numbers, strict=True):
        queue.keep(one, number)
    queue.close()
    assert opened(numbers[1]) == contents.Opened({"model": "a:ok", "messages": MESSAGES}, {})
    assert (queue.waiting, queue.dropped) == (0, 0)


def test_no_thread_runs_where_nothing_is_kept() -> None:
    before = threading.active_count()
    Contents().close()
    assert threading.active_count() == before
