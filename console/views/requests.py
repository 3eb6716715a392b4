"""What happened to this request? The list of all of them, narrowed by its address, and the page of one."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.models import Request
from console import histogram, particulars, request_export, traffic
from console.access import needs
from console.house import organisation_of
from console.request_filters import chips, choices, told
from console.request_lines import lines_of
from console.sifting import Filters, asked_in
from console.traffic import Found, Sight, TooSlow
from console.views.answers import from_htmx, person_of


@needs("requests.see")
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """Whole, or the list alone, or only what is further back."""
    wanted = asked_in(request.GET)
    part = from_htmx(request)
    if not part and any(value == "" for value in request.GET.values()):
        return redirect(request.path + wanted.query())  # of a form: an address has no empty words
    context = _listed(request, wanted)
    if part and "more" in request.GET:
        return render(request, "requests/more.html", context)
    answer = render(request, "requests/live.html" if part else "requests/list.html", context | _around(request, wanted))
    if part:
        answer["HX-Push-Url"] = reverse("request-list") + wanted.query()
    return answer


@needs("requests.see")
@require_safe
def bars(request: HttpRequest) -> HttpResponse:
    """The histogram, a little further counted than before."""
    wanted = asked_in(request.GET)
    return render(request, "requests/_bars.html", _bars(request, wanted) | {"wanted": wanted})


@needs("requests.see")
@require_safe
def new(request: HttpRequest) -> HttpResponse:
    """How many have come since the list was drawn."""
    wanted = asked_in(request.GET)
    than = request.GET.get("than", "")
    try:
        count = traffic.newer(_sight(request), wanted, than)
    except TooSlow:
        count = 0
    context = {"newest": than, "new": count, "most": traffic.MOST_NEW, "query": wanted.query(), "polls": True}
    return render(request, "requests/_new.html", context)


@needs("requests.see")
@require_safe
async def export(request: HttpRequest) -> StreamingHttpResponse:
    wanted = asked_in(request.GET)
    sight = await sync_to_async(_sight)(request)
    answer = StreamingHttpResponse(request_export.rows(sight, wanted), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="requests.csv"'
    answer["Cache-Control"] = "no-store"
    return answer


@needs("requests.see")
@require_safe
def detail(request: HttpRequest, request_id: str) -> HttpResponse:
    """The drawer for htmx, a page of its own for whoever has no script or follows a link."""
    sight = _sight(request)
    request_id = request_id.lower().partition("-")[0]  # of an attempt: its request
    found = traffic.one(sight, request_id)
    if found is None:
        return _booking(request, sight, request_id)
    context = _about(request, found) | {"request_id": found.id}
    answer = render(request, "requests/drawer.html" if from_htmx(request) else "requests/detail.html", context)
    answer["Cache-Control"] = "no-store"  # what was said may be in it
    return answer


def _booking(request: HttpRequest, sight: Sight, request_id: str) -> HttpResponse:
    """Only a journal knows of it: it runs, or is being booked in this moment."""
    told = particulars.booking(request_id, sight)
    if told is None:
        raise Http404(f"There is no request {request_id[:60]}.")
    context = {"booking": told, "record": None, "request_id": request_id}
    return render(request, "requests/drawer.html" if from_htmx(request) else "requests/detail.html", context)


def _sight(request: HttpRequest) -> Sight:
    return traffic.sight_of(person_of(request))


def _about(request: HttpRequest, found: Request) -> dict[str, Any]:
    base_url = request.build_absolute_uri("/").rstrip("/")
    return particulars.about(found, person_of(request), base_url) | {"days": settings.CONTENT_DAYS, "booking": None}


# -- the list --------------------------------------------------------------------------------


def _listed(request: HttpRequest, wanted: Filters) -> dict[str, Any]:
    before = request.GET.get("before", "")
    try:
        found = traffic.page_at(_sight(request), wanted, before)
        too_slow = False
    except TooSlow:
        found, too_slow = Found([]), True
    currency = organisation_of(request).currency
    lines = lines_of(found.rows, currency, day=request.GET.get("day", ""))
    return {
        "wanted": wanted,
        "lines": lines,
        "too_slow": too_slow,
        "first_page": not before,
        "searched_to": found.searched_to,
        "older": wanted.query(before=found.older) if found.older else "",
        "last_day": _last_day(lines),
        "newest": found.rows[0].id if found.rows else traffic.first_id_at(timezone.now()),
        "query": wanted.query(),
        "polls": not before and wanted.until is None and not too_slow,
        "new": 0,
        # Only of an empty list: where there are others, looking for these would take long.
        "other": not (lines or before or too_slow) and _other(wanted, _sight(request)),
    }


def _last_day(lines: list[Any]) -> str:
    return lines[-1].date if lines else ""


def _around(request: HttpRequest, wanted: Filters) -> dict[str, Any]:
    """What stands around the list: the filters, and of a whole page the histogram."""
    person, sight = person_of(request), _sight(request)
    context: dict[str, Any] = {
        "chips": chips(wanted),
        "told": told(wanted),
        "sees_all": sight.everything,
        "leads": bool(sight.teams),
        "zone": timezone.get_current_timezone_name(),
    }
    if from_htmx(request):
        return context
    return context | _bars(request, wanted) | {"choices": choices(person, sight, wanted)}


def _bars(request: HttpRequest, wanted: Filters) -> dict[str, Any]:
    now = timezone.now()
    day = histogram.day_of(_sight(request), now, demo=wanted.demo)
    untimed = wanted.query(since="", until="")
    return {
        "untimed": untimed,
        "day": day,
        "chart": histogram.drawn(day, now, wanted.since, wanted.until),
        "totals": day.totals,
    }


def _other(wanted: Filters, sight: Sight) -> bool:
    """Whether there are demonstration requests to show instead of nothing."""
    return not wanted.asked() and any(Request.objects.filter(demo=True, **branch).exists() for branch in sight.branches)
