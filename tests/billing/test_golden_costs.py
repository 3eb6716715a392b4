"""Every vendor's prices as the catalogue tells them, down to the nano-unit.

The files hold entries of the catalogue as they once were, and what calls cost by them. The amounts are reckoned here
again from the entry alone, in fractions and by other code, before they are held against ours.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from billing.costs import cost
from billing.prices import at_moment, rates_of, steps_of
from providers.chat import Usage

FILES = sorted((Path(__file__).parent / "costs").glob("*.json"))
NAMES = {
    "input": "input_usd_per_mtok",
    "cached": "cached_input_usd_per_mtok",
    "cache_write": "cache_write_usd_per_mtok",
    "output": "output_usd_per_mtok",
    "reasoning": "output_reasoning_usd_per_mtok",
}
FALLS_BACK = {"cached": "input", "cache_write": "input", "reasoning": "output"}


def models(file: Path) -> list[Any]:
    found: list[Any] = json.loads(file.read_text(), parse_float=Decimal)
    return found


def told(part: dict[str, Any]) -> dict[str, Fraction]:
    return {ours: Fraction(part[theirs]) for ours, theirs in NAMES.items() if part.get(theirs) is not None}


def in_fractions(entry: dict[str, Any], at: datetime, usage: dict[str, int]) -> Fraction:
    """In nano-units, by the facts of the entry: dates, then hours, then the length of the prompt."""
    rates, day = told(entry), f"{at:%Y-%m-%d}"
    for step in entry.get("price_history", []):
        if step.get("from", "") <= day <= step.get("until", "9"):
            rates |= told(step)
    for step in entry.get("price_changes", []):
        if step["from"] <= day:
            rates |= told(step)
    for window in sorted(entry.get("price_windows", []), key=lambda each: each["utc_hours"] != "otherwise"):
        clock = f"{at:%H:%M}"
        if window["utc_hours"] == "otherwise" or (
            at.isoweekday() in window["weekdays"]
            and any(hours[:5] <= clock < hours[6:] for hours in window["utc_hours"])
        ):
            rates |= told(window)
    prompt = sum(usage.get(name, 0) for name in ("input", "cached", "cache_write"))
    for tier in sorted(entry.get("tiers", []), key=lambda each: each["above_input_tokens"]):
        if prompt > tier["above_input_tokens"]:
            rates |= told(tier)
    return sum(
        (count * rates.get(name, rates.get(FALLS_BACK.get(name, name), Fraction(0))) for name, count in usage.items()),
        Fraction(0),
    ) * Fraction(1000)


def test_every_vendor_with_a_price_is_here() -> None:
    assert len(FILES) >= 18


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_call_costs_what_the_catalogue_says(file: Path) -> None:
    for model in models(file):
        steps = steps_of(model["entry"])
        for case in model["cases"]:
            at = datetime.fromisoformat(case["at"]).replace(tzinfo=UTC)
            assert round(in_fractions(model["entry"], at, case["usage"])) == case["nano"]
            step = at_moment(steps, at)
            assert step is not None
            found = cost(Usage(**case["usage"]), rates_of(step).at(at.timestamp()))
            assert found.amount_nano == case["nano"], (model["entry"]["id"], case, found.formula)


def test_the_files_hold_long_prompts_hours_and_dates() -> None:
    """Else the tests above could not fail where it matters."""
    entries = [model["entry"] for file in FILES for model in models(file)]
    for what in ("tiers", "price_windows", "price_changes", "price_history", "output_reasoning_usd_per_mtok"):
        assert any(what in entry for entry in entries), what
