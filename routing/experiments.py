"""Which arm does this unit meet? Drawn once by a place that stays; who was drawn keeps meeting the same arm."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from routing import conditions
from routing.asks import Ask
from routing.bucketing import pick, place
from routing.flags import UNITS
from routing.snapshot import Arm, ExperimentEntry

Fault = tuple[str, str]

MOST_ARMS = 4


def arm_of(experiment: ExperimentEntry, ask: Ask, now: datetime) -> Arm | None:
    """None: it is not in the audience, or has no such unit, and then nothing could be said of it later."""
    unit = ask.unit(experiment.unit)
    if not unit or (experiment.test is not None and not experiment.test(ask, now)):
        return None
    at = place(unit, f"experiment {experiment.name}")
    return experiment.arms[pick([arm.weight for arm in experiment.arms], at)]


def digest_of(unit: str, experiment: str) -> str:
    """Who it was, in a form that tells units apart and says nothing else."""
    return hashlib.sha256(f"{experiment}\n{unit}".encode()).hexdigest()


def faults(told: Mapping[str, Any], path: str, *, judge: Callable[[str], str]) -> Iterator[Fault]:
    """Of the fields arms, unit and when."""
    if told.get("unit", "user") not in UNITS:
        yield f"{path}.unit", f"must be one of {', '.join(UNITS)}"
    yield from conditions.faults(told.get("when"), f"{path}.when")
    arms = told.get("arms")
    if not isinstance(arms, list) or not 2 <= len(arms) <= MOST_ARMS or not all(isinstance(arm, dict) for arm in arms):
        yield f"{path}.arms", f"must be a list of 2 to {MOST_ARMS} arms"
        return
    for number, arm in enumerate(arms):
        yield from _arm_faults(arm, f"{path}.arms[{number}]", judge)
    names = [arm.get("name") for arm in arms]
    if len(set(map(str, names))) < len(names):
        yield f"{path}.arms", "must have names that differ"
    weights = [arm.get("weight") for arm in arms]
    total = sum(weight for weight in weights if isinstance(weight, int | float))
    if abs(total - 100) > 0.001:
        yield f"{path}.arms", f"the weights must sum to 100, not to {total:g}"


def _arm_faults(arm: Mapping[str, Any], path: str, judge: Callable[[str], str]) -> Iterator[Fault]:
    for unknown in sorted(arm.keys() - {"name", "weight", "target"}):
        yield f"{path}.{unknown}", "is not known here: an arm has name, weight and target"
    weight, target = arm.get("weight"), arm.get("target", "")
    name = arm.get("name")
    if not isinstance(name, str) or not 0 < len(name.strip()) <= 60 or "/" in name:
        yield f"{path}.name", "must be a name of 1 to 60 characters, without a slash"
    if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 <= weight <= 100:
        yield f"{path}.weight", "must be a number from 0 to 100"
    said = judge(target) if isinstance(target, str) and target else "" if target == "" else "must name a model"
    if said:
        yield f"{path}.target", said
