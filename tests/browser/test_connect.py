"""Connecting a provider in a browser: the lines come one by one as a key is pasted, and what axe says of the pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.chromium import NARROW, WIDE, faults, sideways
from tests.upstream import Upstream, refusing_url

CLAIRE = "claire@example.org"
KEY = "test-key-in-a-browser-0007"
KEYED = """
from tests.factories import make_model, make_provider
make_model(make_provider("Keyed", "vllm", base_url="{}", secret="{}"), "ok")
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        server.models = ["small-chat", "next-chat-preview", "text-embedding-small"]
        yield server


def drawer_of(page: Page, address: str) -> Locator:
    """The form of one kind, from its tile, with an address typed."""
    page.locator("#k-vllm").click()
    drawer = page.locator("#connect")
    drawer.get_by_label("Address").fill(address)
    return drawer


def paste(page: Page, drawer: Locator, key: str) -> None:
    """As from a password manager or another tab: the check begins by itself."""
    drawer.get_by_label("Secret key").focus()
    page.evaluate("text => document.execCommand('insertText', false, text)", key)
    drawer.get_by_label("Secret key").dispatch_event("paste")


def test_the_catalogue_is_searched_as_one_types(open_page: Any) -> None:
    page = open_page("/providers/add/", CLAIRE, width=NARROW, theme="dark")
    assert faults(page) == []
    assert sideways(page) == 0
    page.get_by_label("Search the catalogue").fill("ollama")
    page.locator("#k-openai").wait_for(state="detached")
    assert page.locator("#k-ollama").is_visible()


def test_a_pasted_key_is_checked_line_by_line_and_connected(open_page: Any, upstream: Upstream) -> None:
    page = open_page("/providers/add/", CLAIRE)
    drawer = drawer_of(page, upstream.base_url)
    drawer.get_by_label("Name").fill("Browser house")
    paste(page, drawer, f'"{KEY}"')
    expect(drawer.get_by_text("What stood around the key was left out")).to_be_visible()
    for words in (f"Reached 127.0.0.1:{upstream.port}", "Key accepted", "Streaming answer from small-chat"):
        expect(drawer.get_by_text(words)).to_be_visible()
    expect(drawer.get_by_text("3 of 3 priced")).to_be_visible()
    expect(drawer.get_by_role("heading", name="3 models found")).to_be_visible()
    assert drawer.get_by_label("small-chat").is_checked()
    assert not drawer.get_by_label("text-embedding-small").is_checked()
    assert faults(page) == []
    drawer.get_by_role("button", name="Select all").click()
    assert drawer.get_by_label("text-embedding-small").is_checked()
    asked = len(upstream.chats)
    drawer.get_by_label("Name").focus()  # leaving the field must not check the same key again
    drawer.get_by_role("button", name="Connect and enable").click()
    page.wait_for_url("**/providers/browser-house/")
    expect(page.get_by_text("Browser house connected, 3 models")).to_be_visible()
    assert len(upstream.chats) == asked, "it was checked once"
    assert KEY not in page.content()
    assert faults(page) == []


@pytest.mark.parametrize(
    ("behaviour", "cause", "remedy"),
    [
        ("401", "vLLM refused this key (401)", "Check that it belongs to this project and region"),
        ("404", "Nothing is found there (404)", "the region and the model"),
        ("", "No answer from 127.0.0.1", "Is vLLM running, and does this server reach it?"),
    ],
)
def test_a_failed_line_says_what_to_do(
    open_page: Any, upstream: Upstream, behaviour: str, cause: str, remedy: str
) -> None:
    upstream.behave(behaviour or None)
    page = open_page("/providers/add/", CLAIRE, width=NARROW, theme="dark")
    drawer = drawer_of(page, upstream.base_url if behaviour else refusing_url())
    drawer.get_by_label("Secret key").fill(KEY)
    drawer.get_by_label("Name").focus()
    line = drawer.locator(".checks li.bad")
    expect(line).to_contain_text(cause)
    expect(line).to_contain_text(remedy)
    assert drawer.locator(".spin").count() == 0
    assert faults(page) == []
    assert sideways(page) == 0
    upstream.behave(None)


def test_what_is_refused_keeps_what_was_typed(open_page: Any, upstream: Upstream) -> None:
    page = open_page("/providers/add/", CLAIRE, refused="/providers/add/vllm/")
    drawer = drawer_of(page, upstream.base_url)
    drawer.get_by_label("Name").fill("demo")
    drawer.get_by_label("Secret key").fill(KEY)
    drawer.get_by_role("button", name="Save, keep off").click()
    expect(drawer.locator("#refused .errors")).to_contain_text("“demo 2” is free")
    assert drawer.get_by_label("Name").get_attribute("aria-invalid") == "true"
    assert drawer.get_by_label("Secret key").input_value() == KEY
    assert faults(page) == []


def test_without_scripts_it_is_a_form_like_others(open_page: Any, upstream: Upstream) -> None:
    page = open_page("/providers/add/vllm/", CLAIRE, java_script_enabled=False)
    drawer = page.locator("#connect")
    drawer.get_by_label("Address").fill(upstream.base_url)
    drawer.get_by_label("Secret key").fill(KEY)
    drawer.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_text("Key accepted")).to_be_visible()
    assert page.get_by_label("small-chat").is_checked()


@pytest.mark.parametrize(("width", "theme"), [(WIDE, "dark"), (NARROW, "light")])
def test_the_tabs_of_a_provider(open_page: Any, width: int, theme: str) -> None:
    page = open_page("/providers/demo/", CLAIRE, width=width, theme=theme)
    for tab in ("", "Models", "Limits", "Credentials", "Activity"):
        if tab:
            page.get_by_role("navigation", name="Demo").get_by_role("link", name=tab).click()
            page.wait_for_url(f"**/providers/demo/{tab.lower()}/")
        assert faults(page) == [], tab
        assert sideways(page) == 0, tab


def test_a_key_is_rotated_in_the_drawer_and_the_provider_tried(open_page: Any, house: Any, upstream: Upstream) -> None:
    house.manage("shell", "-v0", "-c", KEYED.format(upstream.base_url, KEY))
    page = open_page("/providers/keyed/credentials/", CLAIRE, refused="/providers/keyed/")
    page.get_by_role("link", name="Rotate").click()
    drawer = page.locator("#key-form")
    upstream.behave("401")
    drawer.get_by_label("Secret key").fill("test-key-refused-0008")
    drawer.get_by_role("button", name="Check and rotate").click()
    expect(drawer.locator(".errors")).to_contain_text("refused this key (401)")
    assert faults(page) == []
    upstream.behave(None)
    drawer.get_by_label("Secret key").fill("test-key-fresh-0009")
    drawer.get_by_role("button", name="Check and rotate").click()
    expect(page.get_by_text("default (old)", exact=True)).to_be_visible()
    expect(page.get_by_text("…0009")).to_be_visible()
    page.get_by_role("button", name="Actions for default", exact=True).click()
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator("#last-check").get_by_text("Models and prices read")).to_be_visible()
    assert faults(page) == []

    page.get_by_role("navigation", name="Keyed").get_by_role("link", name="Overview").click()
    page.locator("#trial").get_by_role("button", name="Run the tests").click()
    expect(page.locator("#trial .checks li .num")).to_have_count(5)
    expect(page.locator("#trial .spin")).to_have_count(0)
    assert faults(page) == []
