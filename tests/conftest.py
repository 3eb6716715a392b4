"""The cast everyone knows, a fixed set of keys, and no way out: only addresses of this machine can be reached.

Alice owns the house, Adam administers it, Bob is in Research, Dana is finance, Charlie is in no team, Vera only looks.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

STATE = tempfile.TemporaryDirectory(prefix="relayhouse-tests-")
# Before Django reads its settings: nothing of the machine's own configuration may leak into a test. The module is named
# here and not in pyproject.toml, since from there pytest-django reads the settings before it reads this file.
os.environ.update(
    DJANGO_SETTINGS_MODULE="console.settings",
    RELAYHOUSE_STATE=STATE.name,
    RELAYHOUSE_KEY_RING="test:dGVzdC1rZXktdGVzdC1rZXktdGVzdC1rZXktdGVzdCE=",
    RELAYHOUSE_KEY_PEPPER="1:test-pepper",
    SECRET_KEY="test-secret-key",
)
for name in ("EMAIL_URL", "SITE_URL", "OIDC_SERVER_URL", "ENVIRONMENT_LABEL"):
    os.environ[name] = ""
os.environ["DEBUG"] = "false"

import django  # noqa: E402
import hypothesis  # noqa: E402

django.setup(set_prefix=False)

from django.conf import settings as house_settings  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import setup_databases, teardown_databases  # noqa: E402
from pytest_socket import socket_allow_hosts  # noqa: E402

from tests import factories  # noqa: E402

# A loaded machine is no fault: what a test may take is nobody's promise here.
hypothesis.settings.register_profile("house", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("house")

if house_settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, as in a house: in memory, threads that read and write at once get "table is locked" instead of waiting.
    house_settings.DATABASES["default"].setdefault("TEST", {})["NAME"] = str(Path(STATE.name) / "test.sqlite3")
else:
    # A thread that has done its work holds no connection: nobody would close it when the thread ends.
    house_settings.DATABASES["default"]["CONN_MAX_AGE"] = 0


def deletions(style: object, tables: list[str], **options: object) -> list[str]:
    """How Postgres is emptied after a test that commits: TRUNCATE makes a new file for each table and each index.

    In any order: what refers to what is looked at when all of them are empty.
    """
    return [";".join(f"DELETE FROM {connection.ops.quote_name(table)}" for table in tables)] if tables else []


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker: Any) -> Iterator[None]:
    """Made whichever test asks first: pytest-django's own looks only for marks, and modules that commit have none."""
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False)
        if connection.vendor == "postgresql":
            connection.ops.sql_flush = deletions
    yield
    with django_db_blocker.unblock():
        if connection.vendor == "postgresql":
            # Threads that asgiref keeps for synchronous code hold their connections as long as they live.
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        teardown_databases(made, verbosity=0)


@pytest.fixture(autouse=True)
def no_network() -> None:
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)


@pytest.fixture(autouse=True)
def plain_static(settings: Any) -> None:
    """Pages name their files without the manifest that the set-up makes, and a test client does not serve them.

    Each client would look for all of them first; a house that is really served is asked for its files.
    """
    storage = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = settings.STORAGES | {"staticfiles": storage}
    settings.SERVESTATIC_USE_FINDERS = settings.SERVESTATIC_USE_STATIC_ROOT = False


@pytest.fixture(autouse=True)
def clean_cache() -> Iterator[None]:
    """The cache lives in files here: what one test counted must not throttle the next."""
    yield
    from django.core.cache import cache

    cache.clear()


@pytest.fixture(autouse=True)
def cleared_ledger(request: pytest.FixtureRequest) -> Iterator[None]:
    """The ledger is append-only: what empties the tables after a test that commits would be refused."""
    marker = request.node.get_closest_marker("django_db")
    commits = {"transactional_db", "live_server"} & set(request.fixturenames) or (
        marker is not None and marker.kwargs.get("transaction")
    )
    if not commits:
        yield
        return
    request.getfixturevalue("transactional_db")  # its end must come after ours
    yield
    from django.db import connection

    from billing import append_only
    from billing.models import LedgerEntry

    append_only.lift(connection)
    LedgerEntry.objects.all().delete()
    append_only.protect(connection)


@pytest.fixture
def state_folder() -> Path:
    return Path(STATE.name)


@pytest.fixture
def alice(db: None) -> object:
    return factories.make_user("Alice", role="owner")


@pytest.fixture
def adam(db: None) -> object:
    return factories.make_user("Adam", role="admin")


@pytest.fixture
def research(db: None) -> object:
    return factories.make_team("Research")


@pytest.fixture
def bob(db: None, research: object) -> object:
    return factories.make_user("Bob", role="member", teams=[research])


@pytest.fixture
def dana(db: None) -> object:
    return factories.make_user("Dana", role="finance")


@pytest.fixture
def charlie(db: None) -> object:
    return factories.make_user("Charlie", role="member")


@pytest.fixture
def vera(db: None) -> object:
    return factories.make_user("Vera", role="viewer")


@pytest.fixture
def signed_in() -> object:
    """`signed_in(alice)` is a test client in which that person is signed in."""

    def sign_in(person: object) -> Client:
        client = Client()
        client.force_login(person, backend="allauth.account.auth_backends.AuthenticationBackend")  # type: ignore[arg-type]
        return client

    return sign_in


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browsers last: driving Chromium keeps an event loop in this thread, and async tests need their own."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)
