"""One pretend vendor on a socket for each module, and a connector of its own for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from providers.connector import Connector
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


@pytest.fixture
async def connector() -> AsyncIterator[Connector]:
    connector = Connector()
    await connector.start()
    yield connector
    await until_closed(connector)
    await connector.close()
