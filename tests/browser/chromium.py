"""Chromium as the tests use it: the machine's own, without a screen and without calls home, and what its pages said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser as Chromium
from playwright.sync_api import ConsoleMessage, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
AXE = Path(__file__).resolve().parent.parent.parent / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
WIDE, NARROW = 1440, 390
PATIENCE = 20_000  # milliseconds; a machine that runs other things as well needs them
expect.set_options(timeout=PATIENCE)


class Visits:
    """The pages one test opened, and every complaint of theirs: errors, refused files, calls to other hosts."""

    def __init__(self, chromium: Chromium, url: str) -> None:
        self.chromium = chromium
        self.url = url
        self.complaints: list[str] = []
        self.refused: set[str] = set()  # addresses that answer with a fault on purpose, which the browser reports too

    def open(
        self,
        path: str,
        session: str = "",
        *,
        width: int = WIDE,
        theme: str = "light",
        refused: str = "",
        **options: Any,
    ) -> Page:
        """`refused` is the beginning of an address that this test makes fail."""
        if refused:
            self.refused.add(self.url + refused)
        height = 900 if width > 760 else 844
        context = self.chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce", **options
        )
        context.set_default_timeout(PATIENCE)
        if session:
            context.add_cookies([{"name": "relayhouse_session", "value": session, "url": self.url}])
        page = context.new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._same_host(request.url))
        answer = page.goto(self.url + path)
        if answer and answer.status >= 400:
            self.refused.add(answer.url)
        page.wait_for_load_state("networkidle")
        return page

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def _same_host(self, url: str) -> None:
        if not url.startswith((self.url, "data:", "blob:", self.url.replace("http", "ws", 1))):
            self.complaints.append(f"a call to another host: {url}")

    def unexpected(self) -> list[str]:
        return [said for said in self.complaints if not any(f"({url}" in said for url in self.refused)]


class Browser:
    def __init__(self, chromium: Chromium) -> None:
        self.chromium = chromium

    @contextmanager
    def visits(self, url: str) -> Iterator[Visits]:
        visits = Visits(self.chromium, url)
        try:
            yield visits
        finally:
            for context in self.chromium.contexts:
                context.close()
        assert not visits.unexpected(), visits.unexpected()


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield Browser(started)
        finally:
            started.close()


def faults(page: Page) -> list[str]:
    """What axe finds wrong, WCAG 2.0 to 2.2, A and AA, each with the element it is about."""
    page.evaluate(AXE.read_text())
    found = page.evaluate(f"axe.run(document, {{runOnly: {json.dumps(RULES)}}})")
    return [f"{fault['id']}: {node['html'][:160]}" for fault in found["violations"] for node in fault["nodes"]]


def sideways(page: Page) -> int:
    """How many pixels the page can be scrolled sideways; it must be none."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
