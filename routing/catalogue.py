"""What `GET /v1/models` tells: the models a key may use, by the names it may use them under."""

from __future__ import annotations

import time
from typing import Any

from billing.costs import Rates
from routing.callers import Caller
from routing.decisions import PRICE_UNKNOWN
from routing.engine import named
from routing.obstacles import answers, may_use
from routing.snapshot import ModelEntry, Snapshot
from routing.wires.openai import models_object

MOST_LISTS = 100
HOUR = 3600.0


def models_body(
    snapshot: Snapshot, allowed: frozenset[str], team_id: int | None = None, now: float | None = None
) -> bytes:
    """The list as JSON, encoded once a snapshot, hour and set of allowed models; once a team where that matters."""
    known = snapshot.memo.lists
    now = time.time() if now is None else now
    # A price that was announced holds from its moment on, although nobody changed anything then.
    whose = (allowed, team_id if snapshot.restricted else None, now // HOUR)
    body = known.get(whose)
    if body is None:
        names = [(model.string, model) for model in snapshot.models.values()] + list(snapshot.aliases.items())
        shown = [
            _row(name, model, now)
            for name, model in names
            if model.offered and may_use(model, allowed) and answers(model.provider, team_id)
        ]
        body = models_object(shown)
        if len(known) >= MOST_LISTS:
            known.clear()
        known[whose] = body
    return body


def model_object(snapshot: Snapshot, name: str, caller: Caller) -> dict[str, Any] | None:
    """One of them, under any name that a request may give it. Also one that lists do not show."""
    found = named(name, snapshot)
    for model in found[1] if found else ():
        if model.active and model.provider.enabled and _may_see(model, caller):
            return _row(name, model, time.time())
    return None


def _may_see(model: ModelEntry, caller: Caller) -> bool:
    return may_use(model, caller.allowed_models) and answers(model.provider, caller.team_id)


def _row(name: str, model: ModelEntry, now: float) -> dict[str, Any]:
    row: dict[str, Any] = {"id": name, "object": "model", "created": model.created, "owned_by": model.provider.slug}
    if model.context:
        row["context_window"] = model.context
    if model.max_output:
        row["max_output_tokens"] = model.max_output
    if model.capabilities:
        row["capabilities"] = sorted(model.capabilities)
    row["stage"] = model.stage
    rates = model.rates_at(now)
    row["price"] = PRICE_UNKNOWN if rates is None else _price(rates)
    return row


def _price(rates: Rates) -> dict[str, str]:
    """For a million tokens, as text, so that nobody rounds it."""
    named = {
        "input_per_million": rates.input,
        "output_per_million": rates.output,
        "cached_per_million": rates.cached,
        "per_request": rates.per_request or None,
    }
    told = {name: f"{amount.normalize():f}" for name, amount in named.items() if amount is not None}
    return {"currency": rates.currency, **told}
