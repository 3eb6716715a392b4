"""The requests in a browser: a range chosen with keys, a drag and by typing, rows that follow, one in its drawer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import NARROW, WIDE, faults, sideways
from tests.house import House

CLAIRE, BOB = "claire@example.org", "bob@example.org"
REQUESTS = """
from datetime import timedelta
from django.utils import timezone
from billing.models import Request
from console.models import User
from tests import factories
provider = factories.make_provider("Passing", "openai", secret="test-key-passing")
for name in ("large", "small"):
    factories.make_price(factories.make_model(provider, name, name=f"{name.capitalize()} with a rather long name"))
bob = User.objects.get(email="bob@example.org")
now = timezone.now()
for n in range(70):
    asked = factories.make_request(now - timedelta(minutes=3 * n), provider="passing", model="small",
                                   user=bob if n == 5 else None, first_token_ms=300, duration_ms=1500, queued_ms=5)
    factories.make_attempt(asked, provider="passing", model="small", duration_ms=1490)
    factories.make_entry(asked, provider="passing", model="small")
moved = factories.make_request(now + timedelta(seconds=1), provider="passing", model="small", attempts=2, queued_ms=6,
                               first_token_ms=8386, duration_ms=9906, id="",
                               decision={"reason": "ROUTE chat/standard: first of the route", "candidates": [
                                   {"model": "passing:large", "usable": True, "verdict": "first of the route"},
                                   {"model": "passing:small", "usable": True, "verdict": "fallback"}]})
factories.make_attempt(moved, 1, provider="passing", model="large", status="failed", billed="voided",
                       error_code="upstream_timeout", upstream_status=504, duration_ms=8000)
factories.make_attempt(moved, 2, provider="passing", model="small", duration_ms=1900)
factories.make_entry(moved, 2)
factories.make_request(now - timedelta(minutes=1), status="failed", attempts=1)
print(moved.id)
"""
ANOTHER = """
from tests import factories
factories.make_request(provider="passing", model="small")
"""
GONE = """
from billing import append_only
from billing.models import Attempt, LedgerEntry, Request
from django.db import connection
from providers.models import Provider
append_only.lift(connection)
for model in (Request, Attempt, LedgerEntry):
    model.objects.all().delete()
