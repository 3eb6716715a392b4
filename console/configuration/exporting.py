"""The house as a document that `apply` reads and finds nothing to change in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import yaml

from billing.declared import SOURCES
from console.configuration.checking import PRICES, VARIANTS
from console.configuration.names import slug_of
from console.configuration.reading import POINT
from console.configuration.state import ROWS
from console.configuration.values import Fields, House, ModelHeld, PriceHeld, ProviderHeld, TeamHeld, Thing
from console.configuration.variables import KEPT
from console.configuration.words import moment, plain
from providers.registry import KINDS, Place
from routing.caps import NANO

# What a row has when nobody said anything: left out of the file.
PROVIDER_DEFAULTS: Fields = {
    "base_url": "", "enabled": True, "timeout_seconds": 600, "options": {}, "data_region": "", "trains_on_data": None,
    "requests_per_minute": None, "tokens_per_minute": None, "concurrency": None,
}  # fmt: skip
LISTS = {
    "use_cases": Thing.USE_CASE, "tiers": Thing.TIER, "routes": Thing.ROUTE, "flags": Thing.FLAG,
    "experiments": Thing.EXPERIMENT,
}  # fmt: skip
# What need not be said of a row of these.
_USUAL: Mapping[str, tuple[Any, ...]] = {
    "description": ("",), "hypothesis": ("",), "tier": ("",), "enabled": (True,), "when": ({},),
    "rules": ([],), "salt": (1,),
}  # fmt: skip
MODEL_DEFAULTS: Fields = {
    "name": "", "use": "chat", "active": True, "only_as_fallback": False, "context": None, "max_output": None,
    "capabilities": [],
}  # fmt: skip
# What only people decide about a model that its provider lists. The pretend vendor brings names and prices itself.
DECIDED = ("active", "only_as_fallback", "capabilities")
DECIDED_INSIDE = ("active", "only_as_fallback")
HEAD = """\
# Everything `manage.py apply` can read. Keys that are sealed in the house are not in here: "kept" leaves them as
# they are. Models that a provider's own list names, and that nobody changed, are not in here either.
"""


def document(house: House) -> dict[str, Any]:
    return _without_empty(
        {
            "organisation": dict(house.organisation),
            "providers": [_provider(held) for held in house.providers.values() if held.fields["kind"] in KINDS],
            "aliases": {name: f"{slug}:{model_id}" for name, (slug, model_id) in house.aliases.items()},
            **{name: _listed(thing, house) for name, thing in LISTS.items()},
            "teams": [_team(held) for held in house.teams.values() if not held.archived],
        }
    )


def _provider(held: ProviderHeld) -> dict[str, Any]:
    fields = held.fields
    name = fields["name"]
    told: dict[str, Any] = {"name": name}
    if slug_of(name) != held.slug:
        told["slug"] = held.slug
    told |= {"kind": fields["kind"], "priority": fields["priority"]}
    told |= {key: fields[key] for key, usual in PROVIDER_DEFAULTS.items() if fields.get(key, usual) != usual}
    if held.key is not None:
        told["api_key"] = f"${{{held.key.variable}}}" if held.key.variable else KEPT
    inside = KINDS[fields["kind"]].place is Place.INSIDE
    models = [_model(model_id, model, inside=inside) for model_id, model in held.models.items()]
    return told | _without_empty({"models": [model for model in models if model]})


def _model(model_id: str, held: ModelHeld, *, inside: bool) -> dict[str, Any] | None:
    """None for a listed model that nobody has decided anything about."""
    told = {name: held.fields[name] for name, usual in MODEL_DEFAULTS.items() if held.fields[name] != usual}
    priced = [price for price in held.prices if price.fields["source"] not in SOURCES and not inside]
    if held.listed and not priced and told.keys().isdisjoint(DECIDED_INSIDE if inside else DECIDED):
        return None
    if priced:
        told["prices"] = [_price(price) for price in reversed(priced)]
    return {"id": model_id, **told}


def _price(held: PriceHeld) -> dict[str, Any]:
    fields = held.fields
    told: dict[str, Any] = {}
    for name, column in PRICES.items():
        value = fields[column]
        if value is not None and not (name == "per_request" and value == 0):
            told[name] = value
    told |= {name: fields[name] for name in VARIANTS if fields[name]}
    told |= {"currency": fields["currency"], "from": moment(held.start)}
    if fields["valid_until"] is not None:
        told["until"] = moment(fields["valid_until"])
    return told | {"source": fields["source"]}


def _listed(thing: Thing, house: House) -> list[dict[str, Any]]:
    """Rows as the file has them: what nobody said is left out."""
    _model, key, _names = ROWS[thing]
    found = []
    for name, fields in house.rows.get(thing, {}).items():
        told = {key: name} | {each: value for each, value in fields.items() if value not in _USUAL.get(each, ())}
        if thing is Thing.TIER:
            most = told.pop("most_nano", None)
            told["max"] = None if most is None else plain(Decimal(most) / NANO)
        if "share" in told:
            told["share"] = Decimal(told["share"]).normalize()
        found.append(told)
    return found


def _team(held: TeamHeld) -> dict[str, Any]:
    told = {name: value for name, value in held.fields.items() if value not in ("", False, None)}
    members = [{"email": email, "lead": True} if lead else email for email, lead in sorted(held.members.items())]
    return told | _without_empty({"members": members})


def _without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in ({}, [], None)}


# -- as text --------------------------------------------------------------------


class _Dumper(yaml.SafeDumper):
    """Lists indented under their key, and no anchors: every value is written where it belongs."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent(dumper: _Dumper, value: Decimal) -> yaml.ScalarNode:
    text = plain(value)
    return dumper.represent_scalar(f"tag:yaml.org,2002:{'float' if '.' in text else 'int'}", text)


_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(f"^(?:{POINT.pattern})$"), list("-+.0123456789"))
_Dumper.add_representer(Decimal, _represent)


def as_yaml(told: Mapping[str, Any]) -> str:
    body = yaml.dump(dict(told), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return HEAD + ("\n" + body if told else "")


def as_json(told: Mapping[str, Any]) -> str:
    return json.dumps(told, indent=2, ensure_ascii=False, default=_number) + "\n"


def _number(value: Any) -> str:
    if isinstance(value, Decimal):
        return plain(value)
    raise TypeError(f"{type(value).__name__} is nothing a configuration holds")
