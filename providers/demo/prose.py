"""What the pretend vendor says in a conversation: which text, in which language, in which of its forms."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from providers.demo import bank
from providers.demo.draw import Draw
from providers.demo.language import asked_for, choose, in_quotes, quotable
from providers.demo.topics import TOPICS, Form, form_of, topic_of
from providers.demo.wire import Message
from providers.demo.working import key_sentences, worked_sum

_CASUAL = frozenset({"general", "hello", "thanks"})
_LONGEST_RESULT = 600


@dataclass(frozen=True, slots=True)
class Conversation:
    """What the turns so far come down to."""

    newest: str  # the last thing the user said
    subject: str  # the turn that says what it is about: the newest, or an earlier one that it refers to
    topic: str
    form: Form | None
    language: str
    last_answer: str  # ours, when there is one
    tool_answer: tuple[str, str] | None  # name and result of the tool that was just called
    draw: Draw

    @classmethod
    def of(cls, messages: Sequence[Message], draw: Draw) -> Conversation:
        turns = [message.text for message in messages if message.role == "user"]
        orders = "\n".join(message.text for message in messages if message.role in ("system", "developer"))
        answers = [message.text for message in messages if message.role == "assistant"]
        newest = turns[-1] if turns else ""
        form, subject = _referred_to(turns)
        return cls(
            newest=newest,
            subject=subject,
            topic=topic_of(subject),
            form=form,
            language=choose(turns, orders),
            last_answer=answers[-1] if answers and form else "",
            tool_answer=_tool_answer(messages),
            draw=draw,
        )

    def about(self, topic: str) -> Conversation:
        return replace(self, topic=topic, form=None, draw=Draw.of(topic, self.draw.seed.hex()))


def _referred_to(turns: list[str]) -> tuple[Form | None, str]:
    """The form wanted, and the turn it is wanted of: "shorter" speaks of the question before it."""
    if not turns:
        return None, ""
    form = _form(turns[-1])
    if form and topic_of(turns[-1]) in _CASUAL:
        for turn in reversed(turns[:-1]):
            if not (_form(turn) and topic_of(turn) in _CASUAL):
                return form, turn
    return form, turns[-1]


def _form(turn: str) -> Form | None:
    form = form_of(turn)
    if form is None and len(turn.split()) <= 6 and asked_for(turn):
        return Form.SAME
    return form


def _tool_answer(messages: Sequence[Message]) -> tuple[str, str] | None:
    last = messages[-1]
    if last.role not in ("tool", "function"):
        return None
    calls = (call for message in messages for call in message.tool_calls or ())
    named = next(
        (str(call.function.get("name", "")) for call in calls if call.id == last.tool_call_id), last.name or ""
    )
    return named, last.text


def write(talk: Conversation) -> str:
    echo = _to_repeat(talk.newest)
    if echo:
        return f"{echo}\n\n{notice(talk)}"
    if talk.form is Form.SHORT:
        return _shorter(talk)
    texts = bank.texts(talk.language, talk.topic)
    body = _worked(talk, texts) or _body(talk, texts)
    parts = [_opening(talk), body, _tip(talk), notice(talk)]
    return "\n\n".join(part for part in parts if part)


def _body(talk: Conversation, texts: bank.Texts) -> str:
    """One of the texts; after "another" or "longer", one that the last answer does not end with."""
    fresh = [text for text in texts.full if text.splitlines()[-1] not in talk.last_answer] or list(texts.full)
    chosen = talk.draw.pick(fresh, "text")
    body = _filled(chosen, talk)
    if talk.form is Form.LONG:
        others = [text for text in texts.full if text != chosen]
        more = others or [bank.texts(talk.language, "general").full[0]]
        body = f"{body}\n\n{_filled(talk.draw.pick(more, 'more'), talk)}"
    return body


def _worked(talk: Conversation, texts: bank.Texts) -> str:
    """For a sum or a pasted text: the answer made of it, if anything can be."""
    if not texts.worked:
        return ""
    if "[[sum]]" in texts.worked:
        result = worked_sum(talk.subject, talk.language)
        return _filled(texts.worked.replace("[[sum]]", result), talk) if result else ""
    points = key_sentences(talk.subject)
    listed = "\n".join(f"- {point}" for point in points)
    return _filled(texts.worked.replace("[[points]]", listed), talk) if points else ""


def _shorter(talk: Conversation) -> str:
    """The short text of the topic, or less if the last answer was not longer than that."""
    text = _filled(bank.texts(talk.language, talk.topic).short, talk)
    first = re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]
    for shorter in (f"{text}\n\n{notice(talk)}", f"{first}\n\n{notice(talk)}"):
        if not talk.last_answer or len(shorter) < len(talk.last_answer):
            return shorter
    return notice(talk)


def _opening(talk: Conversation) -> str:
    if not TOPICS[talk.topic].opens or talk.draw.below(3, "opens") == 0:
        return ""
    title = f"again {talk.form.value}" if talk.form else "openings"
    return _filled(talk.draw.pick(bank.phrases(talk.language, title), "opening"), talk)


def _tip(talk: Conversation) -> str:
    often = 2 if talk.topic in ("hello", "identity", "general", "gateway") else 5
    if talk.draw.below(often, "tips"):
        return ""
    return talk.draw.pick(bank.phrases(talk.language, "tips"), "tip")


def notice(talk: Conversation, *, decorated: bool = True) -> str:
    """The line that every answer carries: nobody shall take this for a model's work."""
    line = talk.draw.pick(bank.phrases(talk.language, "notices"), "notice")
    return f"*{line}*" if decorated else line


