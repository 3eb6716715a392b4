from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.configuration.applying import read_file
from console.configuration.exporting import as_json, as_yaml, document
from console.configuration.planning import plan
from console.configuration.values import FileRefused, House, KeyHeld, ModelHeld, PriceHeld, ProviderHeld, TeamHeld
from console.models import AuditEntry
from providers.models import Credential, LanguageModel, ModelAlias, Provider
from routing.demonstration import furnish
from tests import factories
from tests.console.files import SAMPLE, Files, export

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def furnished() -> None:
    """A house in which everything that a file can say is said at least once."""
    furnish()
    alice, bob = factories.make_user("Alice", role="owner"), factories.make_user("Bob")
    factories.make_team(
        "Research", description="Knows: all of it", default_model="demo:relay-1", members_make_keys=True
    )
    factories.make_team("no")
    factories.make_user("Carla", teams=[factories.make_team("Data #2")], lead=True)
    old = factories.make_team("Old")
    old.archived_at = factories.LONG_AGO
    old.save()
    for person, lead in ((alice, True), (bob, False)):
        person.memberships.create(team_id=factories.Team.objects.get(name="Research").pk, lead=lead)
    twice = factories.make_provider("Groq", kind="groq", secret="test-key-abcdefghijkl", enabled=False)
    factories.make_provider("Groq", kind="groq", slug="groq-2", timeout_seconds=20)
    mine = factories.make_provider(
        "My vLLM", kind="vllm", base_url="http://127.0.0.1:9/v1", options={"temperature": 0.5}
    )
    Credential.objects.create(provider=mine, variable="TEST_LLM_KEY")
    model = factories.make_model(mine, "org/model:7b", name="Seven", context=8192, capabilities=["tools"])
    factories.make_price(model, "0.000000001", "10", cached_per_million=Decimal("0.5"), per_request=Decimal("0.01"))
    factories.make_price(model, "1", "2", valid_from=NOW, valid_until=datetime(2027, 1, 1, 12, 30, tzinfo=UTC))
    factories.make_model(twice, "listed", listed=True)
    factories.make_model(twice, "off", listed=True, active=False)
    LanguageModel.objects.filter(provider__slug="demo", model_id="fault-html").update(active=False)
    ModelAlias.objects.create(name="fast", model=model)
    ModelAlias.objects.create(name="yes", model=LanguageModel.objects.get(model_id="relay-1"))


@pytest.mark.django_db
@pytest.mark.store
@pytest.mark.parametrize("kind", ["yaml", "json"])
def test_what_was_exported_changes_nothing(files: Files, kind: str) -> None:
    furnished()
    entries = AuditEntry.objects.count()
    printed = files.apply(export(kind))
    assert "Nothing to change." in printed, printed
    assert AuditEntry.objects.count() == entries


@pytest.mark.django_db
def test_it_leaves_out_secrets_and_what_lists_say(files: Files) -> None:
    furnished()
    text = export()
    told = yaml.safe_load(text)
    providers = {each.get("slug", each["name"]): each for each in told["providers"]}
    assert "test-key" not in text
    assert providers["Groq"]["api_key"] == "kept"
    assert providers["My vLLM"]["api_key"] == "${TEST_LLM_KEY}"
    assert [model["id"] for model in providers["Groq"]["models"]] == ["off"]
    assert [model["id"] for model in providers["Demo"]["models"]] == ["fault-html"]
    assert {team["name"] for team in told["teams"]} == {"Research", "no", "Data #2"}


@pytest.mark.django_db
@pytest.mark.store
def test_it_furnishes_another_house(files: Files) -> None:
    """All of it but the secrets: those have to be given again."""
    furnished()
    first = export()
    Provider.objects.all().delete()
    factories.Team.objects.all().delete()
    printed = files.apply(first)
    assert "no key is kept here for groq" in printed
    again = yaml.safe_load(export())
    wanted = yaml.safe_load(first)
    del wanted["providers"][[each["name"] for each in wanted["providers"]].index("Groq")]["api_key"]
    by_name = lambda told: sorted(json.dumps(each, sort_keys=True) for each in told)  # noqa: E731
    assert by_name(again["providers"]) == by_name(wanted["providers"])
    assert by_name(again["teams"]) == by_name(wanted["teams"])
    assert again["aliases"] == wanted["aliases"]


