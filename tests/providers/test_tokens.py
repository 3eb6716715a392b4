# ruff: noqa: E501 - texts of scripts whose letters are wide
"""An estimate is held to what a real vocabulary says: the counts were made once with o200k, over these very texts."""

from __future__ import annotations

import pytest

from providers.tokens import PER_IMAGE, count_request, count_request_exactly, count_tokens, family_of
from tests.providers.talk import fields

# A text, and its tokens by o200k.
TEXTS: dict[str, tuple[str, int]] = {
    "english": (
        "A gateway stands between those who ask and those who answer. It knows which provider serves whi"
        "ch model, what each of them costs, and who may spend how much. When one of them fails before it"
        " has said a word, another one may step in; after that, an error is an error and is shown as one"
        ".",
        65,
    ),
    "french": (
        "Une passerelle se tient entre ceux qui demandent et ceux qui répondent. Elle sait quel fourniss"
        "eur propose quel modèle, combien coûte chacun d'eux et qui peut dépenser quoi. Lorsqu'un fourni"
        "sseur échoue avant d'avoir dit un mot, un autre peut prendre sa place.",
        57,
    ),
    "german": (
        "Ein Gateway steht zwischen denen, die fragen, und denen, die antworten. Es weiß, welcher Anbiet"
        "er welches Modell anbietet, was jedes davon kostet und wer wie viel ausgeben darf. Fällt einer "
        "aus, bevor er ein Wort gesagt hat, kann ein anderer einspringen.",
        57,
    ),
    "spanish": (
        "Una pasarela se encuentra entre quienes preguntan y quienes responden. Sabe qué proveedor ofrec"
        "e cada modelo, cuánto cuesta cada uno y quién puede gastar cuánto. Cuando uno falla antes de de"
        "cir una palabra, otro puede ocupar su lugar.",
        47,
    ),
    "russian": (
        "Шлюз стоит между теми, кто спрашивает, и теми, кто отвечает. Он знает, какой поставщик предлага"
        "ет какую модель, сколько стоит каждая из них и кто сколько может потратить.",
        42,
    ),
    "chinese": (
        "网关位于提问者和回答者之间。它知道哪个供应商提供哪个模型，每个模型的价格是多少，以及谁可以花费多少。当其中一个在说出第一个字之前失败时，另一个可以接替它。",
        52,
    ),
    "japanese": (
        "ゲートウェイは、質問する人と答える人の間に立っています。どのプロバイダーがどのモデルを提供し、それぞれの費用がいくらで、誰がいくら使えるかを知っています。",
        54,
    ),
    "korean": (
        "게이트웨이는 묻는 사람과 대답하는 사람 사이에 있습니다. 어떤 공급자가 어떤 모델을 제공하는지, 각각의 비용이 얼마인지, 누가 얼마를 쓸 수 있는지 알고 있습니다.",
        46,
    ),
    "arabic": (
        "تقف البوابة بين من يسأل ومن يجيب. وهي تعرف أي مزود يقدم أي نموذج، وكم يكلف كل منها، ومن يستطيع أن ينفق كم.",
        36,
    ),
    "python": (
        'def worst_case(tokens: int, limit: int, rates: Rates) -> int:\n    """The most that this can cos'
        't, in nano-units."""\n    total = tokens * rates.input + limit * rates.output\n    for name, valu'
        "e in sorted(rates.extras.items()):\n        if value is not None and name not in IGNORED:\n      "
        "      total += value * 1_000\n    return int(total / 1_000_000)\n",
        94,
    ),
    "json": (
        '{"id": "chatcmpl-1", "object": "chat.completion", "created": 1795000000, "choices": [{"index": '
        '0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}], "usage": {'
        '"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}}',
        84,
    ),
    "markdown": (
        "## Three ways to wait\n\n1. **Poll** every second: simple, and late by half a second on average.\n"
        "2. **Listen** on a channel: prompt, but a lost message is lost.\n3. Do both: `LISTEN` for speed,"
        " poll for certainty.\n\n| way | delay |\n|---|---|\n| poll | 500 ms |\n| listen | 5 ms |\n",
        83,
    ),
    "numbers": (
        "2026-11-25 14:05:31, 1,284 tokens in, 258 out, 8.4 s, 0.00310 EUR; 2026-11-25 14:05:28, 3,108 i"
        "n, 794 out, 2.9 s, 0.00105 EUR.",
        74,
    ),
}


