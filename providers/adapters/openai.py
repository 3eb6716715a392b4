"""The OpenAI chat wire, spoken by most kinds: one adapter, driven by the fields of the kind's row.

Nothing here knows a vendor. Requests are built from the client's own bytes, joined anew at the top level; answers are
looked at and passed on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from providers.adapters import refusals
from providers.adapters.bodies import read_answer
from providers.adapters.chunks import ChatDecoder
from providers.adapters.vectors import read_embeddings
from providers.auth import is_sendable, signed
from providers.chat import (
    ChatAnswer,
    ChatRequest,
    EmbeddingAnswer,
    EmbeddingRequest,
    Failed,
    Fields,
    Finish,
    ReasoningDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from providers.errors import BadCredentials, BadRequest, Interrupted, InvalidAnswer, ProviderError
from providers.registry import Kind
from providers.wiring import Decoder, HttpAnswer, HttpRequest, ListedModel, Target

MOST_MODELS = 5_000
_LONGEST_ID = 200

_raw = msgspec.Raw
_encoder = msgspec.json.Encoder()
_objects = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TRUE = _raw(b"true")
_ONLY_USAGE = _raw(b'{"include_usage":true}')
_EVENTS = "text/event-stream"


class OpenAIAdapter:
    # -- asking -------------------------------------------------------------------

    def chat_request(self, request: ChatRequest, target: Target) -> tuple[HttpRequest, list[str]]:
        warnings: list[str] = []
        fields = _fields(request, target, warnings)
        headers = _headers(target)
        headers["accept"] = _EVENTS if request.stream else "application/json"
        url = _url(target, target.kind.chat_path)
        return HttpRequest("POST", url, headers, _encoder.encode(fields), target.kind), warnings

    # -- being answered -----------------------------------------------------------

    def chat_answer(self, answer: HttpAnswer, target: Target) -> ChatAnswer:
        body = answer.body
        if _EVENTS in answer.headers.get("content-type", "") or body[:6] in (b"data: ", b"data:{"):
            return _collected(body, target)
        return read_answer(body, target)

    def decoder(self, request: ChatRequest, target: Target) -> Decoder:
        return ChatDecoder(target)

    def error(self, answer: HttpAnswer, target: Target) -> ProviderError:
        return refusals.refusal(answer.status, answer.headers, answer.body, target)

    # -- the list of models ---------------------------------------------------------

    def models_request(self, target: Target) -> HttpRequest | None:
        if not target.kind.models_path:
            return None
        return HttpRequest("GET", _url(target, target.kind.models_path), _headers(target), kind=target.kind)

    def models_answer(self, answer: HttpAnswer, target: Target) -> list[ListedModel]:
        if answer.status >= 400:
            raise self.error(answer, target)
        try:
            value = msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise refusals.unreadable(target, "sent a list of models that is not JSON.") from None
        entries = value.get("data") if isinstance(value, dict) else value
        if not isinstance(entries, list):
            if isinstance(value, dict) and "error" in value:
                raise refusals.reported(value["error"], target)
            raise refusals.unreadable(target, "sent no list of models where one belongs.")
        hidden = re.compile(target.kind.hides) if target.kind.hides else None
        listed = {model.id: model for entry in entries[:MOST_MODELS] if (model := _listed(entry))}
        return [model for model in listed.values() if hidden is None or not hidden.search(model.id)]

    def health_request(self, target: Target) -> HttpRequest | None:
        path = target.kind.health_path or target.kind.models_path
        return HttpRequest("GET", _url(target, path), _headers(target), kind=target.kind) if path else None

    # -- embeddings -----------------------------------------------------------------

    def embedding_request(self, request: EmbeddingRequest, target: Target) -> tuple[HttpRequest, list[str]]:
        if not target.kind.embeddings_path:
            raise BadRequest(f"{target.kind.name} has no embeddings.", param="model", sent=False)
        body: dict[str, Any] = {"model": target.model, "input": request.texts, "encoding_format": "float"}
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        url = _url(target, target.kind.embeddings_path)
        return HttpRequest("POST", url, _headers(target), _encoder.encode(body), target.kind), []

    def embedding_answer(self, answer: HttpAnswer, target: Target) -> EmbeddingAnswer:
        return read_embeddings(answer.body, target)


# -- requests ---------------------------------------------------------------------


def _headers(target: Target) -> dict[str, str]:
    kind, secret = target.kind, target.secret
    if kind.key_required and not secret:
        raise BadCredentials(
            f"{target.provider} has no API key: add one, or set the environment variable it is to come from.",
            provider=target.provider,
            sent=False,
        )
    if not is_sendable(secret):
        raise BadCredentials(
            f"The API key of {target.provider} has characters that no key has: enter it again.",
            provider=target.provider,
            sent=False,
        )
    return {"content-type": "application/json", **signed(kind.auth, secret)}


def _url(target: Target, path: str) -> str:
    kind = target.kind
    base = target.base_url.rstrip("/")
    if kind.root and not base.endswith(kind.root):
        base += kind.root
    if "{" in path:
        path = _filled(path, target)
    if not kind.query:
        return base + path
    return f"{base}{path}?{urlencode({name: _filled(value, target) for name, value in kind.query.items()})}"


_PLACE = re.compile(r"{(\w+)}")


def _filled(template: str, target: Target) -> str:
    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name == "model":
            return quote(target.model, safe="")
        return quote(str(target.options.get(name) or target.kind.defaults.get(name, "")), safe="")

    return _PLACE.sub(value, template)


def _fields(request: ChatRequest, target: Target, warnings: list[str]) -> Fields:
    kind = target.kind
    fields = request.fields.copy()
    fields.pop("stream", None)
    if kind.renames:
        _rename(fields, kind.renames, warnings)
    if not kind.drops.isdisjoint(fields):
        for name in [name for name in fields if name in kind.drops]:
            del fields[name]
            warnings.append(f"'{name}' was dropped: {kind.name} does not take it.")
    for name, values in kind.takes.items():
        if name in fields and bytes(fields[name]) not in values:
            del fields[name]
            warnings.append(f"'{name}' was dropped: {kind.name} does not take this value.")
    messages = fields.get("messages")
    if messages is not None:
        fields["messages"] = _messages(messages, kind, warnings)
    if kind.tool_drops and "tools" in fields:
        fields["tools"] = _tools(fields["tools"], kind, warnings)
    if target.options:
        _add_defaults(fields, target)
    fields["model"] = _raw(_encoder.encode(target.model))
    options = fields.pop("stream_options", None)
    if request.stream:
        fields["stream"] = _TRUE
        if kind.asks_usage:
            fields["stream_options"] = _ONLY_USAGE if options is None else _with_usage(options)
    return fields


def _rename(fields: Fields, renames: Mapping[str, str], warnings: list[str]) -> None:
    for old, new in renames.items():
        if old in fields:
            value = fields.pop(old)
            if new in fields:
                warnings.append(f"'{old}' was dropped: '{new}' was given too.")
            else:
                fields[new] = value
                warnings.append(f"'{old}' was sent as '{new}'.")


def _add_defaults(fields: Fields, target: Target) -> None:
    """What the provider's own settings say where the request says nothing."""
    options = target.options
    limit = options.get("max_tokens")
    if limit and "max_tokens" not in fields and "max_completion_tokens" not in fields:
        fields[target.kind.renames.get("max_tokens", "max_tokens")] = _raw(_encoder.encode(limit))
    temperature = options.get("temperature")
    if temperature is not None and "temperature" not in fields:
        fields["temperature"] = _raw(_encoder.encode(temperature))


