"""Anthropic's own wire, Messages: one version of it, pinned, and a key in a header of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from providers.adapters import refusals
from providers.adapters.asked import read
from providers.adapters.asking import headers_of, url_of
from providers.adapters.events import EVENTS, UNREADABLE
from providers.adapters.message_answers import MessageDecoder, read_answer, reported
from providers.adapters.messages import body_of
from providers.chat import ChatAnswer, ChatRequest, EmbeddingAnswer, EmbeddingRequest
from providers.errors import BadRequest, ProviderError
from providers.wiring import Decoder, HttpAnswer, HttpRequest, ListedModel, Target

# Newer versions refuse more: sampling for one, also from models that take it.
VERSION = "2023-06-01"
MOST_MODELS = 5_000
_LONGEST_ID = 200

_encoder = msgspec.json.Encoder()

# What its list says a model can do, by our own names.
_ABILITIES: Mapping[str, str] = {
    "vision": "image_input",
    "json": "structured_outputs",
    "reasoning": "thinking",
}


class AnthropicAdapter:
    # -- asking -------------------------------------------------------------------

    def chat_request(self, request: ChatRequest, target: Target) -> tuple[HttpRequest, list[str]]:
        body, warnings = body_of(read(request, target), target, stream=request.stream)
        headers = _headers(target)
        headers["accept"] = EVENTS if request.stream else "application/json"
        url = url_of(target, target.kind.chat_path)
        return HttpRequest("POST", url, headers, _encoder.encode(body), target.kind), warnings

    # -- being answered -----------------------------------------------------------

    def chat_answer(self, answer: HttpAnswer, target: Target) -> ChatAnswer:
        return read_answer(answer, target)

    def decoder(self, request: ChatRequest, target: Target) -> Decoder:
        return MessageDecoder(target)

    def error(self, answer: HttpAnswer, target: Target) -> ProviderError:
        return refusals.refusal(answer.status, answer.headers, answer.body, target)

    # -- the list of models ---------------------------------------------------------

    def models_request(self, target: Target) -> HttpRequest | None:
        return _get(target, target.kind.models_path)

    def models_after(self, request: HttpRequest, answer: HttpAnswer, target: Target) -> HttpRequest | None:
        told = _decoded(answer, target)
        last = told.get("last_id")
        if told.get("has_more") is not True or not isinstance(last, str) or not last:
            return None
        return _get(target, f"{target.kind.models_path}&after_id={quote(last, safe='')}")

    def models_answer(self, answer: HttpAnswer, target: Target) -> list[ListedModel]:
        if answer.status >= 400:
            raise self.error(answer, target)
        told = _decoded(answer, target)
        if told.get("error") is not None:
            raise reported(told["error"], target)
        entries = told.get("data")
        if not isinstance(entries, list):
            raise refusals.unreadable(target, "sent no list of models where one belongs.")
        hidden = re.compile(target.kind.hides) if target.kind.hides else None
        models = {model.id: model for entry in entries[:MOST_MODELS] if (model := _listed(entry))}
        return [model for model in models.values() if hidden is None or not hidden.search(model.id)]

    def health_request(self, target: Target) -> HttpRequest | None:
        return _get(target, target.kind.health_path)

    # -- embeddings -----------------------------------------------------------------

    def embedding_request(self, request: EmbeddingRequest, target: Target) -> tuple[HttpRequest, list[str]]:
        raise BadRequest(f"{target.kind.name} has no embeddings.", param="model", sent=False)

    def embedding_answer(self, answer: HttpAnswer, target: Target) -> EmbeddingAnswer:
        raise refusals.unreadable(target, "was never asked for embeddings.")


def _headers(target: Target) -> dict[str, str]:
    return {**headers_of(target), "anthropic-version": VERSION}


def _get(target: Target, path: str) -> HttpRequest:
    return HttpRequest("GET", url_of(target, path), _headers(target), kind=target.kind)


def _decoded(answer: HttpAnswer, target: Target) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(answer.body)
    except UNREADABLE:
        raise refusals.unreadable(target, "sent a list of models that is not JSON.") from None
    return value if isinstance(value, dict) else {}


def _listed(entry: Any) -> ListedModel | None:
    """One that can still be called."""
    name = entry.get("id") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_ID or not name.isprintable():
        return None
    if entry.get("lifecycle") == "retired":
        return None
    title = entry.get("display_name")
    return ListedModel(
        name,
        _count(entry, "max_input_tokens"),
        _count(entry, "max_tokens"),
        name=title[:_LONGEST_ID] if isinstance(title, str) and title.isprintable() else "",
        capabilities=_capabilities(entry.get("capabilities")),
    )


def _count(entry: Mapping[str, Any], name: str) -> int | None:
    count = entry.get(name)
    return count if isinstance(count, int) and not isinstance(count, bool) and 0 < count < 2**31 else None


def _capabilities(told: Any) -> dict[str, bool]:
    said: dict[str, bool] = {}
    for ability, name in _ABILITIES.items():
        support = told.get(name) if isinstance(told, dict) else None
        supported = support.get("supported") if isinstance(support, dict) else None
        if isinstance(supported, bool):
            said[ability] = supported
    return said
