"""A real browser in front of a real installation: Chromium without a screen, driven by Playwright.

The house is served once for all browser tests. What one test changes about a person, another must not rely on.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import CHROMIUM, Browser, chromium
from tests.house import House

# Playwright keeps an event loop in this thread, which Django takes for asynchronous code.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"

PEOPLE = """
from tests import factories
team = factories.make_team("Research")
factories.claim_house(name="Atelier Nord", label="Production")
factories.make_user("Claire Lambert", role="owner", email="claire@example.org", password=factories.PASSWORD)
factories.make_user("Bob Martin", email="bob@example.org", teams=[team], password=factories.PASSWORD)
"""
SESSION = """
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from console.models import User
person = User.objects.get(email="{email}")
session = import_module(settings.SESSION_ENGINE).SessionStore()
session[SESSION_KEY] = str(person.pk)
session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
session[HASH_SESSION_KEY] = person.get_session_auth_hash()
session.save()
print(session.session_key)
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="Chromium is not installed: apt-get install chromium"))


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    with House(folder) as served:
        served.manage("shell", "-v0", "-c", PEOPLE)
        yield served
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def sessions(house: House) -> Callable[[str], str]:
    """The session of a person, made once: hashing a password for each test would be slow."""
    known = ("claire@example.org", "bob@example.org")
    told = house.manage("shell", "-v0", "-c", "".join(SESSION.format(email=email) for email in known)).split()
    made = dict(zip(known, told[-len(known) :], strict=True))

    def session_of(email: str) -> str:
        if email not in made:
            made[email] = house.manage("shell", "-v0", "-c", SESSION.format(email=email)).split()[-1]
        return made[email]

    return session_of


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def open_page(house: House, browser: Browser, sessions: Callable[[str], str]) -> Iterator[Any]:
    """`open_page("/teams/", "claire@example.org", width=390, theme="dark")`. No page may complain in its console."""
    with browser.visits(house.url) as visits:

        def visit(path: str, email: str = "", **look: Any) -> Any:
            return visits.open(path, sessions(email) if email else "", **look)

        yield visit
