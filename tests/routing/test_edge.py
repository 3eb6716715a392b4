"""/v1 over a real socket: keys, bodies, headers, errors in OpenAI's shape, and clients that leave or dawdle."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.utils import timezone

from billing.models import Request
from providers.models import ModelAlias, Provider
from routing.keys import create_key, revoke
from tests import factories
from tests.routing.gate import MESSAGES, WAIT_SECONDS, Gate, connect
from tests.upstream import Upstream

TEXT = "Hello from upstream."
PATH = "/v1/chat/completions"


@pytest.fixture(autouse=True)
def nothing_left(gate: Gate) -> Iterator[None]:
    """Whatever a test did: no call, connection or task of it goes on."""
    yield
    gate.at_rest()


# -- an answer -------------------------------------------------------------------------


def test_a_plain_answer(gate: Gate) -> None:
    got = gate.chat("a:ok")
    assert (got.status, got.text) == (200, TEXT)
    assert got.headers["content-type"] == "application/json"
    assert got.json["model"] == "served-model"
    assert got.headers["x-relayhouse-model"] == "a:ok"
    assert got.headers["x-relayhouse-provider"] == "a"
    assert "x-relayhouse-attempts" not in got.headers
    assert got.headers["cache-control"] == "no-store"
    records = gate.records(got.request_id)
    assert records.billed == ["provider"]
    entry = records.entries[0]
    assert (entry.team_id, entry.key_id, entry.purpose) == (gate.team.pk, gate.key.pk, "api")
    assert (entry.input_tokens, entry.output_tokens) == (9, 4)
    assert entry.amount_nano == 9 * 1000 + 4 * 2000
    assert records.request.decision["reason"] == "EXPLICIT a:ok"


def test_a_streamed_answer(gate: Gate) -> None:
    got = gate.chat("a:ok", stream=True)
    assert got.is_stream
    assert got.headers["x-accel-buffering"] == "no"
    assert got.text == TEXT
    assert got.done
    assert not any("usage" in event for event in got.events)
    records = gate.records(got.request_id)
    assert records.request.streamed
    assert records.request.first_token_ms is not None
    assert records.entries[0].usage_source == "provider"


def test_usage_is_streamed_to_whoever_asks(gate: Gate, first: Upstream) -> None:
    got = gate.chat("a:ok", stream=True, stream_options={"include_usage": True})
    assert got.events[-1]["usage"]["total_tokens"] == 13
    assert got.done
    assert first.chats[-1].json["stream_options"]["include_usage"] is True


def test_usage_is_counted_when_the_provider_does_not_say(gate: Gate) -> None:
    got = gate.chat("a:no-usage", stream=True, stream_options={"include_usage": True})
    assert got.events[-1]["usage"]["completion_tokens"] > 0
    assert got.done
    assert gate.records(got.request_id).entries[0].usage_source == "counted"


def test_what_was_asked_goes_up_as_it_came(gate: Gate, first: Upstream) -> None:
    content = [{"type": "text", "text": "Grüße \u2603"}]
    gate.post(
        json.dumps({"model": "a:ok", "messages": [{"role": "user", "content": content}], "temperature": 0.25}).encode()
    )
    sent = first.chats[-1]
    assert sent.json["messages"][0]["content"] == content
    assert sent.json["temperature"] == 0.25
    assert sent.json["model"] == "ok"
    assert "authorization" not in sent.headers
    assert gate.secret.encode() not in sent.body


def test_a_bare_name_falls_back_in_order_of_priority(gate: Gate) -> None:
    assert gate.chat("ok").headers["x-relayhouse-provider"] == "a"
    got = gate.chat("500")
    assert got.headers["x-relayhouse-provider"] == "b"
    assert got.headers["x-relayhouse-attempts"] == "2"


def test_a_clients_own_id_is_kept(gate: Gate) -> None:
    got = gate.chat("a:ok", headers={"x-request-id": "mine-\u00e9\t42"[:5] + "42"})
    assert got.request_id.startswith("req_")
    assert gate.records(got.request_id).request.client_request_id == "mine-42"


def test_the_decision_is_stored_with_its_fallbacks(gate: Gate) -> None:
    record = gate.records(gate.chat("500").request_id).request
    assert record.decision["reason"] == "BARE 500: a, then b"
    assert [each["model"] for each in record.decision["candidates"]] == ["a:500", "b:500"]
    assert (record.provider, record.model, record.attempts) == ("b", "500", 2)


# -- keys ------------------------------------------------------------------------------


def refused(gate: Gate, **headers: str) -> tuple[int, str]:
    body = {"model": "a:ok", "messages": MESSAGES}
    with httpx.Client(base_url=gate.url, timeout=WAIT_SECONDS) as client:
        answer = client.post(PATH, json=body, headers=headers)
    return answer.status_code, answer.json()["error"]["code"]


def test_a_key_is_needed(gate: Gate) -> None:
    assert refused(gate) == (401, "missing_api_key")
    assert refused(gate, authorization="Basic dXNlcjpwYXNz") == (401, "missing_api_key")
    assert refused(gate, authorization="Bearer") == (401, "missing_api_key")
    assert refused(gate, authorization="Bearer sk-of-somebody-else") == (401, "invalid_api_key")
    assert refused(gate, authorization=f"Bearer {gate.secret[:-1]}") == (401, "invalid_api_key")
    swapped = gate.secret[:-1] + ("a" if gate.secret[-1] != "a" else "b")
    assert refused(gate, authorization=f"Bearer {swapped}") == (401, "invalid_api_key")


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "api-key"])
def test_it_may_be_presented_in_three_ways(gate: Gate, header: str) -> None:
    value = f"bearer {gate.secret}" if header == "authorization" else gate.secret
    with httpx.Client(base_url=gate.url, headers={header: value}) as client:
        assert client.get("/v1/models").status_code == 200


def test_a_revoked_key_ends_within_two_seconds(gate: Gate) -> None:
    key, secret = create_key("short-lived", team=gate.team)
    with httpx.Client(base_url=gate.url, headers={"authorization": f"Bearer {secret}"}) as client:
        assert client.get("/v1/models").status_code == 200
        revoke(key, timezone.now())
        began = time.monotonic()
        gate.until(lambda: client.get("/v1/models").status_code == 401, "the key still opens", 3.0)
        assert time.monotonic() - began < 2.0
        assert client.get("/v1/models").json()["error"]["code"] == "key_revoked"


def test_an_expired_key_is_refused(gate: Gate) -> None:
    _, secret = create_key("old", team=gate.team, expires_at=timezone.now() - timedelta(minutes=1))
    assert refused(gate, authorization=f"Bearer {secret}") == (401, "key_expired")


def test_a_key_may_be_bound_to_models(gate: Gate) -> None:
    _, secret = create_key("bound", team=gate.team, allowed_models=["A:ok"])
    headers = {"authorization": f"Bearer {secret}"}
    assert gate.chat("a:ok", headers=headers).status == 200
    assert gate.chat("ok", headers=headers).headers["x-relayhouse-provider"] == "a"
    got = gate.chat("b:ok", headers=headers)
    assert (got.status, got.error["code"], got.error["param"]) == (403, "model_not_allowed", "model")
    with httpx.Client(base_url=gate.url, headers=headers) as client:
        assert [row["id"] for row in client.get("/v1/models").json()["data"]] == ["a:ok"]
        assert client.get("/v1/models/a:ok").status_code == 200
        assert client.get("/v1/models/b:ok").status_code == 404


# -- names of models ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("a:okk", 404, "model_not_found"),
        ("nobody:ok", 400, "invalid_model_string"),
        ("a:", 400, "invalid_model_string"),
        ("okk", 404, "model_not_found"),
        ("x" * 400, 400, "invalid_model_string"),
    ],
)
def test_a_wrong_name_is_explained(gate: Gate, model: str, status: int, code: str) -> None:
    got = gate.chat(model)
    assert (got.status, got.error["code"], got.error["param"]) == (status, code, "model")
    assert len(got.error["message"]) < 900
    record = gate.records(got.request_id)
    assert (record.request.status, record.request.error_code, record.attempts) == ("failed", code, [])


def test_the_nearest_names_are_given(gate: Gate) -> None:
    assert "a:stalls" in gate.chat("a:stals").error["message"]


def test_auto_is_the_teams_default(gate: Gate) -> None:
    gate.team.default_model = "b:ok"
    gate.team.save()
    gate.refresh()
    for model in ("auto", "", None):
        got = gate.chat(model)
        assert got.headers["x-relayhouse-provider"] == "b"
        assert got.headers["x-relayhouse-model"] == "auto"
        assert gate.records(got.request_id).request.decision["reason"] == "TEAM DEFAULT b:ok"


def test_a_provider_that_is_switched_off_is_named(gate: Gate, second: Upstream) -> None:
    provider = connect("dark", second.base_url, ["only-here"], enabled=False)
    gate.refresh()
    got = gate.chat("dark:only-here")
    assert (got.status, got.error["code"]) == (503, "no_usable_provider")
    assert "dark is switched off" in got.error["message"]
    assert got.headers["x-should-retry"] == "false"
    provider.delete()
    gate.refresh()


def test_a_model_a_server_of_our_own_just_loaded_is_found(gate: Gate, first: Upstream) -> None:
    connect("local", first.base_url, [])
    gate.refresh()
    first.models = ["just-loaded"]
    got = gate.chat("local:just-loaded")
    first.models = []
    assert (got.status, got.text) == (200, TEXT)


# -- the list ------------------------------------------------------------------------------


def test_models_are_listed(gate: Gate) -> None:
    got = gate.get("/v1/models")
    names = {row["id"]: row for row in got.json["data"]}
    assert got.json["object"] == "list"
    told = {"id": "a:ok", "object": "model", "created": names["a:ok"]["created"], "owned_by": "a"}
    assert names["a:ok"].items() >= told.items()
    assert "b:ok" in names
    assert not any(name.startswith("dark:") for name in names)


def test_one_model_is_told_under_any_of_its_names(gate: Gate, second: Upstream) -> None:
    provider = connect("odd", second.base_url, ["vendor/model:free", "hidden"])
    provider.models.filter(model_id="hidden").update(only_as_fallback=True)
    ModelAlias.objects.create(name="quick", model=provider.models.get(model_id="vendor/model:free"))
    gate.refresh()
    for name in ("odd:vendor/model:free", "ODD:vendor/model:free", "vendor/model:free", "quick", "odd:hidden"):
        got = gate.get(f"/v1/models/{name}")
        assert (got.status, got.json["id"], got.json["owned_by"]) == (200, name, "odd")
    assert gate.get("/v1/models/odd%3Avendor%2Fmodel%3Afree").json["id"] == "odd:vendor/model:free"
    listed = [row["id"] for row in gate.get("/v1/models").json["data"]]
    assert "odd:vendor/model:free" in listed
    assert "quick" in listed
    assert "odd:hidden" not in listed
    got = gate.get("/v1/models/odd:nothing")
    assert (got.status, got.error["code"]) == (404, "model_not_found")


# -- what is no request -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"", "invalid_json", "byte 0"),
        (b'{"model": "a:ok", "messages": [', "invalid_json", "byte 31"),
        (b'{"model": "a:ok" "messages"}', "invalid_json", "byte 17"),
        (b"[]", "invalid_json", "object"),
        (b'{"model": "a:ok"}', "missing_required_parameter", "messages"),
        (b'{"model": "a:ok", "messages": []}', "empty_array", "messages"),
        (b'{"model": 5, "messages": [{"role": "user"}]}', "invalid_type", "model"),
    ],
)
def test_a_malformed_body_says_where(gate: Gate, body: bytes, code: str, words: str) -> None:
    got = gate.post(body)
    assert (got.status, got.error["code"]) == (400, code)
    assert words in got.error["message"]
    assert got.error["request_id"] == got.request_id


def test_kinds_that_take_extras_get_them(gate: Gate, first: Upstream) -> None:
    assert gate.chat("a:ok", top_k=40).status == 200
    assert first.chats[-1].json["top_k"] == 40


def test_kinds_that_do_not_take_extras_refuse_them_by_name(gate: Gate, second: Upstream) -> None:
    connect("strict", second.base_url, ["ok-strict"], kind="openai", secret="test-key-0123456789")
    gate.refresh()
    before = len(second.chats)
    got = gate.chat("strict:ok-strict", temprature=1)
    assert (got.status, got.error["code"], got.error["param"]) == (400, "unknown_parameter", "temprature")
    assert "'temprature'" in got.error["message"]
    assert len(second.chats) == before


def test_a_field_the_model_refuses_is_dropped_and_named(gate: Gate, first: Upstream) -> None:
    got = gate.chat("a:ok", store=True)
    assert got.status == 200
    assert "'store' was dropped" in got.headers["x-relayhouse-warnings"]
    assert "store" not in first.chats[-1].json
    assert "'store' was dropped" in gate.records(got.request_id).request.warnings[0]


def test_unless_it_must_not_be(gate: Gate, first: Upstream) -> None:
    before = len(first.chats)
    got = gate.chat("a:ok", store=True, headers={"x-relayhouse-strict": "true"})
    assert (got.status, got.error["code"]) == (400, "unsupported_parameter")
    assert len(first.chats) == before


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/v1/chat/completions", 405, "POST"),
        ("DELETE", "/v1/chat/completions", 405, "POST"),
        ("POST", "/v1/models", 405, "GET, HEAD"),
        ("POST", "/v1/models/a:ok", 405, "GET, HEAD"),
        ("GET", "/v1/nothing", 404, None),
        ("POST", "/v1/rerank", 404, None),
        ("GET", "/v1/", 404, None),
    ],
)
def test_wrong_methods_and_paths(gate: Gate, method: str, path: str, status: int, allow: str | None) -> None:
    got = gate.get(path, method)
    assert got.status == status
    assert got.headers.get("allow") == allow
    assert got.error["code"] == ("method_not_allowed" if status == 405 else "not_found")


def test_head_and_a_slash_at_the_end(gate: Gate) -> None:
    got = gate.get("/v1/models", "HEAD")
    assert (got.status, got.body) == (200, b"")
    assert int(got.headers["content-length"]) > 100
    assert gate.get("/v1/models/").json["object"] == "list"
    assert gate.post(json.dumps({"model": "a:ok", "messages": MESSAGES}).encode(), path=f"{PATH}/").status == 200


# -- bodies, byte by byte ---------------------------------------------------------------------


@contextmanager
def connection(gate: Gate) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", gate.port), timeout=WAIT_SECONDS) as made:
        yield made


def head(gate: Gate, **headers: Any) -> bytes:
    told = {"host": "gate", "authorization": f"Bearer {gate.secret}", "content-type": "application/json"} | headers
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in told.items())
    return f"POST {PATH} HTTP/1.1\r\n{lines}\r\n".encode()


def read_all(made: socket.socket) -> bytes:
    pieces = []
    while data := made.recv(65536):
        pieces.append(data)
    return b"".join(pieces)


def test_a_body_that_is_announced_too_long_is_refused_before_it_comes(gate: Gate) -> None:
    with connection(gate) as made:
        made.sendall(head(gate, content_length=10**9))
        answer = read_all(made)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"request_too_large"' in answer
    assert b"connection: close" in answer.lower()


def test_a_body_that_turns_out_too_long_is_refused_as_it_comes(gate: Gate) -> None:
    sent = 0
    with connection(gate) as made:
        made.sendall(head(gate, transfer_encoding="chunked"))
        piece = b" " * 65536
        try:
            for _ in range(200):
                made.sendall(b"10000\r\n" + piece + b"\r\n")
                sent += len(piece)
        except OSError:
            pass  # it has closed
        answer = b""
        try:
            answer = read_all(made)
        except ConnectionResetError:
            pass  # the refusal was sent, and thrown away because we went on talking
    assert sent < 200 * 65536 or answer.startswith(b"HTTP/1.1 413")
    assert Request.objects.filter(error_code="request_too_large").count() == 0


@pytest.mark.parametrize("length", ["many", "-5", "1e3", "9" * 400])
def test_a_length_that_is_none_is_refused(gate: Gate, length: str) -> None:
    with connection(gate) as made:
        made.sendall(head(gate, content_length=length))
        answer = read_all(made)
    assert answer.split(b" ")[1] in (b"400", b"413")


def test_a_client_that_leaves_in_its_body_leaves_no_trace(gate: Gate, first: Upstream) -> None:
    asked = len(first.chats)
    with connection(gate) as made:
        made.sendall(head(gate, content_length=1000, x_request_id="left") + b'{"model": "a:ok",')
    gate.records(gate.chat("a:ok").request_id)  # what came later is in the ledger
    assert not Request.objects.filter(client_request_id="left").exists()
    assert len(first.chats) == asked + 1


def test_two_requests_on_one_connection(gate: Gate) -> None:
    with httpx.Client(base_url=gate.url, headers=gate.headers) as client:
        for _ in range(3):
            client.post(PATH, json={"model": "a:nobody", "messages": MESSAGES})
            assert client.post(PATH, json={"model": "a:ok", "messages": MESSAGES}).status_code == 200


# -- the status line waits --------------------------------------------------------------------------


def test_a_slow_provider_gets_the_client_a_comment(committed: None, first: Upstream, gate: Gate) -> None:
    gate._edge.hold_seconds = 0.1
    try:
        got = gate.chat("a:silent", stream=True)
    finally:
        gate._edge.hold_seconds = 15.0
    assert got.status == 200  # it had to be sent with the comment
    assert got.body.startswith(b": keep-alive\n\n")
    assert got.error["code"] == "upstream_timeout"
    assert not got.done


def test_an_answer_goes_on_after_comments(gate: Gate) -> None:
    gate._edge.hold_seconds = 0.02
    try:
        got = gate.chat("a:slow", stream=True)
    finally:
        gate._edge.hold_seconds = 15.0
    assert b": keep-alive" in got.body
    assert got.text == TEXT
    assert got.done


def test_a_slow_reader_holds_the_provider_back(gate: Gate, first: Upstream) -> None:
    body = json.dumps({"model": "a:floods", "messages": MESSAGES, "stream": True}).encode()
    asked = len(first.chats)
    with connection(gate) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.sendall(head(gate, content_length=len(body)) + body)
        made.recv(1000)
        sent = [0]

        def has_stopped() -> bool:
            """Nothing more was sent for half a second: what is between us is full."""
            now = first.chats[asked].sent
            sent.append(now)
            return len(sent) > 50 and sent[-50] == now > 0

        gate.until(has_stopped, "the provider is not held back")
        assert first.chats[asked].ended == ""
        assert sent[-1] < 32 * 1024 * 1024, "more than the buffers of two sockets"
    first.await_that(lambda it: it.chats[asked].ended == "left")


# -- a request that fails inside -------------------------------------------------------------------


def test_a_journal_that_cannot_be_written_stops_what_is_new(gate: Gate, first: Upstream) -> None:
    before = len(first.chats)
    gate.worker.journal.failed = "The journal cannot be written: No space left on device."
    try:
        got = gate.chat("a:ok")
    finally:
        gate.worker.journal.failed = ""
    assert (got.status, got.error["code"], got.error["retryable"]) == (503, "ledger_unavailable", True)
    assert "x-should-retry" not in got.headers
    assert len(first.chats) == before


def test_providers_come_and_go_without_a_failed_request(gate: Gate, first: Upstream) -> None:
    provider = connect("moving", first.base_url, ["ok"], priority=1)
    factories.make_price(provider.models.get(), "3", "3", valid_from=timezone.now())
    gate.refresh()
    assert gate.chat("ok").headers["x-relayhouse-provider"] == "moving"
    Provider.objects.get(pk=provider.pk).rename("Moved")
    gate.refresh()
    assert gate.chat("moving:ok").headers["x-relayhouse-provider"] == "moved"
    assert gate.chat("moved:ok").status == 200
    provider.delete()
    gate.refresh()
    assert gate.chat("ok").headers["x-relayhouse-provider"] == "a"
    assert gate.chat("moved:ok").status == 400
