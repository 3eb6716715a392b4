"""A decision when circuits are open: the same one, with those candidates left out who are to be left alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from routing.decisions import Candidate, Decision, Problem

LAST_RESORT = "its circuit is open, and nobody else is left: tried all the same"


def without_shut(decision: Decision, shut: Mapping[str, float], now: float, last_resort: str = "") -> Decision:
    """`shut` says until when a target is left alone, `last_resort` which of them is tried when none is left."""
    candidates = tuple(_judged(each, shut, last_resort) for each in decision.candidates)
    if any(each.usable for each in candidates):
        return replace(decision, candidates=candidates)
    waits = [until - now for until in shut.values()]
    names = "; ".join(f"{each.model.string}: {each.verdict}" for each in candidates)
    message = f"Nobody can answer for this now. {names}."
    problem = Problem(503, "circuit_open", message, retry_after=min(max(1.0, min(waits)), 3600.0))
    return replace(decision, candidates=candidates, problem=problem)


def _judged(candidate: Candidate, shut: Mapping[str, float], last_resort: str) -> Candidate:
    until = shut.get(candidate.model.string) if candidate.usable else None
    if until is None:
        return candidate
    if candidate.model.string == last_resort:
        return replace(candidate, verdict=LAST_RESORT)
    return replace(candidate, usable=False, verdict=f"its circuit is open until {_clock(until)}", because="unavailable")


def _clock(moment: float) -> str:
    try:
        at = datetime.fromtimestamp(moment, UTC)
    except (OverflowError, ValueError):
        at = datetime.max
    return "somebody closes it" if at.year > 9000 else f"{at:%H:%M:%S} UTC"
