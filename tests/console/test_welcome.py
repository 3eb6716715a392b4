"""The first page: a one-time link makes whoever opens it the owner, once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from billing.models import Membership, Organisation
from console import claims
from console.models import AuditEntry, ClaimCode, User

pytestmark = pytest.mark.django_db
ANSWERS = {
    "name": "Claire Lambert",
    "email": "Claire@Atelier-Nord.example",
    "password": "correct horse battery",
    "organisation": "Atelier Nord",
    "time_zone": "Europe/Paris",
    "currency": "EUR",
    "language": "fr",
}


@pytest.fixture
def code() -> str:
    return claims.new_claim_code(timezone.now())


def test_an_unclaimed_house_says_how_to_claim_it(client: Client) -> None:
    for address in ("/", "/accounts/login/"):
        assert client.get(address)["Location"] == "/welcome/"
    page = client.get("/welcome/").content.decode()
    assert "Nobody owns this gateway yet" in page
    assert "manage.py serve" in page


def test_the_link_makes_an_owner_who_is_signed_in_and_in_the_playground(client: Client, code: str) -> None:
    answer = client.post(f"/welcome/{code}/", ANSWERS)
    assert answer["Location"] == "/play/"
    owner = User.objects.get()
    assert (owner.email, owner.role, owner.name) == ("claire@atelier-nord.example", "owner", "Claire Lambert")
    house = Organisation.get()
    assert (house.name, house.time_zone, house.currency, house.language) == (
        "Atelier Nord",
        "Europe/Paris",
        "EUR",
        "fr",
    )
    membership = Membership.objects.get(user=owner)
    assert membership.lead
    assert client.get("/profile/").status_code == 200
    assert set(AuditEntry.objects.values_list("verb", flat=True)) == {"claim", "sign_in"}


def test_the_link_works_once(client: Client, code: str) -> None:
    client.post(f"/welcome/{code}/", ANSWERS)
    again = Client().get(f"/welcome/{code}/")
    assert again.status_code == 410
    assert "This link was used" in again.content.decode()
    other = Client().post(f"/welcome/{code}/", ANSWERS | {"email": "mallory@example.org"})
    assert other.status_code == 410
    assert User.objects.count() == 1


@pytest.mark.store
def test_of_two_open_browsers_the_first_one_wins(code: str) -> None:
    first, second = Client(), Client()
    assert first.get(f"/welcome/{code}/").status_code == second.get(f"/welcome/{code}/").status_code == 200
    first.post(f"/welcome/{code}/", ANSWERS)
    assert second.post(f"/welcome/{code}/", ANSWERS | {"email": "second@example.org"}).status_code == 410
    assert User.objects.get().email == "claire@atelier-nord.example"


def test_a_wrong_an_old_and_a_replaced_code_say_what_to_do(client: Client, code: str) -> None:
    ClaimCode.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    replaced = claims.new_claim_code(timezone.now())
    claims.new_claim_code(timezone.now())
    for wrong in ("x" * 43, code, replaced):
        answer = client.get(f"/welcome/{wrong}/")
        assert answer.status_code == 404
        assert "This link has ended" in answer.content.decode()
        assert "make run" in answer.content.decode()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "", "required"),
        ("email", "claire", "valid email"),
        ("password", "short", "at least 10 characters"),
        ("password", "1234567890", "too common"),
        ("password", "claire@atelier-nord", "too similar"),
        ("time_zone", "Mars/Phobos", "not one of the available"),
        ("currency", "XXX", "not one of the available"),
    ],
)
def test_bad_input_comes_back_with_the_field_named(
    field: str, value: str, words: str, client: Client, code: str
) -> None:
    answer = client.post(f"/welcome/{code}/", ANSWERS | {field: value})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert words in page
    assert f'id="id_{field}_error"' in page
    assert f'href="#id_{field}"' in page
    assert "Atelier Nord" in page
    assert "correct horse battery" not in page
    assert not User.objects.exists()
    if field in ("time_zone", "currency"):
        assert '<details class="house" id="house" open' in page


@pytest.mark.parametrize(
    ("asked", "zone", "currency"),
    [
        ("fr-FR,fr;q=0.9", "Europe/Paris", "EUR"),
        ("fr", "Europe/Paris", "EUR"),
        ("de-CH", "Europe/Zurich", "CHF"),
        ("de-DE", "Europe/Berlin", "EUR"),
        ("en-US,en", "UTC", "USD"),  # several hours: the browser's own zone decides
        ("xx-junk,,;q=", "UTC", "USD"),
        ("", "UTC", "USD"),
    ],
)
def test_zone_and_currency_are_guessed(asked: str, zone: str, currency: str, client: Client, code: str) -> None:
    page = client.get(f"/welcome/{code}/", headers={"Accept-Language": asked}).content.decode()
    assert f'<span data-says="time_zone">{zone}</span>' in page
    assert f'<span data-says="currency">{currency}</span>' in page


def test_the_browsers_own_zone_is_asked_for_by_script(client: Client, code: str) -> None:
    headers = {"HX-Request": "true", "Accept-Language": "en-US"}
    fragment = client.get(f"/welcome/{code}/", {"zone": "Asia/Calcutta"}, headers=headers).content.decode()
    assert "<html" not in fragment
    assert '<span data-says="time_zone">Asia/Calcutta</span>' in fragment
    assert '<span data-says="currency">INR</span>' in fragment
    made_up = client.get(f"/welcome/{code}/", {"zone": "../../etc/passwd"}, headers=headers).content.decode()
    assert '<span data-says="time_zone">UTC</span>' in made_up


def test_the_page_speaks_the_language_that_is_asked_for(client: Client, code: str) -> None:
    page = client.get(f"/welcome/{code}/", headers={"Accept-Language": "fr"}).content.decode()
    assert '<html lang="fr"' in page
    assert '<option value="fr" selected>' in page


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"password": "short"}, "5 more characters needed"),
        ({"password": "1234567890"}, "Too common"),
        ({"password1": "correct horse battery"}, "21 characters, not a common password"),
        ({"new": "correct horse battery"}, "21 characters"),
    ],
)
def test_a_password_gets_its_verdict_while_it_is_typed(typed: dict[str, str], words: str, client: Client) -> None:
    assert words in client.post("/welcome/password/", typed).content.decode()


def test_a_verdict_under_way_while_its_typist_signs_in_is_not_refused() -> None:
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post("/welcome/password/", {"password": "short"}, headers={"x-csrftoken": "of-before-the-sign-in"})
    assert "5 more characters needed" in answer.content.decode()


def test_a_verdict_is_never_given_by_get_and_nothing_is_said_about_nothing(client: Client) -> None:
    assert client.get("/welcome/password/?password=secret").status_code == 405
    assert client.post("/welcome/password/").content.decode().strip() == ""


def test_it_works_before_and_after_teams_exist(client: Client, code: str, research: Any) -> None:
    client.post(f"/welcome/{code}/", ANSWERS)
    assert Membership.objects.count() == 1
    call_command("audit", "verify", verbosity=0)
