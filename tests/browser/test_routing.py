"""The table of the routes in a browser: a request is tried in place, and the page fits a phone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.chromium import NARROW, WIDE, faults, sideways
from tests.house import House

CLAIRE = "claire@example.org"
ROUTES = """
from routing.models import Route, Tier, UseCase
from tests import factories
UseCase.objects.all().delete(); Tier.objects.all().delete()
tiers = [Tier.objects.create(slug=s, name=n, most_nano=m, position=p) for p, (s, n, m) in enumerate([
    ("ultra_economy", "Ultra economy", 100_000), ("economy", "Economy", 1_000_000),
    ("standard", "Standard", 10_000_000), ("premium", "Premium", 50_000_000),
    ("enterprise", "Enterprise", 500_000_000)])]
quick = factories.make_provider("Quick house", "vllm", base_url="http://127.0.0.1:9/v1")
slow = factories.make_provider("Thorough house", "vllm", base_url="http://127.0.0.1:9/v1")
factories.make_price(factories.make_model(quick, "small", name="Small 4", listed=True), "0.1", "0.3")
factories.make_price(factories.make_model(slow, "large", name="Large with a long name 3", listed=True), "2", "6")
names = ["Classification", "Conversation", "Code generation", "Summarisation", "Analysis", "Web research"]
for number, name in enumerate(names):
    case = UseCase.objects.create(slug=name.lower().replace(" ", "_"), name=name, tier="standard", position=number)
    small, large = "quick-house:small", "thorough-house:large"
    Route.objects.create(name=case.slug, use_case=case, position=9, chain={
        "first": {"target": small if number % 2 else "qwen:qwen-flash"},
        "fallbacks": [{"target": large}]})
    if number < 3:
        Route.objects.create(name=f"{case.slug}/standard", use_case=case, tier=tiers[2],
            when={"attribute": "input_tokens", "operator": "at_most", "value": 32000},
            chain={"first": {"split": [{"target": small, "weight": 80}, {"target": large, "weight": 20}]},
                   "fallbacks": [{"target": "gemini:gemini-3.8-flash", "on": ["429", "timeout"]}], "attempts": 3})
"""
GONE = """
from routing.models import Tier, UseCase
from providers.models import Provider
UseCase.objects.all().delete(); Tier.objects.all().delete()
for row in Provider.objects.filter(kind="vllm"): row.delete()
"""


@pytest.fixture(scope="module", autouse=True)
def routes(house: House) -> Iterator[None]:
    house.manage("shell", "-v0", "-c", ROUTES)
    yield
    house.manage("shell", "-v0", "-c", GONE)


@pytest.mark.parametrize(("width", "theme"), [(WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (NARROW, "dark")])
def test_axe_finds_nothing(open_page: Any, width: int, theme: str) -> None:
    page = open_page("/routing/?cell=conversation/standard", CLAIRE, width=width, theme=theme)
    page.get_by_role("heading", name="Conversation, Standard").wait_for()
    assert faults(page) == []
    assert sideways(page) == 0


def test_a_request_is_tried_in_place(open_page: Any) -> None:
    page = open_page("/routing/", CLAIRE)
    page.get_by_label("Use case", exact=True).select_option("code_generation")
    page.get_by_label("Message").fill("Say hello.")
    page.get_by_label("Pretend").select_option("quick-house")
    page.get_by_role("button", name="Try", exact=True).click()
    page.get_by_text("Would be answered by").wait_for()
    assert page.locator("#sim").get_by_text("Large with a long name 3 answers").count() == 1
    assert page.get_by_label("Message").input_value() == "Say hello."
    assert page.url.endswith("/routing/")
    assert faults(page) == []
