"""People: the list, one person's page, and what it takes to change either."""

from __future__ import annotations

import re
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.models import Team
from console.models import AuditEntry, Role, User
from routing.models import ApiKey
from tests.factories import PASSWORD, make_team, make_user

pytestmark = pytest.mark.django_db
QUERIES_OF_A_LIST = 12


def _own_key(person: User) -> ApiKey:
    return ApiKey.objects.create(name="own", prefix="rh_", last_four="own1", hash=f"hash {person.pk}", user=person)


# -- the list -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["alice", "adam", "vera"])
def test_these_roles_see_people(name: str, request: Any, bob: Any, signed_in: Any) -> None:
    client = signed_in(request.getfixturevalue(name))
    assert "bob@example.org" in client.get("/people/").content.decode()
    assert client.get(f"/people/{bob.pk}/").status_code == 200


@pytest.mark.parametrize("name", ["bob", "charlie", "dana"])
def test_these_roles_do_not(name: str, request: Any, alice: Any, signed_in: Any) -> None:
    client = signed_in(request.getfixturevalue(name))
    assert client.get("/people/").status_code == 403
    assert client.get(f"/people/{alice.pk}/").status_code == 403


def test_a_lead_does_not_see_everybody(research: Team, alice: Any, signed_in: Any) -> None:
    client = signed_in(make_user("Lea", teams=[research], lead=True))
    assert client.get("/people/").status_code == 403
    assert "/people/" not in client.get("/teams/").content.decode()


def test_a_viewer_sees_no_control(vera: Any, bob: Any, signed_in: Any) -> None:
    client = signed_in(vera)
    for address in ("/people/", f"/people/{bob.pk}/"):
        page = client.get(address).content.decode()
        assert "You can look, not change" in page
        assert 'data-open="#' not in page.split("<main")[1].split("</main>")[0]
        assert reverse("person-role", args=[bob.pk]) not in page
        assert reverse("person-reset", args=[bob.pk]) not in page


def test_the_list_asks_as_many_questions_for_forty_people_as_for_one(
    alice: Any, research: Team, signed_in: Any, django_assert_num_queries: Any
) -> None:
    client = signed_in(alice)
    client.get("/people/")
    legal = make_team("Legal")
    for number in range(40):
        make_user(f"Person {number:02}", teams=[research, legal])
    with django_assert_num_queries(QUERIES_OF_A_LIST):
        page = client.get("/people/").content.decode()
    assert "Person 39" in page


def test_filters_search_and_pages(alice: Any, bob: Any, charlie: Any, signed_in: Any) -> None:
    User.objects.filter(pk=charlie.pk).update(is_active=False)
    client = signed_in(alice)
    assert "charlie@example.org" not in client.get("/people/").content.decode()
    assert "charlie@example.org" in client.get("/people/?state=inactive").content.decode()
    found = client.get("/people/", {"q": "BOB@"}, headers={"HX-Request": "true"}).content.decode()
    assert "bob@example.org" in found
    assert "alice@example.org" not in found
    assert client.get("/people/?state=nonsense").status_code == 200
    for number in range(60):
        make_user(f"Person {number:02}")
    first = client.get("/people/")
    second = client.get("/people/", {"after": first.context["people"].next}).content.decode()
    assert "Person 59" not in first.content.decode()
    assert "Person 59" in second


def test_two_factor_and_last_seen_are_shown(alice: Any, signed_in: Any) -> None:
    Authenticator.objects.create(user=alice, type=Authenticator.Type.TOTP, data={})
    page = signed_in(alice).get("/people/").content.decode()
    row = page.split("alice@example.org", 2)[-1]
    assert '<span class="badge ok">On</span>' in row


# -- roles --------------------------------------------------------------------


def test_an_admin_gives_a_role_and_it_holds_at_once(adam: Any, bob: Any, signed_in: Any) -> None:
    bobs = signed_in(bob)
    assert bobs.get("/settings/general/").status_code == 403
    signed_in(adam).post(f"/people/{bob.pk}/role/", {"role": "viewer"})
    assert bobs.get("/settings/general/").status_code == 200
    entry = AuditEntry.objects.get(verb="change", object_kind="user")
    assert entry.content == {"before": {"role": "member"}, "after": {"role": "viewer"}}


def test_an_admin_neither_makes_an_owner_nor_changes_one(adam: Any, alice: Any, bob: Any, signed_in: Any) -> None:
    client = signed_in(adam)
    assert client.post(f"/people/{bob.pk}/role/", {"role": "owner"}).status_code == 422
    for path in ("role", "deactivate", "reset", "sessions", "activate"):
        assert client.post(f"/people/{alice.pk}/{path}/", {"role": "member"}).status_code == 403
    assert set(User.objects.filter(role="owner")) == {alice}
    assert (
        "Nobody changes a person whose role is above their own." in client.get(f"/people/{alice.pk}/").content.decode()
    )


def test_the_last_owner_stays_an_owner(alice: Any, signed_in: Any) -> None:
    client = signed_in(alice)
    answer = client.post(f"/people/{alice.pk}/role/", {"role": "member"})
    assert answer.status_code == 422
    assert "This is the last owner." in answer.content.decode()
    make_user("Olga", role="owner")
    assert client.post(f"/people/{alice.pk}/role/", {"role": "member"}).status_code == 302
    assert User.objects.get(pk=alice.pk).role == Role.MEMBER


