"""The Responses wire: OpenAI's second door, for models that refuse tools at the first one, and Perplexity's only one.

Lists, health, embeddings and refusals are those of the OpenAI wire.
"""

from __future__ import annotations

import msgspec

from providers.adapters.asked import read
from providers.adapters.asking import headers_of, url_of
from providers.adapters.openai import OpenAIAdapter
from providers.adapters.response_events import ResponseDecoder, read_answer
from providers.adapters.response_items import body_of
from providers.adapters.streams import EVENTS
from providers.adapters.styles import in_style
from providers.chat import ChatAnswer, ChatRequest
from providers.wiring import Decoder, HttpAnswer, HttpRequest, Target

_encoder = msgspec.json.Encoder()


class ResponsesAdapter(OpenAIAdapter):
    def chat_request(self, request: ChatRequest, target: Target) -> tuple[HttpRequest, list[str]]:
        target = in_style(target)
        body, warnings = body_of(read(request, target), target, stream=request.stream)
        headers = headers_of(target)
        headers["accept"] = EVENTS if request.stream else "application/json"
        url = url_of(target, target.kind.responses_path or target.kind.chat_path)
        return HttpRequest("POST", url, headers, _encoder.encode(body), target.kind), warnings

    def chat_answer(self, answer: HttpAnswer, target: Target) -> ChatAnswer:
        return read_answer(answer, target)

    def decoder(self, request: ChatRequest, target: Target) -> Decoder:
        return ResponseDecoder(target)