# The same texts, in this order, by other vocabularies: Mistral v3, DeepSeek V3, Qwen3, Kimi K2, GLM-4, Gemma 3, Llama 3.
OTHERS: dict[str, tuple[int, ...]] = {
    "mistral": (65, 60, 62, 55, 47, 63, 54, 40, 36, 100, 96, 86, 102),
    "deepseek": (65, 67, 69, 59, 49, 43, 48, 55, 42, 97, 93, 80, 74),
    "qwen": (65, 69, 69, 59, 51, 45, 44, 52, 42, 99, 92, 85, 102),
    "moonshot": (65, 80, 83, 73, 69, 42, 66, 71, 59, 93, 82, 80, 74),
    "zhipu": (65, 64, 60, 58, 40, 44, 52, 68, 46, 93, 84, 83, 78),
    "gemini": (65, 58, 57, 47, 39, 48, 40, 42, 37, 111, 95, 89, 102),
    "llama": (65, 69, 69, 59, 49, 54, 52, 47, 43, 93, 84, 83, 74),
}


@pytest.mark.parametrize("family", OTHERS)
def test_other_vocabularies(family: str) -> None:
    counted = [count_tokens(family, text) for text, _ in TEXTS.values()]
    assert abs(sum(counted) - sum(OTHERS[family])) <= 0.06 * sum(OTHERS[family])
    assert all(abs(ours - true) <= 0.4 * true for ours, true in zip(counted, OTHERS[family], strict=True))


@pytest.mark.parametrize(
    ("kind", "model", "family"),
    [
        ("groq", "openai/gpt-oss-120b", "openai"),
        ("openrouter", "deepseek/deepseek-v4-pro", "deepseek"),
        ("huggingface", "Qwen/Qwen3.8-27B:ovhcloud", "qwen"),
        ("scaleway", "mistral-small-3.2-24b-instruct-2506", "mistral"),
        ("azure-openai", "our-deployment", "azure-openai"),
        ("moonshot", "kimi-k3", "moonshot"),
        ("zhipu", "glm-5.3-flash", "zhipu"),
        ("vllm", "Meta-Llama-3_3-70B-Instruct", "llama"),
        ("xai", "grok-4.7", "xai"),
    ],
)
def test_whose_vocabulary_a_model_has(kind: str, model: str, family: str) -> None:
    assert family_of(kind, model) == family


@pytest.mark.parametrize(("text", "tokens"), TEXTS.values(), ids=TEXTS.keys())
def test_estimates_are_near(text: str, tokens: int) -> None:
    assert abs(count_tokens("", text) - tokens) <= 0.3 * tokens


def test_over_all_texts_it_is_nearer_still() -> None:
    counted = sum(count_tokens("", text) for text, _ in TEXTS.values())
    tokens = sum(tokens for _, tokens in TEXTS.values())
    assert abs(counted - tokens) <= 0.08 * tokens


def test_nothing_is_nothing_and_anything_is_something() -> None:
    assert count_tokens("", "") == 0
    assert count_tokens("", "a") == 1


def test_long_texts_are_sampled_and_hardly_differ() -> None:
    text = " ".join(text for text, _ in TEXTS.values())
    whole = count_tokens("", text)
    assert count_tokens("", text * 40) == pytest.approx(whole * 40, rel=0.08)


def test_a_request_is_rather_over_than_underestimated_before_it_is_sent() -> None:
    estimated = 0
    for text, tokens in TEXTS.values():
        estimate = count_request("", fields(messages=[{"role": "user", "content": text}]))
        assert estimate >= 0.7 * tokens
        estimated += estimate
    assert estimated >= 1.2 * sum(tokens for _, tokens in TEXTS.values())


def test_tools_and_shapes_are_counted_too() -> None:
    plain = fields(messages=[{"role": "user", "content": "Hi"}])
    more = plain | fields(tools=[{"type": "function", "function": {"name": "lookup", "description": "Find " * 50}}])
    assert count_request("", more) > count_request("", plain) + 50
    assert count_request_exactly("", more) > count_request_exactly("", plain) + 50


def test_a_picture_is_no_text() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 900_000}}
    asked = fields(messages=[{"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]}])
    assert PER_IMAGE < count_request("", asked) < PER_IMAGE + 50
    assert PER_IMAGE < count_request_exactly("", asked) < PER_IMAGE + 50


def test_a_picture_behind_a_link_counts_like_one() -> None:
    """Its link is short: by its length, what a provider truly counts for it would look absurd."""
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    asked = fields(messages=[{"role": "user", "content": [picture]}])
    assert PER_IMAGE < count_request("", asked) < PER_IMAGE + 50


def test_exact_counts_do_not_count_the_json_around() -> None:
    text = 'He said "hello".\n' * 20
    assert count_request_exactly("", fields(messages=[{"role": "user", "content": text}])) <= count_tokens("", text) + 8


@pytest.mark.parametrize("messages", ["text", 3, [1, 2], {"a": 1}, [{"role": 3}], [{"content": [None, 7]}], None])
def test_messages_of_an_odd_shape_are_counted_somehow(messages: object) -> None:
    assert count_request_exactly("", fields(messages=messages)) > 0
