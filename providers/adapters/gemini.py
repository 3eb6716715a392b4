"""Google's Gemini at its own door, generateContent: the model is part of the address, the key stands in a header."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from providers.adapters import refusals
from providers.adapters.asked import read
from providers.adapters.asking import headers_of, url_of
from providers.adapters.gemini_answers import PieceDecoder, read_answer
from providers.adapters.gemini_asking import body_of
from providers.adapters.lists import count_in, id_of, list_in, no_list, read_object, shown, title_in
from providers.adapters.streams import EVENTS
from providers.adapters.styles import in_style
from providers.adapters.vectors import decoded, no_embeddings
from providers.chat import ChatAnswer, ChatRequest, EmbeddingAnswer, EmbeddingRequest
from providers.errors import ProviderError
from providers.wiring import Decoder, HttpAnswer, HttpRequest, ListedModel, Target

_WHOLE, _STREAM = ":generateContent", ":streamGenerateContent?alt=sse"
_PREFIX = "models/"

_encoder = msgspec.json.Encoder()


class GeminiAdapter:
    # -- asking -------------------------------------------------------------------

    def chat_request(self, request: ChatRequest, target: Target) -> tuple[HttpRequest, list[str]]:
        target = _addressed(target)
        body, warnings = body_of(read(request, target), target)
        headers = headers_of(target)
        headers["accept"] = EVENTS if request.stream else "application/json"
        path = target.kind.chat_path
        url = url_of(target, path.replace(_WHOLE, _STREAM) if request.stream else path)
        return HttpRequest("POST", url, headers, _encoder.encode(body), target.kind), warnings

    # -- being answered -----------------------------------------------------------

    def chat_answer(self, answer: HttpAnswer, target: Target) -> ChatAnswer:
        return read_answer(answer, target)

    def decoder(self, request: ChatRequest, target: Target) -> Decoder:
        return PieceDecoder(target)

    def error(self, answer: HttpAnswer, target: Target) -> ProviderError:
        return refusals.refusal(answer.status, answer.headers, answer.body, target)

    # -- the list of models ---------------------------------------------------------

    def models_request(self, target: Target) -> HttpRequest | None:
        return _get(target, target.kind.models_path)

    def models_after(self, request: HttpRequest, answer: HttpAnswer, target: Target) -> HttpRequest | None:
        token = read_object(answer, target).get("nextPageToken")
        if not isinstance(token, str) or not token:
            return None
        return _get(target, f"{target.kind.models_path}&pageToken={quote(token, safe='')}")

    def models_answer(self, answer: HttpAnswer, target: Target) -> list[ListedModel]:
        if answer.status >= 400:
            raise self.error(answer, target)
        told = read_object(answer, target)
        if told.get("error") is not None:
            raise refusals.reported(told, target)
        entries = told.get("models")
        if not isinstance(entries, list):
            raise no_list(target)
        return shown(map(_listed, entries), target)

    def health_request(self, target: Target) -> HttpRequest | None:
        return _get(target, target.kind.health_path)

    # -- embeddings -----------------------------------------------------------------

    def embedding_request(self, request: EmbeddingRequest, target: Target) -> tuple[HttpRequest, list[str]]:
        target = _addressed(target)
        more: dict[str, Any] = {}
        if request.dimensions is not None:
            more["outputDimensionality"] = request.dimensions
        purpose = target.options.get("task_type")
        if isinstance(purpose, str) and purpose:
            more["taskType"] = purpose
        model = _PREFIX + target.model
        body = {"requests": [{"model": model, "content": {"parts": [{"text": text}]}} | more for text in request.texts]}
        warnings = [f"'user' was dropped: {target.kind.name} does not take it."] if request.user else []
        url = url_of(target, target.kind.embeddings_path)
        return HttpRequest("POST", url, headers_of(target), _encoder.encode(body), target.kind), warnings

    def embedding_answer(self, answer: HttpAnswer, target: Target) -> EmbeddingAnswer:
        """It counts no tokens."""
        told = decoded(_embeddings, answer, target)
        if told.error is not None:
            raise refusals.reported({"error": told.error}, target)
        if told.embeddings is None:
            raise no_embeddings(target)
        return EmbeddingAnswer(target.model, [one.values for one in told.embeddings])


def _addressed(target: Target) -> Target:
    """With the address and the name of the model as they are needed here, however they were written."""
    target = in_style(target)
    if not target.model.startswith(_PREFIX):
        return target
    return msgspec.structs.replace(target, model=target.model.removeprefix(_PREFIX))


def _get(target: Target, path: str) -> HttpRequest:
    target = in_style(target)
    return HttpRequest("GET", url_of(target, path), headers_of(target), kind=target.kind)


# -- models -----------------------------------------------------------------------


def _listed(entry: Any) -> ListedModel | None:
    """One that chats or embeds; others draw, speak or wait for a live connection."""
    said = entry.get("name") if isinstance(entry, dict) else None
    name = id_of(said.removeprefix(_PREFIX)) if isinstance(said, str) else None
    if name is None:
        return None
    methods = list_in(entry, "supportedGenerationMethods")
    chats, embeds = "generateContent" in methods, "embedContent" in methods or "batchEmbedContents" in methods
    if not (chats or embeds):
        return None
    thinks = entry.get("thinking")
    return ListedModel(
        name,
        count_in(entry, "inputTokenLimit"),
        count_in(entry, "outputTokenLimit") if chats else None,
        embedding=not chats,
        name=title_in(entry, "displayName"),
        capabilities={"reasoning": thinks} if isinstance(thinks, bool) and chats else {},
    )


# -- embeddings ---------------------------------------------------------------------


class _Vector(msgspec.Struct):
    values: list[float]


class _Embeddings(msgspec.Struct):
    embeddings: list[_Vector] | None = None
    error: Any = None


_embeddings = msgspec.json.Decoder(_Embeddings)
