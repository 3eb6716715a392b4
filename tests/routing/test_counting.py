"""How long a message would be, asked by the real `anthropic` client before it is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator

import anthropic
import pytest

from billing.models import Attempt
from tests.factories import make_model
from tests.routing.gate import Gate, connect
from tests.upstream import Upstream

TEXT = "A gateway stands between those who ask and those who answer."


@pytest.fixture(scope="module")
def gate(committed: None, first: Upstream) -> Iterator[Gate]:
    vendor = connect("a", first.base_url, ["ok"])
    make_model(vendor, "mistral-small", listed=True)
    make_model(vendor, "off", listed=True, active=False)
    with Gate() as gate:
        yield gate


@pytest.fixture
def client(gate: Gate) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key=gate.secret, base_url=gate.url, timeout=10.0, max_retries=0) as made:
        yield made


def test_a_message_is_counted_and_not_sent(client: anthropic.Anthropic, first: Upstream) -> None:
    asked = {"model": "a:ok", "messages": [{"role": "user", "content": TEXT}]}
    alone = client.messages.count_tokens(**asked).input_tokens  # type: ignore[arg-type]
    assert 14 <= alone <= 26
    tool = {"name": "lookup", "description": "Find a city", "input_schema": {"type": "object", "properties": {}}}
    more = client.messages.count_tokens(**asked, system="Be brief.", tools=[tool]).input_tokens  # type: ignore[arg-type]
    assert more > alone + 10
    assert not first.chats
    assert not Attempt.objects.exists()


def test_each_vocabulary_counts_for_itself(client: anthropic.Anthropic) -> None:
    text = "2026-11-25 14:05:31, 1,284 tokens in, 258 out. " * 20
    counts = [
        client.messages.count_tokens(model=model, messages=[{"role": "user", "content": text}]).input_tokens
        for model in ("a:ok", "a:mistral-small")
    ]
    assert counts[1] > 1.2 * counts[0], "its vocabulary has no numbers of three digits"


def test_refusals_have_the_shape_of_the_format(client: anthropic.Anthropic, gate: Gate) -> None:
    with pytest.raises(anthropic.NotFoundError):
        client.messages.count_tokens(model="a:nothing", messages=[{"role": "user", "content": "x"}])
    with pytest.raises(anthropic.BadRequestError):
        client.messages.count_tokens(model="a:ok", messages=[])
    refused = gate.post(
        json.dumps({"model": "a:off", "messages": [{"role": "user", "content": "x"}]}).encode(),
        path="/v1/messages/count_tokens",
    )
    assert (refused.status, refused.json["type"]) == (503, "error")
    stranger = client.with_options(api_key="rh_nonsense")
    with pytest.raises(anthropic.AuthenticationError):
        stranger.messages.count_tokens(model="a:ok", messages=[{"role": "user", "content": "x"}])
