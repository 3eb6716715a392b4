"""The whole matrix is asked once; every test looks at a part of what came of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.world import World, ask_all, made
from tests.routing.conftest import committed, first, gate, http, second

__all__ = ["committed", "first", "gate", "http", "second"]


@pytest.fixture(scope="module")
def world(committed: None) -> Iterator[World]:
    with made() as world:
        ask_all(world)
        yield world
