"""Settings: what the organisation decides here, and what the environment decided before."""

from __future__ import annotations

from typing import Any

import pytest

from billing.models import Organisation
from console.models import AuditEntry
from providers.models import current_revision

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
GENERAL = {
    "name": "Atelier Nord",
    "label": "Production",
    "time_zone": "Europe/Paris",
    "currency": "EUR",
    "language": "en",
    "default_model": "",
}


@pytest.mark.parametrize("name", ["bob", "dana", "charlie"])
def test_others_do_not_see_settings(name: str, request: Any, signed_in: Any) -> None:
    client = signed_in(request.getfixturevalue(name))
    for section in ("", "general/", "sign-in/", "about/"):
        assert client.get(f"/settings/{section}").status_code == 403


def test_a_viewer_reads_and_cannot_write(vera: Any, signed_in: Any) -> None:
    client = signed_in(vera)
    page = client.get("/settings/general/").content.decode()
    assert "You can look, not change" in page
    assert 'name="currency"' not in page
    assert client.post("/settings/general/", GENERAL).status_code == 403
    assert Organisation.get().name == "Relayhouse"
    assert "/tmp" not in client.get("/settings/about/").content.decode()


def test_an_admin_saves_and_every_process_hears_of_it(adam: Any, signed_in: Any) -> None:
    before = current_revision()[0]
    client = signed_in(adam)
    assert client.get("/settings/")["Location"] == "/settings/general/"
    assert client.post("/settings/general/", GENERAL)["Location"] == "/settings/general/"
    house = Organisation.get()
    assert (house.name, house.currency, house.time_zone) == ("Atelier Nord", "EUR", "Europe/Paris")
    assert current_revision()[0] > before
    entry = AuditEntry.objects.get(verb="change", object_kind="organisation")
    assert entry.content["before"]["currency"] == "USD"
    assert "Atelier Nord" in client.get("/settings/general/").content.decode()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("time_zone", "Mars/Phobos"),
        ("currency", "€"),
        ("language", "xx"),
        ("default_model", "nobody:nothing"),
    ],
)
def test_bad_input_comes_back_with_the_field_named(field: str, value: str, adam: Any, signed_in: Any) -> None:
    client = signed_in(adam)
    for headers in ({}, HTMX):
        answer = client.post("/settings/general/", GENERAL | {field: value}, headers=headers)
        assert answer.status_code == 422
        assert f'id="id_{field}_error"' in answer.content.decode()
    assert Organisation.get().currency == "USD"


def test_a_zone_and_currency_set_elsewhere_stay_choosable(adam: Any, signed_in: Any) -> None:
    Organisation.objects.update(currency="XOF", time_zone="Etc/GMT+3")
    page = signed_in(adam).get("/settings/general/").content.decode()
    assert '<option value="XOF" selected>' in page
    assert '<option value="Etc/GMT+3" selected>' in page


def test_facts_of_the_environment_are_told(adam: Any, signed_in: Any, settings: Any) -> None:
    client = signed_in(adam)
    assert "Set OIDC_SERVER_URL" in client.get("/settings/sign-in/").content.decode()
    settings.OIDC_SERVER_URL, settings.OIDC_NAME = "https://login.example.org", "Example Login"
    settings.EMAIL_URL, settings.SITE_URL = "smtp://localhost", "https://models.example.org"
    page = client.get("/settings/sign-in/").content.decode()
    for words in ("Example Login", "https://login.example.org", "Mailed from", "https://models.example.org"):
        assert words in page


def test_about_tells_version_and_where_things_are(adam: Any, signed_in: Any, settings: Any) -> None:
    page = signed_in(adam).get("/settings/about/").content.decode()
    assert settings.VERSION in page
    assert str(settings.RELAYHOUSE_STATE) in page
    assert "/health/ready" in page
