"""People and teams in a browser: drawers that answer in place, notices with a way back, and what axe says of it all."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.chromium import NARROW, WIDE, faults, sideways

CLAIRE, BOB = "claire@example.org", "bob@example.org"
# The widest pages in both shapes; others share their pieces and are looked at once.
PAGES = [
    ("/", CLAIRE, WIDE, "light"),
    ("/", BOB, NARROW, "dark"),
    ("/people/", CLAIRE, NARROW, "light"),
    ("/people/invite/", CLAIRE, WIDE, "dark"),
    ("/people/2/", CLAIRE, WIDE, "light"),
    ("/people/2/", CLAIRE, NARROW, "dark"),
    ("/teams/research/", CLAIRE, WIDE, "dark"),
    ("/teams/research/", CLAIRE, NARROW, "light"),
    ("/profile/", BOB, WIDE, "light"),
    ("/profile/", BOB, NARROW, "dark"),
    ("/settings/general/", CLAIRE, WIDE, "dark"),
    ("/settings/sign-in/", CLAIRE, NARROW, "light"),
    ("/settings/about/", CLAIRE, WIDE, "light"),
    ("/accounts/2fa/", BOB, NARROW, "dark"),
    ("/accounts/password/reset/", "", WIDE, "dark"),
    ("/invitations/made-up/", "", NARROW, "light"),
]


@pytest.mark.parametrize(("path", "who", "width", "theme"), PAGES)
def test_axe_finds_nothing(open_page: Any, path: str, who: str, width: int, theme: str) -> None:
    page = open_page(path, who, width=width, theme=theme)
    assert faults(page) == []
    assert sideways(page) == 0


def test_narrow_windows_do_not_scroll_sideways(open_page: Any) -> None:
    for path in ("/", "/people/", "/teams/research/", "/profile/", "/people/2/"):
        assert sideways(open_page(path, CLAIRE, width=320)) == 0, path


def test_a_colleague_is_invited_in_the_drawer(open_page: Any) -> None:
    page = open_page("/people/", CLAIRE, refused="/people/invite/")
    page.keyboard.press("n")
    drawer = page.locator("#invite")
    drawer.get_by_label("Email").fill("not an address")
    drawer.locator("form").evaluate("form => form.noValidate = true")
    drawer.get_by_role("button", name="Make the link").click()
    page.locator("#invite .errors").wait_for()
    assert faults(page) == []
    assert drawer.get_by_label("Email").input_value() == "not an address"
    drawer.get_by_label("Email").fill("nina@example.org")
    drawer.get_by_label("Research").check()
    drawer.get_by_role("button", name="Make the link").click()
    link = drawer.locator("#invitation-link")
    link.wait_for()
    assert "/invitations/" in link.inner_text()
    assert not drawer.get_by_role("button", name="Make the link").is_visible()
    assert faults(page) == []

    stranger = open_page(link.inner_text().split("/", 3)[3].join(["/", ""]))
    assert "Claire Lambert invites you as: Member." in stranger.content()
    stranger.get_by_label("Your name").fill("Nina Novak")
    stranger.get_by_label("Password", exact=True).fill("short")
    stranger.locator("#verdict .hint").wait_for()
    stranger.get_by_label("Password", exact=True).fill("correct horse battery")
    stranger.locator("#verdict .okmsg").wait_for()
    assert faults(stranger) == []
    stranger.get_by_role("button", name="Create the account").click()
    stranger.wait_for_url("**/")
    assert stranger.get_by_role("heading", name="Overview").is_visible()
    assert not stranger.get_by_role("link", name="Settings").first.is_visible()


def test_the_search_narrows_the_list_as_one_types(open_page: Any) -> None:
    page = open_page("/people/", CLAIRE)
    rows = page.locator("#people-rows tbody tr")
    assert rows.count() >= 2
    page.keyboard.press("/")
    page.keyboard.type("claire")
    page.wait_for_url("**/people/?q=claire*")
    page.get_by_text("bob@example.org").wait_for(state="detached")
    assert page.evaluate("document.activeElement.name") == "q"
    page.go_back()
    page.get_by_text("bob@example.org").wait_for()


def test_a_row_opens_by_a_click_anywhere_on_it(open_page: Any) -> None:
    page = open_page("/people/", CLAIRE)
    cell = page.locator("#people-rows tr", has_text="bob@example.org").locator("td").nth(1).bounding_box()
    page.mouse.click(cell["x"] + 4, cell["y"] + 4)
    page.wait_for_url("**/people/2/")


def test_a_team_is_made_filled_and_a_member_comes_back(open_page: Any) -> None:
    page = open_page("/teams/", CLAIRE)
    page.get_by_role("link", name="Create team").click()
    page.locator("#new").get_by_label("Name").fill("Legal")
    page.locator("#new").get_by_role("button", name="Create team").click()
    page.wait_for_url("**/teams/legal/")
    page.get_by_role("link", name="Add member").click()
    page.locator("#add").get_by_label("Email of a colleague").fill(BOB)
    assert faults(page) == []
    page.locator("#add").get_by_role("button", name="Add member").click()
    page.locator("#members", has_text="Bob Martin").wait_for()
    page.get_by_role("button", name="Actions for Bob Martin").click()
    assert faults(page) == []
    page.get_by_role("button", name="Remove from the team").click()
    page.get_by_text("Nobody is in this team").wait_for()
    page.get_by_role("button", name="Undo").click()
    page.locator("#members", has_text="Bob Martin").wait_for()


def test_a_confirmation_says_what_happens_and_escape_keeps_everything(open_page: Any) -> None:
    page = open_page("/people/2/", CLAIRE)
    page.get_by_role("link", name="Deactivate the account").click()
    dialog = page.locator("#deactivate")
    assert "You can activate the account again." in dialog.inner_text()
    assert faults(page) == []
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    page.get_by_role("link", name="Deactivate the account").click()
    dialog.get_by_role("link", name="Keep it").click()
    assert not dialog.is_visible()
    assert page.url.endswith("/people/2/")


def test_a_section_of_the_profile_that_is_wrong_stays_in_place(open_page: Any) -> None:
    page = open_page("/profile/", BOB, refused="/profile/name/")
    page.locator("#name input[name=name]").evaluate("field => field.required = false")
    page.locator("#name input[name=name]").fill("")
    page.get_by_role("button", name="Save the name").click()
    page.locator("#name .errors").wait_for()
    assert page.evaluate("document.activeElement.className") == "errors"
    assert page.locator("#display").is_visible()
    page.locator("#name input[name=name]").fill("Bob Martin")
    page.get_by_role("button", name="Save the name").click()
    page.get_by_text("Your profile is saved.").wait_for()


@pytest.mark.parametrize("path", ["/teams/research/?open=add", "/people/2/?open=deactivate"])
def test_drawers_and_dialogs_open_without_a_script(open_page: Any, path: str) -> None:
    page = open_page(path, CLAIRE, java_script_enabled=False)
    dialog = page.locator("dialog[open]")
    assert dialog.is_visible()
    dialog.locator("footer a").click()
    assert page.locator("dialog[open]").count() == 0


def test_everything_is_posted_without_a_script_too(open_page: Any) -> None:
    page = open_page("/teams/", CLAIRE, java_script_enabled=False, refused="/new-team/")
    page.get_by_role("link", name="Create team").click()
    page.get_by_label("Name").fill("Research")
    page.get_by_role("button", name="Create team").click()
    assert "There is a team with this name already." in page.content()
    assert page.get_by_label("Name").input_value() == "Research"
