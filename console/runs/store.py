"""Rows of runs: begun, kept, ended, taken over from a process that died. Every function is one transaction."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from billing.ids import PREFIX, new_request_id
from billing.models import Organisation
from console.access import memberships_of
from console.models import Message, Room, Run, RunFrame, User
from console.runs.log import Frame, Numbered, text_of

LONGEST_QUESTION = 100_000  # characters
LONGEST_TITLE = 60
MOST_RUNS = 5  # of one person at the same time
LOST = timedelta(seconds=20)  # without a sign of life
LOST_HERE = timedelta(seconds=3)  # the same, when the process is known to be gone


class Refused(Exception):
    """No run begins, and why; `code` is for programs, the page words it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class AlreadyBegun(Exception):
    """The same draft was sent before: this is its run."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id


@dataclass(frozen=True, slots=True)
class Question:
    """What a person asks for. Exactly one of the three ways: a new text, another text for `edits`, `again`."""

    room_id: int
    text: str = ""
    parent_id: int | None = None  # of a new text: the answer it replies to
    edits: int | None = None  # the question that is asked differently
    again: int | None = None  # the answer to give once more
    model: str = ""  # empty: the room's
    draft_id: str = ""  # the same draft begins one run, however often it is sent
    opens_room: bool = False  # the room was made for it


@dataclass(frozen=True, slots=True)
class Begun:
    run_id: str
    request_id: str
    room_id: int
    message_id: int  # of the answer
    after: int | None  # the last message that stays in view above what is new
    model: str
    team_id: int | None
    user_id: int
    language: str
    history: list[dict[str, str]]


def run_id_for(person: User, question: Question, request_id: str) -> str:
    if not question.draft_id:
        return f"run_{request_id.removeprefix(PREFIX)}"
    told = f"{person.pk}:{'' if question.opens_room else question.room_id}:{question.draft_id}"
    return f"run_{hashlib.blake2b(told.encode(), digest_size=16).hexdigest()}"


def begin(person: User, question: Question, node: str, now: datetime) -> Begun:
    request_id = new_request_id()
    run_id = run_id_for(person, question, request_id)
    try:
        with transaction.atomic():
            if Run.objects.filter(pk=run_id).exists():
                raise AlreadyBegun(run_id)
            return _begin(person, question, run_id, request_id, node, now)
    except IntegrityError:
        if Run.objects.filter(pk=run_id).exists():
            raise AlreadyBegun(run_id) from None
        raise


def _begin(person: User, question: Question, run_id: str, request_id: str, node: str, now: datetime) -> Begun:
    room = Room.objects.filter(pk=question.room_id, owner=person, deleted_at=None).first()
    if room is None:
        raise Refused("no_room")
    running = Run.objects.filter(message__room__owner=person, status=Run.Status.RUNNING)
    if running.count() >= MOST_RUNS:
        raise Refused("too_many_runs")
    asked, after = _asked(person, room, question, now)
    answer = Message.objects.create(room=room, parent=asked, author=Message.Author.ASSISTANT, created_at=now)
    model = question.model or room.model
    room.team_id = _paying_team(person, room.team_id)
    room.title = room.title or title_of(asked.text)
    room.model, room.touched_at = model, now
    if question.edits is None and question.again is None:
        room.draft = ""
    room.save(update_fields=["team", "title", "model", "draft", "touched_at"])
    Run.objects.create(
        id=run_id,
        message=answer,
        request_id=request_id,
        node=node[:80],
        asked_model=model,
        started_at=now,
        heartbeat_at=now,
    )
    return Begun(
        run_id=run_id,
        request_id=request_id,
        room_id=room.pk,
        message_id=answer.pk,
        after=after,
        model=model,
        team_id=room.team_id,
        user_id=person.pk,
        language=person.language or Organisation.get().language,
        history=history_of(room, asked),
    )


def _asked(person: User, room: Room, question: Question, now: datetime) -> tuple[Message, int | None]:
    """The question to answer, made if it is new, and the message after which the view changes."""
    if question.again is not None:
        answer = room.messages.filter(pk=question.again, author=Message.Author.ASSISTANT).first()
        if answer is None or answer.parent is None:
            raise Refused("no_message")
        return answer.parent, answer.parent_id
    text = question.text.replace("\x00", "").strip()
    if not text:
        raise Refused("empty")
    if len(text) > LONGEST_QUESTION:
        raise Refused("too_long")
    parent_id = question.parent_id
    if question.edits is not None:
        edited = room.messages.filter(pk=question.edits, author=Message.Author.USER).first()
        if edited is None:
            raise Refused("no_message")
        parent_id = edited.parent_id
    elif parent_id is not None:
        _must_be_answered(room, parent_id)
    new = Message.objects.create(
        room=room, parent_id=parent_id, author=Message.Author.USER, sender=person, text=text, created_at=now
    )
    return new, parent_id


def _must_be_answered(room: Room, message_id: int) -> None:
    parent = room.messages.select_related("run").filter(pk=message_id, author=Message.Author.ASSISTANT).first()
    if parent is None:
        raise Refused("no_message")
    if hasattr(parent, "run") and parent.run.status == Run.Status.RUNNING:
        raise Refused("still_writing")


def _paying_team(person: User, chosen: int | None) -> int | None:
    """The room's team while the sender is in it, else the first of theirs: nobody spends a foreign team's money."""
    teams = [membership.team_id for membership in memberships_of(person)]
    return chosen if chosen in teams else (teams[0] if teams else None)


def title_of(text: str) -> str:
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return first if len(first) <= LONGEST_TITLE else first[: LONGEST_TITLE - 1].rstrip() + "…"


def history_of(room: Room, question: Message) -> list[dict[str, str]]:
    """The branch that ends in this question, as a model is told it. Answers that never came are left out."""
    parents = dict(room.messages.values_list("id", "parent_id"))
    path: list[int] = []
    number: int | None = question.pk
    while number is not None:
        path.append(number)
        number = parents[number]
    texts = {each.pk: each for each in room.messages.filter(pk__in=path)}
    in_order = (texts[number] for number in reversed(path))
    return [{"role": str(each.author), "content": each.text} for each in in_order if each.text]


# -- while it runs ------------------------------------------------------------------


def keep(frames: Iterable[tuple[str, Numbered]], alive: Collection[str], now: datetime | None) -> set[str]:
    """Write frames down, give a sign of life when it is time, and say which runs are to stop."""
    there = dict(Run.objects.filter(pk__in=alive).values_list("pk", "stop_asked"))
    rows = [RunFrame(run_id=run_id, seq=seq, payload=frame) for run_id, (seq, frame) in frames if run_id in there]
    if rows:
        RunFrame.objects.bulk_create(rows, ignore_conflicts=True)
    if now is not None:
        Run.objects.filter(pk__in=there).update(heartbeat_at=now)
    gone = set(alive) - there.keys()  # with their room, or with the person
    return gone | {run_id for run_id, asked in there.items() if asked}


@dataclass(frozen=True, slots=True)
class Ending:
    run_id: str
    message_id: int
    text: str
    status: str
    fields: Mapping[str, Any]
    frames: list[Numbered]


def end(ending: Ending) -> None:
    """The text becomes the message's, the numbers the run's. Doing it twice changes nothing."""
    now = timezone.now()
    with transaction.atomic():
        if not Run.objects.filter(pk=ending.run_id).update(status=ending.status, ended_at=now, **ending.fields):
            return  # the room was deleted under it
        RunFrame.objects.bulk_create(
            [RunFrame(run_id=ending.run_id, seq=seq, payload=frame) for seq, frame in ending.frames],
            ignore_conflicts=True,
        )
        Message.objects.filter(pk=ending.message_id).update(text=ending.text)
        Room.objects.filter(messages=ending.message_id).update(touched_at=now)


def ask_stop(run_id: str) -> None:
    Run.objects.filter(pk=run_id, status=Run.Status.RUNNING).update(stop_asked=True)


# -- what other processes write -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class News:
    runs: list[tuple[int, int, str]]  # room, message and run, in the order they were begun
    frames: list[tuple[str, Numbered]]
    over: set[str]  # of those being read, the runs that nobody writes any more


def news(rooms: Collection[int], after: int, reading: Mapping[str, int], node: str) -> News:
    """Runs others than `node` began in these rooms after a message, and what those being read have written since."""
    begun: list[tuple[int, int, str]] = []
    if rooms:
        fresh = Run.objects.filter(message_id__gt=after, message__room_id__in=rooms).exclude(node=node)
        begun = list(fresh.order_by("message_id").values_list("message__room_id", "message_id", "pk"))
    # Asked before the frames, so that those of a run that is over are all there.
    running = Run.objects.filter(pk__in=reading, status=Run.Status.RUNNING).values_list("pk", flat=True)
    over = reading.keys() - set(running) if reading else set()
    wanted = Q(pk=None)
    for run_id, seq in reading.items():
        wanted |= Q(run_id=run_id, seq__gt=seq)
    frames: list[tuple[str, Numbered]] = []
    if reading:
        rows = RunFrame.objects.filter(wanted).order_by("run_id", "seq")
        frames = [(row.run_id, (row.seq, row.payload)) for row in rows]
    return News(begun, frames, over)


def frames_of(run_id: str, after: int = 0) -> list[Numbered]:
    rows = RunFrame.objects.filter(run_id=run_id, seq__gt=after).order_by("seq")
    return [(row.seq, row.payload) for row in rows]


def last_message_id() -> int:
    return Message.objects.order_by("-id").values_list("id", flat=True).first() or 0


def take_over_lost(now: datetime) -> list[str]:
    """Runs whose process is gone end as interrupted, with the text their log holds."""
    silent = Run.objects.filter(status=Run.Status.RUNNING, heartbeat_at__lt=now - LOST_HERE)
    return [run.pk for run in silent if _is_lost(run, now) and _interrupt(run.pk, now)]


def _interrupt(run_id: str, now: datetime) -> bool:
    with transaction.atomic():
        claimed = Run.objects.filter(pk=run_id, status=Run.Status.RUNNING, heartbeat_at__lt=now - LOST_HERE)
        if not claimed.update(
            status=Run.Status.INTERRUPTED, ended_at=now, error_code="server_restart", error_message=""
        ):
            return False  # somebody else was quicker, or it lives
        frames = frames_of(run_id)
        closing: Frame = {"type": "end"}
        RunFrame.objects.create(run_id=run_id, seq=frames[-1][0] + 1 if frames else 1, payload=closing)
        Message.objects.filter(run=run_id).update(text=text_of(frame for _, frame in frames))
        return True


def _is_lost(run: Run, now: datetime) -> bool:
    return run.heartbeat_at < now - LOST or _is_gone(run.node)


def _is_gone(node: str) -> bool:
    """Whether the process is one of this machine that does not exist any more."""
    host, _, rest = node.rpartition("-")[0].rpartition("-")
    if host != socket.gethostname() or not rest.isdecimal():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
