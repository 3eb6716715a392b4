"""`POST /api/simulate`: what would happen to this request now, or with something pretended, without calling anyone."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.http import HttpRequest
from ninja import Field, NinjaAPI, Schema
from ninja.errors import HttpError

from billing.ids import new_request_id
from billing.models import Team
from billing.records import Payer
from routing import intents, worker
from routing.callers import Caller
from routing.compiler import compile_snapshot
from routing.deciding import Circumstances
from routing.gateway import asking
from routing.schemas import ErrorOut
from routing.simulation import CHOICES, Question, Simulated, simulate
from routing.snapshot import Snapshot

MOST_PRETENDED = 50


class SimulateIn(Schema):
    """A request as a client would send it, and what to pretend. `text` stands for one message of a user."""

    model: str = Field("auto", max_length=300)
    messages: list[dict[str, Any]] | None = None
    text: str | None = None
    tools: list[dict[str, Any]] | None = None
    response_format: dict[str, Any] | None = None
    max_tokens: int | None = Field(None, ge=1, le=2**31)
    use_case: str = Field("", max_length=200)
    budget_tier: str = Field("", max_length=200)
    complexity: str = ""
    tags: list[str] = []
    user: str = Field("", max_length=200)
    session: str = Field("", max_length=200)
    headers: dict[str, str] = {}
    metadata: dict[str, Any] = {}
    team: str = Field("", description="slug of the team to ask as; for people who may see routing")
    at: datetime | None = Field(None, description="when; now, where it is left out")
    pretend: dict[str, str] = Field(
        {}, description=f"of a provider (`groq`) or a model (`groq:llama-3`): one of {', '.join(CHOICES)}"
    )


class TriedOut(Schema):
    model: str
    outcome: str  # answers, or the code of the error
    said: str
    waited_seconds: float


class SimulateOut(Schema):
    """`refused` is what the client would get where nobody answers."""

    answered_by: str | None
    refused: dict[str, Any] | None
    use_case: str
    budget_tier: str
    route: str | None
    complexity: str
    why_complexity: list[str]
    input_tokens: int
    expected_output_tokens: int
    expected_cost_nano: int | None
    currency: str
    tried: list[TriedOut]
    decision: dict[str, Any]
    revision: int
    release: int


def add(api: NinjaAPI) -> None:
    @api.post(
        "/simulate",
        response={200: SimulateOut, 400: ErrorOut, 401: ErrorOut, 403: ErrorOut, 404: ErrorOut},
        summary="What would happen to this request?",
        tags=["decisions"],
        openapi_extra={"x-needs": "models.see"},
    )
    def simulated(request: HttpRequest, asked: SimulateIn) -> SimulateOut:
        """Decided as a real request is, from the same configuration and circuits. Nobody is called or charged."""
        running = worker.running()
        snapshot = running.snapshots.current if running is not None else compile_snapshot()
        return told(simulate(question(request, asked, snapshot), snapshot, circumstances()), snapshot)


def circumstances() -> Circumstances:
    """As the worker of this process sees them, where it has one."""
    now, running = datetime.now(UTC), worker.running()
    if running is None:
        return Circumstances(now)
    breakers, clock = running.breakers, time.time()
    targets = [model.string for model in running.snapshots.current.models.values()]
    shut = breakers.shut(targets, clock) if breakers.states or breakers.held else {}
    return Circumstances(now, running.gateway.load.live, shut)


def question(request: HttpRequest, asked: SimulateIn, snapshot: Snapshot) -> Question:
    if (asked.messages is None) == (asked.text is None):
        raise HttpError(400, "Send either 'messages' or 'text'.")
    if len(asked.pretend) > MOST_PRETENDED or not set(asked.pretend.values()) <= set(CHOICES):
        raise HttpError(400, f"'pretend' says of a provider or a model one of {', '.join(CHOICES)}.")
    headers = {name.lower().encode(): value.encode() for name, value in asked.headers.items()}
    said = {"tags": asked.tags, "user": asked.user, "session": asked.session, "complexity": asked.complexity}
    said |= {"use_case": asked.use_case, "budget_tier": asked.budget_tier}
    given = {name: value for name, value in said.items() if value}
    try:
        hints = intents.read(asked.model, headers, asked.metadata | given)
    except intents.Unreadable as error:
        raise HttpError(400, error.message) from None
    payer, allowed, hints = _payer(request, asked, hints)
    ask = asking(snapshot, new_request_id(), asked.model, payer, allowed, hints)
    return Question(ask, _fields(asked), asked.at or datetime.now(UTC), headers, asked.metadata, asked.pretend)


def _payer(
    request: HttpRequest, asked: SimulateIn, hints: intents.Hints
) -> tuple[Payer, frozenset[str], intents.Hints]:
    """As whom it is asked: the key, or the person, for a team where one is named."""
    who = request.auth  # type: ignore[attr-defined]
    if isinstance(who, Caller):
        if asked.team:
            raise HttpError(403, "A key asks as its own team: leave 'team' out.")
        if intents.is_open(asked.model):
            hints = msgspec.structs.replace(hints, use_case=hints.use_case or who.use_case, tier=hints.tier or who.tier)
        return Payer("api", who.team_id, who.user_id, who.key_id), who.allowed_models, hints
    team = Team.objects.filter(slug=asked.team, archived_at=None).first() if asked.team else None
    if asked.team and team is None:
        raise HttpError(404, f"There is no team '{asked.team[:80]}'.")
    return Payer("api", team.pk if team else None, who.pk), frozenset(), hints


def _fields(asked: SimulateIn) -> dict[str, msgspec.Raw]:
    messages = asked.messages if asked.messages is not None else [{"role": "user", "content": asked.text}]
    told = {
        "messages": messages,
        "tools": asked.tools,
        "response_format": asked.response_format,
        "max_tokens": asked.max_tokens,
    }
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in told.items() if value is not None}


def told(found: Simulated, snapshot: Snapshot) -> SimulateOut:
    problem, decision = found.problem, found.decision
    refused = None
    if problem is not None:
        refused = {"status": problem.status, "code": problem.code, "message": problem.message}
    return SimulateOut(
        answered_by=found.answered_by.string if found.answered_by else None,
        refused=refused,
        use_case=decision.use_case,
        budget_tier=decision.tier,
        route=decision.route.name if decision.route else None,
        complexity=found.ask.complexity,
        why_complexity=list(found.ask.estimated),
        input_tokens=found.ask.input_tokens,
        expected_output_tokens=found.output_tokens,
        expected_cost_nano=found.cost_nano,
        currency=found.currency,
        tried=[
            TriedOut(model=each.model.string, outcome=each.outcome, said=each.words, waited_seconds=each.waited_seconds)
            for each in found.tried
        ],
        decision=msgspec.json.decode(decision.as_json()),
        revision=snapshot.revision,
        release=snapshot.release,
    )
