"""All models in a browser: narrowed and turned over in place, one changed in its drawer, and what axe says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import NARROW, WIDE, faults, sideways
from tests.house import House

CLAIRE, BOB = "claire@example.org", "bob@example.org"
MODELS = """
from datetime import timedelta
from decimal import Decimal
from django.utils import timezone
from billing.models import Price
from providers.models import ModelAlias
from tests import factories
provider = factories.make_provider("Lineup", "openai", secret="test-key-lineup")
for number in range(55):
    name = f"model-{number:02}-with-a-rather-long-name-of-its-vendor"
    model = factories.make_model(
        provider, name, context=8192 * (number + 1), capabilities=["tools", "vision"][: number % 3],
        stage="deprecated" if number == 3 else "stable", canonical=f"lineup-{number // 2}",
    )
    factories.make_price(model, f"{number + 1}.5", f"{number * 4 + 1}")
    if number == 3:
        for days, cost in ((300, "5"), (100, "3")):
            Price.objects.create(model=model, input_per_million=Decimal(cost), output_per_million=Decimal(12),
                                 valid_from=timezone.now() - timedelta(days=days), source="a list")
        ModelAlias.objects.create(name="lineup-third", model=model)
"""
GONE = """
from providers.models import Provider
Provider.objects.get(slug="lineup").delete()
"""
THIRD = "model-03-with-a-rather-long-name-of-its-vendor"


@pytest.fixture(scope="module", autouse=True)
def lineup(house: House) -> Iterator[None]:
    house.manage("shell", "-v0", "-c", MODELS)
    yield
    house.manage("shell", "-v0", "-c", GONE)


@pytest.mark.parametrize(
    ("path", "who", "width", "theme"),
    [
        ("/models/", CLAIRE, WIDE, "light"),
        ("/models/", BOB, WIDE, "dark"),
        ("/models/?provider=lineup", CLAIRE, NARROW, "dark"),
        ("/models/?view=matrix&provider=lineup", CLAIRE, NARROW, "light"),
        ("/models/?q=nothing-like-it", CLAIRE, 320, "light"),
    ],
)
def test_axe_finds_nothing(open_page: Any, path: str, who: str, width: int, theme: str) -> None:
    page = open_page(path, who, width=width, theme=theme)
    assert faults(page) == []
    assert sideways(page) == 0


def test_the_list_is_narrowed_and_turned_over_in_place(open_page: Any) -> None:
    page = open_page("/models/?provider=lineup", CLAIRE)
    rows = page.locator("#model-table tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Next", exact=True).click()
    page.wait_for_url("**after=*")
    expect(rows).to_have_count(5)
    page.get_by_role("link", name="First page").click()
    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Vision").click()
    page.wait_for_url("**can=vision*")
    expect(rows).to_have_count(18)
    expect(page.get_by_role("link", name="Vision")).to_have_attribute("aria-current", "true")
    page.get_by_label("Stage").select_option("all")
    page.wait_for_url("**state=all*")
    page.keyboard.press("/")
    page.keyboard.type("model-05")
    page.wait_for_url("**q=model-05*")
    expect(rows).to_have_count(1)
    assert page.evaluate("document.activeElement.name") == "q"


def test_two_are_compared(open_page: Any) -> None:
    page = open_page("/models/?provider=lineup", CLAIRE)
    boxes = page.locator("#model-table tbody").get_by_role("checkbox")
    boxes.nth(0).check()
    boxes.nth(1).check()
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", name="Compared")).to_be_visible()
    expect(page.locator("#model-table thead a.name")).to_have_count(2)
    assert faults(page) == []


@pytest.mark.parametrize(("width", "theme"), [(WIDE, "light"), (NARROW, "dark")])
def test_one_is_opened_and_changed_in_its_drawer(open_page: Any, width: int, theme: str) -> None:
    page = open_page("/models/?q=model-03", CLAIRE, width=width, theme=theme, refused="/models/")
    page.locator("#model-table a.name").click()
    drawer = page.locator("#model")
    expect(drawer.get_by_role("heading", name=THIRD)).to_be_visible()
    expect(drawer.get_by_text("lineup-third")).to_be_visible()
    assert faults(page) == []
    plot = drawer.locator(".plot")
    plot.focus()
    page.keyboard.press("Home")
    expect(drawer.locator(".chart .sr")).to_contain_text("Output")  # a chart that came later is read too
    drawer.get_by_text("Set a price by hand").click()
    drawer.get_by_role("button", name="Set this price").click()
    expect(drawer.locator(".errors")).to_contain_text("2 things to fix")
    assert faults(page) == []
    drawer.get_by_label("Input", exact=True).fill("7.25")
    drawer.get_by_label("Output", exact=True).fill("14")
    drawer.get_by_role("button", name="Set this price").click()
    expect(page.locator("#toasts")).to_contain_text("has its new price.")
    expect(page.locator("#model-table tbody")).to_contain_text("$7.25")  # the row behind follows
    drawer.get_by_role("checkbox", name="Only as fallback").check()
    expect(page.locator("#toasts")).to_contain_text("is only a fallback now.")
    expect(drawer.get_by_role("checkbox", name="Only as fallback")).to_be_checked()
    drawer.get_by_role("checkbox", name="Only as fallback").uncheck()
    expect(page.locator("#toasts")).to_contain_text("is offered everywhere.")
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    assert page.url.endswith("/models/?q=model-03")


def test_it_works_without_a_script_too(open_page: Any) -> None:
    page = open_page("/models/?q=model-05", CLAIRE, java_script_enabled=False)
    page.locator("#model-table a.name").click()
    assert page.get_by_role("heading", level=1).inner_text().startswith("model-05")
    page.get_by_text("Name", exact=True).click()
    page.get_by_label("Another name").fill("lineup-fifth")
    page.get_by_role("button", name="Add the name").click()
    assert "“lineup-fifth” means lineup:model-05" in page.content()