@pytest.mark.django_db
def test_the_sample_comes_back(files: Files) -> None:
    files.apply(SAMPLE)
    told = json.loads(export("json"))
    openai = next(each for each in told["providers"] if each["name"] == "openai-primary")
    assert openai == {
        "name": "openai-primary",
        "kind": "openai",
        "priority": 1,
        "base_url": "https://api.openai.com/v1",
        "options": {"default_model": "gpt-4o", "max_tokens": 4096},
        "api_key": "${OPENAI_API_KEY}",
        "models": [{"id": "gpt-4o"}],
    }
    assert "Nothing to change." in files.apply(export())


# -- any house at all, without a database -------------------------------------------

words = st.text(st.characters(blacklist_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), min_size=1, max_size=20)
names = st.one_of(
    words, st.sampled_from(["no", "on", "1e3", "012", "2026-01-01", "null", "~", "0x1f", "- a", "a: b", "#"])
)
amounts = st.decimals(0, 999_999, places=9).filter(lambda value: value.is_finite())
slugs = st.from_regex(r"[a-z][a-z0-9-]{0,10}[a-z0-9]", fullmatch=True).filter(lambda slug: slug != "auto")
moments = st.datetimes(datetime(2020, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC))
prices = st.builds(
    lambda pk, start, one, two, three, tiers, windows: PriceHeld(
        pk,
        start,
        {
            "input_per_million": one,
            "output_per_million": two,
            "cached_per_million": three,
            "cache_write_per_million": None,
            "reasoning_per_million": None,
            "audio_input_per_million": None,
            "audio_output_per_million": three,
            "batch_share": None,
            "tiers": tiers,
            "windows": windows,
            "per_request": Decimal(0),
            "currency": "EUR",
            "valid_until": None,
            "source": "test",
        },
    ),
    st.integers(1, 99),
    moments,
    amounts,
    amounts,
    st.none() | amounts,
    st.sampled_from([[], [{"above": 200_000, "input": "4", "cached": "0.400000001"}]]),
    st.sampled_from([[], [{"from": "01:00", "to": "04:00", "days": [1, 5], "input": "0.3", "tiers": [{"above": 9}]}]]),
)
models = st.builds(
    lambda name, context, active, listed, prices: ModelHeld(
        {
            "name": name,
            "use": "chat",
            "active": active,
            "only_as_fallback": False,
            "context": context,
            "max_output": None,
            "capabilities": [],
        },
        listed,
        tuple(sorted(prices, key=lambda price: price.start, reverse=True)),
    ),
    st.just("") | names,
    st.none() | st.integers(1, 10**6),
    st.booleans(),
    st.booleans(),
    st.lists(prices, max_size=2, unique_by=lambda price: price.start),
)
providers = st.builds(
    lambda slug, name, priority, key, models: ProviderHeld(
        slug,
        {
            "name": name,
            "kind": "openai",
            "base_url": "",
            "enabled": True,
            "priority": priority,
            "options": {"max_tokens": 5, "deployment": name},
            "timeout_seconds": 600,
            "inactive_reason": "",
        },
        key,
        models,
    ),
    slugs,
    names,
    st.integers(0, 32767),
    st.sampled_from([None, KeyHeld(variable="HOME"), KeyHeld(last_four="abcd", secret="test-key")]),
    st.dictionaries(names, models, max_size=3),
)
teams = st.builds(
    lambda name, text: TeamHeld(
        name, {"name": name, "description": text, "default_model": "", "members_make_keys": False}, {"a@b.c": True}
    ),
    names,
    st.just("") | names,
)
ORGANISATION = {
    "name": "Relayhouse",
    "label": "",
    "time_zone": "UTC",
    "currency": "USD",
    "language": "en",
    "default_model": "",
}
houses = st.builds(
    lambda providers, teams: House(
        ORGANISATION,
        {each.slug: each for each in providers},
        {f"to {slug}": (slug, "m") for slug in {each.slug for each in providers if "m" in each.models}},
        {each.name: each for each in teams},
    ),
    st.lists(providers, max_size=3, unique_by=lambda each: each.slug),
    st.lists(teams, max_size=3, unique_by=lambda each: each.name.lower()),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(houses, st.sampled_from([(as_yaml, "house.yaml"), (as_json, "house.json")]))
def test_any_house_comes_back_as_it_was(house: House, format_: tuple[object, str]) -> None:
    write, name = format_
    text = write(document(house))  # type: ignore[operator]
    try:
        steps = plan(read_file(text.encode(), name), house, now=NOW, environment={"HOME": "/"})
    except FileRefused as refused:
        raise AssertionError(f"{refused}\n{text}") from refused
    assert steps.changes == (), text
