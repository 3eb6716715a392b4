"""What a journal's file looks like: one record a line, its checksum in front, so that damage is seen and survived.

`1c291ca3 ["settled", ...]`: the CRC-32 of the JSON in hex, a blank, the JSON. JSON, because a request's decision is
JSON already and goes through to the database as it is, and because a person can read it. A line that was cut off or
changed does not fit its checksum; the next one begins after the line feed.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from zlib import crc32

import msgspec

from billing.records import Record

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode

CHECK = 9  # bytes of checksum and blank
_ID = re.compile(rb"req_[0-9a-f]{32}")


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


def records_in(lines: bytes, about: Container[str] | None = None) -> Iterator[Record | Damaged]:
    """The records of whole lines; with `about`, only those of these requests."""
    for line in lines.split(b"\n")[:-1]:
        if about is None or _request_of(line) in about:
            yield record_of(line)


def _request_of(line: bytes) -> str:
    """Without decoding it: each kind of record begins with its request's id, or with one that begins so."""
    found = _ID.search(line)
    return found[0].decode() if found else ""


def record_of(line: bytes) -> Record | Damaged:
    text = line[CHECK:]
    if line[:CHECK] != b"%08x " % crc32(text):
        return Damaged(line)
    try:
        record: Record = _decode(text)
    except msgspec.DecodeError:
        return Damaged(line)
    return record
