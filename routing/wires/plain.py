"""The plain format of `/llm/generate`: messages and what they are for in, the answer and what it took out."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
import orjson

from billing.costs import NANO
from providers.chat import ChatAnswer, Usage
from routing.asks import Ask
from routing.decisions import Decision
from routing.intents import HEADERS
from routing.snapshot import ModelEntry
from routing.wires.openai import Malformed, ParsedChat, parse_object, read_chat

HINTS = frozenset(HEADERS)
KNOWN = HINTS | {"model", "messages", "temperature", "max_tokens", "top_p", "stop", "seed", "reasoning_effort"}


class Answered(Protocol):
    """A call that has its answer."""

    ask: Ask
    model: ModelEntry | None
    decision: Decision | None
    request_id: str

    @property
    def usage(self) -> Usage | None: ...

    @property
    def amount_nano(self) -> int | None: ...

    @property
    def currency(self) -> str: ...

    def elapsed_ms(self) -> int: ...


def parse_generate(body: bytes) -> ParsedChat:
    """The hints are left in `metadata`, where every other format has them too."""
    fields = parse_object(body)
    unknown = sorted(fields.keys() - KNOWN)
    if unknown:
        known = ", ".join(sorted(KNOWN))
        raise Malformed(
            f"Unknown parameter '{unknown[0]}': there is {known}.", param=unknown[0], code="unknown_parameter"
        )
    hints: dict[str, Any] = {name: msgspec.json.decode(fields.pop(name)) for name in HINTS if name in fields}
    said = {name: value for name, value in hints.items() if value is not None}
    if said:
        fields["metadata"] = msgspec.Raw(msgspec.json.encode(said))
    return read_chat(fields)


def encode_generated(answer: ChatAnswer, call: Answered) -> bytes:
    model, decision, usage = call.model, call.decision, call.usage
    assert model is not None
    assert decision is not None
    first = decision.absent[0][0] if decision.absent and decision.absent[0][1].endswith("(first of the route)") else ""
    primary = first or (decision.candidates[0].model.string if decision.candidates else "")
    reported = usage is not None
    told = {
        "content": answer.text,
        "provider": model.provider.slug,
        "model": model.model_id,
        "use_case": decision.use_case or call.ask.use_case or None,
        "budget_tier": decision.tier or None,
        "latency_ms": call.elapsed_ms(),
        "usage": {
            "prompt_tokens": usage.prompt if usage else 0,
            "completion_tokens": usage.completion if usage else 0,
            "total_tokens": usage.prompt + usage.completion if usage else 0,
        },
        "cost_usd": cost_in_usd(call.amount_nano, call.currency) if reported else None,
        "fallback_used": model.string != primary,
        "request_id": call.request_id,
    }
    return orjson.dumps(told)


def cost_in_usd(amount_nano: int | None, currency: str) -> float | None:
    """None when nobody knows it, or when it is owed in another currency: nothing is converted here."""
    return None if amount_nano is None or currency != "USD" else amount_nano / NANO
