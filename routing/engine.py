"""Which model answers this? One pure function from values to values: no clock, no database, no network, no dice.

An intent (`auto/code_generation/economy`) goes to routes.py; here is what a name means.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from msgspec import structs

from providers.errors import Withdrawn
from providers.registry import Place
from routing import intents, routes
from routing.asks import Ask
from routing.decisions import Candidate, Decision, Live, Problem
from routing.nearest import Names
from routing.obstacles import abides, answers, may_use, obstacle
from routing.snapshot import ModelEntry, Snapshot

LONGEST_NAME = 300
MOST_REMEMBERED = 4096
AUTO = "auto"


def decide(ask: Ask, snapshot: Snapshot, live: Live, *, now: datetime) -> Decision:
    """What a name means does not depend on `live` or `now`, and is answered from memory when it was asked before."""
    if ask.use_case and ask.use == "chat" and intents.is_open(ask.model):
        return routes.routed(routes.freed(ask), snapshot, live, now=now) or _without_route(ask, snapshot)
    if len(ask.model) > LONGEST_NAME:
        return _decision(ask, "TOO LONG", _invalid(f"A model's name has at most {LONGEST_NAME} characters."))
    remembered = snapshot.memo.decisions
    name = ask.model.strip()
    team = ask.team_id if snapshot.restricted else None
    question = (name, bool(ask.model), _default(ask, snapshot), ask.allowed_models, ask.use, team, ask.data_policy)
    found = remembered.get(question)
    if found is None:
        if len(remembered) >= MOST_REMEMBERED:
            remembered.clear()
        found = remembered[question] = _decide(name, ask, snapshot)
    decision: Decision = found
    return decision


def _without_route(ask: Ask, snapshot: Snapshot) -> Decision:
    """A house that has connected nobody for this use case still answers with its default model, and says so."""
    use_case = snapshot.routing.use_cases[ask.use_case]
    tier = snapshot.routing.tiers.get(ask.tier or use_case.tier)
    note = f"no route for {use_case.slug} applies, or none of its models is connected: the default model answers"
    found = _automatic(structs.replace(ask, model=AUTO), snapshot)
    return replace(found, use_case=use_case.slug, tier=tier.slug if tier else "", notes=(note,))


# -- the ladder: auto, an alias, a provider's slug before the first colon, the whole string as a bare id ------


def _decide(name: str, ask: Ask, snapshot: Snapshot) -> Decision:
    if not ask.model or name == AUTO:
        return _automatic(ask, snapshot)
    if name.startswith(f"{AUTO}:"):
        return _decision(
            ask,
            "AUTO",
            Problem(404, "model_not_found", f"There is no '{name}': ask for plain 'auto', or name a model."),
        )
    found = named(name, snapshot)
    if found is None:
        return _decision(ask, f"UNKNOWN {name}", _unknown(name, ask, snapshot))
    reason, models = found
    return _among(models, reason, f"'{name}'", "named in the request", ask, snapshot)


def _automatic(ask: Ask, snapshot: Snapshot) -> Decision:
    whose, name = _default(ask, snapshot)
    if not name:
        likely = _listing(_visible(ask, snapshot))
        message = f"No default model is set: name a model.{likely}"
        return _decision(ask, "NO DEFAULT", Problem(404, "model_not_found", message))
    found = named(name, snapshot)
    if found is None:
        message = f"The {whose.lower()} model is set to '{name}', which does not exist: name another, or tell an admin."
        return _decision(ask, f"{whose} {name}", Problem(503, "no_usable_provider", message))
    described = f"the {whose.lower()} model '{name}'"
    return _among(found[1], f"{whose} {name}", described, f"the {whose.lower()}", ask, snapshot)


def _default(ask: Ask, snapshot: Snapshot) -> tuple[str, str]:
    """Whose default model it is, and its name. A team whose default is "auto" takes the house's."""
    if ask.model and ask.model.strip() != AUTO:
        return "", ""
    team = snapshot.team_defaults.get(ask.team_id, "") if ask.team_id is not None else ""
    if team and team != AUTO:
        return "TEAM DEFAULT", team
    house = snapshot.house_default
    return "HOUSE DEFAULT", house if house != AUTO else ""


def named(name: str, snapshot: Snapshot) -> tuple[str, tuple[ModelEntry, ...]] | None:
    """How a name was read, and the models it means in order of priority."""
    alias = snapshot.aliases.get(name)
    if alias is not None:
        return f"ALIAS {name}", (alias,)
    explicit = _explicit(name, snapshot)
    if explicit is not None:
        return f"EXPLICIT {explicit.string}", (explicit,)
    bare = snapshot.by_model_id.get(name)
    return (f"BARE {name}", bare) if bare else None


def _explicit(name: str, snapshot: Snapshot) -> ModelEntry | None:
    prefix, colon, rest = name.partition(":")
    slug = snapshot.slugs.get(prefix.lower()) if colon else None
    if slug is None:
        return None
    known = snapshot.models.get((slug, rest))
    if known is not None:
        return known
    # A model of the pretend vendor may carry wishes: `demo:custom?ttft=200&tps=100`.
    family, mark, _ = rest.partition("?")
    built = snapshot.models.get((slug, family)) if mark else None
    return replace(built, model_id=rest) if built and built.provider.kind.place is Place.INSIDE else None


