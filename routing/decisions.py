"""What a decision is: candidates in order, each with its verdict, and the reason in words. Values only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from routing.snapshot import ExperimentEntry, ModelEntry, RouteEntry

PRICE_UNKNOWN = "unknown"  # said of a model that nobody can price, never of one that is free


@dataclass(frozen=True, slots=True)
class Live:
    """What is true only now and only here. Circuits and limits are looked at after deciding: see deciding.py."""

    first_token_ms: Mapping[str, float] = field(default_factory=dict)  # of late, by model string
    running: Mapping[str, int] = field(default_factory=dict)  # requests, by model string


@dataclass(frozen=True, slots=True)
class Candidate:
    model: ModelEntry
    usable: bool
    verdict: str  # "named in the request", "fallback, priority 20", "Groq is switched off"
    on: frozenset[str] = frozenset()  # what must happen before it is asked: see chains.py; empty: any failure
    because: str = ""  # of one that is not usable, in the words of `on`


@dataclass(frozen=True, slots=True)
class Problem:
    """Why nobody can answer, in the words and the status the client gets."""

    status: int
    code: str
    message: str
    retry_after: float | None = None  # seconds, when waiting helps
    param: str = "model"  # of the request: what it is about


@dataclass(frozen=True, slots=True)
class Decision:
    candidates: tuple[Candidate, ...]  # in the order to try them; those that are not usable say why
    reason: str  # "EXPLICIT openai:gpt-4o", "ALIAS fast", "BARE gpt-4o", "ROUTE expert", "TEAM DEFAULT demo:relay-1"
    problem: Problem | None = None
    allowed_models: frozenset[str] = frozenset()  # what the key allowed: part of the question, stored with the answer
    use: str = "chat"
    route: RouteEntry | None = None
    use_case: str = ""
    tier: str = ""
    arm: str = ""  # "<experiment>/<arm>"
    exposes: ExperimentEntry | None = None
    absent: tuple[tuple[str, str], ...] = ()  # targets that are no model of this house, each with a verdict
    notes: tuple[str, ...] = ()  # what else was looked at: complexity, routes that did not apply
    usable: tuple[ModelEntry, ...] = field(init=False, compare=False)
    shortest: int = field(init=False, compare=False)  # window of those usable; 0: none is known
    lacks: frozenset[str] = field(init=False, compare=False)  # what some of those usable cannot do
    _json: bytes = field(init=False, compare=False, repr=False, default=b"")

    def __post_init__(self) -> None:
        usable = tuple([candidate.model for candidate in self.candidates if candidate.usable])
        object.__setattr__(self, "usable", usable)
        object.__setattr__(self, "shortest", min([model.context for model in usable if model.context], default=0))
        object.__setattr__(self, "lacks", frozenset().union(*[model.lacks for model in usable]))

    def as_json(self) -> bytes:
        """As it is stored with the request. Encoded once: the same decision is given to many requests."""
        if not self._json:
            text = json.dumps(self._as_dict(), ensure_ascii=False, separators=(",", ":"))
            object.__setattr__(self, "_json", text.encode("utf-8", "replace"))
        return self._json

    def _as_dict(self) -> dict[str, object]:
        told: dict[str, object] = {
            "reason": self.reason,
            "use": self.use,
            "candidates": [_told(each) for each in self.candidates]
            + [{"model": name, "usable": False, "verdict": verdict} for name, verdict in self.absent],
        }
        if self.route is not None:
            told["route"] = self.route.name
            told["when"] = self.route.when
        told |= {name: value for name in ("use_case", "tier", "arm") if (value := getattr(self, name))}
        if self.notes:
            told["notes"] = self.notes
        if self.allowed_models:
            told["allowed_models"] = sorted(self.allowed_models)
        if self.problem is not None:
            problem = self.problem
            told["problem"] = {"status": problem.status, "code": problem.code, "message": problem.message}
        return told


def _told(candidate: Candidate) -> dict[str, object]:
    model = candidate.model
    told: dict[str, object] = {"model": model.string, "usable": candidate.usable, "verdict": candidate.verdict}
    if candidate.on:
        told["on"] = sorted(candidate.on)
    if not model.prices:
        told["price"] = PRICE_UNKNOWN
    return told
