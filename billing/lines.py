"""What a journal's file looks like: one record a line, its checksum in front, so that damage is seen and survived.

`1c291ca3 ["settled", ...]`: the CRC-32 of the JSON in hex, a blank, the JSON. JSON, because a request's decision is
JSON already and goes through to the database as it is, and because a person can read it. A line that was cut off or
changed does not fit its checksum; the next one begins after the line feed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from zlib import crc32

import msgspec

from billing.records import Record

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode

CHECK = 9  # bytes of checksum and blank


def line_of(record: Record) -> bytes:
    """Raises UnicodeEncodeError for half of a surrogate pair, which no file can hold."""
    text = _encode(record)
    if b"\n" in text:  # only a decision that somebody laid out for people
        text = msgspec.json.format(text, indent=-1)
    return b"%08x %s\n" % (crc32(text), text)


@dataclass(frozen=True, slots=True)
class Damaged:
    """A line that does not fit its checksum, or that this version cannot read."""

    line: bytes


def records_in(lines: bytes, about: Collection[bytes] = ()) -> Iterator[Record | Damaged]:
    """The records of whole lines; with `about`, only those in which one of these occurs."""
    for line in lines.split(b"\n")[:-1]:
        if not about or any(words in line for words in about):
            yield record_of(line)


def record_of(line: bytes) -> Record | Damaged:
    text = line[CHECK:]
    if line[:CHECK] != b"%08x " % crc32(text):
        return Damaged(line)
    try:
        record: Record = _decode(text)
    except msgspec.DecodeError:
        return Damaged(line)
    return record