append_only.protect(connection)
Provider.objects.get(slug="passing").delete()
"""


@pytest.fixture(scope="module", autouse=True)
def moved(house: House) -> Iterator[str]:
    yield house.manage("shell", "-v0", "-c", REQUESTS).split()[-1]
    house.manage("shell", "-v0", "-c", GONE)


@pytest.mark.parametrize(
    ("path", "who", "width", "theme"),
    [
        ("/requests/", CLAIRE, WIDE, "light"),
        ("/requests/", CLAIRE, NARROW, "dark"),
        ("/requests/?provider=passing&outcome=failed", BOB, WIDE, "dark"),
        ("/requests/?q=nothing-like-it", CLAIRE, 320, "light"),
    ],
)
def test_axe_finds_nothing(open_page: Any, path: str, who: str, width: int, theme: str) -> None:
    page = open_page(path, who, width=width, theme=theme)
    assert faults(page) == []
    assert sideways(page) == 0


@pytest.mark.parametrize(("width", "theme"), [(WIDE, "light"), (NARROW, "dark")])
def test_one_is_read_in_its_drawer_and_then_the_next(open_page: Any, moved: str, width: int, theme: str) -> None:
    page = open_page("/requests/?outcome=rerouted", CLAIRE, width=width, theme=theme)
    page.locator(f"#{moved} a").click()
    drawer = page.locator("#req")
    expect(drawer.get_by_text("failed: it did not answer in time.")).to_be_visible()
    assert faults(page) == []
    assert sideways(page) == 0
    expect(page.locator(f"#{moved}")).to_have_attribute("aria-selected", "true")
    drawer.get_by_role("link", name="Input and output").click()
    expect(drawer.get_by_text("Content was not kept (team setting)")).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    page.get_by_role("link", name="Rerouted").click()
    page.wait_for_url(re.compile(r"/requests/$"))
    page.locator("#req-rows tr[data-row] a").first.click()
    expect(drawer.locator("[data-of]")).to_be_visible()
    first = drawer.locator("[data-of]").get_attribute("data-of")
    drawer.get_by_role("button", name="Older request").click()
    expect(drawer.locator(f'[data-of="{first}"]')).to_have_count(0)


def test_a_range_is_chosen_with_keys_a_drag_or_by_typing(open_page: Any) -> None:
    page = open_page("/requests/", CLAIRE)
    low, high = page.get_by_role("slider", name="Beginning of the range"), page.get_by_role("slider", name="End")
    high.focus()
    page.keyboard.press("PageDown")
    page.wait_for_url("**until=*")
    assert high.get_attribute("aria-valuenow") == "44"
    assert page.locator("#until").input_value().endswith(high.get_attribute("aria-valuetext"))
    low.focus()
    page.keyboard.press("End")
    page.wait_for_url("**since=*")
    assert low.get_attribute("aria-valuenow") == "43"  # it never passes the other one
    expect(page.locator("#req-rows tr[data-row]")).to_have_count(10)
    assert faults(page) == []
    box = page.locator("#req-bars .plot").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 10.5 / 48, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 20.5 / 48, box["y"] + 30)
    page.mouse.up()
    expect(low).to_have_attribute("aria-valuenow", "10")
    expect(high).to_have_attribute("aria-valuenow", "21")
    expect(page.get_by_text("Nothing fits")).to_be_visible()
    page.get_by_role("link", name="Clear").click()
    page.wait_for_url(re.compile(r"/requests/$"))
    expect(low).to_have_attribute("aria-valuenow", "0")
    page.locator("#since").fill("2020-01-01T10:00")
    page.locator("#since").dispatch_event("change")
    page.wait_for_url("**since=2020-01-01T10%3A00*")
    expect(page.locator("#req-rows tr[data-row]")).to_have_count(50)


def test_the_list_is_narrowed_and_goes_on_in_place(open_page: Any) -> None:
    page = open_page("/requests/", CLAIRE)
    rows = page.locator("#req-rows tr[data-row]")
    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Older", exact=True).click()
    expect(rows).to_have_count(72)
    expect(page.locator("#req-foot")).to_contain_text("There are no older ones")
    page.get_by_role("link", name="Failed", exact=True).click()
    page.wait_for_url("**outcome=failed*")
    expect(rows).to_have_count(1)
    page.get_by_role("button", name="Filter").click()
    page.get_by_label("Provider", exact=True).select_option("passing")
    page.locator("#req-more").get_by_role("button", name="Filter").click()
    page.wait_for_url("**provider=passing*")
    assert "outcome=failed" in page.url
    assert "model=" not in page.url
    page.get_by_role("link", name="provider passing").click()
    page.wait_for_url(re.compile(r"outcome=failed$"))
    page.keyboard.press("/")
    page.keyboard.type("req_")
    page.wait_for_url("**q=req_*")
    assert page.evaluate("document.activeElement.name") == "q"


def test_new_ones_are_announced_and_shown_on_a_click(open_page: Any, house: House) -> None:
    page = open_page("/requests/?provider=passing", CLAIRE)
    top = page.locator("#req-rows tr[data-row]").first
    before = top.get_attribute("id")
    house.manage("shell", "-v0", "-c", ANOTHER)
    page.evaluate("htmx.trigger(document.body, 'req-tick')")  # as every 15 seconds
    fresh = page.get_by_role("link", name="1 new request")
    expect(fresh).to_be_visible()
    assert top.get_attribute("id") == before
    assert faults(page) == []
    fresh.click()
    expect(fresh).to_have_count(0)
    expect(page.locator(f"#{before}")).to_be_visible()
    assert top.get_attribute("id") != before


def test_it_works_without_a_script_too(open_page: Any, moved: str) -> None:
    page = open_page("/requests/?outcome=rerouted", CLAIRE, java_script_enabled=False)
    page.locator(f"#{moved} a").click()
    assert page.get_by_role("heading", level=1).inner_text().startswith("Answered by Small")
    page = open_page("/requests/", CLAIRE, java_script_enabled=False)
    page.locator("#q").fill(moved)
    page.locator("#q").press("Enter")
    page.wait_for_url(f"**q={moved}")
    assert page.locator("#req-rows tr[data-row]").count() == 1
    page = open_page(f"/requests/{moved}/", BOB)
    assert page.get_by_role("heading", level=1).inner_text() == "There is nothing at this address"
