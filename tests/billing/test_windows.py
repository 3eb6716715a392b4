"""When a budget begins and ends: calendars, time zones, and the hours that clocks skip or repeat."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.windows import FOREVER, PERIODS, window_of

ZONES = ("UTC", "Europe/Paris", "America/New_York", "Africa/Cairo", "America/Havana", "Asia/Kathmandu", "Pacific/Apia")


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("period", "zone", "moment", "name", "begins", "ends"),
    [
        ("day", "UTC", "2026-11-25T12:00", "2026-11-25", "2026-11-25T00:00", "2026-11-26T00:00"),
        ("week", "UTC", "2026-11-25T12:00", "2026-W48", "2026-11-23T00:00", "2026-11-30T00:00"),
        ("month", "UTC", "2026-02-28T23:59", "2026-02", "2026-02-01T00:00", "2026-03-01T00:00"),
        ("month", "Europe/Paris", "2026-12-31T23:59", "2026-12", "2026-12-01T00:00", "2027-01-01T00:00"),
        # The days on which clocks change have 23 and 25 hours.
        ("day", "Europe/Paris", "2026-03-29T12:00", "2026-03-29", "2026-03-29T00:00", "2026-03-30T00:00"),
        ("day", "Europe/Paris", "2026-10-25T12:00", "2026-10-25", "2026-10-25T00:00", "2026-10-26T00:00"),
    ],
)
def test_a_window_is_a_piece_of_the_calendar(
    period: str, zone: str, moment: str, name: str, begins: str, ends: str
) -> None:
    window = window_of(period, zone, at(moment, zone))
    assert (window.name, window.starts_at, window.ends_at) == (name, at(begins, zone), at(ends, zone))


def test_days_are_as_long_as_clocks_make_them() -> None:
    hours = [
        (window.ends_at - window.starts_at) / 3600
        for day in ("2026-03-29", "2026-10-25", "2026-06-01")
        if (window := window_of("day", "Europe/Paris", at(f"{day}T12:00", "Europe/Paris")))
    ]
    assert hours == [23, 25, 24]


def test_where_clocks_skip_midnight_the_day_begins_when_they_do() -> None:
    # Cairo, 24 April 2026: 23:59 is followed by 01:00.
    window = window_of("day", "Africa/Cairo", at("2026-04-24T12:00", "Africa/Cairo"))
    assert datetime.fromtimestamp(window.starts_at, UTC) == datetime(2026, 4, 23, 22, tzinfo=UTC)


def test_the_same_moment_is_another_month_elsewhere() -> None:
    moment = at("2026-11-30T23:30")
    assert window_of("month", "UTC", moment).name == "2026-11"
    assert window_of("month", "Asia/Kathmandu", moment).name == "2026-12"


def test_all_time_is_one_window() -> None:
    assert window_of("total", "UTC", 0.0) == window_of("total", "Asia/Kathmandu", 2e9)
    assert window_of("total", "UTC", 0.0).ends_at == FOREVER


def test_a_period_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="fortnight"):
        window_of("fortnight", "UTC", 0.0)


@given(
    st.sampled_from(PERIODS),
    st.sampled_from(ZONES),
    st.datetimes(datetime(2011, 1, 1), datetime(2040, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC)),
)
def test_windows_are_without_gaps(period: str, zone: str, moment: datetime) -> None:
    seconds = moment.timestamp()
    window = window_of(period, zone, seconds)
    assert seconds in window
    assert window_of(period, zone, window.starts_at) == window
    if window.ends_at != FOREVER:
        after = window_of(period, zone, window.ends_at)
        assert after.starts_at == window.ends_at
        assert after.name != window.name
        assert timedelta(seconds=window.ends_at - window.starts_at) <= timedelta(days=31, hours=2)
