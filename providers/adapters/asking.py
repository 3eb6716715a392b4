"""What of a request goes to this kind, and under which address and headers: the row of the table, applied.

Requests are built from the client's own bytes, joined anew at the top level. What lies deeper is opened only when the
bytes say that something in it may have to change.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from providers.auth import is_sendable, signed
from providers.chat import ChatRequest, Fields
from providers.errors import BadCredentials, BadRequest
from providers.registry import Kind
from providers.wiring import Target

_raw = msgspec.Raw
_encoder = msgspec.json.Encoder()
_objects = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TRUE = _raw(b"true")
_ONLY_USAGE = _raw(b'{"include_usage":true}')

# What vendors add to an assistant's message and want back, each its own and nobody else's. A kind that takes one of
# them back names it in `message_keeps`. `relayhouse_state` is ours, for wires that must translate: see asked.py.
OPAQUE = ("reasoning_content", "reasoning_details", "reasoning", "annotations", "relayhouse_state")


def headers_of(target: Target) -> dict[str, str]:
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
    headers = {"content-type": "application/json", **signed(kind.auth, secret)}
    if kind.headers and target.options:
        for header, option in kind.headers.items():
            value = target.options.get(option)
            if isinstance(value, str) and value and is_sendable(value):
                headers[header] = value
    return headers


def url_of(target: Target, path: str) -> str:
    kind = target.kind
    base = target.base_url.rstrip("/")
    if "{" in base:
        base = _filled(base, target)
    if kind.root and not base.endswith(kind.root):
        base += kind.root
    if path.startswith("//"):  # not under the root, but beside it
        base, path = base.removesuffix(kind.root), path[1:]
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
        if name == "model_path":
            return quote(target.model, safe="/")
        return quote(str(target.options.get(name) or target.kind.defaults.get(name, "")), safe="")

    return _PLACE.sub(value, template)


def fields_of(request: ChatRequest, target: Target, warnings: list[str]) -> Fields:
    kind = target.kind
    fields = request.fields.copy()
    fields.pop("stream", None)
    if kind.renames:
        rename(fields, kind.renames, warnings)
    if not kind.drops.isdisjoint(fields):
        for name in [name for name in fields if name in kind.drops]:
            del fields[name]
            warnings.append(f"'{name}' was dropped: {kind.name} does not take it.")
    for name, values in kind.takes.items():
        if name in fields and bytes(fields[name]) not in values:
            del fields[name]
            warnings.append(f"'{name}' was dropped: {kind.name} does not take this value.")
    if kind.formats and "response_format" in fields:
        _check_format(fields, kind, warnings)
    messages = fields.get("messages")
    if messages is not None:
        fields["messages"] = _messages(messages, kind, warnings)
    if (kind.tool_drops or kind.schema_drops) and "tools" in fields:
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


def rename(fields: dict[str, Any], renames: Mapping[str, str], warnings: list[str]) -> None:
    for old, new in renames.items():
        if old in fields:
            value = fields.pop(old)
            if new in fields:
                warnings.append(f"'{old}' was dropped: '{new}' was given too.")
            else:
                fields[new] = value
                warnings.append(f"'{old}' was sent as '{new}'.")


def _check_format(fields: Fields, kind: Kind, warnings: list[str]) -> None:
    try:
        form = msgspec.json.decode(fields["response_format"])
    except msgspec.DecodeError:
        form = None
    name = form.get("type") if isinstance(form, dict) else None
    if form is not None and name not in kind.formats:
        del fields["response_format"]
        warnings.append(f"'response_format' was dropped: {kind.name} does not take {str(name)[:40]}.")


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


# -- messages -----------------------------------------------------------------------


_ASSISTANT = b'"assistant"'
_BEGINNINGS = tuple(dict.fromkeys(b'"' + name.partition("_")[0].encode() for name in OPAQUE))


@lru_cache(64)
def _signs(names: frozenset[str]) -> tuple[tuple[str, bytes], ...]:
    """Fields of a message as bytes to look for."""
    return tuple((name, b'"%s"' % name.encode()) for name in sorted(names))


@lru_cache(64)
def _foreign(keeps: frozenset[str]) -> frozenset[str]:
    return frozenset(OPAQUE) - keeps


def _gone(data: bytes, kind: Kind) -> list[str]:
    """Fields that may not pass and that the bytes speak of. Each look costs a microsecond in two thousand bytes."""
    gone = [name for name, sign in _signs(kind.message_drops) if sign in data] if kind.message_drops else []
    if _ASSISTANT in data and any(beginning in data for beginning in _BEGINNINGS):
        gone += [name for name, sign in _signs(_foreign(kind.message_keeps)) if sign in data]
    return gone


def _messages(raw: msgspec.Raw, kind: Kind, warnings: list[str]) -> msgspec.Raw:
    """Opened only when something in them may have to change."""
    data = bytes(raw)
    developer = not kind.developer_role and b'"developer"' in data
    dropped = _gone(data, kind)
    nulls = not kind.message_nulls and b"null" in data
    ids = kind.call_ids if kind.call_ids and b'"tool_call' in data else ""
    if not (developer or dropped or nulls or ids):
        return raw
    messages = _objects.decode(raw)
    changed = False
    said: set[str] = set()
    for message in messages:
        if developer and bytes(message.get("role", b"")) == b'"developer"':
            message["role"] = _raw(b'"system"')
            said.add("The role 'developer' was sent as 'system'.")
        for name in dropped:
            if message.pop(name, None) is not None:
                changed = True
                if name in kind.message_drops:
                    said.add(f"'messages.{name}' was dropped: {kind.name} does not take it.")
        if nulls:
            for name in [name for name, value in message.items() if bytes(value) == b"null"]:
                del message[name]
                changed = True
        if ids and _fit_calls(message, ids):
            changed = True
    warnings.extend(sorted(said))
    return _raw(_encoder.encode(messages)) if changed or said else raw


def _fit_calls(message: dict[str, msgspec.Raw], pattern: str) -> bool:
    """Ids of calls as a stricter vendor takes them: the same one always becomes the same one."""
    answered, calls = message.get("tool_call_id"), message.get("tool_calls")
    before = (answered, calls)
    if answered is not None:
        message["tool_call_id"] = _fit(answered, pattern)
    if calls is not None and bytes(calls) != b"null":
        try:
            listed = _objects.decode(calls)
        except msgspec.DecodeError:
            raise BadRequest("'tool_calls' must be a list of objects.", param="messages", sent=False) from None
        fitted = [call | {"id": _fit(call["id"], pattern)} if "id" in call else call for call in listed]
        if fitted != listed:
            message["tool_calls"] = _raw(_encoder.encode(fitted))
    return before != (message.get("tool_call_id"), message.get("tool_calls"))


def _fit(given: msgspec.Raw, pattern: str) -> msgspec.Raw:
    name = msgspec.json.decode(given)
    if not isinstance(name, str) or re.fullmatch(pattern, name):
        return given
    return _raw(b'"%s"' % blake2b(name.encode("utf-8", "replace")).hexdigest()[:9].encode())


# -- tools --------------------------------------------------------------------------


def _tools(raw: msgspec.Raw, kind: Kind, warnings: list[str]) -> msgspec.Raw:
    data = bytes(raw)
    if not any(b'"%s"' % name.encode() in data for name in kind.tool_drops | kind.schema_drops):
        return raw
    try:
        tools = _objects.decode(raw)
        said: set[str] = set()
        for tool in tools:
            function = _object.decode(tool.get("function", _raw(b"{}")))
            gone = kind.tool_drops & function.keys()
            for name in gone:
                del function[name]
                said.add(f"'tools.function.{name}' was dropped: {kind.name} does not take it.")
            if kind.schema_drops and "parameters" in function:
                missing: set[str] = set()
                schema = without(msgspec.json.decode(function["parameters"]), kind.schema_drops, missing)
                if missing:
                    function["parameters"] = _raw(_encoder.encode(schema))
                    said |= {f"'{name}' of a tool's schema was dropped: {kind.name} may refuse it." for name in missing}
            if said:
                tool["function"] = _raw(_encoder.encode(function))
    except (msgspec.DecodeError, RecursionError):
        raise BadRequest("'tools' must be a list of objects.", param="tools", sent=False) from None
    warnings.extend(sorted(said))
    return _raw(_encoder.encode(tools)) if said else raw


def without(schema: Any, names: frozenset[str], missing: set[str]) -> Any:
    """A JSON schema without these keywords. Properties that happen to have such a name stay."""
    if isinstance(schema, list):
        return [without(each, names, missing) for each in schema]
    if not isinstance(schema, dict):
        return schema
    missing |= names & schema.keys()
    return {
        name: {key: without(each, names, missing) for key, each in value.items()}
        if name in ("properties", "$defs", "definitions") and isinstance(value, dict)
        else value
        if name in ("enum", "const", "default", "examples")
        else without(value, names, missing)
        for name, value in schema.items()
        if name not in names
    }
