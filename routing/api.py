"""The management API under /api/: thin operations, one shape for errors, every operation with what it needs.

Who is asking and what they may see is the console's to say: it passes both in when it mounts the API.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema

from billing.ids import PREFIX, started_at
from billing.models import Request
from routing import api_simulate, worker
from routing.callers import Caller
from routing.compiler import compile_snapshot
from routing.counting import Uncountable, asking, count
from routing.openapi import with_gateway
from routing.schemas import DecisionOut, ErrorOut, ProviderOut, TokensIn, TokensOut
from routing.wires.openai import error_object

log = logging.getLogger(__name__)

Judge = Callable[[HttpRequest, Request], bool]
Fleet = Callable[[], list[ProviderOut]]


class GatewayAPI(NinjaAPI):
    """Its document also describes the /v1 operations, which run beside Django."""

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**options)
        with_gateway(schema)
        return schema


def build(*, authenticate: Any, may_see: Judge, version: str, providers: Fleet | None = None) -> NinjaAPI:
    """`authenticate` is a ninja auth callable, or several; `may_see` judges a record, `providers` tells of all."""
    api = GatewayAPI(
        title="Relayhouse",
        version=version,
        description="Manage the house from scripts, and call models as if it were OpenAI.",
        auth=authenticate,
        urls_namespace="api",
        docs_url=None,  # the console draws that page: ninja's own would need scripts from elsewhere
    )
    _errors(api)
    _tokens(api)
    api_simulate.add(api)
    if providers is not None:
        _providers(api, providers)

    @api.get(
        "/decisions/{request_id}",
        response={200: DecisionOut, 401: ErrorOut, 403: ErrorOut, 404: ErrorOut},
        summary="Why this model?",
        tags=["decisions"],
        openapi_extra={"x-needs": "requests.see"},
    )
    def decision(request: HttpRequest, request_id: str) -> DecisionOut:
        """The decision of a request, by the id in its `x-request-id` header."""
        record = _record(request_id)
        if record is None or not may_see(request, record):
            raise HttpError(404, f"There is no request {request_id[:60]}.")
        return DecisionOut(
            id=record.id,
            at=record.started_at,
            asked_model=record.asked_model,
            status=record.status,
            provider=record.provider,
            model=record.model,
            attempts=record.attempts,
            revision=record.revision,
            release=record.release,
            decision=record.decision,
            warnings=record.warnings or [],
        )

    return api


def _providers(api: NinjaAPI, fleet: Fleet) -> None:
    @api.get(
        "/providers",
        response={200: list[ProviderOut], 401: ErrorOut, 403: ErrorOut},
        summary="How is each provider doing?",
        tags=["providers"],
        openapi_extra={"x-needs": "providers.see"},
    )
    def providers(request: HttpRequest) -> list[ProviderOut]:
        """Every provider in order of priority, with its status, why it is so, and the figures of the last 24 hours."""
        return fleet()


def _tokens(api: NinjaAPI) -> None:
    @api.post(
        "/tokens",
        response={200: TokensOut, 400: ErrorOut, 401: ErrorOut, 403: ErrorOut, 404: ErrorOut, 503: ErrorOut},
        summary="How many tokens would this be?",
        tags=["tokens"],
        openapi_extra={"x-needs": "models.see"},
    )
    def tokens(request: HttpRequest, asked: TokensIn) -> TokensOut:
        """Messages or a text, counted for a model before anything is sent. An estimate: see `exact`."""
        if (asked.messages is None) == (asked.text is None):
            raise Refused(400, "invalid", "Send either 'messages' or 'text'.")
        running = worker.running()
        snapshot = running.snapshots.current if running is not None else compile_snapshot()
        fields = {"messages": asked.messages, "tools": asked.tools}
        what = (
            asked.text
            if asked.text is not None
            else {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items() if value is not None}
        )
        try:
            counted = count(what, asking(asked.model, **_who(request)), snapshot)
        except Uncountable as error:
            raise Refused(error.problem.status, error.problem.code, error.problem.message) from None
        return TokensOut(model=counted.model, count=counted.tokens, family=counted.family, exact=counted.exact)


def _who(request: HttpRequest) -> dict[str, Any]:
    """Whose names of models, and whose default, are meant: those of the key, or of the person."""
    asking = request.auth  # type: ignore[attr-defined]
    if isinstance(asking, Caller):
        return {
            "team_id": asking.team_id,
            "user_id": asking.user_id,
            "key_id": asking.key_id,
            "allowed_models": asking.allowed_models,
        }
    return {"user_id": asking.pk}


def _record(request_id: str) -> Request | None:
    try:
        when = started_at(request_id)
    except ValueError:
        return None
    if not request_id.startswith(PREFIX):
        return None
    return Request.objects.filter(id=request_id, started_at=when).first()


class Refused(HttpError):
    """Not now, or not you: with the code that programs read."""

    def __init__(self, status_code: int, code: str, message: str) -> None:
        super().__init__(status_code, message)
        self.code = code


def error_answer(request: HttpRequest, status: int, code: str, message: str) -> HttpResponse:
    """OpenAI's shape for every error, so that one client code reads both planes."""
    request_id = getattr(request, "request_id", "")
    body = error_object(status, code, message, request_id=request_id, retryable=status == 503)
    return HttpResponse(body, content_type="application/json", status=status)


def _errors(api: NinjaAPI) -> None:
    @api.exception_handler(HttpError)
    def refused(request: HttpRequest, error: HttpError) -> HttpResponse:
        usual = {401: "not_signed_in", 403: "not_allowed", 404: "not_found"}.get(error.status_code, "refused")
        return error_answer(request, error.status_code, getattr(error, "code", usual), str(error))

    @api.exception_handler(AuthenticationError)
    def nobody(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
        message = "Sign in, or send an API key as 'Authorization: Bearer <key>'."
        return error_answer(request, 401, "not_signed_in", message)

    @api.exception_handler(ValidationError)
    def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
        faults = "; ".join(f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors)
        return error_answer(request, 422, "invalid", faults)

    @api.exception_handler(OperationalError)
    def no_database(request: HttpRequest, error: OperationalError) -> HttpResponse:
        log.error("the management API cannot ask the database: %s", error)
        return error_answer(request, 503, "ledger_unavailable", "The database cannot be asked. Try again shortly.")

    @api.exception_handler(Exception)
    def failed(request: HttpRequest, error: Exception) -> HttpResponse:
        # Whatever broke, the client reads JSON; what it was stands in the log.
        log.error("request %s failed in the management API", getattr(request, "request_id", ""), exc_info=error)
        return error_answer(request, 500, "internal_error", "The server failed. This was logged.")
