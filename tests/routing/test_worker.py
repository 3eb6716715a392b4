"""What a process owns is started whole, or not at all."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from routing.worker import Worker


@pytest.mark.django_db(transaction=True)
async def test_a_start_that_fails_leaves_nothing_behind(settings: Any, tmp_path: Any) -> None:
    settings.JOURNAL_FOLDER = tmp_path / "journal"
    settings.RELAYHOUSE_STATE = tmp_path
    (tmp_path / "metrics").write_text("a file where a folder belongs")
    before = set(threading.enumerate())
    with pytest.raises(FileExistsError):
        await Worker().start()
    assert list(settings.JOURNAL_FOLDER.iterdir()) == []
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not left & {"journal", "loader"}
