"""Texts to vectors, as the real `openai` client asks for them, against providers that sometimes misbehave."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from billing.models import LedgerEntry, Request
from providers.registry import KINDS
from tests.factories import make_model, make_price, make_provider
from tests.misbehaviour_embeddings import BEHAVIOURS, vector
from tests.routing.gate import Gate, connect
from tests.upstream import Upstream

BATCH = KINDS["vllm"].embedding_batch


@pytest.fixture(scope="module")
def gate(committed: None, first: Upstream, second: Upstream) -> Iterator[Gate]:
    """`a:<behaviour>` has no fallback; the bare name falls back from `a` to `b`, which is healthy."""
    second.behave("embeds")
    for name, upstream, priority in (("a", first, 10), ("b", second, 20)):
        slow = {"first_event_seconds": 20, "idle_seconds": 20}
        provider = connect(name, upstream.base_url, [], priority=priority, timeout_seconds=20, options=slow)
        for model in [*BEHAVIOURS, "silent", "alone"][: None if name == "b" else -1]:
            make_price(make_model(provider, model, use="embedding", listed=True), "2", "0")
    connect("chat", first.base_url, ["ok"])
    make_model(make_provider(), "relay-1-embed", use="embedding")
    with Gate(body_limit=8 * 1024 * 1024) as gate:
        yield gate


@pytest.fixture
def client(gate: Gate) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=gate.secret, base_url=f"{gate.url}/v1", timeout=10.0, max_retries=0) as made:
        yield made


@pytest.fixture(autouse=True)
def cleared(first: Upstream, second: Upstream) -> None:
    first.requests.clear()
    second.requests.clear()


def texts(number: int, **special: str) -> list[str]:
    made = [f"text {n} of all" for n in range(number)]
    for word, place in special.items():
        made[int(place)] += f" {word}"
    return made


def post(gate: Gate, **fields: Any) -> Any:
    return gate.post(json.dumps(fields).encode(), path="/v1/embeddings")


def test_a_text(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="a:embeds", input="Hello there.")
    assert [row.embedding for row in answer.data] == [vector("Hello there.")]
    assert (answer.model, answer.usage.prompt_tokens, answer.usage.total_tokens) == ("served-embed", 2, 2)


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_several_in_their_order(client: openai.OpenAI, first: Upstream, encoding: str) -> None:
    for model in ("a:embeds", "a:embeds-in-disorder"):
        given = texts(3)
        answer = client.embeddings.create(model=model, input=given, encoding_format=encoding)  # type: ignore[arg-type]
        assert [row.index for row in answer.data] == [0, 1, 2]
        got: list[Any] = [row.embedding for row in answer.data]
        if encoding == "base64":
            got = [list(struct.unpack("<4f", base64.b64decode(row))) for row in got]
        assert got == [vector(text) for text in given]
    assert first.requests[-1].json == {"model": "embeds-in-disorder", "input": texts(3)}


def test_dimensions_and_user_reach_the_provider(client: openai.OpenAI, first: Upstream) -> None:
    answer = client.embeddings.create(model="a:embeds", input="Hello", dimensions=9, user="u1")
    assert len(answer.data[0].embedding) == 9
    assert {"dimensions": 9, "user": "u1"}.items() <= first.requests[-1].json.items()


def test_a_thousand_texts_are_as_many_calls_as_needed(client: openai.OpenAI, gate: Gate, first: Upstream) -> None:
    given = texts(1000)
    answer = client.embeddings.with_raw_response.create(model="a:embeds", input=given)
    calls = -(-1000 // BATCH)
    assert [seen.json["input"] for seen in first.requests] == [given[n : n + BATCH] for n in range(0, 1000, BATCH)]
    parsed = answer.parse()
    assert [row.embedding for row in parsed.data] == [vector(text) for text in given]
    assert parsed.usage.prompt_tokens == 4000
    assert answer.headers["x-relayhouse-attempts"] == str(calls)
    records = gate.records(answer.headers["x-request-id"])
    assert [attempt.status for attempt in records.attempts] == ["ok"] * calls
    assert records.billed == ["provider"] * calls
    assert (records.request.status, records.request.attempts) == ("ok", calls)
    assert sum(entry.amount_nano for entry in charged(gate, records.request.id, calls)) == 4000 * 2000


def charged(gate: Gate, request_id: str, number: int) -> list[LedgerEntry]:
    return gate.until(
        lambda: len(rows := list(LedgerEntry.objects.filter(request_id=request_id, kind="charge"))) == number and rows,
        "not all was booked",
    )


def test_a_provider_that_fails_in_the_middle_is_followed_by_another_from_the_first_text(
    gate: Gate, first: Upstream, second: Upstream
) -> None:
    given = texts(3 * BATCH, stumble=str(BATCH + 1))
    got = post(gate, model="embeds-until", input=given)
    assert got.status == 200
    assert [row["embedding"] for row in got.json["data"]] == [vector(text) for text in given]
    assert [len(seen.json["input"]) for seen in first.requests] == [BATCH, BATCH]
    assert [len(seen.json["input"]) for seen in second.requests] == [BATCH, BATCH, BATCH]
    assert got.headers["x-relayhouse-provider"] == "b"
    records = gate.records(got.request_id)
    assert [(each.provider, each.status, each.billed) for each in records.attempts] == [
        ("a", "ok", "provider"),
        ("a", "failed", "voided"),
        *[("b", "ok", "provider")] * 3,
    ]
    assert len(charged(gate, got.request_id, 4)) == 4, "what the first one had done is paid all the same"


def test_without_another_it_is_an_error_and_what_was_done_is_booked(
    client: openai.OpenAI, gate: Gate, first: Upstream
) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        client.embeddings.create(model="a:embeds-until", input=texts(3 * BATCH, stumble=str(BATCH + 1)))
    assert caught.value.code == "upstream_error"
    assert len(first.requests) == 4, "the second call was tried three times, the first one not again"
    records = gate.records(caught.value.response.headers["x-request-id"])
    assert records.request.status == "failed"
    assert records.billed == ["provider", "voided", "voided", "voided"]


def test_one_that_is_busy_for_a_moment_goes_on_where_it_was(gate: Gate, first: Upstream) -> None:
    given = texts(3 * BATCH, stumble=str(BATCH + 1))
    got = post(gate, model="a:embeds-busy-once", input=given)
    assert got.status == 200
    assert [len(seen.json["input"]) for seen in first.requests] == [BATCH] * 4
    assert [row["embedding"] for row in got.json["data"]] == [vector(text) for text in given]


@pytest.mark.parametrize("model", ["a:embeds-without-usage", "a:embeds-absurd-usage"])
def test_usage_that_is_missing_or_absurd_is_counted(gate: Gate, model: str) -> None:
    got = post(gate, model=model, input=["four words are here", "two more"])
    assert 6 <= got.json["usage"]["prompt_tokens"] <= 10
    assert gate.records(got.request_id).billed == ["counted"]


@pytest.mark.parametrize(
    "model", ["a:embeds-too-few", "a:embeds-two-sizes", "a:embeds-same-number", "a:embeds-nothing", "a:ok-chat"]
)
def test_answers_that_are_none(gate: Gate, first: Upstream, model: str) -> None:
    if model == "a:ok-chat":
        first.behave("ok")
        got = post(gate, model="a:embeds", input=texts(2))
        first.behave(None)
    else:
        got = post(gate, model=model, input=texts(4))
    assert (got.status, got.error["code"]) == (502, "upstream_invalid_response")


def test_an_error_with_a_status_of_200(gate: Gate) -> None:
    assert post(gate, model="a:embeds-error-200", input="x").status in (502, 503)


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({}, "input", "missing_required_parameter"),
        ({"input": []}, "input", "empty_array"),
        ({"input": ""}, "input[0]", "empty_string"),
        ({"input": ["a", ""]}, "input[1]", "empty_string"),
        ({"input": ["a", None]}, "input[1]", "invalid_type"),
        ({"input": {"a": 1}}, "input", "invalid_type"),
        ({"input": [1, 2, 3]}, "input", "tokens_not_supported"),
        ({"input": [[1, 2], [3]]}, "input", "tokens_not_supported"),
        ({"input": ["x"] * 2049}, "input", "array_above_max_length"),
        ({"input": "x", "encoding_format": "int8"}, "encoding_format", "invalid_value"),
        ({"input": "x", "dimensions": 0}, "dimensions", "invalid_type"),
        ({"input": "x", "dimensions": "many"}, "dimensions", "invalid_type"),
        ({"input": "x", "truncate": True}, "truncate", "unknown_parameter"),
    ],
)
def test_what_is_no_request(gate: Gate, first: Upstream, fields: dict[str, Any], param: str, code: str) -> None:
    got = post(gate, model="a:embeds", **fields)
    assert (got.status, got.error["param"], got.error["code"]) == (400, param, code)
    assert not first.requests


def test_models_for_something_else(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="for chat, not for embeddings"):
        client.embeddings.create(model="chat:ok", input="x")
    with pytest.raises(openai.BadRequestError, match="for embeddings, not for chat"):
        client.chat.completions.create(model="a:embeds", messages=[{"role": "user", "content": "x"}])


def test_the_pretend_vendor_and_limits(client: openai.OpenAI, gate: Gate) -> None:
    answer = client.embeddings.create(model="demo:relay-1-embed", input=["a red bicycle", "a red bike"], dimensions=64)
    assert [len(row.embedding) for row in answer.data] == [64, 64]
    assert client.embeddings.create(model="alone", input="x").model == "served-embed"
    too_large = post(gate, model="a:embeds", input="x" * (9 * 1024 * 1024))
    assert (too_large.status, too_large.error["code"]) == (413, "request_too_large")


def test_fields_that_a_kind_does_not_take(gate: Gate) -> None:
    got = gate.post(
        json.dumps({"model": "a:embeds", "input": "x", "user": "u"}).encode(),
        {"x-relayhouse-strict": "true"},
        "/v1/embeddings",
    )
    assert got.status == 200
    assert "x-relayhouse-warnings" not in got.headers


def test_a_client_that_leaves_takes_its_call_with_it(gate: Gate, first: Upstream) -> None:
    sent = {"x-request-id": "leaves-embeddings"}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{gate.url}/v1/embeddings",
            json={"model": "a:silent", "input": "x"},
            headers=gate.headers | sent,
            timeout=httpx.Timeout(10, read=0.3),
        )
    first.await_left()
    record = gate.until(
        lambda: Request.objects.filter(client_request_id="leaves-embeddings").first(), "it was never recorded"
    )
    assert record.status == "cancelled"


def test_nothing_is_left(gate: Gate) -> None:
    gate.at_rest()
