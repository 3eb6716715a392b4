"""The targets that a declared row names, and whether there is, or may be, such a model or provider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from console.configuration.fields import nearest
from console.configuration.values import Fields, Thing
from providers import catalogue
from providers.registry import KINDS
from routing.engine import AUTO

MOST_NAMES = 5000
PROVIDER, MODEL = "provider:", "model:"


def of(thing: Thing, fields: Fields) -> Iterator[tuple[str, str]]:
    """Where it stands in the row, and what it is: a model as a route names it, or `provider:<slug>`."""
    if thing is Thing.ROUTE:
        yield from _of_chain(fields.get("chain") or {})
    elif thing is Thing.EXPERIMENT:
        for number, arm in enumerate(fields.get("arms") or ()):
            if isinstance(arm, dict) and arm.get("target"):
                yield f"arms[{number}].target", str(arm["target"])


def _of_chain(chain: dict[str, object]) -> Iterator[tuple[str, str]]:
    first = chain.get("first")
    if isinstance(first, dict):
        if isinstance(first.get("target"), str):
            yield "chain.first.target", first["target"]
        for name in ("split", "of"):
            for number, each in enumerate(first.get(name) or ()):
                if isinstance(each, dict) and isinstance(each.get("target"), str):
                    yield f"chain.first.{name}[{number}].target", each["target"]
                elif isinstance(each, str):
                    yield f"chain.first.{name}[{number}]", each
    fallbacks = chain.get("fallbacks")
    for number, each in enumerate(fallbacks if isinstance(fallbacks, list) else ()):
        if isinstance(each, dict) and isinstance(each.get("target"), str):
            yield f"chain.fallbacks[{number}].target", each["target"]


@dataclass(frozen=True, slots=True)
class Known:
    """What the house has, and will have after the file."""

    slugs: Mapping[str, str]  # of providers, present or former -> present
    models: frozenset[tuple[str, str]]
    aliases: frozenset[str]
    unread: frozenset[str]  # providers whose list of models was never read: it may explain any name

    def faults(self, thing: Thing, fields: Fields) -> Iterator[tuple[str, str, str]]:
        """Where a row names somebody, whom, and what is wrong with that. One not connected yet is no fault."""
        for path, target in of(thing, fields):
            said = self.against_model(target)
            if said:
                yield path, target, said
        governs = fields.get("governs", "") if thing is Thing.FLAG else ""
        if governs.startswith(PROVIDER):
            said = self.against_provider(governs.removeprefix(PROVIDER))
        else:
            said = self.against_model(governs.removeprefix(MODEL)) if governs.startswith(MODEL) else ""
        if said:
            yield "governs", governs, said

    def against_provider(self, name: str) -> str:
        if name.lower() in self.slugs or name.lower() in KINDS:
            return ""
        return f"there is no provider '{name}'.{nearest(name, {*self.slugs, *KINDS})}"

    def against_model(self, target: str) -> str:
        if target == AUTO or target.startswith((f"{AUTO}/", f"{AUTO}:")):
            return f"'{target}' points back to the routes: name a model."
        if target in self.aliases or any(target == model_id for _, model_id in self.models):
            return ""
        prefix, colon, model_id = target.partition(":")
        slug = self.slugs.get(prefix.lower())
        if slug is not None and ((slug, model_id) in self.models or slug in self.unread):
            return ""
        if colon and prefix in KINDS and catalogue.find(prefix, model_id) is not None:
            return ""  # some vendor serves it: it may be connected one day
        names = [*self.aliases, *(f"{slug}:{model_id}" for slug, model_id in self.models)][:MOST_NAMES]
        return f"there is no model '{target}'.{nearest(target, names)}"
