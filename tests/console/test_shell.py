"""What stands around every page: landmarks, theme, language, bell, messages, and fields that can be read."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django import forms
from django.template import Context, Template
from django.test import Client
from django.utils import timezone

from console.forms import PlainForm
from console.forms.sign_in import password_field
from console.invitations import invite
from console.models import User
from console.notices import notices_for
from console.templatetags.console import hue, initials
from routing.models import ApiKey
from tests.factories import claim_house, make_provider

pytestmark = pytest.mark.django_db
PAGE = "/no-such-page/"


def page(client: Client, path: str = PAGE, **headers: str) -> str:
    return client.get(path, headers=headers).content.decode()


# -- the frame ----------------------------------------------------------------


def test_the_frame_has_its_landmarks(alice: Any, signed_in: Any) -> None:
    html = page(signed_in(alice))
    assert html.count("<h1") == 1
    assert html.count("<main") == 1
    assert '<a class="skip" href="#main">' in html
    assert '<html lang="en">' in html
    assert "<title>Not found · Relayhouse</title>" in html
    assert 'aria-label="Breadcrumb"' in html
    assert 'id="toasts" role="status"' in html
    assert re.search(r"hx-headers:inherited='{\"X-CSRFToken\": \"\w{64}\"}'", html)


def test_the_house_is_named_with_its_environment(alice: Any, signed_in: Any, settings: Any) -> None:
    claim_house(name="Atelier Nord", label="Production")
    assert "Atelier Nord<small>Production</small>" in page(signed_in(alice))
    settings.ENVIRONMENT_LABEL = "Staging"
    assert "Atelier Nord<small>Staging</small>" in page(signed_in(alice))


def test_nothing_comes_from_elsewhere_and_nothing_is_inline(alice: Any, signed_in: Any) -> None:
    answer = signed_in(alice).get(PAGE)
    html = answer.content.decode()
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', html)
    assert not re.findall(r"<script(?![^>]*\bsrc=)", html)
    policy = answer["Content-Security-Policy"]
    assert "script-src 'self';" in policy + ";"
    assert "unsafe-eval" not in policy


def test_ids_are_unique(alice: Any, signed_in: Any) -> None:
    found = re.findall(r'\bid="([^"]+)"', page(signed_in(alice)))
    assert len(found) == len(set(found))


def test_a_page_costs_few_queries(alice: Any, signed_in: Any, django_assert_max_num_queries: Any) -> None:
    client = signed_in(alice)
    client.get(PAGE)
    with django_assert_max_num_queries(8):
        client.get(PAGE)


def test_messages_are_toasts(bob: Any, alice: Any, signed_in: Any) -> None:
    client = signed_in(bob)
    client.post("/access/ask/", {"action": "settings.see"})
    html = page(client)
    assert '<div class="toast' in html.split('id="toasts"')[1]


# -- theme and language -------------------------------------------------------


def test_a_theme_is_kept_with_the_person(alice: User, signed_in: Any) -> None:
    client = signed_in(alice)
    assert "data-theme=" not in page(client).split("<head>")[0]
    assert client.post("/theme/", {"theme": "dark"}, headers={"referer": "http://testserver/teams/?q=a"}).url == (
        "http://testserver/teams/?q=a"
    )
    alice.refresh_from_db()
    assert alice.theme == "dark"
    assert '<html lang="en" data-theme="dark">' in page(client)
    assert client.post("/theme/", {"theme": "light"}, headers={"HX-Request": "true"}).status_code == 204


def test_a_theme_is_kept_before_signing_in(client: Client) -> None:
    client.post("/theme/", {"theme": "light"})
    assert 'data-theme="light"' in page(client)
    client.cookies["relayhouse_theme"] = '"><script>'
    assert "data-theme=" not in page(client).split("<head>")[0]


def test_an_unknown_theme_or_language_is_refused(client: Client) -> None:
    assert client.post("/theme/", {"theme": "pink"}).status_code == 400
    assert client.post("/language/", {"language": "tlh"}).status_code == 400
    assert client.get("/theme/").status_code == 405


def test_language_is_changed_where_it_is_shown(client: Client, alice: User, signed_in: Any) -> None:
    assert client.post("/language/", {"language": "fr", "next": "/accounts/login/"}).url == "/accounts/login/"
    assert '<html lang="fr">' in page(client)
    signed_in(alice).post("/language/", {"language": "fr"})
    alice.refresh_from_db()
    assert alice.language == "fr"


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_going_back_stays_on_this_site(client: Client, wanted: str) -> None:
    assert client.post("/language/", {"language": "fr", "next": wanted}).url == "/"


def test_single_keys_can_be_turned_off(alice: User, signed_in: Any) -> None:
    assert 'data-shortcuts="off"' not in page(signed_in(alice))
    User.objects.update(shortcuts=False)
    assert 'data-shortcuts="off"' in page(signed_in(alice))


# -- the bell -----------------------------------------------------------------


def test_the_bell_is_quiet_when_nothing_needs_you(bob: Any, signed_in: Any) -> None:
    assert "Nothing needs you." in page(signed_in(bob))


def test_the_bell_tells_what_ends_soon(alice: User, bob: User, research: Any) -> None:
    now = timezone.now()
    invite("new@example.org", "member", [], alice, now - timedelta(days=6))
    invite("fresh@example.org", "member", [], alice, now)
    ApiKey.objects.create(
        name="ci", prefix="rh_", last_four="abcd", hash="h", team=research, expires_at=now + timedelta(days=3)
    )
    titles = [str(notice.title) for notice in notices_for(alice, now)]
    assert titles == ["1 invitation ends soon", "1 API key ends this week"]
    assert notices_for(bob, now) == []


def test_the_bell_tells_that_only_the_demonstration_answers(alice: User) -> None:
    now = timezone.now()
    make_provider()
    assert [str(notice.title) for notice in notices_for(alice, now)] == ["Only the demonstration answers"]
    make_provider("Ollama", kind="ollama")
    assert notices_for(alice, now) == []


# -- pieces -------------------------------------------------------------------


class Form(PlainForm):
    name = forms.CharField(label="Name", help_text="Shown to all.")
    secret = password_field("Password", "new-password")
    agree = forms.BooleanField(label="Agree")
    roles = forms.MultipleChoiceField(
        label="Roles", choices=[("a", "A"), ("b", "B")], widget=forms.CheckboxSelectMultiple
    )


def render(source: str, **context: Any) -> str:
    return Template(source).render(Context(context))


def test_a_field_ties_its_words_to_its_control() -> None:
    html = render("{% field form.name %}", form=Form({}))
    assert '<label for="id_name">Name</label>' in html
    assert 'aria-describedby="id_name_helptext id_name_error"' in html
    assert 'aria-invalid="true"' in html
    assert 'id="id_name_helptext">Shown to all.' in html
    assert 'id="id_name_error"' in html


def test_a_field_without_faults_says_nothing_of_them() -> None:
    html = render('{% field form.name hint="Short." %}', form=Form())
    assert "aria-invalid" not in html
    assert "error" not in html
    assert 'aria-describedby="id_name_hint id_name_helptext"' in html


def test_a_password_can_be_shown() -> None:
    html = render("{% field form.secret %}", form=Form())
    assert 'data-reveal="#id_secret"' in html
    assert 'autocomplete="new-password"' in html


def test_a_list_of_choices_is_a_group_with_a_name() -> None:
    html = render("{% field form.roles %}", form=Form({}))
    assert "<fieldset" in html
    assert '<legend class="label">Roles' in html
    assert 'aria-describedby="id_roles_error"' in html
    assert '<label class="check" for="id_roles_0">' in html


def test_the_summary_leads_to_each_fault() -> None:
    html = render('{% include "ui/errors.html" %}', form=Form({"name": "x"}))
    assert re.findall(r'<a href="#(\w+)">', html) == ["id_secret", "id_agree", "id_roles_0"]
    assert "3 things to fix" in html
    assert render('{% include "ui/errors.html" %}', form=Form()).strip() == ""


def test_what_was_typed_is_shown_as_text() -> None:
    assert "<b>" not in render("{% field form.name %}", form=Form({"name": '"><b>'}))


@pytest.mark.parametrize(
    ("name", "letters"),
    [("Claire Lambert", "CL"), ("claire@example.org", "CE"), ("Ollama", "Ol"), ("", "?"), ("Élodie de la Tour", "ÉT")],
)
def test_initials(name: str, letters: str) -> None:
    assert initials(name) == letters
    assert hue(name) == hue(name)
