"""Exposures: once a unit, the first one counts, also when two processes write at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection

from billing.ids import new_request_id
from routing import exposures
from routing.exposures import Exposures
from routing.models import Exposure

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.store]


def test_a_unit_is_written_once_however_often_it_comes() -> None:
    mine, theirs = Exposures(), Exposures()
    first = new_request_id()
    for request_id in (first, new_request_id(), new_request_id()):
        mine.note("cheaper#1", "user 7", "B", request_id)
    assert mine.waiting == 1
    theirs.note("cheaper#1", "user 7", "B", new_request_id())
    theirs.note("cheaper#2", "user 7", "A", new_request_id())
    asyncio.run(mine.flush())
    asyncio.run(theirs.flush())
    rows = list(Exposure.objects.order_by("experiment"))
    assert [(row.experiment, row.arm) for row in rows] == [("cheaper#1", "B"), ("cheaper#2", "A")]
    assert rows[0].request_id == first
    assert "user 7" not in rows[0].unit


def test_what_waits_and_what_is_known_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposures, "MOST_WAITING", 3)
    monkeypatch.setattr(exposures, "MOST_KNOWN", 2)
    book = Exposures()
    for number in range(5):
        book.note("e#1", f"unit {number}", "A", new_request_id())
    assert (book.waiting, book.dropped) == (3, 2)
    asyncio.run(book.flush())
    book.note("e#1", "unit 4", "A", new_request_id())
    asyncio.run(book.flush())
    assert Exposure.objects.count() == 4


@contextmanager
def nowhere_to_write() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE routing_exposure RENAME TO routing_exposure_away")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE routing_exposure_away RENAME TO routing_exposure")


def test_what_cannot_be_written_waits_and_what_finds_no_room_is_noted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposures, "MOST_WAITING", 2)
    book = Exposures()
    for unit in ("unit 1", "unit 2"):
        book.note("e#1", unit, "A", new_request_id())

    async def while_another_comes() -> None:
        flushing = asyncio.create_task(book.flush())
        await asyncio.sleep(0)  # its rows are on their way
        book.note("e#1", "unit 3", "A", new_request_id())
        await flushing

    with nowhere_to_write():
        asyncio.run(while_another_comes())
    assert (book.waiting, book.dropped) == (2, 1)
    asyncio.run(book.flush())
    book.note("e#1", "unit 2", "A", new_request_id())
    asyncio.run(book.flush())
    assert Exposure.objects.count() == 3


def test_two_that_write_the_same_units_at_once_do_not_wait_for_each_other() -> None:
    mine, theirs = Exposures(), Exposures()
    units = [f"unit {number}" for number in range(1500)]
    for book, order in ((mine, units), (theirs, units[::-1])):
        for unit in order:
            book.note("e#1", unit, "A", new_request_id())

    async def both() -> None:
        await asyncio.gather(mine.flush(), theirs.flush())

    asyncio.run(both())
    assert (mine.waiting, theirs.waiting) == (0, 0)
    assert Exposure.objects.count() == len(units)
