"""Which requests has a journal begun to tell of and not ended? And what is booked when nobody is left to end them?"""

from __future__ import annotations

from dataclasses import dataclass, field

from billing.records import Finished, Opened, Record, Settled

# What stands as the reason of a request whose process ended before it did.
CODE = "process_ended"


@dataclass(slots=True)
class _Story:
    attempts: dict[int, Opened | Settled] = field(default_factory=dict)
    open: int = 0
    finished: bool = False


class Unfinished:
    """Takes the records of one journal in their order. One that is told twice changes nothing."""

    def __init__(self) -> None:
        self._stories: dict[str, _Story] = {}

    def __len__(self) -> int:
        return len(self._stories)

    def take(self, record: Record) -> None:
        if type(record) is Opened:
            self._open(record)
        elif type(record) is Settled:
            self._settle(record)
        elif type(record) is Finished:
            story = self._stories.get(record.request_id)
            if story is not None:
                story.finished = True
                self._forget(record.request_id, story)

    def _open(self, record: Opened) -> None:
        story = self._stories.setdefault(record.request_id, _Story())
        if record.number not in story.attempts:
            story.attempts[record.number] = record
            story.open += 1

    def _settle(self, record: Settled) -> None:
        opened = record.opened
        story = self._stories.setdefault(opened.request_id, _Story())
        if type(story.attempts.get(opened.number)) is Opened:
            story.open -= 1
        story.attempts[opened.number] = record
        self._forget(opened.request_id, story)

    def _forget(self, request_id: str, story: _Story) -> None:
        if story.finished and not story.open:
            del self._stories[request_id]

    def records(self) -> list[Record]:
        """What must be kept so that the journal can be read again from here."""
        return [record for story in self._stories.values() for record in story.attempts.values()]

    def request_ids(self) -> set[str]:
        return set(self._stories)

    def open_attempts(self) -> list[Opened]:
        return [record for record in self.records() if isinstance(record, Opened)]

    def endings(self) -> list[Settled | Finished]:
        """The process is gone: what it had open costs what was reserved, and its requests were interrupted."""
        endings: list[Settled | Finished] = [estimated(opened) for opened in self.open_attempts()]
        # Of one that was finished with an attempt still open, the row is there already and stays as it is.
        endings += [interrupted(story.attempts) for story in self._stories.values() if story.attempts]
        return endings


def estimated(opened: Opened) -> Settled:
    return Settled(
        opened=opened,
        status="interrupted",
        billed="estimated",
        usage=(opened.input_estimate, 0, 0, 0, 0, 0),
        amount_nano=opened.reserved_nano,
        formula="" if opened.reserved_nano is None else "what was reserved: the process ended before the answer did",
        error_code=CODE,
    )


def interrupted(attempts: dict[int, Opened | Settled]) -> Finished:
    last = attempts[max(attempts)]
    opened = last.opened if isinstance(last, Settled) else last
    answered = isinstance(last, Settled) and last.status == "ok"
    return Finished(
        request_id=opened.request_id,
        payer=opened.payer,
        status="ok" if answered else "interrupted",
        asked_model=opened.asked_model,
        error_code="" if answered else CODE,
        provider=opened.provider if answered else "",
        model=opened.model if answered else "",
        streamed=opened.streamed,
        attempts=max(attempts),
        first_token_ms=last.first_token_ms if isinstance(last, Settled) else None,
        duration_ms=last.duration_ms if isinstance(last, Settled) else 0,
        revision=opened.revision,
        release=opened.release,
        demo=opened.demo,
        labels=opened.labels,
    )
