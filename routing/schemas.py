"""The shapes of the management API."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ninja import Schema


class DecisionOut(Schema):
    """Why this model? The decision as it was taken, and what it was taken from."""

    id: str
    at: datetime
    asked_model: str
    status: str
    provider: str
    model: str
    attempts: int
    revision: int
    release: int
    decision: dict[str, Any] | None
    warnings: list[str]


class ProviderOut(Schema):
    """How one provider is doing. Figures are of the last 24 hours; amounts are nano-units (1e-9) by currency."""

    slug: str
    name: str
    kind: str
    enabled: bool
    status: str  # healthy, degraded, down, off, inactive, unknown
    why: str
    checked_at: datetime | None
    models: int
    requests: int
    failures: int
    rerouted: int
    first_token_ms: int | None
    spent: dict[str, int]


class TokensIn(Schema):
    """Messages as in a chat completion, with its tools, or one text."""

    model: str = ""  # a model, an alias, a bare model id; empty: `auto`
    messages: list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    text: str | None = None


class TokensOut(Schema):
    """`family` is whose vocabulary was reckoned with; unless `exact`, a page may be off by a tenth."""

    model: str
    count: int
    family: str
    exact: bool


class ErrorOut(Schema):
    error: dict[str, Any]
