"""Which model answers what, and what happens when it fails? The table of the routes, and a request to try on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from billing.ids import new_request_id
from billing.models import Team
from billing.records import Payer
from console import board, formats
from console.access import needs
from console.forms.trying import TryForm
from console.picking import Chosen, chosen, current_snapshot
from console.simulated import stations_of
from console.trace import Station
from console.verdicts import in_words
from console.views.answers import page, person_of, refused_form
from routing.api_simulate import circumstances
from routing.gateway import asking
from routing.intents import Hints
from routing.simulation import Question, Simulated, simulate
from routing.snapshot import Snapshot

PICTURE = "data:image/png;base64,iVBORw0KGgo="  # stands for one: nobody looks at it
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}


@dataclass(frozen=True, slots=True)
class Result:
    by: Chosen | None
    provider: str
    cost: str
    attempts: int
    refusal: str
    stations: list[Station]


@needs("routing.see")
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    snapshot = current_snapshot()
    return page(request, "routing/list.html", _context(request, snapshot, TryForm(snapshot, initial=_usual(snapshot))))


@needs("routing.see")
@require_POST
def trying(request: HttpRequest) -> HttpResponse:
    """Nobody is called: it is decided and walked."""
    snapshot = current_snapshot()
    form = TryForm(snapshot, request.POST)
    context = _context(request, snapshot, form)
    if not form.is_valid():
        return refused_form(request, "routing/list.html", context, part="try")
    found = simulate(_question(person_of(request).pk, form.cleaned_data, snapshot), snapshot, circumstances())
    return page(request, "routing/list.html", context | {"result": _result(found, snapshot)}, part="try")


def _context(request: HttpRequest, snapshot: Snapshot, form: TryForm) -> dict[str, Any]:
    use_case, _slash, tier = request.GET.get("cell", "").partition("/")
    routing = snapshot.routing
    opened = None
    if use_case in routing.use_cases and tier in routing.tiers:
        rows = board.rows_of(use_case, tier, snapshot)
        name = f"{routing.use_cases[use_case].name}, {routing.tiers[tier].name}"
        opened = {"name": name, "rows": [board.told(row, snapshot) for row in rows], "key": f"{use_case}/{tier}"}
    return {
        "rows": board.matrix(snapshot),
        "tiers": [(tier, board.ceiling(tier)) for tier in routing.tiers.values()],
        "opened": opened,
        "form": form,
    }


def _usual(snapshot: Snapshot) -> dict[str, str]:
    cases = snapshot.routing.use_cases
    likely = "conversation" if "conversation" in cases else next(iter(cases), "")
    text = _("Compare our two refund policies and say which one a customer would understand faster.")
    return {"use_case": likely, "text": text}


def _question(person: int, told: dict[str, Any], snapshot: Snapshot) -> Question:
    team = Team.objects.filter(slug=told["team"]).values_list("pk", flat=True).first() if told["team"] else None
    model = told["model"].strip() or "auto"
    hints = Hints(told["use_case"], told["budget_tier"], told["complexity"])
    ask = asking(snapshot, new_request_id(), model, Payer("playground", team, person), frozenset(), hints)
    content: Any = told["text"]
    if told["image"]:
        content = [{"type": "text", "text": content}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    fields = {"messages": [{"role": "user", "content": content}]} | ({"tools": [TOOL]} if told["tools"] else {})
    pretend = {told["pretend"]: told["how"] or "down"} if told["pretend"] else {}
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}
    return Question(ask, raw, datetime.now(UTC), pretend=pretend)


def _result(found: Simulated, snapshot: Snapshot) -> Result:
    model = found.answered_by
    cost = formats.money(found.cost_nano, found.currency) if found.cost_nano is not None else _("price unknown")
    return Result(
        by=chosen(model.string, snapshot) if model else None,
        provider=model.provider.name if model else "",
        cost=_("free") if found.cost_nano == 0 else cost,
        attempts=len(found.tried),
        refusal=in_words(found.problem.message) if found.problem else "",
        stations=stations_of(found, snapshot),
    )
