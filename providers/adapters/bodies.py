"""A whole answer of the OpenAI wire: looked at, and the bytes kept as they came."""

from __future__ import annotations

import msgspec

from providers.adapters import refusals
from providers.adapters.shapes import (
    CHUNK,
    Chunk,
    Message,
    call_delta,
    finish_reason,
    present,
    read_leniently,
    read_parts,
    read_usage,
)
from providers.chat import ChatAnswer
from providers.wiring import Target


def read_answer(body: bytes, target: Target) -> ChatAnswer:
    """Raises the error that a 200 may hold, or what bytes that are no answer mean."""
    chunk = _decoded(body, target)
    if error := present(chunk.error):
        raise refusals.reported(msgspec.json.decode(error), target)
    if not chunk.choices:
        raise refusals.unreadable(target, "sent an answer without choices.")
    answer = ChatAnswer(chunk.id or "", chunk.model or "", body=body)
    for choice in chunk.choices:
        if error := present(choice.error):
            raise refusals.reported(msgspec.json.decode(error), target)
        message = choice.message or choice.delta
        if message is not None:
            _add(message, answer)
    answer.finish = finish_reason(chunk.choices[0].finish_reason or "", bool(answer.tool_calls))
    if present(chunk.usage):
        answer.usage = read_usage(chunk.usage, target)
    return answer


def _decoded(body: bytes, target: Target) -> Chunk:
    try:
        if not body.isascii():
            body.decode()
        try:
            return CHUNK.decode(body)
        except msgspec.ValidationError:
            return read_leniently(body)  # which may find out that it is no JSON either
    except refusals.UNREADABLE:
        first = body.lstrip()[:1]
        if not first:
            raise refusals.unreadable(target, "sent an empty answer.") from None
        if first == b"<":
            raise refusals.unreadable(target, "sent a web page instead of an answer.") from None
        raise refusals.unreadable(target, "sent an answer that is not JSON.") from None


def _add(message: Message, answer: ChatAnswer) -> None:
    content = message.content
    if isinstance(content, str):
        answer.text += content
    elif content:
        text, thought = read_parts(content)
        answer.text += text
        answer.reasoning += thought
    if message.refusal:
        answer.text += message.refusal
    if message.reasoning_content or message.reasoning:
        answer.reasoning += message.reasoning_content or message.reasoning or ""
    if message.tool_calls:
        answer.tool_calls += [call_delta(call, at) for at, call in enumerate(message.tool_calls)]


def as_chunk(body: bytes) -> bytes:
    """The one chunk that says what a whole answer says."""
    value = msgspec.json.decode(body)
    value["object"] = "chat.completion.chunk"
    for choice in value["choices"]:
        if isinstance(choice, dict) and isinstance(choice.get("message"), dict):
            delta = choice.pop("message")
            calls = delta.get("tool_calls")
            for at, call in enumerate(calls if isinstance(calls, list) else ()):
                if isinstance(call, dict):
                    call.setdefault("index", at)
            choice["delta"] = delta
    return msgspec.json.encode(value)
