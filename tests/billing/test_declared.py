"""A model's first price: as its provider declares it, as the catalogue has it, or none, which everybody is shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from billing.declared import catalogue_steps, price_declared
from billing.models import Price
from billing.prices import SINCE, at_moment, price_at, rates_of, same, steps_of, unpriced
from providers import catalogue
from providers.models import LanguageModel, Provider, current_revision
from tests.factories import make_model, make_price, make_provider

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def entries() -> list[tuple[str, dict[str, Any]]]:
    told = json.loads(catalogue.FILE.read_text("utf-8"))["kinds"]
    return [(kind["kind"], model) for kind in told for model in kind["models"]]


def named(field: str) -> tuple[str, str]:
    """Some model of the catalogue of which it tells this."""
    return next((kind, str(entry["id"])) for kind, entry in entries() if entry.get(field))


def model_of(kind: str, model_id: str) -> LanguageModel:
    return make_model(make_provider("Vendor", kind, secret="test-key-of-a-vendor"), model_id)


def test_the_whole_catalogue_can_be_reckoned_with() -> None:
    priced = 0
    for kind, entry in entries():
        steps = catalogue_steps(LanguageModel(provider=Provider(kind=kind), model_id=entry["id"]))
        priced += bool(steps)
        for step in steps:
            rates_of(step)
            assert 0 < len(step.source) <= 200
        begun = [step.valid_from or SINCE for step in steps]
        assert begun == sorted(set(begun)), entry["id"]
    assert priced > 100


@pytest.mark.store
@pytest.mark.django_db
@pytest.mark.parametrize("field", ["tiers", "price_windows", "price_changes", "price_history"])
def test_a_model_of_the_cloud_gets_its_rows_from_the_catalogue(field: str) -> None:
    model = model_of(*named(field))
    steps = catalogue_steps(model)
    assert price_declared(model.provider) == 1
    rows = list(model.prices.order_by("valid_from"))
    assert [row.valid_from for row in rows] == [step.valid_from or SINCE for step in steps]
    assert all(same(rates_of(row), rates_of(step)) for row, step in zip(rows, steps, strict=True))
    assert {row.source for row in rows} == {step.source for step in steps}
    assert {row.set_by_id for row in rows} == {None}
    current = at_moment(steps, NOW)
    row = price_at(model, NOW)
    assert row is not None
    assert current is not None
    assert same(rates_of(row), rates_of(current))
    if field == "price_changes":
        assert len(rows) > 1  # announced
    assert price_declared(model.provider) == 0


@pytest.mark.store
@pytest.mark.django_db
def test_what_nobody_knows_has_no_price_and_what_somebody_set_stays() -> None:
    kind, known = named("input_usd_per_mtok")
    unknown = model_of(kind, "nobody-knows-it")
    mine = make_price(make_model(unknown.provider, known), "1", "2", set_by_id=7)
    before = current_revision()
    assert price_declared(unknown.provider) == 0
    assert list(Price.objects.filter(model__provider=unknown.provider)) == [mine]
    assert unknown in unpriced()
    assert current_revision() == before


@pytest.mark.django_db
def test_a_server_of_our_own_is_free_whatever_the_catalogue_says() -> None:
    model = make_model(make_provider("House", "vllm", base_url="http://127.0.0.1:1/v1"), "anything")
    assert price_declared(model.provider) == 1
    row = model.prices.get()
    assert (row.input_per_million, row.output_per_million, row.source) == (0, 0, "a server of our own")


def test_a_price_found_under_another_name_says_so() -> None:
    entry = {"id": "alpha", "kind": "chat", "input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}
    assert steps_of(entry, source="the catalogue")[0].source == "the catalogue"
    kind, name = next(
        (kind, str(entry["id"]))
        for kind, entry in entries()
        if kind == "openai" and entry["kind"] == "chat" and entry.get("input_usd_per_mtok")
    )
    found = catalogue_steps(LanguageModel(provider=Provider(kind=kind), model_id=f"{name}-2026-01-31"))
    assert all(step.source.endswith(f", as {name}") for step in found)
    assert found
