"""Price changes on their page and on the command line: who may see them, who decides, and what is kept of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing.models import Price, PriceProposal
from billing.prices import Listed
from console import tasks
from console.celery import app
from console.models import AuditEntry
from console.prices import rate_words, variant_words
from providers.models import LanguageModel
from tests.factories import make_model, make_price, make_provider, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def alpha() -> LanguageModel:
    model = make_model(make_provider("OpenAI", "openai", secret="test-key-of-openai"), "alpha", name="Alpha 1")
    make_price(model, "2.5", "10")
    return model


def propose(model: LanguageModel, **fields: Any) -> PriceProposal:
    listed = Listed(
        **{"currency": "USD", "input_per_million": Decimal(2), "output_per_million": Decimal(10), "source": "a list"}
        | fields
    )
    return PriceProposal.objects.create(model=model, values=listed.values(), source=listed.source)


def page(client: Any, address: str = "/models/prices/") -> str:
    response = client.get(address)
    assert response.status_code == 200
    text: str = response.content.decode()
    return text


# -- the page ---------------------------------------------------------------------------


def test_a_change_is_shown_as_it_is_and_as_it_would_be(adam: Any, alpha: LanguageModel, signed_in: Any) -> None:
    tiers = ({"above": 200_000, "input": "4"},)
    propose(alpha, input_per_million=Decimal("0.0375"), tiers=tiers, source="genai-prices 0.2.3")
    text = page(signed_in(adam))
    for words in ("Alpha 1", "openai:alpha", "genai-prices 0.2.3", "$2.50", "$0.0375", "−98.5%", "Check prices now"):
        assert words in text, words
    assert "prompts over 200,000 tokens" in text
    assert "$10.00</td>" in text  # output of the tier, which is new
    assert 'badge warn plain">1<' in text


def test_an_announced_change_says_from_when(adam: Any, alpha: LanguageModel, signed_in: Any) -> None:
    propose(alpha, valid_from=datetime(2099, 12, 1, tzinfo=UTC))
    assert "from Dec. 1, 2099 on" in page(signed_in(adam))


def test_a_price_that_somebody_set_is_marked(adam: Any, alpha: LanguageModel, signed_in: Any) -> None:
    Price.objects.update(set_by_id=adam.pk)
    propose(alpha)
    assert "replaces a price that somebody here set" in page(signed_in(adam))


def test_models_without_a_price_are_a_visible_fault(adam: Any, alpha: LanguageModel, signed_in: Any) -> None:
    make_model(alpha.provider, "beta")
    text = page(signed_in(adam))
    assert "1 model has no price" in text
    assert "openai:beta" in text
    assert "No price has changed" in text


@pytest.mark.parametrize("role", ["owner", "admin", "editor"])
def test_these_roles_decide(role: str, alpha: LanguageModel, signed_in: Any) -> None:
    propose(alpha)
    assert "Accept" in page(signed_in(make_user("Some One", role)))


def test_others_look_and_are_told_why(vera: Any, bob: Any, alpha: LanguageModel, signed_in: Any) -> None:
    proposal = propose(alpha)
    for person in (vera, bob):
        client = signed_in(person)
        text = page(client)
        assert "You can look, not change" in text
        assert "/accept/" not in text
        for what in (f"{proposal.pk}/accept", f"{proposal.pk}/dismiss", "accept", "check"):
            assert client.post(f"/models/prices/{what}/").status_code == 403
    assert PriceProposal.objects.get().state == "open"


def test_finance_does_not_see_models(dana: Any, signed_in: Any) -> None:
    assert signed_in(dana).get("/models/prices/").status_code == 403


# -- deciding ---------------------------------------------------------------------------


@pytest.mark.store
def test_accepting_is_a_price_and_an_entry_in_the_log(adam: Any, alpha: LanguageModel, signed_in: Any) -> None:
    proposal = propose(alpha)
    response = signed_in(adam).post(f"/models/prices/{proposal.pk}/accept/", {"next": "/models/prices/?q=1"})
    assert (response.status_code, response["Location"]) == (302, "/models/prices/?q=1")
    newest = alpha.prices.order_by("-valid_from").first()
    assert newest is not None
    assert (newest.input_per_million, newest.source) == (2, "a list")
    entry = AuditEntry.objects.latest("id")
    assert (entry.actor_id, entry.verb, entry.object_kind, entry.object_name) == (
        adam.pk,
        "change",
        "price",
        "openai:alpha",
    )
    assert entry.content is not None
    assert entry.content["after"]["input_per_million"] == "2"


@pytest.mark.store
def test_dismissing_keeps_the_price_and_is_in_the_log(adam: Any, alpha: LanguageModel, signed_in: Any) -> None:
    proposal = propose(alpha)
    client = signed_in(adam)
    client.post(f"/models/prices/{proposal.pk}/dismiss/")
    assert alpha.prices.count() == 1
    assert AuditEntry.objects.filter(verb="withdraw", object_kind="price", actor_id=adam.pk).count() == 1
    late = client.post(f"/models/prices/{proposal.pk}/accept/", follow=True).content.decode()
    assert "Somebody has decided on this price already." in late
    assert alpha.prices.count() == 1


def test_accepting_all_takes_what_was_on_the_page(adam: Any, alpha: LanguageModel, signed_in: Any) -> None:
    beta, gamma = make_model(alpha.provider, "beta"), make_model(alpha.provider, "gamma")
    seen = [propose(alpha).pk, propose(beta).pk]
    propose(gamma)
    client = signed_in(adam)
    assert "Accept all" in page(client)
    done = client.post("/models/prices/accept/", {"proposal": [*seen, "x", "999999"]}, follow=True).content.decode()
    assert "2 prices are accepted." in done
    assert PriceProposal.objects.get(state="open").model == gamma
    assert AuditEntry.objects.filter(verb="change", object_kind="price").count() == 2


def test_it_never_leads_elsewhere(adam: Any, alpha: LanguageModel, signed_in: Any) -> None:
    client = signed_in(adam)
    for there in ("https://elsewhere.example", "//elsewhere.example", "/\\elsewhere.example", ""):
        response = client.post("/models/prices/999/dismiss/", {"next": there})
        assert response["Location"] == "/models/prices/"


def test_reading_the_lists_prices_what_has_no_price(
    adam: Any, alpha: LanguageModel, signed_in: Any, settings: Any
) -> None:
    settings.PRICE_FEED_URL = ""
    make_model(alpha.provider, "gpt-5")
    done = signed_in(adam).post("/models/prices/check/", follow=True).content.decode()
    assert "1 model has a price now." in done
    assert Price.objects.filter(model__model_id="gpt-5").exists()
    entry = AuditEntry.objects.latest("id")
    assert (entry.verb, entry.object_kind) == ("add", "price")
    assert "genai-prices" in entry.object_name


# -- words ------------------------------------------------------------------------------


def test_a_rate_is_told_in_full() -> None:
    assert rate_words(37_500_000, "USD") == "$0.0375"
    assert rate_words(3_000_000_000, "EUR") == "€3.00"
    assert rate_words(1, "USD") == "$0.000000001"
    assert rate_words(0, "USD") == "$0.00"
    assert rate_words(None, "USD") == "–"


def test_a_variant_is_told_in_words() -> None:
    assert variant_words(()) == ""
    assert variant_words(("tier", 272_000)) == "prompts over 272,000 tokens"
    assert variant_words(("window", 60, 240)) == "01:00 to 04:00 UTC"
    assert variant_words(("window", 990, 30, "tier", 9)) == "16:30 to 00:30 UTC, prompts over 9 tokens"


# -- the command --------------------------------------------------------------------------


def run(*words: str) -> str:
    out = StringIO()
    call_command("prices", *words, stdout=out, stderr=out)
    return out.getvalue()


@pytest.mark.store
def test_a_price_is_set_from_the_command_line(alpha: LanguageModel) -> None:
    run("set", "openai:alpha", "--input", "1.10", "--output", "4.40", "--cached", "0.11", "--currency", "eur")
    newest = alpha.prices.order_by("-valid_from").first()
    assert newest is not None
    assert (newest.input_per_million, newest.cached_per_million, newest.currency) == (
        Decimal("1.10"),
        Decimal("0.11"),
        "EUR",
    )
    assert newest.valid_from <= timezone.now()
    entry = AuditEntry.objects.latest("id")
    assert (entry.actor_name, entry.verb, entry.object_name) == ("manage.py prices", "change", "openai:alpha")


def test_a_price_may_be_set_for_a_day_to_come(alpha: LanguageModel) -> None:
    run("set", "openai:alpha", "--input", "1", "--output", "2", "--from", "2099-01-01", "--source", "the new contract")
    assert alpha.prices.filter(valid_from=datetime(2099, 1, 1, tzinfo=UTC), source="the new contract").exists()
    shown = run("show", "OpenAI:alpha")
    assert "from 2099-01-01 00:00 USD, the new contract\n" in shown
    assert "from 2020-01-01 00:00 USD, test  <- now" in shown
    assert "input 2.5" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["openai:nobody", "--input", "1", "--output", "2"], "There is no model"),
        (["alpha", "--input", "1", "--output", "2"], "There is no model"),
        (["openai:alpha", "--input", "-1", "--output", "2"], "not an amount of a price"),
        (["openai:alpha", "--input", "1,5", "--output", "2"], "'1,5' is not an amount"),
        (["openai:alpha", "--input", "1", "--output", "2", "--currency", "dollar"], "not a currency"),
        (["openai:alpha", "--input", "1", "--output", "2", "--from", "2020-01-01"], "past"),
        (["openai:alpha", "--input", "1", "--output", "2", "--from", "tomorrow"], "not a date"),
        (["openai:alpha", "--input", "1", "--output", "2", "--batch-share", "7"], "share"),
        (["openai:alpha", "--input", "1000000000", "--output", "2"], "too large"),
    ],
)
def test_what_is_no_price_is_refused_in_words(alpha: LanguageModel, words: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        run("set", *words)
    assert alpha.prices.count() == 1


def test_show_says_that_a_price_is_unknown_and_how_long_prompts_are_paid(alpha: LanguageModel) -> None:
    make_model(alpha.provider, "beta")
    assert run("show", "openai:beta") == "openai:beta: price unknown\n"
    make_price(alpha, "1", "2", valid_from=timezone.now() - timedelta(days=1), tiers=[{"above": 200_000, "input": "4"}])
    assert "long prompts (over 200000): input 4" in run("show", "openai:alpha")


def test_sync_prints_what_it_found(alpha: LanguageModel, settings: Any) -> None:
    settings.PRICE_FEED_URL = ""
    make_model(alpha.provider, "gpt-5")
    make_model(alpha.provider, "nobody-knows-it")
    printed = run("sync")
    assert "priced: 1\n" in printed
    assert "no price known: openai:nobody-knows-it\n" in printed


# -- by the clock -------------------------------------------------------------------------


def test_the_timetable_prices_new_models_and_compares_the_others(alpha: LanguageModel, settings: Any) -> None:
    settings.PRICE_FEED_URL = ""
    names = {entry["task"].rpartition(".")[2] for entry in app.conf.beat_schedule.values()}
    assert {"read_price_lists", "price_new_models"} <= names
    new = make_model(alpha.provider, "gpt-5")
    tasks.price_new_models()
    assert new.prices.count() == 1
    new.prices.update(input_per_million=Decimal("0.001"))
    tasks.read_price_lists()
    assert PriceProposal.objects.get().model == new
