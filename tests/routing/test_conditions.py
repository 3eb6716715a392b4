"""When a row is meant: conditions as a file has them, judged on plain values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from routing import conditions
from routing.asks import Ask

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)  # a Wednesday


def ask(**values: Any) -> Ask:
    return Ask(request_id="req_1", model="auto", **values)


def holds(when: Any, now: datetime = NOON, **values: Any) -> bool:
    assert conditions.faults(when) == []
    test = conditions.compiled(when)
    return test is None or test(ask(**values), now)


def leaf(attribute: str, operator: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"attribute": attribute, "operator": operator, "value": value, **more}


def test_nothing_is_always_true() -> None:
    assert holds({})
    assert conditions.compiled(None) is None
    assert conditions.in_words({}) == "always"


@pytest.mark.parametrize(
    ("condition", "true", "false"),
    [
        (leaf("input_tokens", "at_most", 100), {"input_tokens": 100}, {"input_tokens": 101}),
        (leaf("input_tokens", "at_least", 100), {"input_tokens": 100}, {"input_tokens": 99}),
        (leaf("output_tokens", "at_most", 5), {"output_tokens": 5}, {"output_tokens": 6}),
        (leaf("output_tokens", "at_least", 5), {"output_tokens": 5}, {"output_tokens": 0}),
        (leaf("needs", "includes", "tools"), {"needs": frozenset({"tools"})}, {"needs": frozenset({"vision"})}),
        (leaf("needs", "excludes", ["vision"]), {"needs": frozenset({"tools"})}, {"needs": frozenset({"vision"})}),
        (leaf("tag", "includes", ["a", "b"]), {"tags": ("b",)}, {"tags": ("c",)}),
        (leaf("team", "is", ["support", "legal"]), {"team": "legal"}, {"team": ""}),
        (leaf("team", "is_not", "support"), {"team": "legal"}, {"team": "support"}),
        (leaf("key", "is", 7), {"key_id": 7}, {"key_id": 8}),
        (leaf("user", "is", "u-1"), {"end_user": "u-1"}, {"user_id": 1}),
        (leaf("user", "is", 1), {"user_id": 1}, {"end_user": "u-1"}),
        (leaf("language", "is", "fr"), {"language": "fr"}, {"language": ""}),
        (leaf("complexity", "is", "high"), {"complexity": "high"}, {"complexity": "low"}),
        (leaf("data_policy", "is", "eu_only"), {"data_policy": "eu_only"}, {}),
        (leaf("header:X-Region", "is", "eu"), {"headers": (("x-region", "eu"),)}, {"headers": (("x-region", "us"),)}),
        (leaf("header:x-region", "exists", True), {"headers": (("x-region", ""),)}, {}),
        (leaf("header:x-region", "exists", False), {}, {"headers": (("x-region", ""),)}),
        (leaf("metadata:plan", "contains", "pro"), {"metadata": (("plan", "a pro one"),)}, {"metadata": ()}),
        (leaf("metadata:plan", "is_not", "pro"), {}, {"metadata": (("plan", "pro"),)}),
    ],
)
def test_each_attribute_is_judged(condition: Any, true: dict[str, Any], false: dict[str, Any]) -> None:
    assert holds(condition, **true)
    assert not holds(condition, **false)


def test_groups_go_two_levels_deep() -> None:
    when = {
        "all": [
            leaf("input_tokens", "at_most", 100),
            {"any": [leaf("team", "is", "a"), leaf("team", "is", "b")]},
        ]
    }
    assert holds(when, input_tokens=5, team="b")
    assert not holds(when, input_tokens=500, team="b")
    assert not holds(when, input_tokens=5, team="c")
    assert conditions.in_words(when) == "input_tokens at most 100 and (team is a or team is b)"
    assert conditions.reads(when) == {"input_tokens", "team"}
    deeper = {"all": [{"any": [{"all": [leaf("team", "is", "a")]}]}]}
    assert conditions.faults(deeper) == [("when.all[0].any[0]", "groups within groups go 2 levels deep at most")]


def test_times_of_day_go_over_midnight_and_know_zones() -> None:
    night = leaf("time", "between", ["22:00", "06:00"])
    assert holds(night, datetime(2026, 11, 25, 23, 0, tzinfo=UTC))
    assert holds(night, datetime(2026, 11, 25, 5, 59, tzinfo=UTC))
    assert not holds(night, datetime(2026, 11, 25, 6, 0, tzinfo=UTC))
    in_tokyo = leaf("time", "between", ["22:00", "23:00"], zone="Asia/Tokyo")
    assert holds(in_tokyo, datetime(2026, 11, 25, 13, 30, tzinfo=UTC))
    weekend = leaf("weekday", "is", ["sat", "sun"])
    assert not holds(weekend)
    assert holds(weekend, datetime(2026, 11, 28, 12, 0, tzinfo=UTC))


@pytest.mark.parametrize(
    ("when", "path"),
    [
        ([], "when"),
        ({"all": []}, "when.all"),
        ({"all": [{}]}, "when.all[0]"),
        ({"all": [leaf("team", "is", "a")], "any": []}, "when"),
        (leaf("colour", "is", "red"), "when.attribute"),
        (leaf("header:", "is", "red"), "when.attribute"),
        (leaf("team", "at_most", 3), "when.operator"),
        (leaf("input_tokens", "at_most", "many"), "when.value"),
        (leaf("input_tokens", "at_most", True), "when.value"),
        (leaf("needs", "includes", "wings"), "when.value"),
        (leaf("time", "between", ["25:00", "06:00"]), "when.value"),
        (leaf("time", "between", ["22:00", "06:00"], zone="Europe/Atlantis"), "when.zone"),
        (leaf("team", "is", []), "when.value"),
        (leaf("header:x", "exists", "yes"), "when.value"),
        (leaf("team", "is", "a", colour="red"), "when.colour"),
        ({"any": [leaf("team", "is", "a"), leaf("team", "is", None)]}, "when.any[1].value"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(when: Any, path: str) -> None:
    assert [where for where, _ in conditions.faults(when)] == [path]


def test_there_is_an_end_to_conditions() -> None:
    many = {"all": [leaf("team", "is", "a")] * 51}
    assert conditions.faults(many) == [("when", "at most 50 conditions")]
