"""A database that takes questions and answers none: somebody has locked what they are about."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

WAIT_SECONDS = 30.0


@contextmanager
def silent_store() -> Iterator[None]:
    """Of shared amounts; on SQLite everything that writes waits."""
    locked, over = threading.Event(), threading.Event()

    def lock() -> None:
        with transaction.atomic():
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("LOCK TABLE billing_pot IN ACCESS EXCLUSIVE MODE")
            locked.set()
            over.wait(WAIT_SECONDS)
        connection.close()

    thread = threading.Thread(target=lock, name="silence")
    thread.start()
    assert locked.wait(WAIT_SECONDS)
    try:
        yield
    finally:
        over.set()
        thread.join()
