"""API keys in a browser: made, copied once, used, rotated and ended; and what axe says at every size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.chromium import NARROW, WIDE, faults, sideways
from tests.house import House

CLAIRE, BOB = "claire@example.org", "bob@example.org"
KEYS = """
from datetime import timedelta
from django.utils import timezone
from billing.models import Team
from routing.keys import create_key, set_budget
team, now = Team.objects.get(slug="research"), timezone.now()
for number in range(3):
    key, _ = create_key(f"listed-{number}-with-a-rather-long-name-of-its-own", team=team,
                        expires_at=now + timedelta(days=3) if number == 1 else None)
    if number != 2:
        set_budget(key, 120 * 10**9)
"""
GONE = """
from routing.models import ApiKey
ApiKey.objects.all().delete()
"""


@pytest.fixture(scope="module", autouse=True)
def keys(house: House) -> Iterator[None]:
    house.manage("shell", "-v0", "-c", KEYS)
    yield
    house.manage("shell", "-v0", "-c", GONE)


@pytest.mark.parametrize(
    ("path", "who", "width", "theme"),
    [
        ("/keys/", CLAIRE, WIDE, "light"),
        ("/keys/", CLAIRE, NARROW, "dark"),
        ("/keys/", BOB, WIDE, "dark"),
        ("/keys/?state=ended&q=nothing-like-it", CLAIRE, 320, "light"),
    ],
)
def test_axe_finds_nothing(open_page: Any, path: str, who: str, width: int, theme: str) -> None:
    page = open_page(path, who, width=width, theme=theme)
    assert faults(page) == []
    assert sideways(page) == 0


def test_a_phone_shows_name_what_was_spent_and_state(open_page: Any) -> None:
    page = open_page("/keys/?q=listed-1", CLAIRE, width=NARROW)
    row = page.locator("#key-table tbody tr")
    expect(row).to_have_count(1)
    shown = [each for each in row.locator("td").all() if each.is_visible()]
    assert len(shown) == 2
    assert "of $120" in shown[0].inner_text()
    assert "days left" in shown[1].inner_text()


def test_the_list_is_narrowed_in_place(open_page: Any) -> None:
    page = open_page("/keys/", CLAIRE)
    page.locator("main").get_by_role("link", name="Needs attention").click()
    page.wait_for_url("**state=attention")
    expect(page.locator("#key-table tbody tr")).to_have_count(1)
    expect(page.locator("main").get_by_role("link", name="Needs attention")).to_have_attribute("aria-current", "true")
    page.keyboard.press("/")
    page.keyboard.type("nothing-like-it")
    expect(page.get_by_role("heading", name="No key is like this")).to_be_visible()


@pytest.mark.parametrize(("width", "theme"), [(WIDE, "light"), (NARROW, "dark")])
def test_a_key_is_made_copied_and_used(open_page: Any, house: House, width: int, theme: str) -> None:
    name = f"made-{width}"
    page = open_page("/keys/", CLAIRE, width=width, theme=theme, refused="/keys/new/")
    page.keyboard.press("n")
    drawer = page.locator("#key-form")
    drawer.get_by_text("Only these").click()
    drawer.get_by_label("Find a route or a model").fill("expert")
    expect(drawer.locator("#picks label:visible")).to_have_count(1)
    assert faults(page) == []
    drawer.get_by_label("Requests at once").fill("4")
    drawer.get_by_role("button", name="Create key").click()
    expect(drawer.locator(".errors")).to_contain_text("2 things to fix")
    expect(drawer.get_by_label("Requests at once")).to_have_value("4")
    assert faults(page) == []
    drawer.get_by_text("Any route and model").click()
    drawer.get_by_role("textbox", name="Name", exact=True).fill(name)
    drawer.get_by_role("button", name="Create key").click()

    dialog = page.locator("#secret")
    expect(dialog.get_by_role("heading", name=f"Copy the key {name}")).to_be_visible()
    expect(drawer).to_be_hidden()
    assert faults(page) == []
    done = dialog.get_by_role("button", name="I have copied it")
    expect(done).to_be_disabled()
    for _ in range(3):
        page.keyboard.press("Escape")
    page.mouse.click(5, 5)
    expect(dialog).to_be_visible()
    secret = dialog.locator("#key-secret").inner_text()
    assert secret in dialog.locator("#key-curl").inner_text()
    expect(dialog.get_by_text("Waiting for the first request")).to_be_visible()
    answer = httpx.get(f"{house.url}/v1/models", headers={"authorization": f"Bearer {secret}"}, timeout=20)
    assert answer.status_code == 200
    expect(dialog.get_by_text("The first request came")).to_be_visible()
    assert faults(page) == []
    box = dialog.get_by_label("I stored it in a safe place")
    box.check()
    expect(done).to_be_enabled()
    box.uncheck()
    expect(done).to_be_disabled()
    box.check()
    done.click()
    page.wait_for_url("**/keys/")
    expect(page.get_by_role("link", name=name)).to_be_visible()
    assert secret not in page.content()


def test_copying_is_enough_too(open_page: Any) -> None:
    page = open_page("/keys/new/", CLAIRE, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("textbox", name="Name", exact=True).fill("copied")
    page.locator("#key-form").get_by_role("button", name="Create key").click()
    dialog = page.locator("#secret")
    dialog.get_by_role("button", name="Copy", exact=True).first.click()
    expect(dialog.get_by_role("button", name="I have copied it")).to_be_enabled()
    assert page.evaluate("navigator.clipboard.readText()") == dialog.locator("#key-secret").inner_text()


@pytest.mark.parametrize(("width", "theme"), [(WIDE, "dark"), (NARROW, "light")])
def test_one_is_changed_rotated_and_ended(open_page: Any, width: int, theme: str) -> None:
    page = open_page("/keys/?q=listed-2" if width == WIDE else "/keys/?q=listed-0", CLAIRE, width=width, theme=theme)
    page.locator("#key-table .name a").click()
    page.wait_for_url("**/keys/*/")
    assert faults(page) == []
    assert sideways(page) == 0
    page.get_by_role("link", name="Change").click()
    drawer = page.locator("#key-form")
    drawer.get_by_label("Requests a minute").fill("60")
    drawer.get_by_role("radio", name="Other date").check()
    drawer.get_by_label("Last day").fill("2090-01-31")
    assert faults(page) == []
    drawer.get_by_role("button", name="Save the key").click()
    expect(page.locator("#toasts")).to_contain_text("is saved")
    expect(page.get_by_text("31 Jan 2090")).to_be_visible()
    page.get_by_role("link", name="Rotate").click()
    asked = page.locator("#key-dialog")
    asked.get_by_text("7 days").click()
    assert faults(page) == []
    asked.get_by_role("button", name="Rotate the key").click()
    dialog = page.locator("#secret")
    expect(dialog.get_by_text("The old secret works until")).to_be_visible()
    dialog.get_by_label("I stored it in a safe place").check()
    dialog.get_by_role("button", name="I have copied it").click()
    page.get_by_role("button", name="End the old one now").click()
    expect(page.locator("#toasts")).to_contain_text("The old secret is ended.")
    page.get_by_role("link", name="Revoke").click()
    expect(asked.get_by_text("This cannot be undone")).to_be_visible()
    assert faults(page) == []
    asked.get_by_role("button", name="Revoke the key").click()
    expect(page.get_by_text("This key is revoked")).to_be_visible()
    assert faults(page) == []


def test_it_works_without_a_script_too(open_page: Any) -> None:
    page = open_page("/keys/", CLAIRE, java_script_enabled=False)
    page.get_by_role("link", name="Create key").click()
    page.get_by_role("textbox", name="Name", exact=True).fill("by-hand")
    page.locator("#key-form").get_by_role("button", name="Create key").click()
    assert page.locator("#key-secret").inner_text().startswith("rh_")
    page.get_by_role("button", name="I have copied it").click()
    page.get_by_role("link", name="by-hand").click()
    page.get_by_role("link", name="Revoke").click()
    page.get_by_role("button", name="Revoke the key").click()
    assert "This key is revoked" in page.content()
