"""A house of its own for each promise. `make prove` gives it Postgres as well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.calls import Caller
from tests.house import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path) as house:
        yield house


@pytest.fixture
def caller(house: House) -> Caller:
    return Caller(house.url, house.key())
