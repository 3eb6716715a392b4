"""Requests for programs: the same list, filters and sight as the pages have, and everything about one of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from django.http import HttpRequest
from ninja import Field, NinjaAPI, Query, Schema

from billing.models import Attempt, LedgerEntry, Request
from console import traffic
from console.models import User
from console.request_lines import entries_of
from console.sifting import asked_in
from console.traffic import Sight, TooSlow
from routing.api import Refused
from routing.callers import Caller
from routing.schemas import ErrorOut

MOST = 200
LARGEST = 10**18 - 1

Number = Annotated[int | None, Field(ge=0, le=LARGEST)]


class Asked(Schema):
    """The filters of the page of all requests. What is empty asks for all."""

    q: str = ""  # the beginning of an id, of a client's own id, or of a session
    outcome: Literal["", "failed", "rerouted"] = ""
    slow: bool = False  # longer than five seconds
    status: Literal["", "ok", "failed", "cancelled", "interrupted"] = ""
    code: str = ""
    provider: str = ""
    model: str = ""
    use_case: str = ""
    tier: str = ""
    purpose: Literal["", "api", "playground", "system"] = ""
    team: Number = None
    key: Number = None
    person: Number = None
    since: datetime | None = None
    until: datetime | None = None
    demo: bool = False
    before: str = ""  # the `older` of the page before
    size: int = Field(50, ge=1, le=MOST)


class RequestOut(Schema):
    id: str
    started_at: datetime
    status: str
    error_code: str
    purpose: str
    team_id: int | None
    user_id: int | None
    key_id: int | None
    client_request_id: str
    session: str
    asked_model: str
    provider: str
    model: str
    use_case: str
    tier: str
    route: str
    streamed: bool
    attempts: int
    queued_ms: int | None
    first_token_ms: int | None
    duration_ms: int
    demo: bool


class RequestsOut(Schema):
    """Newest first. `older` is the `before` of the next page; null when there is none. `searched_to` is set when the
    time was up before the page was full: there may be more further back."""

    requests: list[RequestOut]
    older: str | None
    searched_to: datetime | None


class AttemptOut(Schema):
    id: str
    number: int
    status: str
    billed: str
    provider: str
    model: str
    upstream_status: int | None
    error_code: str
    error_message: str
    first_token_ms: int | None
    duration_ms: int


class EntryOut(Schema):
    """Money that moved, in nano-units (1e-9). A null amount has no price."""

    id: str
    kind: str
    attempt_id: str
    provider: str
    model: str
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    audio_tokens: int
    usage_source: str
    amount_nano: int | None
    currency: str
    price_id: int | None
    formula: str


class WholeRequestOut(RequestOut):
    revision: int
    release: int
    warnings: list[str]
    ask: dict[str, Any] | None  # what it was decided from, but for content
    tries: list[AttemptOut]
    entries: list[EntryOut]


FAULTS = {401: ErrorOut, 403: ErrorOut, 422: ErrorOut, 503: ErrorOut}
NEEDS = {"x-needs": "requests.see"}


def add(api: NinjaAPI) -> None:
    @api.get(
        "/requests",
        response={200: RequestsOut, **FAULTS},
        summary="Which requests were there?",
        tags=["requests"],
        openapi_extra=NEEDS,
    )
    def requests(request: HttpRequest, asked: Query[Asked]) -> RequestsOut:
        """A key sees its team's requests, or its person's; people see their own, leads their team's, some see all."""
        told = asked.dict(exclude={"before", "size"}, exclude_none=True)
        words = {name: _word(value) for name, value in told.items()}
        try:
            found = traffic.page_at(_sight(request), asked_in(words), asked.before, asked.size)
        except TooSlow:
            raise Refused(503, "too_slow", "This took too long. Narrow the time, or name a key or a team.") from None
        return RequestsOut(
            requests=[_told(row) for row in found.rows], older=found.older or None, searched_to=found.searched_to
        )

    @api.get(
        "/requests/{request_id}",
        response={200: WholeRequestOut, 404: ErrorOut, **FAULTS},
        summary="What happened to this request?",
        tags=["requests"],
        openapi_extra=NEEDS,
    )
    def one(request: HttpRequest, request_id: str) -> WholeRequestOut:
        """With its attempts and what was charged. Why this model answered is at /api/decisions/{request_id}."""
        found = traffic.one(_sight(request), request_id)
        if found is None:
            raise Refused(404, "not_found", f"There is no request {request_id[:60]}.")
        attempts = Attempt.objects.filter(request_id=found.id, started_at=found.started_at).order_by("number")
        return WholeRequestOut(
            **_told(found).dict(),
            revision=found.revision,
            release=found.release,
            warnings=found.warnings or [],
            ask=found.ask if isinstance(found.ask, dict) else None,
            tries=[_of(AttemptOut, attempt) for attempt in attempts],
            entries=[_of(EntryOut, entry) for entry in entries_of([found])],
        )


def _sight(request: HttpRequest) -> Sight:
    asking = request.auth  # type: ignore[attr-defined]
    if isinstance(asking, Caller):
        if asking.team_id is not None:
            return Sight(teams=(asking.team_id,))
        return Sight(user=asking.user_id)
    assert isinstance(asking, User)
    return traffic.sight_of(asking)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else ""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def _told(row: Request) -> RequestOut:
    told: RequestOut = _of(RequestOut, row)
    return told


def _of(schema: type[Schema], row: Request | Attempt | LedgerEntry) -> Any:
    return schema(**{name: getattr(row, name) for name in schema.model_fields})
