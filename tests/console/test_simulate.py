"""`POST /api/simulate` for people and for keys."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from billing.models import Attempt, Request, Team
from routing.keys import create_key
from routing.models import Route, UseCase
from tests import factories

pytestmark = pytest.mark.django_db

URL = "/api/simulate"


@pytest.fixture(autouse=True)
def house() -> None:
    UseCase.objects.all().delete()
    provider = factories.make_provider("Mine", "vllm", base_url="http://127.0.0.1:1/v1")
    other = factories.make_provider("Other", "vllm", base_url="http://127.0.0.1:1/v1")
    for each in (provider, other):
        factories.make_price(factories.make_model(each, "m", listed=True), "1", "2")
    code = UseCase.objects.create(slug="code", name="Code")
    Route.objects.create(
        name="code", use_case=code, chain={"first": {"target": "mine:m"}, "fallbacks": [{"target": "other:m"}]}
    )


def simulate(client: Client, secret: str = "", **asked: Any) -> Any:
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    return client.post(URL, json.dumps({"text": "Say hello."} | asked), "application/json", headers=headers)


@pytest.mark.store
def test_a_key_learns_what_would_happen_and_nothing_is_recorded(client: Client, research: Team) -> None:
    _, secret = create_key("test", team=research)
    told = simulate(client, secret, model="auto/code").json()
    assert (told["answered_by"], told["route"], told["use_case"]) == ("mine:m", "code", "code")
    assert told["input_tokens"] > 0
    assert told["expected_cost_nano"] > 0
    assert told["decision"]["reason"] == "ROUTE code"
    assert [each["model"] for each in told["decision"]["candidates"]] == ["mine:m", "other:m"]
    pretended = simulate(client, secret, use_case="code", pretend={"mine": "down"}).json()
    assert (pretended["answered_by"], pretended["refused"]) == ("other:m", None)
    assert [each["outcome"] for each in pretended["tried"]] == ["upstream_unreachable", "answers"]
    nobody = simulate(client, secret, use_case="code", pretend={"mine": "down", "other": "rate_limited"}).json()
    assert nobody["answered_by"] is None
    assert nobody["refused"]["code"] == "upstream_unreachable"  # it was tried once more, at the end
    assert not Request.objects.exists()
    assert not Attempt.objects.exists()


def test_a_keys_own_rules_hold(client: Client, research: Team) -> None:
    key, secret = create_key("test", team=research)
    key.allowed_models, key.use_case = ["other:m"], "code"
    key.save()
    told = simulate(client, secret).json()
    assert (told["use_case"], told["answered_by"]) == ("code", "other:m")
    assert simulate(client, secret, team="research").status_code == 403


def test_a_person_may_ask_as_a_team(signed_in: Any, alice: Any, research: Team) -> None:
    research.data_policy = "eu_only"
    research.save()
    factories.make_model(factories.make_provider("Far", "openai"), "far", listed=True)
    client = signed_in(alice)
    refused = simulate(client, model="far", team=research.slug).json()["refused"]
    assert refused["code"] == "data_policy"
    assert simulate(client, model="far").json()["refused"]["code"] != "data_policy"
    assert simulate(client, model="far", team="nobody").status_code == 404


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        ({"messages": [{"role": "user", "content": "x"}]}, 400, "either 'messages' or 'text'"),
        ({"pretend": {"mine": "asleep"}}, 400, "down, slow"),
        ({"complexity": "hard"}, 400, "low, medium or high"),
        ({"max_tokens": 0}, 422, "max_tokens"),
        ({"metadata": {"tags": 5}}, 400, "tags"),
    ],
)
def test_what_cannot_be_is_said(signed_in: Any, alice: Any, asked: dict[str, Any], status: int, says: str) -> None:
    answer = simulate(signed_in(alice), **asked)
    assert answer.status_code == status
    assert says in answer.json()["error"]["message"]


def test_an_unknown_use_case_is_the_refusal_that_a_client_would_get(signed_in: Any, alice: Any) -> None:
    assert simulate(signed_in(alice), model="auto/cod").json()["refused"] == {
        "status": 404,
        "code": "unknown_use_case",
        "message": "There is no use case 'cod'. There is code.",
    }
