"""What was asked and answered, as turns that can be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from routing.contents import Opened

ROLES: Mapping[str, str | Promise] = {
    "system": gettext_lazy("System prompt"),
    "developer": gettext_lazy("System prompt"),
    "user": gettext_lazy("Question"),
    "assistant": gettext_lazy("Earlier answer"),
    "tool": gettext_lazy("Result of a tool"),
}
LONGEST = 20_000  # characters of one text that a page shows


@dataclass(frozen=True, slots=True)
class Said:
    who: str
    text: str = ""
    pieces: tuple[str, ...] = ()  # tool calls, and what is no text
    answer: bool = False


def turns_of(kept: Opened) -> list[Said]:
    messages = kept.fields.get("messages")
    if isinstance(messages, list):
        return [*[_turn(each) for each in messages], *_answers(kept.answer)]
    answers = [] if "input" in kept.fields else _answers(kept.answer)  # vectors are not kept
    return [*_unread(kept.fields), *answers]


def parameters_of(kept: Opened) -> str:
    """What else was sent with it."""
    rest = {name: value for name, value in kept.fields.items() if name not in ("messages", "model", "input", "text")}
    return _json(rest) if rest else ""


def _turn(message: Any) -> Said:
    if not isinstance(message, dict):
        return Said("?", _short(str(message)))
    role = str(message.get("role", "?"))
    content = message.get("content")
    pieces = [_call(each) for each in message.get("tool_calls") or [] if isinstance(each, dict)]
    texts = []
    if isinstance(content, str):
        texts.append(content)
    for part in content if isinstance(content, list) else []:
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        else:
            pieces.append(_json(part))
    return Said(str(ROLES.get(role, role)), _short("\n\n".join(texts)), tuple(pieces))


def _unread(fields: Mapping[str, Any]) -> Iterator[Said]:
    """A question that is no conversation, or was cut into something that cannot be read as one."""
    for name in ("messages", "input", "text"):
        value = fields.get(name)
        for text in value if isinstance(value, list) else [value]:
            if text:
                yield Said(_("Question"), _short(text if isinstance(text, str) else _json(text)))


def _answers(answer: Mapping[str, Any]) -> Iterator[Said]:
    if not answer:
        yield Said(_("Answer"), _("There was none."), answer=True)
        return
    if answer.get("reasoning"):
        yield Said(_("Reasoning"), _short(str(answer["reasoning"])), answer=True)
    calls = answer.get("tool_calls")
    pieces = tuple(_call({"function": each}) for each in calls) if isinstance(calls, list) else ()
    text = _short(str(answer.get("text", "")))
    if text or pieces:
        yield Said(_("Answer"), text, pieces, answer=True)


def _call(call: Mapping[str, Any]) -> str:
    function = call.get("function")
    if not isinstance(function, dict):
        return _json(call)
    return f"{function.get('name', '?')}({function.get('arguments', '')})"


def _json(value: Any) -> str:
    return _short(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"
