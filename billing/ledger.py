"""The front door of the money: `reserve` before anything is sent, `settle` and `finish` when it is over.

They write to the journal and to nothing else; what they return from outlives the process.
"""

from __future__ import annotations

from billing.journal import Journal
from billing.records import Finished, Opened, Settled


class Ledger:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def reserve(self, opened: Opened) -> None:
        """Raises JournalFailed: then nothing may be sent."""
        self._journal.append(opened)

    def settle(self, settled: Settled, finished: Finished | None = None) -> None:
        """Raises JournalFailed; the records are kept then and written as soon as that is possible."""
        if finished is None:
            self._journal.append(settled, owed=True)
        else:
            self._journal.append(settled, finished, owed=True)

    def finish(self, finished: Finished) -> None:
        self._journal.append(finished, owed=True)
