"""Connections that are open: which of them rest, and may be asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from providers.connection import Connection

REST_SECONDS = 30.0  # the longest a connection waits for another question
MOST_RESTING = 256  # of one host; what a burst has opened beyond that is closed when it is done


class Pool:
    """Of one policy and one loop. Who comes next gets the connection that was used last."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.closed = False
        self._loop = loop
        self._open: set[Connection] = set()
        self._resting: dict[Hashable, list[Connection]] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    def take(self, where: Hashable) -> Connection | None:
        resting = self._resting.get(where)
        while resting:
            connection = resting.pop()
            if connection.usable and self._loop.time() - connection.rested_at < REST_SECONDS:
                return connection
            connection.abort()
        return None

    # -- what connections tell ---------------------------------------------------------

    def made(self, connection: Connection) -> None:
        self._open.add(connection)

    def rests(self, connection: Connection) -> None:
        resting = self._resting.setdefault(connection.where, [])
        if self.closed or len(resting) >= MOST_RESTING:
            connection.abort()
            return
        connection.rested_at = self._loop.time()
        resting.append(connection)
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(REST_SECONDS, self._sweep)

    def lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        resting = self._resting.get(connection.where, ())
        if connection in resting:
            self._resting[connection.where].remove(connection)

    # -- letting go ----------------------------------------------------------------------

    def _sweep(self) -> None:
        """Close what has waited too long, as long as anything rests."""
        limit = self._loop.time() - REST_SECONDS
        for where, resting in list(self._resting.items()):
            for connection in resting:
                if connection.rested_at <= limit:
                    connection.abort()
            self._resting[where] = [one for one in resting if one.rested_at > limit]
            if not self._resting[where]:
                del self._resting[where]
        self._sweeping = self._loop.call_later(REST_SECONDS / 2, self._sweep) if self._resting else None

    def close(self) -> None:
        self.closed = True
        self._resting.clear()
        for connection in tuple(self._open):
            connection.abort()
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
