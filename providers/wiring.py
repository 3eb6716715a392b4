"""The joints between vendor-free code, adapters and the network: plain values and two small protocols.

An adapter turns values into an `HttpRequest` and bytes into events; only a `Port` sends anything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import msgspec

from providers.chat import ChatAnswer, ChatRequest, EmbeddingAnswer, EmbeddingRequest, Event
from providers.errors import ProviderError
from providers.registry import Kind


class Target(msgspec.Struct, frozen=True):
    """One model at one provider, and how to reach it: everything an adapter may know."""

    provider_id: int
    provider: str  # slug
    kind: Kind
    base_url: str
    model: str  # the provider's own id
    credential_id: int | None = None
    secret: str = ""
    options: Mapping[str, Any] = msgspec.field(default_factory=dict)
    timeout_seconds: float = 600.0
    parameters: Mapping[str, Any] = msgspec.field(default_factory=dict)  # what the model does with those of a request
    longest: int | None = None  # tokens an answer of the model can have, where that is known

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Target({self.provider}:{self.model})"


class HttpRequest(msgspec.Struct, frozen=True):
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    kind: Kind | None = None  # decides which addresses may be dialled, and `demo` the in-memory transport

    def __repr__(self) -> str:
        """Without the headers, which hold the secret, and the body, which is the client's."""
        return f"HttpRequest({self.method} {self.url})"


class Limits(msgspec.Struct, frozen=True):
    """Seconds and bytes. One deadline for the whole attempt; `idle` is the longest silence inside it."""

    deadline: float  # loop.time() at which everything ends
    connect: float = 10.0
    first_byte: float = 600.0
    idle: float = 120.0
    body_bytes: int = 32 * 1024 * 1024
    header_bytes: int = 32 * 1024


class HttpAnswer(msgspec.Struct, frozen=True):
    status: int
    headers: Mapping[str, str]  # lower-case names
    body: bytes

    def __repr__(self) -> str:
        return f"HttpAnswer({self.status})"


class HttpStream(Protocol):
    """An open answer. `chunks()` may be read once; leaving the context closes the connection."""

    status: int
    headers: Mapping[str, str]

    def chunks(self) -> AsyncIterator[bytes]: ...

    async def read(self) -> bytes:
        """The rest of the body, bounded."""


class Port(Protocol):
    """The two methods that reach the network. Both raise only ProviderError (and CancelledError)."""

    async def send(self, request: HttpRequest, limits: Limits) -> HttpAnswer: ...

    def stream(self, request: HttpRequest, limits: Limits) -> AbstractAsyncContextManager[HttpStream]: ...


class Decoder(Protocol):
    """Bytes to events, no I/O. `close()` is called at the end of the body; raises Interrupted if that is too soon."""

    def feed(self, data: bytes) -> list[Event]: ...

    def close(self) -> list[Event]: ...


@dataclass(frozen=True, slots=True)
class ListedModel:
    id: str
    context: int | None = None
    max_output: int | None = None
    embedding: bool = False
    name: str = ""  # for people
    # What the list itself says the model can or cannot do; what it does not mention is not in here.
    capabilities: Mapping[str, bool] = field(default_factory=dict)


class Adapter(Protocol):
    """What every wire offers. Pure: values in, values out, and ProviderError for what the provider got wrong."""

    def chat_request(self, request: ChatRequest, target: Target) -> tuple[HttpRequest, list[str]]:
        """The bytes to send, and a warning in words for each field that was dropped or renamed."""

    def chat_answer(self, answer: HttpAnswer, target: Target) -> ChatAnswer: ...

    def decoder(self, request: ChatRequest, target: Target) -> Decoder: ...

    def error(self, answer: HttpAnswer, target: Target) -> ProviderError:
        """What an answer with a status of 400 or more means."""

    def models_request(self, target: Target) -> HttpRequest | None:
        """None when the vendor has no list to read."""

    def models_answer(self, answer: HttpAnswer, target: Target) -> list[ListedModel]: ...

    def health_request(self, target: Target) -> HttpRequest | None:
        """The cheapest question that the key is needed for; None when only a chat would tell."""

    def embedding_request(self, request: EmbeddingRequest, target: Target) -> tuple[HttpRequest, list[str]]:
        """Like `chat_request`. Raises BadRequest when the kind has no embeddings."""

    def embedding_answer(self, answer: HttpAnswer, target: Target) -> EmbeddingAnswer: ...


@runtime_checkable
class Opening(Protocol):
    """An adapter whose vendor wants something to be made before it is asked: a conversation."""

    def opening_request(self, target: Target) -> HttpRequest: ...

    def opened(self, answer: HttpAnswer, target: Target) -> Target:
        """The target that the question itself is for."""


@runtime_checkable
class Paging(Protocol):
    """An adapter whose vendor gives its list of models in pieces."""

    def models_after(self, request: HttpRequest, answer: HttpAnswer, target: Target) -> HttpRequest | None:
        """What is asked next; None when that was the last piece."""
