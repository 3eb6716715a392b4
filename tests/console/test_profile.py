"""A person's own page: each section saves on its own, and only one's own sessions end."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.test import Client

from console.models import AuditEntry, User
from tests.factories import PASSWORD, claim_house, make_user

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def pia(db: None) -> User:
    return make_user("Pia", password=PASSWORD)


def _browser(person: User, **headers: str) -> Client:
    client = Client(headers=headers)
    client.post("/accounts/login/", {"login": person.email, "password": PASSWORD})
    return client


@pytest.mark.parametrize("name", ["alice", "adam", "bob", "dana", "charlie", "vera"])
def test_everybody_has_a_profile(name: str, request: Any, signed_in: Any) -> None:
    person = request.getfixturevalue(name)
    assert person.email in signed_in(person).get("/profile/").content.decode()


def test_a_stranger_signs_in_first_and_comes_back(client: Client, alice: Any) -> None:
    assert client.get("/profile/")["Location"] == "/accounts/login/?next=%2Fprofile%2F"
    fragment = client.post("/profile/name/", {"name": "X"}, headers=HTMX)
    assert fragment.status_code == 401
    assert fragment["HX-Redirect"].startswith("/accounts/login/")


def test_the_name_is_saved_and_on_record(bob: Any, signed_in: Any) -> None:
    client = signed_in(bob)
    assert client.post("/profile/name/", {"name": "Robert"})["Location"] == "/profile/"
    assert client.post("/profile/name/", {"name": "Roberta"}, headers=HTMX)["HX-Redirect"] == "/profile/"
    assert User.objects.get(pk=bob.pk).name == "Roberta"
    assert AuditEntry.objects.filter(verb="change", object_id=str(bob.pk)).count() == 2


def test_saving_what_was_there_is_not_a_change(bob: Any, signed_in: Any) -> None:
    signed_in(bob).post("/profile/name/", {"name": "Bob"})
    assert not AuditEntry.objects.filter(verb="change").exists()


def test_an_empty_name_comes_back_and_the_shell_keeps_the_old_one(bob: Any, signed_in: Any) -> None:
    client = signed_in(bob)
    answer = client.post("/profile/name/", {"name": ""})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert 'id="id_name_error"' in page
    assert "<h1>Bob</h1>" in page
    fragment = client.post("/profile/name/", {"name": ""}, headers=HTMX).content.decode()
    assert "<html" not in fragment
    assert 'id="display"' not in fragment


def test_a_language_holds_from_the_next_page_and_the_notice_speaks_it(bob: Any, signed_in: Any) -> None:
    client = signed_in(bob)
    answer = client.post(
        "/profile/display/", {"language": "fr", "time_zone": "Europe/Paris", "theme": "dark"}, follow=True
    )
    page = answer.content.decode()
    assert '<html lang="fr" data-theme="dark"' in page
    assert client.cookies["relayhouse_language"].value == "fr"
    bob.refresh_from_db()
    assert (bob.language, bob.time_zone, bob.theme) == ("fr", "Europe/Paris", "dark")


def test_without_a_choice_the_organisations_language_and_zone_hold(bob: Any, signed_in: Any) -> None:
    claim_house(language="fr")
    assert '<html lang="fr"' in signed_in(bob).get("/profile/").content.decode()


@pytest.mark.parametrize("field", ["language", "time_zone", "theme"])
def test_made_up_choices_are_refused(field: str, bob: Any, signed_in: Any) -> None:
    sent = {"language": "", "time_zone": "", "theme": "system"} | {field: "klingon"}
    answer = signed_in(bob).post("/profile/display/", sent)
    assert answer.status_code == 422
    assert f'id="id_{field}_error"' in answer.content.decode()


def test_shortcuts_can_be_turned_off(bob: Any, signed_in: Any) -> None:
    client = signed_in(bob)
    client.post("/profile/keyboard/", {"enter_sends": "on"})
    bob.refresh_from_db()
    assert (bob.shortcuts, bob.enter_sends) == (False, True)
    assert 'data-shortcuts="off"' in client.get("/profile/").content.decode()


def test_a_form_changes_only_its_own_section(bob: Any, signed_in: Any) -> None:
    client = signed_in(bob)
    client.post("/profile/name/", {"name": "Bob", "role": "owner", "theme": "dark", "email": "x@example.org"})
    bob.refresh_from_db()
    assert (bob.role, bob.theme, bob.email) == ("member", "system", "bob@example.org")
    assert client.post("/profile/role/", {"role": "owner"}).status_code == 404


# -- password -----------------------------------------------------------------


def test_a_new_password_signs_other_browsers_out(pia: User) -> None:
    here, there = _browser(pia), _browser(pia)
    answer = here.post("/profile/password/", {"current": PASSWORD, "new": "another correct horse"})
    assert answer["Location"] == "/profile/"
    assert here.get("/profile/").status_code == 200
    assert there.get("/profile/").status_code == 302
    assert User.objects.get(pk=pia.pk).check_password("another correct horse")
    assert AuditEntry.objects.filter(object_kind="password", verb="change").count() == 1


@pytest.mark.parametrize(
    ("current", "new", "field", "words"),
    [
        ("wrong password", "another correct horse", "current", "That is not your password."),
        (PASSWORD, "short", "new", "at least 10 characters"),
        (PASSWORD, "pia@example.org", "new", "too similar"),
        (PASSWORD, "", "new", "required"),
    ],
)
def test_wrong_passwords_are_refused(current: str, new: str, field: str, words: str, pia: User) -> None:
    answer = _browser(pia).post("/profile/password/", {"current": current, "new": new})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert f'id="id_{field}_error"' in page
    assert words in page
    assert PASSWORD not in page
    assert User.objects.get(pk=pia.pk).check_password(PASSWORD)


def test_a_stolen_session_is_no_way_to_guess_the_password(pia: User) -> None:
    client = _browser(pia)
    answers = [
        client.post("/profile/password/", {"current": f"guess {number}", "new": "another correct horse"})
        for number in range(7)
    ]
    assert "Too many tries" in answers[-1].content.decode()
    last = client.post("/profile/password/", {"current": PASSWORD, "new": "another correct horse"})
    assert last.status_code == 422
    assert User.objects.get(pk=pia.pk).check_password(PASSWORD)


def test_who_has_no_password_sets_one(bob: Any, signed_in: Any) -> None:
    client = signed_in(bob)
    assert "Current password" not in client.get("/profile/").content.decode()
    client.post("/profile/password/", {"new": "another correct horse"})
    assert User.objects.get(pk=bob.pk).check_password("another correct horse")


# -- sessions -----------------------------------------------------------------


def test_sessions_are_named_and_end(pia: User) -> None:
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    here, there = _browser(pia), _browser(pia, **{"User-Agent": firefox})
    page = here.get("/profile/").content.decode()
    assert "Firefox on Linux" in page
    other = UserSession.objects.get(user_agent=firefox)
    here.post(f"/profile/sessions/{other.pk}/end/")
    assert there.get("/profile/").status_code == 302
    assert here.get("/profile/").status_code == 200
    assert AuditEntry.objects.filter(verb="end", object_kind="session").count() == 1


def test_all_other_sessions_end_together(pia: User) -> None:
    here, *others = [_browser(pia) for _ in range(3)]
    assert "2 other sessions are ended." in here.post("/profile/sessions/end/", follow=True).content.decode()
    assert [browser.get("/profile/").status_code for browser in others] == [302, 302]


def test_nobody_ends_the_session_of_another(pia: User, alice: Any, signed_in: Any) -> None:
    _browser(pia)
    session = UserSession.objects.get(user=pia)
    assert signed_in(alice).post(f"/profile/sessions/{session.pk}/end/").status_code == 404
    assert UserSession.objects.filter(pk=session.pk).exists()


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604.1", "Safari on iPhone"),
        ("curl/8.5.0", "curl"),
        ("", "A browser"),
    ],
)
def test_browsers_are_told_apart(agent: str, words: str) -> None:
    from console.agents import browser_of

    assert browser_of(agent) == words
