"""What does the request say? The words of its last turn and a little of what stands around it, at a bounded price."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from providers.chat import Fields

MOST_BYTES = 64 * 1024  # of messages that are read whole; of longer ones only the end
MOST_LETTERS = 4_000

_messages = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_any = msgspec.json.Decoder()


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
    told = _any.decode(content)
    if isinstance(told, str):
        return told
    return "\n".join(_parts(told)) if isinstance(told, list) else ""


def _parts(parts: list[Any]) -> Iterator[str]:
    for part in parts:
        text = part.get("text") if isinstance(part, dict) else None
        if isinstance(text, str):
            yield text


def ends(text: str, most: int = MOST_LETTERS) -> str:
    """A question stands before or after what it is about."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]}\n{text[-half:]}"
