from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path
from django.utils import timezone
from ninja import NinjaAPI

from billing.ids import new_request_id, started_at
from billing.models import Request, Team
from console.access import declared_actions
from console.views.api import KeyAuth, SessionAuth, mounted
from routing.api import build
from routing.keys import create_key, revoke
from tests import factories

pytestmark = pytest.mark.django_db


def recorded(team: Any = None, user: Any = None, **fields: Any) -> Request:
    request_id = new_request_id()
    told = {"reason": "EXPLICIT demo:relay-1", "use": "chat", "candidates": []}
    fields = {"status": "ok", "purpose": "api", "asked_model": "demo:relay-1", "decision": told} | fields
    return Request.objects.create(
        id=request_id,
        started_at=started_at(request_id),
        team_id=team.pk if team else None,
        user_id=user.pk if user else None,
        **fields,
    )


def ask(client: Client, record: Request, secret: str = "", **headers: str) -> HttpResponse:
    if secret:
        headers["authorization"] = f"Bearer {secret}"
    answer: HttpResponse = client.get(f"/api/decisions/{record.id}", headers=headers)  # type: ignore[assignment]
    return answer


def error_of(answer: Any) -> dict[str, Any]:
    assert answer["Content-Type"] == "application/json"
    error: dict[str, Any] = json.loads(answer.content)["error"]
    assert set(error) == {"message", "type", "param", "code", "retryable", "request_id"}
    assert error["request_id"] == answer["x-request-id"]
    return error


# -- by key -----------------------------------------------------------------------


@pytest.mark.store
def test_a_key_reads_the_decisions_of_its_team(client: Client, research: Team) -> None:
    key, secret = create_key("test", team=research)
    record = recorded(research)
    answer = ask(client, record, secret)
    assert answer.status_code == 200
    told = json.loads(answer.content)
    assert (told["id"], told["decision"]["reason"]) == (record.id, "EXPLICIT demo:relay-1")
    assert answer["Cache-Control"] == "no-store"
    key.refresh_from_db()
    assert key.last_used_at is not None


@pytest.mark.parametrize("header", ["x-api-key", "api-key"])
def test_a_key_may_come_in_any_of_the_headers_of_v1(client: Client, research: Team, header: str) -> None:
    _, secret = create_key("test", team=research)
    assert ask(client, recorded(research), **{header: secret}).status_code == 200


@pytest.mark.store
def test_decisions_of_others_do_not_exist(client: Client, research: Team, charlie: Any) -> None:
    _, secret = create_key("test", team=research)
    for record in (recorded(factories.make_team("Data")), recorded(user=charlie), recorded()):
        answer = ask(client, record, secret)
        assert answer.status_code == 404
        assert error_of(answer)["code"] == "not_found"


def test_a_persons_own_key_reads_what_that_person_asked(client: Client, bob: Any, charlie: Any) -> None:
    _, secret = create_key("test", user=bob)
    assert ask(client, recorded(user=bob), secret).status_code == 200
    assert ask(client, recorded(user=charlie), secret).status_code == 404


def test_a_key_that_is_not_good_is_refused(client: Client, research: Team) -> None:
    record = recorded(research)
    revoked, one = create_key("revoked", team=research)
    revoke(revoked, timezone.now())
    _, two = create_key("expired", team=research, expires_at=timezone.now() - timedelta(seconds=1))
    _, three = create_key("narrow", team=research, scopes=["chat"])
    refusals = {
        one: (401, "key_revoked"),
        two: (401, "key_expired"),
        three: (403, "not_allowed"),
        "rh_" + "x" * 40: (401, "invalid_api_key"),
        "nonsense": (401, "invalid_api_key"),
    }
    for secret, (status, code) in refusals.items():
        answer = ask(client, record, secret)
        assert (answer.status_code, error_of(answer)["code"]) == (status, code)


def test_a_wrong_key_is_refused_whoever_is_signed_in(signed_in: Any, alice: Any, research: Team) -> None:
    assert ask(signed_in(alice), recorded(research), "nonsense").status_code == 401
    assert ask(signed_in(alice), recorded(research), **{"authorization": "Basic YTpi"}).status_code == 401


