"""One pretend vendor on a socket for each module, and a connector of its own for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from providers.connector import Connector, hang_up
from tests.providers.talk import until_closed
from tests.upstream import Upstream


@pytest.fixture(scope="module")
def vendor() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(vendor: Upstream) -> Upstream:
    vendor.behave(None)
    vendor.requests.clear()
    return vendor


@pytest.fixture(scope="module")
def loop_thread() -> Iterator[None]:
    """For what runs without a loop of its own: the thread that was made for it ends with the module."""
    yield
    hang_up()


@pytest.fixture
async def connector() -> AsyncIterator[Connector]:
    connector = Connector()
    await connector.start()
    yield connector
    await until_closed(connector)
    await connector.close()
