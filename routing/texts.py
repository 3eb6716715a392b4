"""What does the request say? The words of its last turn and a little of what stands around it, at a bounded price."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from providers.chat import Fields

MOST_BYTES = 64 * 1024  # of messages that are read whole; of longer ones only the end
MOST_LETTERS = 4_000
MOST_PARTS = 32  # of the content of a message, from both ends

_messages = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_any = msgspec.json.Decoder()
_parts = msgspec.json.Decoder(list[msgspec.Raw])


class Said(msgspec.Struct, frozen=True):
    text: str  # what the user said last, both ends of it where it is long
    turns: int  # of the user
    whole: bool  # all of the messages were read


NOTHING = Said("", 0, True)


def said_in(fields: Fields) -> Said:
    raw = bytes(fields.get("messages", b"[]"))
    try:
        messages = _messages.decode(raw)
    except msgspec.DecodeError:
        return NOTHING
    asked = [message for message in messages if bytes(message.get("role", b"")) == b'"user"']
    if not asked:
        return NOTHING
    return Said(ends(_text(asked[-1].get("content", msgspec.Raw(b'""')))), len(asked), len(raw) <= MOST_BYTES)


def _text(content: msgspec.Raw) -> str:
    if bytes(memoryview(content)[:1]) != b"[":
        told = _any.decode(content)
        return told if isinstance(told, str) else ""
    parts = _parts.decode(content)
    if len(parts) > MOST_PARTS:
        parts = parts[: MOST_PARTS // 2] + parts[-MOST_PARTS // 2 :]
    return "\n".join(_texts(map(_any.decode, parts)))


def _texts(parts: Iterable[Any]) -> Iterator[str]:
    for part in parts:
        text = part.get("text") if isinstance(part, dict) else None
        if isinstance(text, str):
            yield text


def ends(text: str, most: int = MOST_LETTERS) -> str:
    """A question stands before or after what it is about."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]}\n{text[-half:]}"
