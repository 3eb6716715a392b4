"""Other rates for long prompts, for certain hours, in batches, and as the provider itself says."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.costs import (
    MARGIN,
    OFF_PEAK,
    OTHER_HOURS,
    PEAK,
    Cost,
    Rates,
    cost,
    reported_cost,
    with_variants,
    worst_case,
)
from providers.chat import Usage

FLAT = Rates(1, "USD", Decimal(2), Decimal(10), cached=Decimal("0.5"), reasoning=Decimal(12))
LONG = {"above": 200_000, "input": "4", "output": "15", "cached": "1"}
LONGER = {"above": 500_000, "input": "8", "output": "30"}
NIGHT = {"from": "16:30", "to": "00:30", "input": "1", "output": "5"}


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


# -- long prompts ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "nano"),
    [
        (Usage(input=200_000, output=1000), 400_000_000 + 10_000_000),
        (Usage(input=200_001, output=1000), 800_004_000 + 15_000_000),
        # The length of a prompt is all of it; the whole request takes the tier, not what is above it.
        (Usage(input=1, cached=200_000, output=1000), 4_000 + 200_000_000 + 15_000_000),
        (Usage(input=500_000, output=1000), 2_000_000_000 + 15_000_000),
        (Usage(input=500_001, output=1000), 4_000_008_000 + 30_000_000),
        # What a tier leaves out is as the row has it.
        (Usage(input=500_001, reasoning=1000), 4_000_008_000 + 12_000_000),
        (Usage(cached=500_001, output=0), 250_000_500),
    ],
)
def test_the_whole_request_takes_the_tier_of_its_prompt(usage: Usage, nano: int) -> None:
    assert cost(usage, with_variants(FLAT, [LONG, LONGER], [])).amount_nano == nano
    assert cost(usage, with_variants(FLAT, [LONGER, LONG], [])).amount_nano == nano


def test_the_formula_says_that_the_prompt_was_long() -> None:
    found = cost(Usage(input=300_000, output=50), with_variants(FLAT, [LONG], []))
    assert found.formula == "long prompts (over 200000): (300000 input x 4 + 50 output x 15) / 1M = 1.20075 USD"
    assert "long" not in cost(Usage(input=3, output=50), with_variants(FLAT, [LONG], [])).formula


@given(st.integers(0, 2_000_000), st.integers(0, 100_000))
def test_a_reservation_covers_a_prompt_that_was_counted_too_low(estimate: int, output: int) -> None:
    rates = with_variants(FLAT, [LONG, LONGER], [])
    most = worst_case(estimate, output, rates)
    assert most >= cost(Usage(input=estimate, output=output), rates).amount_nano
    actual = estimate + estimate // MARGIN  # the tier this prompt may turn out to be in
    assert most >= cost(Usage(input=estimate, reasoning=output), rates.for_prompt(actual)).amount_nano


# -- hours ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-11-25 16:29:59", False),
        ("2026-11-25 16:30:00", True),
        ("2026-11-25 23:59:59", True),
        ("2026-11-26 00:00:00", True),
        ("2026-11-26 00:29:59", True),
        ("2026-11-26 00:30:00", False),
        ("2026-11-26 12:00:00", False),
    ],
)
def test_a_window_goes_on_past_midnight(moment: str, inside: bool) -> None:
    rates = with_variants(FLAT, [], [NIGHT]).at(at(moment))
    assert rates.input == (Decimal(1) if inside else Decimal(2))
    assert rates.label == (OFF_PEAK if inside else PEAK)
    assert rates.price_id == 1


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-11-27 09:59", True),  # a Friday
        ("2026-11-28 09:59", False),
        ("2026-11-29 09:59", False),
        ("2026-11-30 06:00", True),  # a Monday
        ("2026-11-30 10:00", False),
        ("1970-01-05 06:00", True),
        ("1970-01-04 06:00", False),
    ],
)
def test_a_window_may_belong_to_certain_days(moment: str, inside: bool) -> None:
    peak = {"from": "06:00", "to": "10:00", "days": [1, 2, 3, 4, 5], "input": "3", "output": "20"}
    rates = with_variants(FLAT, [], [peak]).at(at(moment))
    assert (rates.input, rates.label) == ((Decimal(3), PEAK) if inside else (Decimal(2), OFF_PEAK))


def test_a_window_past_midnight_belongs_to_the_day_it_begins_on() -> None:
    friday_night = with_variants(FLAT, [], [NIGHT | {"days": [5]}])
    assert friday_night.at(at("2026-11-28 00:10")).label == OFF_PEAK
    assert friday_night.at(at("2026-11-27 00:10")).label == PEAK


def test_the_formula_says_which_hours_and_how_long() -> None:
    rates = with_variants(FLAT, [LONG], [NIGHT])
    night, day = rates.at(at("2026-11-25 17:00")), rates.at(at("2026-11-25 12:00"))
    assert cost(Usage(output=100), night).formula == "off-peak: (100 output x 5) / 1M = 0.0005 USD"
    assert cost(Usage(output=100), day).formula == "peak: (100 output x 10) / 1M = 0.001 USD"
    # A window without tiers of its own keeps those of the row.
    assert cost(Usage(input=200_001), night).formula.startswith(
        "off-peak, long prompts (over 200000): (200001 input x 4)"
    )
    own = with_variants(FLAT, [LONG], [NIGHT | {"tiers": [{"above": 9, "input": "3"}]}]).at(at("2026-11-25 17:00"))
    assert cost(Usage(input=10), own).formula.startswith("off-peak, long prompts (over 9): (10 input x 3)")


def test_hours_that_are_dearer_and_hours_that_are_cheaper_have_no_name() -> None:
    dear = {"from": "08:00", "to": "09:00", "input": "9", "output": "90"}
    rates = with_variants(FLAT, [], [NIGHT, dear])
    assert [window.rates.label for window in rates.windows] == [OFF_PEAK, PEAK]
    assert rates.at(at("2026-11-25 12:00")).label == OTHER_HOURS


def test_the_first_window_that_covers_the_moment_counts() -> None:
    all_day = {"from": "00:00", "to": "24:00", "input": "7"}
    rates = with_variants(FLAT, [], [NIGHT, all_day])
    assert rates.at(at("2026-11-25 17:00")).input == 1
    assert rates.at(at("2026-11-25 12:00")).input == 7
    assert rates.at(at("2026-11-25 00:30")).input == 7


# -- speech, batches, what the provider says --------------------------------------------


def test_speech_has_rates_of_its_own_and_falls_back() -> None:
    spoken = Rates(1, "USD", Decimal(2), Decimal(10), audio_input=Decimal(32), audio_output=Decimal(64))
    usage = Usage(input=1000, output=10, audio=100, audio_input=400)
    found = cost(usage, spoken)
    assert found.amount_nano == (600 * 2 + 400 * 32 + 10 * 10 + 100 * 64) * 1000
    assert found.formula.startswith("(600 input x 2 + 10 output x 10 + 100 audio x 64 + 400 audio input x 32) / 1M")
    assert cost(usage, FLAT).amount_nano == (1000 * 2 + 110 * 10) * 1000


def test_a_batch_pays_its_share_rounded_once() -> None:
    rates = Rates(
        1, "USD", Decimal("0.000000003"), Decimal(10), per_request=Decimal("0.01"), batch_share=Decimal("0.5")
    )
    assert cost(Usage(output=1000), rates, batch=True) == Cost(
        15_000_000, "(1000 output x 10) / 1M x 0.5 in a batch + 0.01 a request = 0.015 USD"
    )
    # 3 nano-units a million, a million of them, half: 1.5 goes to 2, not to 1.
    assert cost(Usage(input=1_000_000), rates, batch=True).amount_nano == 10_000_002
    assert cost(Usage(output=1000), rates).amount_nano == 20_000_000
    assert cost(Usage(output=1000), FLAT, batch=True).amount_nano == 10_000_000


def test_what_the_provider_says_is_kept_beside_the_list() -> None:
    listed = cost(Usage(output=100), FLAT)
    found = reported_cost(730_000, listed, "USD")
    assert found.amount_nano == 730_000
    assert found.formula == (
        "reported by the provider: 0.00073 USD; by the list it would be (100 output x 10) / 1M = 0.001 USD"
    )
    assert reported_cost(5, None, "USD") == Cost(5, "reported by the provider: 0.000000005 USD; no list price")


def test_dollars_are_not_booked_as_another_currency() -> None:
    euros = cost(Usage(output=100), Rates(1, "EUR", Decimal(2), Decimal(10)))
    found = reported_cost(730_000, euros, "EUR")
    assert found.amount_nano == euros.amount_nano
    assert found.formula == "(100 output x 10) / 1M = 0.001 EUR; reported by the provider: 0.00073 USD"


# -- what cannot be read ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tiers", "windows", "words"),
    [
        ([{"input": "3"}], [], "above"),
        ([{"above": "200k"}], [], "above"),
        ([{"above": -1}], [], "above"),
        ([17], [], "above"),
        ([{"above": 5, "input": "a lot"}], [], "'a lot' is not an amount"),
        ([{"above": 5, "input": "-1"}], [], "not an amount of a price"),
        ([{"above": 5, "input": "NaN"}], [], "not an amount of a price"),
        ([{"above": 5, "input": "0.0000000001"}], [], "at most 9 decimals"),
        ([], [{"from": "8", "to": "9:00"}], "'8' is not a time of day"),
        ([], [{"from": "08:00", "to": "25:00"}], "'25:00' is not a time of day"),
        ([], [{"from": "08:00"}], "'None' is not a time of day"),
        ([], [{"from": "08:00", "to": "09:00", "days": [0]}], "from 1, Monday, to 7"),
        ([], [{"from": "08:00", "to": "09:00", "days": 5}], "are lists"),
        ([], [{"from": "08:00", "to": "09:00", "tiers": "long"}], "are lists"),
        ({"above": 5}, [], "are lists"),
        ([], ["08:00-09:00"], "`from` and `to`"),
    ],
)
def test_a_row_that_cannot_be_read_says_why(tiers: Any, windows: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        with_variants(FLAT, tiers, windows)