def _with_usage(options: msgspec.Raw) -> msgspec.Raw:
    try:
        given = _object.decode(options)
    except msgspec.DecodeError:
        return _ONLY_USAGE
    return _raw(_encoder.encode({**given, "include_usage": True}))


def _messages(raw: msgspec.Raw, kind: Kind, warnings: list[str]) -> msgspec.Raw:
    """Opened only when something in them may have to change."""
    data = bytes(raw)
    developer = not kind.developer_role and b'"developer"' in data
    dropped = [name for name in kind.message_drops if b'"%s"' % name.encode() in data]
    if not developer and not dropped:
        return raw
    messages = _objects.decode(raw)
    changed = set()
    for message in messages:
        if developer and bytes(message.get("role", b"")) == b'"developer"':
            message["role"] = _raw(b'"system"')
            changed.add("The role 'developer' was sent as 'system'.")
        for name in dropped:
            if message.pop(name, None) is not None:
                changed.add(f"'messages.{name}' was dropped: {kind.name} does not take it.")
    warnings.extend(sorted(changed))
    return _raw(_encoder.encode(messages)) if changed else raw


def _tools(raw: msgspec.Raw, kind: Kind, warnings: list[str]) -> msgspec.Raw:
    data = bytes(raw)
    if not any(b'"%s"' % name.encode() in data for name in kind.tool_drops):
        return raw
    try:
        tools = _objects.decode(raw)
        changed: set[str] = set()
        for tool in tools:
            function = _object.decode(tool.get("function", _raw(b"{}")))
            gone = kind.tool_drops & function.keys()
            if gone:
                tool["function"] = _raw(_encoder.encode({k: v for k, v in function.items() if k not in gone}))
                changed |= gone
    except msgspec.DecodeError:
        raise BadRequest("'tools' must be a list of objects.", param="tools", sent=False) from None
    warnings.extend(f"'tools.function.{name}' was dropped: {kind.name} does not take it." for name in sorted(changed))
    return _raw(_encoder.encode(tools)) if changed else raw


