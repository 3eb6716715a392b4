"""One model: what is known and who says so, what it cost, who calls it, and what may be set by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from billing.models import LedgerEntry, Price, Request, Team
from billing.prices import SINCE
from console.dossier import habits
from console.models import AuditEntry
from providers.models import LanguageModel, ModelAlias, Provider
from routing.keys import create_key
from tests.factories import make_model, make_price, make_provider

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true", "HX-Current-URL": "https://house.example.org/models/?sort=name"}
ALONE = {"HX-Request": "true", "HX-Current-URL": "https://house.example.org/models/7/"}


@pytest.fixture
def client(adam: Any, signed_in: Any) -> Any:
    return signed_in(adam)


@pytest.fixture
def model(db: None) -> LanguageModel:
    provider = make_provider("Cellar", "vllm", base_url="http://127.0.0.1:1/v1")
    return make_model(provider, "large", context=8192, capabilities=["tools"], lacks=["vision"], canonical="large")


def fresh(model: LanguageModel) -> LanguageModel:
    return LanguageModel.objects.get(pk=model.pk)


def entries(model: LanguageModel) -> list[tuple[str, str]]:
    return list(AuditEntry.objects.order_by("id").values_list("verb", "object_kind"))


# -- what it says ----------------------------------------------------------------------------------


def test_it_says_what_is_known_and_who_says_so(client: Any, model: LanguageModel) -> None:
    LanguageModel.objects.filter(pk=model.pk).update(overrides={"vision": False})
    page = client.get(f"/models/{model.pk}/").content.decode()
    for words in ("8,192", "its provider’s list", "set here", "Tools: yes", "Vision: no", "Reasoning: not known"):
        assert words in page, words


def test_for_htmx_it_is_a_drawer_and_else_a_page(client: Any, model: LanguageModel) -> None:
    drawer = client.get(f"/models/{model.pk}/", headers=HTMX).content.decode()
    assert "<html" not in drawer
    assert '<h2 id="md-t">large</h2>' in drawer
    page = client.get(f"/models/{model.pk}/").content.decode()
    assert '<h1 id="md-t">large</h1>' in page


def test_the_history_of_its_price(client: Any, model: LanguageModel, adam: Any) -> None:
    now = timezone.now()
    make_price(model, "5", "15", valid_from=SINCE, source="a list of prices")
    tier = [{"above": 200_000, "input": "6", "output": "20"}]
    make_price(model, "3", "12", valid_from=now - timedelta(days=90), tiers=tier, batch_share=Decimal("0.5"))
    make_price(model, "2", "8", valid_from=now - timedelta(days=40), set_by_id=adam.pk)
    make_price(model, "1", "4", valid_from=now + timedelta(days=20))
    answer = client.get(f"/models/{model.pk}/")
    assert [(each.state, each.input) for each in answer.context["prices"]] == [
        ("future", "$1.00"), ("now", "$2.00"), ("past", "$3.00"), ("past", "$5.00"),
    ]  # fmt: skip
    page = answer.content.decode()
    for words in ("Always", "a list of prices", "Adam, by hand", "prompts over 200,000 tokens", "Batch: 50%"):
        assert words in page, words
    assert 'aria-roledescription="chart"' in page  # the price changed within the year


def test_a_price_that_never_changed_needs_no_chart(client: Any, model: LanguageModel) -> None:
    make_price(model)
    page = client.get(f"/models/{model.pk}/").content.decode()
    assert 'aria-roledescription="chart"' not in page


@pytest.mark.store
def test_who_still_calls_a_model_that_ends(client: Any, model: LanguageModel, research: Any) -> None:
    today = timezone.localdate()
    LanguageModel.objects.filter(pk=model.pk).update(
        stage="deprecated", retires_on=today + timedelta(days=50), successor="larger"
    )
    key, _secret = create_key("ci robot", team=research)
    now = timezone.now()
    common = {"status": "ok", "asked_model": "large", "provider": "cellar", "model": "large"}
    for number in range(3):
        at = now - timedelta(days=number)
        Request.objects.create(
            id=f"req_{number}", started_at=at, purpose="api", team_id=research.pk, key_id=key.pk, **common
        )
    Request.objects.create(
        id="req_old", started_at=now - timedelta(days=31), purpose="api", team_id=research.pk, **common
    )
    Request.objects.create(id="req_test", started_at=now, purpose="system", **common)
    answer = client.get(f"/models/{model.pk}/")
    assert [(each.team, each.key, each.calls) for each in answer.context["callers"]] == [("Research", "ci robot", 3)]
    page = answer.content.decode()
    for words in ("Who still calls it", "in 50 days", "Its successor is larger."):
        assert words in page, words


@pytest.mark.store
def test_members_are_not_told_who_calls_it_or_what_it_cost(
    bob: Any, adam: Any, signed_in: Any, model: LanguageModel
) -> None:
    now = timezone.now()
    LedgerEntry.objects.create(
        id="a/charge/0", started_at=now, booked_at=now, request_id="r", attempt_id="a", kind="charge", purpose="api",
        provider_id=model.provider_id, provider="cellar", model="large", usage_source="provider",
        amount_nano=1_500_000_000, currency="EUR",
    )  # fmt: skip
    assert "€1.50" in signed_in(adam).get(f"/models/{model.pk}/").content.decode()
    page = signed_in(bob).get(f"/models/{model.pk}/").content.decode()
    assert "Who calls it" not in page
    assert "€1.50" not in page


def test_the_same_model_elsewhere_and_whose_default_it_is(client: Any, model: LanguageModel, research: Any) -> None:
    other = make_model(
        make_provider("Attic", "vllm", base_url="http://127.0.0.1:2/v1"), "vendor/large", canonical="large"
    )
    make_price(other, "1", "2")
    ModelAlias.objects.create(name="house-large", model=model)
    Team.objects.filter(pk=research.pk).update(default_model="house-large")
    page = client.get(f"/models/{model.pk}/").content.decode()
    for words in ("attic:vendor/large", "$1.00 / $2.00", "The default model of:", "Research"):
        assert words in page, words


def test_what_it_does_with_parameters_is_said() -> None:
    told = habits(
        {
            "sampling_params": False,
            "temperature": "only 1",
            "reasoning_efforts": ["low", "high"],
            "thinking_always_on": True,
            "forced_tool_choice": False,
            "assistant_prefill": False,
            "tools_on_chat_completions": "never_use_responses_api",
        }
    )
    assert len(told) == 7
    assert any("low, high" in words for words in told)
    assert habits({}) == []


# -- what may be set ---------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["facts", "offer", "names", "price"])
@pytest.mark.parametrize("who", ["bob", "vera", "dana"])
def test_only_those_who_run_the_gateway_change_it(
    request: Any, signed_in: Any, model: LanguageModel, who: str, what: str
) -> None:
    answer = signed_in(request.getfixturevalue(who)).post(f"/models/{model.pk}/{what}/", {"name": "x"})
    assert answer.status_code == 403
    assert not ModelAlias.objects.exists()


def test_what_is_known_better_here(client: Any, model: LanguageModel) -> None:
    form = {"context": "16384", "max_output": "", "tools": "no", "vision": "yes", "reasoning": ""}
    answer = client.post(f"/models/{model.pk}/facts/", form, headers=HTMX)
    assert answer.status_code == 200
    row = fresh(model)
    assert row.overrides == {"context": 16384, "tools": False, "vision": True}
    assert (row.context, "tools" in row.lacks, "vision" in row.capabilities) == (16384, True, True)
    assert ("change", "languagemodel") in entries(model)
    page = answer.content.decode()
    assert f'hx-target="#model-{model.pk}"' in page  # the row behind the drawer follows
    client.post(f"/models/{model.pk}/facts/", {"context": "", "vision": "yes"})
    assert fresh(model).overrides == {"vision": True}


@pytest.mark.parametrize("typed", ["0", "-5", "many", "999999999999"])
def test_a_window_that_is_none_is_refused(client: Any, model: LanguageModel, typed: str) -> None:
    answer = client.post(f"/models/{model.pk}/facts/", {"context": typed}, headers=HTMX)
    assert answer.status_code == 422
    assert 'id="md-facts" open' in answer.content.decode()
    assert fresh(model).context == 8192
    assert entries(model) == []


def test_it_is_switched_off_and_on_again(client: Any, model: LanguageModel) -> None:
    sent = {"sent": "active,only_as_fallback"}
    answer = client.post(f"/models/{model.pk}/offer/", sent, headers=HTMX)
    assert "is switched off" in answer.content.decode()
    assert fresh(model).active is False
    assert 'name="next" value="/models/?sort=name"' in answer.content.decode()
    undone = client.post(f"/models/{model.pk}/offer/", sent | {"active": "on", "next": "/models/?sort=name"})
    assert undone["Location"] == "/models/?sort=name"
    assert fresh(model).active is True
    client.post(f"/models/{model.pk}/offer/", sent | {"active": "on", "only_as_fallback": "on"})
    assert fresh(model).only_as_fallback is True
    assert entries(model) == [("change", "languagemodel")] * 3


def test_a_change_never_leads_elsewhere(client: Any, model: LanguageModel) -> None:
    answer = client.post(f"/models/{model.pk}/offer/", {"sent": "active", "next": "//evil.example.org/"})
    assert answer["Location"] == f"/models/{model.pk}/"


def test_another_name_comes_and_goes(client: Any, model: LanguageModel) -> None:
    answer = client.post(f"/models/{model.pk}/names/", {"name": " house-large "}, headers=HTMX)
    assert answer.status_code == 200
    alias = ModelAlias.objects.get(model=model)
    assert alias.name == "house-large"
    client.post(f"/models/{model.pk}/names/{alias.pk}/remove/")
    assert not ModelAlias.objects.exists()
    assert entries(model) == [("add", "alias"), ("remove", "alias")]
    assert client.post(f"/models/{model.pk}/names/{alias.pk}/remove/").status_code == 404


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "required"),
        ("two words", "no spaces"),
        ("auto", "default model"),
        ("auto:cheap", "default model"),
        ("cellar:other", "of that provider"),
        ("Cellar:other", "of that provider"),
        ("old-cellar:other", "of that provider"),
        ("taken", "has this name already"),
        ("x" * 201, "200"),
    ],
)
def test_names_that_mean_something_else_are_refused(client: Any, model: LanguageModel, name: str, words: str) -> None:
    provider = Provider.objects.get(slug="cellar")
    provider.former_slugs.create(slug="old-cellar")
    ModelAlias.objects.create(name="taken", model=make_model(provider, "other"))
    answer = client.post(f"/models/{model.pk}/names/", {"name": name}, headers=HTMX)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not model.aliases.exists()


def test_a_price_by_hand_is_a_new_row(client: Any, model: LanguageModel, adam: Any) -> None:
    old = make_price(model, "5", "15")
    form = {"currency": "EUR", "input_per_million": "2.75", "output_per_million": "13.8", "cached_per_million": "0.28"}
    answer = client.post(f"/models/{model.pk}/price/", form, headers=HTMX)
    assert answer.status_code == 200
    first, second = Price.objects.filter(model=model).order_by("valid_from")
    assert first == old
    assert (first.input_per_million, first.valid_until) == (Decimal(5), None)
    assert (second.currency, second.input_per_million, second.set_by_id) == ("EUR", Decimal("2.75"), adam.pk)
    assert entries(model) == [("create", "price")]
    assert "€2.75" in answer.content.decode()


def test_a_price_may_be_announced(client: Any, model: LanguageModel) -> None:
    make_price(model, "5", "15")
    day = timezone.localdate() + timedelta(days=10)
    form = {"currency": "USD", "input_per_million": "1", "output_per_million": "2", "valid_from": day.isoformat()}
    answer = client.post(f"/models/{model.pk}/price/", form, headers=HTMX)
    assert [each.state for each in answer.context["prices"]] == ["future", "now"]
    assert Price.objects.get(model=model, input_per_million=1).valid_from == datetime(
        day.year, day.month, day.day, tzinfo=UTC
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_per_million": ""},
        {"input_per_million": "-1"},
        {"output_per_million": "cheap"},
        {"output_per_million": "1e30"},
        {"input_per_million": "0.0000000001"},
        {"currency": "XXX"},
        {"valid_from": "2020-01-01"},
    ],
)
def test_a_price_that_is_none_is_refused(client: Any, model: LanguageModel, wrong: dict[str, str]) -> None:
    form = {"currency": "USD", "input_per_million": "1", "output_per_million": "2"} | wrong
    answer = client.post(f"/models/{model.pk}/price/", form, headers=HTMX)
    assert answer.status_code == 422
    assert not Price.objects.filter(model=model).exists()


def test_where_it_is_a_page_of_its_own_a_change_stays_there(client: Any, model: LanguageModel) -> None:
    changed = client.post(f"/models/{model.pk}/offer/", {"sent": "active"}, headers=ALONE)
    assert changed["HX-Redirect"] == f"/models/{model.pk}/"
    wrong = client.post(f"/models/{model.pk}/names/", {"name": ""}, headers=ALONE)
    assert wrong.status_code == 422
    assert '<h1 id="md-t">' in wrong.content.decode()
