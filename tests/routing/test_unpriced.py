"""A model that nobody can price: the decision, the trace of it and the list of models say so. A free one is priced."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from billing.costs import Rates
from routing.asks import Ask
from routing.catalogue import models_body
from routing.decisions import Live
from routing.engine import decide
from routing.snapshot import Memo, ModelEntry, Snapshot
from tests.decisions.reading import house

NOW = datetime(2026, 11, 25, tzinfo=UTC)
FREE = Rates(1, "USD", Decimal(0), Decimal(0))


def alone_with(entry: ModelEntry) -> Snapshot:
    name = (entry.provider.slug, entry.model_id)
    return replace(
        house("house"), models={name: entry}, by_model_id={entry.model_id: (entry,)}, aliases={}, memo=Memo()
    )


def some_model(prices: tuple[Rates, ...], **fields: Any) -> ModelEntry:
    return replace(next(model for model in house("house").models.values() if model.offered), prices=prices, **fields)


def listed(prices: tuple[Rates, ...], now: float | None = None, **fields: Any) -> dict[str, Any]:
    (row,) = json.loads(models_body(alone_with(some_model(prices, **fields)), frozenset(), now=now))["data"]
    return dict(row)


def told(*prices: Rates) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the decision and the list of models say of the only model there is."""
    entry = some_model(prices)
    alone = alone_with(entry)
    decision = decide(Ask("req_0", entry.string), alone, Live(), now=NOW)
    (row,) = json.loads(models_body(alone, frozenset()))["data"]
    (candidate,) = json.loads(decision.as_json())["candidates"]
    return candidate, row


def test_an_unknown_price_is_said() -> None:
    candidate, row = told()
    assert (candidate["usable"], candidate["price"], row["price"]) == (True, "unknown", "unknown")


def test_a_free_model_has_a_price() -> None:
    candidate, row = told(FREE)
    assert "price" not in candidate
    assert row["price"] == {"currency": "USD", "input_per_million": "0", "output_per_million": "0"}


def test_the_list_says_what_holds_at_the_moment() -> None:
    now = NOW.timestamp()
    rates = (
        replace(FREE, input=Decimal("2.50"), output=Decimal(10), cached=Decimal("0.250"), valid_from=now + 3600),
        replace(FREE, input=Decimal(3), output=Decimal(12), per_request=Decimal("0.005")),
    )
    before, after = listed(rates, now), listed(rates, now + 3600)
    assert before["price"]["input_per_million"] == "3"
    assert before["price"]["per_request"] == "0.005"
    assert after["price"] == {
        "currency": "USD", "input_per_million": "2.5", "output_per_million": "10", "cached_per_million": "0.25"
    }  # fmt: skip


def test_the_list_says_what_a_model_can_do_and_how_long_it_is_there() -> None:
    row = listed((FREE,), capabilities=frozenset({"vision", "tools"}), stage="deprecated", context=8192)
    assert (row["capabilities"], row["stage"], row["context_window"]) == (["tools", "vision"], "deprecated", 8192)
