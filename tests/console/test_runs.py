"""Runs: written, kept, stopped, resumed, drained, taken over. With the real gateway on the demonstration."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.utils import timezone

from billing.models import Attempt, Request
from console import runs
from console.markdown import rendered
from console.models import Message, Run, RunFrame
from console.runs import AlreadyBegun, Question, Refused, Runs, merged, so_far, store
from console.runs.log import Log, text_of
from routing import worker
from tests.console.playing import (
    AT_ONCE,
    SECONDS,
    SLOWLY,
    STEADILY,
    asked,
    ended,
    finished_answer,
    room_of,
    written,
)

pytestmark = [pytest.mark.store, pytest.mark.django_db(transaction=True)]


ABSURD = {"prompt_tokens": 5, "completion_tokens": 10**15, "completion_tokens_details": {"reasoning_tokens": 10**15}}


# -- from the question to the stored answer ------------------------------------------


async def test_an_answer_is_written_stored_and_paid_by_the_sender(here: Runs, bob: Any, research: Any) -> None:
    room = await room_of(bob, team=research)
    run = await ended(here, await asked(here, bob, room))
    assert run.status == Run.Status.DONE
    assert run.message.text
    assert (run.provider, run.model) == ("demo", AT_ONCE.removeprefix("demo:"))
    assert run.output_tokens == 400
    assert run.input_tokens
    assert (run.amount_nano, run.currency) == (0, "USD")
    await worker.stop()  # loads what is left of the journal
    request = await Request.objects.aget(id=run.request_id)
    assert (request.purpose, request.user_id, request.team_id) == ("playground", bob.pk, research.pk)
    assert request.status == "ok"


async def test_the_table_holds_every_frame_and_they_make_up_the_text(here: Runs, bob: Any) -> None:
    run = await ended(here, await asked(here, bob, await room_of(bob), "Explain Python with code and a list"))
    frames = await sync_to_async(store.frames_of)(run.pk)
    assert [seq for seq, _ in frames] == list(range(1, len(frames) + 1))
    assert text_of(frame for _, frame in frames) == run.message.text
    assert frames[-1][1] == {"type": "end"}
    state = so_far(frames)
    whole = await sync_to_async(rendered)(run.message.text)
    assert (state.html + rendered(state.tail)).replace("\n", "") == whole.replace("\n", "")


async def test_the_room_takes_its_name_from_the_first_question(here: Runs, bob: Any) -> None:
    room = await room_of(bob, draft="Hello there")
    await ended(here, await asked(here, bob, room, "\n  Hello there  \nand more"))
    await room.arefresh_from_db()
    assert (room.title, room.draft, room.model) == ("Hello there", "", AT_ONCE)


async def test_a_model_is_told_the_branch_it_answers_in(here: Runs, bob: Any) -> None:
    room = await room_of(bob)
    first = await sync_to_async(finished_answer)(room, "one")
    await sync_to_async(finished_answer)(room, "another branch")
    failed = await sync_to_async(finished_answer)(room, "", first, status="failed")
    begun = await asked(here, bob, room, "three", parent_id=failed.pk)
    told = [(each["role"], each["content"]) for each in begun.history]
    assert told == [("user", "Q: one"), ("assistant", "one"), ("user", "Q: "), ("user", "three")]


async def test_the_same_draft_begins_one_run(here: Runs, bob: Any) -> None:
    room = await room_of(bob)
    begun = await asked(here, bob, room, draft_id="abc")
    with pytest.raises(AlreadyBegun) as again:
        await asked(here, bob, room, draft_id="abc")
    assert again.value.run_id == begun.run_id
    await ended(here, begun)
    assert await Run.objects.acount() == 1
    assert await Message.objects.acount() == 2


@pytest.mark.parametrize(
    ("fault", "code"),
    [("500", "upstream_error"), ("401", "upstream_auth"), ("content-filter", "content_filter"), ("empty", None)],
)
async def test_a_failure_says_why_and_leaves_nothing_open(here: Runs, bob: Any, fault: str, code: str | None) -> None:
    begun = await asked(here, bob, await room_of(bob), model=f"demo:custom?ttft=0&tps=0&fault={fault}")
    run = await ended(here, begun)
    assert run.status == Run.Status.FAILED
    assert run.error_code == code if code else run.error_code
    assert run.error_message
    assert worker.in_flight() == runs.in_flight() == 0


async def test_what_came_before_a_cut_is_kept(here: Runs, bob: Any) -> None:
    begun = await asked(here, bob, await room_of(bob), model="demo:custom?ttft=0&tps=0&fault=cut-mid-stream")
    run = await ended(here, begun)
    assert run.status == Run.Status.FAILED
    assert run.error_code == "upstream_stream_interrupted"
    assert run.message.text
    assert run.output_tokens


async def test_text_and_names_no_database_takes_end_no_worse(here: Runs, bob: Any) -> None:
    pieces = [{"choices": [{"index": 0, "delta": {"content": "a\x00b"}}]}, {"choices": [], "usage": ABSURD}]
    body = b"".join(b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in pieces) + b"data: [DONE]\n\n"

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    here.worker.connector._inside = application
    run = await ended(here, await asked(here, bob, await room_of(bob), model=f"{AT_ONCE}&x={'y' * 250}"))
    assert (run.status, run.message.text) == (Run.Status.DONE, "a\ufffdb")
    assert len(run.model) == 200
    assert [frame for _, frame in await sync_to_async(store.frames_of)(run.pk)][-1] == {"type": "end"}


async def test_an_unknown_model_fails_with_the_nearest_names(here: Runs, bob: Any) -> None:
    run = await ended(here, await asked(here, bob, await room_of(bob), model="demo:relay-2"))
    assert (run.status, run.error_code) == ("failed", "model_not_found")
    assert "demo:relay-1" in run.error_message


# -- stopping -----------------------------------------------------------------------------


async def test_stop_is_heard_at_once_and_what_came_is_billed(here: Runs, bob: Any) -> None:
    begun = await asked(here, bob, await room_of(bob), model=SLOWLY)
    await written(here, begun)
    log = here.live[begun.run_id].log
    await here.ask_stop(begun.run_id)
    assert log.since(0)[-1][1] == {"type": "stopping"}  # before anything else could happen
    asked_at = time.monotonic()
    run = await ended(here, begun)
    assert time.monotonic() - asked_at < 1
    assert run.status == Run.Status.STOPPED
    assert run.message.text == text_of(frame for _, frame in log.since(0))
    assert run.output_tokens
    assert worker.in_flight() == 0
    await worker.stop()
    attempt = await Attempt.objects.aget(request_id=run.request_id)
    assert (attempt.status, attempt.billed) == ("cancelled", "counted")


async def test_stop_before_the_first_turn_of_its_task(here: Runs, bob: Any) -> None:
    begun = await asked(here, bob, await room_of(bob), model=SLOWLY)
    here.live[begun.run_id].stop()
    run = await ended(here, begun)
    assert (run.status, run.message.text) == (Run.Status.STOPPED, "")
    assert worker.in_flight() == 0


async def test_stopping_twice_or_too_late_changes_nothing(here: Runs, bob: Any) -> None:
    begun = await asked(here, bob, await room_of(bob))
    run = await ended(here, begun)
    await here.ask_stop(begun.run_id)
    await run.arefresh_from_db()
    assert (run.status, run.stop_asked) == (Run.Status.DONE, False)


async def test_another_process_asks_through_the_table(here: Runs, bob: Any) -> None:
    begun = await asked(here, bob, await room_of(bob), model=SLOWLY)
    await written(here, begun)
    await sync_to_async(store.ask_stop)(begun.run_id)
    assert (await ended(here, begun)).status == Run.Status.STOPPED


async def test_a_run_whose_rows_were_deleted_is_given_up(here: Runs, bob: Any) -> None:
    room = await room_of(bob)
    begun = await asked(here, bob, room, model=SLOWLY)
    await written(here, begun)
    task = here.live[begun.run_id].task
    await room.adelete()
    await asyncio.wait_for(asyncio.shield(task), SECONDS)
    assert runs.in_flight() == worker.in_flight() == 0


# -- being refused --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ({"text": "  \n "}, "empty"),
        ({"text": "x" * 100_001}, "too_long"),
        ({"parent_id": 999_999}, "no_message"),
        ({"edits": 999_999}, "no_message"),
        ({"again": 999_999}, "no_message"),
    ],
)
async def test_what_cannot_be_asked_is_refused(here: Runs, bob: Any, question: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused) as refusal:
        await asked(here, bob, await room_of(bob), **question)
    assert refusal.value.code == code
    assert not await Message.objects.aexists()


async def test_a_room_of_somebody_else_is_no_room(here: Runs, bob: Any, alice: Any) -> None:
    room = await room_of(bob)
    with pytest.raises(Refused, match="no_room"):
        await asked(here, alice, room)


async def test_messages_of_another_room_are_no_messages(here: Runs, bob: Any) -> None:
    foreign = await sync_to_async(finished_answer)(await room_of(bob), "elsewhere")
    with pytest.raises(Refused, match="no_message"):
        await asked(here, bob, await room_of(bob), parent_id=foreign.pk)


async def test_an_answer_that_is_still_written_has_no_reply_yet(here: Runs, bob: Any) -> None:
    room = await room_of(bob)
    begun = await asked(here, bob, room, model=SLOWLY)
    with pytest.raises(Refused, match="still_writing"):
        await asked(here, bob, room, parent_id=begun.message_id)


async def test_a_person_has_at_most_five_at_a_time(here: Runs, bob: Any) -> None:
    room = await room_of(bob)
    for _ in range(store.MOST_RUNS):
        await asked(here, bob, room, model=SLOWLY)
    with pytest.raises(Refused, match="too_many_runs"):
        await asked(here, bob, room)


async def test_nobody_spends_the_money_of_a_team_they_left(here: Runs, charlie: Any, research: Any) -> None:
    begun = await asked(here, charlie, await room_of(charlie, team=research))
    assert begun.team_id is None


# -- following from elsewhere ------------------------------------------------------------


@pytest.mark.parametrize("seq", [0, 4, 9])
async def test_another_process_reads_the_table_and_loses_nothing(here: Runs, bob: Any, seq: int) -> None:
    begun = await asked(here, bob, await room_of(bob), model=STEADILY)
    await written(here, begun, 10)
    elsewhere = Runs(here.worker)
    elsewhere.start()
    changed = asyncio.Event()
    log = await elsewhere.listen(begun.run_id, changed.set, seq)
    assert log is not here.live[begun.run_id].log
    async with asyncio.timeout(SECONDS):
        while not log.ended:
            changed.clear()
            await changed.wait()
    elsewhere.leave(begun.run_id, changed.set)
    frames = log.since(seq)
    assert [number for number, _ in frames] == list(range(seq + 1, log.last + 1))
    before = await sync_to_async(store.frames_of)(begun.run_id)
    run = await ended(here, begun)
    told = text_of(frame for number, frame in before if number <= seq) + text_of(frame for _, frame in frames)
    assert told == run.message.text
    await elsewhere.stop(0)


async def test_whoever_needs_more_of_it_takes_nothing_from_those_who_listen(here: Runs, bob: Any) -> None:
    begun = await asked(here, bob, await room_of(bob), model=STEADILY)
    await written(here, begun, 10)
    elsewhere = Runs(here.worker)
    elsewhere.start()
    changed, behind = asyncio.Event(), asyncio.Event()
    log = await elsewhere.listen(begun.run_id, changed.set, 9)
    await elsewhere.listen(begun.run_id, behind.set, 0)
    async with asyncio.timeout(SECONDS):
        while not log.ended:
            changed.clear()
            await changed.wait()
    assert [number for number, _ in log.since(9)] == list(range(10, log.last + 1))
    assert text_of(frame for _, frame in log.since(0)) == (await ended(here, begun)).message.text
    await elsewhere.stop(0)


async def test_whoever_heard_more_than_was_written_down_hears_the_end(here: Runs, bob: Any) -> None:
    answer = await sync_to_async(finished_answer)(await room_of(bob), "", status="running", node=DEAD)
    await RunFrame.objects.acreate(run=answer.run, seq=1, payload={"type": "delta", "text": "half"})
    elsewhere = Runs(here.worker)
    elsewhere.start()
    changed = asyncio.Event()
    log = await elsewhere.listen(answer.run.pk, changed.set, 5)  # the process died before it wrote these down
    await Run.objects.filter(pk=answer.run.pk).aupdate(heartbeat_at=timezone.now() - timedelta(seconds=5))
    assert not log.ended
    await sync_to_async(store.take_over_lost)(timezone.now())
    async with asyncio.timeout(SECONDS):
        await changed.wait()
    assert log.ended
    await elsewhere.stop(0)


async def test_frames_wait_for_a_database_that_is_away(here: Runs, bob: Any, caplog: Any) -> None:
    begun = await asked(here, bob, await room_of(bob), model=STEADILY)
    await written(here, begun)
    await sync_to_async(_rename)("console_runframe", "console_elsewhere")
    log = here.live[begun.run_id].log
    await _until(lambda: "cannot be written" in caplog.text)
    await sync_to_async(_rename)("console_elsewhere", "console_runframe")
    run = await ended(here, begun)
    assert run.status == Run.Status.DONE
    frames = await sync_to_async(store.frames_of)(begun.run_id)
    assert frames == log.since(0)


def _rename(old: str, new: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")


async def _until(true: Any) -> None:
    async with asyncio.timeout(SECONDS):
        while not true():  # noqa: ASYNC110 - a line in a log sets no event
            await asyncio.sleep(0.01)


# -- the end of a process -----------------------------------------------------------------


async def test_a_drain_waits_for_what_is_being_written(here: Runs, bob: Any, settings: Any) -> None:
    settings.DRAIN_SECONDS = 30
    begun = await asked(here, bob, await room_of(bob), model=STEADILY)
    await written(here, begun)
    assert runs.in_flight() == 1
    await runs.stop()
    assert (await Run.objects.aget(pk=begun.run_id)).status == Run.Status.DONE
    assert runs.in_flight() == 0


async def test_what_outlives_the_drain_says_so_and_is_settled_as_counted(here: Runs, bob: Any) -> None:
    begun = await asked(here, bob, await room_of(bob), model=SLOWLY)
    await written(here, begun)
    await runs.stop()
    await worker.stop()
    run = await Run.objects.select_related("message").aget(pk=begun.run_id)
    assert (run.status, run.error_code) == (Run.Status.INTERRUPTED, "server_restart")
    assert run.message.text
    attempt = await Attempt.objects.aget(request_id=run.request_id)
    assert (attempt.status, attempt.error_code, attempt.billed) == ("interrupted", "server_restart", "counted")


DEAD = f"{socket.gethostname()}-999999999-abcdef"
ALIVE = f"{socket.gethostname()}-{os.getpid()}-abcdef"


@pytest.mark.parametrize(
    ("node", "silent_seconds", "lost"),
    [(DEAD, 5, True), (DEAD, 1, False), (ALIVE, 5, False), (ALIVE, 30, True), ("another-1-x", 5, False)],
)
def test_a_run_whose_process_died_ends_with_what_its_log_holds(
    bob: Any, node: str, silent_seconds: int, lost: bool
) -> None:
    from console.models import Room

    now = timezone.now()
    answer = finished_answer(
        Room.objects.create(owner=bob),
        "",
        status="running",
        node=node,
        heartbeat_at=now - timedelta(seconds=silent_seconds),
    )
    run = answer.run
    for seq, text in enumerate(("half an ", "answer"), 1):
        RunFrame.objects.create(run=run, seq=seq, payload={"type": "delta", "text": text})
    assert store.take_over_lost(now) == ([run.pk] if lost else [])
    run.refresh_from_db()
    answer.refresh_from_db()
    assert run.status == ("interrupted" if lost else "running")
    assert answer.text == ("half an answer" if lost else "")
    assert len(store.frames_of(run.pk)) == (3 if lost else 2)
    assert store.take_over_lost(now) == []


# -- the log ------------------------------------------------------------------------


def test_a_late_reader_gets_deltas_as_one() -> None:
    log = Log("run")
    for text in "abc":
        log.add({"type": "delta", "text": text})
    log.add({"type": "block", "html": "<p>abc</p>", "tail": ""})
    log.add({"type": "stats", "output_tokens": 1})
    log.add({"type": "stats", "output_tokens": 2})
    log.add({"type": "delta", "text": "d"})
    assert merged(log.since(1)) == [
        (3, {"type": "delta", "text": "bc"}),
        (4, {"type": "block", "html": "<p>abc</p>", "tail": ""}),
        (6, {"type": "stats", "output_tokens": 2}),
        (7, {"type": "delta", "text": "d"}),
    ]
    assert log.since(7) == []


def test_a_log_that_begins_later_keeps_its_numbers() -> None:
    log = Log("run", after=10)
    log.add({"type": "delta", "text": "x"})
    assert log.last == 11
    assert log.since(10) == [(11, {"type": "delta", "text": "x"})]
    assert log.reaches(10)
    assert not log.reaches(9)


def test_a_question_of_another_draft_has_another_run() -> None:
    first = Question(1, draft_id="a")
    assert store.run_id_for(_Person(1), first, "req_1") == store.run_id_for(_Person(1), first, "req_2")
    others = [(_Person(2), first), (_Person(1), Question(2, draft_id="a")), (_Person(1), Question(1, draft_id="b"))]
    named = {store.run_id_for(person, question, "req_1") for person, question in others}
    assert len(named | {store.run_id_for(_Person(1), first, "req_1")}) == 4
    assert store.run_id_for(_Person(1), Question(1), "req_1") == "run_1"


class _Person:
    def __init__(self, pk: int) -> None:
        self.pk = pk
