"""An answer on its way in, whatever its wire: how it fails, how it ends, and what may come where a stream belongs.

`AnswerStream` is for every framing, `EventStream` for those that come as server-sent events. A wire says what is in
them; everything else is the same for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import msgspec

from providers.adapters import refusals
from providers.chat import Ended, Event, Failed, KeepAlive
from providers.errors import ProviderError, TooLarge
from providers.sse import EVENT_BYTES, EventDecoder
from providers.wiring import Target

EVENTS = "text/event-stream"
DONE = b"[DONE]"


class AnswerStream(ABC):
    """One answer. After its end, or an error, nothing that comes counts."""

    __slots__ = ("_ended", "_target")

    def __init__(self, target: Target) -> None:
        self._target = target
        self._ended = False

    @abstractmethod
    def feed(self, data: bytes) -> list[Event]: ...

    @abstractmethod
    def close(self) -> list[Event]: ...

    def _end(self, events: list[Event], frame: bytes = b"") -> None:
        self._ended = True
        events.append(Ended(frame))

    def _fail(self, error: ProviderError, events: list[Event]) -> None:
        self._ended = True
        events.append(Failed(error))


class EventStream(AnswerStream):
    """One answer in server-sent events. A body that is no stream although one was asked for is told by its first byte.

    JSON is taken for a whole answer and told as a stream, a web page is no answer at all.
    """

    __slots__ = ("_sniffed", "_sse", "_whole", "_whole_bytes")

    def __init__(self, target: Target, sse: EventDecoder | None = None) -> None:
        super().__init__(target)
        self._sse = sse or EventDecoder()
        self._sniffed = False
        self._whole: list[bytes] | None = None
        self._whole_bytes = 0

    @abstractmethod
    def _take(self, said: bytes, frame: bytes, events: list[Event]) -> None:
        """What one event means."""

    @abstractmethod
    def _of_whole_answer(self, body: bytes) -> list[Event]:
        """What a whole answer means, told as a stream."""

    def _stop(self, events: list[Event]) -> None:
        """The body is over, and nothing in it said that the answer is."""
        raise refusals.interrupted(self._target)

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        if self._ended or (not self._sniffed and not self._looks_like_events(data)):
            return events
        for said, frame in self._sse.feed(data):
            if said is None:
                events.append(KeepAlive())
                continue
            self._take(said, frame, events)
            if self._ended:
                break
        return events

    def close(self) -> list[Event]:
        events: list[Event] = []
        if self._ended:
            return events
        if self._whole is not None:
            self._ended = True
            return self._of_whole_answer(b"".join(self._whole))
        for said, frame in self._sse.close():
            if said is not None and self._is_whole(said):
                self._take(said, frame, events)
        if self._ended:
            return events
        if not self._sniffed:
            raise refusals.unreadable(self._target, "sent an empty answer.")
        self._stop(events)
        return events

    def _is_whole(self, said: bytes) -> bool:
        """Whether the last event of the body only lacks its empty line."""
        if said == DONE:
            return True
        try:
            msgspec.json.decode(said)
        except refusals.UNREADABLE:
            return False
        return True

    def _looks_like_events(self, data: bytes) -> bool:
        if self._whole is None:
            first = data.lstrip()[:1]
            if first == b"<":
                raise refusals.unreadable(self._target, "sent a web page instead of an answer.")
            if first not in (b"{", b"["):
                self._sniffed = bool(first)
                return True
            self._whole = []
        self._whole.append(data)
        self._whole_bytes += len(data)
        if self._whole_bytes > EVENT_BYTES:
            raise TooLarge(f"The answer of {self._target.provider} is too long.", provider=self._target.provider)
        return False
