"""An answer with embeddings on the OpenAI wire: as many vectors as texts, in their order, or no answer at all."""

from __future__ import annotations

import msgspec

from providers.adapters import refusals
from providers.chat import EmbeddingAnswer, Usage
from providers.errors import ProviderError
from providers.wiring import Target


class _Vector(msgspec.Struct):
    embedding: list[float]
    index: int = -1


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    total_tokens: int = 0


class _Answer(msgspec.Struct):
    data: list[_Vector]
    model: str = ""
    usage: _Usage | None = None


_decoder = msgspec.json.Decoder(_Answer)


def read_embeddings(body: bytes, target: Target) -> EmbeddingAnswer:
    try:
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _instead(body, target) from None
    vectors = answer.data
    if all(vector.index >= 0 for vector in vectors):
        vectors = sorted(vectors, key=lambda vector: vector.index)
    usage = Usage(input=answer.usage.prompt_tokens or answer.usage.total_tokens) if answer.usage else None
    return EmbeddingAnswer(answer.model or target.model, [vector.embedding for vector in vectors], usage)


def _instead(body: bytes, target: Target) -> ProviderError:
    """What came where embeddings belong: an error with a status of 200, or nothing that can be read."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = None
    if isinstance(value, dict) and value.get("error"):
        return refusals.reported(value["error"], target)
    return refusals.unreadable(target, "sent no embeddings where they belong.")
