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


class ErrorOut(Schema):
    error: dict[str, Any]
