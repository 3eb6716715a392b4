"""Rows of prices: where they come from, which one counts, and that nothing anybody decided is lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing.costs import EVERY_DAY
from billing.models import Price
from billing.prices import (
    SINCE,
    Listed,
    at_moment,
    differences,
    keep_first_prices,
    rates_of,
    row_at,
    same,
    set_price,
    steps_of,
    unpriced,
    variants,
)
from providers.models import current_revision
from routing.compiler import compile_snapshot
from tests.factories import LONG_AGO, make_model, make_price, make_provider

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
ENTRY = {
    "id": "alpha",
    "kind": "chat",
    "input_usd_per_mtok": 0.5,
    "output_usd_per_mtok": 2.5,
    "cached_input_usd_per_mtok": None,
    "price_source": "a list of November",
}


def listed(input: str = "2.5", output: str = "10", **more: Any) -> Listed:  # noqa: A002
    return Listed("USD", Decimal(input), Decimal(output), **{"source": "a list"} | more)


def model(model_id: str = "alpha", **provider: Any) -> Any:
    return make_model(make_provider("OpenAI", "openai", secret="test-key-of-openai", **provider), model_id)


# -- the catalogue ------------------------------------------------------------------------


def test_an_entry_is_one_step() -> None:
    (step,) = steps_of(ENTRY, batch=0.5)
    assert step == Listed(
        "USD", Decimal("0.5"), Decimal("2.5"), batch_share=Decimal("0.5"), source="a list of November"
    )


@pytest.mark.parametrize("missing", ["input_usd_per_mtok", "output_usd_per_mtok"])
def test_what_is_null_there_is_unknown_and_never_zero(missing: str) -> None:
    assert steps_of(ENTRY | {missing: None}) == []
    free = steps_of(ENTRY | {missing: 0.0})
    assert len(free) == 1


def test_an_embedding_model_writes_nothing() -> None:
    (step,) = steps_of(ENTRY | {"kind": "embedding", "output_usd_per_mtok": None})
    assert step.output_per_million == 0


def test_what_was_and_what_is_announced_are_steps_of_their_own() -> None:
    steps = steps_of(
        ENTRY
        | {
            "price_history": [
                {"until": "2026-10-19", "input_usd_per_mtok": 0.4, "output_usd_per_mtok": 2.0},
                {"from": "2026-10-20", "input_usd_per_mtok": 0.5, "output_usd_per_mtok": 2.5},
            ],
            "price_changes": [{"from": "2026-12-01", "input_usd_per_mtok": 1.0, "output_usd_per_mtok": 5.0}],
        }
    )
    assert [(step.valid_from, step.input_per_million) for step in steps] == [
        (None, Decimal("0.4")),
        (datetime(2026, 10, 20, tzinfo=UTC), Decimal("0.5")),
        (datetime(2026, 12, 1, tzinfo=UTC), Decimal(1)),
    ]
    for moment, rate in [("2026-10-19 23:59", "0.4"), ("2026-10-20 00:00", "0.5"), ("2026-12-01 00:00", "1")]:
        step = at_moment(steps, datetime.fromisoformat(f"{moment}+00:00"))
        assert step is not None
        assert step.input_per_million == Decimal(rate)


# -- values -------------------------------------------------------------------------------


def test_a_listed_price_survives_json() -> None:
    price = listed(
        "1E-5",
        cached_per_million=Decimal("0.250"),
        per_request=Decimal("0.01"),
        tiers=({"above": 200_000, "input": "5"},),
        windows=({"from": "01:00", "to": "04:00", "days": [1], "input": "9"},),
        valid_from=NOW,
    )
    values = price.values()
    assert values["input_per_million"] == "0.00001"
    assert values["cached_per_million"] == "0.25"
    assert "reasoning_per_million" not in values
    again = Listed.from_values(values)
    assert again == price
    assert same(rates_of(again), rates_of(price))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"input_per_million": "much"}, "'much' is not an amount"),
        ({"output_per_million": "-3"}, "not an amount of a price"),
        ({"tiers": [{"input": "3"}]}, "above"),
        ({"windows": [{"from": "1"}]}, "time of day"),
    ],
)
def test_values_that_are_no_price_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Listed.from_values(listed().values() | wrong)


# -- comparing ----------------------------------------------------------------------------


def test_what_comes_to_the_same_is_no_difference() -> None:
    one = rates_of(listed(cached_per_million=Decimal("2.5")))
    assert same(one, rates_of(listed()))
    assert not same(one, rates_of(listed(cached_per_million=Decimal("0.25"))))
    assert not same(one, rates_of(Listed("EUR", Decimal("2.5"), Decimal(10))))


def test_only_the_rate_that_changes_is_told() -> None:
    old, new = rates_of(listed("2.5", "10")), rates_of(listed("2", "10"))
    assert [(each.variant, each.bucket, each.old, each.new) for each in differences(old, new)] == [
        ((), 0, 2_500_000_000, 2_000_000_000)
    ]
    assert differences(old, new)[0].percent == -20


def test_a_rate_that_stops_to_follow_another_is_told() -> None:
    told = differences(rates_of(listed()), rates_of(listed(cached_per_million=Decimal("0.25"))))
    assert [(each.bucket, each.old, each.new) for each in told] == [(1, 2_500_000_000, 250_000_000)]


def test_tiers_and_hours_are_compared_too() -> None:
    tier, hours = {"above": 100, "input": "5"}, {"from": "01:00", "to": "04:00", "input": "1"}
    plain, rich = listed(), listed(tiers=(tier,), windows=(hours,))
    told = differences(rates_of(plain), rates_of(rich))
    assert {each.variant for each in told} == {("tier", 100), ("window", 60, 240), ("window", 60, 240, "tier", 100)}
    assert {each.old for each in told} == {None}
    gone = differences(rates_of(rich), rates_of(plain))
    assert {each.new for each in gone} == {None}
    assert next(iter(variants(rates_of(rich)))) == ()


def test_days_count_only_where_both_lists_know_them() -> None:
    hours = {"from": "01:00", "to": "04:00", "input": "1"}
    every, work = listed(windows=(hours,)), listed(windows=(hours | {"days": [1, 2, 3, 4, 5]},))
    weekend = listed(windows=(hours | {"days": [6, 7]},))
    assert rates_of(every).windows[0].days == EVERY_DAY
    assert same(rates_of(every), rates_of(work))
    assert not same(rates_of(weekend), rates_of(work))


# -- rows ---------------------------------------------------------------------------------


@pytest.mark.store
@pytest.mark.django_db
def test_every_field_of_a_list_reaches_the_row_and_the_decision() -> None:
    alpha = model()
    price = listed(
        cached_per_million=Decimal("0.25"),
        audio_input_per_million=Decimal(32),
        per_request=Decimal("0.01"),
        batch_share=Decimal("0.5"),
        tiers=({"above": 200_000, "input": "5"},),
        windows=({"from": "01:00", "to": "04:00", "input": "9"},),
    )
    assert keep_first_prices([(alpha, [price])]) == 1
    row = Price.objects.get(model=alpha)
    assert (row.valid_from, row.source, row.set_by_id) == (SINCE, "a list", None)
    (rates,) = compile_snapshot().models[("openai", "alpha")].prices
    assert same(rates, rates_of(price))
    assert (rates.price_id, rates.batch_share) == (row.pk, Decimal("0.5"))
    night = datetime(2026, 11, 25, 2, tzinfo=UTC).timestamp()
    found = compile_snapshot().models[("openai", "alpha")].rates_at(night)
    assert found is not None
    assert (found.input, found.label, found.price_id) == (Decimal(9), "peak", row.pk)


@pytest.mark.store
@pytest.mark.django_db
def test_a_model_that_has_a_price_keeps_it() -> None:
    alpha = model()
    mine = make_price(alpha, "1", "2", set_by_id=7)
    before = current_revision()
    assert keep_first_prices([(alpha, [listed()])]) == 0
    assert list(Price.objects.filter(model=alpha)) == [mine]
    assert current_revision() == before


@pytest.mark.django_db
def test_past_prices_are_rows_and_only_the_present_one_is_decided_by() -> None:
    alpha, now = model(), datetime.now(UTC)
    keep_first_prices(
        [
            (
                alpha,
                [
                    listed("1"),
                    listed("2", valid_from=now - timedelta(days=9)),
                    listed("3", valid_from=now + timedelta(days=9)),
                ],
            )
        ]
    )
    assert Price.objects.filter(model=alpha).count() == 3
    entry = compile_snapshot().models[("openai", "alpha")]
    assert [rates.input for rates in entry.prices] == [3, 2]
    later = entry.rates_at((now + timedelta(days=10)).timestamp())
    assert later is not None
    assert later.input == 3


@pytest.mark.django_db
def test_a_row_that_cannot_be_read_is_no_price_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    alpha = model()
    make_price(alpha, "1", "2")
    make_price(alpha, "1", "2", valid_from=LONG_AGO + timedelta(days=1), tiers=[{"input": "broken"}])
    with caplog.at_level("ERROR"):
        assert compile_snapshot().models[("openai", "alpha")].prices == ()
    assert "is left out: A tier needs" in caplog.text


@pytest.mark.store
@pytest.mark.django_db
def test_a_new_price_begins_now_and_the_old_one_stays() -> None:
    alpha = model()
    old = make_price(alpha, "1", "2")
    new = set_price(alpha, listed("3", valid_from=LONG_AGO), by=7, now=NOW)
    assert (new.valid_from, new.set_by_id) == (NOW, 7)
    rows = list(alpha.prices.all())
    assert row_at(rows, NOW - timedelta(seconds=1)) == old
    assert row_at(rows, NOW) == new


@pytest.mark.django_db
def test_a_price_announced_for_the_same_moment_gives_way() -> None:
    alpha, then = model(), NOW + timedelta(days=6)
    make_price(alpha, "1", "2")
    set_price(alpha, listed("3", valid_from=then), now=NOW)
    set_price(alpha, listed("4", valid_from=then), now=NOW)
    assert list(alpha.prices.filter(valid_from=then).values_list("input_per_million", flat=True)) == [4]
    assert alpha.prices.count() == 2


@pytest.mark.django_db
def test_models_without_a_price_are_told_and_free_ones_are_not() -> None:
    alpha, free = model(), model("free")
    make_price(free, "0", "0")
    make_model(alpha.provider, "off", active=False)
    assert [found for found in unpriced() if found.provider_id == alpha.provider_id] == [alpha]


@pytest.mark.django_db
def test_what_a_list_has_announced_does_not_replace_what_a_person_decides() -> None:
    priced = model()
    announced = NOW + timedelta(days=6)
    keep_first_prices([(priced, [listed("1"), listed("9", valid_from=announced)])])
    set_price(priced, listed("0.5"), by=7, now=NOW)
    held = row_at(priced.prices.all(), announced + timedelta(hours=1))
    assert held is not None
    assert (held.input_per_million, held.set_by_id) == (Decimal("0.5"), 7)
