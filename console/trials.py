"""What a new provider is put through before the house relies on it: five calls to one model, and what came of each.

The calls go the way of the gateway's own attempts, straight to the provider: they are nobody's requests and nobody's
bill here, a few hundred tokens in all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from console.connecting import first_token, question
from console.drafts import Draft
from providers import connector
from providers.chat import ChatAnswer, ChatRequest
from providers.connector import Connector
from providers.errors import BadRequest, InvalidAnswer, ModelNotFound, ProviderError
from providers.models import Provider
from providers.tokens import count_request
from providers.wiring import Limits
from routing.attempts import Attempt

SECONDS = 40.0
NOBODY = "relayhouse-no-such-model"
SHARE = 0.05  # by which our count may differ from what is reported
LONG_WORDS = 1200
TOOL = {
    "type": "function",
    "function": {
        "name": "population",
        "description": "The number of people who live in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}

# Said of each step; kept in the row in English and translated where it is shown.
NO_TOOL_CALL = gettext_noop("It answered without calling the tool.")
ANSWERED_ALL_THE_SAME = gettext_noop("It answered although there is no such model.")
NO_USAGE = gettext_noop("It did not report how many tokens it counted.")


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    ok: bool
    said: str  # what the provider said, or our sentence about it
    ms: int


def run(draft: Draft, model: str, name: str) -> Step:
    """One step. What goes wrong is in it; nothing is raised."""
    began = time.monotonic()
    try:
        ok, said = STEPS[name](draft, model)
    except ProviderError as error:
        ok, said = False, error.message
    return Step(name, ok, said[:300], int((time.monotonic() - began) * 1000))


def keep(provider: Provider, model: str, step: Step) -> dict[str, Any]:
    """Add the step to the provider's trial; the first one begins it anew. Decisions do not read it."""
    with transaction.atomic():
        row = Provider.objects.select_for_update().get(pk=provider.pk)
        first = step.name == next(iter(STEPS))
        trial: dict[str, Any] = {} if first else dict(row.trial)
        done = [each for each in trial.get("steps", []) if each.get("name") != step.name]
        trial = {"at": timezone.now().isoformat(), "model": model, "steps": [*done, asdict(step)]}
        Provider.objects.filter(pk=provider.pk).update(trial=trial)
    return trial


def passed(trial: dict[str, Any]) -> bool:
    """Whether every step was taken and went well."""
    well = {step.get("name") for step in trial.get("steps", []) if step.get("ok")}
    return well >= STEPS.keys()


def after(name: str) -> str:
    names = list(STEPS)
    place = names.index(name) + 1
    return names[place] if place < len(names) else ""


# -- the steps ---------------------------------------------------------------------------


def _plain(draft: Draft, model: str) -> tuple[bool, str]:
    answer = _answer(draft, model, question("Say hello.", model, stream=False))
    if not (answer.text or answer.reasoning):
        raise InvalidAnswer("The answer was empty.")
    return True, answer.text.strip()[:120]


def _stream(draft: Draft, model: str) -> tuple[bool, str]:
    return True, f"{first_token(draft, model)} ms"


def _tool(draft: Draft, model: str) -> tuple[bool, str]:
    asked = question("How many people live in Riga? Use the tool.", model, stream=False, longest=256, tools=[TOOL])
    calls = _answer(draft, model, asked).tool_calls
    if not calls:
        return False, NO_TOOL_CALL
    return True, f"{calls[0].name}({calls[0].arguments[:80]})"


def _unknown_model(draft: Draft, model: str) -> tuple[bool, str]:
    """A wrong name must be an error that we understand, not an answer and not a failure."""
    try:
        _answer(draft, NOBODY, question("Say hello.", NOBODY, stream=False))
    except (ModelNotFound, BadRequest) as error:
        return True, error.message
    return False, ANSWERED_ALL_THE_SAME


def _count(draft: Draft, model: str) -> tuple[bool, str]:
    """Our count of a long prompt beside the provider's."""
    words = " ".join(("relay house signal track station line points lamp".split() * LONG_WORDS)[:LONG_WORDS])
    asked = question(f"{words}\nAnswer with one word.", model, stream=False)
    usage = _answer(draft, model, asked).usage
    if usage is None or not usage.prompt:
        return False, NO_USAGE
    ours = count_request(draft.kind.slug, asked.fields)
    return abs(ours - usage.prompt) <= SHARE * usage.prompt, f"{ours} / {usage.prompt}"


STEPS: dict[str, Callable[[Draft, str], tuple[bool, str]]] = {
    "plain": _plain,
    "stream": _stream,
    "tool": _tool,
    "unknown-model": _unknown_model,
    "count": _count,
}


def _answer(draft: Draft, model: str, request: ChatRequest) -> ChatAnswer:
    entry = draft.entry(model)

    async def ask(port: Connector) -> ChatAnswer:
        now = asyncio.get_running_loop().time()
        attempt = Attempt(port, request, entry)
        return await attempt.answer(Limits(deadline=now + SECONDS, first_byte=SECONDS, idle=SECONDS))

    return connector.call(ask)
