"""The formats our clients speak, as one value each: how a request is read, and how everything goes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from providers.chat import ChatAnswer, Event, Usage
from routing.wires import messages, openai, response_stream, responses
from routing.wires.openai import ParsedChat, StreamState


class Encoder(Protocol):
    """One streamed answer on its way out. `counted` is what was settled; it is there when the last events come."""

    counted: Usage | None

    def encode(self, events: Iterable[Event]) -> bytes: ...


class ErrorObject(Protocol):
    def __call__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        request_id: str,
        param: str | None = None,
        retryable: bool = False,
    ) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Dialect:
    parse: Callable[[bytes], ParsedChat]
    answer: Callable[[ChatAnswer, str, int], bytes]
    encoder: Callable[[StreamState], Encoder]
    error: ErrorObject
    error_event: Callable[[bytes], bytes]  # an error object in the middle of a stream
    keep_alive: bytes
    id_header: bytes = b""  # where its clients look for the request's id, beside x-request-id


OPENAI = Dialect(
    openai.parse_chat, openai.encode_answer, lambda state: state, openai.error_object, openai.error_event,
    openai.KEEP_ALIVE,
)  # fmt: skip
MESSAGES = Dialect(
    messages.parse_chat,
    messages.encode_answer,
    lambda state: messages.MessageStream(state.request_id, state.model),
    messages.error_object,
    messages.error_event,
    messages.KEEP_ALIVE,
    b"request-id",
)
RESPONSES = Dialect(
    responses.parse_chat,
    responses.encode_answer,
    lambda state: response_stream.ResponseStream(state.request_id, state.model, state.created),
    openai.error_object,
    response_stream.error_event,
    openai.KEEP_ALIVE,
)

# By the beginning of the path; everything else speaks OpenAI's.
DIALECTS: Mapping[str, Dialect] = {"/v1/messages": MESSAGES, "/v1/responses": RESPONSES}


def dialect_of(path: str) -> Dialect:
    for beginning, dialect in DIALECTS.items():
        if path.startswith(beginning):
            return dialect
    return OPENAI
