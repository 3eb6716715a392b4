"""Hours are reckoned from the records, the same however often, and read back as days, medians and strips."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing import hours
from billing.hours import BARS, BOUNDS, HALF, HOUR, HOUSE, fleet, lately, median, reckon, spent, strips
from billing.ids import attempt_id, new_request_id, started_at
from billing.models import Attempt, LedgerEntry, ProviderHour, Request
from providers.models import HealthCheck, Provider
from tests.factories import make_provider

pytestmark = [pytest.mark.store, pytest.mark.django_db]

NOW = datetime(2026, 11, 25, 12, 20, tzinfo=UTC)


@pytest.fixture
def first() -> Provider:
    return make_provider("First", kind="vllm", base_url="http://127.0.0.1:1/v1")


@pytest.fixture
def second() -> Provider:
    return make_provider("Second", kind="vllm", base_url="http://127.0.0.1:2/v1")


def call(at: datetime, *tried: tuple[Provider, str], first_ms: int | None = 300, **fields: Any) -> None:
    """A request and its attempts: `call(at, (first, "upstream_timeout"), (second, "ok"))`."""
    request_id = new_request_id(int(at.timestamp() * 1000))
    shared = {"started_at": started_at(request_id), "demo": fields.pop("demo", False)}
    nano, currency = fields.pop("nano", 1000), fields.pop("currency", "EUR")
    for number, (provider, outcome) in enumerate(tried, start=1):
        status = outcome if outcome in ("ok", "cancelled") else "failed"
        code = "" if status == "ok" else "client_left" if status == "cancelled" else outcome
        Attempt.objects.create(
            id=attempt_id(request_id, number), request_id=request_id, number=number, status=status, error_code=code,
            billed="provider" if status == "ok" else "voided", provider_id=provider.pk, provider=provider.slug,
            model="m", first_token_ms=first_ms if status == "ok" else None, **shared,
        )  # fmt: skip
        if status == "ok":
            LedgerEntry.objects.create(
                id=f"{attempt_id(request_id, number)}/charge/0", request_id=request_id, kind="charge", purpose="api",
                attempt_id=attempt_id(request_id, number), booked_at=at, provider_id=provider.pk, model="m",
                provider=provider.slug, usage_source="provider", amount_nano=nano, currency=currency, **shared,
            )  # fmt: skip
    last, outcome = tried[-1]
    answered = outcome == "ok"
    Request.objects.create(
        id=request_id, status=outcome if outcome in ("ok", "cancelled") else "failed", purpose="api", asked_model="m",
        provider=last.slug if answered else "", attempts=len(tried), first_token_ms=first_ms if answered else None,
        error_code="" if answered else outcome, **shared,
    )  # fmt: skip


def kept() -> list[tuple[Any, ...]]:
    rows = ProviderHour.objects.order_by("provider_id", "hour")
    return list(rows.values_list("provider_id", "hour", "attempts", "failures", "rerouted", "first_tokens", "amounts"))


def test_what_an_hour_says(first: Provider, second: Provider) -> None:
    for _ in range(3):
        call(NOW, (first, "ok"))
    call(NOW, (first, "upstream_timeout"), (second, "ok"), nano=70, currency="USD")
    call(NOW, (first, "upstream_overloaded"), (second, "upstream_auth"))
    call(NOW, (first, "cancelled"))
    call(NOW, (first, "context_length_exceeded"))
    call(NOW, (second, "ok"), demo=True)
    reckon(NOW)
    rows = {row.provider_id: row for row in ProviderHour.objects.all()}
    assert set(rows) == {HOUSE, first.pk, second.pk}
    assert {row.hour for row in rows.values()} == {NOW.replace(minute=0)}
    # What a caller got wrong, and calls whose caller left, say nothing about a provider.
    assert (rows[first.pk].attempts, rows[first.pk].failures, rows[first.pk].rerouted) == (5, 2, 1)
    assert (rows[second.pk].attempts, rows[second.pk].failures, rows[second.pk].rerouted) == (2, 1, 0)
    assert (rows[HOUSE].attempts, rows[HOUSE].failures, rows[HOUSE].rerouted) == (5, 1, 1)
    assert rows[first.pk].amounts == {"EUR": 3000}
    assert rows[second.pk].amounts == {"USD": 70}
    assert rows[first.pk].first_tokens[BOUNDS.index(300)] == 3
    assert sum(rows[HOUSE].first_tokens) == 4


def test_it_is_the_same_however_often(first: Provider, second: Provider) -> None:
    for minutes in range(0, 200, 7):
        call(NOW - timedelta(minutes=minutes), (first, "upstream_timeout"), (second, "ok"))
    reckon(NOW, back=4)
    once = kept()
    assert len(once) > 6
    reckon(NOW, back=4)
    reckon(NOW)
    assert kept() == once


def test_what_comes_late_is_found_by_looking_further_back(first: Provider) -> None:
    call(NOW - 5 * HOUR, (first, "ok"))
    assert reckon(NOW) == 0
    assert reckon(NOW, back=hours.LATE) == 2
    call(NOW - 5 * HOUR, (first, "ok"))
    reckon(NOW, back=hours.LATE)
    assert ProviderHour.objects.get(provider_id=first.pk).attempts == 2


def test_the_database_counts(first: Provider, django_assert_num_queries: Any) -> None:
    for _ in range(25):
        call(NOW, (first, "ok"))
    with django_assert_num_queries(1 + 3 * 4 + 1):  # four questions an hour, and one answer written
        reckon(NOW)


# -- reading ----------------------------------------------------------------------------


def test_days_and_what_changed_between_them(first: Provider, second: Provider) -> None:
    for hour in range(3):
        call(NOW - hour * HOUR, (first, "ok"), first_ms=180)
    call(NOW - 30 * HOUR, (first, "ok"), first_ms=900)
    reckon(NOW, back=40)
    found = fleet(NOW, [first.pk, second.pk])
    assert (found[first.pk].day.calls, found[first.pk].before.calls) == (3, 1)
    assert found[first.pk].median_change() == (found[first.pk].day.median_ms or 0) - 900
    assert [hour.calls for hour in found[first.pk].hours[-4:]] == [0, 1, 1, 1]
    assert found[first.pk].day.amounts == {"EUR": 3000}
    assert found[second.pk].day.error_share is None
    assert found[second.pk].day.median_ms is None
    assert found[HOUSE].day.calls == 3


def test_months(first: Provider) -> None:
    call(NOW, (first, "ok"), nano=5)
    call(NOW, (first, "ok"), nano=7, currency="USD")
    call(NOW - 26 * HOUR, (first, "ok"), nano=20)
    reckon(NOW, back=40)
    assert spent(NOW - 48 * HOUR, NOW)[first.pk] == {"EUR": 25, "USD": 7}
    assert spent(NOW - HOUR, NOW)[first.pk] == {"EUR": 5, "USD": 7}


def note(provider: Provider, at: datetime, oks: Iterable[bool]) -> None:
    HealthCheck.objects.bulk_create(HealthCheck(provider=provider, at=at, ok=ok) for ok in oks)


def test_a_strip_of_checks_and_calls(first: Provider, second: Provider) -> None:
    note(first, NOW, [True] * 3)
    note(first, NOW - HALF, [True, False, True])
    note(first, NOW - 2 * HALF, [False, False])
    note(first, NOW - 25 * HOUR, [False])
    for _ in range(3):
        call(NOW - 5 * HOUR, (first, "upstream_timeout"))
    reckon(NOW, back=10)
    figures = fleet(NOW, [first.pk, second.pk])
    drawn = strips(NOW, {number: figures[number] for number in (first.pk, second.pk)})
    assert drawn[first.pk][-3:] == ["b", "w", ""]
    assert drawn[first.pk][BARS - 12 : BARS - 8] == ["n", "b", "b", "n"]  # calls are counted by whole hours
    assert len(drawn[first.pk]) == BARS
    assert set(drawn[second.pk]) == {"n"}


def test_the_last_minutes(first: Provider, second: Provider) -> None:
    call(NOW, (first, "upstream_timeout"), (second, "ok"))
    call(NOW - timedelta(minutes=5), (first, "ok"))
    call(NOW - timedelta(minutes=50), (first, "ok"))
    found = lately(NOW, [first.pk, second.pk])
    assert (found[first.pk].calls, found[first.pk].failures) == (2, 1)
    assert found[first.pk].answered_at == NOW - timedelta(minutes=5)
    assert found[second.pk].answered_at == NOW


@pytest.mark.parametrize(
    ("values", "expected", "within"),
    [
        ([], None, 0),
        ([320], 325, 25),
        ([100, 200, 300], 200, 50),
        ([90] * 50 + [4000] * 49, 90, 10),
        ([100_000], BOUNDS[-1], 0),
    ],
)
def test_a_median_is_as_near_as_its_bucket(values: list[int], expected: int | None, within: int) -> None:
    counts = [0] * (len(BOUNDS) + 1)
    for value in values:
        counts[next((place for place, bound in enumerate(BOUNDS) if value <= bound), len(BOUNDS))] += 1
    found = median(counts)
    assert found == expected if expected is None or found is None else abs(found - expected) <= within
