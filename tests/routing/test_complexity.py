"""How hard it is, on prompts with the level that a person would give them; and which language they are in."""

from __future__ import annotations

import json
from time import process_time
from typing import Any

import msgspec
import pytest

from routing.complexity import estimate
from routing.languages import language_of

CODE = "```python\ndef area(r):\n    return 3.14 * r ** 2\n```"

PROMPTS = {
    "low": [
        "Say hello.",
        "Hello",
        "What time is it in Tokyo?",
        "Translate 'good morning' into Spanish.",
        "Classify this review as positive or negative: the soup was cold.",
        "Is a whale a fish? Answer yes or no.",
        "Extract the e-mail address from: write to anna@example.org tomorrow.",
        "What is the capital of Portugal?",
        "Label the sentiment of this sentence: I love it.",
        "Fix the typos in: I has a apple.",
        "Who wrote Hamlet?",
        "Give me a synonym of happy.",
        "Rephrase this in a friendlier tone: send me the file.",
        "Define osmosis in one sentence.",
        "Convert 5 miles to kilometres.",
        "Dis bonjour",
        "Traduis « bonne nuit » en anglais.",
        "Quelle heure est-il à Paris ?",
        "Classe cet avis : positif ou négatif. La soupe était froide.",
        "Extrais le numéro de téléphone de ce message.",
        "Quelle est la capitale de la Suède ?",
        "Reformule cette phrase plus poliment : envoie-moi le fichier.",
        "Réponds par oui ou non : la baleine est-elle un poisson ?",
        "Corrige les fautes : il a mangés une pomme.",
        "Donne un synonyme de content.",
        "Qui a peint la Joconde ?",
    ],
    "medium": [
        "Compare SQLite with Postgres for a small team.",
        "Explain why the sky is blue to a child.",
        "Write a detailed description of our product.",
        "Analyse the tone of this speech.",
        "Plan a weekend in Lisbon.",
        "Write a report on last week's sales.",
        f"Please review this function.\n{CODE}",
        "Solve $x^2 - 5x + 6 = 0$.",
        "Give me the pros and cons of remote work.",
        "Suggest a strategy for our newsletter.",
        "Evaluate this idea: a bakery that delivers at night.",
        "Compare ces deux offres de téléphonie.",
        "Explique pourquoi le ciel est bleu.",
        "Rédige une description détaillée de notre produit.",
        "Analyse le ton de ce discours.",
        "Planifie un week-end à Lisbonne.",
        "Rédige un rapport sur les ventes de la semaine.",
        f"Relis cette fonction.\n{CODE}",
        "Propose une stratégie pour notre lettre d’information.",
        "Évalue cette idée : une boulangerie qui livre la nuit.",
    ],
    "high": [
        "Prove step by step that the square root of two is irrational.",
        f"Debug and refactor this module, and explain why it fails.\n{CODE}",
        "Design the architecture of a payment system and analyse its trade-offs in detail.",
        "Derive the closed form of $\\sum_{k=1}^{n} k^2$ step by step.",
        "Compare three databases, evaluate them for our load, and write a full report.",
        "Write a comprehensive analysis of the causes of the war, with its implications.",
        "Optimise this algorithm and prove its complexity.\n```c\nfor (;;) { i++; }\n```",
        "Diagnose the root cause of this crash:\nTraceback (most recent call last):\n  File x\nand plan the fix.",
        "Evaluate the trade-offs of four strategies and critique each at length.",
        "Design an experiment, simulate its outcomes and assess the result thoroughly.",
        "Démontre étape par étape que la racine de deux est irrationnelle.",
        f"Débogue et refactorise ce module, et explique pourquoi il échoue.\n{CODE}",
        "Conçois l’architecture d’un système de paiement et analyse ses conséquences en détail.",
        "Compare trois bases de données, évalue-les et rédige un rapport complet.",
        "Raisonne étape par étape et prouve ce théorème de façon détaillée.",
        "Analyse les avantages et inconvénients de quatre stratégies dans un rapport approfondi.",
    ],
}
LABELLED = [pytest.param(text, level, id=f"{level}: {text[:40]}") for level, texts in PROMPTS.items() for text in texts]


