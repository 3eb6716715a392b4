"""Signing in and out, a forgotten password, and accounts that may not come in."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from console.models import AuditEntry, User
from tests.factories import PASSWORD, claim_house, make_user

pytestmark = pytest.mark.django_db
LOGIN = "/accounts/login/"


@pytest.fixture
def pia(db: None) -> User:
    claim_house(name="Atelier Nord")
    return make_user("Pia", password=PASSWORD)


def _try(client: Client, password: str = PASSWORD, email: str = "pia@example.org", **more: Any) -> Any:
    return client.post(LOGIN, {"login": email, "password": password} | more)


def test_the_page_is_called_after_the_organisation(client: Client, pia: User) -> None:
    page = client.get(LOGIN).content.decode()
    assert "Sign in to Atelier Nord" in page
    assert 'autocomplete="username"' in page
    assert 'autocomplete="current-password"' in page
    assert "Continue with" not in page


def test_in_and_out(client: Client, pia: User) -> None:
    assert _try(client)["Location"] == "/"
    assert client.get("/").status_code == 200
    assert client.get("/accounts/logout/").status_code == 200
    client.post("/accounts/logout/")
    assert client.get("/")["Location"].startswith(LOGIN)
    verbs = list(AuditEntry.objects.order_by("id").values_list("verb", flat=True))
    assert verbs == ["sign_in", "sign_out"]


def test_an_address_is_read_in_any_case(client: Client, pia: User) -> None:
    assert _try(client, email="  PIA@Example.org ").status_code == 302


def test_one_comes_back_to_the_page_one_wanted_and_never_to_another_site(client: Client, pia: User) -> None:
    assert client.get("/profile/")["Location"] == f"{LOGIN}?next=%2Fprofile%2F"
    assert client.post(f"{LOGIN}?next=/profile/", {"login": pia.email, "password": PASSWORD})["Location"] == "/profile/"
    outside = Client().post(f"{LOGIN}?next=https://evil.example/", {"login": pia.email, "password": PASSWORD})
    assert outside["Location"] == "/"


def test_keep_me_signed_in_is_a_choice(pia: User) -> None:
    short, long = Client(), Client()
    _try(short)
    _try(long, remember="on")
    assert not short.cookies["relayhouse_session"]["max-age"]
    assert int(long.cookies["relayhouse_session"]["max-age"]) == 30 * 24 * 3600


@pytest.mark.parametrize("email", ["pia@example.org", "nobody@example.org"])
def test_a_wrong_try_says_the_same_whether_there_is_an_account_or_not(email: str, client: Client, pia: User) -> None:
    answer = _try(client, "wrong password", email)
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "That email and password do not match. 4 tries left before a 5 minute wait." in page
    assert f'value="{email}"' in page
    assert "wrong password" not in page
    assert 'aria-invalid="true"' in page


def test_too_many_tries_wait_even_with_the_right_password(client: Client, pia: User) -> None:
    for left in (4, 3, 2, 1):
        assert f"{left} tr" in _try(client, "wrong password").content.decode()
    assert "Wait 5 minutes" in _try(client, "wrong password").content.decode()
    refused = _try(client)
    assert refused.status_code == 429
    assert 0 < int(refused["Retry-After"]) <= 300
    assert "Too many tries." in refused.content.decode()
    assert client.get("/")["Location"].startswith(LOGIN)


def test_failures_are_on_record_without_the_password_and_not_once_a_try(client: Client, pia: User) -> None:
    for _ in range(4):
        _try(client, "wrong password")
    entry = AuditEntry.objects.get(verb="sign_in_failed")
    assert (entry.actor_name, entry.object_id) == (pia.email, str(pia.pk))
    assert "wrong password" not in str(AuditEntry.objects.values())


def test_a_deactivated_account_is_told_so_only_with_the_right_password(client: Client, pia: User) -> None:
    User.objects.update(is_active=False)
    assert "do not match" in _try(client, "wrong password").content.decode()
    answer = client.post(LOGIN, {"login": pia.email, "password": PASSWORD}, follow=True)
    assert "This account is deactivated" in answer.content.decode()
    assert client.get("/")["Location"].startswith(LOGIN)


def test_a_changed_role_or_password_elsewhere_ends_the_session(client: Client, pia: User) -> None:
    _try(client)
    pia.set_password("another correct horse")
    pia.save()
    assert client.get("/")["Location"].startswith(LOGIN)


@pytest.mark.parametrize(
    "path", ["signup/", "email/", "password/change/", "3rdparty/", "3rdparty/signup/", "sessions/", "confirm-email/"]
)
def test_what_we_do_not_offer_does_not_exist(path: str, client: Client, pia: User) -> None:
    assert client.get(f"/accounts/{path}").status_code == 404


# -- forgotten ----------------------------------------------------------------


@pytest.fixture
def mailing(settings: Any) -> None:
    settings.EMAIL_URL = "smtp://localhost"
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


def test_without_mail_the_page_says_who_can_help(client: Client, pia: User) -> None:
    for answer in (
        client.get("/accounts/password/reset/"),
        client.post("/accounts/password/reset/", {"email": pia.email}),
    ):
        assert "This server sends no mail" in answer.content.decode()
    assert 'name="email"' not in answer.content.decode()


def test_a_mailed_link_sets_the_password_once(client: Client, pia: User, mailing: None, settings: Any) -> None:
    settings.SITE_URL = "https://models.example.org"
    answer = client.post("/accounts/password/reset/", {"email": "PIA@example.org"}, follow=True)
    assert "Look at your mail" in answer.content.decode()
    (letter,) = mail.outbox
    assert letter.to == ["pia@example.org"]
    assert letter.subject == "A new password for Atelier Nord"
    found = re.search(r"https://models\.example\.org(/accounts/password/reset/key/\S+)", letter.body)
    assert found
    page = client.get(found[1], follow=True)
    client.post(page.redirect_chain[-1][0], {"password1": "another correct horse"})
    assert client.get("/profile/").status_code == 200
    assert _try(Client(), "another correct horse").status_code == 302
    assert "This link has ended" in Client().get(found[1]).content.decode()


def test_an_unknown_address_gets_the_same_page_and_no_mail(client: Client, pia: User, mailing: None) -> None:
    answer = client.post("/accounts/password/reset/", {"email": "nobody@example.org"}, follow=True)
    assert "Look at your mail" in answer.content.decode()
    assert mail.outbox == []


def test_a_mail_server_that_is_away_does_not_tell_who_has_an_account(client: Client, pia: User, settings: Any) -> None:
    settings.EMAIL_URL = "smtp://127.0.0.1:9"
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    for email in (pia.email, "nobody@example.org"):
        answer = client.post("/accounts/password/reset/", {"email": email}, follow=True)
        assert "Look at your mail" in answer.content.decode()


def test_a_made_up_reset_link_offers_a_new_one(client: Client, pia: User) -> None:
    page = client.get("/accounts/password/reset/key/1-abc-def/").content.decode()
    assert "This link has ended" in page
    assert "Get a new link" in page
