"""What vendors publish: found under every name a model has, and whole enough to seed rows from."""

from __future__ import annotations

import json

import pytest

from providers import catalogue
from providers.registry import KINDS

ALL = json.loads(catalogue.FILE.read_text("utf-8"))["kinds"]


@pytest.mark.parametrize(
    ("kind", "name", "found"),
    [
        ("openai", "gpt-6-sol", "gpt-6-sol"),
        ("openai", "GPT-6-Sol", "gpt-6-sol"),
        ("openai", "gpt-6-sol-2026-07-01", "gpt-6-sol"),
        ("gemini", "models/gemini-4-argon", "gemini-4-argon"),
        ("mistral", "mistral-large-latest", "mistral-large-2512"),
        ("anthropic", "claude-sonnet-5-5-20260901", "claude-sonnet-5-5"),
        ("openai", "gpt-nobody-knows", None),
        ("vllm", "gpt-6-sol", None),
        ("nobody", "gpt-6-sol", None),
    ],
)
def test_it_is_found_under_every_name(kind: str, name: str, found: str | None) -> None:
    entry = catalogue.find(kind, name)
    assert (entry["id"] if entry else None) == found


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("gpt-6-sol", "gpt-6-sol"),
        ("openai/gpt-6-sol", "gpt-6-sol"),
        ("deepseek-ai/DeepSeek-V4.1-Flash:novita", "deepseek-v4.1-flash"),
        ("eu.anthropic.claude-opus-5-20260201-v1:0", "claude-opus-5"),
        ("models/gemini-4-argon", "gemini-4-argon"),
        ("llama3.1:8b", "llama3.1:8b"),
        ("claude-sonnet-5-5@20260901", "claude-sonnet-5-5"),
    ],
)
def test_the_same_model_has_one_name_everywhere(name: str, canonical: str) -> None:
    assert catalogue.canonical(name) == canonical


def test_every_kind_in_it_is_a_row_of_the_registry() -> None:
    assert {kind["kind"] for kind in ALL} <= KINDS.keys()


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind["kind"])
def test_every_model_says_what_it_can_do(kind: dict[str, object]) -> None:
    for model in kind["models"]:  # type: ignore[attr-defined]
        assert model["capabilities"], model["id"]
        assert model["kind"] in ("chat", "embedding"), model["id"]
