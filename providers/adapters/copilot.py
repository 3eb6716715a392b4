"""Microsoft 365 Copilot, through Graph's beta: a conversation is opened, then asked one thing.

It answers for one person who signed in, and takes text alone. A conversation is made for each request: earlier turns
go along as context, so that nothing one client said is ever in the conversation of another. A stream repeats the whole
text so far each time; what is new in it is given on. Nobody says how many tokens it took.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from providers.adapters import refusals
from providers.adapters.asked import Asked, Text, Turn, read, warnings_for
from providers.adapters.streams import EVENTS, AnswerStream
from providers.auth import is_sendable, signed
from providers.chat import (
    ChatAnswer,
    ChatRequest,
    Citation,
    EmbeddingAnswer,
    EmbeddingRequest,
    Ended,
    Event,
    Finish,
    FinishReason,
    Start,
    TextDelta,
)
from providers.errors import BadCredentials, BadRequest, ProviderError
from providers.sse import EventDecoder
from providers.wiring import Decoder, HttpAnswer, HttpRequest, ListedModel, Target

_CONVERSATION = "conversation"  # among the options of a target, once it was opened
_STREAM = "OverStream"
_STOPPED = "disengagedForRai"

_encoder = msgspec.json.Encoder()


class _Attribution(msgspec.Struct):
    seeMoreWebUrl: str | None = None
    providerDisplayName: str | None = None
    attributionType: str | None = None


class _Message(msgspec.Struct):
    text: str | None = None
    attributions: list[_Attribution] | None = None


class _Conversation(msgspec.Struct):
    id: str = ""
    state: str | None = None
    messages: list[_Message] | None = None
    error: Any = None


_conversation = msgspec.json.Decoder(_Conversation)


class CopilotAdapter:
    # -- before asking --------------------------------------------------------------

    def opening_request(self, target: Target) -> HttpRequest:
        return _post(target, "/conversations", {}, "application/json")

    def opened(self, answer: HttpAnswer, target: Target) -> Target:
        conversation = _read(answer.body, target)
        if not conversation.id:
            raise refusals.unreadable(target, "opened no conversation.")
        return msgspec.structs.replace(target, options={**target.options, _CONVERSATION: conversation.id})

    # -- asking -------------------------------------------------------------------

    def chat_request(self, request: ChatRequest, target: Target) -> tuple[HttpRequest, list[str]]:
        asked = read(request, target)
        conversation = quote(str(target.options.get(_CONVERSATION, "")), safe="")
        path = target.kind.chat_path.replace("{conversation}", conversation)
        accept = EVENTS if request.stream else "application/json"
        body = _body(asked, target)
        return _post(target, path + (_STREAM if request.stream else ""), body, accept), _warnings(asked, target)

    # -- being answered -----------------------------------------------------------

    def chat_answer(self, answer: HttpAnswer, target: Target) -> ChatAnswer:
        conversation = _read(answer.body, target)
        if conversation.error:
            raise refusals.reported(conversation.error, target)
        # The question is in the list too; the reply is the last of it.
        if not conversation.messages or len(conversation.messages) < 2:
            raise refusals.unreadable(target, "sent an answer without a reply.")
        reply = conversation.messages[-1]
        return ChatAnswer(
            conversation.id,
            target.model,
            reply.text or "",
            finish=_finish(conversation),
            citations=_citations(reply),
        )

    def decoder(self, request: ChatRequest, target: Target) -> Decoder:
        return SnapshotDecoder(target, _question(read(request, target), target)[0])

    def error(self, answer: HttpAnswer, target: Target) -> ProviderError:
        return refusals.refusal(answer.status, answer.headers, answer.body, target)

    # -- what it has not --------------------------------------------------------------

    def models_request(self, target: Target) -> HttpRequest | None:
        return None

    def models_answer(self, answer: HttpAnswer, target: Target) -> list[ListedModel]:
        raise refusals.unreadable(target, "has no list of models.")

    def health_request(self, target: Target) -> HttpRequest | None:
        return None

    def embedding_request(self, request: EmbeddingRequest, target: Target) -> tuple[HttpRequest, list[str]]:
        raise BadRequest(f"{target.kind.name} has no embeddings.", param="model", sent=False)

    def embedding_answer(self, answer: HttpAnswer, target: Target) -> EmbeddingAnswer:
        raise refusals.unreadable(target, "has no embeddings.")


# -- requests ---------------------------------------------------------------------


def _post(target: Target, path: str, body: dict[str, Any], accept: str) -> HttpRequest:
    headers = {"content-type": "application/json", "accept": accept, **_credentials(target)}
    return HttpRequest("POST", target.base_url.rstrip("/") + path, headers, _encoder.encode(body), target.kind)


def _credentials(target: Target) -> dict[str, str]:
    secret = target.secret
    if not secret or not is_sendable(secret):
        raise BadCredentials(
            f"{target.provider} has no sign-in that can be used: enter it again.", provider=target.provider, sent=False
        )
    return signed(target.kind.auth, secret)


def _body(asked: Asked, target: Target) -> dict[str, Any]:
    question, before = _question(asked, target)
    zone = target.options.get("time_zone") or target.kind.defaults["time_zone"]
    body: dict[str, Any] = {"message": {"text": question}, "locationHint": {"timeZone": str(zone)}}
    context = [{"text": part.text, "description": "system"} for part in asked.system if part.text.strip()]
    context += [{"text": text, "description": f"earlier {turn.role}"} for turn in before if (text := _said(turn))]
    if context:
        body["additionalContext"] = context
    if target.options.get("web") is False:
        body["contextualResources"] = {"webContext": {"isWebEnabled": False}}
    return body


def _question(asked: Asked, target: Target) -> tuple[str, list[Turn]]:
    """What is asked now, and the turns before it."""
    *before, last = asked.turns or [Turn("user")]
    if any(not isinstance(part, Text) for turn in asked.turns for part in turn.parts):
        raise BadRequest(f"{target.kind.name} takes text alone.", param="messages", sent=False)
    text = _said(last)
    if not text or last.role == "assistant":
        raise BadRequest(f"{target.kind.name} wants the last message to be a question.", param="messages", sent=False)
    return text, before


def _said(turn: Turn) -> str:
    calls = [f"{call.name}({call.arguments})" for call in turn.calls]
    return "\n".join(text for text in (turn.text.strip(), *calls) if text)


def _warnings(asked: Asked, target: Target) -> list[str]:
    given = {
        "tools": asked.tools,
        "tool_choice": asked.choice if asked.choice not in ("auto", "none") else "",
        "parallel_tool_calls": asked.parallel is False,
        "max_tokens": asked.longest,
        "temperature": asked.temperature is not None,
        "top_p": asked.top_p is not None,
        "stop": asked.stop,
        "seed": asked.seed is not None,
        "reasoning_effort": asked.effort,
        "response_format": asked.schema,
        "user": asked.user,
    }
    return warnings_for(asked, target, *(name for name, value in given.items() if value))


# -- answers ----------------------------------------------------------------------


def _read(body: bytes, target: Target) -> _Conversation:
    try:
        return _conversation.decode(body)
    except refusals.UNREADABLE:
        raise refusals.unreadable(target, "sent something that is no conversation.") from None


def _finish(conversation: _Conversation) -> FinishReason:
    return FinishReason.CONTENT_FILTER if conversation.state == _STOPPED else FinishReason.STOP


def _citations(reply: _Message) -> list[Citation]:
    cited = [one for one in reply.attributions or () if one.seeMoreWebUrl and one.attributionType != "annotation"]
    return [Citation(one.seeMoreWebUrl or "", one.providerDisplayName or "") for one in cited]


class SnapshotDecoder(AnswerStream):
    """Each event has the conversation so far. The body's end is the answer's: there is no other mark of it."""

    __slots__ = ("_given", "_last", "_question", "_reply", "_sse", "_started")

    def __init__(self, target: Target, question: str) -> None:
        super().__init__(target)
        self._question = question
        self._sse = EventDecoder()
        self._given = ""  # the snapshot that was given on
        self._reply: _Message | None = None
        self._last: _Conversation | None = None
        self._started = False

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        for said, _ in self._sse.feed(data):
            if said is not None and not self._ended:
                self._take(said, events)
        return events

    def close(self) -> list[Event]:
        if self._ended:
            return []
        events: list[Event] = []
        for said, _ in self._sse.close():
            if said is not None and not self._ended:
                self._take(said, events)
        if self._ended:
            return events
        if self._last is None or self._reply is None:
            raise refusals.interrupted(self._target)
        events += _citations(self._reply)
        return [*events, Finish(_finish(self._last), self._last.state or ""), Ended()]

    def _take(self, data: bytes, events: list[Event]) -> None:
        try:
            conversation = _conversation.decode(data)
        except refusals.UNREADABLE:
            self._fail(refusals.broken(self._target, "sent an event that is no conversation."), events)
            return
        if conversation.error:
            self._fail(refusals.reported(conversation.error, self._target), events)
            return
        if not self._started:
            self._started = True
            events.append(Start(conversation.id, self._target.model))
        self._last = conversation
        reply = self._reply_in(conversation.messages or [])
        if reply is None:
            return
        self._reply = reply
        text = reply.text or ""
        if self._given.startswith(text):
            return
        # One that was written anew is given whole: what has gone out stays.
        new = text[len(self._given) :] if text.startswith(self._given) else f"\n\n{text}"
        self._given = text
        events.append(TextDelta(new))

    def _reply_in(self, messages: list[_Message]) -> _Message | None:
        """The last message, unless that is still the question itself."""
        if not messages or (len(messages) == 1 and messages[0].text == self._question and not self._given):
            return None
        return messages[-1]
