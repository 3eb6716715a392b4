"""A process with a journal and a loader, as a web worker has them, that settles requests until it is killed.

python -m tests.billing.writer NODE [before-dropping]

Each line on standard output is a request that its client has been answered. With `before-dropping` it kills itself when
everything is in the ledger and nothing was dropped from the journal yet.
"""

from __future__ import annotations

import os
import signal
import sys

import django

django.setup()

from django.conf import settings  # noqa: E402

from billing import journal as journals_own  # noqa: E402
from billing import loader as loaders_own  # noqa: E402
from billing.journal import Journal  # noqa: E402
from billing.ledger import Ledger  # noqa: E402
from billing.loader import Loader  # noqa: E402
from tests.billing.samples import finished, opened, settled, voided  # noqa: E402


def main(node: str, before_dropping: bool) -> None:
    # Small, so that all that happens to segments happens often.
    journals_own.SEGMENT_BYTES = 30_000
    loaders_own.WORTH_DROPPING = 10_000
    loaders_own.TICK_SECONDS = 0.01
    journal = Journal.open(settings.JOURNAL_FOLDER, node)
    ledger, loader = Ledger(journal), Loader(journal)
    if not before_dropping:
        loader.start()
    os.write(1, b"ready\n")
    sys.stdin.readline()
    count = 0
    while not before_dropping or count < 50:
        count += 1
        answer(ledger, streamed=count % 50 == 0)
    loader.load()
    os.kill(os.getpid(), signal.SIGKILL)


def answer(ledger: Ledger, *, streamed: bool) -> None:
    if streamed:
        ledger.reserve(opened(streamed=True))  # one that will never end
    first = opened()
    ledger.reserve(first)
    ledger.settle(voided(first))
    second = opened(first.request_id, 2)
    ledger.reserve(second)
    ledger.settle(settled(second), finished(first.request_id, attempts=2))
    os.write(1, f"{first.request_id}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:] == ["before-dropping"])
