"""What Gemini's generateContent answers: whole, or as a stream of pieces of the same shape; both to our own events.

A stream has no mark at its end: the body ends, and a finish reason must have come before. What belongs to the whole of
an answer (sources, signatures, the last count of tokens) is told then.
"""

from __future__ import annotations

from typing import Any

import msgspec

from providers.adapters import refusals
from providers.adapters.answers import arguments_of, collected, finish_reason, gathered, made_id
from providers.adapters.events import TranslatingDecoder, is_stream
from providers.adapters.gemini_asking import Signed, state_of
from providers.adapters.gemini_sources import CitationMetadata, Grounding, Sources
from providers.chat import (
    ChatAnswer,
    Ended,
    Event,
    Finish,
    FinishReason,
    KeepAlive,
    ReasoningDelta,
    Start,
    State,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from providers.errors import ProviderError, Refused, TooLarge
from providers.sse import EVENT_BYTES, EventDecoder
from providers.sse import Event as Said
from providers.wiring import HttpAnswer, Target

_FILTERED = (
    "SAFETY RECITATION BLOCKLIST PROHIBITED_CONTENT SPII MODEL_ARMOR IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT "
    "IMAGE_RECITATION"
)
_BROKEN = (
    "LANGUAGE OTHER MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL TOO_MANY_TOOL_CALLS MISSING_THOUGHT_SIGNATURE "
    "MALFORMED_RESPONSE IMAGE_OTHER NO_IMAGE"
)
_FINISHES: dict[str, FinishReason] = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    **dict.fromkeys(_FILTERED.split(), FinishReason.CONTENT_FILTER),
    **dict.fromkeys(_BROKEN.split(), FinishReason.ERROR),
}
_NOTHING = msgspec.Raw()
_NULL = b"null"


class _Call(msgspec.Struct):
    name: str = ""
    id: str = ""
    args: msgspec.Raw = _NOTHING


class _Part(msgspec.Struct):
    text: str | None = None
    thought: bool | None = None
    functionCall: _Call | None = None
    thoughtSignature: str | None = None


class _Content(msgspec.Struct):
    parts: list[_Part] | None = None


class _Candidate(msgspec.Struct):
    content: _Content | None = None
    finishReason: str | None = None
    finishMessage: str | None = None
    groundingMetadata: Grounding | None = None
    citationMetadata: CitationMetadata | None = None


class _Modality(msgspec.Struct):
    modality: str = ""
    tokenCount: int = 0


class _Usage(msgspec.Struct):
    promptTokenCount: int | None = None
    cachedContentTokenCount: int = 0
    candidatesTokenCount: int = 0
    thoughtsTokenCount: int = 0
    toolUsePromptTokenCount: int = 0
    promptTokensDetails: list[_Modality] | None = None


class _Feedback(msgspec.Struct):
    blockReason: str | None = None


class _Piece(msgspec.Struct):
    """A whole answer, or what one event adds to it."""

    candidates: list[_Candidate] | None = None
    usageMetadata: _Usage | None = None
    promptFeedback: _Feedback | None = None
    modelVersion: str | None = None
    responseId: str | None = None
    error: msgspec.Raw = _NOTHING


_piece = msgspec.json.Decoder(_Piece)
_pieces = msgspec.json.Decoder(list[_Piece])


def read_answer(answer: HttpAnswer, target: Target) -> ChatAnswer:
    if is_stream(answer.headers.get("content-type", ""), answer.body):
        return collected(PieceDecoder(target), answer.body, target)
    return gathered(_read_whole(answer.body, target))


def _read_whole(body: bytes, target: Target) -> list[Event]:
    """One answer, or its pieces in a list: that is how a stream comes when `alt=sse` was lost on the way."""
    reader, events = _Reader(target), list[Event]()
    try:
        pieces = _pieces.decode(body) if body.lstrip()[:1] == b"[" else [_piece.decode(body)]
        for piece in pieces:
            reader.take(piece, events)
    except refusals.UNREADABLE:
        raise refusals.unreadable(target, "sent something that is no answer.") from None
    if not reader.native:
        raise refusals.unreadable(target, "sent an answer without an end.")
    return [*events, *reader.end()]