@pytest.mark.parametrize("path", ["role", "deactivate", "activate", "sessions", "reset"])
def test_others_change_nobody(path: str, bob: Any, vera: Any, dana: Any, signed_in: Any) -> None:
    for person in (bob, vera, dana):
        assert signed_in(person).post(f"/people/{bob.pk}/{path}/", {"role": "viewer"}).status_code == 403
        assert signed_in(person).get(f"/people/{bob.pk}/{path}/").status_code in (403, 405)
    assert User.objects.get(pk=bob.pk).role == Role.MEMBER


def test_an_unknown_person_is_not_found(alice: Any, signed_in: Any) -> None:
    client = signed_in(alice)
    assert client.get("/people/999/").status_code == 404
    assert client.post("/people/999/deactivate/").status_code == 404


# -- leaving and coming back --------------------------------------------------


def test_deactivating_says_what_ends_ends_it_and_can_be_undone(adam: Any, bob: Any, signed_in: Any) -> None:
    key = _own_key(bob)
    bobs = signed_in(bob)
    bobs.get("/profile/")
    client = signed_in(adam)
    page = client.get(f"/people/{bob.pk}/").content.decode()
    assert "1 own API key ends." in page
    assert "1 team and its keys go on." in page
    after = client.post(f"/people/{bob.pk}/deactivate/", follow=True).content.decode()
    assert "Undo" in after
    assert "Cannot sign in." in after
    assert bobs.get("/profile/").status_code == 302
    key.refresh_from_db()
    assert key.revoked_at is not None
    client.post(f"/people/{bob.pk}/activate/")
    key.refresh_from_db()
    assert User.objects.get(pk=bob.pk).is_active
    assert key.revoked_at is not None
    assert bob.memberships.exists()
    verbs = list(AuditEntry.objects.order_by("id").values_list("verb", flat=True))
    assert [verb for verb in verbs if verb != "sign_in"] == ["deactivate", "revoke", "activate"]


def test_nobody_deactivates_themselves_or_the_last_owner(alice: Any, adam: Any, signed_in: Any) -> None:
    for person in (alice, adam):
        answer = signed_in(person).post(f"/people/{person.pk}/deactivate/", follow=True)
        assert "You cannot deactivate yourself." in answer.content.decode()
    assert User.objects.filter(is_active=False).count() == 0


def test_sessions_end_and_the_own_one_stays(alice: Any, signed_in: Any) -> None:
    person = make_user("Pia", role="admin", password=PASSWORD)
    one, two = Client(), Client()
    for browser in (one, two):
        browser.post("/accounts/login/", {"login": person.email, "password": PASSWORD})
    assert UserSession.objects.filter(user=person).count() == 2
    one.post(f"/people/{person.pk}/sessions/")
    assert one.get("/profile/").status_code == 200
    assert two.get("/profile/").status_code == 302
    signed_in(alice).post(f"/people/{person.pk}/sessions/")
    assert one.get("/profile/").status_code == 302


# -- reset link ---------------------------------------------------------------


def test_a_reset_link_sets_a_password_once(adam: Any, bob: Any, signed_in: Any, client: Client) -> None:
    answer = signed_in(adam).post(f"/people/{bob.pk}/reset/")
    assert answer["Cache-Control"] == "no-store"
    found = re.search(r"http://testserver(/accounts/password/reset/key/[\w-]+/)", answer.content.decode())
    assert found
    page = client.get(found[1], follow=True)
    assert "Set a new password" in page.content.decode()
    address = page.redirect_chain[-1][0]
    weak = client.post(address, {"password1": "short"})
    assert "at least 10 characters" in weak.content.decode()
    client.post(address, {"password1": "another correct horse"})
    assert User.objects.get(pk=bob.pk).check_password("another correct horse")
    assert client.get("/profile/").status_code == 200
    assert "This link has ended" in Client().get(found[1]).content.decode()
    verbs = set(AuditEntry.objects.values_list("verb", flat=True))
    assert {"reset_link", "change", "sign_in"} <= verbs
    assert found[1].split("-")[-1] not in str(AuditEntry.objects.values())


def test_no_reset_link_for_somebody_deactivated(adam: Any, bob: Any, signed_in: Any) -> None:
    User.objects.filter(pk=bob.pk).update(is_active=False)
    answer = signed_in(adam).post(f"/people/{bob.pk}/reset/", follow=True)
    assert "Activate Bob first." in answer.content.decode()
    assert "password/reset/key" not in answer.content.decode()


def test_last_seen_is_written_at_most_every_five_minutes(
    bob: Any, signed_in: Any, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    person = make_user("Pia", password=PASSWORD)
    client = Client()
    client.post("/accounts/login/", {"login": person.email, "password": PASSWORD})
    client.get("/profile/")
    before = UserSession.objects.get(user=person).last_seen_at
    client.get("/profile/")
    assert UserSession.objects.get(user=person).last_seen_at == before
    assert timezone.now() >= before
