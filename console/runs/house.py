"""The runs of this process: begins them, writes their logs down five times a second, follows those of other processes.

One task keeps (frames, signs of life, stop requests), one watches what other processes write into the same tables.
Both sleep while there is nothing to do.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from contextvars import Context

from django.db import DatabaseError
from django.utils import timezone

from console.models import User
from console.runs import store
from console.runs.log import Listener, Log
from console.runs.store import Begun, Ending, Question
from console.runs.threads import Threads
from console.runs.writing import RESTART, Writing
from routing.metrics import METRICS
from routing.worker import Worker

log = logging.getLogger(__name__)

KEEP_SECONDS = 0.2
WATCH_SECONDS = 0.1  # between two looks at what other processes write
ROOMS_SECONDS = 0.3  # the same while only rooms are open
BEAT_SECONDS = 1.0
SWEEP_SECONDS = 3.0
RETRY_SECONDS = 0.5
LAST_WORDS_SECONDS = 5.0  # for runs that outlived the drain to be stored
OVERLAP = 64  # message numbers looked at again: a transaction may show its row after a later one
MOST_LIVE = 500  # of one process

NewRun = Callable[[int, str], None]  # message and run


class Runs:
    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.live: dict[str, Writing] = {}
        self.reads = Threads(3, "runs-read")
        self._writes = Threads(1, "runs-write")
        self._mirrors: dict[str, Log] = {}
        self._rooms: dict[int, set[NewRun]] = defaultdict(set)
        self._told: set[str] = set()  # runs the rooms have heard of
        self._seen = 0  # message number
        self._work = asyncio.Event()
        self._audience = asyncio.Event()
        self._failing = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        tasks = {"runs keep": self._keep(), "runs watch": self._watch(), "runs sweep": self._sweep()}
        self._tasks = [asyncio.create_task(task, name=name) for name, task in tasks.items()]
        METRICS.gauge("relayhouse_runs", "Answers of the playground that are not stored yet.", lambda: len(self.live))
        METRICS.gauge("relayhouse_rooms_listened", "Sockets of rooms, and logs read for them.", lambda: self.audience)

    async def stop(self, patience: float) -> None:
        """Wait for what is being written; what outlives the wait is cut off, and says so."""
        if self.live:
            await asyncio.wait([each.task for each in self.live.values()], timeout=patience)
        late = list(self.live.values())
        for writing in late:
            writing.stop(RESTART)
        if late:
            log.warning("%d runs outlived the drain and are interrupted", len(late))
            await asyncio.wait([each.task for each in late], timeout=LAST_WORDS_SECONDS)
        tasks = [*self._tasks, *(each.task for each in self.live.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.reads.close()
        await self._writes.close()

    # -- beginning and stopping ------------------------------------------------------

    async def begin(self, person: User, question: Question) -> Begun:
        if len(self.live) >= MOST_LIVE:
            raise store.Refused("too_many_runs")
        begun = await self._writes(store.begin, person, question, self.worker.node, timezone.now())
        # In a context of its own: the request or the socket that asked may end before the answer does.
        Context().run(self._write, begun)
        return begun

    def _write(self, begun: Begun) -> None:
        writing = Writing(begun, self.worker.gateway, self._store_end)
        self.live[begun.run_id] = writing
        writing.task.add_done_callback(lambda task: self._done(begun.run_id, task))
        self._work.set()
        self._tell(begun.room_id, begun.message_id, begun.run_id)

    def _done(self, run_id: str, task: asyncio.Task[None]) -> None:
        self.live.pop(run_id, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("run %s could not be ended", run_id, exc_info=task.exception())

    async def _store_end(self, ending: Ending) -> None:
        """Until it is stored the run is not over: a database that is away is waited for."""
        while True:
            try:
                await self._writes(store.end, ending)
                return
            except DatabaseError as error:
                self._failed(error)
                await asyncio.sleep(RETRY_SECONDS)

    async def ask_stop(self, run_id: str) -> None:
        writing = self.live.get(run_id)
        if writing is not None:
            writing.stop()
        else:
            await self._writes(store.ask_stop, run_id)

    # -- listening ---------------------------------------------------------------------

    async def listen(self, run_id: str, listener: Listener, seq: int) -> Log:
        """The log of a run, of this process or another, from `seq` on. Call `leave` when done."""
        writing = self.live.get(run_id)
        if writing is not None:
            found = writing.log
        else:
            mirror = self._mirrors.get(run_id)
            if mirror is None or not mirror.reaches(seq):
                mirror = await self._mirror(run_id, seq)
            found = mirror
        found.listeners.add(listener)
        self._audience.set()
        return found

    async def _mirror(self, run_id: str, seq: int) -> Log:
        frames = await self.reads(store.frames_of, run_id, seq)
        mirror = self._mirrors.get(run_id)
        if mirror is None:
            mirror = self._mirrors[run_id] = Log(run_id, after=seq)
        elif mirror.reaches(seq):
            return mirror  # somebody was quicker
        # The same log for everybody: those who listen already hold it.
        mirror.restart(seq, (frame for _, frame in frames))
        return mirror

    def leave(self, run_id: str, listener: Listener) -> None:
        for found in (self.live[run_id].log if run_id in self.live else None, self._mirrors.get(run_id)):
            if found is not None:
                found.listeners.discard(listener)
        mirror = self._mirrors.get(run_id)
        if mirror is not None and not mirror.listeners:
            del self._mirrors[run_id]

    def enter_room(self, room_id: int, told: NewRun) -> None:
        """`told` is called with each run that begins in the room, whichever process begins it."""
        self._rooms[room_id].add(told)
        self._audience.set()

    def leave_room(self, room_id: int, told: NewRun) -> None:
        self._rooms[room_id].discard(told)
        if not self._rooms[room_id]:
            del self._rooms[room_id]

    @property
    def audience(self) -> int:
        """Sockets and logs of other processes that are listened to; nought when everybody has left."""
        return sum(map(len, self._rooms.values())) + len(self._mirrors)

    def _tell(self, room_id: int, message_id: int, run_id: str) -> None:
        for told in tuple(self._rooms.get(room_id, ())):
            told(message_id, run_id)

    # -- the three tasks ------------------------------------------------------------------

    async def _keep(self) -> None:
        beaten = 0.0
        while True:
            await self._work.wait()
            now = asyncio.get_running_loop().time()
            live = dict(self.live)
            if not live:
                self._work.clear()
                continue
            beat = timezone.now() if now - beaten >= BEAT_SECONDS else None
            fresh = {run_id: writing.log.since(writing.kept) for run_id, writing in live.items()}
            rows = [(run_id, numbered) for run_id, frames in fresh.items() for numbered in frames]
            try:
                asked = await self._writes(store.keep, rows, set(live), beat)
            except DatabaseError as error:
                self._failed(error)  # nothing is lost: the frames are offered again
            else:
                self._recovered()
                beaten = now if beat else beaten
                for run_id, frames in fresh.items():
                    live[run_id].kept += len(frames)
                for run_id in asked:
                    live[run_id].stop()
            await asyncio.sleep(KEEP_SECONDS)

    async def _watch(self) -> None:
        while True:
            if not self._rooms and not self._mirrors:
                self._audience.clear()
                await self._audience.wait()
                self._seen = 0
            try:
                await self._look()
                self._recovered()
            except DatabaseError as error:
                self._failed(error)
            await asyncio.sleep(WATCH_SECONDS if self._mirrors else ROOMS_SECONDS)

    async def _look(self) -> None:
        if not self._seen:
            self._seen = await self.reads(store.last_message_id)
        reading = {run_id: mirror.last for run_id, mirror in self._mirrors.items()}
        after = max(0, self._seen - OVERLAP)
        news = await self.reads(store.news, set(self._rooms), after, reading, self.worker.node)
        for room_id, message_id, run_id in news.runs:
            self._seen = max(self._seen, message_id)
            if run_id not in self._told:
                self._tell(room_id, message_id, run_id)
        self._told = {run_id for _, _, run_id in news.runs}
        for run_id, (seq, frame) in news.frames:
            mirror = self._mirrors.get(run_id)
            if mirror is not None and seq == mirror.last + 1:
                mirror.add(frame)
        for run_id in news.over:
            mirror = self._mirrors.get(run_id)
            if mirror is not None and not mirror.ended:
                # Its process died with frames that were heard and never written down: no number follows the last one.
                mirror.add({"type": "end"})

    async def _sweep(self) -> None:
        while True:
            try:
                lost = await self._writes(store.take_over_lost, timezone.now())
                if lost:
                    log.warning("runs of processes that died were closed: %s", ", ".join(lost))
            except DatabaseError as error:
                self._failed(error)
            await asyncio.sleep(SWEEP_SECONDS)

    def _failed(self, error: Exception) -> None:
        """Said once, not five times a second."""
        if not self._failing:
            log.error("the logs of runs cannot be written or read: %s", error)
        self._failing = True

    def _recovered(self) -> None:
        if self._failing:
            log.warning("the logs of runs are written again")
        self._failing = False
