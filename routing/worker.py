"""This process's gateway and what it stands on: connector, journal, loader, snapshot, key book.

The web server's lifespan starts it; under a server without one the first request does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from django.conf import settings
from django.db import DatabaseError, connection

from billing import pots
from billing.journal import Journal
from billing.journals import place_of
from billing.ledger import Ledger
from billing.loader import Loader
from billing.slices import Slices
from providers.connector import Connector, connector_from_settings
from routing.breaker import Breakers
from routing.callers import KeyBook
from routing.compiler import SnapshotStore
from routing.gateway import Gateway
from routing.metrics import METRICS
from routing.relisting import Relister
from routing.repeats import Repeats
from routing.threads import with_fresh_connection

log = logging.getLogger(__name__)

READERS = 2

T = TypeVar("T")


class Worker:
    """Everything the data plane of one process owns, started and stopped in the right order."""

    def __init__(self) -> None:
        self.node = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.draining = False
        self.keys = KeyBook()
        self.breakers = Breakers()
        self.repeats = Repeats()
        self.snapshots = SnapshotStore(self.keys, self.breakers)
        self.connector: Connector = connector_from_settings()
        self.journal: Journal
        self.loader: Loader
        self.slices: Slices
        self.gateway: Gateway
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self.journal = Journal.open(settings.JOURNAL_FOLDER, self.node)
        self.loader = Loader(self.journal)
        self.slices = Slices(self.node)
        self.loader.start()
        try:
            await self._start()
        except BaseException:
            await self.stop()  # whoever tries again must not find a second journal of ours
            raise

    async def _start(self) -> None:
        self.slices.place = place_of(settings.JOURNAL_FOLDER)
        await self.connector.start()
        await self.snapshots.refresh()
        self.gateway = Gateway(
            port=self.connector,
            ledger=Ledger(self.journal),
            snapshots=self.snapshots,
            relist=Relister(self.snapshots).relist,
            breakers=self.breakers,
            slices=self.slices,
        )
        self._count()
        self._tasks = [
            asyncio.create_task(self.snapshots.watch(), name="snapshot watch"),
            asyncio.create_task(self.slices.watch(), name="slices"),
            asyncio.create_task(METRICS.keep_publishing(), name="metrics"),
            asyncio.create_task(self.gateway.exposures.keep_writing(), name="exposures"),
        ]

    def _count(self) -> None:
        METRICS.start(self.node)
        METRICS.gauge("relayhouse_requests_in_flight", "Requests that have not ended.", lambda: self.gateway.in_flight)
        METRICS.gauge(
            "relayhouse_upstream_calls_open", "Calls to providers that are open.", lambda: self.connector.open
        )
        METRICS.gauge(
            "relayhouse_journal_unloaded_bytes", "Written and not in the database.", lambda: self.journal.unloaded_bytes
        )
        METRICS.gauge(
            "relayhouse_circuits_open",
            "Targets that are left alone, as this process sees it.",
            lambda: sum(state.open for state in self.breakers.states.values()),
        )
        METRICS.gauge(
            "relayhouse_exposures_unwritten", "Exposures not in the database.", lambda: self.gateway.exposures.waiting
        )
        METRICS.gauge(
            "relayhouse_contents_unwritten", "Kept contents not in the database.", lambda: self.gateway.contents.waiting
        )
        METRICS.gauge(
            "relayhouse_contents_dropped",
            "Contents that were to be kept and did not fit the queue.",
            lambda: self.gateway.contents.dropped,
        )
        METRICS.gauge("relayhouse_slices_held", "Shared amounts that a process has some of.", lambda: len(self.slices))
        METRICS.gauge("relayhouse_api_keys_held", "API keys in the caches of the workers.", lambda: len(self.keys))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._tasks:
            await self.gateway.exposures.flush()
            await asyncio.to_thread(self.gateway.contents.close)
        await self.connector.close()
        await self.repeats.close()
        await self.snapshots.close()
        self.keys.close()
        await self.slices.close()
        await asyncio.to_thread(self._close_journal)
        METRICS.stop()

    def _close_journal(self) -> None:
        self.loader.close()  # loads what is left
        if not self.journal.unloaded_bytes:
            self._let_go_of_slices()
        self.journal.close()

    def _let_go_of_slices(self) -> None:
        """All that was spent is in the ledger. Where this fails, they go when their lease is over."""
        try:
            pots.free_node(self.node)
        except DatabaseError as error:
            log.warning("slices are not given back: %s", error)
        finally:
            connection.close()


_worker: Worker | None = None
_starting: asyncio.Task[Worker] | None = None


async def started() -> Worker:
    """The worker of this process, started if nobody has."""
    global _starting
    if _worker is not None:
        return _worker
    if _starting is None:
        _starting = asyncio.create_task(_start(), name="worker start")
    try:
        return await asyncio.shield(_starting)
    finally:
        if _starting is not None and _starting.done():
            _starting = None


async def _start() -> Worker:
    global _worker
    worker = Worker()
    await worker.start()
    _worker = worker
    return worker


async def stop() -> None:
    global _worker
    worker, _worker = _worker, None
    if worker is not None:
        await worker.stop()


def running() -> Worker | None:
    return _worker


def gateway() -> Gateway:
    if _worker is None:
        raise RuntimeError("The gateway has not been started: await routing.worker.started() first.")
    return _worker.gateway


async def in_database(work: Callable[[], T]) -> T:
    """Something that reads the database, for an operation that is rare: a few at once, beside the loop."""
    return await asyncio.get_running_loop().run_in_executor(_readers(), with_fresh_connection, work)


@cache
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(READERS, thread_name_prefix="reader")


def in_flight() -> int:
    """Calls that have not been settled yet; a drain waits for them."""
    return _worker.gateway.in_flight if _worker is not None else 0
