"""Answers of the playground: each is a run, a task of the web process that outlives every socket and page.

Its frames are numbered in a log (memory, and the RunFrame table five times a second) before anybody is told, so that a
reload, a second tab or another process goes on reading where it was. A drain waits for runs; a run whose process died
is closed by the others, or by the next start, with the text its log holds.
"""

from __future__ import annotations

from django.conf import settings

from console.runs.house import Runs
from console.runs.log import Log, Numbered, SoFar, merged, so_far
from console.runs.store import AlreadyBegun, Begun, Question, Refused
from routing import worker

__all__ = [
    "AlreadyBegun",
    "Begun",
    "Log",
    "Numbered",
    "Question",
    "Refused",
    "Runs",
    "SoFar",
    "in_flight",
    "merged",
    "running",
    "so_far",
    "started",
    "stop",
]

_runs: Runs | None = None


async def started() -> Runs:
    """The runs of this process, started with its worker if nobody has."""
    global _runs
    house = await worker.started()
    if _runs is None:
        _runs = Runs(house)
        _runs.start()
    return _runs


async def stop() -> None:
    """Wait for answers that are being written, at most DRAIN_SECONDS; not again if the server has waited already."""
    global _runs
    runs, _runs = _runs, None
    if runs is not None:
        await runs.stop(0 if runs.worker.draining else settings.DRAIN_SECONDS)


def running() -> Runs | None:
    return _runs


def in_flight() -> int:
    """Answers that are not stored yet; a drain waits for them."""
    return len(_runs.live) if _runs is not None else 0
