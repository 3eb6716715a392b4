"""A process whose files may not grow beyond a limit, as with a full disk: run by test_journal.py."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

from billing.journal import Journal, JournalFailed
from billing.journals import Home
from billing.records import Opened
from tests.billing.samples import opened, settled


def main(folder: Path) -> None:
    journal = Journal.open(folder, "node-1")
    written: list[Opened] = []
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_001, resource.RLIM_INFINITY))
    try:
        while True:
            record = opened()
            journal.append(record)
            written.append(record)
    except JournalFailed:
        sys.stdout.write("refused\n")
    try:
        journal.append(settled(written[0]), owed=True)
    except JournalFailed:
        sys.stdout.write("owed\n")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    deadline = time.monotonic() + 10
    while journal.failed and time.monotonic() < deadline:
        time.sleep(0.05)
    journal.append(opened())
    sys.stdout.write("recovered\n")
    records = list(Home(journal.home).records())
    if records[: len(written)] == written and records[len(written)] == settled(written[0]):
        sys.stdout.write("complete\n")
    journal.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
