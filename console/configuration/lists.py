"""After a file was applied: which models do its providers list, and do the default models of the file answer?

A server that is down changes nothing.
"""

from __future__ import annotations

from django.utils import timezone

from billing.declared import price_declared
from billing.ids import new_request_id
from console.configuration.planning import Action, Plan, Step
from console.configuration.values import Declared, Thing
from providers.listing import Refreshed, refresh_models
from providers.models import Provider
from providers.registry import KINDS, Kind, Place
from routing.asks import Ask
from routing.compiler import compile_snapshot
from routing.decisions import Live
from routing.engine import AUTO, decide

SHOWN = 8


def read_lists(plan: Plan) -> list[str]:
    """A line for each provider whose list was asked for: new and changed ones, and those whose list is unread."""
    touched = {step.where[0] for step in plan.changes if _bears_on_the_list(step)}
    named = {step.where[0] for step in plan.steps if step.thing is Thing.PROVIDER and step.action is not Action.REMOVE}
    found = Provider.objects.filter(slug__in=named, enabled=True).prefetch_related("credentials").by_priority()
    due = [row for row in found if row.slug in touched or row.models_read_at is None]
    return [_told(row, refresh_models(row)) for row in due if _can_be_asked(row)]


def unanswered_defaults(declared: Declared) -> list[str]:
    """A line for each default model of the file that nobody could answer for, as the gateway would say it."""
    places = (declared.organisation or {}, *(team.fields for team in declared.teams))
    named = [place["default_model"] for place in places if place.get("default_model")]
    snapshot, now = compile_snapshot(), timezone.now()
    problems = {
        name: decide(Ask(new_request_id(), name, purpose="system"), snapshot, Live(), now=now).problem
        for name in named
        if name != AUTO
    }
    return [f"The default model {name}: {problem.message}" for name, problem in problems.items() if problem]


def _bears_on_the_list(step: Step) -> bool:
    return step.thing in (Thing.PROVIDER, Thing.KEY) or (step.thing is Thing.MODEL and "active" in step.values)


def _can_be_asked(row: Provider) -> bool:
    """Not one that waits for a variable: the server may have what this terminal has not, and then it is no fault."""
    kind = KINDS.get(row.kind)
    if kind is None or not kind.models_path or "${" in row.base_url:
        return False
    keys = list(row.credentials.all())
    return bool(keys or not kind.key_required) and all(not key.variable or key.reveal() for key in keys)


def _told(row: Provider, refreshed: Refreshed) -> str:
    price_declared(row)
    if refreshed.problem:
        return f"{row.name}: its list of models could not be read: {refreshed.problem}{_later(KINDS[row.kind])}"
    if not refreshed.count:
        return f"{row.name} lists no models."
    names = [f"{row.slug}:{name}" for name in refreshed.added]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    news = f"; new here: {', '.join(names[:SHOWN])}{more}" if names else ""
    return f"{row.name} lists {refreshed.count} {'model' if refreshed.count == 1 else 'models'}{news}."


def _later(kind: Kind) -> str:
    return " It is read when a model of it is asked for." if kind.place is Place.LOCAL else ""
