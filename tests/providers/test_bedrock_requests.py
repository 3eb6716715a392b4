"""What Bedrock's Converse is asked: byte for byte as documented, and signed or with a key of its own."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import botocore.session
import pytest
import time_machine
from botocore.validate import ParamValidator

from providers.adapters import adapter_for
from providers.chat import EmbeddingRequest, State, Usage
from providers.errors import BadRequest, InvalidAnswer, ProviderError
from providers.registry import KINDS
from providers.wiring import HttpAnswer, ListedModel
from tests.cloud import recorded
from tests.providers.talk import asks
from tests.providers.test_bedrock_wire import NOVA, answered, played, recording, to
from tests.providers.test_registry import EVERYTHING

CLAUDE = "eu.anthropic.claude-example-v1:0"
PAIR = '{"access_key_id":"TESTACCESSKEY","secret_access_key":"test-secret-0123456789"}'
PNG = "iVBORw0KGgo="
TOOL = {"type": "function", "function": {"name": "lookup", "description": "Find a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}  # fmt: skip
CALL = {"id": "t1", "type": "function", "function": {"name": "lookup", "arguments": '{"city": "Riga"}'}}


def sent(model: str = NOVA, **fields: Any) -> dict[str, Any]:
    http, _ = adapter_for(KINDS["bedrock"]).chat_request(asks(**fields), to(model))
    return json.loads(http.body)


def warned(model: str = NOVA, **fields: Any) -> list[str]:
    return adapter_for(KINDS["bedrock"]).chat_request(asks(**fields), to(model))[1]


def talk(*messages: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    return sent(messages=list(messages), **fields)["messages"]


# -- requests ---------------------------------------------------------------------------


def test_where_a_request_goes() -> None:
    adapter = adapter_for(KINDS["bedrock"])
    http, _ = adapter.chat_request(asks(), to())
    assert http.url == "https://bedrock-runtime.eu-west-1.amazonaws.com/model/amazon.nova-pro-v1%3A0/converse"
    assert http.headers == {
        "content-type": "application/json",
        "accept": "application/json",
        "authorization": "Bearer test-key-bedrock-0123456789",
    }
    arn = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/abc"
    http, _ = adapter.chat_request(asks(stream=True), to(arn))
    assert http.url.endswith(
        "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A111122223333%3Aapplication-inference-profile%2Fabc/converse-stream"
    )
    assert http.headers["accept"] == "application/vnd.amazon.eventstream"


@pytest.mark.parametrize(
    "secret",
    [PAIR, "TESTACCESSKEY:test-secret-0123456789"],
    ids=["json", "colons"],
)
def test_a_pair_of_keys_signs(secret: str) -> None:
    with time_machine.travel(datetime(2026, 11, 21, 12, tzinfo=UTC), tick=False):
        http, _ = adapter_for(KINDS["bedrock"]).chat_request(asks(), to(secret=secret))
    assert http.headers["x-amz-date"] == "20261121T120000Z"
    assert http.headers["authorization"].startswith(
        "AWS4-HMAC-SHA256 Credential=TESTACCESSKEY/20261121/eu-west-1/bedrock/aws4_request, "
        "SignedHeaders=accept;content-type;host;x-amz-date, Signature="
    )
    assert "test-secret" not in str(http.headers)
    assert "x-amz-security-token" not in http.headers


def test_a_session_token_is_sent_and_signed() -> None:
    http, _ = adapter_for(KINDS["bedrock"]).chat_request(
        asks(), to(secret="TESTACCESSKEY:test-secret-0123456789:test-session+/=")
    )
    assert http.headers["x-amz-security-token"] == "test-session+/="
    assert "x-amz-security-token" in http.headers["authorization"]


@pytest.mark.parametrize("secret", ["", '{"access_key_id":"TESTACCESSKEY"}', "{broken", "test-key\r\nx-evil: 1"])
def test_a_key_that_cannot_be_used_is_told_without_showing_it(secret: str) -> None:
    with pytest.raises(ProviderError) as caught:
        adapter_for(KINDS["bedrock"]).chat_request(asks(), to(secret=secret))
    assert not caught.value.sent
    assert not secret or secret not in caught.value.message


@pytest.mark.parametrize("region", [None, "", "evil.example/", "eu-west-1.evil.example", 7])
def test_a_region_is_a_region(region: Any) -> None:
    with pytest.raises(ProviderError, match="region") as caught:
        adapter_for(KINDS["bedrock"]).chat_request(asks(), to(region=region))
    assert not caught.value.sent


def test_a_whole_request() -> None:
    body = sent(
        messages=[
            {"role": "system", "content": [
                {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]},
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            ]},
        ],
        max_tokens=200, temperature=0.2, top_p=0.9, stop="END", tools=[TOOL], tool_choice="auto",
        response_format={"type": "json_schema", "json_schema": {"name": "out", "schema": {"type": "object"}}},
    )  # fmt: skip
    assert body == {
        "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}],
        "messages": [{"role": "user", "content": [
            {"text": "What is this?"}, {"image": {"format": "png", "source": {"bytes": PNG}}}]}],
        "inferenceConfig": {"maxTokens": 200, "temperature": 0.2, "topP": 0.9, "stopSequences": ["END"]},
        "toolConfig": {
            "tools": [{"toolSpec": {"name": "lookup", "description": "Find a city", "inputSchema": {
                "json": {"type": "object", "properties": {"city": {"type": "string"}}}}}}],
            "toolChoice": {"auto": {}}},
        "outputConfig": {"textFormat": {"type": "json_schema", "structure": {
            "jsonSchema": {"name": "out", "schema": '{"type":"object"}'}}}},
    }  # fmt: skip


def test_neighbours_are_merged_and_blanks_dropped() -> None:
    told = talk(
        {"role": "user", "content": "One."},
        {"role": "user", "content": [{"type": "text", "text": "  "}, {"type": "text", "text": "Two."}]},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "Three."},
    )
    assert told == [{"role": "user", "content": [{"text": "One."}, {"text": "Two."}, {"text": "Three."}]}]


def test_calls_and_their_results() -> None:
    odd = {**CALL, "id": "call with blanks"}
    body = sent(
        messages=[
            {"role": "user", "content": "Where?"},
            {"role": "assistant", "content": None, "tool_calls": [CALL, odd]},
            {"role": "tool", "tool_call_id": "t1", "content": "42"},
            {"role": "tool", "tool_call_id": "call with blanks", "content": ""},
            {"role": "user", "content": "Go on."},
        ]
    )
    assert body["messages"][1:] == [
        {"role": "assistant", "content": [
            {"toolUse": {"toolUseId": "t1", "name": "lookup", "input": {"city": "Riga"}}},
            {"toolUse": {"toolUseId": "call_1", "name": "lookup", "input": {"city": "Riga"}}}]},
        {"role": "user", "content": [
            {"toolResult": {"toolUseId": "t1", "content": [{"text": "42"}], "status": "success"}},
            {"toolResult": {"toolUseId": "call_1", "content": [], "status": "success"}},
            {"text": "Go on."}]},
    ]  # fmt: skip
    # Tools must be declared when the history has calls, even if they are not offered any more.
    assert body["toolConfig"] == {
        "tools": [{"toolSpec": {"name": "lookup", "inputSchema": {"json": {"type": "object"}}}}]
    }


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ("required", {"any": {}}),
        ({"type": "function", "function": {"name": "lookup"}}, {"tool": {"name": "lookup"}}),
        (None, None),
    ],
)
def test_the_choice_of_a_tool(choice: Any, told: Any) -> None:
    assert sent(tools=[TOOL], tool_choice=choice)["toolConfig"].get("toolChoice") == told


def test_no_tool_means_no_tools() -> None:
    assert "toolConfig" not in sent(tools=[TOOL], tool_choice="none")
    history = [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "t1", "content": "42"},
    ]
    assert "toolChoice" not in sent(messages=history, tools=[TOOL], tool_choice="none")["toolConfig"]
    assert warned(messages=history, tools=[TOOL], tool_choice="none") == [
        "'tool_choice' was dropped: Amazon Bedrock does not take it."
    ]


def test_documents_have_clean_names_of_their_own() -> None:
    def file(name: str, kind: str) -> dict[str, Any]:
        return {"type": "file", "file": {"filename": name, "file_data": f"data:{kind};base64,QQ=="}}

    pdf = file("Q3_report (final)!.pdf", "application/pdf")
    (told,) = talk({"role": "user", "content": [pdf, pdf, file("", "text/markdown")]})
    names = [block["document"]["name"] for block in told["content"]]
    assert names == ["Q3 report (final)", "Q3 report (final) (2)", "document"]
    assert told["content"][2] == {"document": {"name": "document", "format": "md", "source": {"bytes": "QQ=="}}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([{"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}], "base64"),
        ([{"type": "image_url", "image_url": {"url": f"data:image/tiff;base64,{PNG}"}}], "image/tiff"),
        ([{"type": "file", "file": {"file_data": "data:application/zip;base64,QQ=="}}], "application/zip"),
    ],
)
def test_media_it_does_not_take_are_refused_before_they_are_sent(content: Any, words: str) -> None:
    with pytest.raises(BadRequest, match=words) as caught:
        sent(messages=[{"role": "user", "content": content}])
    assert (caught.value.sent, caught.value.param) == (False, "messages")


def test_the_first_message_is_the_users() -> None:
    with pytest.raises(BadRequest, match="first message"):
        sent(messages=[{"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "Hi"}])


@pytest.mark.parametrize(
    ("model", "effort", "output", "extra"),
    [
        (CLAUDE, "high", {"effort": "high"}, {"thinking": {"type": "adaptive"}}),
        (CLAUDE, "minimal", {"effort": "low"}, {"thinking": {"type": "adaptive"}}),
        (CLAUDE, "none", None, {"thinking": {"type": "disabled"}}),
        (NOVA, "medium", {"effort": "medium"}, None),
        (NOVA, "none", None, None),
    ],
)
def test_effort(model: str, effort: str, output: Any, extra: Any) -> None:
    body = sent(model, reasoning_effort=effort)
    assert (body.get("outputConfig"), body.get("additionalModelRequestFields")) == (output, extra)
    assert any("reasoning_effort" in words for words in warned(model, reasoning_effort=effort)) is (
        model == NOVA and effort == "none"
    )


def test_what_the_provider_adds_of_its_own() -> None:
    settings_ = {
        "guardrail": "gr-1",
        "guardrail_version": 3,
        "additional_model_request_fields": {"top_k": 5},
        "max_tokens": 99,
    }
    http, _ = adapter_for(KINDS["bedrock"]).chat_request(asks(), to(**settings_))
    body = json.loads(http.body)
    assert body["guardrailConfig"] == {"guardrailIdentifier": "gr-1", "guardrailVersion": "3"}
    assert body["additionalModelRequestFields"] == {"top_k": 5}
    assert body["inferenceConfig"] == {"maxTokens": 99}


def test_nothing_is_dropped_in_silence() -> None:
    taken = {"messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "tools", "tool_choice",
             "response_format", "reasoning_effort", "stream_options"}  # fmt: skip
    once = {"safety_identifier": "user"}  # two names of one thing
    warnings = warned(**EVERYTHING)
    for name in EVERYTHING.keys() - taken:
        assert any(f"'{once.get(name, name)}'" in warning for warning in warnings), name


def test_the_library_of_the_vendor_knows_every_field_of_it() -> None:
    session = botocore.session.Session()
    operation = session.get_service_model("bedrock-runtime").operation_model("Converse")
    state = json.dumps([{"reasoningText": {"text": "Hm.", "signature": "c2ln"}}, {"redactedContent": "QQ=="}])
    body = sent(
        CLAUDE,
        **EVERYTHING
        | {"messages": [
            {"role": "system", "content": [{"type": "text", "text": "Be brief.", "cache_control": {}}]},
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?", "cache_control": {}},
                {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{PNG}"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QQ=="}},
                {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}},
            ]},
            {"role": "assistant", "tool_calls": [CALL], "relayhouse_state": {"vendor": "bedrock", "data": state}},
            {"role": "tool", "tool_call_id": "t1", "content": "42"},
        ]},
    )  # fmt: skip
    report = ParamValidator().validate(body | {"modelId": CLAUDE}, operation.input_shape)
    assert not report.has_errors(), report.generate_report()
    wrong = ParamValidator().validate(
        {"modelId": CLAUDE, "messages": [{"role": "user"}], "x": 1}, operation.input_shape
    )
    assert wrong.has_errors(), "it would have told"


# -- state ------------------------------------------------------------------------------


def test_signed_reasoning_comes_and_goes_back_unchanged() -> None:
    whole, streamed = answered("thinking.json"), played(recording("thinking.events"))
    state = next(event for event in streamed.events if isinstance(event, State))
    assert whole.state == state
    assert (whole.reasoning, whole.text) == (streamed.reasoning, streamed.text) == ("Five is odd.", "Odd.")
    (_, told, _) = talk(
        {"role": "user", "content": "Five?"},
        {"role": "assistant", "content": "Odd.", "relayhouse_state": {"vendor": "bedrock", "data": state.data}},
        {"role": "user", "content": "Sure?"},
    )
    source = json.loads(recorded("bedrock/thinking.json"))["output"]["message"]
    assert told == source


@pytest.mark.parametrize("data", ["nonsense", '{"a":1}', '[{"reasoningText":7}]', "[" * 5000])
def test_state_that_is_none_is_left_out(data: str) -> None:
    message = {"role": "assistant", "content": "Odd.", "relayhouse_state": {"vendor": "bedrock", "data": data}}
    messages = [{"role": "user", "content": "Five?"}, message, {"role": "user", "content": "Sure?"}]
    assert sent(messages=messages)["messages"][1]["content"] == [{"text": "Odd."}]
    assert any("relayhouse_state" in words for words in warned(messages=messages))


def test_another_vendors_state_is_not_sent() -> None:
    message = {"role": "assistant", "content": "Odd.", "relayhouse_state": {"vendor": "anthropic", "data": "[]"}}
    told = talk({"role": "user", "content": "Five?"}, message, {"role": "user", "content": "Sure?"})
    assert told[1]["content"] == [{"text": "Odd."}]


# -- lists and embeddings -------------------------------------------------------------------


def test_what_is_on_the_list() -> None:
    adapter = adapter_for(KINDS["bedrock"])
    models = adapter.models_answer(HttpAnswer(200, {}, recorded("bedrock/models.json")), to())
    assert models == [
        ListedModel(NOVA, name="Nova Pro", capabilities={"streaming": True, "vision": True}),
        ListedModel("amazon.titan-embed-text-v2:0", embedding=True, name="Titan Text Embeddings V2"),
        ListedModel(
            "meta.llama3-8b-instruct-v1:0", name="Llama 3 8B", capabilities={"streaming": False, "vision": False}
        ),
    ]
    profiles = adapter.models_answer(HttpAnswer(200, {}, recorded("bedrock/profiles.json")), to())
    assert profiles == [
        ListedModel("eu.example.claude-v1:0", name="EU Claude"),
        ListedModel("global.cohere.embed-v4:0", embedding=True, name="Global Cohere Embed"),
    ]


def test_lists_are_read_from_the_control_host() -> None:
    adapter = adapter_for(KINDS["bedrock"])
    request = adapter.models_request(to(secret=PAIR))
    assert request is not None
    assert request.url == "https://bedrock.eu-west-1.amazonaws.com/foundation-models"
    assert "/eu-west-1/bedrock/aws4_request" in request.headers["authorization"]
    health = adapter.health_request(to())
    assert health is not None
    assert health.url.startswith("https://bedrock.eu-west-1.amazonaws.com/foundation-models?")


def test_a_key_that_may_not_list_names_its_models() -> None:
    adapter = adapter_for(KINDS["bedrock"])
    assert adapter.models_request(to(models=[NOVA])) is None
    assert adapter.health_request(to(models=[NOVA])) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{}", b'{"modelSummaries":7}', b"<html>"])
def test_what_is_no_list(body: bytes) -> None:
    with pytest.raises(InvalidAnswer):
        adapter_for(KINDS["bedrock"]).models_answer(HttpAnswer(200, {}, body), to())


def test_entries_that_are_none_are_passed_over() -> None:
    body = json.dumps({"modelSummaries": [7, {}, {"modelId": ""}, {"modelId": "x\n"}, {"modelId": "good"}]}).encode()
    models = adapter_for(KINDS["bedrock"]).models_answer(HttpAnswer(200, {}, body), to())
    assert [model.id for model in models] == ["good"]


def embed(model: str, *texts: str, dimensions: int | None = None) -> tuple[str, dict[str, Any], list[str]]:
    request = EmbeddingRequest(list(texts), dimensions)
    http, warnings = adapter_for(KINDS["bedrock"]).embedding_request(request, to(model))
    return http.url.rpartition(".com")[2], json.loads(http.body), warnings


def test_embeddings_are_asked_for_in_each_makers_words() -> None:
    titan = "amazon.titan-embed-text-v2:0"
    assert embed(titan, "hi", dimensions=512) == (
        "/model/amazon.titan-embed-text-v2%3A0/invoke",
        {"inputText": "hi", "dimensions": 512},
        [],
    )
    _, body, warnings = embed("global.cohere.embed-v4:0", "a", "b", dimensions=512)
    assert body == {"texts": ["a", "b"], "input_type": "search_document"}
    assert warnings == ["'dimensions' was dropped: this model does not take it."]
    with pytest.raises(BadRequest, match="one text"):
        embed(titan, "a", "b")
    with pytest.raises(BadRequest, match="not known"):
        embed("example.embedder", "a")


@pytest.mark.parametrize(
    ("model", "most"),
    [
        ("amazon.titan-embed-text-v2:0", 1),
        ("cohere.embed-multilingual-v3", 96),
        ("global.cohere.embed-v4:0", 96),
        ("arn:aws:bedrock:eu-west-1::foundation-model/cohere.embed-english-v3", 96),
        ("example.embedder", 1),
    ],
)
def test_some_makers_take_many_texts_at_once(model: str, most: int) -> None:
    assert KINDS["bedrock"].texts_at_once(model) == most


@pytest.mark.parametrize(
    ("body", "vectors", "usage"),
    [
        ({"embedding": [0.5, -1], "inputTextTokenCount": 2}, [[0.5, -1.0]], Usage(input=2)),
        ({"id": "x", "texts": ["a"], "embeddings": [[1, 2], [3, 4]]}, [[1.0, 2.0], [3.0, 4.0]], None),
        ({"embeddings": {"float": [[1, 2]]}}, [[1.0, 2.0]], None),
    ],
)
def test_embeddings_that_come(body: Any, vectors: Any, usage: Usage | None) -> None:
    answer = HttpAnswer(200, {}, json.dumps(body).encode())
    told = adapter_for(KINDS["bedrock"]).embedding_answer(answer, to("m"))
    assert (told.vectors, told.usage) == (vectors, usage)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"embedding":"x"}', b'{"embeddings":{"int8":[[1]]}}', b"[]"])
def test_what_is_no_embedding(body: bytes) -> None:
    with pytest.raises(InvalidAnswer):
        adapter_for(KINDS["bedrock"]).embedding_answer(HttpAnswer(200, {}, body), to("m"))
