"""The management API under /api/: thin operations, one shape for errors, every operation with what it needs.

Who is asking and what they may see is the console's to say: it passes both in when it mounts the API.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema

from billing.ids import PREFIX, started_at
from billing.models import Request
from routing.openapi import with_gateway
from routing.schemas import DecisionOut, ErrorOut
from routing.wires.openai import error_object

log = logging.getLogger(__name__)

Judge = Callable[[HttpRequest, Request], bool]


class GatewayAPI(NinjaAPI):
    """Its document also describes the /v1 operations, which run beside Django."""

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**options)
        with_gateway(schema)
        return schema


def build(*, authenticate: Any, may_see: Judge, version: str) -> NinjaAPI:
    """`authenticate` is a ninja auth callable, or several; `may_see` judges one request's record."""
    api = GatewayAPI(
        title="Relayhouse",
        version=version,
        description="Manage the house from scripts, and call models as if it were OpenAI.",
        auth=authenticate,
        urls_namespace="api",
        docs_url=None,  # the console draws that page: ninja's own would need scripts from elsewhere
    )
    _errors(api)

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
