"""May she do this? The table of roles, the declaration of every address, and refusals that say what to do."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core import mail
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import path

from billing.models import Membership, Team
from console.access import (
    ACTIONS,
    LEAD_ACTIONS,
    PUBLIC,
    can,
    can_give,
    declaration_of,
    declare_action,
    declared_actions,
    needs,
    visible_teams,
)
from console.models import AuditEntry, Role, User
from tests.console.addresses import Address, addresses
from tests.factories import make_team, make_user

OPEN = {
    "overview",  # sends strangers to sign in, and the first visitor to the welcome page
    "api:openapi-json",
    "api-nothing",
    "account_login",
    "account_reset_password",
    "account_reset_password_done",
    "account_reset_password_from_key",
    "account_reset_password_from_key_done",
    "account_inactive",
    "mfa_authenticate",
    "openid_connect_login",
    "openid_connect_callback",
    "socialaccount_login_error",
    "socialaccount_login_cancelled",
    "invitation-accept",
    "welcome",
    "welcome-how",
    "password-verdict",
    "theme",
    "language",
}


# -- declarations -------------------------------------------------------------


def test_every_address_declares_what_it_needs() -> None:
    undeclared = [address.label for address in addresses() if declaration_of(address.view, address.name) is None]
    assert not undeclared, f"These pages declare no permission: {undeclared}"


def test_what_is_open_to_strangers_is_listed_here() -> None:
    """A new public page is a decision: it is added to this list by hand."""
    public = {address.name for address in addresses() if declaration_of(address.view, address.name) == PUBLIC}
    assert public <= OPEN, f"open to strangers, and not listed: {public - OPEN}"


def test_every_socket_action_is_declared() -> None:
    from console.consumers import ACTIONS as SOCKET_ACTIONS

    declared = declared_actions()
    assert SOCKET_ACTIONS
    assert all(f"socket:{name}" in declared for name in SOCKET_ACTIONS)


def test_every_operation_of_the_api_says_what_it_needs() -> None:
    from routing.api import build

    api = build(authenticate=lambda request: None, may_see=lambda request, record: False, version="test")
    for _prefix, router in api._routers:
        for route, view in router.path_operations.items():
            for operation in view.operations:
                action = (operation.openapi_extra or {}).get("x-needs")
                assert action in ACTIONS, f"{operation.methods} {route} declares no permission"


def test_a_misspelt_action_is_no_refusal_but_a_fault() -> None:
    with pytest.raises(LookupError):
        needs("teams.se")
    with pytest.raises(KeyError):
        can(None, "teams.se")


def test_an_action_is_not_declared_twice_differently() -> None:
    declare_action("test:one", "play.use")
    declare_action("test:one", "play.use")
    with pytest.raises(LookupError):
        declare_action("test:one", "play.see")


def undeclared(request: HttpRequest) -> HttpResponse:
    return HttpResponse("secrets")


urlpatterns = [path("undeclared/", undeclared)]


@pytest.mark.urls(__name__)
def test_a_view_without_a_declaration_shows_nothing(alice: Any, signed_in: Any, settings: Any) -> None:
    answer = signed_in(alice).get("/undeclared/")
    assert answer.status_code == 403
    assert b"secrets" not in answer.content
    settings.DEBUG = True
    with pytest.raises(LookupError, match="declares no permission"):
        signed_in(alice).get("/undeclared/")


# -- the table ----------------------------------------------------------------


@pytest.mark.parametrize("action", sorted(ACTIONS))
@pytest.mark.parametrize("role", list(Role))
def test_a_role_may_what_the_table_says(db: None, role: Role, action: str) -> None:
    person = make_user(f"The {role}", role=role)
    assert can(person, action) == (role in ACTIONS[action])


def test_nobody_in_particular_may_nothing(db: None) -> None:
    gone = make_user("Gone", role="owner", is_active=False)
    assert not any(can(None, action) or can(gone, action) for action in ACTIONS)


@pytest.mark.parametrize("action", sorted(LEAD_ACTIONS))
def test_a_lead_may_more_in_their_own_team_only(db: None, research: Team, action: str) -> None:
    lead = make_user("Lea", role="editor", teams=[research], lead=True)  # a role that may none of these by itself
    legal = make_team("Legal")
    assert can(lead, action, research)
    assert not can(lead, action, legal)
    assert can(lead, action)


def test_a_member_makes_keys_where_their_team_lets_them(research: Team, bob: User) -> None:
    assert not can(bob, "keys.make_own", research)
    Team.objects.update(members_make_keys=True)
    again = User.objects.get(pk=bob.pk)
    assert can(again, "keys.make_own", Team.objects.get())


def test_nobody_gives_more_than_they_have(alice: User, adam: User, bob: User) -> None:
    assert can_give(alice, Role.OWNER)
    assert not can_give(adam, Role.OWNER)
    assert can_give(adam, Role.ADMIN)
    assert not can_give(bob, Role.VIEWER)
    assert not can(adam, "people.change", alice)


def test_an_archived_team_gives_its_lead_nothing(db: None, research: Team) -> None:
    lead = make_user("Lea", teams=[research], lead=True)
    assert research in visible_teams(lead)
    assert Membership.objects.get().lead
    from django.utils import timezone

    Team.objects.update(archived_at=timezone.now())
    assert not can(User.objects.get(pk=lead.pk), "teams.change", Team.objects.get())


# -- every page, every role ---------------------------------------------------


def _with_action() -> list[Address]:
    marked = []
    for address in addresses():
        declaration = declaration_of(address.view, address.name)
        if declaration and declaration.action and not address.name.startswith(("admin:", "api:")):
            marked.append(address)
    return marked


@pytest.mark.parametrize("role", list(Role))
def test_a_page_is_refused_exactly_to_those_who_may_not(role: Role, research: Team, signed_in: Any) -> None:
    client = signed_in(make_user("Person", role=role))
    marked = _with_action()
    assert len(marked) > 5
    for address in marked:
        declaration = declaration_of(address.view, address.name)
        assert declaration is not None
        status = client.get(address.url).status_code
        if role not in ACTIONS[declaration.action]:
            assert status == 403, f"{role} got {status} from {address.name}"
        elif not address.parts:
            assert status != 403, f"{role} was refused {address.name}"


def test_a_stranger_is_sent_to_sign_in_from_every_page(db: None, research: Team) -> None:
    make_user("Alice", role="owner")
    client = Client()
    for address in _with_action():
        answer = client.get(address.url)
        assert answer.status_code == 302, address.name
        assert answer["Location"].startswith("/accounts/login/"), address.name


def test_a_fragment_sends_the_whole_page_to_sign_in(db: None) -> None:
    make_user("Alice", role="owner")
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/teams/?q=a"}
    answer = Client().get("/palette/", headers=headers)
    assert answer.status_code == 401
    assert answer["HX-Redirect"] == "/accounts/login/?next=%2Fteams%2F%3Fq%3Da"


# -- refusals -----------------------------------------------------------------


def test_a_refusal_says_who_can_help_inside_the_shell(alice: User, bob: User, signed_in: Any) -> None:
    answer = signed_in(bob).get("/settings/general/")
    page = answer.content.decode()
    assert answer.status_code == 403
    assert "needs the role" in page
    assert "Alice can grant it" in page
    assert "Ask for access" in page
    assert answer["x-request-id"] in page
    assert 'id="main"' in page
    assert "bottomnav" in page


def test_a_refused_fragment_is_told_in_a_toast(alice: User, bob: User, signed_in: Any) -> None:
    answer = signed_in(bob).get("/settings/general/", headers={"HX-Request": "true"})
    assert answer.status_code == 403
    assert answer.content == b""
    assert '"toast"' in answer["HX-Trigger"]
    assert answer["HX-Trigger"].isascii()


def test_asking_is_recorded_once_a_day(alice: User, bob: User, signed_in: Any) -> None:
    client = signed_in(bob)
    for _ in range(2):
        assert client.post("/access/ask/", {"action": "settings.see"}).status_code == 302
    entry = AuditEntry.objects.get(verb="ask")
    assert (entry.actor_id, entry.object_id) == (bob.pk, "settings.see")
    assert mail.outbox == []
    words = client.get("/").content.decode()
    assert "tell Alice" in words
    assert "asked already" in words


def test_asking_mails_the_owners(alice: User, bob: User, signed_in: Any, settings: Any) -> None:
    settings.EMAIL_URL = "smtp://localhost"
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    settings.SITE_URL = "https://relay.example.org"
    signed_in(bob).post("/access/ask/", {"action": "settings.see"})
    [message] = mail.outbox
    assert message.to == [alice.email]
    assert message.subject == "Bob asks for access"
    assert f"https://relay.example.org/people/{bob.pk}/" in message.body


def test_asking_for_what_does_not_exist_is_not_found(bob: User, signed_in: Any) -> None:
    assert signed_in(bob).post("/access/ask/", {"action": "moon.change"}).status_code == 404
    assert not AuditEntry.objects.filter(verb="ask").exists()


@pytest.mark.parametrize("shell", [True, False])
def test_busy_says_when_to_come_back(shell: bool, alice: User, rf: RequestFactory) -> None:
    from console.views.access import busy

    request = rf.get("/")
    request.user = alice if shell else AnonymousUser()
    request.request_id = "req_test"  # type: ignore[attr-defined]
    answer = busy(request)
    page = answer.content.decode()
    assert answer.status_code == 503
    assert answer["Retry-After"] == "5"
    assert "req_test" in page
    assert ('class="side"' in page) == shell
