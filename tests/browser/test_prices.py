"""Price changes in a browser: what axe says of them, and one that is accepted."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import NARROW, WIDE, faults, sideways
from tests.house import House

CLAIRE = "claire@example.org"
CHANGES = """
from decimal import Decimal
from billing.models import PriceProposal
from billing.prices import Listed
from tests import factories
provider = factories.make_provider("OpenAI", "openai", secret="test-key-of-openai")
night = {"from": "16:30", "to": "00:30", "input": "0.0375"}
long = {"above": 200000, "input": "4", "output": "15"}
for name, more in (("alpha", {"tiers": (long,)}), ("beta", {"windows": (night,)})):
    model = factories.make_model(provider, name)
    factories.make_price(model)
    listed = Listed("USD", Decimal("0.075"), Decimal(12), source="genai-prices 0.2.3", **more)
    PriceProposal.objects.create(model=model, values=listed.values(), source=listed.source)
factories.make_model(provider, "gamma")
"""


@pytest.fixture(scope="module")
def changes(house: House) -> None:
    house.manage("shell", "-v0", "-c", CHANGES)


@pytest.mark.parametrize(("width", "theme"), [(WIDE, "light"), (NARROW, "dark"), (320, "light")])
def test_axe_finds_nothing(changes: None, open_page: Any, width: int, theme: str) -> None:
    page = open_page("/models/prices/", CLAIRE, width=width, theme=theme)
    assert faults(page) == []
    assert sideways(page) == 0


def test_a_change_is_accepted(changes: None, open_page: Any) -> None:
    page = open_page("/models/prices/", CLAIRE)
    alpha = page.get_by_role("group", name="alpha")
    expect(alpha).to_contain_text("$0.075")
    alpha.get_by_role("button", name="Accept").click()
    expect(page.get_by_text("openai:alpha has its new price.")).to_be_visible()
    expect(page.get_by_role("group", name=re.compile("^(alpha|beta)$"))).to_have_count(1)


def test_what_was_accepted_is_taken_back(changes: None, open_page: Any) -> None:
    page = open_page("/models/prices/", CLAIRE, width=NARROW)
    beta = page.get_by_role("group", name="beta")
    beta.get_by_role("button", name="Accept").click()
    toast = page.locator("#toasts")
    expect(toast).to_contain_text("openai:beta has its new price.")
    assert faults(page) == []
    toast.get_by_role("button", name="Undo").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#toasts")).to_contain_text("openai:beta has its former price again.")
    expect(beta.get_by_role("button", name="Accept")).to_be_visible()
