"""A gate for a whole module: starting one takes longer than most of what is asked of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from billing.append_only import lift, protect
from console.serving.server import Protocol
from tests.misbehaviour import BEHAVIOURS
from tests.routing.gate import Gate, connect
from tests.upstream import Upstream, refusing_url


@pytest.fixture(scope="module")
def committed(django_db_setup: None, django_db_blocker: Any, http: type[asyncio.Protocol]) -> Iterator[None]:
    """A database that other threads see, for all tests of a module with one server, emptied behind them."""
    from django.core.management import call_command
    from django.db import connection

    with django_db_blocker.unblock():
        yield
        lift(connection)
        call_command("flush", verbosity=0, interactive=False)
        protect(connection)


@pytest.fixture(scope="module")
def first() -> Iterator[Upstream]:
    """The provider that misbehaves, by the name of the model."""
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def second() -> Iterator[Upstream]:
    """The healthy one that serves the same models."""
    with Upstream() as upstream:
        upstream.behave("ok")
        yield upstream


@pytest.fixture(scope="module")
def http() -> type[asyncio.Protocol]:
    """The protocol class that the gate's server uses."""
    return Protocol


@pytest.fixture(scope="module")
def gate(committed: None, first: Upstream, second: Upstream, http: type[asyncio.Protocol]) -> Iterator[Gate]:
    """`a:<behaviour>` has no fallback; the bare `<behaviour>` falls back from `a` to `b`."""
    names = sorted(BEHAVIOURS)
    connect("a", first.base_url, names, priority=10)
    connect("b", second.base_url, names, priority=20)
    connect("shut", refusing_url(), ["shut"], priority=10)
    connect("b2", second.base_url, ["shut"], priority=20)
    with Gate(http=http) as gate:
        yield gate
