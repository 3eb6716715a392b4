"""Bytes to server-sent events, as they come from the network: cut anywhere, with any legal line ending. No I/O.

A decoder yields `(data, frame)` pairs: what the event says, and bytes that say it again to somebody else. The frame
is the very piece that arrived where it was plain (`data: ...` and an empty line), else it is written anew. A comment
has data of None. Most of what arrives is whole plain events, so those are cut by `split` and not line by line.
"""

from __future__ import annotations

from providers.errors import TooLarge

EVENT_BYTES = 8 * 1024 * 1024  # a picture in an answer is one event

Event = tuple[bytes | None, bytes]

_USUAL_NAMES = (b"", b"message", b"error")
_BOM = b"\xef\xbb\xbf"
COMMENT: Event = (None, b"")


class EventDecoder:
    """`feed` it what arrives, `close` it at the end."""

    __slots__ = ("_after_cr", "_data", "_limit", "_line", "_line_bytes", "_name", "_size", "_started")

    def __init__(self, limit: int = EVENT_BYTES) -> None:
        self._limit = limit
        self._line: list[bytes] = []  # pieces of a line that has not ended
        self._line_bytes = 0
        self._data: list[bytes] = []  # lines of an event that has not ended
        self._size = 0  # of those
        self._name = b""
        self._after_cr = False  # a line feed that comes now ends no line: its carriage return did
        self._started = False

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        if not self._started:
            data = self._without_mark(data)
        if b"\r" in data or self._after_cr:
            self._read(data, events)
            return events
        if self._line or self._data:
            # The rest of an event whose beginning came before.
            end = data.find(b"\n\n") + 2
            if end < 2:
                self._read(data, events)
                return events
            self._read(data[:end], events)
            data = data[end:]
            if self._line or self._data:
                self._read(data, events)
                return events
        whole, mark, rest = data.rpartition(b"\n\n")
        if mark:
            limit = self._limit
            for part in whole.split(b"\n\n"):
                if part[:6] == b"data: " and b"\n" not in part and len(part) <= limit:
                    events.append((part[6:], part + b"\n\n"))
                else:
                    self._read(part + b"\n\n", events)
        if rest:
            self._read(rest, events)
        return events

    def close(self) -> list[Event]:
        """What an event without its last empty line said: no event by the letter, but some servers end that way."""
        events: list[Event] = []
        if self._line:
            self._read(b"\n", events)
        self._end_of_event(events)
        return events

    def _without_mark(self, data: bytes) -> bytes:
        """A byte order mark may open the stream, and may itself be cut."""
        data = b"".join([*self._line, data])
        self._line.clear()
        self._line_bytes = 0
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._line.append(data)
            self._line_bytes = len(data)
            return b""
        self._started = True
        return data.removeprefix(_BOM)

    def _read(self, data: bytes, events: list[Event]) -> None:
        """Line by line, by the letter."""
        if not data:
            return
        if self._after_cr and data[:1] == b"\n":
            data = data[1:]
        self._after_cr = data[-1:] == b"\r"
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = data.split(b"\n")
        for line in lines:
            if self._line:
                self._line.append(line)
                line = b"".join(self._line)
                self._line.clear()
                self._line_bytes = 0
            self._take(line, events)
        if rest:
            self._line.append(rest)
            self._line_bytes += len(rest)
            if self._line_bytes + self._size > self._limit:
                raise self._too_large()

    def _take(self, line: bytes, events: list[Event]) -> None:
        if not line:
            self._end_of_event(events)
        elif line[:1] == b":":
            events.append(COMMENT)
        else:
            field, _, value = line.partition(b":")
            if field == b"data":
                value = value.removeprefix(b" ")
                self._data.append(value)
                self._size += len(value) + 1
                if self._size > self._limit:
                    raise self._too_large()
            elif field == b"event":
                self._name = value.strip()

    def _end_of_event(self, events: list[Event]) -> None:
        name, self._name = self._name, b""
        if self._data:
            data = b"\n".join(self._data)
            self._data.clear()
            self._size = 0
            if name in _USUAL_NAMES or data[:1] in b"{[":
                events.append((data, framed(data)))
            else:
                events.append(COMMENT)  # a ping, or whatever else a server says beside the answer

    def _too_large(self) -> TooLarge:
        return TooLarge(f"An event of the answer is longer than {self._limit:,} bytes.")


def framed(data: bytes) -> bytes:
    """An event that says this."""
    return b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n"
