"""The cells of the routing table: from the rows of use cases, tiers and routes to what decisions read.

A row that cannot be read is left out and logged: no configuration may stop the process.
"""

from __future__ import annotations

import logging
from collections import defaultdict

from routing import chains, conditions, engine, experiments, flags
from routing.models import Experiment, Flag, Route, Tier, UseCase
from routing.snapshot import (
    Arm,
    ExperimentEntry,
    FlagEntry,
    Flags,
    ModelEntry,
    RouteEntry,
    Routing,
    Snapshot,
    TierEntry,
    UseCaseEntry,
)

log = logging.getLogger(__name__)


def read_routing(snapshot: Snapshot) -> Routing:
    """Five queries. `snapshot` has the models that the names in the chains mean."""
    rows: dict[tuple[str, str], list[RouteEntry]] = defaultdict(list)
    reads: frozenset[str] = frozenset()
    for row in Route.objects.filter(enabled=True).select_related("use_case", "tier").order_by("position", "name"):
        entry = _entry(row, snapshot)
        if entry is not None:
            rows[entry.use_case, entry.tier].append(entry)
            reads |= conditions.reads(row.when)
    switches = read_flags(snapshot)
    running, audience = read_experiments(snapshot)
    return Routing(
        use_cases={row.slug: UseCaseEntry(row.slug, row.name, row.tier) for row in UseCase.objects.all()},
        tiers={
            row.slug: TierEntry(row.slug, row.name, row.most_nano, row.currency, row.position)
            for row in Tier.objects.all()
        },
        rows={cell: tuple(entries) for cell, entries in rows.items()},
        flags=switches,
        experiments=running,
        reads=reads | switches.reads | audience,
    )


def read_flags(snapshot: Snapshot) -> Flags:
    """By what they govern now, whatever it was called when the flag was written."""
    governed: dict[str, list[FlagEntry]] = defaultdict(list)
    reads: frozenset[str] = frozenset()
    for row in Flag.objects.order_by("key"):
        told = {"governs": row.governs, "share": float(row.share), "unit": row.unit, "rules": row.rules}
        wrong = next(flags.faults(told, row.key), None)
        if wrong is not None:
            log.error("flag '%s' is left out: %s %s", row.key, *wrong)
            continue
        entry = flags.compiled(row.key, told, enabled=row.enabled, salt=row.salt)
        for name in _governed(row.governs, snapshot):
            governed[name].append(entry)
        reads |= flags.reads(told)
    return Flags({name: tuple(entries) for name, entries in governed.items()}, reads)


def _governed(governs: str, snapshot: Snapshot) -> list[str]:
    """A switch must not come loose when a provider is renamed, nor miss a model that it names as a route would."""
    head, _, name = governs.partition(":")
    if head == "provider":
        slug = snapshot.slugs.get(name.lower())
        entries = [snapshot.providers[slug]] if slug is not None else snapshot.providers.values()
        return [f"provider:{each.slug}" for each in entries if slug is not None or each.kind.slug == name.lower()]
    return [f"model:{model.string}" for model in meant(name, snapshot)] if head == "model" else [governs]


def read_experiments(
    snapshot: Snapshot,
) -> tuple[dict[tuple[str, str], tuple[ExperimentEntry, ...]], frozenset[str]]:
    """Those that run, by their cell, and the attributes that their audiences read."""
    found: dict[tuple[str, str], list[ExperimentEntry]] = defaultdict(list)
    reads: frozenset[str] = frozenset()
    for row in Experiment.objects.filter(enabled=True, ended_at=None).order_by("key"):
        told = {"arms": row.arms, "unit": row.unit, "when": row.when}
        wrong = next(experiments.faults(told, row.key, judge=lambda _: ""), None)
        if wrong is not None:
            log.error("experiment '%s' is left out: %s %s", row.key, *wrong)
            continue
        arms = tuple(
            Arm(arm["name"], float(arm["weight"]), arm.get("target", ""), meant(arm.get("target", ""), snapshot))
            for arm in row.arms
        )
        entry = ExperimentEntry(row.key, arms, row.unit, row.salt, conditions.compiled(row.when))
        found[row.use_case, row.tier].append(entry)
        reads |= conditions.reads(row.when)
    return {cell: tuple(entries) for cell, entries in found.items()}, reads


def _entry(row: Route, snapshot: Snapshot) -> RouteEntry | None:
    faults = chains.faults(row.chain) + conditions.faults(row.when)
    if faults:
        log.error("route '%s' is left out: %s %s", row.name, *faults[0])
        return None
    chain = chains.read(row.chain)
    return RouteEntry(
        name=row.name,
        use_case=row.use_case.slug,
        tier=row.tier.slug if row.tier else "",
        chain=chain,
        targets={name: meant(name, snapshot) for name in chain.targets},
        test=conditions.compiled(row.when),
        when=conditions.in_words(row.when),
        number=row.pk,
    )


def meant(name: str, snapshot: Snapshot) -> tuple[ModelEntry, ...]:
    """The models that a target means: as a request would name them, or by a kind of provider and an id of its models.

    The routes of a new house name kinds, since nobody knows yet what its providers will be called.
    """
    found = engine.named(name, snapshot)
    if found is not None:
        return tuple(sorted(found[1], key=lambda model: model.only_as_fallback))
    kind, colon, model_id = name.partition(":")
    same = snapshot.by_model_id.get(model_id, ()) if colon else ()
    return tuple(model for model in same if model.provider.kind.slug == kind)