# -- by session ---------------------------------------------------------------------


def test_nobody_is_told_to_sign_in(client: Client, research: Team) -> None:
    answer = ask(client, recorded(research))
    assert answer.status_code == 401
    assert error_of(answer)["code"] == "not_signed_in"


def test_people_see_their_own_and_their_teams_and_some_see_all(signed_in: Any, request: Any, research: Team) -> None:
    of_team, elsewhere = recorded(research), recorded(factories.make_team("Data"))
    seen = {
        name: (ask(signed_in(person), of_team).status_code, ask(signed_in(person), elsewhere).status_code)
        for name in ("alice", "adam", "vera", "bob", "charlie", "dana")
        for person in [request.getfixturevalue(name)]
    }
    assert seen == {
        "alice": (200, 200),
        "adam": (200, 200),
        "vera": (200, 200),
        "bob": (200, 404),
        "charlie": (404, 404),
        "dana": (403, 403),
    }


def test_one_reads_ones_own(signed_in: Any, charlie: Any) -> None:
    assert ask(signed_in(charlie), recorded(user=charlie, purpose="playground")).status_code == 200


# -- the rest of /api/ ----------------------------------------------------------------


@pytest.mark.parametrize("request_id", ["req_nothing", "x", "req_" + "0" * 32, "req_" + "f" * 32, "é", "-" * 400])
def test_ids_that_are_none(signed_in: Any, alice: Any, request_id: str) -> None:
    answer = signed_in(alice).get(f"/api/decisions/{request_id}")
    assert answer.status_code == 404
    error_of(answer)


def test_what_is_not_there_and_what_may_not_be_done(signed_in: Any, alice: Any) -> None:
    client = signed_in(alice)
    answer = client.get("/api/nonsense")
    assert (answer.status_code, error_of(answer)["code"]) == (404, "not_found")
    answer = client.post(f"/api/decisions/{new_request_id()}")
    assert (answer.status_code, error_of(answer)["code"], answer["Allow"]) == (405, "method_not_allowed", "GET")


def test_the_document_describes_both_planes(client: Client) -> None:
    document = client.get("/api/openapi.json").json()
    assert {"/v1/models", "/v1/chat/completions", "/api/decisions/{request_id}"} <= set(document["paths"])
    assert document["paths"]["/api/decisions/{request_id}"]["get"]["x-needs"] == "requests.see"


def test_the_page_shows_every_operation(signed_in: Any, bob: Any, client: Client) -> None:
    assert client.get("/api/docs").status_code == 302
    text = signed_in(bob).get("/api/docs").content.decode()
    for path_ in ("/v1/models", "/v1/models/{name}", "/v1/chat/completions", "/api/decisions/{request_id}"):
        assert f">{path_}<" in text
    assert "<script>" not in text


def test_an_operation_declares_what_it_needs() -> None:
    assert declared_actions()["api:decision"].action == "requests.see"
    api = NinjaAPI(urls_namespace="careless")
    api.get("/open")(lambda request: 1)
    with pytest.raises(LookupError, match="declares no permission"):
        mounted(api)


# -- counting before sending ----------------------------------------------------------------


def count(client: Client, secret: str = "", **asked: Any) -> HttpResponse:
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    answer: HttpResponse = client.post(
        "/api/tokens", json.dumps(asked), content_type="application/json", headers=headers
    )  # type: ignore[assignment]
    return answer


