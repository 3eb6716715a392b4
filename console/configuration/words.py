"""A plan in words, for the terminal, and as JSON for scripts. A secret appears as its last four or its variable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from console.configuration.checking import PRICES
from console.configuration.planning import Action, Difference, Plan, Step
from console.configuration.values import Fault, Thing

MARKS = {Action.CREATE: "+", Action.CHANGE: "~", Action.REMOVE: "-", Action.KEEP: "="}
COLUMNS = {column: name for name, column in PRICES.items()} | {"valid_from": "from", "valid_until": "until"}
DONE = {Action.CREATE: "created", Action.CHANGE: "changed", Action.REMOVE: "removed"}
TO_DO = {Action.CREATE: "to create", Action.CHANGE: "to change", Action.REMOVE: "to remove"}


def in_words(plan: Plan, *, done: bool) -> str:
    lines = [line for step in plan.steps for line in _step(step)]
    if plan.notes:
        lines += ["", "Notes", *(f"  {note}" for note in plan.notes)]
    return "\n".join([*lines, "", _closing(plan, done=done)])


def _step(step: Step) -> Iterable[str]:
    yield f"{MARKS[step.action]} {step.action.value:<6} {step.thing.value} {_title(step)}".rstrip()
    for difference in _flat(step.differences):
        name, before, after = difference.field, shown(difference.before), shown(difference.after)
        if step.action is Action.CHANGE:
            yield f"           {name}: {before} → {after}"
        elif step.action is Action.REMOVE:
            yield f"           {name}: {before}"
        elif difference.after not in (None, "", [], {}):
            yield f"           {name}: {after}"
    if step.remark:
        yield f"           ({step.remark})"


def _title(step: Step) -> str:
    match step.thing:
        case Thing.KEY:
            return f"of {step.where[0]}"
        case Thing.PRICE:
            slug, model_id, start = step.where
            return f"of {slug}:{model_id} from {start}"
        case Thing.MEMBER:
            team, email = step.where
            return f"{email} of team {team}"
        case _:
            return step.name


def _flat(differences: Iterable[Difference]) -> Iterable[Difference]:
    """Options one by one, and columns by the names that files use."""
    for each in differences:
        if each.field != "options":
            yield Difference(COLUMNS.get(each.field, each.field), each.before, each.after)
            continue
        before, after = each.before or {}, each.after or {}
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                yield Difference(f"options.{name}", before.get(name), after.get(name))


def _closing(plan: Plan, *, done: bool) -> str:
    if not plan.changes:
        return "Nothing to change."
    words = DONE if done else TO_DO
    counts = [f"{plan.count(action)} {words[action]}" for action in words if plan.count(action)]
    kept = plan.count(Action.KEEP)
    tail = [f"{kept} as it should be" if kept == 1 else f"{kept} as they should be"] if kept else []
    sentence = f"{', '.join([*counts, *tail])}. What the file does not name stays as it is."
    return sentence if done else f"{sentence}\nNothing was changed yet: add --yes to apply this."


def shown(value: Any) -> str:
    match value:
        case None | "" | [] | {}:
            return "nothing"
        case bool():
            return "yes" if value else "no"
        case Decimal():
            return plain(value)
        case datetime():
            return moment(value)
        case list():
            return ", ".join(map(str, value))
        case _:
            return str(value)


def plain(value: Decimal) -> str:
    """Without exponent and without zeros at the end: 2.5, 10, 0.075."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def moment(value: datetime) -> str:
    """A date where it is one."""
    utc = value.isoformat()
    return utc.removesuffix("T00:00:00+00:00")


# -- for scripts ----------------------------------------------------------------


def as_json(plan: Plan, *, applied: bool, lists: Iterable[str] = ()) -> dict[str, Any]:
    return {
        "applied": applied,
        "changes": [_step_json(step) for step in plan.changes],
        "kept": plan.count(Action.KEEP),
        "notes": list(plan.notes),
        "lists": list(lists),
    }


def _step_json(step: Step) -> Mapping[str, Any]:
    told: dict[str, Any] = {"action": step.action.value, "what": step.thing.value, "name": step.name}
    if step.differences:
        told["fields"] = {
            each.field: {"before": _json(each.before), "after": _json(each.after)} for each in _flat(step.differences)
        }
    return told | ({"remark": step.remark} if step.remark else {})


def _json(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | list) else shown(value) if value else value


def faults_as_json(faults: Iterable[Fault]) -> dict[str, Any]:
    return {"applied": False, "faults": [{"path": fault.path, "message": fault.message} for fault in faults]}
