"""The targets that a declared row names, and what is known of them without the house."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from console.configuration.values import RowWanted, Thing
from providers import catalogue
from providers.registry import KINDS
from routing.engine import AUTO

MOST_NAMES = 5000


def of(row: RowWanted) -> Iterator[tuple[str, str]]:
    """Where it stands in the row, and what it is."""
    if row.thing is Thing.ROUTE:
        yield from _of_chain(row.fields.get("chain") or {})
    elif row.thing is Thing.EXPERIMENT:
        for number, arm in enumerate(row.fields.get("arms") or ()):
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


def points_back(target: str) -> bool:
    return target == AUTO or target.startswith((f"{AUTO}/", f"{AUTO}:"))


def in_catalogue(target: str) -> bool:
    """A model that some vendor is known to serve: it may be connected one day."""
    kind, colon, model_id = target.partition(":")
    return bool(colon) and kind in KINDS and catalogue.find(kind, model_id) is not None


def names(known: Iterable[tuple[str, str]], aliases: Iterable[str]) -> list[str]:
    return [*aliases, *(f"{slug}:{model_id}" for slug, model_id in known)][:MOST_NAMES]
