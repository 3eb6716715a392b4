"""What Ollama's own API is asked: to the byte, at its own door, with options of its own."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from providers.chat import EmbeddingRequest
from providers.errors import BadRequest
from providers.wiring import Target
from tests.providers.talk import SECRET, asks
from tests.providers.test_gemini_requests import written
from tests.providers.test_golden_requests import ASKED, MESSAGES
from tests.providers.test_ollama_wire import ADAPTER, recording, to
from tests.providers.test_registry import EVERYTHING

HOST = "http://localhost:11434"
PNG = "iVBORw0KGgo="
CALL = {"id": "c1", "type": "function", "function": {"name": "lookup", "arguments": '{"city":"Riga"}'}}


def asked(target: Target | None = None, *, stream: bool = False, **fields: Any) -> tuple[Any, list[str]]:
    http, warnings = ADAPTER.chat_request(asks(stream=stream, **fields), target or to())
    return json.loads(http.body), warnings


def test_a_request_that_asks_for_everything_to_the_byte() -> None:
    target = to(secret=SECRET, num_ctx=32768, keep_alive="5m")
    schema = {"type": "json_schema", "json_schema": {"name": "place", "schema": {"type": "object"}}}
    fields = ASKED | {"messages": MESSAGES, "response_format": schema, "top_p": 0.9, "top_k": 40}
    chat, warnings = ADAPTER.chat_request(asks(stream=True, **fields), target)
    embeddings, more = ADAPTER.embedding_request(EmbeddingRequest(["a", "é"], dimensions=256, user="u-1"), target)
    kept = json.loads(recording("request.json"))
    assert kept == {"chat": written(chat, warnings), "embeddings": written(embeddings, more)}
    # The arguments of a call are the client's own bytes, blanks and all.
    assert msgspec.json.encode(kept["chat"]["body"]) == chat.body.replace(b'{"city": "Riga"}', b'{"city":"Riga"}')
    assert msgspec.json.encode(kept["embeddings"]["body"]) == embeddings.body


@pytest.mark.parametrize(
    ("base_url", "root"),
    [
        (HOST, HOST),
        (f"{HOST}/", HOST),
        (f"{HOST}/v1", HOST),
        (f"{HOST}/v1/", HOST),
        (f"{HOST}/api", HOST),
        ("https://house.example/models/v1", "https://house.example/models"),
    ],
)
def test_addresses_as_people_write_them(base_url: str, root: str) -> None:
    target = to(base_url)
    models, health = ADAPTER.models_request(target), ADAPTER.health_request(target)
    assert models is not None
    assert health is not None
    assert ADAPTER.chat_request(asks(), target)[0].url == f"{root}/api/chat"
    assert ADAPTER.embedding_request(EmbeddingRequest(["a"]), target)[0].url == f"{root}/api/embed"
    assert (models.url, health.url) == (f"{root}/api/tags", f"{root}/api/version")


def test_a_key_is_sent_only_where_there_is_one() -> None:
    assert "authorization" not in ADAPTER.chat_request(asks(), to())[0].headers
    assert ADAPTER.chat_request(asks(), to(secret=SECRET))[0].headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("stream", [False, True])
def test_it_is_told_whether_to_stream_and_never_to_cut_a_prompt_in_silence(stream: bool) -> None:
    body, _ = asked(stream=stream)
    assert body == {"model": "gpt-oss:20b", "stream": stream, "messages": [{"role": "user", "content": "Hello?"}],
                    "truncate": False, "shift": False}  # fmt: skip


def test_nothing_is_dropped_in_silence() -> None:
    body, warnings = asked(**EVERYTHING)
    said = " ".join(warnings)
    gone = (
        "logit_bias logprobs top_logprobs functions function_call verbosity metadata user store service_tier n "
        "parallel_tool_calls tool_choice tools.function.strict modalities"
    ).split()
    assert [name for name in gone if f"'{name}'" not in said] == []
    assert body["options"] == {"frequency_penalty": 0.1, "presence_penalty": 0.1, "num_predict": 6, "temperature": 0.5,
                               "top_p": 0.9, "seed": 1, "stop": ["x"]}  # fmt: skip
    assert body["format"] == "json"


def test_options_of_its_own_and_whose_word_counts() -> None:
    given = {"num_ctx": 999_999, "num_gpu": 99, "temperature": 1, "min_p": 0.1}
    body, warnings = asked(to(num_ctx=8192, num_gpu=1), options=given, temperature=0.2, top_k=3, mirostat=1)
    assert body["options"] == {"num_ctx": 8192, "num_gpu": 1, "temperature": 0.2, "min_p": 0.1, "top_k": 3}
    assert sorted(warnings) == [
        "'mirostat' was dropped: Ollama does not take it.",
        "'options.num_gpu' was dropped: Ollama does not take it.",
    ]


@pytest.mark.parametrize(
    ("effort", "think"),
    [("none", False), ("minimal", "low"), ("low", "low"), ("medium", "medium"), ("high", "high"), ("xhigh", "max"),
     ("max", "max"), ("enormous", None)],
)  # fmt: skip
def test_effort(effort: str, think: Any) -> None:
    body, warnings = asked(reasoning_effort=effort)
    assert body.get("think") == think
    assert bool(warnings) is (think is None)


def test_tools_can_be_left_alone_but_not_forced() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    assert "tools" not in asked(tools=[tool], tool_choice="none")[0]
    assert asked(tools=[tool], tool_choice="auto")[1] == []
    body, warnings = asked(tools=[tool], tool_choice="required")
    assert body["tools"][0]["function"]["parameters"] == {"type": "object", "properties": {}}
    assert warnings == ["'tool_choice' was dropped: Ollama does not take it."]


def test_calls_and_results_name_the_tool() -> None:
    body, _ = asked(messages=[
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Be kind."},
        {"role": "assistant", "content": None, "reasoning_content": "Look it up.", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "14"},
        {"role": "assistant", "content": "14 degrees", "reasoning_content": "It says so."},
    ])  # fmt: skip
    assert body["messages"] == [
        {"role": "system", "content": "Be brief.\n\nBe kind."},
        {"role": "assistant", "content": "", "thinking": "Look it up.",
         "tool_calls": [{"id": "c1", "function": {"name": "lookup", "arguments": {"city": "Riga"}}}]},
        {"role": "tool", "content": "14", "tool_name": "lookup", "tool_call_id": "c1"},
        {"role": "assistant", "content": "14 degrees"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}, r"image_url\.url"),
        ({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}, "no audio"),
        ({"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg=="}}, "no file"),
    ],
)
def test_what_it_cannot_see_is_refused_before_anything_is_sent(part: Any, words: str) -> None:
    with pytest.raises(BadRequest, match=words) as caught:
        asked(messages=[{"role": "user", "content": [part]}])
    assert (caught.value.param, caught.value.sent) == ("messages", False)


def test_pictures_are_bare_base64() -> None:
    parts = [
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
    ]
    assert asked(messages=[{"role": "user", "content": parts}])[0]["messages"] == [
        {"role": "user", "content": "What?", "images": [PNG]}
    ]


def test_no_message_at_all_would_only_load_the_model() -> None:
    with pytest.raises(BadRequest):
        asked(messages=[])
