"""What would have to change in the house so that it is as the file says? A list of steps; no database, no network.

What the file does not name stays as it is. Faults found here are those that only the house can tell: a secret that may
not follow to a new address, an alias of nobody, a price that is in the books already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from console.configuration.fields import nearest
from console.configuration.standing import Standing
from console.configuration.targets import Known
from console.configuration.values import (
    UNSET,
    Declared,
    Fault,
    Fields,
    FileRefused,
    House,
    KeyFrom,
    KeyHeld,
    ModelHeld,
    ModelWanted,
    PriceHeld,
    PriceWanted,
    ProviderHeld,
    ProviderWanted,
    RowWanted,
    TeamHeld,
    TeamWanted,
    Thing,
)
from providers.adapters import speaks
from providers.registry import KINDS

MISSING = "the environment variable"  # how a reason begins that a file gave and may take back


class Action(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    REMOVE = "remove"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Difference:
    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Step:
    action: Action
    thing: Thing
    where: tuple[str, ...]  # ("mine", "llama-3") for a model: enough to find the row, or to make it
    differences: tuple[Difference, ...] = ()
    values: Fields = field(default_factory=dict, repr=False)  # what to write
    remark: str = ""

    @property
    def name(self) -> str:
        return ":".join(self.where)


@dataclass(frozen=True, slots=True)
class Plan:
    steps: tuple[Step, ...]
    notes: tuple[str, ...]

    @property
    def changes(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.action is not Action.KEEP)

    def count(self, action: Action) -> int:
        return sum(step.action is action for step in self.steps)


def plan(declared: Declared, house: House, *, now: datetime, environment: Mapping[str, str]) -> Plan:
    """The steps in the order to take them, or FileRefused."""
    planner = _Planner(declared, house, now, environment)
    planner.organisation()
    for provider in declared.providers:
        planner.provider(provider)
    planner.aliases()
    planner.rows()
    for team in declared.teams:
        planner.team(team)
    if planner.faults:
        raise FileRefused(planner.faults)
    return Plan(tuple(planner.steps), tuple(dict.fromkeys((*declared.notes, *planner.notes))))


class _Planner:
    def __init__(self, declared: Declared, house: House, now: datetime, environment: Mapping[str, str]) -> None:
        self.declared = declared
        self.house = house
        self.now = now
        self.environment = environment
        self.steps: list[Step] = []
        self.notes: list[str] = []
        self.faults: list[Fault] = []
        self._models: set[tuple[str, str]] = set()  # those that exist, or will
        self._slugs: dict[str, str] = {}  # present or former -> present
        for held in house.providers.values():
            self._slugs |= dict.fromkeys(held.former_slugs, held.slug)
            self._models |= {(held.slug, model_id) for model_id in held.models}
        self._slugs |= {slug: slug for slug in house.providers}
        for wanted in declared.providers:
            self._slugs.setdefault(wanted.slug, wanted.slug)
        self._paths: dict[str, str] = {}  # of providers that the file has spoken of

    # -- organisation and teams ---------------------------------------------------

    def organisation(self) -> None:
        wanted, held = self.declared.organisation, self.house.organisation
        if wanted is not None:
            self._row(Thing.ORGANISATION, (held["name"],), wanted, held)
            self._default_model(wanted, held, "organisation")

    def team(self, wanted: TeamWanted) -> None:
        held = self.house.teams.get(wanted.name) or self._team_without_case(wanted.name)
        if held is None:
            self._row(Thing.TEAM, (wanted.name,), wanted.fields, None)
        elif held.archived:
            self.faults.append(Fault(wanted.path, f"the team '{held.name}' is archived: restore it first."))
            return
        else:
            self._row(Thing.TEAM, (held.name,), {"name": wanted.name} | dict(wanted.fields), held.fields)
        self._default_model(wanted.fields, held.fields if held else {}, wanted.path)
        for member in wanted.members:
            self._member(wanted.name, held, member.email, member.lead)

    def _team_without_case(self, name: str) -> TeamHeld | None:
        like = [held for held in self.house.teams.values() if held.name.lower() == name.lower()]
        return like[0] if like else None

    def _member(self, team: str, held: TeamHeld | None, email: str, lead: bool | None) -> None:
        leads = held.members.get(email) if held else None
        wanted = {} if lead is None else {"lead": lead}
        if leads is not None:
            self._row(Thing.MEMBER, (team, email), wanted, {"lead": leads})
        elif email in self.house.people:
            self._row(Thing.MEMBER, (team, email), {"lead": bool(lead)}, None)
        else:
            self.notes.append(f"{email} is nobody here, so not in {team} yet: invite them, then apply this file again.")

    def _default_model(self, fields: Fields, before: Fields, path: str) -> None:
        """A prefix that nobody has is a slip, unless a list of models that was never read may explain it."""
        name: str = fields.get("default_model") or ""
        prefix, colon, _ = name.partition(":")
        aliases = {alias.name for alias in self.declared.aliases} | set(self.house.aliases)
        if name == before.get("default_model") or not colon or name in aliases or prefix.lower() in self._slugs:
            return
        if any(model_id.startswith((f"{prefix}:", f"{prefix}/")) for _, model_id in self._models | self._declared()):
            return
        message = f"'{prefix}' in '{name}' is no provider.{nearest(prefix, self._slugs)}"
        if self._lists_unread():
            self.notes.append(f"{path}.default_model: {message}")
        else:
            self.faults.append(Fault(f"{path}.default_model", message))

    def _lists_unread(self) -> bool:
        read = {slug for slug, held in self.house.providers.items() if held.listed}
        mentioned = [(wanted.slug, wanted.fields["kind"]) for wanted in self.declared.providers]
        return any(KINDS[kind].models_path and self._slugs[slug] not in read for slug, kind in mentioned)

    def _declared(self) -> set[tuple[str, str]]:
        return {(wanted.slug, model.model_id) for wanted in self.declared.providers for model in wanted.models}

    # -- providers ----------------------------------------------------------------

    def provider(self, wanted: ProviderWanted) -> None:
        slug = self._slugs[wanted.slug]
        if slug in self._paths:
            self.faults.append(Fault(wanted.path, f"'{wanted.slug}' is an old name of {slug}, at {self._paths[slug]}."))
            return
        self._paths[slug] = wanted.path
        held = self.house.providers.get(slug)
        fields = dict(wanted.fields)
        if slug != wanted.slug:
            # The file knows it by an old name. What somebody renamed since is not renamed back.
            fields.pop("name", None)
            self.notes.append(f"{wanted.path}: '{wanted.slug}' is called {slug} now; its name stays.")
        before = held.fields if held else {}
        if "options" in fields:
            merged = dict(before.get("options", {})) | fields["options"]
            fields["options"] = {name: value for name, value in merged.items() if value is not None}
        fields["inactive_reason"] = self._reason(wanted, str(before.get("inactive_reason", "")))
        if held is None and not fields["inactive_reason"]:
            del fields["inactive_reason"]
        self._needs(wanted, fields, before)
        self._row(Thing.PROVIDER, (slug,), fields, held.fields if held else None, self._remark(wanted, fields, before))
        self._key(slug, wanted, held, moved=self._moved(fields, held))
        for model in wanted.models:
            self._model(slug, model, held)
        default = fields.get("options", {}).get("default_model", "")
        if default and (slug, default) not in self._models:
            self._make_model(slug, default, "named as the default model")

    def _reason(self, wanted: ProviderWanted, before: str) -> str:
        if wanted.missing:
            return f"{MISSING} {wanted.missing[0]} is not set"
        return "" if before.startswith(MISSING) else before

    def _needs(self, wanted: ProviderWanted, fields: Fields, before: Fields) -> None:
        """What a kind cannot do without, told before anybody calls it."""
        kind = KINDS[wanted.fields["kind"]]
        for name in kind.needs:
            there = fields.get(name) or before.get(name)
            options = fields.get("options", before.get("options", {}))
            if not there and not options.get(name):
                self.faults.append(Fault(wanted.path, f"a provider of kind {kind.slug} needs `{name}`."))

    def _remark(self, wanted: ProviderWanted, fields: Fields, before: Fields) -> str:
        kind = KINDS[wanted.fields["kind"]]
        if not speaks(kind):
            return f"Relayhouse does not speak the format of {kind.name} yet: it is kept, and cannot answer."
        return f"{fields['inactive_reason']}: inactive." if fields.get("inactive_reason") else ""

    def _moved(self, fields: Fields, held: ProviderHeld | None) -> str:
        """Which field would send a key that is there already somewhere else; empty when none."""
        if held is None:
            return ""
        after = {**held.fields, **fields}
        if after["kind"] != held.fields["kind"]:
            return "kind"
        if _address(after) != _address(held.fields):
            return "base_url"
        return "options.region" if after["options"].get("region") != held.fields["options"].get("region") else ""

    def _key(self, slug: str, wanted: ProviderWanted, held: ProviderHeld | None, *, moved: str) -> None:
        key, has = wanted.key, held.key if held else None
        if key is None or key.origin is KeyFrom.KEPT:
            if key is not None and has is None:
                self.notes.append(f"{key.path}: no key is kept here for {slug}: give one, or a variable's name.")
            if has is not None and moved:
                message = f"the key of {slug} does not follow to another place: give `api_key` again with the {moved}."
                self.faults.append(Fault(f"{wanted.path}.{moved}", message))
            return
        if key.origin is KeyFrom.NOWHERE:
            if has is not None:
                self._step(Action.REMOVE, Thing.KEY, (slug,), (Difference("key", shown_key(has), None),))
            return
        if key.origin is KeyFrom.VARIABLE:
            after, same = f"${{{key.variable}}}", has is not None and has.variable == key.variable
            values: dict[str, Any] = {"variable": key.variable}
            if not self.environment.get(key.variable, "").strip():
                self.notes.append(f"{key.variable} is not set here: where it is not set, {slug} is inactive.")
        else:
            after, same = _ending(key.secret), has is not None and not has.variable and has.secret == key.secret
            values = {"secret": key.secret}
            if not same:
                advice = "kept sealed; a reference such as ${NAME} would keep it out of the file"
                self.notes.append(f"{key.path}: the key stands in the file itself. It is {advice}.")
        action = Action.KEEP if same else Action.CREATE if has is None else Action.CHANGE
        difference = Difference("key", shown_key(has) if has else None, after)
        self._step(action, Thing.KEY, (slug,), () if same else (difference,), values)

    # -- models, prices, aliases --------------------------------------------------

    def _model(self, slug: str, wanted: ModelWanted, provider: ProviderHeld | None) -> None:
        held = provider.models.get(wanted.model_id) if provider else None
        self._models.add((slug, wanted.model_id))
        self._row(Thing.MODEL, (slug, wanted.model_id), wanted.fields, held.fields if held else None)
        for price in wanted.prices:
            self._price((slug, wanted.model_id), price, held)

    def _make_model(self, slug: str, model_id: str, why: str) -> None:
        held = self.house.providers.get(slug)
        self._models.add((slug, model_id))
        unknown = "; the list of the provider does not have it" if held and held.listed else ""
        self._step(Action.CREATE, Thing.MODEL, (slug, model_id), remark=f"{why}{unknown}")

    def _price(self, where: tuple[str, str], wanted: PriceWanted, model: ModelHeld | None) -> None:
        prices = model.prices if model else ()
        held = _price_at(prices, wanted.start) if wanted.start else _valid_price(prices, self.now)
        same = held is not None and all(held.fields[name] == value for name, value in _amounts(wanted).items())
        if held is not None and same:
            label = (*where, f"{held.start:%Y-%m-%d}")
            # The end and the source of a price may still be written; its amounts never.
            later = {name: wanted.fields[name] for name in ("valid_until", "source") if name in wanted.fields}
            self._row(Thing.PRICE, label, later, held.fields, values={"pk": held.pk})
            return
        if held is not None and wanted.start is not None:
            message = f"the price from {held.start.isoformat()} is in the books already, with other amounts:"
            self.faults.append(Fault(wanted.path, f"{message} give the new one a later `from`."))
            return
        start = wanted.start or self.now
        fields = {"source": "configuration file"} | dict(wanted.fields) | {"valid_from": start}
        self._row(Thing.PRICE, (*where, f"{start:%Y-%m-%d}"), fields, None)

    def aliases(self) -> None:
        for wanted in self.declared.aliases:
            slug = self._slugs.get(wanted.provider)
            if slug is None:
                message = f"'{wanted.provider}' is no provider.{nearest(wanted.provider, self._slugs)}"
                self.faults.append(Fault(wanted.path, message))
                continue
            if (slug, wanted.model_id) not in self._models:
                self._make_model(slug, wanted.model_id, f"named by the alias {wanted.name}")
            held = self.house.aliases.get(wanted.name)
            after = {"model": f"{slug}:{wanted.model_id}"}
            self._row(Thing.ALIAS, (wanted.name,), after, {"model": ":".join(held)} if held else None)

    # -- routing ----------------------------------------------------------------------

    def rows(self) -> None:
        """Use cases, tiers, routes, flags, experiments: what is there before what names it, and going the other way."""
        order = list(Thing)
        standing, known = Standing(self.declared, self.house), self._known()
        declared = sorted(self.declared.rows, key=lambda row: order.index(row.thing) * (-1 if row.absent else 1))
        for row in declared:
            if not row.absent:
                self._listed(row, standing, known)
        for row in declared:
            if row.absent:
                self._remove(row, standing)
        if not self.faults:
            self.notes += standing.unreached()

    def _listed(self, wanted: RowWanted, standing: Standing, known: Known) -> None:
        held = self.house.rows.get(wanted.thing, {}).get(wanted.key)
        for name, thing in (("use_case", Thing.USE_CASE), ("tier", Thing.TIER)):
            named = wanted.fields.get(name)
            if named and wanted.thing is not thing and named not in standing.keys(thing):
                message = f"there is no {thing} '{named}'.{nearest(named, standing.keys(thing))}"
                self.faults.append(Fault(f"{wanted.path}.{name}", message))
        before = {target for _, target, _ in known.faults(wanted.thing, held)} if held else set()
        for path, target, said in known.faults(wanted.thing, wanted.fields):
            fault = Fault(f"{wanted.path}.{path}", said)
            # What stood there already may have gone since: a house takes back what it exported.
            if target in before:
                self.notes.append(str(fault))
            else:
                self.faults.append(fault)
        fields = dict(wanted.fields) | standing.position(wanted)
        if held is None and wanted.thing in (Thing.USE_CASE, Thing.TIER):
            fields.setdefault("name", wanted.key.replace("_", " ").capitalize())
        self._row(wanted.thing, (wanted.key,), fields, held)

    def _remove(self, wanted: RowWanted, standing: Standing) -> None:
        held = self.house.rows.get(wanted.thing, {}).get(wanted.key)
        if held is None:
            return  # it is as it should be
        user = standing.user_of(wanted.thing, wanted.key)
        if user:
            self.faults.append(Fault(wanted.path, f"is used by {user}: change or remove that first."))
            return
        gone = tuple(Difference(name, value, None) for name, value in held.items())
        self._step(Action.REMOVE, wanted.thing, (wanted.key,), gone)

    def _known(self) -> Known:
        listed = {slug for slug, held in self.house.providers.items() if held.listed}
        return Known(
            slugs=self._slugs,
            models=frozenset(self._models | self._declared()),
            aliases=frozenset({alias.name for alias in self.declared.aliases} | set(self.house.aliases)),
            unread=frozenset(self._slugs.values()) - listed,
        )

    # -- steps ----------------------------------------------------------------------

    def _row(
        self,
        thing: Thing,
        where: tuple[str, ...],
        wanted: Fields,
        held: Fields | None,
        remark: str = "",
        values: Fields | None = None,
    ) -> None:
        """One row: to be made, to be changed where it differs, or as it should be."""
        if held is None:
            made = tuple(Difference(name, None, value) for name, value in wanted.items())
            self._step(Action.CREATE, thing, where, made, wanted, remark)
            return
        changed = {name: value for name, value in wanted.items() if held.get(name, UNSET) != value}
        differences = tuple(Difference(name, held.get(name), value) for name, value in changed.items())
        action = Action.CHANGE if changed else Action.KEEP
        self._step(action, thing, where, differences, {**(values or {}), **changed}, remark)

    def _step(
        self,
        action: Action,
        thing: Thing,
        where: tuple[str, ...],
        differences: tuple[Difference, ...] = (),
        values: Fields | None = None,
        remark: str = "",
    ) -> None:
        self.steps.append(Step(action, thing, where, differences, values or {}, remark))


def shown_key(held: KeyHeld) -> str:
    return f"${{{held.variable}}}" if held.variable else f"…{held.last_four}" if held.last_four else "a kept key"


def _address(fields: Fields) -> str:
    """Where requests go: the address, or the usual one of the kind."""
    kind = KINDS.get(fields["kind"])
    return str(fields["base_url"] or (kind.base_url if kind else "")).rstrip("/")


def _ending(secret: str) -> str:
    """The last four characters, of a key long enough that they tell nothing."""
    return f"…{secret[-4:]}" if len(secret) >= 12 else "a kept key"


def _amounts(wanted: PriceWanted) -> dict[str, Any]:
    return {name: value for name, value in wanted.fields.items() if name not in ("valid_until", "source")}


def _price_at(prices: tuple[PriceHeld, ...], start: datetime) -> PriceHeld | None:
    return next((price for price in prices if price.start == start), None)


def _valid_price(prices: tuple[PriceHeld, ...], now: datetime) -> PriceHeld | None:
    for price in prices:
        until = price.fields["valid_until"]
        if price.start <= now and (until is None or now < until):
            return price
    return None
