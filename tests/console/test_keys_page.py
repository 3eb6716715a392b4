"""The pages of API keys: who sees and changes which, what a form keeps, and that a secret is shown once."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.models import Budget, Team
from console.models import AuditEntry, User
from routing.callers import Caller, find_key
from routing.keys import create_key, hash_secret, revoke
from routing.models import ApiKey
from routing.rotation import rotate
from tests.factories import make_model, make_team, make_user

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true", "HX-Current-URL": "http://testserver/keys/"}
SECRET = re.compile(r"rh_[A-Za-z0-9]{40}")


def filled(**more: Any) -> dict[str, Any]:
    usual = {"name": "returns-portal", "may_use": "any", "ends": "90", "period": "month", "at_limit": "block"}
    return usual | more


def opens(secret: str) -> bool:
    return isinstance(find_key((hash_secret(secret),))[1], Caller)


def secret_in(answer: Any) -> str:
    found = set(SECRET.findall(answer.content.decode()))
    assert len(found) == 1
    return found.pop()


@pytest.fixture
def adams(adam: User, signed_in: Any) -> Any:
    return signed_in(adam)


@pytest.fixture
def key(research: Team) -> ApiKey:
    return create_key("ci", team=research)[0]


# -- who sees and changes what -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "sees", "makes"),
    [
        ("alice", True, True),
        ("adam", True, True),
        ("dana", True, False),
        ("bob", True, False),
        ("charlie", True, False),
        ("vera", False, False),
    ],
)
def test_the_list_is_for_whoever_may(
    who: str, sees: bool, makes: bool, key: ApiKey, request: Any, signed_in: Any
) -> None:
    client = signed_in(request.getfixturevalue(who))
    answer = client.get("/keys/")
    page = answer.content.decode()
    assert answer.status_code == (200 if sees else 403)
    assert ('href="/keys/new/"' in page) is makes
    assert ("You can look, not change" in page) is (sees and not makes)
    assert client.post("/keys/new/", filled(holder=f"team:{key.team_id}")).status_code == (200 if makes else 403)
    assert ('href="/keys/"' in client.get("/").content.decode()) is sees  # in the navigation


@pytest.mark.store
def test_keys_of_others_do_not_exist(bob: User, charlie: User, key: ApiKey, signed_in: Any) -> None:
    legal, _ = create_key("legal", team=make_team("Legal"))
    personal, _ = create_key("charlies", user=charlie)
    client = signed_in(bob)
    names = [row.key.name for row in client.get("/keys/").context["rows"]]
    assert names == ["ci"]
    for other in (legal, personal):
        for path in ("", "edit/", "rotate/", "revoke/", "first/?since=1"):
            assert client.get(f"/keys/{other.pk}/{path}").status_code == 404
        for path in ("edit/", "rotate/", "revoke/", "old/"):
            assert client.post(f"/keys/{other.pk}/{path}").status_code == 404
    assert ApiKey.objects.filter(revoked_at=None).count() == 3


def test_a_member_looks_at_the_keys_of_the_team_without_a_control(bob: User, key: ApiKey, signed_in: Any) -> None:
    client = signed_in(bob)
    page = client.get(f"/keys/{key.pk}/").content.decode()
    assert "You can look, not change" in page
    for path in ("edit/", "rotate/", "revoke/"):
        assert f'"/keys/{key.pk}/{path}"' not in page
        assert client.get(f"/keys/{key.pk}/{path}").status_code == 403
        assert client.post(f"/keys/{key.pk}/{path}").status_code == 403
    assert client.post(f"/keys/{key.pk}/old/").status_code == 403


@pytest.mark.store
def test_a_member_makes_their_own_where_the_team_allows(bob: User, research: Team, signed_in: Any) -> None:
    Team.objects.update(members_make_keys=True)
    client = signed_in(bob)
    form = client.get("/keys/new/").context["form"]
    assert form.fields["holder"].choices == [("My own", [(f"mine:{research.pk}", "Me, paid by Research")])]
    assert "rights" not in form.fields
    for beyond in (f"team:{research.pk}", "mine:", f"mine:{make_team('Legal').pk}"):
        assert client.post("/keys/new/", filled(holder=beyond)).status_code == 422
    answer = client.post("/keys/new/", filled(holder=f"mine:{research.pk}", rights="change"))
    assert opens(secret_in(answer))
    row = ApiKey.objects.get()
    assert (row.user, row.team, row.scopes) == (bob, research, [])
    assert client.post(f"/keys/{row.pk}/edit/", filled(name="desk", rights="change")).status_code == 302
    row.refresh_from_db()
    assert (row.name, row.scopes) == ("desk", [])
    Team.objects.update(members_make_keys=False)
    assert client.post(f"/keys/{row.pk}/edit/", filled(name="again")).status_code == 403
    assert client.post(f"/keys/{row.pk}/revoke/").status_code == 302  # ending one's own is always possible
    row.refresh_from_db()
    assert row.revoked_at is not None


def test_an_editor_whose_team_allows_it_finds_the_page(research: Team, signed_in: Any) -> None:
    Team.objects.update(members_make_keys=True)
    eve = make_user("Eve", role="editor", teams=[research])
    assert signed_in(eve).get("/keys/").status_code == 200
    assert signed_in(make_user("Ed", role="editor")).get("/keys/").status_code == 403


def test_a_lead_makes_keys_for_their_team_and_for_no_other(key: ApiKey, research: Team, signed_in: Any) -> None:
    legal = make_team("Legal")
    client = signed_in(make_user("Lea", teams=[research], lead=True))
    assert client.post("/keys/new/", filled(holder=f"team:{legal.pk}")).status_code == 422
    answer = client.post("/keys/new/", filled(holder=f"team:{research.pk}", rights="change"))
    assert opens(secret_in(answer))
    assert "keys.change" in ApiKey.objects.get(name="returns-portal").scopes
    assert client.post(f"/keys/{key.pk}/revoke/").status_code == 302


# -- making one --------------------------------------------------------------------------------


@pytest.mark.store
def test_a_key_is_made_with_all_it_may(adams: Any, research: Team) -> None:
    make_model()
    answer = adams.post(
        "/keys/new/",
        filled(
            holder=f"team:{research.pk}", may_use="some", models=["auto/code_generation", "demo:relay-1"],
            use_case="code_generation", tier="economy", budget="120.5", period="week", at_limit="downgrade",
            ends="date", ends_on="2090-01-31", requests_per_minute="60", tokens_per_minute="100000", concurrency="4",
            origins="https://Shop.example.org/\n\nhttp://localhost:3000", keeps_content="no", rights="see",
        ),
    )  # fmt: skip
    assert answer["Cache-Control"] == "no-store"
    secret = secret_in(answer)
    assert opens(secret)
    row = ApiKey.objects.get()
    assert row.allowed_models == ["auto/code_generation", "demo:relay-1"]
    assert (row.use_case, row.tier, row.keeps_content) == ("code_generation", "economy", False)
    assert (row.requests_per_minute, row.tokens_per_minute, row.concurrency) == (60, 100_000, 4)
    assert row.allowed_origins == ["https://shop.example.org", "http://localhost:3000"]
    assert row.scopes == ["requests.see", "models.see", "keys.see"]
    assert timezone.localtime(row.expires_at).date().isoformat() == "2090-01-31"
    budget = Budget.objects.get(scope_kind="key", scope_id=row.pk)
    assert (budget.limit_nano, budget.period, budget.at_limit) == (120_500_000_000, "week", "downgrade")
    entry = AuditEntry.objects.get(object_kind="apikey")
    assert (entry.verb, entry.actor_name, entry.object_id) == ("create", "Adam", str(row.pk))
    for path in ("/keys/", f"/keys/{row.pk}/", f"/keys/{row.pk}/edit/"):
        page = adams.get(path).content.decode()
        assert secret not in page
        assert SECRET.search(page) is None


def test_the_presets_of_its_end(adams: Any, research: Team) -> None:
    for ends, days in (("30", 30), ("90", 90), ("365", 365), ("never", None)):
        adams.post("/keys/new/", filled(name=ends, holder=f"team:{research.pk}", ends=ends))
        at = ApiKey.objects.get(name=ends).expires_at
        assert at is None if days is None else abs(at - timezone.now() - timedelta(days=days)) < timedelta(minutes=5)


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\x07b"}, "name"),
        ({"may_use": "some"}, "models"),
        ({"may_use": "some", "more_models": "no-such-model"}, "more_models"),
        ({"may_use": "some", "models": ["auto/nothing"]}, "models"),
        ({"budget": "-1"}, "budget"),
        ({"budget": "many"}, "budget"),
        ({"ends": "date"}, "ends_on"),
        ({"ends": "date", "ends_on": "2020-01-01"}, "ends_on"),
        ({"ends": "date", "ends_on": "9999-12-31"}, "ends_on"),
        ({"requests_per_minute": "0"}, "requests_per_minute"),
        ({"tokens_per_minute": str(2**70)}, "tokens_per_minute"),
        ({"origins": "shop.example.org"}, "origins"),
        ({"origins": "https://user@shop.example.org"}, "origins"),
        ({"origins": "https://shop.example.org/path"}, "origins"),
    ],
)
def test_what_was_typed_comes_back_with_what_is_wrong(
    adams: Any, research: Team, typed: dict[str, Any], field: str
) -> None:
    sent = filled(holder=f"team:{research.pk}", concurrency="7", origins="https://kept.example.org") | typed
    for headers in ({}, HTMX):
        answer = adams.post("/keys/new/", sent, headers=headers)
        assert answer.status_code == 422
        assert list(answer.context["form"].errors) == [field]
        page = answer.content.decode()
        assert 'value="7"' in page
        assert 'aria-invalid="true"' in page or 'id="id_models_error"' in page
    assert not ApiKey.objects.exists()


def test_ticked_models_stay_ticked(adams: Any, research: Team) -> None:
    make_model()
    sent = filled(name="", holder=f"team:{research.pk}", may_use="some", models=["demo:relay-1", "gone:model"])
    page = adams.post("/keys/new/", sent, headers=HTMX).content.decode()
    for value in ("demo:relay-1", "gone:model"):
        assert re.search(rf'value="{value}"[^>]* checked', page)


# -- changing, rotating, ending -------------------------------------------------------------------


@pytest.mark.store
def test_a_change_keeps_what_it_does_not_show(adams: Any, key: ApiKey) -> None:
    ends = timezone.now() + timedelta(days=3, hours=1)
    ApiKey.objects.update(expires_at=ends, scopes=["requests.see"], allowed_models=["gone:model"])
    form = adams.get(f"/keys/{key.pk}/edit/").context["form"]
    typed = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    typed |= {"ends_on": typed["ends_on"].isoformat(), "models": form.ticked, "name": "renamed"}
    assert adams.post(f"/keys/{key.pk}/edit/", typed).status_code == 302
    key.refresh_from_db()
    assert (key.name, key.expires_at, key.scopes) == ("renamed", ends, ["requests.see"])
    assert key.allowed_models == ["gone:model"]
    entry = AuditEntry.objects.get(object_kind="apikey")
    assert entry.content == {"before": {"name": "ci"}, "after": {"name": "renamed"}}


def test_a_budget_is_set_changed_and_taken_away(adams: Any, key: ApiKey) -> None:
    for amount, limit in (("5", 5_000_000_000), ("0.25", 250_000_000), ("0", 0), ("", None)):
        adams.post(f"/keys/{key.pk}/edit/", filled(budget=amount))
        found = Budget.objects.filter(scope_kind="key", scope_id=key.pk).first()
        assert (found.limit_nano if found else None) == limit


def test_a_rotated_key_shows_its_new_secret_once(adams: Any, research: Team) -> None:
    key, old = create_key("ci", team=research)
    assert adams.post(f"/keys/{key.pk}/rotate/", {"overlap": "5"}).status_code == 422
    answer = adams.post(f"/keys/{key.pk}/rotate/", {"overlap": "168"}, headers=HTMX)
    assert answer["Cache-Control"] == "no-store"
    secret = secret_in(answer)
    assert opens(secret)
    assert opens(old)
    page = adams.get(f"/keys/{key.pk}/").content.decode()
    assert f"…{old[-4:]}" in page
    assert "End the old one now" in page
    assert adams.post(f"/keys/{key.pk}/old/").status_code == 302
    assert not opens(old)
    assert opens(secret)
    assert "End the old one now" not in adams.get(f"/keys/{key.pk}/").content.decode()
    verbs = AuditEntry.objects.filter(object_kind="apikey").order_by("id").values_list("verb", flat=True)
    assert list(verbs) == ["rotate", "end"]


def test_revoking_says_what_it_does_and_is_for_good(adams: Any, research: Team) -> None:
    key, secret = create_key("ci", team=research)
    rotate(key, timedelta(days=1), timezone.now())
    page = adams.get(f"/keys/{key.pk}/revoke/").content.decode()
    assert "It made no request in the last hour" in page
    assert "cannot be undone" in page
    assert adams.post(f"/keys/{key.pk}/revoke/").status_code == 302
    assert not opens(secret)
    page = adams.get(f"/keys/{key.pk}/").content.decode()
    assert "This key is revoked" in page
    assert f"/keys/{key.pk}/edit/" not in page
    for path in ("edit/", "rotate/"):
        assert adams.post(f"/keys/{key.pk}/{path}", filled(overlap="24")).status_code == 404
    adams.post(f"/keys/{key.pk}/revoke/")
    assert AuditEntry.objects.filter(verb="revoke").count() == 1


def test_an_expired_key_is_given_more_time_or_none(adams: Any, key: ApiKey) -> None:
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(days=1))
    assert adams.post(f"/keys/{key.pk}/rotate/", {"overlap": "0"}).status_code == 302
    assert not key.former_secrets.exists()
    adams.post(f"/keys/{key.pk}/edit/", filled(ends="30"))
    key.refresh_from_db()
    assert key.expires_at > timezone.now()


def test_the_first_request_is_waited_for_and_not_for_ever(adams: Any, key: ApiKey) -> None:
    now = timezone.now()
    path = f"/keys/{key.pk}/first/?since={int(now.timestamp())}"
    assert adams.get(path, headers=HTMX).status_code == 204
    ApiKey.objects.update(last_used_at=now + timedelta(seconds=2))
    came = adams.get(path, headers=HTMX).content.decode()
    assert "The first request came" in came
    assert "hx-trigger" not in came
    ApiKey.objects.update(last_used_at=now - timedelta(hours=2))
    over = adams.get(f"/keys/{key.pk}/first/?since={int(now.timestamp()) - 601}", headers=HTMX).content.decode()
    assert "No request came" in over
    assert "hx-trigger" not in over
    for wrong in ("", "?since=soon", f"?since={10**15}"):
        assert adams.get(f"/keys/{key.pk}/first/{wrong}").status_code == 404


def test_it_says_what_is_empty(adams: Any, research: Team) -> None:
    assert "Create the first key" in adams.get("/keys/").content.decode()
    key, _ = create_key("ci", team=research)
    revoke(key, timezone.now())
    assert "No key is like this" in adams.get("/keys/?q=nothing").content.decode()
