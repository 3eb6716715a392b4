"""From an ask to the candidates that may be asked now: what the configuration says, then circuits, abilities, caps.

The live path, the simulator and a replay all come through here. Each step costs next to nothing when it has nothing to
say, and says why it left somebody out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from providers.chat import Fields
from providers.tokens import count_request_exactly
from routing.asks import Ask
from routing.caps import within_cap
from routing.decisions import Candidate, Decision, Live, Problem
from routing.engine import decide
from routing.fitting import fitting, needs_of
from routing.flags import by_flags
from routing.settlement import asked_for
from routing.shut import without_shut
from routing.snapshot import Snapshot

NOTHING_LIVE = Live()
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is true at this moment, beside the configuration."""

    now: datetime
    live: Live = NOTHING_LIVE
    shut: Mapping[str, float] = field(default_factory=dict)  # targets to leave alone, and until when
    last_resort: str = ""  # which of them is tried when nobody else is left


def narrowed(
    decision: Decision,
    ask: Ask,
    snapshot: Snapshot,
    around: Circumstances,
    fields: Fields,
    count: Callable[[], int],
) -> Decision:
    """`count` estimates the tokens of the request: asked only where somebody's window is known."""
    if snapshot.routing.flags and decision.usable:
        decision = by_flags(decision, snapshot.routing.flags, ask, around.now)
    if around.shut and decision.usable:
        decision = without_shut(decision, around.shut, around.now.timestamp(), around.last_resort)
    if decision.problem is None and (decision.shortest or decision.lacks):
        decision = _fitting(decision, fields, count)
    if decision.tier and decision.problem is None:
        decision = within_cap(decision, ask, snapshot, around.now.timestamp())
    if decision.route is not None and any(each.on for each in decision.candidates):
        decision = in_their_turn(decision)
    return decision


def _fitting(decision: Decision, fields: Fields, count: Callable[[], int]) -> Decision:
    needs = needs_of(fields) if decision.lacks else NOTHING
    if not decision.shortest:
        return decision if needs.isdisjoint(decision.lacks) else fitting(decision, needs, 0, 0)
    answer, tokens = asked_for(fields), count()
    if tokens + answer <= decision.shortest:
        return decision if needs.isdisjoint(decision.lacks) else fitting(decision, needs, tokens, answer)
    tokens = count_request_exactly("", fields)  # the estimate is rather too high; a refusal must not be
    return fitting(decision, needs, tokens, answer)


def in_their_turn(decision: Decision) -> Decision:
    """Without the fallbacks that are meant for something else than what keeps those before them from answering."""
    happened: set[str] = set()
    candidates: list[Candidate] = []
    before = False  # somebody before this one will be asked: what comes of that decides
    for each in decision.candidates:
        if each.usable and not before and each.on and each.on.isdisjoint(happened):
            each = replace(each, usable=False, verdict=f"{each.verdict}, which is not what happened")
        elif each.usable:
            before = True
        else:
            happened.add(each.because or "unavailable")
        candidates.append(each)
    if before or decision.problem is not None:
        return replace(decision, candidates=tuple(candidates))
    verdicts = "; ".join(f"{each.model.string}: {each.verdict}" for each in candidates)
    problem = Problem(503, "no_usable_provider", f"Nobody can answer for this now. {verdicts}.")
    return replace(decision, candidates=tuple(candidates), problem=problem)


def decided(ask: Ask, snapshot: Snapshot, around: Circumstances, fields: Fields, count: Callable[[], int]) -> Decision:
    """The whole of it, for those who have no model to load first."""
    return narrowed(decide(ask, snapshot, around.live, now=around.now), ask, snapshot, around, fields, count)
