"""What `GET /v1/models` tells: the models a key may use, by the names it may use them under."""

from __future__ import annotations

from typing import Any

from routing.callers import Caller
from routing.engine import may_use, named
from routing.snapshot import ModelEntry, Snapshot
from routing.wires.openai import models_object

MOST_LISTS = 100


def models_body(snapshot: Snapshot, allowed: frozenset[str]) -> bytes:
    """The list as JSON, encoded once a snapshot and set of allowed models."""
    known = snapshot.memo.lists
    body = known.get(allowed)
    if body is None:
        names = [(model.string, model) for model in snapshot.models.values()] + list(snapshot.aliases.items())
        body = models_object([_row(name, model) for name, model in names if model.offered and may_use(model, allowed)])
        if len(known) >= MOST_LISTS:
            known.clear()
        known[allowed] = body
    return body


def model_object(snapshot: Snapshot, name: str, caller: Caller) -> dict[str, Any] | None:
    """One of them, under any name that a request may give it. Also one that lists do not show."""
    found = named(name, snapshot)
    for model in found[1] if found else ():
        if model.active and model.provider.enabled and may_use(model, caller.allowed_models):
            return _row(name, model)
    return None


def _row(name: str, model: ModelEntry) -> dict[str, Any]:
    row: dict[str, Any] = {"id": name, "object": "model", "created": model.created, "owned_by": model.provider.slug}
    if model.context:
        row["context_window"] = model.context
    if model.max_output:
        row["max_output_tokens"] = model.max_output
    if model.capabilities:
        row["capabilities"] = sorted(model.capabilities)
    return row
