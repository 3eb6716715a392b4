"""The OpenAI wire as this vendor reads it: requests to values, and the refusals that go back as error objects."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from providers.demo import counting


@dataclass(slots=True)
class Refusal(Exception):
    """An answer of 400 or more, in the error shape of the wire."""

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        return msgspec.json.encode(self.error())

    def error(self) -> dict[str, Any]:
        said = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": said}


class Function(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(msgspec.Struct):
    type: Literal["function"]
    function: Function


class ToolName(msgspec.Struct):
    name: str


class NamedTool(msgspec.Struct):
    type: Literal["function"]
    function: ToolName


class AskedCall(msgspec.Struct):
    """A tool call as it comes back in the history."""

    function: dict[str, Any]
    id: str = ""
    type: str = "function"


class Part(msgspec.Struct):
    type: Literal["text", "image_url", "input_audio", "file", "refusal"]
    text: str = ""
    refusal: str = ""


class Message(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    tool_calls: list[AskedCall] | None = None
    tool_call_id: str | None = None
    name: str | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text or part.refusal for part in self.content if part.text or part.refusal)
        return self.content or ""

    @property
    def tokens(self) -> int:
        images = 0
        if isinstance(self.content, list):
            images = sum(counting.PER_IMAGE for part in self.content if part.type not in ("text", "refusal"))
        calls = (str(value) for call in self.tool_calls or () for value in call.function.values())
        return counting.PER_MESSAGE + counting.count(self.text) + images + counting.count_all(calls)


class JsonSchema(msgspec.Struct):
    name: str = ""
    # Renamed, since a struct of its own would have a field hide a method elsewhere.
    shape: dict[str, Any] = msgspec.field(name="schema", default_factory=dict)


class ResponseFormat(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


Stop = str | list[str] | None
Positive = msgspec.Meta(ge=1)


class ChatAsk(msgspec.Struct):
    """POST /v1/chat/completions. Fields that change nothing here are accepted unread."""

    model: str
    messages: list[Message]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: Stop = None
    seed: int | None = None
    n: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    logprobs: bool | None = None
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    reasoning_effort: str | None = None

    @property
    def wants_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def longest(self) -> int | None:
        limits = [limit for limit in (self.max_tokens, self.max_completion_tokens) if limit is not None]
        return min(limits, default=None)

    @property
    def stops(self) -> list[str]:
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [text for text in given if text]

    @property
    def prompt_tokens(self) -> int:
        tools = (msgspec.json.encode(tool).decode() for tool in self.tools or ())
        schema = self.response_format.json_schema if self.response_format else None
        shape = msgspec.json.encode(schema.shape).decode() if schema else ""
        said = sum(message.tokens for message in self.messages)
        return counting.PER_REQUEST + said + counting.count_all(tools) + counting.count(shape)


class EmbeddingAsk(msgspec.Struct):
    """POST /v1/embeddings."""

    model: str
    input: Any  # a text, a list of texts, tokens, or lists of tokens: told apart where they are read
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None


_chat_decoder = msgspec.json.Decoder(ChatAsk)
_embedding_decoder = msgspec.json.Decoder(EmbeddingAsk)
_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_MISSING = re.compile(r"missing required field `(?P<name>\w+)`")


def read_chat(body: bytes) -> ChatAsk:
    try:
        ask = _chat_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(error) from None
    if not ask.messages:
        raise Refusal(400, "'messages' must have at least one message.", code="empty_array", param="messages")
    _in_bounds("temperature", ask.temperature, 0, 2)
    _in_bounds("top_p", ask.top_p, 0, 1)
    for name in ("max_tokens", "max_completion_tokens"):
        _in_bounds(name, getattr(ask, name), 1, 10_000_000)
    if ask.n not in (None, 1):
        raise Refusal(400, "This model gives one choice a request: 'n' must be 1.", code="invalid_value", param="n")
    if ask.logprobs:
        raise Refusal(400, "This model has no log probabilities.", code="unsupported_parameter", param="logprobs")
    if len(ask.stops) > 4:
        raise Refusal(400, "'stop' takes at most 4 sequences.", code="array_above_max_length", param="stop")
    if ask.stream_options is not None and not ask.stream:
        said = "'stream_options' is only allowed when 'stream' is true."
        raise Refusal(400, said, code="invalid_value", param="stream_options")
    _check_tools(ask)
    return ask


def read_embedding(body: bytes) -> EmbeddingAsk:
    try:
        return _embedding_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(error) from None


def _check_tools(ask: ChatAsk) -> None:
    known = {tool.function.name for tool in ask.tools or ()}
    if ask.tool_choice not in (None, "none") and not known:
        said = "'tool_choice' is only allowed when 'tools' are given."
        raise Refusal(400, said, code="invalid_value", param="tool_choice")
    if isinstance(ask.tool_choice, NamedTool) and ask.tool_choice.function.name not in known:
        said = f"'tools' has no function named '{ask.tool_choice.function.name}'."
        raise Refusal(400, said, code="invalid_value", param="tool_choice")


def _in_bounds(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        said = f"'{name}' is {value:g}, but must be from {low:g} to {high:g}."
        raise Refusal(400, said, code="invalid_value", param=name)


def _refused(error: Exception) -> Refusal:
    """msgspec says `Expected `str`, got `int` - at `$.messages[0].role``; the wire wants the path apart."""
    if not isinstance(error, msgspec.ValidationError):
        return Refusal(400, f"The body is not valid JSON: {error}", code="invalid_json")
    text = str(error)
    place = _PATH.search(text)
    param = place["path"] if place else ""
    missing = _MISSING.search(text)
    if missing:
        param = f"{param}.{missing['name']}".lstrip(".")
    said = _PATH.sub("", text).replace("`", "'")
    code = "missing_required_parameter" if missing else "invalid_type"
    return Refusal(400, f"{param or 'body'}: {said}", code=code, param=param or None)
