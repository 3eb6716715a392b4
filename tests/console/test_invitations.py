"""A colleague is asked in with a link that works once."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from billing.models import Membership, Team
from console import invitations
from console.models import AuditEntry, Invitation, User
from tests.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


def _link_in(page: bytes) -> str:
    found = re.search(r"http://testserver(/invitations/[\w-]+/)", page.decode())
    assert found
    return found[1]


def _invited(email: str = "nina@example.org", role: str = "member", teams: Any = (), by: Any = None) -> str:
    return invitations.invite(email, role, teams, by, timezone.now())[1]


@pytest.fixture
def mailing(settings: Any) -> None:
    settings.EMAIL_URL = "smtp://localhost"
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


# -- asking in ----------------------------------------------------------------


def test_an_invitation_from_page_to_account(adam: Any, research: Team, signed_in: Any, client: Client) -> None:
    answer = signed_in(adam).post(
        "/people/invite/", {"email": "Nina@Example.org", "role": "editor", "teams": [research.pk]}
    )
    assert answer["Cache-Control"] == "no-store"
    link = _link_in(answer.content)
    page = client.get(link).content.decode()
    assert "Adam invites you as: Gateway editor." in page
    assert "Research" in page
    done = client.post(link, {"name": "Nina Novak", "password": PASSWORD})
    assert done["Location"] == "/"
    nina = User.objects.get(email="nina@example.org")
    assert (nina.role, nina.name) == ("editor", "Nina Novak")
    assert Membership.objects.filter(user=nina, team=research, lead=False).exists()
    assert client.get("/profile/").status_code == 200
    verbs = list(AuditEntry.objects.order_by("id").values_list("verb", flat=True))
    assert verbs == ["invite", "accept", "sign_in"]


def test_only_the_hash_of_the_link_is_kept(adam: Any, signed_in: Any) -> None:
    link = _link_in(signed_in(adam).post("/people/invite/", {"email": "nina@example.org", "role": "member"}).content)
    token = link.split("/")[2]
    assert token not in str(Invitation.objects.values())
    assert token not in str(AuditEntry.objects.values())


def test_the_drawer_gets_a_fragment_with_the_link(adam: Any, signed_in: Any) -> None:
    client = signed_in(adam)
    answer = client.post("/people/invite/", {"email": "nina@example.org", "role": "member"}, headers=HTMX)
    assert "<html" not in answer.content.decode()
    _link_in(answer.content)
    wrong = client.post("/people/invite/", {"email": "nina", "role": "member"}, headers=HTMX)
    assert wrong.status_code == 422
    assert 'value="nina"' in wrong.content.decode()


@pytest.mark.parametrize("name", ["bob", "dana", "vera", "charlie"])
def test_nobody_else_invites(name: str, request: Any, signed_in: Any) -> None:
    client = signed_in(request.getfixturevalue(name))
    assert client.get("/people/invite/").status_code == 403
    assert client.post("/people/invite/", {"email": "nina@example.org", "role": "member"}).status_code == 403
    assert not Invitation.objects.exists()


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"email": "adam@example.org", "role": "member"}, "There is an account with this address already."),
        ({"email": "nina@example.org", "role": "owner"}, "not one of the available choices"),
        ({"email": "nina@example.org", "role": "member", "teams": ["999"]}, "not one of the available choices"),
        ({"email": "", "role": "member"}, "required"),
    ],
)
def test_wrong_invitations_are_refused(answers: dict[str, Any], words: str, adam: Any, signed_in: Any) -> None:
    answer = signed_in(adam).post("/people/invite/", answers)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not Invitation.objects.exists()


def test_an_owner_may_invite_an_owner(alice: Any, signed_in: Any) -> None:
    assert signed_in(alice).post("/people/invite/", {"email": "n@example.org", "role": "owner"}).status_code == 200


def test_it_is_mailed_where_mail_is_configured(adam: Any, signed_in: Any, mailing: None) -> None:
    page = signed_in(adam).post("/people/invite/", {"email": "nina@example.org", "role": "member"}).content
    assert "It was also mailed." in page.decode()
    (letter,) = mail.outbox
    assert letter.to == ["nina@example.org"]
    assert _link_in(page) in letter.body
    assert "Adam invites you" in letter.body


def test_a_mail_server_that_is_away_is_said_and_stops_nothing(adam: Any, signed_in: Any, settings: Any) -> None:
    settings.EMAIL_URL = "smtp://127.0.0.1:9"
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    answer = signed_in(adam).post("/people/invite/", {"email": "nina@example.org", "role": "member"})
    assert "The mail was not sent." in answer.content.decode()
    _link_in(answer.content)


# -- renewing and withdrawing -------------------------------------------------


def test_a_new_link_ends_the_old_one(adam: Any, signed_in: Any, client: Client) -> None:
    old = _invited(by=adam)
    invitation = Invitation.objects.get()
    new = _link_in(signed_in(adam).post(f"/people/invitations/{invitation.pk}/resend/").content)
    assert client.get(f"/invitations/{old}/").status_code == 404
    assert client.get(new).status_code == 200


def test_withdrawing_ends_the_link(adam: Any, signed_in: Any, client: Client) -> None:
    token = _invited(by=adam)
    admin = signed_in(adam)
    assert "nina@example.org" in admin.get("/people/?state=invited").content.decode()
    admin.post(f"/people/invitations/{Invitation.objects.get().pk}/withdraw/")
    assert client.get(f"/invitations/{token}/").status_code == 404
    assert "No open invitation" in admin.get("/people/?state=invited").content.decode()


def test_an_admin_does_not_renew_an_invitation_to_a_role_above_their_own(
    alice: Any, adam: Any, signed_in: Any, client: Client
) -> None:
    token = _invited(role="owner", by=alice)
    pk = Invitation.objects.get().pk
    assert signed_in(adam).post(f"/people/invitations/{pk}/resend/").status_code == 403
    assert client.get(f"/invitations/{token}/").status_code == 200


# -- accepting ----------------------------------------------------------------


def test_a_used_an_old_and_a_made_up_link_say_what_to_do(client: Client, alice: Any) -> None:
    used, old = _invited("a@example.org"), _invited("b@example.org")
    client.post(f"/invitations/{used}/", {"name": "A", "password": PASSWORD})
    Invitation.objects.filter(email="b@example.org").update(expires_at=timezone.now() - timedelta(seconds=1))
    for token in (used, old, "made-up"):
        answer = Client().get(f"/invitations/{token}/")
        assert answer.status_code == 404
        assert "Ask the person who sent it for a new link." in answer.content.decode()
        assert Client().post(f"/invitations/{token}/", {"name": "X", "password": PASSWORD}).status_code == 404


def test_somebody_signed_in_is_not_made_somebody_else(bob: Any, signed_in: Any) -> None:
    token = _invited()
    client = signed_in(bob)
    assert client.get(f"/invitations/{token}/").status_code == 409
    assert client.post(f"/invitations/{token}/", {"name": "N", "password": PASSWORD}).status_code == 409
    assert not User.objects.filter(email="nina@example.org").exists()


def test_a_weak_password_is_refused_and_the_name_kept(client: Client, alice: Any) -> None:
    token = _invited()
    answer = client.post(f"/invitations/{token}/", {"name": "Nina Novak", "password": "nina@example"})
    assert answer.status_code == 422
    assert "too similar" in answer.content.decode()
    assert 'value="Nina Novak"' in answer.content.decode()
    assert client.get(f"/invitations/{token}/").status_code == 200


def test_a_team_archived_in_between_is_not_joined(client: Client, alice: Any, research: Team) -> None:
    token = _invited(teams=[research])
    Team.objects.update(archived_at=timezone.now())
    client.post(f"/invitations/{token}/", {"name": "Nina", "password": PASSWORD})
    assert not Membership.objects.filter(user__email="nina@example.org").exists()


# -- from the command line ----------------------------------------------------


def test_the_command_prints_the_link_alone(
    alice: Any, research: Team, settings: Any, capsys: Any, client: Client
) -> None:
    settings.SITE_URL = "https://models.example.org/"
    call_command("invite", "Nina@example.org", "--role", "finance", "--team", "research")
    printed = capsys.readouterr().out
    link = printed.strip()
    assert re.fullmatch(r"https://models\.example\.org/invitations/[\w-]{43}/", link)
    assert client.get(link.removeprefix("https://models.example.org")).status_code == 200
    invitation = Invitation.objects.get()
    assert (invitation.email, invitation.role) == ("nina@example.org", "finance")
    assert list(invitation.teams.all()) == [research]
    assert AuditEntry.objects.get().actor_name == "manage.py invite"


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["nina"], "not an email"),
        (["bob@example.org"], "already"),
        (["nina@example.org", "--team", "Nowhere"], "There is no team 'Nowhere'. There are: Research."),
    ],
)
def test_the_command_says_what_is_wrong(words: list[str], fault: str, bob: Any) -> None:
    with pytest.raises(CommandError, match=fault):
        call_command("invite", *words)
    assert not Invitation.objects.exists()


def test_a_taken_address_between_asking_and_accepting(client: Client, alice: Any) -> None:
    token = _invited()
    make_user("Nina", email="nina@example.org")
    answer = client.post(f"/invitations/{token}/", {"name": "Nina", "password": PASSWORD})
    assert answer.status_code == 404
    assert User.objects.filter(email="nina@example.org").count() == 1
    assert Invitation.objects.get().accepted_at is None