def test_tokens_are_counted_for_a_model_of_the_keys_choice(client: Client, research: Team) -> None:
    vendor = factories.make_provider("House", "vllm", base_url="http://127.0.0.1:1/v1")
    factories.make_model(vendor, "Qwen3-32B")
    factories.make_model(vendor, "bge-m3", use="embedding")
    _, secret = create_key("test", team=research, allowed_models=["house:Qwen3-32B", "house:bge-m3"])
    answer = count(client, secret, model="house:Qwen3-32B", text="A gateway stands between those who ask.")
    assert answer.status_code == 200
    told = json.loads(answer.content)
    assert told | {"count": 0} == {"model": "house:Qwen3-32B", "count": 0, "family": "qwen", "exact": False}
    assert 7 <= told["count"] <= 12
    messages = [{"role": "user", "content": "A gateway stands between those who ask."}]
    tool = {"type": "function", "function": {"name": "lookup", "description": "Find a city"}}
    counts = [
        json.loads(count(client, secret, model="Qwen3-32B", messages=messages, **more).content)["count"]
        for more in ({}, {"tools": [tool]})
    ]
    assert told["count"] < counts[0] < counts[1]
    assert json.loads(count(client, secret, model="bge-m3", text="x").content)["model"] == "house:bge-m3"


def test_what_cannot_be_counted_says_why(client: Client, signed_in: Any, bob: Any, research: Team) -> None:
    vendor = factories.make_provider("House", "vllm", base_url="http://127.0.0.1:1/v1")
    factories.make_model(vendor, "Qwen3-32B")
    _, secret = create_key("test", team=research, allowed_models=["house:other"])
    for asked, status, code in (
        ({"model": "house:Qwen3-32B", "text": "x"}, 403, "model_not_allowed"),
        ({"model": "house:nothing", "text": "x"}, 404, "model_not_found"),
        ({"model": "house:Qwen3-32B"}, 400, "invalid"),
        ({"model": "house:Qwen3-32B", "text": "x", "messages": []}, 400, "invalid"),
        ({"model": 7, "text": "x"}, 422, "invalid"),
    ):
        answer = count(client, secret, **asked)  # type: ignore[arg-type]
        assert (answer.status_code, error_of(answer)["code"]) == (status, code)
    assert count(signed_in(bob), model="house:Qwen3-32B", text="x").status_code == 200
    assert count(client, model="house:Qwen3-32B", text="x").status_code == 401


# -- CSRF: an API with an operation that changes something -----------------------------------

changing = build(authenticate=[KeyAuth(), SessionAuth()], may_see=lambda request, record: True, version="test")


@changing.post("/change", openapi_extra={"x-needs": "requests.see"})
def change(request: HttpRequest) -> dict[str, str]:
    return {"changed": "yes"}


@changing.post("/fail", openapi_extra={"x-needs": "requests.see"})
def fail(request: HttpRequest) -> None:
    raise ZeroDivisionError("test-key-in-a-message")


changing.urls_namespace = "changing"
urlpatterns = [path("", include("console.urls")), path("changing/", include(mounted(changing), namespace="changing"))]


@pytest.fixture
def strict(alice: Any) -> Client:
    """A browser whose session is checked for forgery."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


@pytest.mark.urls("tests.console.test_api")
def test_a_session_proves_that_our_page_sent_the_request(strict: Client) -> None:
    answer = strict.post("/changing/change")
    assert (answer.status_code, error_of(answer)["code"]) == (403, "csrf_failed")
    strict.get("/api/docs")
    token = strict.cookies["relayhouse_csrf"].value
    assert strict.post("/changing/change", headers={"x-csrftoken": token}).json() == {"changed": "yes"}
    foreign = {"x-csrftoken": token, "origin": "https://evil.example"}
    assert strict.post("/changing/change", headers=foreign).status_code == 403


@pytest.mark.urls("tests.console.test_api")
def test_a_key_needs_no_such_proof(research: Team) -> None:
    _, secret = create_key("test", team=research)
    client = Client(enforce_csrf_checks=True)
    assert client.post("/changing/change", headers={"authorization": f"Bearer {secret}"}).status_code == 200


@pytest.mark.urls("tests.console.test_api")
def test_what_breaks_inside_stays_inside(signed_in: Any, alice: Any, caplog: pytest.LogCaptureFixture) -> None:
    answer = signed_in(alice).post("/changing/fail")
    assert (answer.status_code, error_of(answer)["code"]) == (500, "internal_error")
    assert "test-key" not in answer.content.decode()
    assert "failed in the management API" in caplog.text