class _Reader:
    """Pieces of one answer to events."""

    __slots__ = ("_calls", "_id", "_signed", "_sources", "_started", "_target", "_usage", "native")

    def __init__(self, target: Target) -> None:
        self._target = target
        self._started = False
        self._id = ""
        self._calls = 0
        self._signed: dict[int | None, str] = {}
        self._sources = Sources()
        self._usage: _Usage | None = None
        self.native = ""  # why it ended; empty until it has

    def take(self, piece: _Piece, events: list[Event]) -> None:
        """Raises the error that the piece reports."""
        if piece.error is not _NOTHING and bytes(piece.error) != _NULL:
            raise refusals.reported({"error": msgspec.json.decode(piece.error)}, self._target)
        if piece.promptFeedback is not None and piece.promptFeedback.blockReason and not piece.candidates:
            raise self._refused(piece.promptFeedback.blockReason)
        if not self._started:
            self._started = True
            self._id = piece.responseId or ""
            events.append(Start(self._id, piece.modelVersion or self._target.model))
        if piece.usageMetadata is not None:
            self._usage = piece.usageMetadata
        if not piece.candidates:
            events.append(KeepAlive())
            return
        candidate = piece.candidates[0]
        if candidate.content is not None:
            for part in candidate.content.parts or ():
                self._take_part(part, events)
        if candidate.groundingMetadata is not None:
            self._sources.ground(candidate.groundingMetadata)
        if candidate.citationMetadata is not None:
            self._sources.cite(candidate.citationMetadata)
        if candidate.finishReason:
            self.native = candidate.finishReason

    def _take_part(self, part: _Part, events: list[Event]) -> None:
        if part.functionCall is not None:
            if part.thoughtSignature:
                self._signed[self._calls] = part.thoughtSignature
            events.append(self._call(part.functionCall))
            return
        if part.thoughtSignature:
            self._signed[None] = part.thoughtSignature
        if not part.text:
            return
        if part.thought:
            events.append(ReasoningDelta(part.text))
        else:
            self._sources.add(part.text)
            events.append(TextDelta(part.text))

    def _call(self, call: _Call) -> ToolCallDelta:
        """It comes whole."""
        number, self._calls = self._calls, self._calls + 1
        arguments = arguments_of(call.args)
        name = call.id or made_id(self._id, number, call.name, arguments)
        return ToolCallDelta(number, name, call.name, arguments)

    def end(self) -> list[Event]:
        events: list[Event] = [*self._sources.found()]
        if state := state_of([Signed(signature, call) for call, signature in self._signed.items()]):
            events.append(State(self._target.kind.slug, state))
        events.append(Finish(finish_reason(_FINISHES, self.native, called=self._calls > 0), self.native))
        usage = usage_of(self._usage) if self._usage is not None else None
        if usage is not None:
            events.append(UsageReport(usage))
        return [*events, Ended()]

    def _refused(self, reason: str) -> ProviderError:
        target = self._target
        words = f"{target.provider} did not answer this prompt: {refusals.cleaned(reason, target.secret)}."
        return Refused(words, provider=target.provider, upstream_status=200)


def usage_of(told: _Usage) -> Usage | None:
    """What was cached is part of the prompt; thoughts, and what tools that ran there read, are not part of the rest."""
    if told.promptTokenCount is None:
        return None
    prompt, cached = told.promptTokenCount + told.toolUsePromptTokenCount, told.cachedContentTokenCount
    output, thoughts = told.candidatesTokenCount, told.thoughtsTokenCount
    if min(prompt, cached, output, thoughts) < 0:
        return None
    cached = min(cached, prompt)
    spoken = sum(max(one.tokenCount, 0) for one in told.promptTokensDetails or () if one.modality == "AUDIO")
    return Usage(prompt - cached, cached, 0, output, thoughts, audio_input=min(spoken, prompt - cached))


# -- the stream -----------------------------------------------------------------------------


class _Lines(EventDecoder):
    """Events, and JSON that stands bare among them: that is how an error may come."""

    __slots__ = ("_bare_bytes", "bare")

    def __init__(self) -> None:
        super().__init__()
        self.bare: list[bytes] = []
        self._bare_bytes = 0

    def _take(self, line: bytes, events: list[Said]) -> None:
        if line[:5] == b"data:" or not line or not (self.bare or line[:1] in (b"{", b"[")):
            super()._take(line, events)
            return
        self.bare.append(line)
        self._bare_bytes += len(line) + 1
        if self._bare_bytes > EVENT_BYTES:
            raise TooLarge(f"The answer is longer than {EVENT_BYTES:,} bytes without an event.")


class PieceDecoder(TranslatingDecoder):
    __slots__ = ("_lines", "_reader")

    def __init__(self, target: Target) -> None:
        self._lines = _Lines()
        super().__init__(target, self._lines)
        self._reader = _Reader(target)

    def _stop(self, events: list[Event]) -> None:
        """There is no mark of the end but the reason for it."""
        if (error := self._bare_error()) is not None:
            self._fail(error, events)
        elif self._reader.native:
            self._ended = True
            events += self._reader.end()
        else:
            super()._stop(events)

    def _translate(self, said: bytes, events: list[Event]) -> None:
        self._reader.take(_piece.decode(said), events)

    def _read(self, body: bytes) -> ChatAnswer:
        return gathered(_read_whole(body, self._target))

    def _bare_error(self) -> ProviderError | None:
        if not self._lines.bare:
            return None
        try:
            value: Any = msgspec.json.decode(b"\n".join(self._lines.bare))
        except refusals.UNREADABLE:
            return None
        value = value[0] if isinstance(value, list) and value else value
        return refusals.reported(value, self._target) if isinstance(value, dict) and "error" in value else None
