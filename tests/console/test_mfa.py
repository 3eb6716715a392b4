"""Two-factor: turned on with an app, asked for at sign-in, recovered from with codes."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.test import Client

from console.models import AuditEntry, User
from tests.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db
TOTP = "/accounts/2fa/totp/activate/"


@pytest.fixture
def pia(db: None) -> User:
    return make_user("Pia", password=PASSWORD)


@pytest.fixture
def browser(pia: User) -> Client:
    client = Client()
    _sign_in(client, pia)
    return client


def _sign_in(client: Client, person: User) -> Any:
    return client.post("/accounts/login/", {"login": person.email, "password": PASSWORD})


def _code(secret: str) -> str:
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30)))


def _secret_in(page: bytes) -> str:
    found = re.search(r'<code id="totp-key"[^>]*>([A-Z2-7]+)</code>', page.decode())
    assert found
    return found[1]


def _turned_on(client: Client) -> str:
    client.post(f"/accounts/reauthenticate/?next={TOTP}", {"password": PASSWORD})
    secret = _secret_in(client.get(TOTP).content)
    answer = client.post(TOTP, {"code": _code(secret)})
    assert answer.status_code == 302, answer.content.decode()
    return secret


def test_turning_it_on_asks_for_the_password_first(browser: Client) -> None:
    assert browser.get(TOTP)["Location"].startswith("/accounts/reauthenticate/")
    wrong = browser.post("/accounts/reauthenticate/", {"password": "wrong password"})
    assert "That is not your password." in wrong.content.decode()
    right = browser.post(f"/accounts/reauthenticate/?next={TOTP}", {"password": PASSWORD})
    assert right["Location"] == TOTP
    page = browser.get(TOTP).content.decode()
    assert 'src="data:image/svg+xml;base64,' in page


def test_it_is_on_and_codes_are_shown_once_it_was_proven(
    browser: Client, pia: User, django_capture_on_commit_callbacks: Any
) -> None:
    browser.post(f"/accounts/reauthenticate/?next={TOTP}", {"password": PASSWORD})
    browser.get(TOTP)
    wrong = browser.post(TOTP, {"code": "000000"})
    assert "That code is not right." in wrong.content.decode()
    assert not Authenticator.objects.exists()
    secret = _secret_in(wrong.content)
    with django_capture_on_commit_callbacks(execute=True):
        done = browser.post(TOTP, {"code": _code(secret)}, follow=True).content.decode()
    assert "10 of 10 codes left" in done
    kept = Authenticator.objects.get(user=pia, type=Authenticator.Type.TOTP)
    assert secret not in str(kept.data)
    assert set(AuditEntry.objects.filter(object_kind="authenticator").values_list("verb", flat=True)) == {"add"}
    assert "Asked for at each sign-in." in browser.get("/profile/").content.decode()


def test_signing_in_then_needs_a_code(browser: Client, pia: User) -> None:
    secret = _turned_on(browser)
    other = Client()
    assert _sign_in(other, pia)["Location"].startswith("/accounts/2fa/authenticate/")
    assert other.get("/profile/").status_code == 302
    wrong = other.post("/accounts/2fa/authenticate/", {"code": "000000"})
    assert "That code is not right." in wrong.content.decode()
    assert other.get("/profile/").status_code == 302
    assert AuditEntry.objects.filter(verb="sign_in_failed").count() == 1
    with time_machine.travel(time.time() + 30):  # a code opens once; the next one comes in half a minute
        good = other.post("/accounts/2fa/authenticate/", {"code": _code(secret)})
        assert good["Location"] == "/"
        assert other.get("/profile/").status_code == 200


def test_a_recovery_code_opens_once(browser: Client, pia: User) -> None:
    _turned_on(browser)
    listed = browser.get("/accounts/2fa/recovery-codes/download/").content.decode().split()
    assert len(listed) == 10
    first, again = Client(), Client()
    _sign_in(first, pia)
    assert first.post("/accounts/2fa/authenticate/", {"code": listed[0]})["Location"] == "/"
    _sign_in(again, pia)
    assert "not right" in again.post("/accounts/2fa/authenticate/", {"code": listed[0]}).content.decode()


def test_new_codes_end_the_old_ones(browser: Client) -> None:
    _turned_on(browser)
    old = browser.get("/accounts/2fa/recovery-codes/download/").content
    assert "10 unused codes you have end" in browser.get("/accounts/2fa/recovery-codes/generate/").content.decode()
    browser.post("/accounts/2fa/recovery-codes/generate/")
    assert browser.get("/accounts/2fa/recovery-codes/download/").content != old


def test_turning_it_off_leaves_the_password_alone(browser: Client, pia: User) -> None:
    _turned_on(browser)
    assert (
        "Your password alone will open your account." in browser.get("/accounts/2fa/totp/deactivate/").content.decode()
    )
    browser.post("/accounts/2fa/totp/deactivate/")
    assert not Authenticator.objects.filter(type=Authenticator.Type.TOTP).exists()
    assert _sign_in(Client(), pia)["Location"] == "/"
    assert AuditEntry.objects.filter(object_kind="authenticator", verb="remove").exists()


def test_a_reset_link_does_not_go_around_the_code(browser: Client, pia: User, alice: Any, signed_in: Any) -> None:
    _turned_on(browser)
    page = signed_in(alice).post(f"/people/{pia.pk}/reset/").content.decode()
    found = re.search(r"http://testserver(/accounts/password/reset/key/[\w-]+/)", page)
    assert found
    stranger = Client()
    address = stranger.get(found[1], follow=True).redirect_chain[-1][0]
    answer = stranger.post(address, {"password1": "another correct horse"})
    assert answer["Location"].startswith("/accounts/2fa/authenticate/")
    assert stranger.get("/profile/").status_code == 302


def test_the_pages_are_for_who_is_signed_in(client: Client, pia: User) -> None:
    for path in ("", "totp/activate/", "totp/deactivate/", "recovery-codes/", "recovery-codes/generate/"):
        assert client.get(f"/accounts/2fa/{path}")["Location"].startswith("/accounts/login/")
