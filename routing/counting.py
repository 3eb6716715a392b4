"""How many tokens would this be for that model? Asked before it is sent; nothing is, and nothing is written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from billing.ids import new_request_id, started_at
from providers.chat import Fields
from providers.tokens import count_request_exactly, count_tokens, family_of
from routing.asks import Ask
from routing.decisions import Live, Problem
from routing.engine import decide
from routing.snapshot import ModelEntry, Snapshot

USES = ("chat", "embedding")


@dataclass(frozen=True, slots=True)
class Counted:
    tokens: int
    model: str  # `provider:model id` of the one that would be asked first
    family: str  # whose vocabulary was reckoned with
    exact: bool = False  # no vendor's own tokenizer is here


class Uncountable(Exception):
    """Nobody would be asked, so nobody's tokens are meant."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def count(what: Fields | str, ask: Ask, snapshot: Snapshot) -> Counted:
    """Of a request's fields, or of a text. Raises Uncountable."""
    model = _first(ask, snapshot)
    family = family_of(model.provider.kind.slug, model.model_id)
    tokens = count_tokens(family, what) if isinstance(what, str) else count_request_exactly(family, what)
    return Counted(tokens, model.string, family)


def asking(model: str, **who: Any) -> Ask:
    return Ask(request_id=new_request_id(), model=model, **who)


def _first(ask: Ask, snapshot: Snapshot) -> ModelEntry:
    problem: Problem | None = None
    for use in USES:
        decision = decide(msgspec.structs.replace(ask, use=use), snapshot, Live(), now=started_at(ask.request_id))
        if decision.usable:
            return decision.usable[0]
        problem = problem or decision.problem
        if problem is not None and problem.code != "unsupported_model":
            break
    assert problem is not None
    raise Uncountable(problem)
