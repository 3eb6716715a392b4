"""What is sent to each vendor, and what its list of models says."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from providers.adapters import adapter_for
from providers.errors import InvalidAnswer, ProviderError
from providers.wiring import HttpAnswer, ListedModel
from tests.providers.talk import SECRET, asks, target


def sent(
    kind: str, *, stream: bool = False, options: dict[str, Any] | None = None, **fields: Any
) -> tuple[Any, list[str]]:
    to = target("the-model", kind=kind, **(options or {}))
    http, warnings = adapter_for(to.kind).chat_request(asks(stream=stream, **fields), to)
    return json.loads(http.body), warnings


def test_the_model_is_the_providers_own_and_the_rest_is_as_it_came() -> None:
    body, warnings = sent("openai", model="openai:something", temperature=0.5, seed=3)
    assert body == {
        "messages": [{"role": "user", "content": "Hello?"}],
        "temperature": 0.5,
        "seed": 3,
        "model": "the-model",
    }
    assert warnings == []


def test_numbers_and_text_pass_as_the_bytes_they_are() -> None:
    request = asks()
    request.fields["temperature"] = msgspec.Raw(b"0.70000000000000000001")
    to = target(kind="openai")
    http, _ = adapter_for(to.kind).chat_request(request, to)
    assert b"0.70000000000000000001" in http.body


def test_usage_is_always_asked_for_where_it_may_be() -> None:
    assert sent("openai", stream=True)[0]["stream_options"] == {"include_usage": True}
    given = {"include_usage": False, "include_obfuscation": False}
    assert sent("openai", stream=True, stream_options=given)[0]["stream_options"] == {
        "include_usage": True,
        "include_obfuscation": False,
    }
    assert "stream_options" not in sent("mistral", stream=True, stream_options={"include_usage": True})[0]
    assert "stream_options" not in sent("openai")[0]


def test_renames_and_drops_are_said() -> None:
    body, warnings = sent("mistral", max_completion_tokens=5, seed=1, logit_bias={"1": 2}, user="bob")
    assert (body["max_tokens"], body["random_seed"]) == (5, 1)
    assert not {"max_completion_tokens", "seed", "logit_bias", "user"} & body.keys()
    assert warnings == [
        "'max_completion_tokens' was sent as 'max_tokens'.",
        "'seed' was sent as 'random_seed'.",
        "'logit_bias' was dropped: Mistral AI does not take it.",
        "'user' was dropped: Mistral AI does not take it.",
    ]


def test_of_two_names_for_one_thing_the_vendors_own_is_kept() -> None:
    body, warnings = sent("openai", max_tokens=5, max_completion_tokens=7)
    assert body["max_completion_tokens"] == 7
    assert warnings == ["'max_tokens' was dropped: 'max_completion_tokens' was given too."]


def test_values_a_vendor_does_not_take_are_dropped() -> None:
    assert "n" not in sent("groq", n=3)[0]
    assert sent("groq", n=1)[0]["n"] == 1
    assert "tool_choice" not in sent("zhipu", tool_choice="required")[0]


def test_roles_and_names_of_messages() -> None:
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi", "name": "bob"}]
    body, warnings = sent("groq", messages=messages)
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert len(warnings) == 2
    assert sent("openai", messages=messages)[0]["messages"] == messages


def test_fields_of_tools() -> None:
    tool = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {"type": "object"}}}
    body, warnings = sent("xai", tools=[tool])
    assert body["tools"][0]["function"] == {"name": "f", "parameters": {"type": "object"}}
    assert warnings == ["'tools.function.strict' was dropped: xAI does not take it."]


def test_what_the_request_does_not_say_the_provider_row_says() -> None:
    options = {"max_tokens": 4096, "temperature": 0.2}
    assert sent("openai", options=options)[0]["max_completion_tokens"] == 4096
    body, _ = sent("vllm", options=options, max_tokens=5, temperature=1)
    assert (body["max_tokens"], body["temperature"]) == (5, 1)


@pytest.mark.parametrize(
    ("kind", "base_url", "options", "url"),
    [
        ("openai", "", {}, "https://api.openai.com/v1/chat/completions"),
        ("openai", "https://api.openai.com/", {}, "https://api.openai.com/v1/chat/completions"),
        ("vllm", "http://localhost:8000", {}, "http://localhost:8000/v1/chat/completions"),
        ("vllm", "http://localhost:8000/v1/", {}, "http://localhost:8000/v1/chat/completions"),
        ("ollama", "http://localhost:11434", {}, "http://localhost:11434/api/chat"),
        ("ollama", "http://localhost:11434/v1/", {}, "http://localhost:11434/api/chat"),
        ("ollama", "http://house.example/ollama/v1", {}, "http://house.example/ollama/api/chat"),
        ("zhipu", "", {}, "https://api.z.ai/api/paas/v4/chat/completions"),
        (
            "azure-openai",
            "https://myresource.openai.azure.com/",
            {"api_version": "2024-02-01"},
            "https://myresource.openai.azure.com/openai/deployments/a%2Fb%3F/chat/completions?api-version=2024-02-01",
        ),
    ],
)
def test_where_it_goes(kind: str, base_url: str, options: dict[str, str], url: str) -> None:
    to = target("a/b?", base_url=base_url, kind=kind, **options)
    http, _ = adapter_for(to.kind).chat_request(asks(), to)
    assert http.url == url


def test_keys_are_carried_as_each_vendor_wants_it() -> None:
    for kind, header in (("openai", ("authorization", f"Bearer {SECRET}")), ("azure-openai", ("api-key", SECRET))):
        to = target(kind=kind, base_url="https://x.example")
        http, _ = adapter_for(to.kind).chat_request(asks(), to)
        assert header in http.headers.items()
        assert SECRET not in repr(http)


@pytest.mark.parametrize("secret", ["", "two\nlines", "schlüssel"])
def test_a_key_that_is_missing_or_cannot_be_sent(secret: str) -> None:
    to = target(kind="openai", secret=secret)
    with pytest.raises(ProviderError) as caught:
        adapter_for(to.kind).chat_request(asks(), to)
    assert (caught.value.reason, caught.value.sent) == ("upstream_auth", False)
    assert not secret or secret not in caught.value.message


# -- lists of models -------------------------------------------------------------------------


def listed(body: Any, kind: str = "vllm") -> list[ListedModel]:
    to = target(kind=kind)
    return adapter_for(to.kind).models_answer(HttpAnswer(200, {}, json.dumps(body).encode()), to)


@pytest.mark.parametrize(
    ("entry", "model"),
    [
        ({"id": "m", "max_model_len": 32768}, ListedModel("m", 32768)),
        ({"id": "m", "context_length": 9, "max_completion_tokens": 8}, ListedModel("m", 9, 8)),
        ({"id": "m", "context_window": 9, "max_output_tokens": 8}, ListedModel("m", 9, 8)),
        ({"id": "m", "max_context_length": 9, "name": "Em"}, ListedModel("m", 9, name="Em")),
        ({"id": "m", "context_length": 9, "top_provider": {"max_completion_tokens": 7}}, ListedModel("m", 9, 7)),
        ({"id": "ai/m", "dmr": {"context_window": 8192}}, ListedModel("ai/m", 8192)),
        ({"id": "text-embedding-3-small"}, ListedModel("text-embedding-3-small", embedding=True)),
        ({"id": "m", "type": "embedding", "context_length": -1}, ListedModel("m", embedding=True)),
        ({"id": "m", "context_length": "long"}, ListedModel("m")),
    ],
)
def test_what_a_list_says_about_a_model(entry: dict[str, Any], model: ListedModel) -> None:
    assert listed({"object": "list", "data": [entry]}) == [model]


def test_what_is_no_model_is_left_out() -> None:
    assert listed({"data": [{}, None, "m", {"id": ""}, {"id": 7}, {"id": "x" * 300}, {"id": "a\nb"}, {"id": "m"}]}) == [
        ListedModel("m")
    ]
    names = ["gpt-6-sol", "whisper-1", "gpt-image-2", "text-embedding-3-small"]
    assert [model.id for model in listed({"data": [{"id": name} for name in names]}, "openai")] == [
        "gpt-6-sol",
        "text-embedding-3-small",
    ]


@pytest.mark.parametrize("body", [{}, {"data": {}}, "no", 3, {"models": []}])
def test_no_list_is_an_invalid_answer(body: Any) -> None:
    with pytest.raises(InvalidAnswer):
        listed(body)
