"""The management API of keys: by a person with the rights of the pages, and by a key within its own."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import Budget, Membership, Team
from console.models import AuditEntry, User
from routing.callers import Caller, Refused, find_key
from routing.keys import create_key, hash_secret, set_budget
from routing.models import ApiKey
from tests.console.test_api import error_of
from tests.factories import make_model, make_team, make_user

pytestmark = pytest.mark.django_db
MANAGER = ["requests.see", "models.see", "keys.see", "keys.change"]


def call(client: Client, method: str, path: str = "", body: Any = None, secret: str = "") -> Any:
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    return client.generic(
        method,
        f"/api/keys{path}",
        json.dumps(body) if body is not None else "",
        content_type="application/json",
        headers=headers,
    )


def opens(secret: str) -> bool:
    return isinstance(find_key((hash_secret(secret),))[1], Caller)


@pytest.fixture
def adams(adam: User, signed_in: Any) -> Any:
    return signed_in(adam)


@pytest.fixture
def manager(research: Team, adam: User) -> tuple[ApiKey, str]:
    """A key of the team that may change keys."""
    return create_key("terraform", team=research, scopes=MANAGER)


# -- by a person --------------------------------------------------------------------------------


@pytest.mark.store
def test_a_key_is_made_read_changed_rotated_and_ended(adams: Any, research: Team) -> None:
    make_model()
    sent = {
        "name": "ci",
        "team": "research",
        "allowed_models": ["auto/code_generation", "demo:relay-1"],
        "use_case": "code_generation",
        "tier": "economy",
        "budget": {"amount": "12.50", "period": "week", "at_limit": "downgrade"},
        "requests_per_minute": 60,
        "expires_at": "2090-01-31T10:00:00Z",
        "allowed_origins": ["HTTPS://Shop.Example.org:443/"],
        "keeps_content": False,
    }
    answer = call(adams, "POST", body=sent)
    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    made, secret = answer.json()["key"], answer.json()["secret"]
    assert opens(secret)
    assert {name: made[name] for name in sent if name not in ("budget", "allowed_origins")} == {
        name: value for name, value in sent.items() if name not in ("budget", "allowed_origins")
    }
    assert made["allowed_origins"] == ["https://shop.example.org"]
    assert made["budget"] == {
        "amount": "12.5", "spent": "0", "currency": "USD", "period": "week", "at_limit": "downgrade",
    }  # fmt: skip
    assert (made["state"], made["team"], made["person"], made["manages"]) == ("live", "research", None, "")
    path = f"/{made['id']}"
    assert call(adams, "GET", path).json() == made
    changed = call(adams, "PATCH", path, {"name": "ci-2", "budget": None}).json()
    assert changed == made | {"name": "ci-2", "budget": None}
    assert not Budget.objects.exists()
    rotated = call(adams, "POST", f"{path}/rotate", {"overlap_hours": 1}).json()
    assert opens(rotated["secret"])
    assert opens(secret)
    assert [old["last_four"] for old in rotated["key"]["old_secrets"]] == [secret[-4:]]
    assert call(adams, "POST", f"{path}/revoke").json()["state"] == "revoked"
    assert not opens(rotated["secret"])
    assert call(adams, "POST", f"{path}/revoke").status_code == 200  # again does no harm
    assert call(adams, "PATCH", path, {"name": "x"}).status_code == 404
    verbs = list(AuditEntry.objects.filter(object_kind="apikey").order_by("id").values_list("verb", "actor_name"))
    assert verbs == [(verb, "Adam") for verb in ("create", "change", "rotate", "revoke")]
    said = json.dumps(list(AuditEntry.objects.values_list("content", flat=True)), default=str)
    assert secret not in said
    assert rotated["secret"] not in said


def test_the_list_goes_on_where_it_stopped(adams: Any, research: Team) -> None:
    for number in range(5):
        create_key(f"k{number}", team=research)
    create_key("other", team=make_team("Legal"))
    names, after = [], ""
    while True:
        page = call(adams, "GET", f"?team=research&limit=2&after={after}").json()
        names += [key["name"] for key in page["data"]]
        after = page["next"]
        if not after:
            break
    assert names == ["k4", "k3", "k2", "k1", "k0"]
    assert len(call(adams, "GET").json()["data"]) == 6
    assert call(adams, "GET", "?state=ended").json() == {"data": [], "next": ""}
    assert call(adams, "GET", "?after=nonsense").status_code == 200
    for wrong in ("?limit=0", "?limit=201", "?state=odd"):
        assert call(adams, "GET", wrong).status_code == 422


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({}, "name"),
        ({"name": " ", "team": "research"}, "name"),
        ({"name": "x", "team": "nobodys"}, "team"),
        ({"name": "x"}, "team"),
        ({"name": "x", "team": "research", "allowed_models": ["no-such-model"]}, "allowed_models"),
        ({"name": "x", "team": "research", "allowed_models": ["auto/no_such_case"]}, "allowed_models"),
        ({"name": "x", "team": "research", "use_case": "no_such_case"}, "use_case"),
        ({"name": "x", "team": "research", "tier": "free"}, "tier"),
        ({"name": "x", "team": "research", "budget": {"amount": "-1"}}, "amount"),
        ({"name": "x", "team": "research", "budget": {"amount": "0.0000000001"}}, "budget"),
        ({"name": "x", "team": "research", "requests_per_minute": 0}, "requests_per_minute"),
        ({"name": "x", "team": "research", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "team": "research", "expires_at": "2090-01-01T00:00:00"}, "time zone"),
        ({"name": "x", "team": "research", "expires_at": "9999-12-31T23:59:59-10:00"}, "expires_at"),
        ({"name": "x", "team": "research", "allowed_origins": ["shop.example.org"]}, "allowed_origins"),
        ({"name": "x", "team": "research", "allowed_origins": ["https://*.example.org"]}, "allowed_origins"),
    ],
)
def test_what_is_wrong_is_named(adams: Any, research: Team, sent: dict[str, Any], said: str) -> None:
    answer = call(adams, "POST", body=sent)
    assert answer.status_code == 422
    assert said in error_of(answer)["message"]
    assert not ApiKey.objects.exists()


def test_the_language_of_a_person_is_not_the_apis(adam: User, adams: Any, research: Team) -> None:
    User.objects.filter(pk=adam.pk).update(language="fr")
    answer = call(adams, "POST", body={"name": "x", "team": "research", "budget": {"amount": "1.5"}})
    assert answer.status_code == 201
    assert answer.json()["key"]["budget"]["amount"] == "1.5"
    answer = call(adams, "POST", body={"name": "x", "team": "research", "use_case": "none"})
    assert "Select a valid choice" in error_of(answer)["message"]


@pytest.mark.parametrize(
    ("who", "listed", "made"), [("bob", 200, 403), ("dana", 200, 403), ("vera", 403, 403), ("charlie", 200, 403)]
)
def test_others_may_what_the_pages_let_them(
    who: str, listed: int, made: int, research: Team, request: Any, signed_in: Any
) -> None:
    client = signed_in(request.getfixturevalue(who))
    key, _ = create_key("ci", team=research)
    assert call(client, "GET").status_code == listed
    assert call(client, "POST", body={"name": "x", "team": "research"}).status_code == made
    assert call(client, "POST", f"/{key.pk}/revoke").status_code in (403, 404)
    assert ApiKey.objects.get().revoked_at is None


def test_a_member_makes_and_changes_their_own_where_the_team_allows(bob: User, research: Team, signed_in: Any) -> None:
    Team.objects.update(members_make_keys=True)
    client = signed_in(bob)
    made = call(client, "POST", body={"name": "laptop"}).json()["key"]
    assert (made["person"], made["team"]) == (bob.email, "research")
    assert call(client, "PATCH", f"/{made['id']}", {"name": "desk"}).status_code == 200
    others, _ = create_key("ci", team=research)
    assert call(client, "PATCH", f"/{others.pk}", {"name": "mine"}).status_code == 403
    assert call(client, "POST", f"/{others.pk}/rotate", {}).status_code == 403
    assert call(client, "POST", f"/{others.pk}/revoke").status_code == 403
    for more in ({"team": "research"}, {"manages": "see"}, {"team": "research", "own": True, "manages": "change"}):
        assert call(client, "POST", body={"name": "more", **more}).status_code in (403, 422)
    assert ApiKey.objects.count() == 2


def test_keys_of_others_do_not_exist(bob: User, research: Team, signed_in: Any) -> None:
    Team.objects.update(members_make_keys=True)
    legal, _ = create_key("legal", team=make_team("Legal"))
    personal, _ = create_key("charlies", user=make_user("Chris"))
    client = signed_in(bob)
    assert call(client, "GET").json()["data"] == []
    for key in (legal, personal):
        for method, path in (("GET", ""), ("PATCH", ""), ("POST", "/rotate"), ("POST", "/revoke")):
            assert call(client, method, f"/{key.pk}{path}", {}).status_code == 404
    assert call(client, "GET", f"/{2**70}").status_code in (404, 422)


def test_a_session_proves_where_it_comes_from(adam: User, research: Team) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(adam, backend="allauth.account.auth_backends.AuthenticationBackend")
    answer = call(client, "POST", body={"name": "x", "team": "research"})
    assert (answer.status_code, error_of(answer)["code"]) == (403, "csrf_failed")


# -- by a key -----------------------------------------------------------------------------------


def test_a_key_needs_the_right_by_name(client: Client, research: Team, adam: User) -> None:
    _, plain = create_key("plain", team=research)
    _, sees = create_key("sees", team=research, scopes=["keys.see"])
    assert call(client, "GET", secret=plain).status_code == 403
    assert len(call(client, "GET", secret=sees).json()["data"]) == 2
    assert call(client, "POST", body={"name": "x"}, secret=sees).status_code == 403
    assert call(client, "GET").status_code == 401


@pytest.mark.store
def test_a_managing_key_stays_in_its_team(client: Client, research: Team, manager: tuple[ApiKey, str]) -> None:
    key, secret = manager
    other, _ = create_key("legal", team=make_team("Legal"))
    made = call(client, "POST", body={"name": "ci"}, secret=secret)
    assert made.status_code == 201
    row = ApiKey.objects.get(name="ci")
    assert (row.team, row.user, row.created_by) == (research, None, None)
    assert {each["name"] for each in call(client, "GET", secret=secret).json()["data"]} == {"terraform", "ci"}
    assert call(client, "POST", body={"name": "x", "team": "legal"}, secret=secret).status_code == 422
    assert call(client, "POST", f"/{other.pk}/revoke", secret=secret).status_code == 404
    assert call(client, "POST", f"/{row.pk}/revoke", secret=secret).status_code == 200
    assert call(client, "PATCH", f"/{key.pk}", {"name": "x"}, secret=secret).status_code == 403  # not itself
    assert AuditEntry.objects.filter(actor_name="API key terraform").count() == 2


def test_a_key_gives_no_more_than_it_has(client: Client, research: Team, manager: tuple[ApiKey, str]) -> None:
    make_model()
    key, secret = manager
    wider, old = create_key("wider", team=research)
    ends = timezone.now() + timedelta(days=10)
    key.allowed_models, key.requests_per_minute, key.expires_at = ["demo:relay-1", "fast"], 10, ends
    key.scopes = ["keys.see", "keys.change"]
    key.save()
    within = {
        "name": "x", "allowed_models": ["demo:relay-1"], "requests_per_minute": 10, "expires_at": ends.isoformat(),
    }  # fmt: skip
    beyond: list[dict[str, Any]] = [
        {"allowed_models": []},
        {"allowed_models": ["demo:relay-1", "auto/expert"]},
        {"requests_per_minute": None},
        {"requests_per_minute": 11},
        {"expires_at": None},
        {"expires_at": (ends + timedelta(seconds=1)).isoformat()},
        {"manages": "see"},  # which would give it `requests.see`
    ]
    for more in beyond:
        answer = call(client, "POST", body=within | more, secret=secret)
        assert (answer.status_code, error_of(answer)["code"]) == (403, "not_allowed"), more
    assert call(client, "POST", body=within, secret=secret).status_code == 201
    # A secret of a key that may do more would be as good as the right itself.
    assert call(client, "POST", f"/{wider.pk}/rotate", {}, secret=secret).status_code == 403
    assert call(client, "PATCH", f"/{wider.pk}", {"name": "y"}, secret=secret).status_code == 403
    assert opens(old)
    assert call(client, "POST", f"/{wider.pk}/revoke", secret=secret).status_code == 200


def test_a_key_with_a_budget_makes_no_others(client: Client, research: Team, manager: tuple[ApiKey, str]) -> None:
    key, secret = manager
    set_budget(key, 1_000_000_000)
    answer = call(client, "POST", body={"name": "x", "budget": {"amount": "1"}}, secret=secret)
    assert answer.status_code == 403
    assert "budget of its own" in error_of(answer)["message"]


def test_a_persons_key_reaches_only_what_is_theirs(client: Client, bob: User, research: Team) -> None:
    Team.objects.update(members_make_keys=True)
    _, secret = create_key("mine", team=research, user=bob, scopes=MANAGER)
    create_key("teams", team=research)
    assert [key["name"] for key in call(client, "GET", secret=secret).json()["data"]] == ["mine"]
    made = call(client, "POST", body={"name": "second"}, secret=secret).json()["key"]
    assert (made["person"], made["team"]) == (bob.email, "research")
    Membership.objects.all().delete()
    assert call(client, "POST", body={"name": "third"}, secret=secret).status_code == 422
    refused = find_key((hash_secret(secret),))[1]
    assert not isinstance(refused, Refused)


def test_every_operation_is_in_the_document(client: Client) -> None:
    paths = client.get("/api/openapi.json").json()["paths"]
    needs = {
        (path, method): told["x-needs"]
        for path, methods in paths.items()
        if path.startswith("/api/keys")
        for method, told in methods.items()
    }
    assert needs == {
        ("/api/keys", "get"): "keys.see",
        ("/api/keys", "post"): "keys.make_own",
        ("/api/keys/{key_id}", "get"): "keys.see",
        ("/api/keys/{key_id}", "patch"): "keys.make_own",
        ("/api/keys/{key_id}/rotate", "post"): "keys.make_own",
        ("/api/keys/{key_id}/revoke", "post"): "keys.make_own",
    }
