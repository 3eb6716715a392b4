"""Which models answer an intent? From a use case and a tier to candidates in order: the rows of the routes, read.

Of the rows of a cell the first one applies whose conditions hold; those for every tier come after those for one. Draws
are made by a session where there is one and by the request else, so that the same question gets the same answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from msgspec import structs

from routing.asks import Ask
from routing.bucketing import pick, place
from routing.caps import expected_cost, money
from routing.decisions import Candidate, Decision, Live, Problem
from routing.experiments import arm_of
from routing.intents import AUTO
from routing.nearest import Names
from routing.obstacles import abides, may_use, obstacle
from routing.snapshot import Arm, ExperimentEntry, ModelEntry, RouteEntry, Snapshot, TierEntry, UseCaseEntry

Place = tuple[str, frozenset[str], str]  # a target, what it steps in for, and why it stands here
MOST_REMEMBERED = 4096


def routed(ask: Ask, snapshot: Snapshot, live: Live, *, now: datetime) -> Decision | None:
    """None: no route applies, or nothing that it names is connected; then the default model is meant."""
    use_case = snapshot.routing.use_cases.get(ask.use_case)
    if use_case is None:
        return _unknown(ask, "use_case", ask.use_case, snapshot.routing.use_cases)
    tier = snapshot.routing.tiers.get(ask.tier or use_case.tier)
    if tier is None and ask.tier:
        return _unknown(ask, "budget_tier", ask.tier, snapshot.routing.tiers)
    route = _route(ask, use_case, tier, snapshot, now)
    if route is None or not any(route.targets.values()):
        return None
    places, drawn = _in_order(route, ask, live, now)
    met = _arm(route, tier, ask, snapshot, now)
    if met is not None and met[1].target:
        places = [(met[1].target, frozenset(), f"arm {met[1].name} of {met[0].key}"), *places]
    arm = f"{met[0].key}/{met[1].name}" if met else ""
    team = ask.team_id if snapshot.restricted else None
    question = (route.number, tier.slug if tier else "", tuple(places), ask.allowed_models, ask.use, team, arm)
    remembered = snapshot.memo.routed
    found = remembered.get((question, ask.data_policy))
    if found is None:
        if len(remembered) >= MOST_REMEMBERED:
            remembered.clear()
        found = remembered[question, ask.data_policy] = _decision(route, places, drawn, ask, tier, met)
    decision: Decision = found
    return decision


def freed(ask: Ask) -> Ask:
    """A key that lists a use case (`auto/code_generation`) may have there whatever models the route names."""
    if ask.allowed_models and f"{AUTO}/{ask.use_case}" in ask.allowed_models:
        return structs.replace(ask, allowed_models=frozenset())
    return ask


def _unknown(ask: Ask, param: str, name: str, known: Iterable[str]) -> Decision:
    known = list(known)
    near = Names(known).like(name, lambda _: True) or known[:3]
    words = {"use_case": "use case", "budget_tier": "budget tier"}[param]
    hint = f" There is {', '.join(near[:3])}." if near else ""
    problem = Problem(404, f"unknown_{param}", f"There is no {words} '{name}'.{hint}", param=param)
    return Decision((), f"UNKNOWN {words.upper()} {name}", problem, ask.allowed_models, ask.use)


def _route(
    ask: Ask, use_case: UseCaseEntry, tier: TierEntry | None, snapshot: Snapshot, now: datetime
) -> RouteEntry | None:
    rows = snapshot.routing.rows
    for cell in ((use_case.slug, tier.slug), (use_case.slug, "")) if tier else ((use_case.slug, ""),):
        for row in rows.get(cell, ()):
            if row.test is None or row.test(ask, now):
                return row
    return None


def _arm(
    route: RouteEntry, tier: TierEntry | None, ask: Ask, snapshot: Snapshot, now: datetime
) -> tuple[ExperimentEntry, Arm] | None:
    """The first experiment of the cell whose audience this is."""
    running = snapshot.routing.experiments
    if not running:
        return None
    for cell in ((route.use_case, tier.slug), (route.use_case, "")) if tier else ((route.use_case, ""),):
        for experiment in running.get(cell, ()):
            arm = arm_of(experiment, ask, now)
            if arm is not None:
                return experiment, arm
    return None


# -- in what order ----------------------------------------------------------------------


def _in_order(route: RouteEntry, ask: Ask, live: Live, now: datetime) -> tuple[list[Place], str]:
    """Targets in the order to ask them, and how the first one was found."""
    chain = route.chain
    always: frozenset[str] = frozenset()
    if chain.how == "target":
        first, drawn = list(chain.first), ""
        words = ["first of the route"]
    elif chain.how == "split":
        first, words = _split(route, ask)
        drawn = words[0]
    else:
        first, words = _best(route, ask, live, now)
        drawn = words[0]
    places = [(name, always, word) for name, word in zip(first, words, strict=True)]
    for fallback in chain.fallbacks:
        meant = f", only for {', '.join(sorted(fallback.on))}" if fallback.on else ""
        places.append((fallback.target, fallback.on, f"fallback{meant}"))
    return places, drawn


def _split(route: RouteEntry, ask: Ask) -> tuple[list[str], list[str]]:
    """The one drawn, then the others by weight: who was not drawn may still step in."""
    chain = route.chain
    if len(chain.first) == 1:
        return list(chain.first), ["first of the route"]
    number = pick(chain.weights, place(ask.session or ask.request_id, f"route {route.name}"))
    others = sorted((n for n in range(len(chain.first)) if n != number), key=lambda n: -chain.weights[n])
    words = [f"drawn, weight {chain.weights[number]:g}"]
    words += [f"not drawn, weight {chain.weights[n]:g}" for n in others]
    return [chain.first[number], *(chain.first[n] for n in others)], words


def _best(route: RouteEntry, ask: Ask, live: Live, now: datetime) -> tuple[list[str], list[str]]:
    how, names = route.chain.how, list(route.chain.first)
    if how == "cheapest":
        costs = {name: _cost(route, name, ask, now) for name in names}
        names.sort(key=lambda name: (costs[name] is None, costs[name] or 0))
        return names, [_rank(n, f"about {money(cost)}" if cost is not None else "unpriced", how)
                       for n, cost in enumerate(costs[name] for name in names)]  # fmt: skip
    if ask.session:
        # The same session meets the same one, in every process and without anybody having to remember it.
        names.sort(key=lambda name: place(ask.session, f"route {route.name} {name}"))
        return names, [_rank(n, "by its session", how) for n in range(len(names))]
    if how == "fastest":
        # One that nobody has measured is tried first: else it never would be.
        times = {name: min((live.first_token_ms.get(m.string, 0.0) for m in route.targets[name]), default=0.0)
                 for name in names}  # fmt: skip
        names.sort(key=times.__getitem__)
        return names, [_rank(n, f"first token in {times[name]:.0f} ms" if times[name] else "not measured yet", how)
                       for n, name in enumerate(names)]  # fmt: skip
    busy = {name: min((live.running.get(m.string, 0) for m in route.targets[name]), default=0) for name in names}
    shuffled = sorted(names, key=lambda name: place(ask.request_id, name))  # among equals nobody is always first
    names = sorted(shuffled, key=busy.__getitem__)
    return names, [_rank(n, f"{busy[name]} running", how) for n, name in enumerate(names)]


def _rank(number: int, words: str, how: str) -> str:
    return f"{how.replace('_', ' ')}: {words}" if number == 0 else f"next: {words}"


def _cost(route: RouteEntry, name: str, ask: Ask, now: datetime) -> int | None:
    costs = [expected_cost(model, ask, now.timestamp()) for model in route.targets[name]]
    return min((cost for cost in costs if cost is not None), default=None)


# -- who of them can ----------------------------------------------------------------------


def _decision(
    route: RouteEntry,
    places: list[Place],
    drawn: str,
    ask: Ask,
    tier: TierEntry | None,
    met: tuple[ExperimentEntry, Arm] | None,
) -> Decision:
    targets = {**route.targets, met[1].target: met[1].models} if met else route.targets
    candidates: list[Candidate] = []
    absent: list[tuple[str, str]] = []
    seen: set[str] = set()
    for name, on, words in places:
        models = targets[name]
        if not models:
            absent.append((name, f"not connected ({words})"))
        for model in models:
            if model.string not in seen:
                seen.add(model.string)
                candidates.append(_candidate(model, on, words, ask))
    reason = f"ROUTE {route.name}" + (f": {drawn}" if drawn else "")
    usable = any(each.usable for each in candidates)
    return Decision(
        tuple(candidates),
        reason,
        None if usable else _nobody(route, candidates, ask),
        ask.allowed_models,
        ask.use,
        route=route,
        use_case=route.use_case,
        tier=tier.slug if tier else "",
        arm=f"{met[0].key}/{met[1].name}" if met else "",
        exposes=met[0] if met else None,
        absent=tuple(absent),
    )


def _candidate(model: ModelEntry, on: frozenset[str], words: str, ask: Ask) -> Candidate:
    against = obstacle(model, ask)
    return Candidate(model, not against, against or words, on, "unavailable" if against else "")


def _nobody(route: RouteEntry, candidates: list[Candidate], ask: Ask) -> Problem:
    verdicts = "; ".join(dict.fromkeys(f"{each.model.string}: {each.verdict}" for each in candidates))
    if not any(may_use(each.model, ask.allowed_models) for each in candidates):
        return Problem(403, "model_not_allowed", f"This key may use none of the models of the route '{route.name}'.")
    if ask.data_policy and not any(abides(each.model.provider, ask.data_policy) for each in candidates):
        words = f"The data policy of team '{ask.team}' is '{ask.data_policy}', and no model of the route '{route.name}'"
        return Problem(403, "data_policy", f"{words} abides by it: {verdicts}.")
    return Problem(503, "no_usable_provider", f"Nobody on the route '{route.name}' can answer now: {verdicts}.")
