"""Bytes to messages of AWS's binary event stream (`application/vnd.amazon.eventstream`), cut anywhere. No I/O.

A message is: its length (4 bytes, big endian), the length of its headers (4), a CRC of those eight bytes (4), headers,
payload, and a CRC of all before (4). Both CRCs are checked, the first as soon as it is there: what is no such stream is
told from its first twelve bytes, and no length is believed that was not.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple
from zlib import crc32

from providers.errors import InvalidAnswer, ProviderError, TooLarge

MESSAGE_BYTES = 24 * 1024 * 1024
HEADERS_BYTES = 128 * 1024
_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_LEAST = _PRELUDE.size + _CRC.size
_HEADERS_KEPT = 64  # different sets of headers that are remembered, since a stream has only a few
_SHORT = 512  # bytes of headers that are worth remembering

Value = str | bytes | int | bool


class Message(NamedTuple):
    headers: Mapping[str, Value]
    payload: bytes


class MessageDecoder:
    """`feed` it what arrives. It never raises, so that what came before something broken is not lost: `fault` is what
    is wrong, and then nothing more comes."""

    __slots__ = ("_held", "_known", "_limit", "_wanted", "fault")

    def __init__(self, limit: int = MESSAGE_BYTES) -> None:
        self.fault: ProviderError | None = None
        self._limit = limit
        self._held = bytearray()  # of a message that is not all there
        self._wanted = _PRELUDE.size  # how many are needed to know more
        self._known: dict[bytes, Mapping[str, Value]] = {}

    @property
    def between(self) -> bool:
        """Whether a body may end here: no message has begun that is not whole."""
        return not self._held and self.fault is None

    def feed(self, data: bytes) -> list[Message]:
        if self.fault is not None:
            return []
        if self._held or len(data) < self._wanted:
            self._held += data
            if len(self._held) < self._wanted:
                return []
            data = bytes(self._held)
            self._held.clear()
        messages: list[Message] = []
        try:
            rest = self._read(data, messages)
        except ProviderError as error:
            self.fault = error
            return messages
        self._held += data[rest:]
        return messages

    def _read(self, data: bytes, messages: list[Message]) -> int:
        """Where the first message begins that is not whole."""
        at, size = 0, len(data)
        self._wanted = _PRELUDE.size
        while size - at >= _PRELUDE.size:
            length, headers_length = self._prelude(data, at)
            if size - at < length:
                self._wanted = length
                break
            messages.append(self._message(data, at, length, headers_length))
            at += length
        return at

    def _prelude(self, data: bytes, at: int) -> tuple[int, int]:
        length, headers_length, told = _PRELUDE.unpack_from(data, at)
        if crc32(data[at : at + 8]) != told:
            raise _broken("its lengths do not match their checksum")
        if length < _LEAST + headers_length:
            raise _broken("its headers are longer than itself")
        if length > self._limit or headers_length > HEADERS_BYTES:
            raise TooLarge(f"A message of the answer is longer than {self._limit:,} bytes.")
        return length, headers_length

    def _message(self, data: bytes, at: int, length: int, headers_length: int) -> Message:
        end = at + length - _CRC.size
        (told,) = _CRC.unpack_from(data, end)
        if crc32(data[at:end]) != told:
            raise _broken("it does not match its checksum")
        body = at + _PRELUDE.size + headers_length
        return Message(self._headers(data[at + _PRELUDE.size : body]), data[body:end])

    def _headers(self, data: bytes) -> Mapping[str, Value]:
        headers = self._known.get(data)
        if headers is None:
            headers = read_headers(data)
            if len(data) <= _SHORT and len(self._known) < _HEADERS_KEPT:
                self._known[data] = headers
        return headers


# -- headers ------------------------------------------------------------------------

_NUMBERS = {kind: struct.Struct(form) for kind, form in ((2, ">b"), (3, ">h"), (4, ">i"), (5, ">q"), (8, ">q"))}
_LENGTH = struct.Struct(">H")
_TRUE, _FALSE, _BYTES, _TEXT, _UUID = 0, 1, 6, 7, 9


def read_headers(data: bytes) -> Mapping[str, Value]:
    headers: dict[str, Value] = {}
    at = 0
    try:
        while at < len(data):
            end = at + 1 + data[at]
            name = _within(data, at + 1, end).decode()
            value, at = _value(data, end + 1, data[end])
            if name in headers:
                raise _broken("a header is in it twice")
            headers[name] = value
    except (IndexError, struct.error, UnicodeDecodeError):
        raise _broken("its headers cannot be read") from None
    return headers


def _value(data: bytes, at: int, kind: int) -> tuple[Value, int]:
    if kind in (_TRUE, _FALSE):
        return kind == _TRUE, at
    if kind in _NUMBERS:
        number: int = _NUMBERS[kind].unpack_from(data, at)[0]
        return number, at + _NUMBERS[kind].size
    if kind == _UUID:
        return _within(data, at, at + 16), at + 16
    if kind not in (_BYTES, _TEXT):
        raise IndexError
    end = at + 2 + _LENGTH.unpack_from(data, at)[0]
    value = _within(data, at + 2, end)
    return (value.decode() if kind == _TEXT else value), end


def _within(data: bytes, start: int, end: int) -> bytes:
    if end > len(data):
        raise IndexError
    return data[start:end]


def _broken(why: str) -> InvalidAnswer:
    return InvalidAnswer(f"A message of the answer is broken: {why}.", code="upstream_protocol_error")


# -- writing ------------------------------------------------------------------------


def written(headers: Mapping[str, str], payload: bytes) -> bytes:
    """A message with these headers, all of them texts."""
    head = b"".join(
        bytes((len(name.encode()),))
        + name.encode()
        + bytes((_TEXT,))
        + _LENGTH.pack(len(value.encode()))
        + value.encode()
        for name, value in headers.items()
    )
    lengths = struct.pack(">II", _LEAST + len(head) + len(payload), len(head))
    message = lengths + _CRC.pack(crc32(lengths)) + head + payload
    return message + _CRC.pack(crc32(message))
