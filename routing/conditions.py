"""When is a row meant? Conditions on the ask: all of them or any of them, one group within another at most.

    {"all": [
        {"attribute": "input_tokens", "operator": "at_most", "value": 32000},
        {"any": [{"attribute": "team", "operator": "is", "value": ["support", "legal"]},
                 {"attribute": "header:x-region", "operator": "is", "value": "eu"}]}
    ]}

Nothing at all is always true. Values only: the time is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from routing.asks import Ask

Test = Callable[[Ask, datetime], bool]
Fault = tuple[str, str]  # where, and what is wrong

GROUPS = {"all": all, "any": any}
MOST_LEVELS = 2
MOST_CONDITIONS = 50
NEEDS = ("tools", "vision", "structured_output", "audio_input")
COMPLEXITIES = ("low", "medium", "high")
POLICIES = ("", "no_training", "eu_only", "local_only")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

NUMBERS = frozenset({"input_tokens", "output_tokens"})
TEXTS: Mapping[str, Callable[[Ask], str]] = {
    "team": lambda ask: ask.team,
    "key": lambda ask: str(ask.key_id or ""),
    "user": lambda ask: ask.end_user or str(ask.user_id or ""),
    "language": lambda ask: ask.language,
    "complexity": lambda ask: ask.complexity,
    "use_case": lambda ask: ask.use_case,
    "tier": lambda ask: ask.tier,
    "data_policy": lambda ask: ask.data_policy,
    "session": lambda ask: ask.session,
    "purpose": lambda ask: ask.purpose,
}
SETS: Mapping[str, Callable[[Ask], frozenset[str] | tuple[str, ...]]] = {
    "needs": lambda ask: ask.needs,
    "tag": lambda ask: ask.tags,
}
CHOICES = {"needs": NEEDS, "complexity": COMPLEXITIES, "data_policy": POLICIES, "weekday": DAYS}
NAMED = ("header:", "metadata:")  # attributes that go on with a name

OPERATORS: Mapping[str, tuple[str, ...]] = {
    "number": ("at_most", "at_least"),
    "text": ("is", "is_not"),
    "set": ("includes", "excludes"),
    "named": ("is", "is_not", "contains", "exists"),
    "time": ("between",),
    "weekday": ("is", "is_not"),
}
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d\Z")


def sort_of(attribute: str) -> str:
    """What kind of attribute it is, as OPERATORS has them; empty: there is no such one."""
    if attribute in NUMBERS:
        return "number"
    if attribute in TEXTS:
        return "text"
    if attribute in SETS:
        return "set"
    if attribute in ("time", "weekday"):
        return attribute
    head, colon, name = attribute.partition(":")
    return "named" if head + colon in NAMED and name.strip() else ""


# -- what is wrong with one ------------------------------------------------------


def faults(when: Any, path: str = "when") -> list[Fault]:
    found = list(_faults(when, path, 0))
    if not found and sum(1 for _ in leaves(when)) > MOST_CONDITIONS:
        found.append((path, f"at most {MOST_CONDITIONS} conditions"))
    return found


def _faults(when: Any, path: str, level: int) -> Iterator[Fault]:
    if when in ({}, None):
        if level:
            yield path, "a group or a condition is missing here"
        return
    if not isinstance(when, dict):
        yield path, "must be an object: a group ('all' or 'any') or a condition"
        return
    groups = [name for name in GROUPS if name in when]
    if not groups:
        yield from _leaf_faults(when, path)
    elif len(when) > 1:
        yield path, f"a group has '{groups[0]}' and nothing beside it"
    elif level >= MOST_LEVELS:
        yield path, f"groups within groups go {MOST_LEVELS} levels deep at most"
    elif not isinstance(when[groups[0]], list) or not when[groups[0]]:
        yield f"{path}.{groups[0]}", "must be a list of conditions, with one at least"
    else:
        for number, each in enumerate(when[groups[0]]):
            yield from _faults(each, f"{path}.{groups[0]}[{number}]", level + 1)


def _leaf_faults(leaf: dict[str, Any], path: str) -> Iterator[Fault]:
    unknown = sorted(leaf.keys() - {"attribute", "operator", "value", "zone"})
    if unknown:
        yield f"{path}.{unknown[0]}", "is not known here: a condition has attribute, operator and value"
        return
    attribute, operator = leaf.get("attribute"), leaf.get("operator")
    sort = sort_of(attribute) if isinstance(attribute, str) else ""
    if not sort:
        known = ", ".join(sorted((*NUMBERS, *TEXTS, *SETS, "time", "weekday", "header:<name>", "metadata:<name>")))
        yield f"{path}.attribute", f"must be one of {known}"
    elif operator not in OPERATORS[sort]:
        yield f"{path}.operator", f"must be {' or '.join(OPERATORS[sort])} for {attribute}"
    else:
        said = _value_fault(str(attribute), sort, str(operator), leaf.get("value"))
        if said:
            yield f"{path}.value", said
    if "zone" in leaf and not _is_zone(leaf["zone"]):
        yield f"{path}.zone", "must be a time zone such as Europe/Paris"


def _value_fault(attribute: str, sort: str, operator: str, value: Any) -> str:
    if sort == "number":
        fits = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return "" if fits else "must be a whole number"
    if sort == "time":
        fits = (
            isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) and _CLOCK.match(v) for v in value)
        )
        return "" if fits else 'must be two times of day, such as ["22:00", "06:00"]'
    if operator == "exists":
        return "" if isinstance(value, bool) else "must be true or false"
    values = _listed(value)
    if not values or not all(isinstance(each, str | int) and not isinstance(each, bool) for each in values):
        return "must be a text, or a list of them"
    choices = CHOICES.get(attribute)
    wrong = [each for each in values if choices is not None and each not in choices]
    return f"must be among {', '.join(filter(None, choices or ()))}" if wrong else ""


def _is_zone(name: Any) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, TypeError, OSError, KeyError):
        return False
    return True


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


# -- reading one -------------------------------------------------------------------


def leaves(when: Any) -> Iterator[dict[str, Any]]:
    """Every condition of a checked `when`."""
    for name in GROUPS:
        for each in (when or {}).get(name, ()):
            yield from leaves(each)
    if when and "attribute" in when:
        yield when


def reads(when: Any) -> frozenset[str]:
    """The attributes it looks at: what has to be worked out of a request before it can be judged."""
    return frozenset(leaf["attribute"].lower() for leaf in leaves(when))


def compiled(when: Any) -> Test | None:
    """Of one without faults. None: it is always true."""
    if not when:
        return None
    for name, every in GROUPS.items():
        if name in when:
            tests = tuple(filter(None, map(compiled, when[name])))
            return _group(tests, every is all)
    return _leaf(when)


def _group(tests: tuple[Test, ...], every: bool) -> Test:
    if len(tests) == 1:
        return tests[0]

    def group(ask: Ask, now: datetime) -> bool:
        for test in tests:
            if test(ask, now) is not every:
                return not every
        return every

    return group


def _leaf(leaf: Mapping[str, Any]) -> Test:
    attribute, operator, value = leaf["attribute"], leaf["operator"], leaf["value"]
    sort = sort_of(attribute)
    if sort == "number":
        return _number(attribute, operator, value)
    if sort == "time":
        return _time(value, leaf.get("zone", "UTC"))
    wanted = frozenset(str(each) for each in _listed(value))
    if sort == "weekday":
        zone = ZoneInfo(leaf.get("zone", "UTC"))
        return _expecting(operator == "is", lambda ask, now: DAYS[now.astimezone(zone).weekday()] in wanted)
    if sort == "set":
        of = SETS[attribute]
        return _expecting(operator == "includes", lambda ask, now: not wanted.isdisjoint(of(ask)))
    if sort == "text":
        read = TEXTS[attribute]
        return _expecting(operator == "is", lambda ask, now: read(ask) in wanted)
    return _named(attribute.lower(), operator, wanted, value)


def _expecting(yes: bool, test: Test) -> Test:
    return test if yes else lambda ask, now: not test(ask, now)


def _number(attribute: str, operator: str, value: int) -> Test:
    if attribute == "input_tokens":
        if operator == "at_most":
            return lambda ask, now: ask.input_tokens <= value
        return lambda ask, now: ask.input_tokens >= value
    if operator == "at_most":
        return lambda ask, now: ask.output_tokens <= value
    return lambda ask, now: ask.output_tokens >= value


def _time(value: list[str], zone_name: str) -> Test:
    """From the first moment on, up to the second, over midnight where that comes first."""
    begins, ends = value
    zone = ZoneInfo(zone_name)

    def within(ask: Ask, now: datetime) -> bool:
        clock = now.astimezone(zone).strftime("%H:%M")
        return begins <= clock < ends if begins <= ends else clock >= begins or clock < ends

    return within


def _named(attribute: str, operator: str, wanted: frozenset[str], value: Any) -> Test:
    head, _, name = attribute.partition(":")

    def found(ask: Ask) -> str | None:
        pairs = ask.headers if head == "header" else ask.metadata
        return next((text for called, text in pairs if called == name), None)

    if operator == "exists":
        return lambda ask, now: (found(ask) is not None) is value
    if operator == "contains":
        return lambda ask, now: any(each in (found(ask) or "") for each in wanted)
    return _expecting(operator == "is", lambda ask, now: found(ask) in wanted)


# -- in words ------------------------------------------------------------------------

_WORDS = {
    "at_most": "at most", "at_least": "at least", "is": "is", "is_not": "is not", "includes": "includes",
    "excludes": "excludes", "contains": "contains", "between": "between",
}  # fmt: skip


def in_words(when: Any) -> str:
    """One line for a trace: `input_tokens at most 32000 and (team is support or legal)`."""
    return _in_words(when, outer=True) if when else "always"


def _in_words(when: Any, outer: bool = False) -> str:
    for name, word in (("all", " and "), ("any", " or ")):
        if name in when:
            text = word.join(_in_words(each) for each in when[name])
            return text if outer or len(when[name]) == 1 else f"({text})"
    attribute, operator, value = when["attribute"], when["operator"], when.get("value")
    if operator == "exists":
        return f"{attribute} {'is there' if value else 'is not there'}"
    if operator == "between":
        return f"{attribute} between {value[0]} and {value[1]} {when.get('zone', 'UTC')}"
    return f"{attribute} {_WORDS[operator]} {' or '.join(str(each) for each in _listed(value))}"
