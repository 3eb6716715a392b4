"""Ollama at its own door, `/api`: lines of JSON, and options that its OpenAI-shaped door does not have.

An address that ends with the other door's path is taken for this one's too.
"""

from __future__ import annotations

from typing import Any

import msgspec

from providers.adapters import refusals
from providers.adapters.asked import read
from providers.adapters.asking import headers_of, url_of
from providers.adapters.events import UNREADABLE
from providers.adapters.lists import looks_embedding
from providers.adapters.ollama_answers import ChatLines, read_answer
from providers.adapters.ollama_asking import body_of
from providers.adapters.styles import in_style
from providers.chat import ChatAnswer, ChatRequest, EmbeddingAnswer, EmbeddingRequest, Usage
from providers.errors import ProviderError
from providers.wiring import Decoder, HttpAnswer, HttpRequest, ListedModel, Target

MOST_MODELS = 5_000
_LONGEST_ID = 200
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
        try:
            told = msgspec.json.decode(answer.body)
        except UNREADABLE:
            raise refusals.unreadable(target, "sent a list of models that is not JSON.") from None
        entries = told.get("models") if isinstance(told, dict) else None
        if not isinstance(entries, list):
            if isinstance(told, dict) and told.get("error"):
                raise refusals.reported(told, target)
            raise refusals.unreadable(target, "sent no list of models where one belongs.")
        window = target.options.get("num_ctx")
        models = {model.id: model for entry in entries[:MOST_MODELS] if (model := _listed(entry, window))}
        return list(models.values())

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
        try:
            told = _embeddings.decode(answer.body)
        except UNREADABLE:
            raise refusals.unreadable(target, "sent no embeddings where they belong.") from None
        if told.error is not None:
            raise refusals.reported({"error": told.error}, target)
        if told.embeddings is None:
            raise refusals.unreadable(target, "sent no embeddings where they belong.")
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
    name = entry.get("model") or entry.get("name") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_ID or not name.isprintable():
        return None
    details = entry.get("details")
    context = details.get("context_length") if isinstance(details, dict) else None
    sizes = [size for size in (context, window) if isinstance(size, int) and 0 < size < 2**31]
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
