"""How the lists about routing stand after a file: their order, what may not go, and what a house takes back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.configuration.applying import planned, read_file
from console.configuration.exporting import as_json, document
from console.configuration.state import read_house
from console.configuration.values import FileRefused
from providers.models import Provider
from routing.models import ApiKey, Flag, Route, Tier, UseCase
from tests import factories
from tests.console.test_apply_routes import faults, mine, route, taken

__all__ = ["mine"]  # a fixture

pytestmark = pytest.mark.django_db

ARMS = [{"name": "A", "weight": 50}, {"name": "B", "weight": 50}]


def notes(told: Any) -> list[str]:
    return list(planned(read_file(json.dumps(told).encode(), "house.json")).notes)


# -- in which order ---------------------------------------------------------------------


def test_a_file_about_one_row_does_not_move_it() -> None:
    taken({"tiers": [{"slug": "enterprise", "max": "1"}], "use_cases": [{"slug": "expert", "tier": "premium"}]})
    assert Tier.objects.get(slug="enterprise").position == 4
    assert UseCase.objects.get(slug="expert").position == 7


def test_new_rows_come_last_and_stay_there() -> None:
    told = {"tiers": [{"slug": "vast"}, {"slug": "standard"}, {"slug": "boundless"}]}
    taken(told)
    assert list(Tier.objects.values_list("slug", flat=True))[-3:] == ["enterprise", "vast", "boundless"]
    assert not taken(told).changes


def test_a_file_that_names_all_of_them_puts_them_in_its_order() -> None:
    turned = [{"slug": tier.slug} for tier in Tier.objects.order_by("-position")]
    taken({"tiers": turned})
    assert [{"slug": tier.slug} for tier in Tier.objects.all()] == turned
    assert not taken({"tiers": turned}).changes


def test_routes_stand_in_order_within_their_cell(mine: Provider) -> None:
    chain = {"first": {"target": "mine:m"}}
    short = {"attribute": "input_tokens", "operator": "at_most", "value": 100}
    first = {"name": "expert/short", "use_case": "expert", "when": short, "chain": chain}
    assert notes({"routes": [first]}) == [
        "nobody reaches the route 'expert/short': 'expert' stands before it and always applies."
    ]
    whole = {"routes": [first, {"name": "expert", "use_case": "expert", "chain": chain}]}
    assert notes(whole) == []
    taken(whole)
    assert list(Route.objects.filter(use_case__slug="expert").values_list("name", "position")) == [
        ("expert/short", 0),
        ("expert", 1),
    ]
    assert notes({"routes": [first | {"position": 9}]}) != []


# -- what may not go ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "going", "says"),
    [
        ({}, {"tiers": [{"slug": "premium", "absent": True}]}, "the use case 'analysis'"),
        ({}, {"use_cases": [{"slug": "expert", "absent": True}]}, "the route 'expert'"),
        (
            {"use_cases": [{"slug": "p"}], "experiments": [{"key": "e", "use_case": "p", "arms": ARMS}]},
            {"use_cases": [{"slug": "p", "absent": True}]},
            "the experiment 'e'",
        ),
        (
            {"tiers": [{"slug": "t"}], "experiments": [{"key": "e", "use_case": "expert", "tier": "t", "arms": ARMS}]},
            {"tiers": [{"slug": "t", "absent": True}]},
            "the experiment 'e'",
        ),
    ],
)
def test_what_somebody_uses_does_not_go(user: Any, going: Any, says: str) -> None:
    taken(user)
    (message,) = faults(going).values()
    assert says in message


def test_what_an_api_key_takes_by_default_does_not_go() -> None:
    taken({"tiers": [{"slug": "t"}]})
    key = ApiKey.objects.create(name="Nightly", team=factories.make_team(), tier="t", hash="0" * 64)
    assert "an API key" in faults({"tiers": [{"slug": "t", "absent": True}]})["tiers[0]"]
    key.revoked_at = datetime(2026, 11, 1, tzinfo=UTC)
    key.save()
    assert not faults({"tiers": [{"slug": "t", "absent": True}]})


def test_whoever_is_moved_away_in_the_same_file_uses_it_no_more(mine: Provider) -> None:
    taken({"use_cases": [{"slug": "old"}, {"slug": "new"}], **route(use_case="old")})
    taken({"use_cases": [{"slug": "old", "absent": True}], **route(use_case="new")})
    assert Route.objects.get(name="r").use_case.slug == "new"
    assert not UseCase.objects.filter(slug="old").exists()


# -- what is named ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("governs", "says"),
    [
        ("provider:mien", "there is no provider 'mien'. Nearest: mine"),
        ("model:mine:n", "there is no model 'mine:n'. Nearest: mine:m"),
        ("model:auto/expert", "points back"),
        ("provider:MINE", ""),
        ("provider:gemini", ""),  # a kind that may be connected one day
        ("model:mine:m", ""),
        ("model:verse", ""),
        ("model:gemini:gemini-3.8-flash", ""),
        ("feature:chat", ""),
    ],
)
def test_a_flag_governs_somebody_there_is_or_may_be(mine: Provider, governs: str, says: str) -> None:
    Provider.objects.update(models_read_at=datetime(2026, 11, 1, tzinfo=UTC))
    found = faults({"flags": [{"key": "f", "governs": governs}]})
    assert says in found.get("flags[0].governs", "") if says else not found


def test_a_house_takes_back_what_it_exported_though_a_model_went(mine: Provider) -> None:
    taken(route() | {"flags": [{"key": "f", "governs": "provider:mine", "enabled": False}]})
    mine.delete()
    exported = json.loads(as_json(document(read_house())))
    assert not planned(read_file(json.dumps(exported).encode(), "house.json")).changes
    assert any("there is no model 'mine:m'" in note for note in notes(exported))
    assert any("there is no provider 'mine'" in note for note in notes(exported))
    other = {"first": {"target": "mine:other"}}
    assert "routes[0].chain.first.target" in faults(route(chain=other))


def test_a_bare_auto_points_back_though_some_model_is_called_so(mine: Provider) -> None:
    factories.make_model(mine, "auto", listed=True)
    assert "points back" in faults(route(chain={"first": {"target": "auto"}}))["routes[0].chain.first.target"]
    assert not faults(route(chain={"first": {"target": "mine:auto"}}))
    assert "aliases.auto/expert" in faults({"aliases": {"auto/expert": "mine:m"}})


def test_every_tier_may_be_written_as_null(mine: Provider) -> None:
    taken(route(tier="premium"))
    taken(route(tier=None))
    assert Route.objects.get(name="r").tier is None


def test_a_share_is_kept_as_it_is_written_or_refused(mine: Provider) -> None:
    told = {"flags": [{"key": "f", "governs": "provider:mine", "share": 0.125}]}
    taken(told)
    assert not taken(told).changes
    assert str(Flag.objects.get(key="f").share) == "0.125"
    told["flags"][0]["share"] = 0.1251
    assert "3 digits" in faults(told)["flags[0].share"]


# -- whatever is written ---------------------------------------------------------------------

WORDS = st.sampled_from(
    "target split best of on when weight name first fallbacks all any attribute operator value zone".split()
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 200) | st.sampled_from(["mine:m", "", "cheapest", "429", "expert"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
TARGETS = st.sampled_from([None, 1, "a", ["a"], {"b": 1}])
CHAINS = st.fixed_dictionaries(
    {"first": st.fixed_dictionaries({"target": TARGETS}) | VALUES},
    optional={"fallbacks": st.lists(st.fixed_dictionaries({"target": TARGETS}) | VALUES, max_size=3)},
)
ROWS = st.fixed_dictionaries(
    {"name": st.just("n"), "slug": st.just("s"), "key": st.just("k")},
    optional={
        "chain": CHAINS | VALUES, "when": VALUES, "rules": VALUES, "arms": VALUES, "governs": VALUES, "share": VALUES,
        "unit": VALUES, "max": VALUES, "tier": VALUES, "use_case": VALUES, "absent": VALUES, "position": VALUES,
    },
)  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(["use_cases", "tiers", "routes", "flags", "experiments"]), ROWS | VALUES)
def test_whatever_a_row_says_it_is_taken_or_refused(section: str, row: Any) -> None:
    try:
        read_file(json.dumps({section: [row]}).encode(), "house.json")
    except FileRefused as error:
        refused = error.faults
    else:
        refused = []
    assert all(fault.path.startswith(section) for fault in refused)


@pytest.mark.parametrize("target", [["a"], {"b": 1}, None, 1])
def test_a_target_that_is_no_text_is_refused_also_when_it_stands_there_twice(mine: Provider, target: Any) -> None:
    chain = {"first": {"target": target}, "fallbacks": [{"target": target}, {"target": "mine:m"}]}
    assert set(faults(route(chain=chain))) == {
        "routes[0].chain.first.target",
        "routes[0].chain.fallbacks[0].target",
    }
    assert "routes[0].chain.attempts" in faults(route(chain={"first": {"target": "mine:m"}, "attempts": True}))
