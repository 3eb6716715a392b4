"""Server-sent events of a wire that must be translated."""

from __future__ import annotations

from abc import abstractmethod

from providers.adapters import refusals
from providers.adapters.answers import as_events
from providers.adapters.streams import DONE, EVENTS, EventStream
from providers.chat import ChatAnswer, Event, KeepAlive
from providers.errors import ProviderError


class TranslatingDecoder(EventStream):
    """One stream. A wire says what one event means (`_translate`) and what a whole answer is (`_read`)."""

    __slots__ = ()

    @abstractmethod
    def _translate(self, said: bytes, events: list[Event]) -> None:
        """What one event means. May raise what cannot be decoded, and the error that the event reports."""

    @abstractmethod
    def _read(self, body: bytes) -> ChatAnswer:
        """What a whole answer means."""

    def _of_whole_answer(self, body: bytes) -> list[Event]:
        return as_events(self._read(body))

    def _is_whole(self, said: bytes) -> bool:
        return said[:1] == b"{" and said[-1:] == b"}"  # what is wrong inside is reported

    def _take(self, said: bytes, frame: bytes, events: list[Event]) -> None:
        if said == DONE:  # a mark of another wire
            events.append(KeepAlive())
            return
        try:
            if not said.isascii():
                said.decode()
            self._translate(said, events)
        except ProviderError as error:
            self._fail(error, events)
        except refusals.UNREADABLE:
            self._fail(refusals.broken(self._target, "sent an event that cannot be read."), events)


def is_stream(content_type: str, body: bytes) -> bool:
    """A stream where a whole answer was asked for."""
    return EVENTS in content_type or body[:6] == b"event:" or body[:5] == b"data:"
