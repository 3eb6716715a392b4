"""The table of the routes and the request to try on it: who sees it, what it shows, and that nobody is called."""

from __future__ import annotations

from typing import Any

import pytest

from billing.models import Attempt, Request, Team
from routing.models import Route, Tier, UseCase
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def house() -> None:
    UseCase.objects.all().delete()
    Tier.objects.all().delete()
    for name, price in (("Mine", "1"), ("Other", "2")):
        provider = factories.make_provider(name, "vllm", base_url="http://127.0.0.1:1/v1")
        factories.make_price(factories.make_model(provider, "m", name=f"{name} model", listed=True), price, price)
    code = UseCase.objects.create(slug="code", name="Code generation", tier="economy")
    UseCase.objects.create(slug="chat", name="Conversation")
    economy = Tier.objects.create(slug="economy", name="Economy", most_nano=1_000_000, position=1)
    Tier.objects.create(slug="premium", name="Premium", most_nano=50_000_000, position=2)
    Route.objects.create(
        name="code/economy",
        use_case=code,
        tier=economy,
        when={"attribute": "input_tokens", "operator": "at_most", "value": 32000},
        chain={
            "first": {"split": [{"target": "mine:m", "weight": 80}, {"target": "other:m", "weight": 20}]},
            "fallbacks": [{"target": "elsewhere:x", "on": ["rate_limited", "timeout"]}],
            "attempts": 2,
            "first_token_seconds": 8,
        },
    )
    Route.objects.create(name="code/any", use_case=code, chain={"first": {"target": "other:m"}})


def text_of(response: Any, status: int = 200) -> str:
    assert response.status_code == status
    text: str = response.content.decode()
    return text


def test_each_cell_says_who_answers(house: None, signed_in: Any, adam: Any) -> None:
    text = text_of(signed_in(adam).get("/routing/"))
    for words in (
        "Code generation",
        "Conversation",
        "to $0.001",
        "to $0.05",
        "Mine model",
        "80%",
        "20%",
        "0 fallbacks",
    ):
        assert words in text, words
    assert "no route, the default model answers" in text


def test_a_cell_is_opened_whole(house: None, signed_in: Any, adam: Any) -> None:
    text = text_of(signed_in(adam).get("/routing/?cell=code%2Feconomy"))
    for words in (
        "input_tokens at most 32000", "Split by weight", "not connected", "2 attempts at most", "to the first token",
        "if it is asked too often, or it is silent for too long", "code/any",
    ):  # fmt: skip
        assert words in text, words
    assert "Split by weight" not in text_of(signed_in(adam).get("/routing/?cell=nonsense%2Fx"))


def test_a_request_is_tried_without_anybody_being_called(house: None, signed_in: Any, adam: Any) -> None:
    asked = {"use_case": "code", "budget_tier": "premium", "text": "Say hello.", "pretend": "", "how": "down"}
    text = text_of(signed_in(adam).post("/routing/try/", asked))
    for words in ("Would be answered by", "Other model", "Matched the route code/any", "Complexity: low", "answers"):
        assert words in text, words
    assert not Request.objects.exists()
    assert not Attempt.objects.exists()


def test_what_is_pretended_decides(house: None, signed_in: Any, adam: Any) -> None:
    asked = {"use_case": "code", "text": "Say hello.", "pretend": "mine", "how": "down"}
    text = text_of(signed_in(adam).post("/routing/try/", asked, headers={"HX-Request": "true"}))
    assert "<html" not in text
    assert "Other model answers" in text
    refused = text_of(
        signed_in(adam).post("/routing/try/", {"model": "other:m", "text": "x", "pretend": "other", "how": "limited"})
    )
    assert "Would be refused" in refused
    assert "its limit is reached" in refused


def test_a_teams_data_policy_is_told(house: None, signed_in: Any, adam: Any, research: Team) -> None:
    research.data_policy = "local_only"
    research.save()
    factories.make_model(factories.make_provider("Far", "openai", secret="test-key-far"), "far", listed=True)
    text = text_of(signed_in(adam).post("/routing/try/", {"model": "far", "text": "x", "team": research.slug}))
    assert "Would be refused" in text
    assert "local_only" in text


def test_what_was_typed_comes_back_with_what_is_wrong(house: None, signed_in: Any, adam: Any) -> None:
    text = text_of(signed_in(adam).post("/routing/try/", {"use_case": "code", "text": "", "model": "kept"}), 422)
    assert "kept" in text
    assert "This field is required." in text
    text_of(signed_in(adam).post("/routing/try/", {"use_case": "nonsense", "text": "x"}), 422)


def test_an_empty_house_says_what_to_do(signed_in: Any, adam: Any) -> None:
    UseCase.objects.all().delete()
    assert "manage.py apply" in text_of(signed_in(adam).get("/routing/"))


def test_members_do_not_see_it(house: None, signed_in: Any, bob: Any) -> None:
    assert signed_in(bob).get("/routing/").status_code == 403
    assert signed_in(bob).post("/routing/try/", {}).status_code == 403


def test_it_takes_few_queries(house: None, signed_in: Any, adam: Any, django_assert_max_num_queries: Any) -> None:
    client = signed_in(adam)
    client.get("/routing/")
    with django_assert_max_num_queries(30):
        client.get("/routing/")
