"""From a request to the whole answer, before a word of it is sent: text, thoughts, tool calls and true counts.

Everything is drawn from a hash of model, messages and seed, so the plain and the streamed answer are the same value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

from providers.demo import counting, topics
from providers.demo.catalogue import Model
from providers.demo.draw import Draw
from providers.demo.language import quotable
from providers.demo.prose import Conversation, notice, thoughts, tool_result, write
from providers.demo.shapes import Maker, proper_name
from providers.demo.wire import ChatAsk, Function, NamedTool


@dataclass(frozen=True, slots=True)
class Call:
    id: str
    name: str
    arguments: tuple[str, ...]  # in pieces


@dataclass(frozen=True, slots=True)
class Answer:
    prompt_tokens: int
    finish: str  # stop, length, tool_calls, content_filter
    pieces: tuple[str, ...] = ()
    thoughts: tuple[str, ...] = ()
    calls: tuple[Call, ...] = field(default=())

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def reasoning(self) -> str:
        return "".join(self.thoughts)

    @property
    def completion_tokens(self) -> int:
        called = sum(counting.count(call.name) + len(call.arguments) for call in self.calls)
        return len(self.pieces) + len(self.thoughts) + called


def answer(ask: ChatAsk, model: Model, prompt_tokens: int) -> Answer:
    said = msgspec.to_builtins(ask.messages)
    draw = Draw.of(model.id, said, ask.seed)
    talk = Conversation.of(ask.messages, draw)
    left = min(ask.longest or model.max_output, model.max_output)
    thinking = counting.pieces(_reasoning(ask, model, talk))[:left]
    left -= len(thinking)
    wanted = _tool_to_call(ask, talk)
    if wanted is not None:
        return _with_call(wanted, talk, prompt_tokens, thinking, left)
    text = _structured(ask, talk) or _told(talk, model)
    if not model.exact_tokens:
        text = _before(ask.stops, text)
    whole = counting.pieces(text)[: model.exact_tokens]
    finish = "length" if len(whole) > left else "stop"
    return Answer(prompt_tokens, finish, tuple(whole[:left]), tuple(thinking))


def _reasoning(ask: ChatAsk, model: Model, talk: Conversation) -> str:
    if not model.reasons or ask.reasoning_effort == "none":
        return ""
    return thoughts(talk, ask.reasoning_effort or "medium")


def _told(talk: Conversation, model: Model) -> str:
    if talk.tool_answer is not None:
        return tool_result(talk)
    if model.exact_tokens is None:
        return write(talk)
    # A text of any length, for tests and benches: topics one after the other, and round again.
    text = notice(talk)
    names = list(topics.TOPICS)
    at = talk.draw.below(len(names), "first")
    # A piece has at most 16 characters, usually five; what is too much is cut off by the caller.
    while counting.count(text) < model.exact_tokens:
        more = [write(talk.about(names[(at + step) % len(names)])) for step in range(len(names))]
        text = "\n\n".join([text, *more])
    return text


def _before(stops: list[str], text: str) -> str:
    cuts = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(cuts)] if cuts else text


# --- JSON ---


def _structured(ask: ChatAsk, talk: Conversation) -> str | None:
    wish = ask.response_format
    if wish is None or wish.type == "text":
        return None
    value: Any
    if wish.json_schema is not None and wish.json_schema.shape:
        value = _maker(wish.json_schema.shape, talk, "schema").value()
    else:
        value = {
            "question": quotable(talk.subject),
            "answer": notice(talk, decorated=False),
            "topic": talk.topic,
            "language": talk.language,
            "points": list(dict.fromkeys(re.findall(r"[^\W\d_]{5,}", quotable(talk.subject, 200))))[:5],
        }
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _maker(schema: dict[str, Any], talk: Conversation, purpose: str) -> Maker:
    draw = Draw.of(purpose, talk.draw.seed.hex())
    proper = quotable(proper_name(talk.newest))
    return Maker(schema, draw, quotable(talk.subject), proper, notice(talk, decorated=False))


# --- Tools ---

_WORD = re.compile(r"[A-Z]?[a-z]{3,}|[A-Z]{3,}")
_ASKS_FOR_TOOL = re.compile(
    r"\b(?:tool|function call|call the|outil|appelle l|fonction|werkzeug|funktion|herramienta|funci[oó]n)\b",
    re.IGNORECASE,
)


def _tool_to_call(ask: ChatAsk, talk: Conversation) -> Function | None:
    functions = {tool.function.name: tool.function for tool in ask.tools or ()}
    if not functions or ask.tool_choice == "none":
        return None
    if isinstance(ask.tool_choice, NamedTool):
        return functions[ask.tool_choice.function.name]
    if talk.tool_answer is not None and ask.tool_choice != "required":
        return None  # it was called, and has answered
    said = set(re.findall(r"\w{4,}", talk.newest.lower()))
    score = {name: _nearness(function, said) for name, function in functions.items()}
    best = max(score, key=lambda name: score[name])
    if ask.tool_choice == "required" or score[best] >= 2 or _ASKS_FOR_TOOL.search(talk.newest):
        return functions[best]
    return None


def _nearness(function: Function, said: set[str]) -> int:
    """How much a question sounds like a tool: a word of its name counts double, one of its description once."""
    named = {word.lower() for word in _WORD.findall(function.name)} - {"get", "the", "set"}
    described = set(re.findall(r"\w{5,}", (function.description or "").lower()))
    return 2 * len(named & said) + len((described - named) & said)


def _with_call(wanted: Function, talk: Conversation, prompt_tokens: int, thinking: list[str], left: int) -> Answer:
    maker = _maker(wanted.parameters or {"type": "object", "properties": {}}, talk, wanted.name)
    arguments = counting.pieces(msgspec.json.encode(maker.value()).decode())
    room = max(left - counting.count(wanted.name), 0)
    finish = "length" if len(arguments) > room else "tool_calls"
    call = Call(f"call_{talk.draw.below(10**12, 'call'):012d}", wanted.name, tuple(arguments[:room]))
    return Answer(prompt_tokens, finish, (), tuple(thinking), (call,))
