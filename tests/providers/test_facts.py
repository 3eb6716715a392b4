"""Who says what of a model, and that people have the last word."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from providers import facts
from providers.facts import CATALOGUE, HERE, LIST, effective, set_override, settle
from providers.models import LanguageModel
from providers.wiring import ListedModel
from tests.factories import make_model, make_provider

pytestmark = pytest.mark.django_db


@pytest.fixture
def row() -> LanguageModel:
    model = make_model(make_provider("OpenAI", "openai", secret="test-key-openai"), "gpt-6-sol")
    settle(model, None)
    model.save()
    return model


def fresh(model: LanguageModel) -> LanguageModel:
    return LanguageModel.objects.get(pk=model.pk)


def test_the_catalogue_fills_what_a_list_leaves_open(row: LanguageModel) -> None:
    assert {"tools", "vision", "structured_output"} <= set(row.capabilities)
    assert row.lacks == ["audio_input", "embeddings"]
    assert (row.context, row.max_output) == (1_050_000, 128_000)
    assert row.parameters["reasoning_model"] is True
    assert row.canonical == "gpt-6-sol"


def test_the_list_knows_better_than_the_catalogue(row: LanguageModel) -> None:
    assert settle(row, ListedModel("gpt-6-sol", context=200_000, capabilities={"vision": False}))
    assert "vision" in row.lacks
    assert "vision" not in row.capabilities
    assert row.context == 200_000


def test_an_ability_has_one_name_whatever_the_list_calls_it(row: LanguageModel) -> None:
    settle(row, ListedModel("gpt-6-sol", capabilities={"json": False, "audio": True}))
    assert "structured_output" in row.lacks
    assert "audio_input" in row.capabilities
    assert not {"json", "audio"} & {*row.capabilities, *row.lacks}


def test_people_know_better_than_both_and_reading_the_list_again_does_not_undo_it(row: LanguageModel) -> None:
    set_override(row, context=64_000, vision=False, audio_input=True)
    settle(row, ListedModel("gpt-6-sol", context=200_000, capabilities={"vision": True}))
    row.save()
    told = effective(fresh(row))
    assert told.context == 64_000
    assert "vision" in told.cannot
    assert "audio_input" in told.can
    assert (told.said["context"], told.said["vision"], told.said["tools"]) == (HERE, HERE, CATALOGUE)


def test_what_was_set_can_be_taken_back(row: LanguageModel) -> None:
    set_override(row, vision=False, context=64_000)
    set_override(row, vision=None, context=None)
    told = effective(fresh(row))
    assert "vision" in told.can
    assert told.context == 1_050_000
    assert fresh(row).overrides == {}


def test_settling_twice_changes_nothing(row: LanguageModel) -> None:
    assert not settle(row, None)


def test_of_a_model_nobody_knows_nothing_is_said() -> None:
    model = make_model(make_provider("Mine", "vllm"), "my-own")
    settle(model, ListedModel("my-own", context=8192, capabilities={"tools": True}))
    assert (model.capabilities, model.lacks, model.context) == (["tools"], [], 8192)
    assert effective(model).said["tools"] == LIST


@pytest.mark.parametrize(
    ("today", "stage"),
    [(date(2024, 1, 1), "stable"), (date(2026, 11, 25), "deprecated"), (date(2027, 2, 1), "retired")],
)
def test_a_model_that_will_be_switched_off(today: date, stage: str) -> None:
    model = make_model(make_provider("OpenAI", "openai", secret="test-key-openai"), "gpt-4o")
    settle(model, None, today)
    assert model.retires_on == date(2027, 1, 14)
    assert model.stage == stage


def test_every_ability_has_its_place() -> None:
    assert set(facts.NEEDED) < set(facts.ABILITIES)


def test_changing_what_is_known_is_noticed_by_every_process(row: LanguageModel, django_assert_num_queries: Any) -> None:
    from providers.models import current_revision

    before = current_revision()[0]
    set_override(row, tools=False)
    assert current_revision()[0] > before
