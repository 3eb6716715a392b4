"""Every address of the site, found by walking the resolver: what nobody listed is checked all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.urls.converters import IntConverter, UUIDConverter

TEAM = "research"  # what stands for any part of an address that is a word


@dataclass(frozen=True)
class Address:
    view: Callable[..., Any]
    name: str  # with its namespace, as `request.resolver_match.view_name` says it
    route: str
    parts: tuple[tuple[str, Any], ...]  # the variable ones, each with something that fits

    @property
    def label(self) -> str:
        return self.name or self.route

    @property
    def url(self) -> str:
        return reverse(self.name, kwargs=dict(self.parts))


def addresses() -> list[Address]:
    return list(_walk(get_resolver().url_patterns, (), "", {}))


def _walk(patterns: list[Any], spaces: tuple[str, ...], route: str, parts: dict[str, Any]) -> Iterator[Address]:
    for pattern in patterns:
        further = route + str(pattern.pattern)
        more = parts | {name: _fitting(kind) for name, kind in pattern.pattern.converters.items()}
        if isinstance(pattern, URLResolver):
            space = (*spaces, pattern.namespace) if pattern.namespace else spaces
            yield from _walk(pattern.url_patterns, space, further, more)
        elif isinstance(pattern, URLPattern):
            yield Address(pattern.callback, ":".join((*spaces, pattern.name or "")), further, tuple(more.items()))


def _fitting(converter: Any) -> Any:
    if isinstance(converter, IntConverter):
        return 1
    if isinstance(converter, UUIDConverter):
        return "0192f0c1-2f5c-7000-8000-000000000000"
    return TEAM
