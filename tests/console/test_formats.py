"""How a number is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone, translation

from console import formats

EURO = 10**9
NOW = datetime(2026, 11, 25, 14, 5, tzinfo=UTC)


def said(words: object) -> str:
    return str(words).replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("nano", "english", "french"),
    [
        (2615_810_000_000, "€2,615.81", "2 615,81 €"),
        (3_100_000, "€0.0031", "0,0031 €"),
        (9_999_999, "€0.01", "0,01 €"),
        (10_000_000, "€0.01", "0,01 €"),
        (21_000, "€0.000021", "0,000021 €"),
        (20, "< €0.000001", "< 0,000001 €"),
        (0, "€0.00", "0,00 €"),
        (-5 * EURO, "\u2212€5.00", "\u22125,00 €"),
        (None, "–", "–"),
    ],
)
def test_money(nano: int | None, english: str, french: str) -> None:
    assert said(formats.money(nano, "EUR")) == english
    with translation.override("fr"):
        assert said(formats.money(nano, "EUR")) == french


def test_a_column_of_money_aligns_on_its_finest_row() -> None:
    column = [3_100_000, 2 * EURO]
    decimals = max(formats.decimals_of(nano) for nano in column)
    assert [formats.money(nano, "EUR", decimals) for nano in column] == ["€0.0031", "€2.0000"]


def test_a_forecast_over_a_thousand_has_no_cents() -> None:
    assert formats.money_big(3825_400_000_000, "EUR") == "€3,825"
    assert formats.money_big(825_400_000_000, "EUR") == "€825.40"


def test_price_per_million() -> None:
    assert formats.price(Decimal("2.75"), Decimal("13.8"), "EUR") == "€2.75 / €13.80"
    assert formats.price(Decimal("0.075"), Decimal("0"), "USD") == "$0.08 / $0.00"


@pytest.mark.parametrize(
    ("count", "english", "french"),
    [
        (1284, "1,284", "1 284"),
        (9_999, "9,999", "9 999"),
        (12_400, "12.4k", "12,4 k"),
        (3_100_000, "3.1M", "3,1 M"),
        (2_000_000_000, "2.0B", "2,0 B"),
        (None, "–", "–"),
    ],
)
def test_tokens(count: int | None, english: str, french: str) -> None:
    assert formats.tokens(count) == english
    with translation.override("fr"):
        assert said(formats.tokens(count)) == french


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [(380, "380 ms"), (999.6, "1.0 s"), (8400, "8.4 s"), (59_960, "1 min"), (125_000, "2 min 5 s"), (None, "–")],
)
def test_duration(milliseconds: float | None, words: str) -> None:
    assert said(formats.duration(milliseconds)) == words


@pytest.mark.parametrize(
    ("share", "comparing", "words"),
    [
        (0.322, False, "32%"),
        (0.05, False, "5.0%"),
        (0.322, True, "+32.2%"),
        (-0.114, True, "\u221211.4%"),
        (0, True, "0.0%"),
    ],
)
def test_share(share: float, comparing: bool, words: str) -> None:
    assert formats.pct(share, comparing=comparing) == words


def test_share_in_french_has_a_space() -> None:
    with translation.override("fr"):
        assert formats.pct(0.322, comparing=True) == "+32,2\u00a0%"


def test_french_uses_no_narrow_space() -> None:
    with translation.override("fr"):
        everything = formats.money(10**16, "EUR") + formats.tokens(9_999) + formats.number(123456)
    assert "\u202f" not in everything


def test_when_is_relative_for_an_hour_and_keeps_the_moment() -> None:
    with timezone.override("Europe/Paris"):
        recent = formats.when(NOW - timedelta(minutes=4), NOW)
        assert ">4 min ago<" in recent
        assert 'title="25 Nov, 15:01"' in recent
        assert ">just now<" in formats.when(NOW - timedelta(seconds=20), NOW)
        assert ">25 Nov, 11:05<" in formats.when(NOW - timedelta(hours=4), NOW)
        assert ">25 Nov 2025, 15:05<" in formats.when(NOW - timedelta(days=365), NOW)
        assert ">25 Nov, 15:15<" in formats.when(NOW + timedelta(minutes=10), NOW)
    assert formats.when(None) == "–"
