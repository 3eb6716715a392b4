"""For tests of pages: passwords that are hashed at once, and a process whose runs answer from the demonstration.

What hashing costs is measured where it is the subject.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from tests.console.files import Files


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def slow_passwords(quick_passwords: None, settings: Any) -> None:
    """As in production."""
    settings.PASSWORD_HASHERS = ["console.passwords.BoundedArgon2"]


@pytest.fixture
async def here(transactional_db: None, tmp_path: Path, settings: Any) -> AsyncIterator[Any]:
    """The runs of this process, on the demonstration. Whatever a test leaves running is cut off."""
    from console import runs  # here, so that a test that needs no gateway does not load one
    from routing import demonstration, worker

    settings.JOURNAL_FOLDER = tmp_path / "journal"
    settings.DRAIN_SECONDS = 0
    await sync_to_async(demonstration.furnish)()
    yield await runs.started()
    await runs.stop()
    await worker.stop()
    await sync_to_async(connections.close_all)()  # of the thread in which the test asked the database


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Applies configuration files in an environment that has none of the variables they name."""
    for name in ("OPENAI_API_KEY", "AZURE_OPENAI_KEY", "MISTRAL_API_KEY", "TEST_LLM_KEY", "TEST_LLM_URL"):
        monkeypatch.delenv(name, raising=False)
    return Files(tmp_path)
