"""What is known of a model, and who says so: its provider's list, the catalogue, and people, whose word wins.

The columns of a row hold what counts; `overrides` remembers what somebody here set, so that reading a list again does
not undo it. An ability that nobody speaks of is neither had nor lacking, and nothing is refused for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from providers import catalogue
from providers.models import LanguageModel
from providers.wiring import ListedModel

# Abilities that a request may need: a model of the catalogue that is not said to have one has it not.
NEEDED = ("tools", "vision", "structured_output", "audio_input", "embeddings")
ABILITIES = ("streaming", *NEEDED, "reasoning", "pdf_input", "prompt_cache", "web_search")
# What lists call some of them.
SAME = {"json": "structured_output", "audio": "audio_input", "pdf": "pdf_input"}
SOON = timedelta(days=400)  # a shutdown further away is not told yet

LIST, CATALOGUE, HERE = "list", "catalogue", "here"


@dataclass(frozen=True, slots=True)
class Facts:
    """What counts of a model, with who said it: one of LIST, CATALOGUE, HERE."""

    can: frozenset[str]
    cannot: frozenset[str]
    context: int | None
    max_output: int | None
    said: Mapping[str, str]


def effective(model: LanguageModel) -> Facts:
    said: dict[str, str] = {}
    entry = catalogue.find(model.provider.kind, model.model_id)
    for name in (*model.capabilities, *model.lacks):
        said[name] = CATALOGUE if entry is not None and _speaks_of(entry, name) else LIST
    for name in ("context", "max_output"):
        if getattr(model, name) is not None:
            said[name] = CATALOGUE if entry is not None and entry.get(name) == getattr(model, name) else LIST
    said |= dict.fromkeys(model.overrides, HERE)
    return Facts(frozenset(model.capabilities), frozenset(model.lacks), model.context, model.max_output, said)


def set_override(model: LanguageModel, **values: Any) -> None:
    """What somebody here knows better: `context`, `max_output`, or an ability by name. None takes it back."""
    overrides = {**model.overrides, **values}
    model.overrides = {name: value for name, value in overrides.items() if value is not None}
    for name in ("context", "max_output"):
        if name in values:
            setattr(model, name, values[name])
    gone = {name for name, value in values.items() if value is None}
    model.capabilities = [name for name in model.capabilities if name not in gone]
    model.lacks = [name for name in model.lacks if name not in gone]
    settle(model, None)
    model.save()


def settle(model: LanguageModel, listed: ListedModel | None, today: date | None = None) -> bool:
    """Write into the row what is known now. True when that changed it; nothing is saved."""
    before = _columns(model)
    entry = catalogue.find(model.provider.kind, model.model_id)
    can, cannot = _abilities(model, listed, entry)
    model.capabilities, model.lacks = _in_order(can), _in_order(cannot)
    for name in ("context", "max_output"):
        told = model.overrides.get(name) or (getattr(listed, name) if listed else None) or getattr(model, name)
        setattr(model, name, told or (entry or {}).get(name))
    model.canonical = catalogue.canonical(model.model_id)
    if entry is not None:
        model.parameters = dict(entry.get("param_policy") or {})
        _date_stage(model, entry, today or date.today())
    return _columns(model) != before


def _abilities(
    model: LanguageModel, listed: ListedModel | None, entry: catalogue.Entry | None
) -> tuple[set[str], set[str]]:
    can, cannot = set(model.capabilities), set(model.lacks)
    if entry is not None:
        has = set(entry["capabilities"])
        can |= has
        cannot |= {name for name in NEEDED if name not in has and name not in can}
    if listed is not None:
        told = {SAME.get(name, name): has for name, has in listed.capabilities.items()}
        can |= {name for name, has in told.items() if has}
        cannot |= {name for name, has in told.items() if not has}
        can -= {name for name, has in told.items() if not has}
    for name in ABILITIES:
        known = model.overrides.get(name)
        if known is True:
            can.add(name)
        elif known is False:
            can.discard(name)
            cannot.add(name)
    return can, cannot - can


def _date_stage(model: LanguageModel, entry: catalogue.Entry, today: date) -> None:
    ends = date.fromisoformat(entry["shutdown_date"]) if entry.get("shutdown_date") else None
    model.retires_on = ends
    if ends is not None and ends <= today:
        model.stage = LanguageModel.Stage.RETIRED
    elif ends is not None and ends <= today + SOON:
        model.stage = LanguageModel.Stage.DEPRECATED
    else:
        model.stage = LanguageModel.Stage.PREVIEW if entry.get("preview") else LanguageModel.Stage.STABLE


def _speaks_of(entry: catalogue.Entry, name: str) -> bool:
    return name in entry["capabilities"] or name in NEEDED


def _in_order(names: Collection[str]) -> list[str]:
    return sorted(names, key=lambda name: (ABILITIES.index(name) if name in ABILITIES else len(ABILITIES), name))


def _columns(model: LanguageModel) -> tuple[Any, ...]:
    names = "capabilities lacks context max_output stage retires_on canonical parameters".split()
    return tuple(getattr(model, name) for name in names)
