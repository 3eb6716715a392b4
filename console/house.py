"""The organisation, read once for one request."""

from __future__ import annotations

from django.http import HttpRequest

from billing.models import Organisation


def organisation_of(request: HttpRequest) -> Organisation:
    found = getattr(request, "_organisation", None)
    if found is None:
        found = Organisation.get()
        request._organisation = found  # type: ignore[attr-defined]
    return found
