"""What Gemini's generateContent is asked: to the byte, with the key in a header and nowhere else."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from providers.adapters import adapter_for
from providers.adapters.gemini_asking import NO_SIGNATURE, generation
from providers.chat import EmbeddingRequest, State
from providers.errors import BadCredentials, BadRequest, InvalidAnswer, ProviderError, RateLimited
from providers.registry import KINDS
from providers.wiring import HttpAnswer, HttpRequest, ListedModel, Paging, Target
from tests.cloud import recorded
from tests.providers.talk import SECRET, asks
from tests.providers.test_gemini_wire import answered, played, to
from tests.providers.test_golden_requests import ASKED, MESSAGES
from tests.providers.test_registry import EVERYTHING

ADAPTER = adapter_for(KINDS["gemini"])
HOST = "https://generativelanguage.googleapis.com/v1beta"
PNG = "iVBORw0KGgo="
TOOL = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}


def call(name: str = "c1", **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "function", "function": {"name": "lookup", "arguments": '{"city": "Riga"}'}} | more


def asked(model: str = "gemini-3.8-flash", target: Target | None = None, **fields: Any) -> tuple[Any, list[str]]:
    http, warnings = ADAPTER.chat_request(asks(**fields), target or to(model))
    return json.loads(http.body), warnings


def contents(*messages: dict[str, Any], model: str = "gemini-3.8-flash") -> list[Any]:
    return asked(model, messages=list(messages))[0]["contents"]


# -- where, and with what -------------------------------------------------------------------


def written(request: HttpRequest, warnings: list[str]) -> dict[str, Any]:
    headers = {name: value.replace(SECRET, "<key>") for name, value in request.headers.items()}
    told = {"method": request.method, "url": request.url, "headers": headers, "warnings": warnings}
    return told | {"body": json.loads(request.body)}


def test_a_request_that_asks_for_everything_to_the_byte() -> None:
    target = to(safety_settings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}])
    schema = {"type": "json_schema", "json_schema": {"name": "place", "schema": {"type": "object", "$schema": "x"}}}
    turns = [*MESSAGES, {"role": "user", "content": "And now?"}]
    everything = ASKED | {"response_format": schema, "messages": turns, "top_p": 0.9, "frequency_penalty": 0.5}
    chat, warnings = ADAPTER.chat_request(asks(stream=True, **everything), target)
    embeddings, more = ADAPTER.embedding_request(EmbeddingRequest(["a", "é"], dimensions=256, user="u-1"), target)
    kept = json.loads(recorded("gemini/request.json"))
    assert kept == {"chat": written(chat, warnings), "embeddings": written(embeddings, more)}
    # The arguments of a call are the client's own bytes, blanks and all.
    assert msgspec.json.encode(kept["chat"]["body"]) == chat.body.replace(b'{"city": "Riga"}', b'{"city":"Riga"}')
    assert msgspec.json.encode(kept["embeddings"]["body"]) == embeddings.body


def test_the_key_stands_in_a_header_and_in_no_address() -> None:
    requests = [
        ADAPTER.chat_request(asks(), to())[0],
        ADAPTER.models_request(to()),
        ADAPTER.health_request(to()),
        ADAPTER.embedding_request(EmbeddingRequest(["a"]), to())[0],
    ]
    for request in requests:
        assert request is not None
        assert request.headers["x-goog-api-key"] == SECRET
        assert "authorization" not in request.headers
        assert SECRET not in request.url
    with pytest.raises(BadCredentials):
        ADAPTER.chat_request(asks(), to(secret=""))


@pytest.mark.parametrize(
    "base_url", [HOST, f"{HOST}/", f"{HOST}/openai", f"{HOST}/openai/", HOST.removesuffix("/v1beta")]
)
def test_addresses_as_people_write_them(base_url: str) -> None:
    plain, _ = ADAPTER.chat_request(asks(), to(base_url=base_url))
    stream, _ = ADAPTER.chat_request(asks(stream=True), to("models/gemini-3.8-flash", base_url=base_url))
    assert plain.url == f"{HOST}/models/gemini-3.8-flash:generateContent"
    assert stream.url == f"{HOST}/models/gemini-3.8-flash:streamGenerateContent?alt=sse"


def test_a_model_cannot_lead_elsewhere() -> None:
    http, _ = ADAPTER.chat_request(asks(), to("../x?key=1"))
    assert http.url == f"{HOST}/models/..%2Fx%3Fkey%3D1:generateContent"


def test_nothing_is_dropped_in_silence() -> None:
    body, warnings = asked("gemini-2.5-flash", **EVERYTHING)
    said = " ".join(warnings)
    gone = (
        "logit_bias logprobs top_logprobs functions function_call verbosity metadata user store service_tier "
        "parallel_tool_calls n web_search_options tools.function.strict"
    ).split()
    assert [name for name in gone if f"'{name}'" not in said] == []
    assert body["generationConfig"]["frequencyPenalty"] == body["generationConfig"]["presencePenalty"] == 0.1
    body, warnings = asked(**EVERYTHING)
    assert "'presence_penalty' was dropped" in " ".join(warnings), "the newer models know no penalties"
    assert not [name for name in body["generationConfig"] if "Penalty" in name]


# -- contents -------------------------------------------------------------------------------


def test_neighbours_of_one_role_are_one_content() -> None:
    turns = contents(
        {"role": "user", "content": "One"},
        {"role": "user", "content": "Two"},
        {"role": "assistant", "content": None, "tool_calls": [call("c1"), call("c2")]},
        {"role": "tool", "tool_call_id": "c1", "content": '{"degrees": 14}'},
        {"role": "tool", "tool_call_id": "c2", "content": "{14"},
        {"role": "user", "content": "And?"},
    )
    assert [turn["role"] for turn in turns] == ["user", "model", "user"]
    assert turns[0]["parts"] == [{"text": "One"}, {"text": "Two"}]
    assert [part.get("functionResponse", {}).get("response") for part in turns[2]["parts"]] == [
        {"degrees": 14},
        {"result": "{14"},
        None,
    ]
    assert turns[2]["parts"][1]["functionResponse"]["name"] == "lookup"


def test_media_are_inline() -> None:
    [turn] = contents(
        {"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": f"data:image/webp;base64,{PNG}"}},
            {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "mp3"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}},
        ]},
    )  # fmt: skip
    assert [part["inlineData"] for part in turn["parts"]] == [
        {"mimeType": "image/webp", "data": PNG},
        {"mimeType": "audio/mp3", "data": "UklGRg=="},
        {"mimeType": "application/pdf", "data": "JVBERg=="},
    ]


def test_a_picture_that_a_tool_answers_follows_its_answer() -> None:
    parts = [{"type": "text", "text": "Here"}, {"type": "image_url", "image_url": {"url": f"data:;base64,{PNG}"}}]
    turns = contents(
        {"role": "assistant", "tool_calls": [call()]}, {"role": "tool", "tool_call_id": "c1", "content": parts}
    )
    assert turns[-1]["parts"][0]["functionResponse"]["response"] == {"result": "Here"}
    assert turns[-1]["parts"][1] == {"inlineData": {"mimeType": "image/png", "data": PNG}}


def test_a_picture_at_an_address_is_refused_before_anything_is_sent() -> None:
    url = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    with pytest.raises(BadRequest, match=r"image_url\.url") as caught:
        contents({"role": "user", "content": [url]})
    assert (caught.value.param, caught.value.sent) == ("messages", False)


@pytest.mark.parametrize(
    "messages", [[], [{"role": "system", "content": "Be brief."}], [{"role": "user", "content": ""}]]
)
def test_there_must_be_something_to_answer(messages: list[Any]) -> None:
    with pytest.raises(BadRequest):
        contents(*messages)


# -- settings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "mode"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "lookup"}},
            {"mode": "ANY", "allowedFunctionNames": ["lookup"]},
        ),
    ],
)
def test_choices_of_tools(choice: Any, mode: Any) -> None:
    assert asked(tools=[TOOL], tool_choice=choice)[0]["toolConfig"] == {"functionCallingConfig": mode}


def test_keywords_of_a_schema_that_may_be_refused_are_taken_out() -> None:
    schema = {"$schema": "x", "type": "object", "properties": {"$schema": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    body, warnings = asked(tools=[tool])
    declared = body["tools"][0]["functionDeclarations"][0]
    assert declared["parametersJsonSchema"] == {"type": "object", "properties": {"$schema": {"type": "string"}}}
    assert warnings == ["'$schema' of a tool's schema was dropped: Google Gemini may refuse it."]


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "warned"),
    [
        ("gemini-3.8-flash", "low", {"thinkingLevel": "low", "includeThoughts": True}, False),
        ("gemini-3.8-flash", "xhigh", {"thinkingLevel": "high", "includeThoughts": True}, True),
        ("gemini-3.8-flash", "none", {"thinkingLevel": "minimal", "includeThoughts": False}, True),
        ("gemini-3.1-pro-preview", "minimal", {"thinkingLevel": "low", "includeThoughts": True}, True),
        ("gemini-4-argon", "high", {"thinkingLevel": "high", "includeThoughts": True}, False),
        ("gemini-flash-latest", "medium", {"thinkingLevel": "medium", "includeThoughts": True}, False),
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0, "includeThoughts": False}, False),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128, "includeThoughts": False}, True),
        ("gemini-2.5-flash", "high", {"thinkingBudget": 24576, "includeThoughts": True}, False),
        ("gemini-2.0-flash", "high", None, True),
        ("gemma-4-31b-it", "high", None, True),
        ("gemini-3.8-flash", "enormous", None, True),
    ],
)
def test_effort(model: str, effort: str, thinking: Any, warned: bool) -> None:
    body, warnings = asked(model, reasoning_effort=effort)
    assert body.get("generationConfig", {}).get("thinkingConfig") == thinking
    assert any("reasoning_effort" in warning for warning in warnings) is warned


def test_sampling_that_a_model_does_not_heed_is_left_out_and_said() -> None:
    target = msgspec.structs.replace(to(), parameters={"sampling_params": False})
    body, warnings = asked(target=target, temperature=0.3, seed=7)
    assert body["generationConfig"] == {"seed": 7}
    assert warnings == ["'temperature' was dropped: gemini-3.8-flash does not heed it."]


def test_generations() -> None:
    names = ["gemini-2.5-pro", "gemini-3-pro-preview", "gemini-4-argon", "gemini-pro-latest", "gemma-4-31b-it"]
    assert [generation(name) for name in names] == [(2, 5), (3, 0), (4, 0), (99, 0), (0, 0)]


# -- signatures ---------------------------------------------------------------------------------


def said_again(state: State | None, **message: Any) -> list[Any]:
    kept = {"vendor": state.vendor, "data": state.data} if state is not None else None
    turn = {"role": "assistant", "content": None, "relayhouse_state": kept} | message
    return contents({"role": "user", "content": "Hi"}, turn)[1]["parts"]


def test_signatures_go_back_on_the_parts_they_came_with() -> None:
    answer = answered("tools.json")
    assert answer.state is not None
    calls = [call(one.id) for one in answer.tool_calls]
    parts = said_again(answer.state, content=answer.text, tool_calls=calls)
    assert [part.get("thoughtSignature") for part in parts] == [None, "c2lnLTE=", None]
    streamed = next(event for event in played(recorded("gemini/tools.sse")).events if isinstance(event, State))
    assert streamed == answer.state


@pytest.mark.parametrize("text", ["A map.", ""])
def test_a_signature_of_the_text_goes_back_with_the_text(text: str) -> None:
    parts = said_again(answered("plain.json").state, content=text)
    assert parts == [{"text": text, "thoughtSignature": "c2lnLXRleHQ="}]


def test_a_call_of_somebody_elses_is_marked_so() -> None:
    foreign = State("anthropic", "sealed")
    first, second = said_again(foreign, tool_calls=[call("a"), call("b")])
    assert first["thoughtSignature"] == NO_SIGNATURE
    assert "thoughtSignature" not in second
    old = contents({"role": "assistant", "tool_calls": [call()]}, model="gemini-2.5-flash")
    assert "thoughtSignature" not in old[0]["parts"][0]


@pytest.mark.parametrize("data", ["", "{", "[7]", '[{"call":0}]', '{"signature":"x"}'])
def test_a_state_that_is_none_is_left_out(data: str) -> None:
    assert said_again(State("gemini", data), content="Hi") == [{"text": "Hi"}]


# -- models, health, embeddings -------------------------------------------------------------------


def listed(name: str) -> list[ListedModel]:
    return ADAPTER.models_answer(HttpAnswer(200, {}, recorded(f"gemini/{name}")), to())


def test_the_list_of_models() -> None:
    assert listed("models.json") == [
        ListedModel("gemini-3.8-flash", 1048576, 65536, name="Gemini 3.8 Flash", capabilities={"reasoning": True}),
        ListedModel("gemini-2.0-example", 32768, 8192, name="Gemini 2.0 Example"),
        ListedModel("gemini-embedding-001", 2048, embedding=True, name="Gemini Embedding 001"),
    ]
    assert [model.id for model in listed("models-2.json")] == ["gemma-4-31b-it"]


def test_the_list_has_pages() -> None:
    assert isinstance(ADAPTER, Paging)
    first = ADAPTER.models_request(to())
    assert first is not None
    assert first.url == f"{HOST}/models?pageSize=1000"
    second = ADAPTER.models_after(first, HttpAnswer(200, {}, recorded("gemini/models.json")), to())
    assert second is not None
    assert second.url == f"{HOST}/models?pageSize=1000&pageToken=page%20two%2F%3D"
    assert ADAPTER.models_after(second, HttpAnswer(200, {}, recorded("gemini/models-2.json")), to()) is None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"<html>", b'{"models":7}', b"\xff"])
def test_what_is_no_list(body: bytes) -> None:
    with pytest.raises(InvalidAnswer):
        ADAPTER.models_answer(HttpAnswer(200, {}, body), to())


def test_an_error_instead_of_a_list() -> None:
    body = b'{"error": {"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED"}}'
    for status in (200, 429):
        with pytest.raises(RateLimited):
            ADAPTER.models_answer(HttpAnswer(status, {}, body), to())


def test_the_cheapest_question() -> None:
    request = ADAPTER.health_request(to())
    assert request is not None
    assert (request.method, request.url) == ("GET", f"{HOST}/models?pageSize=1")


def test_embeddings() -> None:
    answer = ADAPTER.embedding_answer(
        HttpAnswer(200, {}, recorded("gemini/embeddings.json")), to("gemini-embedding-001")
    )
    assert (answer.vectors, answer.usage) == ([[0.1, -0.2], [0.3, 0.4]], None)
    assert KINDS["gemini"].embedding_batch == 100
    http, _ = ADAPTER.embedding_request(EmbeddingRequest(["a"]), to("models/m", task_type="RETRIEVAL_QUERY"))
    assert http.url == f"{HOST}/models/m:batchEmbedContents"
    assert json.loads(http.body)["requests"] == [
        {"model": "models/m", "content": {"parts": [{"text": "a"}]}, "taskType": "RETRIEVAL_QUERY"}
    ]


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"embeddings":[7]}', b'{"error":{"message":"x"}}', b"\xff"])
def test_what_are_no_embeddings(body: bytes) -> None:
    with pytest.raises(ProviderError):
        ADAPTER.embedding_answer(HttpAnswer(200, {}, body), to())
