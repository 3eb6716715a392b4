"""How many tokens a text has, roughly: for reservations before a call, and for bills when nobody told.

A vocabulary in memory would cost more than the rest of a worker, so this is an estimate: pieces of a text by kind,
with weights fitted to the o200k vocabulary on prose in 25 languages, code, markup and JSON. Over a text of some length
it is within a sixth of the truth in every one of them; `tests/providers/test_tokens.py` holds it to that.
"""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from providers.chat import Fields

PER_MESSAGE = 4  # what the role and the frame of one message cost
PER_REQUEST = 3  # the start of the answer
PER_IMAGE = 800  # a picture of usual size; who sends many is billed by what the provider reports

_PIECE = re.compile(
    r"(?P<word>[A-Za-z]+)|(?P<accented>[A-Za-z\u00c0-\u024f\u1e00-\u1eff]+)|(?P<digits>\d+)|(?P<space>\s{2,}|[\n\t])"
    r"|(?P<blank> )|(?P<alphabet>[\u0370-\u052f]+)|(?P<han>[\u3400-\u9fff\uf900-\ufaff]+)|(?P<kana>[\u3040-\u30ff]+)"
    r"|(?P<hangul>[\uac00-\ud7af]+)|(?P<sign>[!-/:-@\[-`{-~]+)|(?P<letter>[^\W\d_]+)|(?P<other>.)",
    re.DOTALL,
)
_LONG_WORD = 8
# Tokens a piece of that kind has: for the piece itself, and for each of its characters.
_WEIGHTS: dict[str, tuple[float, float]] = {
    "accented": (0.0, 0.416),
    "space": (1.14, 0.0),
    "blank": (0.0, 0.0),  # goes with the word that follows
    "alphabet": (0.771, 0.195),
    "han": (0.0, 0.759),
    "kana": (0.0, 0.66),
    "hangul": (0.0, 0.64),
    "letter": (0.0, 0.365),
    "other": (0.5, 0.0),  # signs of all kinds, emoji among them
}
# How much more other vocabularies need than o200k, over the same texts.
_FACTORS = {"mistral": 1.09}

_SAMPLES, _SAMPLE = 24, 1024  # of a text too long to be read as a whole
_WHOLE = 2 * _SAMPLES * _SAMPLE


def count_tokens(family: str, text: str) -> int:
    """`family` is the slug of a kind; one that is not known counts like the others."""
    if not text:
        return 0
    if len(text) <= _WHOLE:
        weight = _weigh(text)
    else:
        step = len(text) / _SAMPLES
        pieces = [text[int(n * step) : int(n * step) + _SAMPLE] for n in range(_SAMPLES)]
        weight = sum(map(_weigh, pieces)) * len(text) / sum(map(len, pieces))
    return max(1, math.ceil(weight * _FACTORS.get(family, 1.0)))


def _weigh(text: str) -> float:
    total = 0.0
    for piece in _PIECE.finditer(text):
        kind, length = piece.lastgroup or "other", piece.end() - piece.start()
        if kind == "word":
            total += 0.886 if length <= _LONG_WORD else 0.886 + 0.666 * (length - _LONG_WORD)
        elif kind == "digits":
            total += 1.595 * -(-length // 3)
        elif kind == "sign":
            total += 0.844 * -(-length // 2)
        else:
            each, per_character = _WEIGHTS[kind]
            total += each + per_character * length
    return total


# -- requests -----------------------------------------------------------------------

_COUNTED = ("messages", "tools", "functions", "response_format")
_BYTES_PER_TOKEN = 3  # of JSON; prose has four, code and most other scripts hardly less than three


def count_request(family: str, fields: Fields) -> int:
    """On the way of every request, so from lengths alone: rather too many than too few."""
    size = 0
    for name in _COUNTED:
        raw = fields.get(name)
        if raw is not None:
            size += len(raw)
    if b'"image_url"' in bytes(fields.get("messages", b"")):
        return count_request_exactly(family, fields)  # its length says nothing: bytes cost little, a link much
    return PER_REQUEST + size // _BYTES_PER_TOKEN


class _Message(msgspec.Struct):
    role: str = ""
    content: Any = None
    tool_calls: Any = None


_messages = msgspec.json.Decoder(list[_Message])


def count_request_exactly(family: str, fields: Fields) -> int:
    """As exactly as texts can be counted here: for a bill when the provider did not say."""
    tokens = PER_REQUEST
    raw = fields.get("messages")
    if raw is not None:
        try:
            tokens += sum(_of_message(family, message) for message in _messages.decode(raw))
        except msgspec.DecodeError:
            tokens += len(bytes(raw)) // _BYTES_PER_TOKEN  # some shape of messages that we do not know
    for name in _COUNTED[1:]:
        more = fields.get(name)
        if more is not None:
            tokens += count_tokens(family, bytes(more).decode(errors="replace"))
    return tokens


def _of_message(family: str, message: _Message) -> int:
    tokens = PER_MESSAGE
    content = message.content
    if isinstance(content, str):
        tokens += count_tokens(family, content)
    elif isinstance(content, list):
        tokens += sum(_of_part(family, part) for part in content)
    if message.tool_calls:
        tokens += count_tokens(family, msgspec.json.encode(message.tool_calls).decode())
    return tokens


def _of_part(family: str, part: Any) -> int:
    if not isinstance(part, dict):
        return 0
    text = part.get("text") or part.get("refusal")
    return count_tokens(family, text) if isinstance(text, str) else PER_IMAGE
