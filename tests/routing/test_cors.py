"""Browsers at /v1: a page may call with a key that lists its origin, and no other page is told anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.utils import timezone

from routing.keys import create_key, revoke
from routing.models import ApiKey
from tests.routing.gate import MESSAGES, Gate, connect
from tests.upstream import Upstream

SHOP, OTHER = "https://shop.example.org", "https://other.example.org"


@pytest.fixture(scope="module")
def gate(committed: None, first: Upstream, http: Any) -> Iterator[Gate]:
    connect("a", first.base_url, ["ok", "stalls"], priority=10)
    with Gate(http=http) as gate:
        yield gate


@pytest.fixture
def listed(gate: Gate) -> Iterator[tuple[ApiKey, str]]:
    """A key for the shop's pages."""
    key, secret = create_key("shop", team=gate.team)
    key.allowed_origins = [SHOP]
    key.save()
    gate.refresh()
    yield key, secret
    revoke(key, timezone.now())
    gate.refresh()


def ask(gate: Gate, secret: str, origin: str = "", **fields: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {secret}"} | ({"origin": origin} if origin else {})
    body = {"model": "a:ok", "messages": MESSAGES} | fields
    return httpx.post(f"{gate.url}/v1/chat/completions", json=body, headers=headers, timeout=10)


def preflight(gate: Gate, origin: str, path: str = "/v1/chat/completions", method: str = "POST") -> httpx.Response:
    headers = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization, content-type",
    }
    return httpx.options(gate.url + path, headers=headers, timeout=10)


def cors(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize("stream", [False, True])
def test_a_listed_page_reads_the_answer(gate: Gate, listed: tuple[ApiKey, str], stream: bool) -> None:
    answer = ask(gate, listed[1], SHOP, stream=stream)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert "x-request-id" in answer.headers["access-control-expose-headers"]
    assert answer.headers["vary"] == "origin"
    assert "access-control-allow-credentials" not in answer.headers
    assert len(answer.headers.get_list("access-control-allow-origin")) == 1


def test_a_listed_page_reads_refusals_too(gate: Gate, listed: tuple[ApiKey, str]) -> None:
    answer = ask(gate, listed[1], SHOP, model="a:nothing")
    assert answer.status_code == 404
    assert answer.headers["access-control-allow-origin"] == SHOP


@pytest.mark.parametrize("origin", [OTHER, "null", f"{SHOP}.evil.example", SHOP.replace("https", "http")])
def test_another_page_is_refused_and_nothing_is_asked(gate: Gate, listed: tuple[ApiKey, str], origin: str) -> None:
    answer = ask(gate, listed[1], origin)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin_not_allowed")
    assert cors(answer) == {}


def test_a_program_needs_no_origin(gate: Gate, listed: tuple[ApiKey, str]) -> None:
    answer = ask(gate, listed[1])
    assert answer.status_code == 200
    assert cors(answer) == {}


def test_a_key_that_lists_none_is_for_no_page(gate: Gate) -> None:
    answer = ask(gate, gate.secret, SHOP)
    assert answer.status_code == 200
    assert cors(answer) == {}


@pytest.mark.parametrize(
    ("path", "method", "allowed"), [("/v1/chat/completions", "POST", "POST"), ("/v1/models", "GET", "GET, HEAD")]
)
def test_a_browser_asks_first(gate: Gate, listed: tuple[ApiKey, str], path: str, method: str, allowed: str) -> None:
    answer = preflight(gate, SHOP, path, method)
    assert answer.status_code == 204
    told = cors(answer)
    assert float(told.pop("access-control-max-age")) > 0
    assert told == {
        "access-control-allow-origin": SHOP,
        "access-control-allow-methods": allowed,
        "access-control-allow-headers": "authorization, content-type",
    }
    assert answer.headers["vary"] == "origin"


def test_a_page_that_no_key_lists_is_not_let_on(gate: Gate, listed: tuple[ApiKey, str]) -> None:
    answer = preflight(gate, OTHER)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin_not_allowed")
    assert cors(answer) == {}
    assert httpx.options(f"{gate.url}/v1/chat/completions").status_code == 405  # not a browser's question
    assert preflight(gate, SHOP, "/v1/nothing").status_code == 404


def test_what_is_listed_follows_the_keys(gate: Gate, listed: tuple[ApiKey, str]) -> None:
    key, secret = listed
    assert preflight(gate, SHOP).status_code == 204
    key.allowed_origins = [OTHER]
    key.save()
    gate.refresh()
    assert preflight(gate, SHOP).status_code == 403
    assert preflight(gate, OTHER).status_code == 204
    assert ask(gate, secret, SHOP).status_code == 403
    revoke(key, timezone.now())
    gate.refresh()
    assert preflight(gate, OTHER).status_code == 403
