"""Who met which arm, once each: remembered in memory, written beside the traffic, and the first one counts."""

from __future__ import annotations

import asyncio
import logging

from django.db import DatabaseError, DataError, InterfaceError

from billing.ids import started_at
from routing.experiments import digest_of
from routing.models import Exposure
from routing.threads import with_fresh_connection

log = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
MOST_KNOWN = 100_000  # units; a forgotten one is written again, which changes nothing
MOST_WAITING = 20_000  # while the database is away


class Exposures:
    """One a process."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], None] = {}
        self._waiting: list[Exposure] = []
        self.dropped = 0

    def note(self, experiment: str, unit: str, arm: str, request_id: str) -> None:
        met = (experiment, unit)
        if met in self._known:
            return
        if len(self._known) >= MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[met] = None
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += 1
            del self._known[met]  # to be noted when it comes again
            return
        digest, at = digest_of(unit, experiment), started_at(request_id)
        self._waiting.append(Exposure(experiment=experiment, unit=digest, arm=arm, first_at=at, request_id=request_id))

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def keep_writing(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        rows, self._waiting = self._waiting, []
        if not rows:
            return
        try:
            await asyncio.to_thread(with_fresh_connection, lambda: write(rows))
        except DataError as error:
            self.dropped += len(rows)  # they would never go in, and keep all others out
            log.error("%d exposures cannot be written and are dropped: %s", len(rows), error)
        except (DatabaseError, InterfaceError) as error:
            log.warning("%d exposures wait for the database: %s", len(rows), error)
            room = MOST_WAITING - len(self._waiting)
            self._waiting[:0] = rows[:room]
            if len(rows) > room:
                self.dropped += len(rows) - room
                self._known.clear()  # they are to be noted when they come again


def write(rows: list[Exposure]) -> None:
    """Those that are there already stay as they are. In one order everywhere: two processes that hold what the other
    waits for would wait for each other."""
    rows = sorted(rows, key=lambda row: (row.experiment, row.unit))
    Exposure.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)
