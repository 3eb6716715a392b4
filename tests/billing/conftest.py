"""A journal in a folder of its own, with the front door and the loader of its process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.journal import Journal
from billing.ledger import Ledger
from billing.loader import Loader


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal.open(tmp_path / "journal", "node-1")
    yield journal
    journal.close()


@pytest.fixture
def loader(journal: Journal) -> Loader:
    return Loader(journal)


@pytest.fixture
def ledger(journal: Journal) -> Ledger:
    return Ledger(journal)
