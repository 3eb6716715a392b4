"""All providers in a browser: the table stays alive, the switch asks first, the keyboard works, and what axe says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.chromium import NARROW, WIDE, faults, sideways
from tests.house import House

CLAIRE = "claire@example.org"
# Nobody answers at these addresses: the background worker says the same of them as these checks do.
FLEET = """
from datetime import timedelta
from django.utils import timezone
from billing import hours
from billing.models import ProviderHour
from providers.models import HealthCheck, ModelAlias, Provider
from tests import factories
now = timezone.now()
for number in range(12):
    name = f"Server {number:02} with a long name"
    row = factories.make_provider(name, "vllm", base_url="http://127.0.0.1:9/v1", enabled=number < 3)
    HealthCheck.objects.bulk_create(
        HealthCheck(provider=row, at=now - timedelta(seconds=30 * n), ok=False, code="upstream_unreachable")
        for n in range(4)
    )
    tokens = [0] * 6 + [40] + [0] * (len(hours.BOUNDS) - 6)
    ProviderHour.objects.bulk_create(
        ProviderHour(provider_id=row.pk, hour=hours.hour_of(now) - n * hours.HOUR, attempts=40, failures=number * n,
                     first_tokens=tokens, amounts={"EUR": 12_500_000 * (12 - number)})
        for n in range(12)
    )
model = factories.make_model(Provider.objects.get(slug__startswith="server-01"), "m")
ModelAlias.objects.create(name="cellar", model=model)
"""
MOVED = """
from providers.models import Provider
Provider.objects.get(slug__startswith="server-02").rename("Moved server 02")
"""
GONE = """
from billing.models import ProviderHour
from providers.models import Provider
ProviderHour.objects.all().delete()
for row in Provider.objects.filter(kind="vllm"): row.delete()
"""


@pytest.fixture(scope="module", autouse=True)
def fleet(house: House) -> Iterator[None]:
    house.manage("shell", "-v0", "-c", FLEET)
    yield
    house.manage("shell", "-v0", "-c", GONE)


@pytest.mark.parametrize(("width", "theme"), [(WIDE, "light"), (NARROW, "dark")])
def test_axe_finds_nothing(open_page: Any, width: int, theme: str) -> None:
    page = open_page("/providers/", CLAIRE, width=width, theme=theme)
    assert faults(page) == []
    assert sideways(page) == 0


def test_the_list_is_searched_sorted_and_turned_over_in_place(open_page: Any) -> None:
    page = open_page("/providers/?sort=name", CLAIRE)
    rows = page.locator("#prov-table tbody tr")
    assert rows.count() == 10
    page.get_by_label("Next page").click()
    page.wait_for_url("**page=2*")
    page.get_by_text("Server 11 with a long name").wait_for()
    page.keyboard.press("/")
    page.keyboard.type("server 01")
    page.wait_for_url("**q=server*")
    page.get_by_text("Server 11 with a long name").wait_for(state="detached")
    assert rows.count() == 1
    assert page.evaluate("document.activeElement.name") == "q"


def test_the_table_follows_by_itself_and_says_how_old_it_is(open_page: Any, house: House) -> None:
    page = open_page("/providers/?q=server+02", CLAIRE)
    page.clock.install()
    page.reload()
    page.clock.run_for(4000)
    page.get_by_text("Updated 4 s ago").wait_for()
    house.manage("shell", "-v0", "-c", MOVED)
    page.clock.run_for(6000)
    page.get_by_text("Moved server 02").wait_for()  # nobody asked for it
    assert page.url.endswith("?q=server+02")


def test_the_switch_asks_first_where_something_is_in_use(open_page: Any) -> None:
    page = open_page("/providers/?q=server+01", CLAIRE)
    switch = page.get_by_role("switch")
    page.keyboard.press("j")
    page.keyboard.press("e")
    dialog = page.locator("#stop")
    dialog.get_by_role("heading", name="Turn Server 01 with a long name off?").wait_for()
    assert "cellar" in dialog.inner_text()
    assert "Nobody" in dialog.inner_text()
    assert faults(page) == []
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert switch.get_attribute("aria-checked") == "true"
    switch.click()
    dialog.get_by_role("button", name="Turn it off").click()
    page.get_by_text("Nobody calls it from now on.").wait_for()
    assert page.get_by_role("switch").get_attribute("aria-checked") == "false"
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("Server 01 with a long name is on.").wait_for()


def test_one_is_tested_and_disconnected_from_its_menu_and_comes_back(open_page: Any) -> None:
    page = open_page("/providers/?q=server+00", CLAIRE)
    page.get_by_role("button", name="Actions for Server 00 with a long name").click()
    assert faults(page) == []
    page.get_by_role("button", name="Test", exact=True).click()
    page.locator("#toasts").get_by_text("in a row failed: it could not be reached").wait_for()
    page.get_by_role("button", name="Actions for Server 00 with a long name").click()
    page.get_by_role("link", name="Disconnect").click()
    dialog = page.locator("#stop")
    dialog.get_by_text("Requests, costs and the audit keep its past.").wait_for()
    assert faults(page) == []
    dialog.get_by_role("button", name="Disconnect").click()
    page.get_by_text("Server 00 with a long name is disconnected.").wait_for()
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("Server 00 with a long name is back").wait_for()


def test_everything_is_posted_without_a_script_too(open_page: Any) -> None:
    page = open_page("/providers/?q=server+01", CLAIRE, java_script_enabled=False)
    page.get_by_role("switch").click()
    assert page.get_by_role("heading", name="Turn Server 01 with a long name off?").is_visible()
    assert page.get_by_role("button", name="Turn it off").is_visible()
    page.get_by_role("link", name="Cancel").click()
    assert page.url.endswith("/providers/?q=server+01")
    page.get_by_role("button", name="Check all").click()
    assert "Every provider is being checked." in page.content()


def test_a_tile_opens_the_drawer_of_its_kind(open_page: Any) -> None:
    page = open_page("/providers/", CLAIRE)
    page.locator(".tile", has_text="Groq").click()
    page.locator("#connect").get_by_role("heading", name="Connect Groq").wait_for()
