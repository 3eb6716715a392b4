"""What vendors of the OpenAI wire want back, refuse, report or leave out: fields of their rows at work."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import msgspec
import pytest

from providers.adapters import adapter_for
from providers.adapters.shapes import read_usage
from providers.chat import EmbeddingRequest, Failed, Usage
from providers.errors import BadRequest, InvalidAnswer, Overloaded, ProviderError
from providers.wiring import HttpAnswer, ListedModel
from tests.providers.talk import asks, target
from tests.providers.test_openai_wire import DONE, answered, chunk, played, recorded

OPAQUE = {
    "reasoning_content": "A map.",
    "reasoning": "A map.",
    "reasoning_details": [{"type": "reasoning.text", "signature": "c2ln"}],
    "annotations": [],
    "relayhouse_state": {"vendor": "anthropic", "data": "sealed"},
}


def sent(kind: str, options: dict[str, Any] | None = None, **fields: Any) -> tuple[dict[str, Any], list[str]]:
    to = target("m", base_url="https://vendor.example", kind=kind, **(options or {}))
    http, warnings = adapter_for(to.kind).chat_request(asks(**fields), to)
    return json.loads(http.body), warnings


# -- state that belongs to one vendor ---------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        ("deepseek", {"reasoning_content"}),
        ("moonshot", {"reasoning_content"}),
        ("openrouter", {"reasoning", "reasoning_details", "annotations"}),
        ("openai", {"annotations"}),
        ("azure-openai", {"annotations"}),
        ("groq", set()),
        ("mistral", set()),
        ("vllm", set()),
    ],
)
def test_what_a_vendor_added_goes_back_to_those_who_want_it(kind: str, kept: set[str]) -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "A map.", **OPAQUE}]
    body, warnings = sent(kind, messages=messages)
    assert body["messages"][1].keys() - {"role", "content"} == kept
    assert all(body["messages"][1][name] == OPAQUE[name] for name in kept)
    assert warnings == [], "nobody asked for it: it is no loss"


def test_messages_that_only_speak_of_it_pass_as_they_are() -> None:
    text = 'What is "reasoning_content", and "annotations"?'
    raw = msgspec.Raw(b'[{"role":"user",  "content":"What is \\"reasoning_content\\"?"}]')
    request = asks(text)
    request.fields["messages"] = raw
    to = target(kind="openai")
    assert bytes(raw) in adapter_for(to.kind).chat_request(request, to)[0].body
    assert sent("openai", messages=[{"role": "user", "content": text}])[0]["messages"][0]["content"] == text


# -- what they refuse -------------------------------------------------------------------------


def test_fields_without_a_value_are_left_out_where_they_are_refused() -> None:
    message = {"role": "assistant", "content": "Yes.", "function_call": None, "refusal": None}
    assert sent("groq", messages=[message])[0]["messages"] == [{"role": "assistant", "content": "Yes."}]
    assert sent("openai", messages=[message])[0]["messages"] == [message]


@pytest.mark.parametrize("kind", ["deepseek", "zhipu"])
def test_forms_of_answers_that_are_not_known(kind: str) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    body, warnings = sent(kind, response_format=schema)
    assert "response_format" not in body
    assert "does not take json_schema" in warnings[0]
    assert sent(kind, response_format={"type": "json_object"})[0]["response_format"] == {"type": "json_object"}


def test_ids_of_calls_are_made_to_fit_and_go_on_fitting_each_other() -> None:
    names = ["call_abcdefghijkl", "aB3dE5fG7", "call_other"]
    calls = [{"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}} for name in names]
    messages = [
        {"role": "assistant", "content": "", "tool_calls": calls},
        *({"role": "tool", "tool_call_id": name, "content": "x"} for name in names),
    ]
    first, *answers = sent("mistral", messages=messages)[0]["messages"]
    fitted = [call["id"] for call in first["tool_calls"]]
    assert fitted == [message["tool_call_id"] for message in answers]
    assert all(len(name) == 9 and name.isalnum() for name in fitted)
    assert (fitted[1], len(set(fitted))) == (names[1], 3)
    assert sent("openai", messages=messages)[0]["messages"] == messages


@pytest.mark.parametrize("calls", ["none", [1], {"id": "x"}])
def test_calls_of_an_odd_shape_are_the_clients_mistake(calls: Any) -> None:
    with pytest.raises(BadRequest):
        sent("mistral", messages=[{"role": "assistant", "tool_calls": calls}])


def test_keywords_of_schemas_go_and_properties_of_their_name_stay() -> None:
    schema = {
        "$schema": "x",
        "type": "object",
        "additionalProperties": False,
        "properties": {"$id": {"type": "string"}, "in": {"type": "object", "additionalProperties": False}},
        "enum": [{"$id": 1}],
    }
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    body, warnings = sent("mistral", tools=[tool])
    assert body["tools"][0]["function"]["parameters"] == {
        "type": "object",
        "properties": {"$id": {"type": "string"}, "in": {"type": "object"}},
        "enum": [{"$id": 1}],
    }
    assert len(warnings) == 2
    assert sent("openai", tools=[tool])[0]["tools"] == [tool]


# -- addresses and headers ----------------------------------------------------------------------


def test_addresses_may_have_places_that_options_fill() -> None:
    row_of = target(kind="scaleway").kind.variants
    to = target(kind="scaleway", base_url=row_of["a project"], project_id="p-1")
    url = adapter_for(to.kind).chat_request(asks(), to)[0].url
    assert url == "https://api.scaleway.ai/p-1/v1/chat/completions"


@pytest.mark.parametrize(
    ("option", "there"), [({}, None), ({"organization": "org-1"}, "org-1"), ({"organization": "a\r\nb"}, None)]
)
def test_headers_that_an_option_fills(option: dict[str, str], there: str | None) -> None:
    to = target(kind="openai", **option)
    assert adapter_for(to.kind).chat_request(asks(), to)[0].headers.get("openai-organization") == there


@pytest.mark.parametrize(
    ("kind", "path"),
    [("openrouter", "/api/v1/key"), ("deepseek", "/user/balance"), ("groq", "/openai/v1/models"), ("qwen", None)],
)
def test_the_cheapest_question(kind: str, path: str | None) -> None:
    to = target(kind=kind)
    request = adapter_for(to.kind).health_request(to)
    assert (request is None) is (path is None)
    assert request is None or request.url.endswith(str(path))


# -- what an answer tells besides ------------------------------------------------------------------


def usage(kind: str, **said: Any) -> Usage | None:
    return read_usage(
        msgspec.Raw(json.dumps({"prompt_tokens": 9, "completion_tokens": 4} | said).encode()), target(kind=kind)
    )


@pytest.mark.parametrize(
    ("kind", "said", "nano"),
    [
        ("openrouter", {"cost": 0.0004}, 400_000),
        ("openrouter", {"cost": 0}, 0),
        (
            "openrouter",
            {"cost": 0.0001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.002}},
            2_100_000,
        ),
        ("openrouter", {"cost": 0.0001, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.002}}, 100_000),
        ("openrouter", {"cost": -1}, None),
        ("openrouter", {"cost": "dear"}, None),
        ("openrouter", {"cost": {"total_cost": 1}}, None),
        ("openrouter", {}, None),
        ("xai", {"cost_in_usd_ticks": 4_040_000}, 404_000),
        ("xai", {"cost_in_usd_ticks": -5}, None),
        ("vllm", {"cost": 0.5}, None),
    ],
)
def test_what_it_cost_where_the_vendor_says_so(kind: str, said: dict[str, Any], nano: int | None) -> None:
    counted = usage(kind, **said)
    assert counted is not None
    assert (counted.prompt, counted.completion, counted.reported_nano) == (9, 4, nano)


def test_spoken_tokens_are_of_the_input() -> None:
    counted = usage("openai", prompt_tokens_details={"audio_tokens": 7, "cached_tokens": 4})
    assert counted == Usage(5, 4, 0, 4, audio_input=5)


def test_the_documented_answer_of_xai_costs_what_it_says() -> None:
    counted = answered(recorded("xai-plain.json"), "xai").usage
    assert counted is not None
    assert counted.reported_nano == 404_000


def test_an_error_in_a_field_of_the_vendors_own_ends_a_stream() -> None:
    broken = b'data: {"id":"c","choices":[],"x_groq":{"id":"r","error":"over capacity"}}\n\n'
    said = played(chunk(delta={"content": "a"}) + broken + DONE, "groq")
    assert isinstance(said.events[-1], Failed)
    assert isinstance(said.events[-1].error, Overloaded)
    assert played(recorded("groq-reasoning.sse"), "groq").text == "Hi."


# -- lists of models -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "model"),
    [
        (
            {"capabilities": {"function_calling": True, "vision": False, "completion_chat": True}},
            ListedModel("m", capabilities={"tools": True, "vision": False}),
        ),
        (
            {"context_length": 9, "supports_image_in": True, "supports_reasoning": False},
            ListedModel("m", 9, capabilities={"vision": True, "reasoning": False}),
        ),
        (
            {"architecture": {"input_modalities": ["text", "image"]}, "supported_parameters": ["tools", "seed"]},
            ListedModel("m", capabilities={"vision": True, "tools": True, "reasoning": False, "json": False}),
        ),
        (
            {
                "providers": [
                    {"status": "live", "context_length": 8, "supports_tools": False},
                    {"status": "live", "context_length": 16, "supports_tools": True},
                    {"status": "error", "context_length": 99},
                ]
            },
            ListedModel("m", 16, capabilities={"tools": True}),
        ),
        ({"architecture": {"output_modalities": ["embeddings"]}}, ListedModel("m", embedding=True)),
    ],
)
def test_what_lists_say_about_abilities(entry: dict[str, Any], model: ListedModel) -> None:
    to = target()
    body = json.dumps({"data": [{"id": "m"} | entry]}).encode()
    assert adapter_for(to.kind).models_answer(HttpAnswer(200, {}, body), to) == [model]


@pytest.mark.parametrize(
    "name", ["bge-m3", "Qwen3-Embedding-8B", "sentence-transformers/all-MiniLM-L6-v2", "mxbai-embed"]
)
def test_embedding_models_are_known_by_their_names(name: str) -> None:
    to = target()
    body = json.dumps({"data": [{"id": name}]}).encode()
    assert adapter_for(to.kind).models_answer(HttpAnswer(200, {}, body), to)[0].embedding


# -- embeddings ------------------------------------------------------------------------------------


def embedded(body: Any, kind: str = "vllm") -> Any:
    to = target("m", kind=kind)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return adapter_for(to.kind).embedding_answer(HttpAnswer(200, {}, data), to)


def test_vectors_in_base64_although_nobody_asked() -> None:
    row = base64.b64encode(struct.pack("<2f", 1.5, -2.0)).decode()
    answer = embedded({"data": [{"index": 0, "embedding": row}], "usage": {"total_tokens": 3}})
    assert (answer.vectors, answer.model, answer.usage) == ([[1.5, -2.0]], "m", Usage(input=3))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        {"data": None},
        {"data": [{"index": 0, "embedding": "????"}]},
        {"data": [{"index": 0, "embedding": "AAA="}]},
        {"data": [{"index": 0, "embedding": [1]}, {"index": 2, "embedding": [2]}]},
        {"data": [{"index": 0, "embedding": [1]}, {"embedding": [2]}]},
        [[1.0]],
    ],
)
def test_what_are_no_embeddings(body: Any) -> None:
    with pytest.raises(InvalidAnswer):
        embedded(body)


def test_feature_extraction_is_a_bare_list() -> None:
    answer = embedded([[1.0, 2.0], [3.0, 4.0]], "huggingface")
    assert (answer.vectors, answer.usage) == ([[1.0, 2.0], [3.0, 4.0]], None)
    with pytest.raises(ProviderError):
        embedded({"error": "Model x is loading"}, "huggingface")


def test_a_kind_without_embeddings_says_so_before_anything_is_sent() -> None:
    to = target(kind="groq")
    with pytest.raises(BadRequest) as caught:
        adapter_for(to.kind).embedding_request(EmbeddingRequest(["a"]), to)
    assert not caught.value.sent
