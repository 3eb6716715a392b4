"""Which requests were there? Pages of them by what is asked for, newest first, each at the cost of a bounded look.

Some filters have an index (key, person, team, failed, rerouted, time), the others are looked for among the rows that
the best of those gives. So one step looks at no more than `SCAN` rows, steps follow each other until a page is full or
the time is up, and then the page says how far back it has looked. Nothing depends on how many rows there are.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from django.db import OperationalError, connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce

from billing.ids import PREFIX, started_at
from billing.lookup import is_request_id
from billing.models import Request
from console.access import can, memberships_of
from console.models import User
from console.sifting import Filters

SIZE = 50
SCAN = 10_000  # rows that one step looks at
STEPS_SECONDS = 1.0  # then no further step is begun
STATEMENT_SECONDS = 3.0  # then a step is stopped
STEPS_BETWEEN = 5_000  # of SQLite's machine, between two looks at the clock
MOST_NEW = 99
ORDER = ("-started_at", "-id")
LARGE = ("decision", "ask", "warnings")  # columns that no list needs
NOBODY = -1


class TooSlow(Exception):
    """The database did not answer in the time that a page has."""


@dataclass(frozen=True, slots=True)
class Sight:
    """Whose requests somebody may see: everybody's, or those of some teams and of one person."""

    everything: bool = False
    teams: tuple[int, ...] = ()
    user: int | None = None

    @property
    def branches(self) -> list[dict[str, int]]:
        """What is seen, as conditions with an index each; together they are all of it."""
        if self.everything:
            return [{}]
        own = [{"user_id": self.user}] if self.user is not None else []
        return own + [{"team_id": team} for team in self.teams]

    def holds(self, request: Request) -> bool:
        mine = self.user is not None and request.user_id == self.user
        return self.everything or mine or request.team_id in self.teams

    @property
    def name(self) -> str:
        """The same for those who see the same."""
        return "all" if self.everything else f"{self.user}.{'.'.join(map(str, self.teams))}"


def sight_of(person: User) -> Sight:
    """Leads see their teams' requests, members their own."""
    if can(person, "requests.see_all"):
        return Sight(everything=True)
    led = sorted(each.team_id for each in memberships_of(person) if each.lead)
    return Sight(teams=tuple(led), user=person.pk)


@dataclass(frozen=True, slots=True)
class Found:
    rows: list[Request]
    older: str = ""  # the cursor of what is further back; empty: there is nothing
    searched_to: datetime | None = None  # the time was up before the page was full


def page_at(
    sight: Sight, wanted: Filters, before: str = "", size: int = SIZE, *, seconds: float | None = None
) -> Found:
    """Those before the request of this id, which may be made up: only its place among them counts."""
    ends = time.monotonic() + (STEPS_SECONDS if seconds is None else seconds)
    upper = before if is_request_id(before) else ""
    rows: list[Request] = []
    reached: datetime | None = None
    while True:
        try:
            with bounded(STATEMENT_SECONDS):
                found, edge = _step(sight, wanted, upper, size + 1 - len(rows))
        except TooSlow:
            if reached is None:
                raise
            return Found(rows, upper, reached)  # what the steps before gave
        rows += found
        if len(rows) > size:
            return Found(rows[:size], rows[size - 1].id)
        if edge is None:
            return Found(rows)
        upper, reached = first_id_at(edge), edge
        if time.monotonic() >= ends:
            return Found(rows, upper, reached)


def newer(sight: Sight, wanted: Filters, than: str) -> int:
    """How many began after this one; at most `MOST_NEW` are counted."""
    if not is_request_id(than):
        return 0
    since = max(filter(None, (wanted.since, started_at(than))))
    found = page_at(sight, wanted.during(since, wanted.until), size=MOST_NEW, seconds=0)
    return sum(row.id > than for row in found.rows)


def one(sight: Sight, request_id: str) -> Request | None:
    """A request somebody may see; a foreign one does not exist for them."""
    if not is_request_id(request_id):
        return None
    found = Request.objects.filter(id=request_id, started_at=started_at(request_id)).first()
    return found if found is not None and sight.holds(found) else None


def first_id_at(moment: datetime) -> str:
    """The lowest id that a request of this moment can have: a cursor behind which are all that began earlier."""
    return f"{PREFIX}{int(moment.timestamp() * 1000):012x}{'0' * 20}"


