"""The company's sign-in, against an issuer of this machine: who it vouches for comes in, with the role we say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from allauth.socialaccount.models import SocialAccount
from django.test import Client
from django.utils import timezone

from billing.models import Membership, Team
from console import invitations
from console.models import AuditEntry, User
from tests.factories import claim_house, make_user
from tests.issuer import SECRET, Issuer

pytestmark = pytest.mark.django_db
LOGIN = "/accounts/oidc/company/login/"


@pytest.fixture
def issuer(db: None, settings: Any) -> Iterator[Issuer]:
    claim_house()
    with Issuer() as served:
        served.claims = {"sub": "42", "email": "Nina@Example.org", "email_verified": True, "name": "Nina Novak"}
        settings.OIDC_SERVER_URL, settings.OIDC_NAME = served.url, "Example Login"
        settings.SOCIALACCOUNT_PROVIDERS = {
            "openid_connect": {
                "OAUTH_PKCE_ENABLED": True,
                "APPS": [
                    {
                        "provider_id": "company",
                        "name": "Example Login",
                        "client_id": "relayhouse",
                        "secret": SECRET,
                        "settings": {"server_url": served.url},
                    }
                ],
            }
        }
        yield served


def _through(issuer: Issuer, client: Client, wanted: str = "") -> Any:
    away = client.get(LOGIN, {"next": wanted} if wanted else {})
    assert away["Location"].startswith(f"{issuer.url}/authorize?")
    return client.get(issuer.authorize(away["Location"]))


def test_the_door_offers_it_by_its_name(issuer: Issuer, client: Client) -> None:
    page = client.get("/accounts/login/?next=/profile/").content.decode()
    assert "Continue with Example Login" in page
    assert f'href="{LOGIN}?process=login&amp;next=%2Fprofile%2F"' in page


def test_a_first_visit_makes_a_member_without_a_password(issuer: Issuer, client: Client) -> None:
    assert _through(issuer, client, "/profile/")["Location"] == "/profile/"
    nina = User.objects.get()
    assert (nina.email, nina.name, nina.role) == ("nina@example.org", "Nina Novak", "member")
    assert not nina.has_usable_password()
    assert client.get("/profile/").status_code == 200
    verbs = set(AuditEntry.objects.values_list("verb", flat=True))
    assert verbs == {"create", "sign_in"}
    assert _through(issuer, Client()).status_code == 302
    assert User.objects.count() == 1


@pytest.mark.parametrize(("wanted", "given"), [("viewer", "viewer"), ("owner", "member"), ("nonsense", "member")])
def test_the_settings_role_is_given_but_never_owner(
    wanted: str, given: str, issuer: Issuer, client: Client, settings: Any
) -> None:
    settings.OIDC_DEFAULT_ROLE = wanted
    _through(issuer, client)
    assert User.objects.get().role == given


def test_an_invitation_to_the_address_decides_role_and_teams(
    issuer: Issuer, client: Client, research: Team, alice: Any
) -> None:
    invitation, token = invitations.invite("nina@example.org", "editor", [research], alice, timezone.now())
    _through(issuer, client)
    nina = User.objects.get(email="nina@example.org")
    assert nina.role == "editor"
    assert Membership.objects.filter(user=nina, team=research).exists()
    invitation.refresh_from_db()
    assert invitation.accepted_at is not None
    assert Client().get(f"/invitations/{token}/").status_code == 404


def test_somebody_who_has_an_account_keeps_it(issuer: Issuer, client: Client) -> None:
    nina = make_user("Nina", role="finance", email="nina@example.org", password="correct horse battery")
    _through(issuer, client)
    assert User.objects.get() == nina
    assert SocialAccount.objects.get(user=nina).uid == "42"
    assert User.objects.get().role == "finance"


def test_an_address_that_is_not_confirmed_opens_nothing(issuer: Issuer, client: Client) -> None:
    make_user("Nina", role="owner", email="nina@example.org")
    issuer.claims["email_verified"] = False
    answer = _through(issuer, client)
    assert answer.status_code == 403
    assert "It did not confirm your email address." in answer.content.decode()
    assert client.get("/profile/").status_code == 302
    assert not SocialAccount.objects.exists()


def test_who_is_deactivated_stays_out(issuer: Issuer, client: Client) -> None:
    User.objects.filter(pk=make_user("Nina", email="nina@example.org").pk).update(is_active=False)
    assert _through(issuer, client)["Location"] == "/accounts/inactive/"
    assert client.get("/profile/").status_code == 302


def test_a_refusal_at_the_company_is_told(issuer: Issuer, client: Client) -> None:
    issuer.refuses = True
    answer = _through(issuer, client)
    page = client.get(answer["Location"]).content.decode() if answer.status_code == 302 else answer.content.decode()
    assert "company sign-in" in page
    assert not User.objects.exists()


@pytest.mark.parametrize("place", ["token", "userinfo"])
def test_an_issuer_that_fails_half_way_is_told_not_shown_as_our_fault(
    place: str, issuer: Issuer, client: Client
) -> None:
    issuer.fails_at = place
    answer = _through(issuer, client)
    assert answer.status_code == 403
    assert "The company sign-in did not finish." in answer.content.decode()


def test_an_issuer_that_is_away_is_told(issuer: Issuer, client: Client) -> None:
    issuer.fails_at = "openid-configuration"
    answer = client.get(LOGIN)
    assert answer.status_code == 403
    assert "The company sign-in does not answer." in answer.content.decode()
    assert client.get("/accounts/login/").status_code == 200


def test_a_state_that_we_did_not_make_is_refused(issuer: Issuer, client: Client) -> None:
    away = client.get(LOGIN)
    back = issuer.authorize(away["Location"])
    assert Client().get(back).status_code == 403
    assert not User.objects.exists()


def test_without_settings_there_is_no_such_door(client: Client, alice: Any) -> None:
    assert client.get(LOGIN).status_code == 404
