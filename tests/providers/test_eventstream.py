"""Messages of a binary event stream come out as AWS's own library reads them, however the bytes were cut."""

from __future__ import annotations

import struct
import tracemalloc
from binascii import crc32
from collections.abc import Iterable
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import InvalidAnswer, ProviderError, TooLarge
from providers.eventstream import HEADERS_BYTES, Message, MessageDecoder, written
from tests.providers.talk import cut

DELTA = bytes.fromhex(
    "0000009400000057b4ab9aee0b3a6576656e742d74797065070011636f6e74656e74426c6f636b44656c74610d3a636f6e74656e742d7479"
    "70650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e747b22636f6e74656e74426c6f63"
    "6b496e646578223a302c2264656c7461223a7b2274657874223a224869227d7d1f944657"
)


def message(headers: bytes, payload: bytes) -> bytes:
    lengths = struct.pack(">II", len(headers) + len(payload) + 16, len(headers))
    head = lengths + struct.pack(">I", crc32(lengths)) + headers + payload
    return head + struct.pack(">I", crc32(head))


def header(name: bytes, kind: int, value: bytes) -> bytes:
    return bytes([len(name)]) + name + bytes([kind]) + value


def ours(pieces: Iterable[bytes]) -> tuple[list[Message], MessageDecoder]:
    decoder = MessageDecoder()
    return [message for piece in pieces for message in decoder.feed(piece)], decoder


def theirs(data: bytes) -> list[tuple[dict[str, Any], bytes]]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [(event.headers, event.payload) for event in buffer]


CASES = {
    "the documented one": DELTA,
    "nothing in it": message(b"", b""),
    "only a payload": message(b"", b"{}"),
    "true and false": message(header(b"t", 0, b"") + header(b"f", 1, b""), b"x"),
    "numbers": message(
        header(b"byte", 2, b"\xff")
        + header(b"short", 3, b"\x80\x01")
        + header(b"int", 4, struct.pack(">i", -70_000))
        + header(b"long", 5, struct.pack(">q", 2**40)),
        b"",
    ),
    "bytes and text": message(header(b"b", 6, b"\x00\x03abc") + header(b"s", 7, b"\x00\x02\xc3\xa9"), b"x"),
    "a time and a number of its own": message(
        header(b"at", 8, struct.pack(">q", 1_795_000_000_000)) + header(b"id", 9, bytes(range(16))), b"x"
    ),
    "several": DELTA + message(b"", b"between") + DELTA,
    "written": written({":message-type": "event", ":event-type": "metadata"}, b'{"usage":{}}'),
    "a long payload": message(b"", b"x" * 100_000),
}  # fmt: skip


@pytest.mark.parametrize("data", CASES.values(), ids=CASES)
def test_messages_are_read_as_the_library_of_the_vendor_reads_them(data: bytes) -> None:
    messages, decoder = ours([data])
    assert [(dict(one.headers), one.payload) for one in messages] == theirs(data)
    assert decoder.between


def test_what_is_written_is_the_documented_message() -> None:
    (told,), _ = ours([DELTA])
    assert told.payload == b'{"contentBlockIndex":0,"delta":{"text":"Hi"}}'
    assert written({name: str(value) for name, value in told.headers.items()}, told.payload) == DELTA


@given(places=st.lists(st.integers(0, 100_000), max_size=12))
@settings(max_examples=200)
def test_any_cut_gives_the_same(places: list[int]) -> None:
    data = b"".join(CASES[name] for name in ("several", "numbers", "written", "nothing in it"))
    messages, decoder = ours(cut(data, places))
    assert messages == ours([data])[0]
    assert decoder.between


def test_byte_by_byte() -> None:
    messages, _ = ours(bytes([byte]) for byte in DELTA * 2)
    assert messages == ours([DELTA * 2])[0]


@given(garbage=st.binary(max_size=400), before=st.integers(0, 2))
@settings(max_examples=300)
def test_garbage_is_told_and_takes_nothing_away_from_what_came_before(garbage: bytes, before: int) -> None:
    decoder = MessageDecoder()
    messages = decoder.feed(DELTA * before + garbage)
    assert messages[:before] == ours([DELTA * before])[0]
    assert decoder.fault is None or isinstance(decoder.fault, ProviderError)
    assert decoder.fault is not None or decoder.between or len(garbage) < 12 or len(messages) > before


@given(place=st.integers(0, len(DELTA) - 1), bit=st.integers(0, 7))
@settings(max_examples=200)
def test_no_flipped_bit_passes(place: int, bit: int) -> None:
    broken = bytearray(DELTA)
    broken[place] ^= 1 << bit
    decoder = MessageDecoder()
    assert decoder.feed(bytes(broken) + DELTA) == []
    assert isinstance(decoder.fault, InvalidAnswer)
    assert decoder.fault.reason == "upstream_protocol_error"
    assert decoder.feed(DELTA) == [], "nothing is believed after it"


@pytest.mark.parametrize(
    "headers",
    [
        header(b"x", 7, b"\x00\x09abc"),  # a text longer than the headers
        header(b"x", 7, b"\x00\x02\xff\xfe"),  # no UTF-8
        header(b"x", 4, b"\x00"),
        header(b"x", 9, b"\x00"),
        header(b"x", 12, b""),  # of no known type
        header(b"x", 0, b"") + header(b"x", 1, b""),  # twice
        b"\x05ab",
    ],
    ids=["text", "utf-8", "number", "uuid", "type", "twice", "name"],
)
def test_broken_headers_are_told(headers: bytes) -> None:
    _, decoder = ours([message(headers, b"{}")])
    assert isinstance(decoder.fault, InvalidAnswer)


def test_lengths_that_cannot_be() -> None:
    for lengths, kind in (
        ((15, 0), InvalidAnswer),
        ((40, 30), InvalidAnswer),
        ((2**31, 0), TooLarge),
        ((HEADERS_BYTES + 100, HEADERS_BYTES + 1), TooLarge),
    ):
        head = struct.pack(">II", *lengths)
        _, decoder = ours([head + struct.pack(">I", crc32(head))])
        assert type(decoder.fault) is kind, lengths


def test_memory_is_bounded() -> None:
    """A message that never ends is told by its length, before its bytes are kept."""
    head = struct.pack(">II", 2**30, 0)
    decoder = MessageDecoder()
    decoder.feed(head + struct.pack(">I", crc32(head)))
    tracemalloc.start()
    try:
        for _ in range(100):
            decoder.feed(b"x" * 100_000)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_different_headers_are_not_all_remembered() -> None:
    decoder = MessageDecoder()
    for number in range(1000):
        (told,) = decoder.feed(written({"n": str(number)}, b""))
        assert told.headers == {"n": str(number)}
    assert len(decoder._known) <= 64
