from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models.signals import pre_save

from billing.models import Membership, Organisation, Price, Team
from console.audit import verify
from console.models import AuditEntry
from providers.models import Credential, LanguageModel, ModelAlias, Provider, current_revision
from routing.compiler import compile_snapshot
from tests import factories
from tests.console.files import SAMPLE, Files, nowhere

pytestmark = pytest.mark.django_db


def sample() -> dict[str, Any]:
    """The known sample, its local server where nothing can be running."""
    content: dict[str, Any] = json.loads(json.dumps(SAMPLE))
    content["LLMProviders"]["Providers"][1]["Configuration"]["BaseUrl"] = nowhere()
    return content


# -- the LLMProviders sample ------------------------------------------------------


@pytest.mark.store
def test_the_sample_is_taken_as_it_is(files: Files) -> None:
    files.apply(SAMPLE)
    openai, ollama, azure = (Provider.objects.get(slug=s) for s in ("openai-primary", "ollama-local", "azure-eu"))
    assert [(p.kind, p.priority, p.enabled) for p in (openai, ollama, azure)] == [
        ("openai", 1, True),
        ("ollama", 2, True),
        ("azure-openai", 3, True),
    ]
    assert openai.base_url == "https://api.openai.com/v1"
    assert openai.options == {"default_model": "gpt-4o", "max_tokens": 4096}
    assert azure.base_url == "https://myresource.openai.azure.com"
    assert azure.options == {"default_model": "gpt-4o-deployment", "api_version": "2024-02-01"}
    assert [c.variable for c in Credential.objects.order_by("variable")] == ["AZURE_OPENAI_KEY", "OPENAI_API_KEY"]
    assert {str(m) for m in LanguageModel.objects.all()} >= {
        "openai-primary:gpt-4o",
        "ollama-local:llama3.1",
        "azure-eu:gpt-4o-deployment",
    }


def test_a_missing_variable_leaves_the_provider_inactive_and_says_so(files: Files) -> None:
    printed = files.apply(sample())
    assert "OPENAI_API_KEY is not set here" in printed
    entry = compile_snapshot().providers["openai-primary"]
    assert entry.inactive_reason == "the environment variable OPENAI_API_KEY is not set"


def test_a_variable_that_is_set_makes_it_active(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.apply(sample())
    monkeypatch.setenv("OPENAI_API_KEY", "test-key-from-the-environment")
    assert compile_snapshot().providers["openai-primary"].inactive_reason == ""


def test_routing_is_noted_honestly(files: Files) -> None:
    printed = files.plan(sample())
    assert "HealthCheckInterval is noted, and not used yet." in printed
    assert "FailoverThreshold is noted, and not used yet." in printed
    assert "PriorityWithFallback is how a model that several providers serve is chosen here." in printed


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("VLLM", "vllm"),
        ("vLLM", "vllm"),
        ("lm studio", "lmstudio"),
        ("OVHCloud", "ovh"),
        ("Scaleway", "scaleway"),
        ("azure-openai", "azure-openai"),
        ("Azure OpenAI", "azure-openai"),
        ("AWSBedrock", "bedrock"),
        ("ANTHROPIC", "anthropic"),
        ("Mistral", "mistral"),
        ("groq", "groq"),
    ],
)
def test_types_are_read_without_case_hyphens_and_spaces(files: Files, written: str, kind: str) -> None:
    configuration = {"BaseUrl": "https://llm.example.org/v1", "Region": "eu-west-3"}
    provider = {"Type": written, "Name": "one", "Enabled": False, "Configuration": configuration}
    files.apply({"LLMProviders": {"Providers": [provider]}})
    assert Provider.objects.get(slug="one").kind == kind


def test_keys_of_the_sample_may_be_spelled_otherwise(files: Files) -> None:
    provider = {"type": "VLLM", "NAME": "one", "configuration": {"base_url": nowhere(), "api-key": "${TEST_LLM_KEY}"}}
    files.apply({"LLMProviders": {"providers": [provider]}})
    assert Provider.objects.get(slug="one").credentials.get().variable == "TEST_LLM_KEY"