# -- one step --------------------------------------------------------------------------------


def _step(sight: Sight, wanted: Filters, upper: str, need: int) -> tuple[list[Request], datetime | None]:
    """Rows before `upper`, and the moment down to which there can be no others; None: there are none at all."""
    bases = [_Base(branch, wanted) for branch in sight.branches]
    reach = _range(wanted, upper)
    edges = [edge for base in bases if (edge := base.edge(reach)) is not None]
    edge = max(edges, default=None)
    if edge is not None:
        reach &= Q(started_at__gte=edge)
    found: dict[str, Request] = {}
    for base in bases:
        for row in base.rows(reach)[:need]:
            found[row.id] = row
    return sorted(found.values(), key=lambda row: (row.started_at, row.id), reverse=True)[:need], edge


def _range(wanted: Filters, upper: str) -> Q:
    reach = Q()
    if wanted.begins is not None:
        reach &= Q(started_at__gte=wanted.begins)
    if wanted.ends is not None:
        reach &= Q(started_at__lt=wanted.ends)
    if upper:
        moment = started_at(upper)
        # The bound by time alone is what an index begins at.
        reach &= Q(started_at__lte=moment) & (Q(started_at__lt=moment) | Q(id__lt=upper))
    return reach


class _Base:
    """Which index a look goes through, and what else must be true of its rows."""

    def __init__(self, branch: Mapping[str, int], wanted: Filters) -> None:
        owners = {name: {value for value in (branch.get(name), wanted.owners.get(name)) if value} for name in OWNERS}
        self._nothing = any(len(values) > 1 for values in owners.values())  # of two teams at once
        named = {name: values.pop() for name, values in owners.items() if values}
        through = next((name for name in OWNERS if name in named), "")
        indexed: QuerySet[Request] = Request.objects.all()
        if through:
            indexed = indexed.filter(**{through: named.pop(through)})
        elif wanted.outcome == "failed" or wanted.code or wanted.status not in ("", "ok"):
            indexed = indexed.exclude(status="ok")  # what has an error code has failed
        elif wanted.outcome == "rerouted":
            indexed = indexed.filter(attempts__gt=1)
        self._indexed = indexed
        whole = indexed.filter(wanted.condition)
        for name, value in named.items():
            # Wrapped, so that no database takes the index of this column instead.
            whole = whole.alias(**{f"{name}_is": Coalesce(name, NOBODY)}).filter(**{f"{name}_is": value})
        self._whole = whole

    def edge(self, reach: Q) -> datetime | None:
        """The moment of the row at which this step ends, by the index alone."""
        if self._nothing:
            return None
        moments = self._indexed.filter(reach).order_by("-started_at").values_list("started_at", flat=True)
        return next(iter(moments[SCAN : SCAN + 1]), None)

    def rows(self, reach: Q) -> QuerySet[Request]:
        if self._nothing:
            return Request.objects.none()
        return self._whole.filter(reach).order_by(*ORDER).defer(*LARGE)


OWNERS = ("key_id", "user_id", "team_id")  # columns with an index, the narrowest first


# -- no statement takes longer -----------------------------------------------------------------


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """What the database does not give in this time is TooSlow."""
    limited = _on_postgres if connection.vendor == "postgresql" else _on_sqlite
    try:
        with limited(seconds):
            yield
    except OperationalError as error:
        cause = error.__cause__
        stopped = getattr(cause, "sqlstate", "") == "57014" or getattr(cause, "sqlite_errorname", "") == (
            "SQLITE_INTERRUPT"
        )
        if not stopped:
            raise
        raise TooSlow from error


@contextmanager
def _on_postgres(seconds: float) -> Iterator[None]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = %s", [int(seconds * 1000)])
        yield
        cursor.execute("SET LOCAL statement_timeout = DEFAULT")


@contextmanager
def _on_sqlite(seconds: float) -> Iterator[None]:
    connection.ensure_connection()
    ends = time.monotonic() + seconds
    connection.connection.set_progress_handler(lambda: time.monotonic() > ends, STEPS_BETWEEN)
    try:
        yield
    finally:
        connection.connection.set_progress_handler(None, 0)
