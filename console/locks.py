"""Locks that every process of this machine shares: files in the state folder, freed by the kernel with the process."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from console.state import prepare

RETRY_SECONDS = 0.01


class Busy(Exception):
    """Every slot stayed taken for as long as we were ready to wait."""


@contextmanager
def slot(name: str, *, slots: int = 1, wait: float = 5.0) -> Iterator[None]:
    """Hold one of `slots` places under this name. Raises `Busy` after `wait` seconds."""
    folder = prepare(Path(settings.RELAYHOUSE_STATE) / "locks")
    deadline = time.monotonic() + wait
    while True:
        for number in range(slots):
            descriptor = os.open(folder / f"{name}-{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            try:
                yield
            finally:
                os.close(descriptor)
            return
        if time.monotonic() > deadline:
            raise Busy(name)
        time.sleep(RETRY_SECONDS)
