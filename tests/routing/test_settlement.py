"""What an attempt is billed as: what the provider said, where that can be, else what we counted."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from billing.costs import Rates
from providers.chat import ChatAnswer, Usage
from routing.settlement import HIDDEN, Outcome, Tally, currency_of

FIELDS = {"messages": msgspec.Raw(b'[{"role": "user", "content": "Hello"}]')}


@pytest.mark.parametrize(
    ("usage", "billed"),
    [
        (Usage(input=9, output=3), "provider"),
        (Usage(input=9, output=3, reasoning=HIDDEN), "provider"),
        (Usage(input=9, output=3, reasoning=HIDDEN + 1), "counted"),
        (Usage(input=9, output=3, audio=10**15), "counted"),
        (Usage(input=10**6, output=3), "counted"),
        (Usage(input=9, output=10**6), "counted"),
        (None, "counted"),
    ],
)
def test_absurd_numbers_are_not_believed(usage: Usage | None, billed: str) -> None:
    tally = Tally()
    tally.take_answer(ChatAnswer(text="Hello there.", usage=usage))
    assert tally.outcome(None, FIELDS, 9, None).billed == billed


# -- what the provider says it cost -------------------------------------------------------

DOLLARS = Rates(1, "USD", Decimal(1), Decimal(10))
LISTED = "(9 input x 1 + 3 output x 10) / 1M = 0.000039 USD"


def settled(usage: Usage, rates: Rates | None, *, sees_cost: bool = True) -> Outcome:
    tally = Tally(sees_cost=sees_cost)
    tally.take_answer(ChatAnswer(text="Hello there.", usage=usage))
    return tally.outcome(None, FIELDS, 9, rates)


def test_what_a_provider_reports_is_booked_and_the_list_price_is_kept() -> None:
    outcome = settled(Usage(input=9, output=3, reported_nano=41_000), DOLLARS)
    assert outcome.amount_nano == 41_000
    assert outcome.formula == f"reported by the provider: 0.000041 USD; by the list it would be {LISTED}"


def test_it_is_booked_without_a_list_price_too() -> None:
    outcome = settled(Usage(input=9, output=3, reported_nano=41_000), None)
    assert (outcome.amount_nano, outcome.formula) == (41_000, "reported by the provider: 0.000041 USD; no list price")
    assert currency_of(None, sees_cost=True) == "USD"
    assert currency_of(None, sees_cost=False) == ""


@pytest.mark.parametrize(
    ("reported", "sees_cost"), [(41_000, False), (None, True), (-1, True)], ids=["not believed", "unsaid", "negative"]
)
def test_otherwise_the_list_price_is_booked(reported: int | None, sees_cost: bool) -> None:
    outcome = settled(Usage(input=9, output=3, reported_nano=reported), DOLLARS, sees_cost=sees_cost)
    assert (outcome.amount_nano, outcome.formula) == (39_000, LISTED)


def test_a_report_beside_absurd_numbers_is_not_believed_either() -> None:
    outcome = settled(Usage(input=9, output=10**6, reported_nano=41_000), DOLLARS)
    assert outcome.billed == "counted"
    assert "reported" not in outcome.formula


def test_nothing_known_is_nothing_booked() -> None:
    assert settled(Usage(input=9, output=3), None).amount_nano is None


# -- pictures and files ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reported", "billed"),
    [
        (b'[{"type":"image_url","image_url":{"url":"https://example.org/a.png"}}]', 25_520, "provider"),
        (
            b'[{"type":"file","file":{"file_data":"data:application/pdf;base64,%s"}}]' % (b"A" * 600_000),
            180_000,
            "provider",
        ),
        (b'[{"type":"image_url","image_url":{"url":"https://example.org/a.png"}}]', 10**7, "counted"),
    ],
)
def test_what_pictures_and_files_hold_is_believed(content: bytes, reported: int, billed: str) -> None:
    fields = {"messages": msgspec.Raw(b'[{"role":"user","content":%s}]' % content)}
    tally = Tally()
    tally.take_answer(ChatAnswer(text="Hello there.", usage=Usage(input=reported, output=3)))
    assert tally.outcome(None, fields, 811, None).billed == billed
