"""Texts to numbers without a model: words and their parts are hashed into places, so shared words mean near vectors."""

from __future__ import annotations

import base64
import math
import re
import struct
from hashlib import blake2b
from typing import Any

from providers.demo import counting
from providers.demo.language import plain
from providers.demo.wire import EmbeddingAsk, Refusal

_USUAL = 256
_MOST_DIMENSIONS = 3_072
_MOST_INPUTS = 2_048
_LONGEST_INPUT = 8_192


def inputs_of(ask: EmbeddingAsk) -> list[str | list[int]]:
    """The inputs one by one; the wire allows a text, texts, tokens, or lists of tokens."""
    given = ask.input
    if isinstance(given, str):
        inputs: list[Any] = [given]
    elif isinstance(given, list) and given and all(_is_token(one) for one in given):
        inputs = [given]
    else:
        inputs = given if isinstance(given, list) else []
    if not inputs or not all(_is_input(one) for one in inputs):
        said = "'input' must be a text, a list of texts, or tokens, and none of them empty."
        raise Refusal(400, said, code="invalid_value", param="input")
    if len(inputs) > _MOST_INPUTS:
        said = f"'input' takes at most {_MOST_INPUTS} texts a request."
        raise Refusal(400, said, code="array_above_max_length", param="input")
    if any(tokens_of(one) > _LONGEST_INPUT for one in inputs):
        said = f"Each text of 'input' may have at most {_LONGEST_INPUT} tokens."
        raise Refusal(400, said, code="context_length_exceeded", param="input")
    return inputs


def dimensions_of(ask: EmbeddingAsk) -> int:
    wanted = _USUAL if ask.dimensions is None else ask.dimensions
    if not 1 <= wanted <= _MOST_DIMENSIONS:
        said = f"'dimensions' must be from 1 to {_MOST_DIMENSIONS}."
        raise Refusal(400, said, code="invalid_value", param="dimensions")
    return wanted


def tokens_of(text: str | list[int]) -> int:
    return counting.count(text) if isinstance(text, str) else len(text)


def _is_token(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_input(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(_is_token(one) for one in value)
    return isinstance(value, str) and bool(value)


def vector(text: str | list[int], dimensions: int) -> list[float]:
    """A vector of length 1; the same text always has the same one."""
    places = [0.0] * dimensions
    for feature, weight in _features(text):
        digest = int.from_bytes(blake2b(feature.encode(), digest_size=8).digest(), "big")
        places[digest % dimensions] += weight if digest >> 63 else -weight
    length = math.sqrt(sum(place * place for place in places))
    if not length:  # features that cancelled each other out: any fixed direction will do
        places[0] = length = 1.0
    return [place / length for place in places]


def _features(text: str | list[int]) -> list[tuple[str, float]]:
    if isinstance(text, list):
        return [(f"token {token}", 1.0) for token in text]
    words = re.findall(r"\w+", plain(text)) or [text]
    whole = [(word, 1.0) for word in words]
    # Beginnings tie `route`, `routes` and `routing` together.
    stems = [(f"{word[:4]}~", 0.6) for word in words if len(word) > 4]
    return whole + stems


def in_base64(numbers: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
