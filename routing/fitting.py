"""Can this model do what the request needs, and is its window long enough? Said before anything is sent, with numbers.

What is not known of a model refuses nothing. Tokens are estimated, so a window is called too short only when it is by
more than the estimate may be wrong.
"""

from __future__ import annotations

from dataclasses import replace

from providers.chat import Fields
from routing.decisions import Candidate, Decision, Problem
from routing.snapshot import ModelEntry

DOUBT = 0.1  # of a count of tokens
NULL = (b"null", b"[]")

_WORDS = {
    "tools": "call tools",
    "vision": "read images",
    "structured_output": "answer in a given JSON schema",
    "audio_input": "hear audio",
}


def needs_of(fields: Fields) -> frozenset[str]:
    """By looking for bytes: a false alarm in a text only matters for a model that is known to lack the ability."""
    messages = bytes(fields.get("messages", b""))
    needs = set()
    if bytes(fields.get("tools", b"null")) not in NULL or bytes(fields.get("functions", b"null")) not in NULL:
        needs.add("tools")
    if b'"image_url"' in messages:
        needs.add("vision")
    if b'"input_audio"' in messages:
        needs.add("audio_input")
    if b'"json_schema"' in bytes(fields.get("response_format", b"")):
        needs.add("structured_output")
    return frozenset(needs)


def fitting(decision: Decision, needs: frozenset[str], tokens: int, answer: int) -> Decision:
    """Without the candidates that cannot do it. `tokens` are those of the request, `answer` those it asks for."""
    candidates = tuple(_judged(each, needs, tokens, answer) for each in decision.candidates)
    if all(new is old for new, old in zip(candidates, decision.candidates, strict=True)):
        return decision
    if any(each.usable for each in candidates):
        return replace(decision, candidates=candidates)
    unfit = [new for new, old in zip(candidates, decision.candidates, strict=True) if new is not old]
    too_long = all("window" in each.verdict for each in unfit)
    code = "context_length_exceeded" if too_long else "unsupported_capability"
    message = "; ".join(each.verdict for each in unfit) + "."
    return replace(decision, candidates=candidates, problem=Problem(400, code, message))


def _judged(candidate: Candidate, needs: frozenset[str], tokens: int, answer: int) -> Candidate:
    if not candidate.usable:
        return candidate
    words, because = _lacking(candidate.model, needs), "unavailable"
    if not words:
        words, because = _too_short(candidate.model, tokens, answer), "context_length"
    return replace(candidate, usable=False, verdict=words, because=because) if words else candidate


def _lacking(model: ModelEntry, needs: frozenset[str]) -> str:
    missing = sorted(needs & model.lacks)
    return f"{model.string} does not {', nor '.join(_WORDS.get(name, name) for name in missing)}" if missing else ""


def _too_short(model: ModelEntry, tokens: int, answer: int) -> str:
    window = model.context
    if not window or tokens * (1 - DOUBT) + answer <= window:
        return ""
    more = f" and asks for {answer:,} more" if answer else ""
    return f"{model.string} has a window of {window:,} tokens; this request has about {tokens:,}{more}"