def as_it_is_now(model: ModelEntry, ask: Ask, snapshot: Snapshot) -> ModelEntry:
    """A candidate of an earlier snapshot in this one. Raises why it may not be asked any more."""
    found = _explicit(model.string, snapshot)
    if found is None or found.id != model.id:
        raise Withdrawn(f"{model.string} was removed.", sent=False)
    against = obstacle(found, ask)
    if against:
        raise Withdrawn(f"{against[0].upper()}{against[1:]}.", sent=False)
    return found


# -- who of them can --------------------------------------------------------------------------------------


def _among(
    models: tuple[ModelEntry, ...], reason: str, described: str, first: str, ask: Ask, snapshot: Snapshot
) -> Decision:
    # The order is that of priority, then slug; those meant for the end come after all others.
    ordered = sorted(models, key=lambda model: model.only_as_fallback)
    candidates: list[Candidate] = []
    usable: list[ModelEntry] = []
    for model in ordered:
        against = obstacle(model, ask)
        verdict = against or (first if len(models) == 1 else _place_in_row(model, len(usable)))
        candidates.append(Candidate(model, not against, verdict))
        if not against:
            usable.append(model)
    if len(usable) > 1:
        reason += ": " + ", then ".join(model.provider.slug for model in usable)
    problem = None if usable else _nobody(candidates, described, ask, snapshot)
    return _decision(ask, reason, problem, tuple(candidates))


def _place_in_row(model: ModelEntry, number: int) -> str:
    words = "first" if number == 0 else "fallback"
    words += f", priority {model.provider.priority}"
    if model.only_as_fallback:
        words += ", marked as only a fallback"
    return words


# -- why nobody can -----------------------------------------------------------------------------------------


def _nobody(candidates: list[Candidate], described: str, ask: Ask, snapshot: Snapshot) -> Problem:
    allowed = [each for each in candidates if may_use(each.model, ask.allowed_models)]
    if not allowed:
        likely = _near(candidates[0].model.string, ask, snapshot) or _listing(_visible(ask, snapshot), "It may use")
        return Problem(403, "model_not_allowed", f"This key may not use {described}.{likely}")
    if ask.data_policy and not any(abides(each.model.provider, ask.data_policy) for each in allowed):
        verdicts = "; ".join(each.verdict for each in allowed)
        message = f"The data policy of team '{ask.team}' is '{ask.data_policy}': {verdicts}."
        return Problem(403, "data_policy", message)
    suited = [each for each in allowed if each.model.use == ask.use]
    if not suited:
        return Problem(400, "unsupported_model", "; ".join(each.verdict for each in allowed) + ".")
    verdicts = "; ".join(each.verdict for each in suited)
    if all(each.model.gone for each in suited):
        return Problem(404, "model_not_found", f"{verdicts}.{_near(suited[0].model.string, ask, snapshot)}")
    return Problem(503, "no_usable_provider", f"Nobody can answer for {described} now: {verdicts}.")


def _unknown(name: str, ask: Ask, snapshot: Snapshot) -> Problem:
    prefix, colon, rest = name.partition(":")
    if not all(part.strip() for part in name.replace("/", ":").split(":")):
        return _invalid(
            f"'{name}' has an empty part: write provider:model, or a model's id.{_near(name, ask, snapshot)}"
        )
    slug = snapshot.slugs.get(prefix.lower())
    if colon and slug is None and not _begins_an_id(prefix, snapshot):
        said = f"'{prefix}' in '{name}' is neither a provider nor the beginning of a model's id."
        return _invalid(said + _near(name, ask, snapshot))
    if colon and slug is not None:
        message = f"{snapshot.providers[slug].name} has no model '{rest}'."
    else:
        message = f"There is no model '{name}'."
    return Problem(404, "model_not_found", message + _near(name, ask, snapshot))


def _invalid(message: str) -> Problem:
    return Problem(400, "invalid_model_string", message)


def _begins_an_id(prefix: str, snapshot: Snapshot) -> bool:
    known = snapshot.memo.prefixes
    if known is None:
        heads = [name.partition(mark)[0] for name in snapshot.by_model_id for mark in ":/" if mark in name]
        known = frozenset(heads)
        snapshot.memo.prefixes = known
    return prefix in known


def _near(name: str, ask: Ask, snapshot: Snapshot) -> str:
    """The names most like it among those the key may see, as the end of a sentence."""
    index: tuple[Names, dict[str, ModelEntry]] | None = snapshot.memo.names
    if index is None:
        models = dict(snapshot.aliases) | {model.string: model for model in snapshot.models.values()}
        index = snapshot.memo.names = (Names(models), models)
    names, models = index
    return _listing(names.like(name, lambda known: _seen(models[known], ask)), "Nearest")


def _visible(ask: Ask, snapshot: Snapshot) -> list[str]:
    seen = [name for name, model in snapshot.aliases.items() if _seen(model, ask)]
    return seen + [model.string for model in snapshot.models.values() if _seen(model, ask)]


def _seen(model: ModelEntry, ask: Ask) -> bool:
    answered = answers(model.provider, ask.team_id)
    return answered and model.offered and model.use == ask.use and may_use(model, ask.allowed_models)


def _listing(names: list[str], words: str = "There are") -> str:
    return f" {words}: {', '.join(names[:3])}." if names else ""


def _decision(
    ask: Ask, reason: str, problem: Problem | None = None, candidates: tuple[Candidate, ...] = ()
) -> Decision:
    return Decision(candidates, reason, problem, ask.allowed_models, ask.use)
