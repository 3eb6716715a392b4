"""Exposures: once a unit, the first one counts, also when two processes write at the same moment."""

from __future__ import annotations

import asyncio

import pytest

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
