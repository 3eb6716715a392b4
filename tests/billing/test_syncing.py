"""Lists against rows: a model without a price gets one, every other change waits for a person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing.models import Price, PriceProposal
from billing.prices import row_at
from billing.syncing import accept, accept_all, dismiss, open_proposals, price_new, sync
from providers import connector
from providers.models import LanguageModel
from tests.billing.lists import Lists, listing, published_lists
from tests.factories import make_model, make_price, make_provider

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
CHEAPER = {"input_mtok": 2, "output_mtok": 10}


@pytest.fixture
def lists(settings: Any) -> Iterator[Lists]:
    settings.PRIVATE_NETWORKS = ["127.0.0.0/8"]
    connector.hang_up()
    with published_lists() as lists:
        settings.PRICE_FEED_URL = lists.url
        yield lists
        connector.hang_up()


@pytest.fixture
def alpha() -> LanguageModel:
    return make_model(make_provider("OpenAI", "openai", secret="test-key-of-openai"), "alpha")


def proposal() -> PriceProposal:
    return PriceProposal.objects.get(state="open")


@pytest.mark.store
def test_a_model_without_a_price_gets_the_listed_one_at_once(lists: Lists, alpha: LanguageModel) -> None:
    lists.body = listing(alpha=CHEAPER)
    found = sync(now=NOW)
    assert (found.priced, found.proposed, found.unknown, found.problem) == (1, 0, (), "")
    row = Price.objects.get(model=alpha)
    assert (row.input_per_million, row.output_per_million, row.set_by_id) == (2, 10, None)
    assert row.source == found.source == "genai-prices, published 2026-11-25"
    assert sync(now=NOW).priced == 0


@pytest.mark.store
def test_a_difference_is_proposed_and_nothing_else(lists: Lists, alpha: LanguageModel) -> None:
    mine = make_price(alpha, "2.5", "10", set_by_id=7)
    lists.body = listing(alpha=CHEAPER)
    assert sync(now=NOW).proposed == 1
    assert list(Price.objects.filter(model=alpha)) == [mine]
    assert (proposal().model, proposal().values["input_per_million"]) == (alpha, "2")
    assert sync(now=NOW + timedelta(days=1)).proposed == 0  # told once
    assert proposal().found_at == NOW


def test_an_open_proposal_follows_the_list_and_goes_with_its_cause(lists: Lists, alpha: LanguageModel) -> None:
    make_price(alpha, "2.5", "10")
    for rate, proposed in [(2, ["2"]), (3, ["3"]), (2.5, [])]:
        lists.body = listing(alpha=CHEAPER | {"input_mtok": rate})
        sync(now=NOW)
        assert [each.values["input_per_million"] for each in PriceProposal.objects.all()] == proposed


@pytest.mark.store
def test_what_was_dismissed_is_not_proposed_again_until_it_changes(lists: Lists, alpha: LanguageModel) -> None:
    make_price(alpha, "2.5", "10")
    lists.body = listing(alpha=CHEAPER)
    sync(now=NOW)
    assert dismiss(proposal().pk, by=7, now=NOW) is not None
    assert sync(now=NOW).proposed == 0
    assert not open_proposals().exists()
    assert Price.objects.filter(model=alpha).count() == 1
    lists.body = listing(alpha=CHEAPER | {"input_mtok": 1})
    assert sync(now=NOW).proposed == 1
    assert proposal().values["input_per_million"] == "1"


@pytest.mark.store
def test_accepting_is_a_new_row_from_now_on_and_happens_once(lists: Lists, alpha: LanguageModel) -> None:
    old = make_price(alpha, "2.5", "10", batch_share=Decimal("0.5"))
    lists.body = listing(alpha=CHEAPER)
    sync(now=NOW)
    number = proposal().pk
    done = accept(number, by=7, now=NOW)
    assert done is not None
    row = done[1]
    assert (row.valid_from, row.input_per_million, row.set_by_id, row.source) == (NOW, 2, None, proposal_source())
    assert row.batch_share == Decimal("0.5")  # what the list does not say stays
    assert row_at(alpha.prices.all(), NOW - timedelta(seconds=1)) == old
    decided = PriceProposal.objects.get(pk=number)
    assert (decided.state, decided.decided_by_id, decided.decided_at) == ("accepted", 7, NOW)
    assert accept(number, by=8, now=NOW) is None
    assert dismiss(number, by=8, now=NOW) is None
    assert Price.objects.filter(model=alpha).count() == 2
    assert sync(now=NOW).proposed == 0


def proposal_source() -> str:
    return "genai-prices, published 2026-11-25"


def test_an_announced_price_is_proposed_for_its_day(lists: Lists, alpha: LanguageModel) -> None:
    make_price(alpha, "2", "10")
    then = datetime(2026, 12, 1, tzinfo=UTC)
    lists.body = listing(
        alpha=[
            {"prices": CHEAPER},
            {"constraint": {"start_date": "2026-12-01"}, "prices": {**CHEAPER, "input_mtok": 4}},
        ]
    )
    assert sync(now=NOW).proposed == 1
    assert proposal().values["valid_from"] == then.isoformat()
    done = accept(proposal().pk, by=7, now=NOW)
    assert done is not None
    assert done[1].valid_from == then
    assert sync(now=NOW).proposed == 0
    assert sync(now=then).proposed == 0


def test_accepting_all_takes_those_that_were_seen(lists: Lists, alpha: LanguageModel) -> None:
    beta, gamma = make_model(alpha.provider, "beta"), make_model(alpha.provider, "gamma")
    for each in (alpha, beta, gamma):
        make_price(each, "2.5", "10")
    lists.body = listing(alpha=CHEAPER, beta=CHEAPER, gamma=CHEAPER)
    sync(now=NOW)
    seen = list(PriceProposal.objects.filter(model__in=[alpha, beta]).values_list("pk", flat=True))
    done = accept_all([*seen, 123456], by=7, now=NOW)
    assert {each.model for each, _ in done} == {alpha, beta}
    assert [each.model for each in open_proposals()] == [gamma]


def test_euros_are_not_held_against_dollars(lists: Lists, alpha: LanguageModel) -> None:
    make_price(alpha, "1", "2", currency="EUR")
    lists.body = listing(alpha=CHEAPER)
    assert sync(now=NOW).proposed == 0


def test_what_no_list_knows_stays_unknown_and_is_told(lists: Lists, alpha: LanguageModel) -> None:
    lists.body = listing(beta=CHEAPER)
    found = sync(now=NOW)
    assert found.unknown == ("openai:alpha",)
    assert not Price.objects.filter(model=alpha).exists()


def test_servers_of_our_own_and_models_switched_off_are_left_alone(lists: Lists, alpha: LanguageModel) -> None:
    make_model(make_provider("House", "vllm", base_url="http://127.0.0.1:1/v1"), "gpt-5")
    LanguageModel.objects.filter(pk=alpha.pk).update(active=False)
    lists.body = listing(alpha=CHEAPER)
    assert sync(now=NOW).unknown == ()
    assert not Price.objects.filter(model__model_id__in=["gpt-5", "alpha"]).exists()


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"<html>", 200, "cannot be read"),
        (listing(alpha=CHEAPER), 302, "302"),
        (listing(alpha=CHEAPER), 500, "500"),
    ],
)
def test_a_list_that_cannot_be_had_is_told_and_the_other_one_is_read(
    lists: Lists, alpha: LanguageModel, body: bytes, status: int, words: str
) -> None:
    lists.body, lists.status = body, status
    found = sync(now=NOW)
    assert words in found.problem
    assert found.source.startswith("genai-prices ")
    assert lists.asked == 1  # nowhere else


def test_an_address_that_may_not_be_dialled_is_refused(settings: Any, alpha: LanguageModel) -> None:
    settings.PRIVATE_NETWORKS = []
    connector.hang_up()
    with published_lists() as lists:
        settings.PRICE_FEED_URL = lists.url
        assert "not allowed" in sync(now=NOW).problem
        assert lists.asked == 0
    connector.hang_up()


def test_without_an_address_nobody_is_asked(settings: Any) -> None:
    settings.PRICE_FEED_URL = ""
    model = make_model(make_provider("OpenAI", "openai", secret="test-key-of-openai"), "gpt-5")
    found = sync(now=NOW)
    assert (found.priced, found.problem) == (1, "")
    assert Price.objects.filter(model=model, source=found.source).exists()


@pytest.mark.store
def test_a_model_that_came_a_moment_ago_is_priced_without_being_asked_for() -> None:
    provider = make_provider("OpenAI", "openai", secret="test-key-of-openai")
    new = make_model(provider, "gpt-5", created_at=NOW)
    old = make_model(provider, "gpt-5-mini", created_at=NOW - timedelta(days=2))
    assert price_new(NOW - timedelta(hours=1)) == 1
    assert Price.objects.filter(model=new).exists()
    assert not Price.objects.filter(model=old).exists()
    assert price_new(NOW - timedelta(hours=1)) == 0
