"""A notice with a way back: what was done, and one button that undoes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.template.loader import render_to_string


def with_undo(request: HttpRequest, words: str, address: str, fields: Mapping[str, Any] | None = None) -> None:
    """The button is a plain form, so it works without scripts."""
    context = {"words": words, "address": address, "fields": dict(fields or {})}
    messages.success(request, render_to_string("people/_undo.html", context, request=request))
