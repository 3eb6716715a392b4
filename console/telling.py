"""What a room's socket tells, in the reader's language and hours. Sync: it runs in a thread, off the loop."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.models import Organisation
from console.access import can
from console.middleware import zone_named
from console.models import Message, Run, User
from console.picking import chosen, current_snapshot
from console.rooms import Branches, rooms_of, stats_while_running, turn_of, turns_of, word_count
from console.runs.log import Frame

MOST_TOLD = 50  # answers that began while a browser was away


@dataclass(frozen=True, slots=True)
class Visitor:
    """The person behind a socket, read afresh, and how they are spoken to."""

    person: User
    owns_room: bool
    language: str
    zone: str


def visitor_of(session_key: str, room_id: int) -> Visitor | None:
    """None: the session has ended, the password was changed, or the person was deactivated."""
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    person = get_user(request)
    if not session_key or not isinstance(person, User) or not person.is_active:
        return None
    house = Organisation.get()
    owns_room = rooms_of(person).filter(pk=room_id).exists()
    return Visitor(person, owns_room, person.language or house.language, person.time_zone or house.time_zone)


@contextmanager
def spoken_to(visitor: Visitor | None) -> Iterator[None]:
    if visitor is None:
        yield
        return
    with translation.override(visitor.language), timezone.override(zone_named(visitor.zone)):
        yield


def in_words(visitor: Visitor | None, words: str | Promise) -> str:
    with spoken_to(visitor):
        return str(words)


def runs_in_room(room_id: int, wanted: Collection[str], after: int | None) -> list[Run]:
    """Those of the wanted runs that are in the room, and those that began after a message, oldest first."""
    rows = Run.objects.filter(message__room_id=room_id).order_by("message_id")
    found = {run.pk: run for run in rows.filter(pk__in=wanted)}
    if after is not None:
        found |= {run.pk: run for run in rows.filter(message_id__gt=after)[:MOST_TOLD]}
    return sorted(found.values(), key=lambda run: run.message_id)


@dataclass(frozen=True, slots=True)
class Started:
    live: bool
    envelope: dict[str, Any]


def start_of(visitor: Visitor, message_id: int) -> Started | None:
    """The turns that are new with this answer: it alone, or its question as well when this is its first answer."""
    answer = Message.objects.select_related("room", "parent").filter(pk=message_id).first()
    if answer is None or answer.parent is None:
        return None
    branches = Branches(answer.room.messages.values_list("id", "parent_id"))
    first = branches.children[answer.parent_id][0] == answer.pk
    numbers = [answer.parent.pk, answer.pk] if first else [answer.pk]
    after = answer.parent.parent_id if first else answer.parent_id
    above = Message.objects.filter(pk=after).first() if after is not None else None
    with spoken_to(visitor):
        day = timezone.localtime(above.created_at).date() if above is not None else None
        turns = turns_of(answer.room, numbers, branches, timezone.now(), day=day)
        envelope = {
            "seq": turns[-1].seq,
            "target": "#turns",
            "swap": "beforeend",
            "after": after,
            "content": "".join(_drawn(turn, visitor, answer.room) for turn in turns),
            "say": _("Answer started"),
        }
    return Started(turns[-1].live, envelope)


def stats_words(visitor: Visitor, frame: Frame) -> dict[str, str]:
    with spoken_to(visitor):
        stats = stats_while_running(frame)
        by = chosen(f"{frame['provider']}:{frame['model']}", current_snapshot()).name if frame.get("provider") else ""
        return {
            "by": by,
            "ttft": stats.first_token,
            "tps": stats.speed,
            "in": stats.input,
            "out": stats.output,
            "cost": stats.cost,
        }


def end_of(visitor: Visitor, run_id: str) -> dict[str, Any] | None:
    run = Run.objects.select_related("message__room").filter(pk=run_id).first()
    if run is None:
        return None
    failed = run.status in (Run.Status.FAILED, Run.Status.INTERRUPTED)
    with spoken_to(visitor):
        turn = turn_of(run.message)
        words = word_count(run.message.text)
        said = ngettext("Answer finished, %(n)d word", "Answer finished, %(n)d words", words) % {"n": words}
        if failed:
            said = turn.error
        elif run.status == Run.Status.STOPPED:
            said = ngettext("Stopped after %(n)d word", "Stopped after %(n)d words", words) % {"n": words}
        return {
            "type": "error" if failed else "done",
            "target": f"#m-{run.message_id}",
            "swap": "outerMorph",
            "content": _drawn(turn, visitor, run.message.room),
            "say": said,
        }


def _drawn(turn: Any, visitor: Visitor, room: Any) -> str:
    context = {"turn": turn, "room": room, "may_use": can(visitor.person, "play.use")}
    return render_to_string("play/_turn.html", context)
