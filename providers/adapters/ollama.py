"""Ollama at its own door, `/api`: lines of JSON, and options that its OpenAI-shaped door does not have.

An address that ends with the other door's path is taken for this one's too.
"""

from __future__ import annotations

from typing import Any

import msgspec

from providers.adapters import refusals
from providers.adapters.asked import read
from providers.adapters.asking import headers_of, url_of
from providers.adapters.lists import count_in, id_in, looks_embedding, no_list, object_in, read_object, shown
from providers.adapters.ollama_answers import ChatLines, read_answer
from providers.adapters.ollama_asking import body_of
from providers.adapters.styles import in_style
from providers.adapters.vectors import decoded, no_embeddings
from providers.chat import ChatAnswer, ChatRequest, EmbeddingAnswer, EmbeddingRequest, Usage
from providers.errors import ProviderError
from providers.wiring import Decoder, HttpAnswer, HttpRequest, ListedModel, Target

_LINES = "application/x-ndjson"
_ABILITIES = {"tools": "tools", "vision": "vision", "reasoning": "thinking"}  # by our own names

_encoder = msgspec.json.Encoder()


class OllamaAdapter:
    # -- asking -------------------------------------------------------------------

    def chat_request(self, request: ChatRequest, target: Target) -> tuple[HttpRequest, list[str]]:
        body, warnings = body_of(read(request, target), target, stream=request.stream)
        accept = _LINES if request.stream else "application/json"
        return _post(target, target.kind.chat_path, body, accept), warnings

    # -- being answered -----------------------------------------------------------

    def chat_answer(self, answer: HttpAnswer, target: Target) -> ChatAnswer:
        return read_answer(answer.body, target)

    def decoder(self, request: ChatRequest, target: Target) -> Decoder:
        return ChatLines(target)

    def error(self, answer: HttpAnswer, target: Target) -> ProviderError:
        return refusals.refusal(answer.status, answer.headers, answer.body, target)

    # -- the list of models ---------------------------------------------------------

    def models_request(self, target: Target) -> HttpRequest | None:
        return _get(target, target.kind.models_path)

    def models_answer(self, answer: HttpAnswer, target: Target) -> list[ListedModel]:
        if answer.status >= 400:
            raise self.error(answer, target)
        told = read_object(answer, target)
        entries = told.get("models")
        if not isinstance(entries, list):
            raise refusals.reported(told, target) if told.get("error") else no_list(target)
        window = target.options.get("num_ctx")
        return shown((_listed(entry, window) for entry in entries), target)

    def health_request(self, target: Target) -> HttpRequest | None:
        return _get(target, target.kind.health_path)

    # -- embeddings -----------------------------------------------------------------

    def embedding_request(self, request: EmbeddingRequest, target: Target) -> tuple[HttpRequest, list[str]]:
        body: dict[str, Any] = {"model": target.model, "input": request.texts, "truncate": False}
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        if (keep := target.options.get("keep_alive")) is not None:
            body["keep_alive"] = keep
        warnings = [f"'user' was dropped: {target.kind.name} does not take it."] if request.user else []
        return _post(target, target.kind.embeddings_path, body, "application/json"), warnings

    def embedding_answer(self, answer: HttpAnswer, target: Target) -> EmbeddingAnswer:
        told = decoded(_embeddings, answer, target)
        if told.error is not None:
            raise refusals.reported({"error": told.error}, target)
        if told.embeddings is None:
            raise no_embeddings(target)
        counted = told.prompt_eval_count or 0
        usage = Usage(input=counted) if counted > 0 else None
        return EmbeddingAnswer(told.model or target.model, told.embeddings, usage)


def _post(target: Target, path: str, body: dict[str, Any], accept: str) -> HttpRequest:
    target = in_style(target)
    headers = headers_of(target) | {"accept": accept}
    return HttpRequest("POST", url_of(target, path), headers, _encoder.encode(body), target.kind)


def _get(target: Target, path: str) -> HttpRequest:
    target = in_style(target)
    return HttpRequest("GET", url_of(target, path), headers_of(target), kind=target.kind)


def _listed(entry: Any, window: Any) -> ListedModel | None:
    """`window` is what the provider's own settings load models with, whatever they could hold."""
    name = id_in(entry, "model", "name")
    if name is None:
        return None
    sizes = [count_in(object_in(entry, "details"), "context_length"), window]
    sizes = [size for size in sizes if isinstance(size, int) and 0 < size < 2**31]
    can = entry.get("capabilities")
    if not isinstance(can, list):  # an older server does not tell
        return ListedModel(name, min(sizes, default=None), embedding=looks_embedding(name))
    embeds = "embedding" in can and "completion" not in can
    abilities = {} if embeds else {ability: told in can for ability, told in _ABILITIES.items()}
    return ListedModel(name, min(sizes, default=None), embedding=embeds, capabilities=abilities)


class _Embeddings(msgspec.Struct):
    embeddings: list[list[float]] | None = None
    model: str = ""
    prompt_eval_count: int | None = None
    error: Any = None


_embeddings = msgspec.json.Decoder(_Embeddings)
