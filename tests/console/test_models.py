"""The page of all models: who sees which, what it says of each, how it is narrowed, sorted and turned over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from billing.models import PriceProposal, Request
from billing.prices import SINCE, Listed
from console.lineup import per_million
from providers.models import LanguageModel, Provider
from tests.factories import make_model, make_price, make_provider

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true", "HX-Current-URL": "https://house.example.org/models/"}


@pytest.fixture
def cloud(db: None) -> Provider:
    Provider.objects.all().delete()  # a new house has the demo's models already
    return make_provider("OpenAI", "openai", secret="test-key-openai", priority=10)


@pytest.fixture
def client(adam: Any, signed_in: Any) -> Any:
    return signed_in(adam)


@pytest.fixture
def lineup(cloud: Provider) -> dict[str, LanguageModel]:
    local = make_provider("Cellar", "ollama", base_url="http://127.0.0.1:1", priority=20)
    eu = make_provider("Mistral", "mistral", secret="test-key-mistral", priority=30)
    large = make_model(
        cloud, "large", name="Large One", context=400_000, capabilities=["tools", "vision"], canonical="large"
    )
    make_price(large, "2.50", "10", cached_per_million=Decimal("0.25"))
    twin = make_model(eu, "large", context=128_000, capabilities=["tools"], lacks=["vision"], canonical="large")
    make_price(twin, "0.035", "0.5", currency="EUR", valid_from=datetime(2026, 9, 1, tzinfo=UTC))
    small = make_model(local, "small:8b", context=8192)
    make_price(small, "0", "0", valid_from=SINCE)
    embeds = make_model(eu, "embed", use="embedding")
    make_price(embeds, "0.1", "0")
    return {"large": large, "twin": twin, "small": small, "embeds": embeds}


def names(answer: Any) -> list[str]:
    return [each["row"].string for each in answer.context["rows"]]


# -- who sees what -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "status", "changes"), [("adam", 200, True), ("bob", 200, False), ("vera", 200, False), ("dana", 403, False)]
)
def test_it_is_seen_by_whoever_may(
    request: Any, signed_in: Any, lineup: dict[str, LanguageModel], who: str, status: int, changes: bool
) -> None:
    client = signed_in(request.getfixturevalue(who))
    for path in ("/models/", f"/models/{lineup['large'].pk}/"):
        answer = client.get(path)
        assert answer.status_code == status
        if status == 200:
            assert (f"/models/{lineup['large'].pk}/price/" in answer.content.decode()) is (
                changes and path != "/models/"
            )
    assert ("Read prices" in client.get("/models/").content.decode()) is changes


@pytest.mark.store
def test_members_see_what_answers_them_and_nothing_else(
    bob: Any, research: Any, signed_in: Any, lineup: dict[str, LanguageModel]
) -> None:
    LanguageModel.objects.filter(pk=lineup["twin"].pk).update(active=False)
    LanguageModel.objects.filter(pk=lineup["embeds"].pk).update(only_as_fallback=True)
    Provider.objects.filter(name="OpenAI").update(only_teams=[research.pk + 1])
    client = signed_in(bob)
    assert names(client.get("/models/?state=all")) == ["cellar:small:8b"]
    assert client.get(f"/models/{lineup['large'].pk}/").status_code == 404
    Provider.objects.filter(name="OpenAI").update(only_teams=[research.pk])
    assert "openai:large" in names(client.get("/models/"))
    assert client.get(f"/models/{lineup['large'].pk}/").status_code == 200


def test_an_empty_house_says_what_to_do(client: Any, cloud: Provider) -> None:
    page = client.get("/models/").content.decode()
    assert "Connect a provider to see its models." in page
    assert "/providers/add/" in page


# -- what it says --------------------------------------------------------------------------------


def test_each_row_says_what_it_can_do_and_costs(client: Any, lineup: dict[str, LanguageModel]) -> None:
    page = client.get("/models/").content.decode()
    for words in ("Large One", "Tools: yes", "Vision: no", "Reasoning: not known", "EU hosted: yes", "400.0k", "free"):
        assert words in page, words
    # In a column all prices have the decimals of the finest one, and none is rounded.
    assert "$2.500" in page
    assert "€0.035" in page
    assert "$10.00" in page
    assert "1 Sep 2026" in page


def test_how_many_providers_serve_the_same_model(client: Any, lineup: dict[str, LanguageModel]) -> None:
    rows = {each["row"].string: each["row"] for each in client.get("/models/").context["rows"]}
    assert rows["openai:large"].at == rows["mistral:large"].at == 2
    assert rows["cellar:small:8b"].at == 1


@pytest.mark.store
def test_the_first_token_is_the_median_of_the_latest_requests(client: Any, lineup: dict[str, LanguageModel]) -> None:
    now = timezone.now()
    for number, ms in enumerate((300, 500, 9000, None)):
        Request.objects.create(
            id=f"req_{number}", started_at=now - timedelta(minutes=number), status="ok", purpose="api",
            asked_model="large", provider="openai", model="large", first_token_ms=ms,
        )  # fmt: skip
    row = next(each["row"] for each in client.get("/models/").context["rows"] if each["row"].string == "openai:large")
    assert row.first_ms == 500


def test_a_model_without_a_price_is_a_fault_to_see(client: Any, lineup: dict[str, LanguageModel]) -> None:
    make_model(Provider.objects.get(name="OpenAI"), "unpriced")
    answer = client.get("/models/")
    assert "1 model has no price" in answer.content.decode()
    assert names(answer)[-1] == "openai:unpriced"  # what nobody knows is not the cheapest
    assert names(client.get("/models/?sort=-input"))[-1] == "openai:unpriced"
    assert names(client.get("/models/?state=unpriced")) == ["openai:unpriced"]


def test_price_changes_stand_below_for_those_who_decide(
    client: Any, bob: Any, signed_in: Any, lineup: dict[str, LanguageModel]
) -> None:
    listed = Listed("USD", Decimal(1), Decimal(2), source="a list")
    PriceProposal.objects.create(model=lineup["large"], values=listed.values(), source=listed.source)
    assert "1 price has changed" in client.get("/models/").content.decode()
    assert "1 price has changed" not in signed_in(bob).get("/models/").content.decode()


@pytest.mark.parametrize(
    ("amount", "decimals", "words"),
    [
        (Decimal("2.5"), None, "$2.50"),
        (Decimal("0.0375"), None, "$0.0375"),
        (Decimal(0), None, "free"),
        (None, None, "–"),
        (Decimal("10"), 3, "$10.000"),
    ],
)
def test_a_price_in_words(amount: Decimal | None, decimals: int | None, words: str) -> None:
    assert per_million(amount, "USD", decimals) == words


# -- narrowing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?can=tools", ["mistral:large", "openai:large"]),
        ("?can=tools&can=vision", ["openai:large"]),
        ("?can=embeddings", ["mistral:embed"]),
        ("?can=eu", ["mistral:large", "mistral:embed"]),
        ("?can=long", ["openai:large"]),
        ("?can=local", ["cellar:small:8b"]),
        ("?provider=mistral", ["mistral:large", "mistral:embed"]),
        ("?provider=mistral&use=chat", ["mistral:large"]),
        ("?use=embedding", ["mistral:embed"]),
        ("?q=LARGE+openai", ["openai:large"]),
        ("?q=nothing-like-it", []),
        ("?state=deprecated", []),
        ("?can=nonsense&provider=nobody&use=x&state=y&sort=z&page=9999999&view=q&model=x", 4),
        ("?sort=-context", ["openai:large", "mistral:large", "cellar:small:8b", "mistral:embed"]),
        ("?sort=name", ["mistral:embed", "mistral:large", "openai:large", "cellar:small:8b"]),
        ("?view=matrix&can=vision", ["openai:large"]),
    ],
)
def test_the_list_is_narrowed_and_sorted(
    client: Any, lineup: dict[str, LanguageModel], query: str, found: list[str] | int
) -> None:
    answer = client.get(f"/models/{query}")
    assert answer.status_code == 200
    assert (names(answer) if isinstance(found, list) else len(names(answer))) == found


def test_what_is_off_or_retired_is_shown_when_asked_for(client: Any, lineup: dict[str, LanguageModel]) -> None:
    LanguageModel.objects.filter(pk=lineup["twin"].pk).update(active=False)
    LanguageModel.objects.filter(pk=lineup["large"].pk).update(stage="retired")
    assert {"mistral:large", "openai:large"}.isdisjoint(names(client.get("/models/")))
    assert names(client.get("/models/?state=off")) == ["mistral:large"]
    assert names(client.get("/models/?state=retired")) == ["openai:large"]
    assert len(names(client.get("/models/?state=all"))) == 4


def test_htmx_gets_the_table_and_the_filters_that_follow(client: Any, lineup: dict[str, LanguageModel]) -> None:
    answer = client.get("/models/?can=tools", headers=HTMX)
    page = answer.content.decode()
    assert "<html" not in page
    assert 'id="model-table"' in page
    assert 'hx-target="#model-chips"' in page
    assert "HX-Request" in answer["Vary"]


def test_up_to_four_are_compared(client: Any, lineup: dict[str, LanguageModel]) -> None:
    query = "&".join(f"model={model.pk}" for model in lineup.values())
    page = client.get(f"/models/?view=compare&{query}").content.decode()
    assert page.count('<a class="name"') == 4
    assert "Back to the list" in page
    assert "Back to the list" not in client.get("/models/?view=compare").content.decode()