# -- the plan ---------------------------------------------------------------------


HOUSE = """
organisation:
  name: Atelier
  currency: EUR
  time_zone: Europe/Paris
  default_model: fast
providers:
  - name: mine
    kind: vllm
    base_url: {address}
    priority: 5
    models:
      - id: llama-3.3
        context: 131072
        capabilities: [tools, vision]
        prices:
          - {{input: 0.1, output: 0.20, currency: EUR, from: 2026-01-01, source: our own electricity}}
aliases:
  fast: mine:llama-3.3
teams:
  - name: Recherche
    description: La recherche
    default_model: mine:llama-3.3
    members_make_keys: true
    members:
      - bob@example.org
      - {{email: alice@example.org, lead: true}}
"""


@pytest.mark.store
def test_without_yes_nothing_happens(files: Files) -> None:
    before = current_revision()[0]
    printed = files.plan(HOUSE.format(address=nowhere()))
    assert "+ create provider mine" in printed
    assert "Nothing was changed yet: add --yes to apply this." in printed
    assert not Provider.objects.filter(slug="mine").exists()
    assert not Team.objects.exists()
    assert current_revision()[0] == before


@pytest.mark.store
def test_the_whole_house_and_then_nothing_to_change(files: Files) -> None:
    factories.make_user("Alice", role="owner")
    factories.make_user("Bob")
    house = HOUSE.format(address=nowhere())
    before = current_revision()[0]
    files.apply(house)
    assert current_revision()[0] == before + 1

    organisation = Organisation.get()
    assert (organisation.name, organisation.currency, organisation.default_model) == ("Atelier", "EUR", "fast")
    model = LanguageModel.objects.get(provider__slug="mine", model_id="llama-3.3")
    assert (model.context, model.capabilities) == (131072, ["tools", "vision"])
    price = Price.objects.get(model=model)
    assert (str(price.input_per_million.normalize()), price.currency) == ("0.1", "EUR")
    assert ModelAlias.objects.get(name="fast").model == model
    team = Team.objects.get(name="Recherche")
    assert (team.slug, team.members_make_keys) == ("recherche", True)
    assert sorted(Membership.objects.filter(team=team).values_list("user__email", "lead")) == [
        ("alice@example.org", True),
        ("bob@example.org", False),
    ]
    entries = AuditEntry.objects.count()
    revision = current_revision()[0]
    assert "Nothing to change." in files.apply(house)
    assert AuditEntry.objects.count() == entries
    assert current_revision()[0] == revision


def test_a_change_is_shown_field_by_field(files: Files) -> None:
    files.apply(HOUSE.format(address=nowhere()))
    address = Provider.objects.get(slug="mine").base_url
    changed = HOUSE.format(address=address).replace("priority: 5", "priority: 7").replace("Atelier", "Maison")
    printed = files.plan(changed)
    assert "~ change provider mine" in printed
    assert "priority: 5 → 7" in printed
    assert "name: Atelier → Maison" in printed
    assert "= keep   model mine:llama-3.3" in printed


def test_every_change_is_in_the_audit_log(files: Files) -> None:
    files.apply(HOUSE.format(address=nowhere()))
    written = set(AuditEntry.objects.values_list("actor_name", "verb", "object_kind"))
    assert written >= {
        ("manage.py apply", "change", "organisation"),
        ("manage.py apply", "create", "provider"),
        ("manage.py apply", "create", "languagemodel"),
        ("manage.py apply", "create", "price"),
        ("manage.py apply", "create", "alias"),
        ("manage.py apply", "create", "team"),
    }
    assert verify().broken is None


def test_what_the_file_does_not_name_stays(files: Files) -> None:
    other = factories.make_provider("Other", kind="vllm", priority=3)
    files.apply(HOUSE.format(address=nowhere()))
    files.apply({"providers": [{"name": "mine", "kind": "vllm"}]})
    mine = Provider.objects.get(slug="mine")
    assert mine.priority == 5
    assert mine.models.get().prices.exists()
    assert Provider.objects.filter(pk=other.pk).exists()


