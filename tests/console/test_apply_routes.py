"""Use cases, tiers, routes, flags and experiments from a file: what is refused and where, and what comes of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from billing.models import Team
from console.configuration.applying import apply, planned, read_file
from console.configuration.exporting import as_yaml, document
from console.configuration.state import read_house
from console.configuration.values import FileRefused
from console.models import AuditEntry
from providers import catalogue
from providers.models import Provider
from routing import chains
from routing.cells import meant
from routing.compiler import compile_snapshot
from routing.models import Experiment, Flag, Route, Tier, UseCase
from tests import factories

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).parent.parent.parent
WHOLE: dict[str, Any] = {
    "tiers": [{"slug": "cheap", "name": "Cheap", "max": "0.0025", "currency": "EUR"}, {"slug": "free", "max": None}],
    "use_cases": [{"slug": "poetry", "tier": "cheap", "description": "Verse"}],
    "routes": [
        {
            "name": "poetry/cheap",
            "use_case": "poetry",
            "tier": "cheap",
            "when": {"attribute": "language", "operator": "is", "value": ["fr", "en"]},
            "chain": {
                "first": {"split": [{"target": "mine:m", "weight": 62.5}, {"target": "verse", "weight": 37.5}]},
                "fallbacks": [{"target": "anthropic:claude-sonnet-5-5", "on": ["429"]}],
                "attempts": 2,
            },
        }
    ],
    "flags": [
        {
            "key": "no-mine",
            "governs": "provider:mine",
            "share": 12.5,
            "unit": "user",
            "rules": [{"on": True, "when": {}}],
        }
    ],
    "experiments": [
        {
            "key": "rhyme",
            "use_case": "poetry",
            "arms": [{"name": "A", "weight": 50}, {"name": "B", "weight": 50, "target": "mine:m"}],
            "when": {"attribute": "team", "operator": "is", "value": "research"},
        }
    ],
    "teams": [{"name": "Verse", "data_policy": "eu_only", "requests_per_minute": 60, "keeps_content": True}],
}


@pytest.fixture
def mine() -> Provider:
    provider = factories.make_provider("Mine", "vllm", base_url="http://127.0.0.1:1/v1")
    model = factories.make_model(provider, "m", listed=True)
    model.aliases.create(name="verse-1")
    model.aliases.create(name="verse")
    return provider


def taken(told: Any) -> Any:
    return apply(read_file(json.dumps(told).encode(), "house.json"))


def faults(told: Any) -> dict[str, str]:
    try:
        planned(read_file(json.dumps(told).encode(), "house.json"))
    except FileRefused as refused:
        return {fault.path: fault.message for fault in refused.faults}
    return {}


@pytest.mark.store
def test_a_file_is_carried_out_once_and_finds_nothing_the_second_time(mine: Provider) -> None:
    plan = taken(WHOLE)
    assert {step.thing for step in plan.changes} == {"tier", "use case", "route", "flag", "experiment", "team"}
    route = Route.objects.get(name="poetry/cheap")
    assert (route.use_case.name, route.tier and route.tier.most_nano) == ("Poetry", 2_500_000)
    assert chains.faults(route.chain) == []
    assert str(Flag.objects.get(key="no-mine").share) == "12.500"
    assert Experiment.objects.get(key="rhyme").arms[1]["target"] == "mine:m"
    assert Tier.objects.get(slug="free").most_nano is None
    team = Team.objects.get(name="Verse")
    assert (team.data_policy, team.requests_per_minute, team.keeps_content) == ("eu_only", 60, True)
    assert not taken(WHOLE).changes
    assert AuditEntry.objects.filter(object_name="poetry/cheap").exists()
    row = compile_snapshot().routing.rows["poetry", "cheap"][0]
    assert [model.string for model in row.targets["verse"]] == ["mine:m"]


def test_what_was_exported_is_what_was_declared(mine: Provider) -> None:
    taken(WHOLE)
    text = as_yaml(document(read_house()))
    assert not planned(read_file(text.encode(), "house.yaml")).changes
    told = yaml.safe_load(text)
    assert next(each for each in told["tiers"] if each["slug"] == "cheap")["max"] == "0.0025"
    assert (
        next(each for each in told["routes"] if each["name"] == "poetry/cheap")["chain"] == WHOLE["routes"][0]["chain"]
    )


def test_rows_go_when_the_file_says_so_and_nobody_needs_them(mine: Provider) -> None:
    taken(WHOLE)
    going = {"use_cases": [{"slug": "poetry", "absent": True}]}
    assert "poetry/cheap" in faults(going)["use_cases[0]"]
    going |= {
        "routes": [{"name": "poetry/cheap", "absent": True}],
        "experiments": [{"key": "rhyme", "absent": True}],
        "flags": [{"key": "no-mine", "absent": True}],
    }
    taken(going)
    assert not UseCase.objects.filter(slug="poetry").exists()
    assert not Route.objects.filter(name="poetry/cheap").exists()
    assert not Experiment.objects.exists()
    assert not Flag.objects.exists()
    assert not taken(going).changes


def route(**more: Any) -> dict[str, Any]:
    told = {"name": "r", "use_case": "expert", "chain": {"first": {"target": "mine:m"}}} | more
    return {"routes": [told]}


@pytest.mark.parametrize(
    ("told", "path", "says"),
    [
        (route(chain={"first": {"target": "mine:x"}}), "routes[0].chain.first.target", "Nearest: mine:m"),
        (route(chain={"first": {"target": "nobody:x"}}), "routes[0].chain.first.target", "there is no model"),
        (route(chain={"first": {"target": "auto/expert"}}), "routes[0].chain.first.target", "points back"),
        (route(chain={"first": {"target": "auto"}}), "routes[0].chain.first.target", "points back"),
        (route(chain={}), "routes[0].chain", "is empty"),
        ({"routes": [{"name": "r", "use_case": "expert"}]}, "routes[0].chain", "is missing"),
        (
            route(chain={"first": {"split": [{"target": "mine:m", "weight": 90}]}}),
            "routes[0].chain.first.split", "sum to 100",
        ),
        (
            route(chain={"first": {"target": "mine:m"}, "fallbacks": [{"target": "verse-9"}]}),
            "routes[0].chain.fallbacks[0].target", "verse-1",
        ),
        (route(when={"all": [{"any": [{"all": [{}]}]}]}), "routes[0].when.all[0].any[0]", "2 levels"),
        (route(when={"attribute": "x", "operator": "is", "value": "y"}), "routes[0].when.attribute", "must be one of"),
        (route(use_case="exprt"), "routes[0].use_case", "Nearest: expert"),
        (route(tier="premum"), "routes[0].tier", "Nearest: premium"),
        (route(colour="red"), "routes[0].colour", "unknown key"),
        ({"tiers": [{"slug": "Big One"}]}, "tiers[0].slug", "other characters"),
        ({"tiers": [{"slug": "big", "max": "much"}]}, "tiers[0].max", ""),
        ({"tiers": [{"slug": "big"}, {"slug": "big"}]}, "tiers[1]", "declared before"),
        ({"flags": [{"key": "f", "governs": "planet:x"}]}, "flags[0].governs", "provider:<slug>"),
        ({"flags": [{"key": "f", "governs": "provider:x", "share": 101}]}, "flags[0].share", ""),
        ({"flags": [{"key": "f"}]}, "flags[0].governs", "is missing"),
        ({"experiments": [{"key": "e", "use_case": "expert", "arms": []}]}, "experiments[0].arms", "2 to 4"),
        ({"teams": [{"name": "T", "data_policy": "moon"}]}, "teams[0].data_policy", "eu_only"),
        ({"teams": [{"name": "T", "requests_per_minute": 0}]}, "teams[0].requests_per_minute", "from 1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_its_path(mine: Provider, told: Any, path: str, says: str) -> None:
    Provider.objects.update(models_read_at=datetime(2026, 11, 1, tzinfo=UTC))
    found = faults(told)
    assert path in found, found
    assert says in found[path]


def test_a_new_house_has_eight_use_cases_and_five_tiers() -> None:
    assert [(each.slug, each.most_nano) for each in Tier.objects.all()] == [
        ("ultra_economy", 100_000),
        ("economy", 1_000_000),
        ("standard", 10_000_000),
        ("premium", 50_000_000),
        ("enterprise", 500_000_000),
    ]
    assert [(each.slug, each.tier) for each in UseCase.objects.all()] == [
        ("classification", "ultra_economy"),
        ("code_generation", "economy"),
        ("conversation", "standard"),
        ("summarization", "standard"),
        ("analysis", "premium"),
        ("long_context", "premium"),
        ("web_research", "premium"),
        ("expert", "enterprise"),
    ]
    for row in Route.objects.all():
        chain = chains.read(row.chain)
        assert (chain.how, len(chain.fallbacks), row.tier) == ("target", 1, None)
        for target in chain.targets:
            kind, _, model_id = target.partition(":")
            assert catalogue.find(kind, model_id) is not None, target


def test_a_target_by_kind_means_whatever_that_provider_is_called() -> None:
    provider = factories.make_provider("Our account", "gemini", secret="test-key-gemini")
    factories.make_model(provider, "gemini-3.8-flash", listed=True)
    snapshot = compile_snapshot()
    assert [each.string for each in meant("gemini:gemini-3.8-flash", snapshot)] == ["our-account:gemini-3.8-flash"]
    assert any(snapshot.routing.rows["summarization", ""][0].targets.values())


def test_the_original_table_can_be_had_back() -> None:
    file = (ROOT / "docs/samples/original-routes.yaml").read_bytes()
    apply(read_file(file, "original-routes.yaml"))
    snapshot = compile_snapshot()
    row = snapshot.routing.rows["code_generation", ""][0]
    assert [model.string for name in row.chain.targets for model in row.targets[name]] == [
        "deepseek:deepseek-coder",
        "claude:claude-3-5-sonnet-20241022",
    ]
    assert len(snapshot.routing.use_cases) == 8
