"""How many requests were there in the last day, and how did they end? A bar for each half hour, counted once.

A bar that is over is counted when somebody looks and then kept: a look later costs the running bar and little else.
Where there is too much to count in the time that a page has, the newest bars come first and the rest on the next look.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.db.models import Count, Q
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from redis.exceptions import RedisError

from billing.hours import HALF, HalfHour, now_bar
from billing.models import Request
from console import charts, formats
from console.charts import Axis, Series
from console.sifting import BROKEN, REROUTED
from console.traffic import Sight, TooSlow, bounded

log = logging.getLogger(__name__)

BARS = 48
DAY = BARS * HALF
AT_ONCE = 4  # bars that one statement counts
LOOK_SECONDS = 0.4  # then the rest is left to the next look
STATEMENT_SECONDS = 2.0
# A journal may bring what began a while ago: a bar is final only when nobody would notice.
FRESH, FRESH_SECONDS = timedelta(minutes=10), 15
KEPT_SECONDS = 3600
HALF_SECONDS = int(HALF.total_seconds())
STEPS = (4, 8, 20, 40, 80, 120, 200, 400, 600, 800, 1200, 2000, 4000)
SEEN = 0.024  # of the height: two pixels, so that the first failure is seen
HEIGHT = 104
CACHE_AWAY = (RedisError, OSError)

Counts = tuple[int, int, int]  # first attempt, rerouted, failed
Kept = dict[int, tuple[float, Counts]]  # by the number of the half hour: when it was counted, and what


@dataclass(frozen=True, slots=True)
class Day:
    first: datetime  # when the oldest bar begins
    bars: Sequence[Counts | None]  # None: not counted yet
    slow: bool = False  # the database took too long
    totals: Counts = field(init=False)

    def __post_init__(self) -> None:
        sums = [sum(each) for each in zip(*[bar for bar in self.bars if bar], strict=True)] or [0, 0, 0]
        object.__setattr__(self, "totals", (sums[0], sums[1], sums[2]))

    @property
    def complete(self) -> bool:
        return None not in self.bars

    @property
    def ends(self) -> datetime:
        return self.first + DAY


def day_of(sight: Sight, now: datetime, *, demo: bool = False, seconds: float = LOOK_SECONDS) -> Day:
    first = now_bar(now.astimezone(UTC)) - (BARS - 1) * HALF
    start = int(first.timestamp()) // HALF_SECONDS
    name = f"requests.bars.{sight.name}.{demo:d}"
    kept = {number: one for number, one in _read(name).items() if number >= start}
    missing = [number for number in range(start + BARS - 1, start - 1, -1) if not _holds(kept.get(number), number, now)]
    slow = False
    ends = time.monotonic() + seconds
    for some in _together(missing):
        if time.monotonic() >= ends and some[0] != missing[0]:
            break
        try:
            with bounded(STATEMENT_SECONDS):
                found = _count(sight, some, demo)
        except TooSlow:
            slow = True
            break
        kept |= {number: (now.timestamp(), found.get(number, (0, 0, 0))) for number in some}
    if missing:
        _write(name, kept)
    return Day(first, [kept[number][1] if number in kept else None for number in range(start, start + BARS)], slow)


def _together(numbers: Sequence[int]) -> list[list[int]]:
    """Neighbours, a few at once."""
    groups: list[list[int]] = []
    for number in numbers:
        if groups and groups[-1][-1] == number + 1 and len(groups[-1]) < AT_ONCE:
            groups[-1].append(number)
        else:
            groups.append([number])
    return groups


def _holds(one: tuple[float, Counts] | None, number: int, now: datetime) -> bool:
    if one is None:
        return False
    over = (number + 1) * HALF_SECONDS + FRESH.total_seconds() <= one[0]
    return now.timestamp() - one[0] < (KEPT_SECONDS if over else FRESH_SECONDS)


def _count(sight: Sight, numbers: Sequence[int], demo: bool) -> dict[int, Counts]:
    begins, ends = (_moment(min(numbers)), _moment(max(numbers) + 1))
    during = Q(started_at__gte=begins, started_at__lt=ends, demo=demo)
    found: dict[int, Counts] = {}
    for branch in sight.branches:
        rows = Request.objects.filter(during, **branch)
        if "user_id" in branch and sight.teams:
            rows = rows.filter(~Q(team_id__in=sight.teams) | Q(team_id=None))  # the others are counted with the team
        counted = rows.annotate(half=HalfHour("started_at")).values("half").order_by()
        told = counted.annotate(all=Count("id"), failed=Count("id", filter=BROKEN), moved=Count("id", filter=REROUTED))
        for row in told:
            before = found.get(row["half"], (0, 0, 0))
            more = (row["all"] - row["failed"] - row["moved"], row["moved"], row["failed"])
            found[row["half"]] = (before[0] + more[0], before[1] + more[1], before[2] + more[2])
    return found


def _moment(number: int) -> datetime:
    return datetime.fromtimestamp(number * HALF_SECONDS, tz=UTC)


def _read(name: str) -> Kept:
    try:
        found: Kept | None = cache.get(name)
    except CACHE_AWAY as error:
        log.warning("the cache cannot be reached: %s", error)
        return {}
    return found or {}


def _write(name: str, kept: Kept) -> None:
    try:
        cache.set(name, kept, KEPT_SECONDS)
    except CACHE_AWAY as error:
        log.warning("the cache cannot be reached: %s", error)


# -- drawing ---------------------------------------------------------------------------------


def drawn(day: Day, now: datetime, since: datetime | None = None, until: datetime | None = None) -> SafeString:
    """With two handles that choose a range of time."""
    bars = [bar or (0, 0, 0) for bar in day.bars]
    top = _top(max(map(sum, bars), default=0))
    series = [
        Series(_("First attempt"), "ok", [bar[0] for bar in bars], _words(bar[0] for bar in bars)),
        Series(_("Rerouted"), "warn", [_seen(bar[1], top) for bar in bars], _words(bar[1] for bar in bars)),
        Series(_("Failed"), "bad", [_seen(bar[2], top) for bar in bars], _words(bar[2] for bar in bars)),
    ]
    label = _("Requests each half hour by outcome, last 24 hours.")
    handles = render_to_string("requests/_brush.html", _brush(day, since, until))
    return charts.bars(label, series, _axis(day, bars, top, now), height=HEIGHT, over=mark_safe(handles))  # noqa: S308


def _brush(day: Day, since: datetime | None, until: datetime | None) -> dict[str, Any]:
    """Where the handles are, in bars; the edges of the bars in the hours of the page, for what a handle means."""
    low, high = _place(day, since, 0), _place(day, until, BARS)
    if low >= high:
        low, high = 0.0, float(BARS)  # of another day
    edges = [f"{timezone.localtime(day.first + place * HALF):%Y-%m-%dT%H:%M}" for place in range(BARS + 1)]
    return {
        "low": low,
        "high": high,
        "lo": f"{low / BARS:.2%}",
        "hi": f"{high / BARS:.2%}",
        "whole": low == 0 and high == BARS,
        "bars": BARS,
        "edges": " ".join(edges),
        "says_low": edges[round(low)][11:],
        "says_high": edges[round(high)][11:],
    }


def _place(day: Day, moment: datetime | None, otherwise: int) -> float:
    if moment is None:
        return float(otherwise)
    return round(min(max((moment - day.first) / HALF, 0.0), float(BARS)), 2)


def _axis(day: Day, bars: Sequence[Counts], top: int, now: datetime) -> Axis:
    names, below = [], []
    for place in range(BARS):
        begins = timezone.localtime(day.first + place * HALF)
        ends = timezone.localtime(day.first + (place + 1) * HALF)
        words = {"day": date_format(begins, "D j M"), "begins": f"{begins:%H:%M}", "ends": f"{ends:%H:%M}"}
        running = place == BARS - 1
        said = _("%(day)s, %(begins)s to %(ends)s, so far") if running else _("%(day)s, %(begins)s to %(ends)s")
        names.append(said % words)
        if begins.minute == 0 and begins.hour % 3 == 0:
            below.append((place, f"{begins:%H:%M}"))
    ticks = [formats.number(top * tick // 2) for tick in range(3)]
    return Axis(top, ticks, below, names, [formats.number(sum(bar)) for bar in bars])


def _words(counts: Iterable[int]) -> list[str]:
    return [formats.number(count) if count else "" for count in counts]


def _seen(count: int, top: int) -> float:
    return max(count, top * SEEN) if count else 0


def _top(most: int) -> int:
    """A round, even number that holds the tallest bar."""
    scale = 1
    while most > STEPS[-1] * scale:
        scale *= 10
    return next(step * scale for step in STEPS if step * scale >= most)
