"""Every piece of the interface on one page, drawn with the pieces the pages use."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from console.access import needs
from console.samples import samples

PARTS = [f"css/pages/{noun}.css" for noun in ("routing", "playground", "status", "prompts", "styleguide")]


@needs("styleguide.see")
@require_safe
def styleguide(request: HttpRequest) -> HttpResponse:
    return render(request, "styleguide/page.html", samples() | {"parts": PARTS})
