"""The circuits of one provider: which of its models are left alone, and by whom; opened and closed by hand."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from console.access import needs
from console.audit import record
from console.views.answers import go, person_of
from console.views.provider import provider_at
from providers.models import Provider
from routing import circuits
from routing.breaker import DEFAULT, rules_from


@needs("providers.change")
@require_POST
def hold(request: HttpRequest, slug: str) -> HttpResponse:
    """Leave a model alone until somebody closes its circuit again."""
    provider = provider_at(slug)
    model = get_object_or_404(provider.models, model_id=request.POST.get("model", ""))
    person = person_of(request)
    circuits.hold(str(model), _("opened by hand"), person.pk)
    record(person, "change", provider, after={"circuit": f"{model}: open"}, request=request)
    messages.success(request, _("The circuit of %(model)s is open: nobody asks it now.") % {"model": model.model_id})
    return go(request, "provider-limits", provider.slug)


@needs("providers.change")
@require_POST
def release(request: HttpRequest, slug: str) -> HttpResponse:
    """Close a circuit, whoever opened it."""
    provider = provider_at(slug)
    target = request.POST.get("target", "")
    if not target.startswith(f"{provider.slug}:"):
        raise Http404
    if circuits.release(target):
        record(person_of(request), "change", provider, after={"circuit": f"{target}: closed"}, request=request)
    name = target.removeprefix(f"{provider.slug}:")
    messages.success(request, _("The circuit of %(model)s is closed: it is asked again.") % {"model": name})
    return go(request, "provider-limits", provider.slug)


def circuits_of(provider: Provider) -> dict[str, Any]:
    """What the card of the limits page shows."""
    opened = circuits.of_provider(provider.slug)
    shut = {row.target for row in opened}
    names = provider.models.filter(active=True).order_by("model_id").values_list("model_id", flat=True)[:500]
    return {
        "circuits": [{"name": row.target.partition(":")[2], "row": row} for row in opened],
        "held_open": any(row.held for row in opened),
        "closed_models": [name for name in names if f"{provider.slug}:{name}" not in shut],
        "rules": rules_from(provider.options) or DEFAULT,
    }
