"""The frame in a browser: the palette, the keyboard, themes, the phone's menu, and what axe says of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.chromium import NARROW, WIDE, faults, sideways

CLAIRE, BOB = "claire@example.org", "bob@example.org"
LOOKS = [(WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (NARROW, "dark")]
PAGES = [
    ("/styleguide/", CLAIRE),
    ("/teams/", CLAIRE),
    ("/settings/general/", BOB),
    ("/api/docs", BOB),
    ("/accounts/login/", ""),
]


@pytest.mark.parametrize(("width", "theme"), LOOKS)
@pytest.mark.parametrize(("path", "who"), PAGES)
def test_axe_finds_nothing(open_page: Any, path: str, who: str, width: int, theme: str) -> None:
    page = open_page(path, who, width=width, theme=theme)
    assert faults(page) == []
    assert sideways(page) == 0


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_axe_finds_nothing_in_what_opens(open_page: Any, width: int) -> None:
    page = open_page("/teams/", CLAIRE, width=width)
    for opener in ('[data-open="#palette"]', '[popovertarget="bell"]', ".menu-btn", '[popovertarget="user-menu"]'):
        button = page.locator(opener).first
        if not button.is_visible():
            continue
        button.click()
        assert faults(page) == [], opener
        page.keyboard.press("Escape")


def test_narrow_windows_do_not_scroll_sideways(open_page: Any) -> None:
    for path in ("/styleguide/", "/teams/"):
        assert sideways(open_page(path, CLAIRE, width=320)) == 0


def test_the_palette_finds_and_goes(open_page: Any) -> None:
    page = open_page("/teams/", CLAIRE)
    page.keyboard.press("Control+k")
    page.locator("#palette input").fill("settin")
    page.locator("#pal-res mark").first.wait_for()
    assert page.locator('#pal-res [aria-selected="true"]').inner_text().startswith("Settings")
    page.keyboard.press("Enter")
    page.wait_for_url("**/settings/**")


def test_a_palette_without_results_is_sound_too(open_page: Any) -> None:
    page = open_page("/teams/", CLAIRE)
    page.keyboard.press("Control+k")
    page.locator("#palette input").fill("qqqqqqq")
    page.get_by_text("Nothing found.").wait_for()
    page.keyboard.press("Enter")
    assert faults(page) == []


def test_the_palette_is_walked_with_arrows_and_closed_with_escape(open_page: Any) -> None:
    page = open_page("/teams/", CLAIRE)
    page.locator('[data-open="#palette"]').first.click()
    selected = page.locator('#pal-res [aria-selected="true"]')
    first = selected.get_attribute("id")
    page.keyboard.press("ArrowDown")
    assert selected.get_attribute("id") != first
    assert page.locator("#palette input").get_attribute("aria-activedescendant") == selected.get_attribute("id")
    page.keyboard.press("ArrowUp")
    assert selected.get_attribute("id") == first
    page.keyboard.press("Escape")
    assert not page.locator("#palette").is_visible()


def test_a_theme_is_changed_at_once_and_kept(open_page: Any) -> None:
    page = open_page("/teams/", CLAIRE)
    with page.expect_response("**/theme/") as answer:
        page.locator('.top [data-theme-set="dark"]').click()
    assert answer.value.status == 204
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.reload()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.locator('.top [data-theme-set="dark"]').get_attribute("aria-pressed") == "true"
    with page.expect_response("**/theme/"):
        page.locator('.top [data-theme-set="system"]').click()


def test_letters_lead_to_places(open_page: Any) -> None:
    page = open_page("/", CLAIRE)
    page.keyboard.press("g")
    page.keyboard.press("g")
    page.wait_for_url("**/teams/")
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#keys").is_visible()


def test_rows_are_walked_and_opened(open_page: Any) -> None:
    page = open_page("/teams/", CLAIRE)
    first = page.locator("[data-row] a").first.get_attribute("href")
    page.keyboard.press("j")
    assert page.locator("[data-cursor]").count() == 1
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{first}")


def test_a_failed_request_is_told_with_its_id(open_page: Any) -> None:
    page = open_page("/teams/", CLAIRE, refused="/palette/")
    page.route(
        "**/palette/**", lambda route: route.fulfill(status=500, headers={"x-request-id": "req_x"}, body="<h1>no")
    )
    page.keyboard.press("Control+k")
    page.locator("#palette input").fill("te")
    toast = page.locator("#toasts .toast.bad")
    toast.wait_for()
    assert "req_x" in toast.inner_text()
    assert "<h1>" not in page.locator("#pal-res").inner_html()
    page.keyboard.press("Escape")
    toast.get_by_label("Dismiss").click()
    assert toast.count() == 0


def test_a_lost_connection_is_told_until_it_is_back(open_page: Any) -> None:
    page = open_page("/teams/", CLAIRE)
    page.context.set_offline(True)
    page.get_by_text("Connection lost").wait_for()
    page.context.set_offline(False)
    page.get_by_text("Connection lost").wait_for(state="hidden")


def test_a_refused_request_says_which_role_it_needs(open_page: Any) -> None:
    page = open_page("/", BOB, refused="/settings/")
    page.evaluate("htmx.ajax('GET', '/settings/general/', {target: '#main'})")
    toast = page.locator("#toasts .toast.bad")
    toast.wait_for()
    assert "needs the role" in toast.inner_text()
    assert page.locator("h1").count() == 1


def test_letters_do_nothing_while_typing(open_page: Any) -> None:
    page = open_page("/accounts/login/")
    page.locator("#id_login").press_sequentially("gg?go")
    assert page.locator("#id_login").input_value() == "gg?go"
    assert page.url.endswith("/accounts/login/")


def test_the_phone_has_the_whole_menu(open_page: Any) -> None:
    page = open_page("/teams/", CLAIRE, width=NARROW)
    assert not page.locator(".side").is_visible()
    page.locator(".bottomnav").get_by_text("More").click()
    sheet = page.locator("#more")
    assert sheet.get_by_text("Settings").is_visible()
    assert sheet.get_by_text("Sign out").is_visible()
    sheet.get_by_label("Close").click()
    assert not sheet.is_visible()


def test_the_skip_link_is_the_first_stop(open_page: Any) -> None:
    page = open_page("/teams/", CLAIRE)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")


def test_a_password_can_be_shown(open_page: Any) -> None:
    page = open_page("/accounts/login/")
    field = page.locator("#id_password")
    page.get_by_label("Show password").click()
    assert field.get_attribute("type") == "text"
    page.get_by_label("Hide password").click()
    assert field.get_attribute("type") == "password"


def test_a_chart_is_read_with_the_arrows(open_page: Any) -> None:
    page = open_page("/styleguide/", CLAIRE)
    plot = page.locator("#charts .plot").first
    plot.focus()
    page.keyboard.press("Home")
    spoken = page.locator("#charts .sr[aria-live]").first
    assert spoken.inner_text().startswith("1 Nov:")
    page.keyboard.press("ArrowRight")
    assert spoken.inner_text().startswith("2 Nov:")


def test_the_fonts_are_ours(open_page: Any) -> None:
    page = open_page("/teams/", CLAIRE)
    assert page.evaluate("document.fonts.ready.then(() => document.fonts.check('14px \"Geist Variable\"'))")
    assert page.evaluate("[...document.fonts].some((f) => f.status === 'loaded' && f.family.includes('Geist'))")
