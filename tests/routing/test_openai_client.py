"""The real `openai` client: whatever it does against OpenAI, it does against us, and raises what it raises there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import openai
import pytest

from tests.routing.gate import MESSAGES, Gate

TEXT = "Hello from upstream."


@pytest.fixture
def client(gate: Gate) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=gate.secret, base_url=f"{gate.url}/v1", timeout=10.0) as made:
        yield made


def ask(client: openai.OpenAI, model: str) -> openai.types.chat.ChatCompletion:
    return client.chat.completions.create(model=model, messages=MESSAGES)  # type: ignore[arg-type]


def test_models(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert "a:ok" in names
    assert client.models.retrieve("a:ok").owned_by == "a"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("a:nothing")


def test_a_plain_answer(client: openai.OpenAI) -> None:
    answer = ask(client, "a:ok")
    assert answer.choices[0].message.content == TEXT
    assert answer.usage is not None
    assert answer.usage.total_tokens == 13
    assert answer._request_id is not None
    assert answer._request_id.startswith("req_")


def test_a_streamed_answer(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="a:ok",
        messages=MESSAGES,  # type: ignore[arg-type]
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 13


def test_tools(client: openai.OpenAI) -> None:
    answer = ask(client, "a:tools")
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].function.arguments == '{"city": "Riga"}'  # type: ignore[union-attr]


def test_the_asynchronous_client(gate: Gate) -> None:
    async def both() -> tuple[str, str]:
        async with openai.AsyncOpenAI(api_key=gate.secret, base_url=f"{gate.url}/v1") as client:
            plain = await client.chat.completions.create(model="a:ok", messages=MESSAGES)  # type: ignore[arg-type]
            stream = await client.chat.completions.create(model="a:slow", messages=MESSAGES, stream=True)  # type: ignore[arg-type]
            streamed = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            return plain.choices[0].message.content or "", streamed

    assert asyncio.run(both()) == (TEXT, TEXT)


@pytest.mark.parametrize(
    ("model", "error", "status", "code"),
    [
        ("a:nothing", openai.NotFoundError, 404, "model_not_found"),
        ("nobody:ok", openai.BadRequestError, 400, "invalid_model_string"),
        ("a:too-long", openai.BadRequestError, 400, "context_length_exceeded"),
        ("a:filtered", openai.BadRequestError, 400, "content_filter"),
        ("a:429-absurd", openai.RateLimitError, 429, "rate_limit_exceeded"),
        ("a:401", openai.InternalServerError, 502, "upstream_auth"),
        ("a:500", openai.InternalServerError, 502, "upstream_error"),
        ("a:silent", openai.InternalServerError, 504, "upstream_timeout"),
    ],
)
def test_errors_are_the_classes_a_program_expects(
    client: openai.OpenAI, model: str, error: type[openai.APIStatusError], status: int, code: str
) -> None:
    with pytest.raises(error) as caught:
        ask(client, model)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert caught.value.request_id is not None
    assert caught.value.request_id.startswith("req_")


def test_a_wrong_key(gate: Gate) -> None:
    with (
        openai.OpenAI(api_key="rh_" + "x" * 40, base_url=f"{gate.url}/v1") as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        ask(client, "a:ok")
    assert caught.value.code == "invalid_api_key"


def test_a_key_that_may_not(gate: Gate) -> None:
    from routing.keys import create_key

    _, secret = create_key("bound", team=gate.team, allowed_models=["b:ok"])
    with (
        openai.OpenAI(api_key=secret, base_url=f"{gate.url}/v1") as client,
        pytest.raises(openai.PermissionDeniedError),
    ):
        ask(client, "a:ok")


def test_an_interrupted_stream_raises(client: openai.OpenAI) -> None:
    came: list[str] = []
    stream = client.chat.completions.create(model="a:cuts", messages=MESSAGES, stream=True)  # type: ignore[arg-type]
    with pytest.raises(openai.APIError) as caught:
        came.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert "".join(came) == "Hello from"
    assert caught.value.code == "upstream_stream_interrupted"


def test_the_client_does_not_retry_what_we_have_tried(gate: Gate) -> None:
    with openai.OpenAI(api_key=gate.secret, base_url=f"{gate.url}/v1", max_retries=2) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            ask(client, "a:403")
        assert caught.value.response.headers["x-should-retry"] == "false"
        assert caught.value.response.request.headers["x-stainless-retry-count"] == "0"


def test_leaving_a_stream_in_the_middle(client: openai.OpenAI, gate: Gate) -> None:
    stream = client.chat.completions.create(model="a:long", messages=MESSAGES, stream=True)  # type: ignore[arg-type]
    for number, _ in enumerate(stream):
        if number == 3:
            break
    stream.close()
    gate.at_rest()
