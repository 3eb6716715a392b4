"""Rooms of the playground as pages show them: the list at the left, and the branch of a conversation being read.

A conversation is a tree: another try is a sibling. What is shown is one path through it, the newest unless `at` names
a message to go through; each turn knows its siblings, so nothing that was written is out of reach.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from babel.dates import format_date
from django.db.models import QuerySet, Sum
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from console import formats, runs
from console.markdown import rendered
from console.models import Message, Room, Run, User
from console.paging import Page, page_of
from console.picking import Chosen, chosen, current_snapshot
from console.runs.store import frames_of
from routing.snapshot import Snapshot

TURNS = 30  # of a thread at a time
ROOMS = 30


def rooms_of(person: User) -> QuerySet[Room]:
    """Rooms are private: only their owner sees them."""
    return Room.objects.filter(owner=person, deleted_at=None)


# -- the list ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shelved:
    room: Room
    model: str
    cost: str
    live: bool


@dataclass(frozen=True, slots=True)
class Shelf:
    groups: list[tuple[str, list[Shelved]]]  # under "Today", "Yesterday", "Earlier in November", "October 2026"
    page: Page[Room]
    query: str


def shelf_of(person: User, now: datetime, *, cursor: str = "", query: str = "") -> Shelf:
    rows = rooms_of(person)
    if query:
        rows = rows.filter(title__icontains=query)
    page = page_of(rows, ("-touched_at", "-id"), cursor, size=ROOMS)
    shown = [room.pk for room in page.rows]
    running = Run.objects.filter(message__room__in=shown, status=Run.Status.RUNNING)
    live = set(running.values_list("message__room_id", flat=True))
    costs = _costs(shown)
    snapshot = current_snapshot()
    today = timezone.localtime(now).date()
    groups: dict[str, list[Shelved]] = defaultdict(list)
    for room in page.rows:
        shelved = Shelved(room, chosen(room.model, snapshot).name, costs.get(room.pk, ""), room.pk in live)
        groups[_age(timezone.localtime(room.touched_at).date(), today)].append(shelved)
    return Shelf(list(groups.items()), page, query)


def _age(then: date, today: date) -> str:
    days = (today - then).days
    if days <= 0:
        return _("Today")
    if days == 1:
        return _("Yesterday")
    locale = (get_language() or "en").replace("-", "_")
    if (then.year, then.month) == (today.year, today.month):
        return _("Earlier in %(month)s") % {"month": format_date(then, "MMMM", locale=locale)}
    return str(capfirst(format_date(then, "MMMM y", locale=locale)))


def _costs(rooms: list[int]) -> dict[int, str]:
    """What each room has cost, per currency; sums in several currencies are not added up."""
    rows = (
        Run.objects.filter(message__room__in=rooms, amount_nano__isnull=False)
        .values("message__room", "currency")
        .annotate(nano=Sum("amount_nano"))
    )
    found: dict[int, list[str]] = defaultdict(list)
    for row in rows:
        found[row["message__room"]].append(cost(row["nano"], row["currency"]))
    return {room: " + ".join(sorted(set(costs))) for room, costs in found.items()}


def cost(nano: int | None, currency: str) -> str:
    if nano is None:
        return ""
    return formats.money(nano, currency) if nano else _("free")


# -- the thread --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Siblings:
    """Which try this is. `before` and `after` are the messages the arrows lead to."""

    position: int = 1
    total: int = 1
    before: int | None = None
    after: int | None = None


class Branches:
    """The shape of a conversation: numbers only, read once."""

    def __init__(self, links: Iterable[tuple[int, int | None]]) -> None:
        self.parents: dict[int, int | None] = dict(links)
        self.children: dict[int | None, list[int]] = defaultdict(list)
        for number, parent in sorted(self.parents.items()):
            self.children[parent].append(number)

    def path(self, at: int | None = None) -> list[int]:
        """From the first message to the last one, through `at` if it is there."""
        if at not in self.parents:
            at = max(self.parents, default=None)
        if at is None:
            return []
        above: list[int] = []
        number: int | None = at
        while number is not None:
            above.append(number)
            number = self.parents[number]
        path = above[::-1]
        while below := self.children.get(path[-1]):
            path.append(below[-1])
        return path

    def siblings(self, number: int) -> Siblings:
        tries = self.children[self.parents[number]]
        place = tries.index(number)
        return Siblings(
            position=place + 1,
            total=len(tries),
            before=tries[place - 1] if place else None,
            after=tries[place + 1] if place + 1 < len(tries) else None,
        )


@dataclass(frozen=True, slots=True)
class Stats:
    """Words for the line under an answer; what is not known is empty."""

    first_token: str = ""
    speed: str = ""
    input: str = ""
    output: str = ""
    cost: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    message: Message
    siblings: Siblings = field(default_factory=Siblings)
    day: str = ""  # set on the first turn of a day
    run: Run | None = None
    by: Chosen | None = None  # who wrote it, or is asked to
    html: SafeString = field(default_factory=SafeString)
    tail: str = ""
    seq: int = 0
    stats: Stats = field(default_factory=Stats)
    error: str = ""
    note: str = ""

    @property
    def is_question(self) -> bool:
        return self.message.author == Message.Author.USER

    @property
    def live(self) -> bool:
        return self.run is not None and self.run.status == Run.Status.RUNNING


@dataclass(frozen=True, slots=True)
class Thread:
    turns: list[Turn]
    older: int | None  # the message above which there is more
    last: int | None  # what a reply replies to
    newest: int  # message number of the room, whichever branch it is in

    @property
    def live(self) -> bool:
        return any(turn.live for turn in self.turns)


def thread_of(room: Room, *, at: int | None = None, before: int | None = None, now: datetime) -> Thread:
    """The newest turns of one branch, or those above `before`."""
    branches = Branches(room.messages.values_list("id", "parent_id"))
    path = branches.path(at if at is not None else before)
    last = path[-1] if path else None
    if before in branches.parents:
        path = path[: path.index(before)]
    shown = path[-TURNS:]
    turns = turns_of(room, shown, branches, now)
    older = shown[0] if len(path) > len(shown) else None
    return Thread(turns, older, last, max(branches.parents, default=0))


def turns_of(
    room: Room, numbers: list[int], branches: Branches, now: datetime, *, day: date | None = None
) -> list[Turn]:
    """`day` is that of the turn above them: a day is named once."""
    rows = {each.pk: each for each in room.messages.filter(pk__in=numbers).select_related("run")}
    snapshot = current_snapshot()
    turns: list[Turn] = []
    for number in numbers:
        message = rows[number]
        here = timezone.localtime(message.created_at).date()
        words = "" if here == day else _day(here, timezone.localtime(now).date())
        turns.append(_turn(message, branches.siblings(number), words, snapshot))
        day = here
    return turns


def turn_of(message: Message) -> Turn:
    """One turn alone, as it is after its run has ended."""
    branches = Branches(message.room.messages.values_list("id", "parent_id"))
    return _turn(message, branches.siblings(message.pk), "", current_snapshot())


def _turn(message: Message, siblings: Siblings, day: str, snapshot: Snapshot) -> Turn:
    run: Run | None = getattr(message, "run", None)
    if run is None:
        return Turn(message, siblings, day)  # a question: shown as it was typed
    by = chosen(f"{run.provider}:{run.model}" if run.provider else run.asked_model, snapshot)
    if run.status == Run.Status.RUNNING:
        so_far = runs.so_far(_frames(run.pk))
        return Turn(
            message,
            siblings,
            day,
            run,
            by,
            mark_safe(so_far.html),  # noqa: S308 - sanitised before it was written to the log
            so_far.tail,
            so_far.seq,
            stats_while_running(so_far.stats),
        )
    return Turn(
        message,
        siblings,
        day,
        run,
        by,
        rendered(message.text),
        stats=stats_of(run),
        error=_error(run),
        note=_note(run),
    )


def _frames(run_id: str) -> list[runs.Numbered]:
    here = runs.running()
    writing = here.live.get(run_id) if here is not None else None
    return writing.log.since(0) if writing is not None else frames_of(run_id)


def _day(then: date, today: date) -> str:
    pattern = "EEEE d MMMM" if then.year == today.year else "EEEE d MMMM y"
    return str(capfirst(format_date(then, pattern, locale=(get_language() or "en").replace("-", "_"))))


# -- the line under an answer --------------------------------------------------------


def stats_of(run: Run) -> Stats:
    return _stats(
        run.first_token_ms,
        run.duration_ms,
        run.input_tokens,
        run.output_tokens,
        cost(run.amount_nano, run.currency) or (_("no price") if run.output_tokens else ""),
    )


def stats_while_running(frame: Mapping[str, Any]) -> Stats:
    return _stats(frame.get("first_token_ms"), frame.get("duration_ms"), None, frame.get("output_tokens"), "")


def _stats(first: int | None, duration: int | None, given: int | None, written: int | None, price: str) -> Stats:
    speed = ""
    if written and first is not None and duration is not None and duration > first:
        speed = formats.number(round(written * 1000 / (duration - first)))
    return Stats(
        first_token=formats.duration(first) if first is not None else "",
        speed=speed,
        input=formats.number(given) if given is not None else "",
        output=formats.number(written) if written else "",
        cost=price,
    )


def _error(run: Run) -> str:
    """What happened and what to do, in one sentence; what the provider said stands below it."""
    if run.status == Run.Status.INTERRUPTED:
        return _("The server restarted before this answer was finished. Ask again.")
    if run.status != Run.Status.FAILED:
        return ""
    words = {
        "model_not_found": _("This model does not exist any more. Choose another one."),
        "no_usable_provider": _("Nobody can answer for this model now. Choose another one, or try again later."),
        "model_not_allowed": _("You may not use this model. Choose another one."),
        "upstream_auth": _("The provider refused our key. Tell an admin; other providers still answer."),
        "rate_limit_exceeded": _("The provider is asked too often. Try again in a moment."),
        "upstream_overloaded": _("The provider is overloaded. Try again in a moment, or choose another model."),
        "upstream_timeout": _("The provider did not answer in time. Try again, or choose another model."),
        "upstream_stalled": _("The provider fell silent in the middle. What came is kept."),
        "upstream_stream_interrupted": _("The connection to the provider broke. What came is kept."),
        "context_length_exceeded": _("The conversation is longer than this model can read. Start a new room."),
        "content_filter": _("The provider's content filter refused this."),
        "upstream_quota": _("The provider says that our account there has no money left. Tell an admin."),
        "ledger_unavailable": _("The house cannot write down costs now, so nothing was asked. Try again in a moment."),
    }
    return words.get(run.error_code, _("The provider failed. Try again, or choose another model."))


def _note(run: Run) -> str:
    if run.status == Run.Status.STOPPED:
        return _("Stopped. What came until then is kept and paid for.")
    if run.status == Run.Status.DONE:
        return {
            "length": _("Cut: this is the longest answer the model gives."),
            "content_filter": _("Cut by the provider's content filter."),
        }.get(run.error_code, "")
    return ""


def word_count(text: str) -> int:
    return len(text.split())
