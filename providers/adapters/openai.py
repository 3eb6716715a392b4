"""The OpenAI chat wire, spoken by most kinds: one adapter, driven by the fields of the kind's row.

Nothing here knows a vendor. Requests are built in asking.py from the client's own bytes; answers are looked at and
passed on.
"""

from __future__ import annotations

from typing import Any

import msgspec

from providers.adapters import refusals
from providers.adapters.answers import collected
from providers.adapters.asking import fields_of, headers_of, rename, url_of
from providers.adapters.bodies import read_answer
from providers.adapters.chunks import ChatDecoder
from providers.adapters.lists import listed, no_list, read_json, shown
from providers.adapters.streams import EVENTS
from providers.adapters.styles import in_style
from providers.adapters.vectors import ASKED, FEATURES_FORM, INPUTS, read_embeddings
from providers.chat import (
    ChatAnswer,
    ChatRequest,
    EmbeddingAnswer,
    EmbeddingRequest,
)
from providers.errors import BadRequest, ProviderError
from providers.wiring import Decoder, HttpAnswer, HttpRequest, ListedModel, Target

_encoder = msgspec.json.Encoder()


class OpenAIAdapter:
    # -- asking -------------------------------------------------------------------

    def chat_request(self, request: ChatRequest, target: Target) -> tuple[HttpRequest, list[str]]:
        target = in_style(target)
        warnings: list[str] = []
        fields = fields_of(request, target, warnings)
        headers = headers_of(target)
        headers["accept"] = EVENTS if request.stream else "application/json"
        url = url_of(target, target.kind.chat_path)
        return HttpRequest("POST", url, headers, _encoder.encode(fields), target.kind), warnings

    # -- being answered -----------------------------------------------------------

    def chat_answer(self, answer: HttpAnswer, target: Target) -> ChatAnswer:
        body = answer.body
        if EVENTS in answer.headers.get("content-type", "") or body[:6] in (b"data: ", b"data:{"):
            return collected(ChatDecoder(target), body, target)
        return read_answer(body, target)

    def decoder(self, request: ChatRequest, target: Target) -> Decoder:
        return ChatDecoder(target)

    def error(self, answer: HttpAnswer, target: Target) -> ProviderError:
        return refusals.refusal(answer.status, answer.headers, answer.body, target)

    # -- the list of models ---------------------------------------------------------

    def models_request(self, target: Target) -> HttpRequest | None:
        target = in_style(target)
        if not target.kind.models_path:
            return None
        return HttpRequest("GET", url_of(target, target.kind.models_path), headers_of(target), kind=target.kind)

    def models_answer(self, answer: HttpAnswer, target: Target) -> list[ListedModel]:
        if answer.status >= 400:
            raise self.error(answer, target)
        value = read_json(answer, target)
        entries = value.get("data") if isinstance(value, dict) else value
        if not isinstance(entries, list):
            if isinstance(value, dict) and "error" in value:
                raise refusals.reported(value["error"], target)
            raise no_list(target)
        return shown(map(listed, entries), target)

    def health_request(self, target: Target) -> HttpRequest | None:
        target = in_style(target)
        path = target.kind.health_path or target.kind.models_path
        return HttpRequest("GET", url_of(target, path), headers_of(target), kind=target.kind) if path else None

    # -- embeddings -----------------------------------------------------------------

    def embedding_request(self, request: EmbeddingRequest, target: Target) -> tuple[HttpRequest, list[str]]:
        target = in_style(target)
        if not target.kind.embeddings_path:
            raise BadRequest(f"{target.kind.name} has no embeddings.", param="model", sent=False)
        kind, warnings = target.kind, list[str]()
        body: dict[str, Any] = {INPUTS.get(kind.embeddings_form, "input"): request.texts}
        if kind.embeddings_form != FEATURES_FORM:
            body["model"] = target.model
        body |= ASKED.get(kind.embeddings_form, {})
        body |= {name: value for name in ("dimensions", "user") if (value := getattr(request, name)) not in (None, "")}
        for name in kind.embedding_drops & body.keys():
            del body[name]
            warnings.append(f"'{name}' was dropped: {kind.name} does not take it.")
        rename(body, kind.embedding_renames, warnings)
        url = url_of(target, kind.embeddings_path)
        return HttpRequest("POST", url, headers_of(target), _encoder.encode(body), kind), sorted(warnings)

    def embedding_answer(self, answer: HttpAnswer, target: Target) -> EmbeddingAnswer:
        return read_embeddings(answer.body, target)
