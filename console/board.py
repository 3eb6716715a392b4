"""The routing table as people see it: a matrix of use cases and tiers, and what one of its cells holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console import formats
from console.picking import Chosen, chosen
from providers.registry import KINDS
from routing.caps import NANO
from routing.chains import Chain
from routing.snapshot import RouteEntry, Snapshot, TierEntry, UseCaseEntry

HOW = {
    "target": "",
    "split": gettext_lazy("Split by weight, sticky by session"),
    "cheapest": gettext_lazy("The cheapest of these"),
    "fastest": gettext_lazy("The fastest of these"),
    "least_busy": gettext_lazy("The least busy of these"),
}
TRIGGERS = {
    "unavailable": gettext_lazy("it cannot be asked"),
    "rate_limited": gettext_lazy("it is asked too often"),
    "server_error": gettext_lazy("it fails"),
    "timeout": gettext_lazy("it is silent for too long"),
    "first_token": gettext_lazy("its first token is late"),
    "auth": gettext_lazy("it refuses the key"),
    "not_found": gettext_lazy("it does not know the model"),
    "over_budget": gettext_lazy("it would cost too much"),
    "context_length": gettext_lazy("the request is too long for it"),
    "content_filter": gettext_lazy("it refuses what was asked"),
}


@dataclass(frozen=True, slots=True)
class Mark:
    """A target in a cell: whose tile, what name, and how much of the traffic."""

    model: Chosen
    connected: bool
    share: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    use_case: str
    tier: str
    label: str  # of both, for those who hear it
    marks: tuple[Mark, ...] = ()  # the first two
    more: int = 0
    fallbacks: int = 0
    rows: int = 0
    inherited: bool = False  # from the row for every tier
    connected: bool = True

    @property
    def key(self) -> str:
        return f"{self.use_case}/{self.tier}"

    @property
    def words(self) -> str:
        said = ngettext("%(n)s fallback", "%(n)s fallbacks", self.fallbacks) % {"n": formats.number(self.fallbacks)}
        return said if self.connected else _("not connected")


@dataclass(frozen=True, slots=True)
class Row:
    use_case: UseCaseEntry
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Step:
    marks: tuple[Mark, ...]
    how: str = ""  # the way of the first step, or when a fallback steps in


@dataclass(frozen=True, slots=True)
class Told:
    """One row of a cell, whole."""

    name: str
    when: str
    always: bool
    steps: tuple[Step, ...] = ()
    limits: tuple[str, ...] = field(default_factory=tuple)


def matrix(snapshot: Snapshot) -> list[Row]:
    routing = snapshot.routing
    return [
        Row(case, tuple(_cell(case, tier, snapshot) for tier in routing.tiers.values()))
        for case in routing.use_cases.values()
    ]


def ceiling(tier: TierEntry) -> str:
    """The maximum of a tier as its column says it."""
    if tier.most_nano is None:
        return _("no maximum")
    decimals = max(2, len(f"{tier.most_nano / NANO:.9f}".rstrip("0").partition(".")[2]))
    return _("to %(amount)s") % {"amount": formats.money(tier.most_nano, tier.currency, decimals)}


def rows_of(use_case: str, tier: str, snapshot: Snapshot) -> list[RouteEntry]:
    rows = snapshot.routing.rows
    return [*rows.get((use_case, tier), ()), *(rows.get((use_case, ""), ()) if tier else ())]


def _cell(case: UseCaseEntry, tier: TierEntry, snapshot: Snapshot) -> Cell:
    label = f"{case.name}, {tier.name}"
    rows = rows_of(case.slug, tier.slug, snapshot)
    if not rows:
        return Cell(case.slug, tier.slug, label)
    first = rows[0]
    marks = _first(first, snapshot)
    return Cell(
        case.slug,
        tier.slug,
        label,
        marks=marks[:2],
        more=max(0, len(marks) - 2),
        fallbacks=len(first.chain.fallbacks),
        rows=len(rows),
        inherited=not first.tier,
        connected=any(first.targets.values()),
    )


def _first(row: RouteEntry, snapshot: Snapshot) -> tuple[Mark, ...]:
    shares = [f"{weight:g}%" for weight in row.chain.weights] or [""] * len(row.chain.first)
    return tuple(_mark(name, row, snapshot, share) for name, share in zip(row.chain.first, shares, strict=True))


def _mark(name: str, row: RouteEntry, snapshot: Snapshot, share: str = "") -> Mark:
    models = row.targets.get(name, ())
    return Mark(chosen(models[0].string, snapshot) if models else _missing(name), bool(models), share)


def _missing(name: str) -> Chosen:
    """A target that nobody has connected: by its kind, where it names one."""
    kind, _colon, model_id = name.partition(":")
    return Chosen(name, model_id, KINDS[kind]) if kind in KINDS else Chosen(name, name)


def told(row: RouteEntry, snapshot: Snapshot) -> Told:
    chain = row.chain
    steps = [Step(_first(row, snapshot), str(HOW.get(chain.how, "")))]
    steps += [Step((_mark(each.target, row, snapshot),), _meant(each.on)) for each in chain.fallbacks]
    return Told(row.name, row.when, row.test is None, tuple(steps), tuple(_limits(chain)))


def _meant(on: frozenset[str]) -> str:
    if not on:
        return _("if that fails")
    return _("if %(what)s") % {"what": _(", or ").join(str(TRIGGERS.get(each, each)) for each in sorted(on))}


def _limits(chain: Chain) -> Iterator[str]:
    if chain.attempts is not None:
        yield ngettext("%(n)s attempt at most", "%(n)s attempts at most", chain.attempts) % {
            "n": formats.number(chain.attempts)
        }
    if chain.seconds is not None:
        yield _("%(time)s for everything") % {"time": formats.duration(int(chain.seconds * 1000))}
    if chain.first_token_seconds is not None:
        yield _("%(time)s to the first token") % {"time": formats.duration(int(chain.first_token_seconds * 1000))}
