"""From when to when does a budget count? A calendar period in a time zone, as two moments. Nothing is ever reset."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

PERIODS = ("day", "week", "month", "total")
FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Window:
    """From its start on, and up to but without its end; both in seconds since the epoch."""

    name: str  # "2026-11-25", "2026-W48", "2026-11", "total"
    starts_at: float
    ends_at: float

    def __contains__(self, moment: float) -> bool:
        return self.starts_at <= moment < self.ends_at


TOTAL = Window("total", 0.0, FOREVER)

# The newest window of each calendar that somebody asked for: most requests fall into it.
_latest: dict[tuple[str, str], Window] = {}


def window_of(period: str, zone: str, moment: float) -> Window:
    """The window of this calendar that a moment falls into."""
    if period == "total":
        return TOTAL
    latest = _latest.get((period, zone))
    if latest is not None and latest.starts_at <= moment < latest.ends_at:
        return latest
    made = _made(period, ZoneInfo(zone), moment)
    if latest is None or made.starts_at > latest.starts_at:
        _latest[period, zone] = made
    return made


def _made(period: str, zone: ZoneInfo, moment: float) -> Window:
    today = datetime.fromtimestamp(moment, zone).date()
    if period == "day":
        first, last, name = today, today + timedelta(days=1), today.isoformat()
    elif period == "week":
        first = today - timedelta(days=today.weekday())
        last, name = first + timedelta(days=7), f"{today:%G-W%V}"
    elif period == "month":
        first, name = today.replace(day=1), f"{today:%Y-%m}"
        last = (first + timedelta(days=32)).replace(day=1)
    else:
        raise ValueError(f"'{period}' is no period: there is {', '.join(PERIODS)}.")
    return Window(name, _midnight(first, zone), _midnight(last, zone))


def _midnight(day: date, zone: ZoneInfo) -> float:
    """When a day begins there. Where clocks skip midnight, that is the moment they do."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC).timestamp()
