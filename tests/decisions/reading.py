"""From the files beside this one to questions and houses: `cases()` gives each question with the decision expected."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from providers.registry import KINDS, Kind
from routing.asks import Ask
from routing.snapshot import ModelEntry, ProviderEntry, Snapshot

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    name: str
    ask: Ask
    snapshot: Snapshot
    expected: dict[str, Any]


def cases() -> Iterator[Case]:
    for file in sorted(FOLDER.glob("*.json")):
        for told in json.loads(file.read_text()):
            asked = told["ask"] | {"allowed_models": frozenset(told["ask"].get("allowed_models", ()))}
            ask = Ask(request_id=f"req_{0x19AB5C2D000:012x}", **asked)
            yield Case(f"{file.stem}: {told['it']}", ask, house(told["house"]), told["expect"])


@cache
def house(name: str) -> Snapshot:
    told = json.loads((FOLDER / "houses" / f"{name}.json").read_text())
    providers, slugs = {}, {}
    for number, each in enumerate(told.get("providers", []), 1):
        slug = each["slug"]
        providers[slug] = ProviderEntry(
            id=number,
            slug=slug,
            name=each["name"],
            kind=KINDS["demo"] if each.get("kind") == "demo" else Kind(slug, each["name"], "XX", 0),
            base_url="",
            priority=each["priority"],
            enabled=each.get("enabled", True),
            inactive_reason=each.get("inactive", ""),
        )
        slugs |= dict.fromkeys([slug, *each.get("former", [])], slug)
    aliases: dict[str, str] = told.get("aliases", {})
    models = [
        _model(provider, model if isinstance(model, dict) else {"id": model}, each, aliases)
        for each in told.get("providers", [])
        for provider in [providers[each["slug"]]]
        for model in each["models"]
    ]
    models.sort(key=lambda model: (model.provider.priority, model.provider.slug))
    by_model_id: dict[str, tuple[ModelEntry, ...]] = defaultdict(tuple)
    for model in models:
        by_model_id[model.model_id] += (model,)
    by_string = {model.string: model for model in models}
    return Snapshot(
        providers=providers,
        slugs=slugs,
        models={(model.provider.slug, model.model_id): model for model in models},
        by_model_id=dict(by_model_id),
        aliases={alias: by_string[string] for alias, string in aliases.items()},
        team_defaults={int(team): name for team, name in told.get("team_defaults", {}).items()},
        house_default=told.get("house_default", ""),
    )


def _model(provider: ProviderEntry, told: dict[str, Any], of: dict[str, Any], aliases: dict[str, str]) -> ModelEntry:
    string = f"{provider.slug}:{told['id']}"
    other = {alias for alias, named in aliases.items() if named == string}
    other |= {f"{slug}:{told['id']}" for slug in of.get("former", [])}
    more = {key: value for key, value in told.items() if key != "id"}
    return ModelEntry(id=1, provider=provider, model_id=told["id"], other_names=frozenset(other), **more)
