"""An answer with embeddings: as many vectors as texts, in their order, or no answer at all.

The OpenAI wire, where some servers answer in base64 although nobody asked for it, and one knows only bytes; and the
bare list of vectors of feature extraction, which counts no tokens.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from providers.adapters import refusals
from providers.chat import EmbeddingAnswer, Usage
from providers.errors import ProviderError
from providers.wiring import HttpAnswer, Target

Answer = TypeVar("Answer")

OPENAI_FORM, FEATURES_FORM, BYTES_FORM = "openai", "features", "int8"
INPUTS: Mapping[str, str] = {FEATURES_FORM: "inputs"}  # by form: the field that has the texts, where it is not `input`
ASKED: Mapping[str, Mapping[str, str]] = {BYTES_FORM: {"encoding_format": "base64_int8"}}


class _Vector(msgspec.Struct):
    embedding: list[float] | str
    index: int = -1


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    total_tokens: int = 0


class _Answer(msgspec.Struct):
    data: list[_Vector]
    model: str = ""
    usage: _Usage | None = None


_decoder = msgspec.json.Decoder(_Answer)
_bare = msgspec.json.Decoder(list[list[float]])


def decoded(decoder: msgspec.json.Decoder[Answer], answer: HttpAnswer, target: Target) -> Answer:
    """On a wire of its own."""
    try:
        return decoder.decode(answer.body)
    except refusals.UNREADABLE:
        raise no_embeddings(target) from None


def no_embeddings(target: Target) -> ProviderError:
    return refusals.unreadable(target, "sent no embeddings where they belong.")


def read_embeddings(body: bytes, target: Target) -> EmbeddingAnswer:
    try:
        if target.kind.embeddings_form == FEATURES_FORM:
            return EmbeddingAnswer(target.model, _bare.decode(body))
        answer = _decoder.decode(body)
        read = _bytes if target.kind.embeddings_form == BYTES_FORM else _numbers
        vectors = [read(vector.embedding) for vector in _in_order(answer.data)]
    except (*refusals.UNREADABLE, ValueError):
        raise _instead(body, target) from None
    return EmbeddingAnswer(answer.model or target.model, vectors, _usage(answer.usage))


def _in_order(vectors: list[_Vector]) -> list[_Vector]:
    """By their numbers, where they have some. Raises ValueError when two have the same one."""
    numbers = {vector.index for vector in vectors}
    if len(numbers) == 1:
        return vectors  # one, or none has a number of its own
    if numbers != set(range(len(vectors))):
        raise ValueError("the vectors are not numbered as the texts are")
    return sorted(vectors, key=lambda vector: vector.index)


def _numbers(embedding: list[float] | str) -> list[float]:
    if isinstance(embedding, list):
        return embedding
    data = base64.b64decode(embedding, validate=True)
    if len(data) % 4:
        raise ValueError("not a row of 32-bit numbers")
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def _bytes(embedding: list[float] | str) -> list[float]:
    """Each number a byte with a sign. They are compared by their direction, so their size is left as it is."""
    if isinstance(embedding, list):
        return embedding
    data = base64.b64decode(embedding, validate=True)
    return [float(number) for number in struct.unpack(f"<{len(data)}b", data)]


def _usage(said: _Usage | None) -> Usage | None:
    tokens = (said.prompt_tokens or said.total_tokens) if said is not None else 0
    return Usage(input=tokens) if tokens > 0 else None


def _instead(body: bytes, target: Target) -> ProviderError:
    """What came where embeddings belong: an error with a status of 200, or nothing that can be read."""
    try:
        value = msgspec.json.decode(body)
    except refusals.UNREADABLE:
        value = None
    if isinstance(value, dict) and value.get("error"):
        return refusals.reported(value["error"], target)
    return no_embeddings(target)
