"""Our own values: what is asked of a model and what comes back, in no vendor's words.

A request is the OpenAI chat-completions superset with its top level decoded and everything below still bytes: on the
same wire it is forwarded as it came, another wire decodes the parts it must translate. An answer is a list of events
per piece of network data; an event may carry the `frame` it came in, for a client that speaks the same wire.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from providers.errors import ProviderError

Fields = dict[str, msgspec.Raw]


class Wire(StrEnum):
    """A format on the network. The client's and the provider's may be the same one."""

    OPENAI = "openai"
    RESPONSES = "responses"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    BEDROCK = "bedrock"
    OLLAMA = "ollama"
    COPILOT = "copilot"


class FinishReason(StrEnum):
    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    ERROR = "error"
    PAUSE = "pause"


class UsageSource(StrEnum):
    PROVIDER = "provider"  # the provider said so
    COUNTED = "counted"  # we counted what was sent and received
    ESTIMATED = "estimated"  # nobody knows; the worst case was booked


class Usage(msgspec.Struct, frozen=True):
    """Tokens in disjoint buckets: no token is in two of them, and they sum to the total."""

    input: int = 0  # not cached
    cached: int = 0
    cache_write: int = 0
    output: int = 0  # visible
    reasoning: int = 0
    audio: int = 0
    source: UsageSource = UsageSource.PROVIDER
    audio_input: int = 0  # of `input`, how many were spoken: no bucket of its own, but a rate of its own
    reported_nano: int | None = None  # what the provider says this cost, in billionths of a US dollar

    @property
    def prompt(self) -> int:
        return self.input + self.cached + self.cache_write

    @property
    def completion(self) -> int:
        return self.output + self.reasoning + self.audio

    @property
    def total(self) -> int:
        return self.prompt + self.completion


class ChatRequest(msgspec.Struct):
    """One chat completion to ask for. `fields` is never changed in place: adapters build their own."""

    fields: Fields
    stream: bool = False
    wants_usage: bool = False  # the client asked for the usage chunk itself
    wire: Wire = Wire.OPENAI  # of the client, whose frames may pass unchanged


class Start(msgspec.Struct, frozen=True):
    """The provider has begun to answer."""

    id: str
    model: str
    frame: bytes = b""


class TextDelta(msgspec.Struct, frozen=True):
    text: str
    frame: bytes = b""


class ReasoningDelta(msgspec.Struct, frozen=True):
    text: str
    frame: bytes = b""


class ToolCallDelta(msgspec.Struct, frozen=True):
    """The first delta of an index has `id` and `name`; the rest add to `arguments`."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    frame: bytes = b""


class State(msgspec.Struct, frozen=True):
    """What the vendor wants back with this turn, unread: signatures of its reasoning. Never sent to another vendor."""

    vendor: str  # slug of the kind
    data: str
    frame: bytes = b""


class Thought(msgspec.Struct, frozen=True):
    """The end of one block of reasoning, and the block as its vendor wrote it: for clients that speak its wire.

    What is signed in them is in `State` once more.
    """

    vendor: str  # slug of the kind
    data: str
    frame: bytes = b""


class Citation(msgspec.Struct, frozen=True):
    """A source of the text so far, as the provider names it."""

    url: str
    title: str = ""
    start: int | None = None  # characters of the text it stands for
    end: int | None = None
    frame: bytes = b""


class UsageReport(msgspec.Struct, frozen=True):
    usage: Usage
    frame: bytes = b""


class Finish(msgspec.Struct, frozen=True):
    reason: FinishReason
    native: str = ""
    frame: bytes = b""


class KeepAlive(msgspec.Struct, frozen=True):
    """Bytes that mean nothing but prove that the provider is there."""

    frame: bytes = b""


class Failed(msgspec.Struct, frozen=True):
    """The provider reported an error inside a successful response."""

    error: ProviderError
    frame: bytes = b""


class Ended(msgspec.Struct, frozen=True):
    """The terminal marker of the wire was seen. A stream that ends without it was interrupted."""

    frame: bytes = b""


Event = (
    Start
    | TextDelta
    | ReasoningDelta
    | ToolCallDelta
    | State
    | Thought
    | Citation
    | UsageReport
    | Finish
    | KeepAlive
    | Failed
    | Ended
)


class ChatAnswer(msgspec.Struct):
    """A whole answer. `body` is the provider's own JSON when its wire is the client's."""

    id: str = ""
    model: str = ""
    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCallDelta] = msgspec.field(default_factory=list)
    finish: FinishReason | None = None
    usage: Usage | None = None
    state: State | None = None
    citations: list[Citation] = msgspec.field(default_factory=list)
    body: bytes = b""


class EmbeddingRequest(msgspec.Struct):
    """Texts to turn into vectors: as many as the kind takes at once, the gateway sees to that."""

    texts: list[str]
    dimensions: int | None = None
    user: str = ""


class EmbeddingAnswer(msgspec.Struct):
    model: str
    vectors: list[list[float]]  # in the order of the texts
    usage: Usage | None = None
