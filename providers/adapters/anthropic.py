"""Anthropic's own wire, Messages: one version of it, pinned, and a key in a header of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from providers.adapters import refusals
from providers.adapters.asked import read
from providers.adapters.asking import headers_of, url_of
from providers.adapters.lists import count_in, id_in, no_list, object_in, read_object, shown, title_in
from providers.adapters.message_answers import MessageDecoder, read_answer, reported
from providers.adapters.messages import body_of
from providers.adapters.streams import EVENTS
from providers.chat import ChatAnswer, ChatRequest, EmbeddingAnswer, EmbeddingRequest
from providers.errors import BadRequest, ProviderError
from providers.wiring import Decoder, HttpAnswer, HttpRequest, ListedModel, Target

# Newer versions refuse more: sampling for one, also from models that take it.
VERSION = "2023-06-01"

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
        told = read_object(answer, target)
        last = told.get("last_id")
        if told.get("has_more") is not True or not isinstance(last, str) or not last:
            return None
        return _get(target, f"{target.kind.models_path}&after_id={quote(last, safe='')}")

    def models_answer(self, answer: HttpAnswer, target: Target) -> list[ListedModel]:
        if answer.status >= 400:
            raise self.error(answer, target)
        told = read_object(answer, target)
        if told.get("error") is not None:
            raise reported(told["error"], target)
        entries = told.get("data")
        if not isinstance(entries, list):
            raise no_list(target)
        return shown(map(_listed, entries), target)

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


def _listed(entry: Any) -> ListedModel | None:
    """One that can still be called."""
    name = id_in(entry, "id")
    if name is None or entry.get("lifecycle") == "retired":
        return None
    return ListedModel(
        name,
        count_in(entry, "max_input_tokens"),
        count_in(entry, "max_tokens"),
        name=title_in(entry, "display_name"),
        capabilities=_capabilities(object_in(entry, "capabilities")),
    )


def _capabilities(told: Mapping[str, Any]) -> dict[str, bool]:
    said: dict[str, bool] = {}
    for ability, name in _ABILITIES.items():
        supported = object_in(told, name).get("supported")
        if isinstance(supported, bool):
            said[ability] = supported
    return said