def test_a_default_model_that_cannot_answer_is_told(files: Files) -> None:
    content = {"teams": [{"name": "Data", "default_model": "gtp-9"}]} | openai(api_key="${TEST_LLM_KEY}")
    assert "The default model gtp-9: There is no model 'gtp-9'." in files.apply(content)


def test_somebody_who_is_not_here_yet_is_a_note(files: Files) -> None:
    printed = files.apply({"teams": [{"name": "Data", "members": ["nobody@example.org"]}]})
    assert "nobody@example.org is nobody here, so not in Data yet" in printed
    assert Team.objects.get(name="Data").memberships.count() == 0


def test_the_plan_as_json(files: Files) -> None:
    told = json.loads(files.plan({"teams": [{"name": "Data"}]}, "--json"))
    assert told["applied"] is False
    assert told["changes"] == [{"action": "create", "what": "team", "name": "Data"}]
    assert json.loads(files.apply({"teams": [{"name": "Data"}]}, "--json"))["applied"] is True


def test_a_team_is_found_without_case(files: Files) -> None:
    factories.make_team("Research")
    files.apply({"teams": [{"name": "research", "description": "Ours"}]})
    assert Team.objects.get().description == "Ours"


def test_an_old_name_of_a_provider_still_finds_it(files: Files) -> None:
    provider = factories.make_provider("Old", kind="vllm", base_url="http://127.0.0.1:9")
    provider.rename("New")
    printed = files.apply({"providers": [{"name": "Old", "kind": "vllm", "priority": 3}]})
    provider.refresh_from_db()
    assert (provider.name, provider.slug, provider.priority) == ("New", "new", 3)
    assert "'old' is called new now" in printed


@pytest.mark.store
def test_a_step_that_fails_takes_all_others_with_it(files: Files) -> None:
    def fail(sender: Any, **signal: Any) -> None:
        raise OperationalError("test: the disk is full")

    before = current_revision()[0]
    pre_save.connect(fail, sender=Team)
    try:
        with pytest.raises(OperationalError):
            files.apply(HOUSE.format(address=nowhere()))
    finally:
        pre_save.disconnect(fail, sender=Team)
    assert not Provider.objects.filter(slug="mine").exists()
    assert not Organisation.objects.filter(name="Atelier").exists()
    assert not AuditEntry.objects.exists()
    assert current_revision()[0] == before


# -- keys ---------------------------------------------------------------------------


def openai(**more: Any) -> dict[str, Any]:
    return {"providers": [{"name": "One", "kind": "openai", "enabled": False} | more]}


def test_a_key_in_the_file_is_sealed_and_never_shown(files: Files) -> None:
    secret = "test-key-abcdefghijklmnop-wxyz"
    printed = files.apply(openai(api_key=secret))
    credential = Provider.objects.get(slug="one").credentials.get()
    assert credential.reveal() == secret
    assert secret not in credential.sealed
    assert secret not in printed
    assert "…wxyz" in printed
    assert "the key stands in the file itself" in printed
    assert not any(secret in json.dumps(entry.content) for entry in AuditEntry.objects.all())
    assert "Nothing to change." in files.apply(openai(api_key=secret))


def test_a_key_is_rotated_to_a_variable_and_taken_away(files: Files) -> None:
    files.apply(openai(api_key="test-key-abcdefghijklmnop-wxyz"))
    assert "key: …wxyz → ${TEST_LLM_KEY}" in files.apply(openai(api_key="${TEST_LLM_KEY}"))
    assert Credential.objects.get().sealed == ""
    assert "- remove API key of one" in files.apply(openai(api_key=None))
    assert not Credential.objects.exists()


