"""How often a promise is tried: a few times in the suite, as often as it was given by `make prove`."""

from __future__ import annotations

import os
import sys

FULL = os.environ.get("RELAYHOUSE_PROVE") == "full"


def times(few: int, full: int) -> int:
    return full if FULL else few


def report(text: str) -> None:
    """A line that `make prove` shows (it runs pytest with -s)."""
    if FULL:
        sys.stderr.write(f"\n  {text}\n")