def fields(text: str, **more: Any) -> dict[str, msgspec.Raw]:
    told = {"messages": [{"role": "user", "content": text}]} | more
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in told.items()}


@pytest.mark.parametrize(("text", "level"), LABELLED)
def test_a_person_would_say_the_same(text: str, level: str) -> None:
    found = estimate(fields(text))
    assert found.level == level, found


def test_there_are_enough_of_them_in_both_languages() -> None:
    assert len(LABELLED) >= 60


def test_what_stands_around_the_text_counts() -> None:
    text = "Compare the two."
    tools = [{"type": "function", "function": {"name": "f"}}]
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}
    plain = estimate(fields(text))
    assert estimate(fields(text, tools=tools)).points == plain.points + 1
    assert estimate(fields(text, response_format=schema)).points == plain.points + 1
    assert estimate(fields(text, reasoning_effort="high")).points == plain.points + 4
    assert "the effort that was asked for (+4)" in estimate(fields(text, reasoning_effort="high")).reasons
    turns = [{"role": role, "content": text} for _ in range(8) for role in ("user", "assistant")]
    assert estimate(fields(text, messages=[*turns, {"role": "user", "content": text}])).points == plain.points + 1


def test_text_in_parts_is_read_and_pictures_are_not() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "data:prove"}}, {"type": "text", "text": "Prove it."}]
    found = estimate(fields("", messages=[{"role": "user", "content": parts}]))
    assert found.reasons == ("asks for thought: prove (+2)",)


def test_of_very_many_parts_the_ends_are_read() -> None:
    parts = [{"type": "text", "text": text} for text in ("Prove it.", *["lorem ipsum"] * 30_000, "Then compare.")]
    found = estimate(fields("", messages=[{"role": "user", "content": parts}]))
    assert "asks for thought: compare, prove (+4)" in found.reasons


def test_the_same_request_is_explained_in_the_same_words() -> None:
    """Of several words with one beginning the last one is named, in every process."""
    found = estimate(fields("Analyse it, and read the analysis of other analysts, then analyze."))
    assert found.reasons == ("asks for thought: analyze (+2)",)


@pytest.mark.parametrize(
    ("text", "is_code"), [("SELECT a FROM b", True), ("FROM b SELECT a", False), ("SELECT ", False)]
)
def test_a_query_is_code(text: str, is_code: bool) -> None:
    assert ("code (+2)" in estimate(fields(text)).reasons) is is_code


@pytest.mark.parametrize("messages", [[], [{"role": "user"}], [{"role": "user", "content": None}], [{"role": "tool"}]])
def test_nothing_said_is_nothing_hard(messages: Any) -> None:
    assert estimate(fields("", messages=messages)).level == "low"


def test_a_very_long_request_is_looked_at_from_both_ends() -> None:
    long = "Prove this. " + "lorem ipsum dolor sit amet " * 40_000 + " Then analyse it."
    began = process_time()
    found = estimate(fields(long))
    assert process_time() - began < 1.0  # a bound against a slip that reads all of it many times, no measurement
    assert {"asks for thought: analyse, prove (+4)", "a very long request (+2)"} <= set(found.reasons)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What is the weather like in Paris today?", "en"),
        ("Quel temps fait-il à Paris et comment est la mer ?", "fr"),
        ("Wie ist das Wetter heute in Berlin und was kann ich tun?", "de"),
        ("¿Qué tiempo hace en Madrid y cómo está el mar?", "es"),
        ("Che tempo fa a Roma e come è il mare?", "it"),
        ("Como está o tempo em Lisboa e o que você vai fazer?", "pt"),
        ("Hoe is het weer in Amsterdam en wat kan ik doen?", "nl"),
        ("Jaka jest pogoda w Warszawie i co można robić?", "pl"),
        ("Hur är vädret i Stockholm och vad kan jag göra?", "sv"),
        ("今日の天気はどうですか", "ja"),
        ("今天天气怎么样", "zh"),
        ("Какая сегодня погода", "ru"),
        ("ما هو الطقس اليوم", "ar"),
        ("오늘 날씨 어때요", "ko"),
        ("", ""),
        ("12345 67890", ""),
        ("Rotterdam", ""),
    ],
)
def test_languages_are_told_apart(text: str, language: str) -> None:
    assert language_of(text) == language