def test_a_key_does_not_follow_to_another_address(files: Files) -> None:
    files.apply(openai(api_key="test-key-abcdefghijklmnop-wxyz"))
    faults = files.refused(openai(base_url="https://elsewhere.example.org/v1"))
    expected = "the key of one does not follow to another place: give `api_key` again with the base_url."
    assert faults == [f"providers[0].base_url: {expected}"]
    assert files.refused(openai(base_url="https://elsewhere.example.org/v1", api_key="kept")) == faults
    # The usual address of the kind, written out, is the same place.
    files.apply(openai(base_url="https://api.openai.com/v1"))
    files.apply(openai(base_url="https://elsewhere.example.org/v1", api_key="test-key-abcdefghijklmnop-wxyz"))
    assert Provider.objects.get().base_url == "https://elsewhere.example.org/v1"


def test_the_houses_own_secrets_cannot_be_named(files: Files) -> None:
    assert files.refused(openai(api_key="${SECRET_KEY}")) == [
        "providers[0].api_key: SECRET_KEY is a secret of this house, not a provider's key."
    ]


def test_variables_in_addresses_and_options_are_filled_in(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    content = openai(base_url="${TEST_LLM_URL}/v1")
    printed = files.apply(content)
    assert "the environment variable TEST_LLM_URL is not set" in printed
    provider = Provider.objects.get()
    assert provider.inactive_reason == "the environment variable TEST_LLM_URL is not set"
    assert "Nothing to change." in files.apply(content)
    monkeypatch.setenv("TEST_LLM_URL", "https://llm.example.org")
    files.apply(content)
    provider.refresh_from_db()
    assert (provider.base_url, provider.inactive_reason) == ("https://llm.example.org/v1", "")


# -- prices -------------------------------------------------------------------------


def priced(*prices: dict[str, Any]) -> dict[str, Any]:
    model = {"id": "m", "prices": list(prices)}
    return {"providers": [{"name": "One", "kind": "openai", "enabled": False, "models": [model]}]}


def test_a_price_without_a_date_begins_when_it_differs(files: Files) -> None:
    files.apply(priced({"input": 1, "output": 2}))
    assert "Nothing to change." in files.apply(priced({"input": "1.0", "output": 2}))
    files.apply(priced({"input": 1.5, "output": 2}))
    newest, oldest = Price.objects.order_by("-valid_from")
    assert (newest.input_per_million, oldest.input_per_million) == (1.5, 1)


def test_a_price_in_the_books_is_never_edited_but_may_end(files: Files) -> None:
    price = {"input": 1, "output": 2, "from": "2026-01-01"}
    files.apply(priced(price))
    [fault] = files.refused(priced(price | {"output": 3}))
    assert fault.startswith(
        "providers[0].models[0].prices[0]: the price from 2026-01-01T00:00:00+00:00 is in the books"
    )
    files.apply(priced(price | {"until": "2027-01-01"}))
    assert Price.objects.get().valid_until.year == 2027  # type: ignore[union-attr]


def test_long_prompts_hours_speech_and_batches_have_their_rates(files: Files) -> None:
    rich = {
        "input": 2,
        "output": 10,
        "audio_input": 32,
        "batch_share": 0.5,
        "tiers": [{"above": 200_000, "input": 4, "output": "15"}],
        "windows": [{"from": "16:30", "to": "00:30", "days": [1, 5], "input": 0.3}],
    }
    files.apply(priced(rich))
    price = Price.objects.get()
    assert price.tiers == [{"above": 200_000, "input": "4", "output": "15"}]
    assert price.windows == [{"from": "16:30", "to": "00:30", "days": [1, 5], "input": "0.3"}]
    assert (price.audio_input_per_million, price.batch_share) == (32, Decimal("0.5"))
    assert "Nothing to change." in files.apply(priced(rich))
    wrong = {"batch_share": 2, "tiers": [{"input": 4}], "windows": [{"from": "4 pm", "to": "00:30"}]}
    assert sorted(files.refused(priced(rich | wrong))) == [
        "providers[0].models[0].prices[0].batch_share: is not a share: write 0.5 for half.",
        "providers[0].models[0].prices[0].tiers: cannot be read: A tier needs `above`, a number of tokens.",
        "providers[0].models[0].prices[0].windows: cannot be read: '4 pm' is not a time of day: write 16:30.",
    ]
