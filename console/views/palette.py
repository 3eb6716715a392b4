"""The command palette: results for the letters typed so far."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from console import palette
from console.access import signed_in
from console.models import User


@signed_in
@require_safe
def results(request: HttpRequest) -> HttpResponse:
    found = palette.search(cast(User, request.user), request.GET.get("q", ""))
    return render(request, "palette/_results.html", {"found": found})
