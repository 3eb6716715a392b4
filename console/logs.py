"""One line an event: when, how bad, where, what, and only the fields we know to be harmless.

Messages of foreign exceptions may quote what a client or a vendor sent, so an exception is written as its type and the
places it passed; its own words follow only for kinds that speak about our machine.
"""

from __future__ import annotations

import logging
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, ProgrammingError
from structlog.processors import LogfmtRenderer

FIELDS = ("request_id", "node", "provider", "model", "status", "code", "duration_ms", "task", "worker")
SPEAKING = (OSError, ImportError, AttributeError, NameError, TypeError, ImproperlyConfigured)
SPEAKING_OF_THE_DATABASE = (OperationalError, ProgrammingError)
PLACES = 12  # the innermost ones

ROOT = Path(__file__).resolve().parent.parent

_render = LogfmtRenderer(key_order=["at", "level", "from", "event"], drop_missing=True)


class Line(logging.Formatter):
    """Logfmt: `at=2026-11-25T09:30:00.123Z level=warning from=routing.edge event="..."`."""

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "from": record.name,
            "event": record.getMessage()[:2000],
        }
        for name in FIELDS:
            value = getattr(record, name, None)
            if isinstance(value, str | int | float):
                event[name] = value
        if record.exc_info and record.exc_info[1] is not None:
            event |= _told(record.exc_info[1])
        return str(_render(None, record.levelname, event))


def _told(error: BaseException) -> dict[str, str]:
    told = {"error": type(error).__name__, "places": _places(error)}
    if isinstance(error, (*SPEAKING, *SPEAKING_OF_THE_DATABASE)):
        told["words"] = str(error)[:500]
    cause = error.__cause__
    if cause is not None:
        told["because"] = type(cause).__name__
    return told


def _places(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-PLACES:]
    return " > ".join(f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames)


def _short(filename: str) -> str:
    path = Path(filename)
    if "site-packages" in path.parts:
        return "/".join(path.parts[path.parts.index("site-packages") + 1 :])
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