def thoughts(talk: Conversation, effort: str) -> str:
    lines = bank.phrases(talk.language, "thoughts")
    number = {"minimal": 1, "low": 2, "medium": 4, "high": 6}.get(effort, len(lines))
    start = talk.draw.below(len(lines), "thoughts")
    first = talk.draw.pick(bank.phrases(talk.language, "first thoughts"), "first thought")
    chosen = [lines[(start + step) % len(lines)] for step in range(min(number, len(lines)))]
    return " ".join(_filled(line, talk) for line in (first, *chosen))


def tool_result(talk: Conversation) -> str:
    assert talk.tool_answer is not None
    name, result = talk.tool_answer
    shown = result.replace("`", "'")[:_LONGEST_RESULT]
    line = talk.draw.pick(bank.phrases(talk.language, "tools"), "tool")
    said = line.replace("[[tool]]", re.sub(r"[^\w.-]", "", name) or "tool")
    return f"{said}\n\n```json\n{shown}\n```\n\n{notice(talk)}"


def _filled(text: str, talk: Conversation) -> str:
    return text.replace("[[quote]]", in_quotes(talk.subject, talk.language))


_REPEAT = re.compile(
    r"\s*(?:please |just |only )?(?P<how>say|repeat|echo|print|reply|answer|respond|dis|répète|répétez|réponds?|répondez"
    r"|sag|sage|antworte|wiederhole|di|repite|responde)\b"
    r"(?P<only> (?:only |exactly |just |after me |with |seulement |juste |uniquement |exactement |après moi |par |mit |nur "
    r"|genau |solo |exactamente |con |with the word |le mot )*)\s*(?P<colon>:?)\s*(?P<what>[^\n]{1,200}?)\s*[.!]?\s*",
    re.IGNORECASE,
)


def _to_repeat(text: str) -> str:
    """What a turn like "Say pong" or "Réponds seulement : oui" wants to hear."""
    found = _REPEAT.fullmatch(text[:300])
    if found is None:
        return ""
    what = found["what"]
    certain = found["colon"] or found["only"].strip() or what[0] in "\"'“«„"
    if asked_for(text) or (not certain and len(what.split()) > 2):
        return ""
    return quotable(what, longest=200)
