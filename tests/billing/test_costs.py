"""What tokens cost, against the same sum in fractions."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.costs import BUCKETS, MOST_NANO, Rates, cost, decimal, worst_case
from providers.chat import Usage

prices = st.decimals(min_value=0, max_value=999_999_999, places=9, allow_nan=False, allow_infinity=False)
rates = st.builds(
    Rates,
    price_id=st.just(1),
    currency=st.just("USD"),
    input=prices,
    output=prices,
    cached=st.none() | prices,
    cache_write=st.none() | prices,
    reasoning=st.none() | prices,
    audio_input=st.none() | prices,
    audio_output=st.none() | prices,
    per_request=st.decimals(min_value=0, max_value=100, places=9, allow_nan=False, allow_infinity=False),
)
tokens = st.integers(0, 2_000_000)
usages = st.builds(Usage, tokens, tokens, tokens, tokens, tokens, tokens, audio_input=st.just(0) | tokens)


def in_fractions(usage: Usage, price: Rates) -> Fraction:
    """In nano-units, not rounded."""

    def per_token(amount: Decimal | None, otherwise: Decimal) -> Fraction:
        return Fraction(otherwise if amount is None else amount) / 1_000_000

    spoken = min(usage.audio_input, usage.input)
    total = (usage.input - spoken) * per_token(price.input, price.input)
    total += spoken * per_token(price.audio_input, price.input)
    total += usage.cached * per_token(price.cached, price.input)
    total += usage.cache_write * per_token(price.cache_write, price.input)
    total += usage.output * per_token(price.output, price.output)
    total += usage.reasoning * per_token(price.reasoning, price.output)
    total += usage.audio * per_token(price.audio_output, price.output)
    return (total + Fraction(price.per_request)) * 10**9


@given(usages, rates)
def test_it_is_exact_and_rounded_once(usage: Usage, price: Rates) -> None:
    expected = round(in_fractions(usage, price))  # Python rounds halves to even too
    assert cost(usage, price).amount_nano == min(expected, MOST_NANO)


@given(usages, rates)
def test_the_formula_can_be_reckoned_again(usage: Usage, price: Rates) -> None:
    found = cost(usage, price)
    left, _, right = found.formula.rpartition(" = ")
    total = Fraction(0)
    for count, name, rate in re.findall(r"(\d+) ([a-z ]+) x ([\d.]+)", left):
        assert name in BUCKETS
        total += int(count) * Fraction(rate) / 1_000_000
    for once in re.findall(r"([\d.]+) a request", left):
        total += Fraction(once)
    assert min(round(total * 10**9), MOST_NANO) == found.amount_nano
    assert right == f"{decimal(found.amount_nano)} USD"
    assert len(found.formula) <= 400


@given(tokens, tokens, tokens, rates)
def test_nothing_costs_more_than_the_worst_case(one: int, two: int, three: int, price: Rates) -> None:
    most = worst_case(one, two, price)
    for usage in (
        Usage(input=one, output=two),
        Usage(cached=one, reasoning=two),
        Usage(cache_write=one, audio=two),
        Usage(input=one, audio_input=one, audio=two),
        Usage(input=one // 2, cached=one - one // 2, output=two // 3, reasoning=two - two // 3),
    ):
        assert cost(usage, price).amount_nano <= most
    assert worst_case(one + three, two, price) >= most


def test_it_reads_like_a_sum() -> None:
    price = Rates(1, "USD", Decimal("2.5"), Decimal(10), cached=Decimal("1.25"), per_request=Decimal("0.01"))
    found = cost(Usage(input=1200, cached=300, output=50), price)
    assert (
        found.formula == "(1200 input x 2.5 + 300 cached x 1.25 + 50 output x 10) / 1M + 0.01 a request = 0.013875 USD"
    )
    assert found.amount_nano == 13_875_000


def test_declared_free_is_zero_and_says_so() -> None:
    found = cost(Usage(input=5, output=7), Rates(1, "EUR", Decimal(0), Decimal(0)))
    assert (found.amount_nano, found.formula) == (0, "(5 input x 0 + 7 output x 0) / 1M = 0 EUR")
    assert cost(Usage(), Rates(1, "EUR", Decimal(1), Decimal(1))).formula == "no tokens = 0 EUR"


@pytest.mark.parametrize(
    ("millionths", "nano"), [(499_999, 0), (500_000, 0), (500_001, 1), (1_500_000, 2), (2_500_000, 2)]
)
def test_halves_go_to_the_even_neighbour(millionths: int, nano: int) -> None:
    price = Rates(1, "USD", Decimal(millionths) / 10**9, Decimal(0))
    assert cost(Usage(input=1), price).amount_nano == nano


def test_a_price_finer_than_the_ledger_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 9 decimals"):
        Rates(1, "USD", Decimal("0.0000000001"), Decimal(0))


def test_an_absurd_wish_still_fits_a_row() -> None:
    assert worst_case(10, 10**30, Rates(1, "USD", Decimal(1), Decimal(1))) == MOST_NANO
