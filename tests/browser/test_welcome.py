"""The first minute: from the printed link to the playground, in a house of its own."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.chromium import NARROW, WIDE, Browser, faults, sideways
from tests.house import House


@pytest.fixture(scope="module")
def unclaimed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("unclaimed")) as served:
        yield served


@pytest.fixture
def visit(unclaimed: House, browser: Browser) -> Iterator[Any]:
    with browser.visits(unclaimed.url) as visits:
        yield visits.open


def _printed_path(house: House) -> str:
    deadline = time.monotonic() + 10
    while True:
        found = re.search(r"Open http://\S+?(/welcome/[\w-]+/)", house.log.read_text())
        if found:
            return found[1]
        assert time.monotonic() < deadline, house.log.read_text()
        time.sleep(0.05)


def test_from_the_printed_link_to_the_playground(unclaimed: House, visit: Any) -> None:
    path = _printed_path(unclaimed)
    assert "Nobody owns this gateway yet" in visit("/").content()
    for width, theme in ((WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (320, "dark")):
        page = visit(path, width=width, theme=theme, locale="en-GB", timezone_id="Europe/Paris")
        assert faults(page) == []
        assert sideways(page) == 0

    page = visit(path, locale="en-US", timezone_id="Europe/Paris")
    page.locator('[data-says="time_zone"]', has_text="Europe/Paris").wait_for()
    assert page.locator('[data-says="currency"]').inner_text() == "EUR"
    assert page.evaluate("document.activeElement.name") == "name"
    page.keyboard.type("Claire Lambert")
    page.keyboard.press("Tab")
    page.keyboard.type("claire@atelier-nord.example")
    assert page.locator('[data-says="organisation"]').inner_text() == "Atelier Nord"
    page.keyboard.press("Tab")
    page.keyboard.type("1234567890")
    page.get_by_text("Too common").wait_for()
    page.locator("[name=password]").fill("correct horse battery")
    page.get_by_text("21 characters, not a common password").wait_for()
    page.get_by_role("button", name="Show password").click()
    assert page.locator("[name=password]").get_attribute("type") == "text"
    assert faults(page) == []
    page.locator("[name=password]").press("Enter")
    page.wait_for_url("**/play/**")
    assert "correct horse" not in unclaimed.log.read_text()

    assert "This link was used" in visit(path).content()
    assert "Sign in to Atelier Nord" in visit("/").content()
