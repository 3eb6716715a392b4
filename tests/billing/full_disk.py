"""A process on a disk that is full: run by test_journal.py in a file system of eight megabytes."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from billing import journal as journals_own
from billing.journal import Journal, JournalFailed
from billing.journals import Home
from billing.records import Opened
from tests.billing.samples import opened, settled


def main(folder: Path) -> None:
    journals_own.SEGMENT_BYTES = 1024 * 1024
    journal = Journal.open(folder, "node-1")
    written: list[Opened] = []
    try:
        while True:
            record = opened()
            journal.append(record)
            written.append(record)
    except JournalFailed:
        sys.stdout.write("refused\n")
    for record in written[-2000:]:
        journal.append(settled(record), owed=True)
    sys.stdout.write("settled\n")
    # As a loader does: all but the last segment is in the ledger, with some of it unfinished.
    kept = written[:-2000][:50]
    number, _ = journal.position()
    for each in range(1, number):
        journal.drop(each, [*kept, *written[-2000:]])
    sys.stdout.write("dropped\n")
    deadline = time.monotonic() + 10
    while journal.failed and time.monotonic() < deadline:
        time.sleep(0.05)
    journal.append(opened())
    sys.stdout.write("recovered\n")
    found = list(Home(journal.home).records())
    begun = {record.attempt_id for record in found if isinstance(record, Opened)}
    if begun >= {record.attempt_id for record in (*kept, *written[-2000:])}:
        sys.stdout.write("complete\n")
    journal.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
