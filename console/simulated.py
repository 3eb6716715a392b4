"""What would happen to a request, told as the stations of a line: the same way as what did happen."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console import formats
from console.picking import chosen
from console.trace import Station
from console.verdicts import in_words
from routing.decisions import Decision
from routing.simulation import Simulated
from routing.snapshot import Snapshot

LEVELS = {"low": gettext_lazy("low"), "medium": gettext_lazy("medium"), "high": gettext_lazy("high")}


def stations_of(found: Simulated, snapshot: Snapshot) -> list[Station]:
    decision = found.decision
    stations = [_rule(found)]
    if found.ask.complexity and decision.use_case:
        stations.append(_complexity(found))
    stations += [Station("skip-step", _("Something else was looked at"), in_words(note)) for note in decision.notes]
    stations += _left_out(decision, snapshot)
    for each in found.tried:
        name = chosen(each.model.string, snapshot).name
        if each.outcome == "answers":
            stations.append(Station("ok", _("%(model)s answers") % {"model": name}, _price(found), ""))
        else:
            waited = formats.duration(int(each.waited_seconds * 1000)) if each.waited_seconds else ""
            title = _("%(model)s does not answer") % {"model": name}
            stations.append(Station("bad", title, in_words(each.words), waited))
    if found.problem is not None:
        stations.append(
            Station("bad", _("Nobody answers: %(status)s") % {"status": found.problem.status}, found.problem.code)
        )
    return stations


def _rule(found: Simulated) -> Station:
    decision = found.decision
    if decision.route is None:
        return Station("hit", _("Decided by the name of the model"), decision.reason)
    drawn = decision.reason.partition(": ")[2]
    words = [decision.route.when if decision.route.test is not None else "", in_words(drawn)]
    return Station(
        "hit", _("Matched the route %(name)s") % {"name": decision.route.name}, " · ".join(filter(None, words))
    )


def _complexity(found: Simulated) -> Station:
    level = str(LEVELS.get(found.ask.complexity, found.ask.complexity))
    words = ", ".join(found.ask.estimated) or _("as the request says, or nothing that makes it hard")
    return Station("hit", _("Complexity: %(level)s") % {"level": level}, words)


def _left_out(decision: Decision, snapshot: Snapshot) -> list[Station]:
    told = [(each.model.string, each.verdict) for each in decision.candidates if not each.usable]
    told += list(decision.absent)
    return [
        Station("skip-step", _("%(model)s was left out") % {"model": chosen(name, snapshot).name}, in_words(verdict))
        for name, verdict in told
    ]


def _price(found: Simulated) -> str:
    if found.cost_nano is None:
        return _("price unknown")
    amount = formats.money(found.cost_nano, found.currency) if found.cost_nano else _("free")
    counts = {"input": formats.number(found.ask.input_tokens), "output": formats.number(found.output_tokens)}
    return _("about %(amount)s: %(input)s tokens in, %(output)s out") % (counts | {"amount": amount})
