"""How many tokens a text has, roughly: for reservations before a call, and for bills when nobody told.

A vocabulary in memory would cost more than the rest of a worker, so this is an estimate: pieces of a text by kind,
with weights fitted to the o200k vocabulary on prose in 25 languages, code, markup and JSON. Over a text of some length
it is within a sixth of the truth in every one of them; `tests/providers/test_tokens.py` holds it to that. Where another
vocabulary is known, `FAMILIES` says how much finer it cuts each kind of piece, fitted in the same way: a corpus comes
out within five per cent, a single page within about ten. No count of ours is exact.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
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
    "alphabet": (0.771, 0.195),
    "han": (0.0, 0.759),
    "kana": (0.0, 0.66),
    "hangul": (0.0, 0.64),
    "letter": (0.0, 0.365),
    "other": (0.5, 0.0),  # signs of all kinds, emoji among them
}
_KINDS = ("word", "accented", "digits", "space", "alphabet", "han", "kana", "hangul", "sign", "letter", "other")
# How many times as many tokens as by these weights, for each kind of piece in this order. By the vocabularies o200k,
# Mistral v3, DeepSeek V3, Qwen3, Kimi K2, GLM-4, Gemma 3 and Llama 3.
FAMILIES: Mapping[str, tuple[float, ...]] = {
    "openai": (1.02, 1.07, 1.03, 0.83, 0.97, 0.94, 1.07, 1.01, 0.97, 1.02, 0.89),
    "mistral": (1.10, 1.14, 1.62, 0.76, 1.08, 1.13, 0.98, 0.91, 0.94, 1.02, 1.74),
    "deepseek": (1.09, 1.72, 1.02, 0.74, 1.19, 0.79, 1.00, 1.23, 1.04, 1.27, 0.66),
    "qwen": (1.10, 1.51, 1.67, 0.60, 1.34, 0.73, 0.81, 1.17, 0.87, 1.31, 2.21),
    "moonshot": (1.14, 2.06, 1.11, 0.65, 1.49, 0.68, 1.26, 1.56, 0.82, 1.68, 2.44),
    "zhipu": (1.07, 1.31, 1.18, 0.71, 1.02, 0.61, 0.90, 1.50, 0.90, 1.32, 2.50),
    "gemini": (1.02, 1.03, 1.52, 1.30, 0.93, 0.88, 0.76, 0.92, 1.15, 1.09, 0.30),
    "llama": (1.12, 1.25, 1.11, 0.56, 1.14, 0.96, 0.99, 1.06, 0.89, 1.25, 1.33),
}
_USUAL = dict.fromkeys(_KINDS, 1.0)
_FACTORS = {family: dict(zip(_KINDS, factors, strict=True)) for family, factors in FAMILIES.items()}
_FACTORS["azure-openai"] = _FACTORS["openai"]

# Whose vocabulary a model has, by its name: servers and resellers have the models of many.
_NAMES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (family, re.compile(pattern, re.IGNORECASE))
    for family, pattern in (
        ("deepseek", r"deepseek"),
        ("qwen", r"qwen|qwq"),
        ("moonshot", r"kimi|moonshot"),
        ("zhipu", r"\bglm|chatglm"),
        ("gemini", r"gemini|gemma"),
        ("llama", r"llama"),
        ("mistral", r"mistral|ministral|mixtral|codestral|magistral|devstral|pixtral"),
        ("openai", r"\bgpt-|text-embedding-(?:3|ada)|\bo[134]\b"),
    )
)


def family_of(kind: str, model: str) -> str:
    """By the name of the model; the kind's own where that says nothing."""
    for family, pattern in _NAMES:
        if pattern.search(model):
            return family
    return kind


_SAMPLES, _SAMPLE = 24, 1024  # of a text too long to be read as a whole
_WHOLE = 2 * _SAMPLES * _SAMPLE


def count_tokens(family: str, text: str) -> int:
    """`family` is the slug of a kind, or `family_of` a model; one that is not known counts by the weights alone."""
    if not text:
        return 0
    factors = _FACTORS.get(family, _USUAL)
    if len(text) <= _WHOLE:
        weight = _weigh(text, factors)
    else:
        step = len(text) / _SAMPLES
        pieces = [text[int(n * step) : int(n * step) + _SAMPLE] for n in range(_SAMPLES)]
        weight = sum(_weigh(piece, factors) for piece in pieces) * len(text) / sum(map(len, pieces))
    return max(1, math.ceil(weight))


def _weigh(text: str, factors: Mapping[str, float]) -> float:
    total = 0.0
    for piece in _PIECE.finditer(text):
        kind, length = piece.lastgroup or "other", piece.end() - piece.start()
        if kind == "word":
            weight = 0.886 if length <= _LONG_WORD else 0.886 + 0.666 * (length - _LONG_WORD)
        elif kind == "blank":
            continue  # goes with the word that follows
        elif kind == "digits":
            weight = 1.595 * -(-length // 3)
        elif kind == "sign":
            weight = 0.844 * -(-length // 2)
        else:
            each, per_character = _WEIGHTS[kind]
            weight = each + per_character * length
        total += weight * factors[kind]
    return total


def count_roughly(text: str) -> int:
    """From its length alone, and rather too many: for what must not be looked at letter by letter."""
    return 1 + (len(text) if text.isascii() else len(text.encode("utf-8", "replace"))) // _BYTES_PER_TOKEN


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
