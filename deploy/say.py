"""Progress: one line a step. Failure: one sentence with the remedy."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stop(Exception):
    """It cannot go on; the text says why and what to do."""


@contextmanager
def step(what: str) -> Iterator[Callable[[str], None]]:
    """`  Python packages ... 41 s`. Gives a function that shows, on a terminal, what is happening meanwhile."""
    began = time.monotonic()
    terminal = sys.stdout.isatty()

    def note(text: str) -> None:
        if terminal:
            sys.stdout.write(f"\r\x1b[K  {what} ... {text[:60]}")
            sys.stdout.flush()

    def end(text: str) -> None:
        sys.stdout.write(f"\r\x1b[K  {what} ... {text}\n" if terminal else f"{text}\n")
        sys.stdout.flush()

    sys.stdout.write(f"  {what} ... ")
    sys.stdout.flush()
    try:
        yield note
    except BaseException:
        end("failed")
        raise
    end(f"{time.monotonic() - began:.0f} s")


def line(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
