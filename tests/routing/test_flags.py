"""Flags and experiments: who is on which side, and that it stays so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from math import sqrt
from typing import Any

import pytest

from routing import experiments, flags
from routing.asks import Ask
from routing.bucketing import pick, place
from routing.deciding import Circumstances
from routing.decisions import Live
from routing.engine import decide
from routing.snapshot import Arm, ExperimentEntry, FlagEntry, Flags, Routing
from tests.routing.test_routes import CHEAP, DEAR, FAIR, NOW, ask, first, names, route, snapshot, whole

SUPPORT = {"attribute": "team", "operator": "is", "value": "support"}


def flag(governs: str = "provider:dear", **told: Any) -> FlagEntry:
    enabled, salt = told.pop("enabled", True), told.pop("salt", 1)
    told = {"governs": governs} | told
    assert list(flags.faults(told, "flag")) == []
    return flags.compiled("try", told, enabled=enabled, salt=salt)


def users(number: int) -> list[Ask]:
    return [Ask("req_1", "auto", end_user=f"user {n}") for n in range(number)]


# -- places ------------------------------------------------------------------------------


def test_places_are_spread_evenly_and_stay() -> None:
    places = [place(f"unit {n}", "salt") for n in range(10_000)]
    assert all(0 <= each < 1 for each in places)
    in_tenths = Counter(int(each * 10) for each in places)
    assert sum((count - 1000) ** 2 / 1000 for count in in_tenths.values()) < 27.9  # chi-square, 9 degrees, 0.1 %
    assert places == [place(f"unit {n}", "salt") for n in range(10_000)]


def test_two_salts_have_nothing_to_do_with_each_other() -> None:
    cells = Counter((int(place(f"unit {n}", "a#1") * 4), int(place(f"unit {n}", "a#2") * 4)) for n in range(10_000))
    by_one, by_other = (Counter(cell[side] for cell in cells.elements()) for side in (0, 1))
    expected = {(a, b): by_one[a] * by_other[b] / 10_000 for a in range(4) for b in range(4)}
    assert sum((cells[each] - count) ** 2 / count for each, count in expected.items()) < 27.9  # 9 degrees, 0.1 %


@pytest.mark.parametrize("weights", [(50.0, 50.0), (80.0, 20.0), (1.0, 99.0), (10.0, 20.0, 70.0)])
def test_weights_are_kept_within_three_sigma(weights: tuple[float, ...]) -> None:
    drawn = Counter(pick(weights, place(f"unit {n}", "w")) for n in range(10_000))
    for number, weight in enumerate(weights):
        share = weight / sum(weights)
        assert abs(drawn[number] - 10_000 * share) <= 3 * sqrt(10_000 * share * (1 - share))


def test_nothing_falls_beside_the_weights() -> None:
    assert pick([0.0, 1.0, 0.0], 0.0) == 1
    assert pick([0.0, 1.0, 0.0], 1.0) == 1
    assert [pick([0.0, 0.0], at) for at in (0.0, 0.49, 0.5, 1.0)] == [0, 0, 1, 1]


# -- flags ------------------------------------------------------------------------------


def test_ten_per_cent_are_ten_per_cent_and_always_the_same() -> None:
    some = flag(share=10, unit="user")
    on = [flags.verdict(some, each, NOW)[0] for each in users(10_000)]
    assert 910 <= sum(on) <= 1090
    assert on == [flags.verdict(some, each, NOW)[0] for each in users(10_000)]
    more = [flags.verdict(flag(share=35, unit="user"), each, NOW)[0] for each in users(10_000)]
    assert all(later for was, later in zip(on, more, strict=True) if was)  # whoever has it keeps it
    anew = [flags.verdict(flag(share=10, unit="user", salt=2), each, NOW)[0] for each in users(10_000)]
    assert sum(map(bool, (a and b for a, b in zip(on, anew, strict=True)))) < 200


def test_rules_come_before_the_share_and_the_switch_before_all() -> None:
    rules = [{"when": SUPPORT, "on": True}, {"when": {}, "on": False}]
    some = flag(share=100, rules=rules)
    assert flags.verdict(some, Ask("r", "auto", team="support"), NOW) == (True, "rule 1: team is support")
    assert flags.verdict(some, Ask("r", "auto", team="legal"), NOW) == (False, "rule 2: always")
    assert flags.verdict(replace(some, enabled=False), Ask("r", "auto", team="support"), NOW)[0] is False


@pytest.mark.parametrize("share", [0, 37.5, 100])
def test_whether_it_is_on_is_what_the_verdict_says(share: float) -> None:
    rules = [
        {"when": SUPPORT, "on": True},
        {"when": {"attribute": "user", "operator": "is", "value": "u"}, "on": False},
    ]
    for some in (flag(share=share, unit="user", rules=rules), flag(share=share), flag(enabled=False)):
        for each in (*users(50), Ask("r", "auto", team="support"), Ask("r", "auto", end_user="u")):
            assert flags.is_on(some, each, NOW) is flags.verdict(some, each, NOW)[0]


def test_without_a_unit_each_request_is_on_its_own() -> None:
    some = flag(share=50, unit="team")
    sides = {flags.verdict(some, Ask(f"req_{n}", "auto"), NOW) for n in range(100)}
    assert {on for on, _ in sides} == {True, False}
    assert {why for _, why in sides} == {"on for 50 % by request, as there is no team"}


def by_key(*entries: FlagEntry) -> Routing:
    return Routing(flags=Flags({entry.governs: (entry,) for entry in entries}))


@pytest.mark.parametrize("governs", ["provider:dear", "model:dear:one"])
def test_what_a_flag_is_off_for_is_passed_over_and_named(governs: str) -> None:
    house = snapshot(route(first(DEAR, FAIR)))
    house = replace(house, routing=replace(house.routing, flags=by_key(flag(governs, share=0)).flags))
    decision = whole(ask(), house)
    assert names(decision) == ["fair"]
    assert decision.candidates[0].verdict == "flag 'try': on for 0 % by request, as there is no team"
    alone = whole(Ask("req_1", "dear:one"), house)
    assert alone.problem is not None
    assert (alone.problem.status, alone.problem.code) == (503, "no_usable_provider")
    assert "flag 'try'" in alone.problem.message
    assert whole(Ask("req_1", "cheap:three"), house).problem is None


@pytest.mark.parametrize(
    ("told", "path"),
    [
        ({"governs": "dear"}, "flag.governs"),
        ({"governs": "provider:"}, "flag.governs"),
        ({"governs": "feature:wings"}, "flag.governs"),
        ({"governs": "provider:x", "share": 101}, "flag.share"),
        ({"governs": "provider:x", "share": True}, "flag.share"),
        ({"governs": "provider:x", "unit": "planet"}, "flag.unit"),
        ({"governs": "provider:x", "rules": {}}, "flag.rules"),
        ({"governs": "provider:x", "rules": [{"when": {}}]}, "flag.rules[0]"),
        ({"governs": "provider:x", "rules": [{"on": True, "when": {"any": []}}]}, "flag.rules[0].when.any"),
    ],
)
def test_what_is_wrong_with_a_flag_is_said(told: Mapping[str, Any], path: str) -> None:
    assert [where for where, _ in flags.faults(told, "flag")] == [path]


# -- experiments --------------------------------------------------------------------------


def experiment(**more: Any) -> ExperimentEntry:
    arms = (Arm("A", 50, ""), Arm("B", 50, CHEAP.string, (CHEAP,)))
    return ExperimentEntry("cheaper", arms, **more)


def test_a_unit_keeps_to_its_arm_and_the_other_arm_is_asked_first() -> None:
    house = snapshot(route(first(DEAR, FAIR)))
    house = replace(house, routing=replace(house.routing, experiments={("code", ""): (experiment(),)}))
    met = {}
    for number in range(40):
        decisions = [decide(ask(f"r{n}", end_user=f"u{number}"), house, Live(), now=NOW) for n in range(3)]
        assert len({each.arm for each in decisions}) == 1
        met[decisions[0].arm] = names(decisions[0])
    assert met == {"cheaper/A": ["dear", "fair"], "cheaper/B": ["cheap", "dear", "fair"]}


def test_whoever_is_not_in_the_audience_meets_no_arm() -> None:
    house = snapshot(route(first(DEAR)))
    of_support = experiment(test=lambda each, now: each.team == "support")
    house = replace(house, routing=replace(house.routing, experiments={("code", "premium"): (of_support,)}))
    assert decide(ask(end_user="u", team="support"), house, Live(), now=NOW).arm.startswith("cheaper/")
    assert decide(ask(end_user="u", team="legal"), house, Live(), now=NOW).arm == ""
    assert decide(ask(team="support"), house, Live(), now=NOW).arm == ""  # no user: nothing could be said of it
    assert decide(ask(end_user="u", team="support", tier="economy"), house, Live(), now=NOW).arm == ""


@pytest.mark.parametrize(
    ("told", "path"),
    [
        ({"arms": []}, "e.arms"),
        ({"arms": [{"name": "A", "weight": 50}]}, "e.arms"),
        ({"arms": [{"name": "A", "weight": 50}, {"name": "A", "weight": 50}]}, "e.arms"),
        ({"arms": [{"name": "A", "weight": 50}, {"name": "B", "weight": 40}]}, "e.arms"),
        ({"arms": [{"name": "A/B", "weight": 50}, {"name": "B", "weight": 50}]}, "e.arms[0].name"),
        ({"arms": [{"name": "A", "weight": 50}, {"name": "B", "weight": 50, "target": "x"}]}, "e.arms[1].target"),
        ({"arms": [{"name": "A", "weight": 50}, {"name": "B", "weight": 50}], "unit": "x"}, "e.unit"),
    ],
)
def test_what_is_wrong_with_an_experiment_is_said(told: Mapping[str, Any], path: str) -> None:
    judge = {"x": "there is no such model"}.__getitem__
    assert [where for where, _ in experiments.faults(told, "e", judge=judge)] == [path]


def test_deciding_looks_only_at_the_flags_that_concern_it() -> None:
    house = snapshot(route(first(DEAR, FAIR)))
    many = Flags({f"provider:p{n}": (flag(f"provider:p{n}", share=50),) for n in range(200)})
    house = replace(house, routing=replace(house.routing, flags=many))
    assert whole(ask(), house, Circumstances(datetime(2026, 1, 1, tzinfo=UTC))).candidates[0].usable
