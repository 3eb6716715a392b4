"""The cells of the routing table: from the rows of use cases, tiers and routes to what decisions read.

A row that cannot be read is left out and logged: no configuration may stop the process.
"""

from __future__ import annotations

import logging
from collections import defaultdict

from routing import chains, conditions, engine
from routing.models import Route, Tier, UseCase
from routing.snapshot import ModelEntry, RouteEntry, Routing, Snapshot, TierEntry, UseCaseEntry

log = logging.getLogger(__name__)


def read_routing(snapshot: Snapshot) -> Routing:
    """Three queries. `snapshot` has the models that the names in the chains mean."""
    rows: dict[tuple[str, str], list[RouteEntry]] = defaultdict(list)
    reads: frozenset[str] = frozenset()
    for row in Route.objects.filter(enabled=True).select_related("use_case", "tier").order_by("position", "name"):
        entry = _entry(row, snapshot)
        if entry is not None:
            rows[entry.use_case, entry.tier].append(entry)
            reads |= conditions.reads(row.when)
    return Routing(
        use_cases={row.slug: UseCaseEntry(row.slug, row.name, row.tier) for row in UseCase.objects.all()},
        tiers={
            row.slug: TierEntry(row.slug, row.name, row.most_nano, row.currency, row.position)
            for row in Tier.objects.all()
        },
        rows={cell: tuple(entries) for cell, entries in rows.items()},
        reads=reads,
    )


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
