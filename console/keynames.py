"""What may a key be allowed? The names that a picker offers for it, and those typed that mean nothing here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console.picking import Chosen, options_for
from providers.registry import Kind
from routing.engine import AUTO, named
from routing.snapshot import Snapshot

MOST_OFFERED = 600  # a longer list is no list: the others are typed
MOST_ALLOWED = 200
LONGEST = 300


@dataclass(frozen=True, slots=True)
class Choice:
    value: str
    name: str
    kind: Kind | None = None
    on: bool = False


@dataclass(frozen=True, slots=True)
class Choices:
    label: str | Promise
    rows: list[Choice]


def offered(snapshot: Snapshot, team_id: int | None, ticked: Iterable[str]) -> list[Choices]:
    """Routes, aliases, then the models of each provider; what is ticked and not among them comes last."""
    ticked = list(ticked)
    routes = [
        Choice(f"{AUTO}/{slug}", case.name, on=f"{AUTO}/{slug}" in ticked)
        for slug, case in snapshot.routing.use_cases.items()
    ]
    options = options_for(snapshot, team_id)
    groups: list[tuple[str | Promise, list[Choice]]] = [
        (_("Routes"), routes),
        (_("Aliases"), [_choice(each, ticked) for each in options.aliases]),
        *((name, [_choice(each, ticked) for each in models]) for name, models in options.groups),
    ]
    shown, left = [], MOST_OFFERED
    for label, rows in groups:
        if rows[:left]:
            shown.append(Choices(label, rows[:left]))
        left = max(0, left - len(rows))
    seen = {row.value for group in shown for row in group.rows}
    others = [Choice(value, value, on=True) for value in ticked if value not in seen]
    return [*shown, Choices(_("Others"), others)] if others else shown


def _choice(each: Chosen, ticked: Iterable[str]) -> Choice:
    return Choice(each.value, each.name, each.kind, each.value in ticked)


def unknown(names: Iterable[str], snapshot: Snapshot) -> list[str]:
    """Those that are no route, no alias and no model of anybody."""
    return [name for name in names if not _means_something(name, snapshot)]


def _means_something(name: str, snapshot: Snapshot) -> bool:
    if name.startswith(f"{AUTO}/"):
        return name.removeprefix(f"{AUTO}/") in snapshot.routing.use_cases
    return named(name, snapshot) is not None