# -- answers ----------------------------------------------------------------------


def _collected(body: bytes, target: Target) -> ChatAnswer:
    """A stream where a whole answer was asked for."""
    decoder = ChatDecoder(target)
    answer = ChatAnswer()
    calls: dict[int, list[ToolCallDelta]] = {}
    try:
        events = decoder.feed(body) + decoder.close()
    except Interrupted as error:
        raise InvalidAnswer(error.message, provider=target.provider) from None
    for event in events:
        match event:
            case Start():
                answer.id, answer.model = event.id, event.model
            case TextDelta():
                answer.text += event.text
            case ReasoningDelta():
                answer.reasoning += event.text
            case ToolCallDelta():
                calls.setdefault(event.index, []).append(event)
            case UsageReport():
                answer.usage = event.usage
            case Finish():
                answer.finish = event.reason
            case Failed():
                raise event.error
    answer.tool_calls = [_joined(deltas) for _, deltas in sorted(calls.items())]
    return answer


def _joined(deltas: list[ToolCallDelta]) -> ToolCallDelta:
    return ToolCallDelta(
        deltas[0].index,
        next((delta.id for delta in deltas if delta.id), ""),
        "".join(delta.name for delta in deltas),
        "".join(delta.arguments for delta in deltas),
    )


# -- models -----------------------------------------------------------------------

_WINDOWS = ("max_model_len", "context_length", "context_window", "max_context_length", "loaded_context_length")
_LONGEST = ("max_output_tokens", "max_completion_tokens", "max_output_length")
_EMBEDS = re.compile(r"embed|(?:^|[/-])(?:bge|gte|e5)-", re.IGNORECASE)


def _listed(entry: Any) -> ListedModel | None:
    if not isinstance(entry, dict):
        return None
    name = entry.get("id")
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_ID or not name.isprintable():
        return None
    top, runner = entry.get("top_provider"), entry.get("dmr")
    more = {**(runner if isinstance(runner, dict) else {}), **entry}
    longest = {**(top if isinstance(top, dict) else {}), **entry}
    said = entry.get("type")
    embeds = said in ("embedding", "embeddings") if isinstance(said, str) else bool(_EMBEDS.search(name))
    title = entry.get("name")
    title = title if isinstance(title, str) and title.isprintable() else ""
    return ListedModel(name, _first_count(more, _WINDOWS), _first_count(longest, _LONGEST), embeds, title[:_LONGEST_ID])


def _first_count(entry: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        count = entry.get(name)
        if isinstance(count, int) and not isinstance(count, bool) and 0 < count < 2**31:
            return count
    return None
