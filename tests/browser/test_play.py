"""The playground as a person meets it: asked, streamed, reloaded in the middle, stopped, asked differently."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import NARROW, WIDE, Browser, faults, sideways
from tests.house import House

CLAIRE = "claire@example.org"
LONGEST = 30_000  # milliseconds for an answer
AT_ONCE = "demo:relay-1-mini"
TEXT = """
from console.models import Message
print(repr(Message.objects.get(pk={pk}).text))
"""


@pytest.fixture
def new_house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path) as served:
        yield served


def words_of(text: str) -> list[str]:
    return re.findall(r"[^\W_]{4,}", text)


def ask(page: Any, text: str, model: str = AT_ONCE) -> Any:
    """The article that answers, while it is being written or just after."""
    before = page.locator("article").count()
    page.locator("#model").select_option(model)
    page.locator("#say").fill(text)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/play/\d+/"))
    expect(page.locator("article")).to_have_count(before + 1)
    return page.locator("article").last


def finished(article: Any) -> Any:
    expect(article).not_to_have_attribute("aria-busy", "true", timeout=LONGEST)
    return article


def test_from_the_printed_link_to_a_whole_answer_across_a_reload(new_house: House, browser: Browser) -> None:
    link = re.search(r"/welcome/\S+", new_house.log.read_text())
    assert link is not None, new_house.log.read_text()
    with browser.visits(new_house.url) as visits:
        page = visits.open(link[0])
        page.locator("[name=name]").fill("Claire Lambert")
        page.locator("[name=email]").fill("claire@example.org")
        page.locator("[name=password]").fill("a quiet signal box")
        page.get_by_role("button", name="Open the playground").click()
        page.wait_for_url("**/play/")
        assert page.locator("#model").input_value() == "demo:relay-1"
        assert "oak bench" in page.locator("#say").input_value()
        page.locator("#say").press("Enter")
        page.wait_for_url(re.compile(r"/play/\d+/"))
        article = page.locator("article")
        expect(article.locator(".prose")).to_have_text(re.compile(r".{60}", re.DOTALL))
        page.reload()
        assert article.get_attribute("aria-busy") == "true"
        finished(article)
        expect(page.locator("#said")).to_have_text(re.compile(r"Answer finished, \d+ words"))
        stored = new_house.manage("shell", "-v0", "-c", TEXT.format(pk=(article.get_attribute("id") or "")[2:]))
        text = ast.literal_eval(stored.strip().splitlines()[-1])
        assert len(text) > 100
        assert words_of(article.locator(".prose").inner_text()) == words_of(text)
        expect(article.locator('[data-s="cost"]')).to_have_text("free")


def test_escape_stops_and_try_again_goes_on(open_page: Any) -> None:
    page = open_page("/play/", CLAIRE)
    article = ask(page, "Tell me about signal boxes", "demo:fault-slow-stream")
    expect(article.locator(".tail")).not_to_be_empty()
    page.keyboard.press("Escape")
    expect(article.locator(".badge")).to_have_text("Stopped")
    failed = finished(ask(page, "Fail once", "demo:fault-503"))
    expect(failed.get_by_role("button", name="Try again")).to_be_visible(timeout=LONGEST)
    page.locator("#model").select_option(AT_ONCE)
    failed.get_by_role("button", name="Try again").click()
    again = page.locator("article").last
    expect(again.locator(".siblings")).to_contain_text("2 of 2")
    finished(again)
    expect(again.locator(".banner")).to_have_count(0)


def test_an_edited_question_is_a_branch_and_nothing_is_lost(open_page: Any) -> None:
    page = open_page("/play/", CLAIRE)
    finished(ask(page, "The first wording"))
    page.locator("#say").press("ArrowUp")
    box = page.locator("details.edit[open] textarea")
    expect(box).to_be_focused()
    box.fill("The second wording")
    box.press("Enter")
    expect(page.locator(".msg-user")).to_have_text(["The second wording"])
    finished(page.locator("article"))
    expect(page.locator(".under .siblings")).to_contain_text("2 of 2")
    page.get_by_label("Earlier version of this question").click()
    expect(page.locator(".msg-user")).to_have_text(["The first wording"])


def test_a_second_tab_shows_the_same(open_page: Any) -> None:
    page = open_page("/play/", CLAIRE)
    finished(ask(page, "Hello"))
    other = open_page(page.url.partition("/play/")[1] + page.url.partition("/play/")[2], CLAIRE)
    ask(page, "Once more, at length", "demo:relay-1")
    expect(other.locator(".msg-user").last).to_have_text("Once more, at length")
    mine, theirs = finished(page.locator("article").last), finished(other.locator("article").last)
    assert mine.locator(".prose").inner_html() == theirs.locator(".prose").inner_html()


def test_a_draft_survives_a_reload(open_page: Any) -> None:
    page = open_page("/play/", CLAIRE)
    page.locator("#say").fill("A thought for later")
    page.reload()
    expect(page.locator("#say")).to_have_value("A thought for later")
    finished(ask(page, "Hello"))
    expect(page.locator("#say")).to_have_value("")
    with page.expect_response("**/draft/"):
        page.locator("#say").press_sequentially("Half a sentence")
    page.reload()
    expect(page.locator("#say")).to_have_value("Half a sentence")


def test_why_this_model_is_told(open_page: Any) -> None:
    page = open_page("/play/", CLAIRE)
    article = finished(ask(page, "Hello"))
    button = article.get_by_role("button", name="Why this model")
    for _ in range(20):  # the journal is loaded into the database a moment after the answer
        with page.expect_response("**/why/**"):
            button.click()
        if page.locator(".why .trace").count():
            break
        page.keyboard.press("Escape")
    expect(page.locator(".why .trace")).to_contain_text("Named in the request")
    expect(page.locator(".why .trace")).to_contain_text("Relay 1 mini answered")


def test_the_view_stays_where_the_reader_is(open_page: Any) -> None:
    page = open_page("/play/", CLAIRE)
    finished(ask(page, "Write a long explanation of everything, with code"))
    finished(ask(page, "Longer, please"))
    ask(page, "And another one", "demo:relay-1")
    scroll = page.locator(".scroll")
    scroll.hover()
    page.mouse.wheel(0, -4000)
    expect(page.locator("#jump")).to_be_visible()
    assert scroll.evaluate("it => it.scrollTop") == 0
    page.locator("#jump").click()
    expect(page.locator("#jump")).to_be_hidden()
    page.keyboard.press("Escape")
    finished(page.locator("article").last)


def test_rooms_stand_behind_the_menu_on_a_phone(open_page: Any) -> None:
    page = open_page("/play/", CLAIRE, width=NARROW)
    assert not page.locator("#rooms").is_visible()
    page.get_by_label("Rooms", exact=True).first.click()
    expect(page.locator("#rooms")).to_be_visible()
    assert sideways(page) == 0


@pytest.mark.parametrize(("width", "theme"), [(WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (NARROW, "dark")])
def test_axe_finds_nothing(open_page: Any, width: int, theme: str) -> None:
    page = open_page("/play/", CLAIRE, width=width, theme=theme)
    assert faults(page) == []
    assert sideways(page) == 0
    finished(ask(page, "Show me code, a table and a list"))
    assert faults(page) == []
    finished(ask(page, "Fail", "demo:fault-503"))
    expect(page.get_by_role("button", name="Try again")).to_be_visible(timeout=LONGEST)
    page.locator("details.edit summary").first.evaluate("it => it.parentElement.open = true")
    assert faults(page) == []
    assert sideways(page) == 0


def test_without_scripts_forms_do_the_work(open_page: Any) -> None:
    page = open_page("/play/", CLAIRE, java_script_enabled=False)
    page.locator("#say").fill("Hello without a script")
    page.locator("#model").select_option(AT_ONCE)
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".msg-user")).to_have_text("Hello without a script")
    finished(page.locator("article"))  # the page asks for itself again until the answer is there
    assert page.locator(".prose").inner_text().strip()
