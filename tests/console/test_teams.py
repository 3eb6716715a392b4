"""Teams: who sees which, who changes what, and what ending one means."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from billing.models import Membership, Team
from console.models import AuditEntry
from routing.models import ApiKey
from tests.factories import make_team, make_user

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


def _key(team: Team, name: str = "laptop", **fields: Any) -> ApiKey:
    return ApiKey.objects.create(name=name, prefix="rh_", last_four="9kQ2", hash=f"hash of {name}", team=team, **fields)


def _lead(team: Team, name: str = "Lea") -> Any:
    return make_user(name, teams=[team], lead=True)


# -- who sees what ------------------------------------------------------------


@pytest.mark.parametrize("name", ["alice", "adam", "dana", "vera"])
def test_these_roles_see_every_team(name: str, request: Any, research: Team, signed_in: Any) -> None:
    client = signed_in(request.getfixturevalue(name))
    assert "Research" in client.get("/teams/").content.decode()
    assert client.get("/teams/research/").status_code == 200


def test_a_member_without_a_lead_does_not_see_teams(bob: Any, signed_in: Any) -> None:
    client = signed_in(bob)
    assert client.get("/teams/").status_code == 403
    assert client.get("/teams/research/").status_code == 403


def test_a_lead_sees_their_own_team_and_no_other(research: Team, signed_in: Any) -> None:
    make_team("Legal")
    client = signed_in(_lead(research))
    page = client.get("/teams/").content.decode()
    assert "Research" in page
    assert "Legal" not in page
    assert client.get("/teams/research/").status_code == 200
    assert client.get("/teams/legal/").status_code == 404


def test_a_viewer_reads_the_team_without_a_single_control(vera: Any, research: Team, bob: Any, signed_in: Any) -> None:
    page = signed_in(vera).get("/teams/research/").content.decode()
    assert "You can look, not change" in page
    assert "Ask for access" in page
    for address in (
        reverse("team-update", args=["research"]),
        reverse("member-add", args=["research"]),
        reverse("team-archive", args=["research"]),
    ):
        assert address not in page


def test_keys_of_a_team_are_shown_to_those_who_may_see_keys(
    alice: Any, vera: Any, research: Team, signed_in: Any
) -> None:
    _key(research)
    assert "…9kQ2" in signed_in(alice).get("/teams/research/").content.decode()
    assert "…9kQ2" not in signed_in(vera).get("/teams/research/").content.decode()


def test_the_list_asks_as_many_questions_for_thirty_teams_as_for_one(
    alice: Any, research: Team, signed_in: Any, django_assert_num_queries: Any
) -> None:
    client = signed_in(alice)
    client.get("/teams/")  # the first page of a session also notes when the person was seen
    for number in range(30):
        team = make_team(f"Team {number:02}")
        _key(team, f"key {number}")
        _lead(team, f"Lead {number}")
    with django_assert_num_queries(QUERIES_OF_A_LIST):
        page = client.get("/teams/")
    assert "Team 29" in page.content.decode()


def test_long_lists_come_in_pages(alice: Any, signed_in: Any) -> None:
    for number in range(60):
        make_team(f"Team {number:02}")
    client = signed_in(alice)
    first = client.get("/teams/")
    assert "Team 49" in first.content.decode()
    assert "Team 50" not in first.content.decode()
    second = client.get("/teams/", {"after": first.context["teams"].next})
    assert "Team 50" in second.content.decode()
    assert "Team 49" not in second.content.decode()


@pytest.mark.parametrize("cursor", ["x", "bm9uc2Vuc2U", "WyJhIl0", "W3siYSI6MX0sIDFd"])
def test_a_made_up_cursor_is_the_first_page(cursor: str, alice: Any, research: Team, signed_in: Any) -> None:
    assert "Research" in signed_in(alice).get("/teams/", {"after": cursor}).content.decode()


def test_search_answers_a_fragment_to_htmx_and_a_page_to_the_rest(alice: Any, research: Team, signed_in: Any) -> None:
    make_team("Legal")
    client = signed_in(alice)
    fragment = client.get("/teams/", {"q": "leg"}, headers=HTMX).content.decode()
    assert "Legal" in fragment
    assert "Research" not in fragment
    assert "<html" not in fragment
    assert "<html" in client.get("/teams/", {"q": "leg"}).content.decode()
    assert "Nothing found" in client.get("/teams/", {"q": "zzz"}).content.decode()


# -- changing -----------------------------------------------------------------


def test_an_admin_creates_a_team_and_it_is_on_record(adam: Any, signed_in: Any) -> None:
    answer = signed_in(adam).post("/new-team/", {"name": "Legal", "description": "Contracts"})
    assert answer["Location"] == "/teams/legal/"
    entry = AuditEntry.objects.get(verb="create", object_kind="team")
    assert (entry.actor_name, entry.object_name) == ("Adam", "Legal")


def test_a_name_that_is_taken_comes_back_with_what_was_typed(adam: Any, research: Team, signed_in: Any) -> None:
    client = signed_in(adam)
    answer = client.post("/new-team/", {"name": "research", "description": "Second one"})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "There is a team with this name already." in page
    assert "Second one" in page
    assert 'href="#id_name"' in page
    assert Team.objects.count() == 1
    fragment = client.post("/new-team/", {"name": ""}, headers=HTMX)
    assert fragment.status_code == 422
    assert "<html" not in fragment.content.decode()
    done = client.post("/new-team/", {"name": "Legal"}, headers=HTMX)
    assert done["HX-Redirect"] == "/teams/legal/"


@pytest.mark.parametrize("name", ["bob", "dana", "vera", "charlie"])
def test_nobody_else_creates_a_team(name: str, request: Any, signed_in: Any) -> None:
    before = Team.objects.count()
    client = signed_in(request.getfixturevalue(name))
    before = Team.objects.count()
    assert client.post("/new-team/", {"name": "Mine"}).status_code == 403
    assert Team.objects.count() == before


def test_a_team_called_new_or_team_has_a_page_of_its_own(adam: Any, signed_in: Any) -> None:
    client = signed_in(adam)
    address = client.post("/new-team/", {"name": "New"})["Location"]
    assert client.get(address).status_code == 200


def test_a_lead_changes_settings_of_their_team_only(research: Team, signed_in: Any) -> None:
    make_team("Legal")
    client = signed_in(_lead(research))
    answer = client.post(
        "/teams/research/settings/", {"name": "Research", "description": "Longer", "members_make_keys": "on"}
    )
    assert answer.status_code == 302
    research.refresh_from_db()
    assert (research.description, research.members_make_keys) == ("Longer", True)
    entry = AuditEntry.objects.get(verb="change", object_kind="team")
    assert entry.content["after"] == {"description": "Longer", "members_make_keys": True}
    assert client.post("/teams/legal/settings/", {"name": "Mine"}).status_code == 404


def test_an_unknown_default_model_is_refused_and_the_head_keeps_the_old_name(
    adam: Any, research: Team, signed_in: Any
) -> None:
    answer = signed_in(adam).post("/teams/research/settings/", {"name": "Other", "default_model": "nothing-like-it"})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "nothing-like-it" in page
    assert "<h1>Research</h1>" in page
    research.refresh_from_db()
    assert research.default_model == ""


def test_members_come_lead_and_go(adam: Any, research: Team, charlie: Any, signed_in: Any) -> None:
    client = signed_in(adam)
    client.post("/teams/research/members/", {"email": "Charlie@example.org"})
    member = Membership.objects.get(user=charlie)
    assert not member.lead
    client.post(f"/teams/research/members/{member.pk}/lead/", {"lead": "on"})
    assert Membership.objects.get(user=charlie).lead
    gone = client.post(f"/teams/research/members/{member.pk}/remove/", follow=True).content.decode()
    assert not Membership.objects.filter(user=charlie).exists()
    assert "Undo" in gone
    verbs = list(AuditEntry.objects.filter(object_kind="membership").order_by("id").values_list("verb", flat=True))
    assert verbs == ["add", "change", "remove"]


def test_undo_puts_the_member_back_as_a_lead(adam: Any, research: Team, signed_in: Any) -> None:
    lea = _lead(research)
    client = signed_in(adam)
    member = Membership.objects.get(user=lea)
    page = client.post(f"/teams/research/members/{member.pk}/remove/", follow=True).content.decode()
    assert f'name="email" value="{lea.email}"' in page
    client.post("/teams/research/members/", {"email": lea.email, "lead": "on"})
    assert Membership.objects.get(user=lea).lead


@pytest.mark.parametrize(
    ("email", "words"),
    [
        ("nobody@example.org", "Nobody here has this address"),
        ("bob@example.org", "is in this team already"),
        ("x", "valid email"),
    ],
)
def test_wrong_members_are_refused_with_the_field_named(
    email: str, words: str, adam: Any, bob: Any, signed_in: Any
) -> None:
    answer = signed_in(adam).post("/teams/research/members/", {"email": email})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert words in page
    assert 'id="id_email_error"' in page
    assert f'value="{email}"' in page
    assert '<dialog class="drawer" id="add" open' in page  # without a script the drawer must stand open


def test_a_lead_may_leave_and_lands_where_they_may_be(research: Team, signed_in: Any) -> None:
    lea = _lead(research)
    member = Membership.objects.get(user=lea)
    answer = signed_in(lea).post(f"/teams/research/members/{member.pk}/remove/")
    assert answer["Location"] == "/"


def test_the_members_of_another_team_are_not_found(research: Team, bob: Any, signed_in: Any) -> None:
    legal = make_team("Legal")
    lea = _lead(legal)
    client = signed_in(lea)
    member = Membership.objects.get(user=bob)
    assert client.post(f"/teams/research/members/{member.pk}/remove/").status_code == 404
    assert client.post(f"/teams/legal/members/{member.pk}/remove/").status_code == 404
    assert Membership.objects.filter(pk=member.pk).exists()


# -- ending -------------------------------------------------------------------


def test_archiving_says_what_ends_ends_it_and_can_be_undone(
    adam: Any, bob: Any, research: Team, signed_in: Any
) -> None:
    key = _key(research)
    _key(research, "gone", revoked_at=timezone.now())
    client = signed_in(adam)
    page = client.get("/teams/research/").content.decode()
    assert "1 API key ends at once" in page
    assert "1 member keeps the account" in page
    listed = client.post("/teams/research/archive/", follow=True).content.decode()
    assert "Undo" in listed
    key.refresh_from_db()
    research.refresh_from_db()
    assert key.revoked_at is not None
    assert research.archived_at is not None
    assert AuditEntry.objects.filter(verb="revoke", object_kind="apikey").count() == 1
    assert client.post("/teams/research/settings/", {"name": "X"}).status_code == 404
    assert "This team is archived" in client.get("/teams/research/").content.decode()
    client.post("/teams/research/restore/")
    research.refresh_from_db()
    key.refresh_from_db()
    assert research.archived_at is None
    assert key.revoked_at is not None


def test_a_lead_does_not_archive(research: Team, signed_in: Any) -> None:
    assert signed_in(_lead(research)).post("/teams/research/archive/").status_code == 403


def test_changes_come_by_post_only(alice: Any, research: Team, signed_in: Any) -> None:
    client = signed_in(alice)
    for name in ("team-update", "member-add", "team-archive", "team-restore"):
        assert client.get(reverse(name, args=["research"])).status_code == 405


QUERIES_OF_A_LIST = 9
