"""Every row of the registry, looked at in turn: a new kind is held to the same without a test of its own."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from providers.adapters import NotSpoken, adapter_for, speaks
from providers.addresses import read_url
from providers.auth import SIGNERS, is_sendable, signed
from providers.chat import Wire
from providers.registry import KINDS, Cause, Kind, Place
from tests.providers.talk import SECRET, asks, target

SPOKEN = [kind for kind in KINDS.values() if speaks(kind)]
CHATS = [kind for kind in SPOKEN if kind.wire is Wire.OPENAI]

# Whatever the gateway lets through: see routing/wires/openai.py.
EVERYTHING: dict[str, Any] = {
    "messages": [{"role": "developer", "content": "Be brief.", "name": "house"}, {"role": "user", "content": "Hi"}],
    "max_tokens": 5, "max_completion_tokens": 6, "temperature": 0.5, "top_p": 0.9, "n": 2, "stop": ["x"], "seed": 1,
    "presence_penalty": 0.1, "frequency_penalty": 0.1, "logit_bias": {"1": 1}, "logprobs": True, "top_logprobs": 2,
    "tools": [{"type": "function", "function": {"name": "f", "strict": True, "parameters": {"type": "object"}}}],
    "tool_choice": "required", "parallel_tool_calls": False, "functions": [], "function_call": "auto",
    "response_format": {"type": "json_object"}, "reasoning_effort": "low", "verbosity": "low", "metadata": {},
    "user": "u", "store": True, "safety_identifier": "s", "service_tier": "auto", "prompt_cache_key": "k",
    "prompt_cache_options": {}, "prompt_cache_retention": "24h", "modalities": ["text"], "audio": {}, "prediction": {},
    "web_search_options": {}, "moderation": {}, "stream_options": {"include_usage": False},
}  # fmt: skip


def address_of(kind: Kind) -> str:
    return kind.base_url or "https://vendor.example/v1"


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_row(kind: Kind) -> None:
    assert KINDS[kind.slug] is kind
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", kind.slug)
    assert kind.name
    assert len(kind.initials) == 2
    assert 0 <= kind.hue < 360
    assert kind.auth in SIGNERS
    assert kind.chat_path.startswith("/")
    assert not kind.models_path or kind.models_path.startswith("/")
    assert not kind.root or (kind.root.startswith("/") and not kind.root.endswith("/"))
    assert not kind.base_url.endswith("/")
    assert kind.base_url or kind.needs, "without an address of its own a kind must ask for one"
    assert kind.auth != "none" or not kind.key_required
    assert not kind.renames.keys() & kind.drops, "what is renamed is not dropped"
    assert not kind.takes.keys() & kind.drops
    assert all(isinstance(cause, Cause) for cause in kind.codes.values())
    re.compile(kind.hides)


def test_tiles_and_names_can_be_told_apart() -> None:
    for values in ([kind.initials for kind in KINDS.values()], [kind.name for kind in KINDS.values()]):
        assert len(values) == len(set(values))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_own_addresses_may_be_dialled(kind: Kind) -> None:
    if kind.place is not Place.INSIDE:
        read_url(address_of(kind), kind.place, ())


@pytest.mark.parametrize("kind", CHATS, ids=[kind.slug for kind in CHATS])
@pytest.mark.parametrize("stream", [False, True])
def test_every_kind_gets_only_what_it_takes(kind: Kind, stream: bool) -> None:
    to = target("model/1", address_of(kind), kind.slug, api_version="2024-10-21")
    request = asks(stream=stream, **EVERYTHING)
    before = dict(request.fields)
    http, warnings = adapter_for(kind).chat_request(request, to)
    body = json.loads(http.body)
    assert request.fields == before, "the request belongs to the client: another provider may be asked next"
    assert body["model"] == "model/1"
    assert not kind.drops & body.keys()
    assert not (kind.renames.keys() - set(kind.renames.values())) & body.keys()
    assert bool(body.get("stream")) is stream
    assert ("stream_options" in body) is (stream and kind.asks_usage)
    assert not any(kind.message_drops & message.keys() for message in body["messages"])
    assert (body["messages"][0]["role"] == "developer") is kind.developer_role
    gone = EVERYTHING.keys() - body.keys() - {"stream_options"}
    assert all(any(f"'{name}'" in warning for warning in warnings) for name in gone), "nothing is dropped in silence"
    assert kind is http.kind


@pytest.mark.parametrize("kind", SPOKEN, ids=[kind.slug for kind in SPOKEN])
def test_every_kind_lists_or_does_not(kind: Kind) -> None:
    request = adapter_for(kind).models_request(target("", address_of(kind), kind.slug, region="eu-west-1"))
    assert (request is None) is (kind.models_path == "")
    if request is not None:
        assert request.method == "GET"
        assert request.url.endswith(kind.models_path)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_formats_that_are_not_spoken_yet_say_so(kind: Kind) -> None:
    if speaks(kind):
        adapter_for(kind)
    else:
        with pytest.raises(NotSpoken, match=re.escape(kind.name)):
            adapter_for(kind)


def test_signers() -> None:
    assert signed("bearer", SECRET) == {"authorization": f"Bearer {SECRET}"}
    assert signed("api-key", SECRET) == {"api-key": SECRET}
    assert signed("x-api-key", SECRET) == {"x-api-key": SECRET}
    assert signed("none", SECRET) == {}
    assert all(signed(scheme, "") == {} for scheme in SIGNERS)
    assert not is_sendable("a\r\nx-evil: 1")
