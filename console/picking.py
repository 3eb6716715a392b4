"""Which models may a person choose from, and what is the name of the one that was chosen?"""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.utils.translation import gettext as _

from console.models import Room, User
from providers.registry import Kind, Place
from routing import worker
from routing.compiler import compile_snapshot
from routing.engine import AUTO
from routing.obstacles import answers
from routing.snapshot import ModelEntry, Snapshot

DEMONSTRATION = "relay-1"  # the pretend vendor's model that a new house begins with


@dataclass(frozen=True, slots=True)
class Chosen:
    """A model as people see it: its name, and whose mark stands on the tile."""

    value: str
    name: str
    kind: Kind | None = None
    demo: bool = False
    remarks: tuple[str, ...] = ()  # what to know before choosing it


@dataclass(frozen=True, slots=True)
class Options:
    automatic: str  # the name of the default model; empty: there is none
    aliases: list[Chosen]
    groups: list[tuple[str, list[Chosen]]]  # under the name of their provider
    selected: str = ""

    @property
    def values(self) -> list[str]:
        return [each.value for each in self.aliases] + [each.value for _, models in self.groups for each in models]

    def has(self, value: str) -> bool:
        return bool(self.automatic) if value == AUTO else value in self.values


def current_snapshot() -> Snapshot:
    """The process's own; a process without one (a command, a test) reads the rows."""
    running = worker.running()
    return running.snapshots.current if running is not None else compile_snapshot()


def chosen(value: str, snapshot: Snapshot) -> Chosen:
    if not value or value == AUTO:
        return Chosen(AUTO, _("Auto"))
    prefix, _colon, rest = value.partition(":")
    alias = snapshot.aliases.get(value)
    model = alias or snapshot.models.get((snapshot.slugs.get(prefix.lower(), ""), rest))
    if model is None:
        model = next(iter(snapshot.by_model_id.get(value, ())), None)
    if model is not None:
        return _named(value, model, value if alias is not None else "")
    provider = snapshot.providers.get(snapshot.slugs.get(prefix.lower(), ""))
    kind = provider.kind if provider is not None else None
    return Chosen(value, rest if kind is not None else value, kind, kind is not None and kind.place is Place.INSIDE)


def options_for(snapshot: Snapshot, team_id: int | None, *wanted: str) -> Options:
    """Everything that is offered for chat; selected is the first of `wanted` that is among it."""
    groups: dict[str, list[Chosen]] = {}
    for model in snapshot.models.values():
        if _offered(model, team_id):
            groups.setdefault(_group(model), []).append(_named(model.string, model))
    aliases = [
        _named(name, model, name) for name, model in sorted(snapshot.aliases.items()) if _offered(model, team_id)
    ]
    default = (snapshot.team_defaults.get(team_id, "") if team_id else "") or snapshot.house_default
    usual = chosen(default, snapshot) if default and default != AUTO else None
    options = Options(usual.name if usual else "", aliases, list(groups.items()))
    # A house that knows only the demonstration says so, instead of hiding it behind "Auto".
    likely = [usual.value] if usual and usual.demo else []
    likely += [AUTO, *(value for value in options.values if value.endswith(f":{DEMONSTRATION}")), *options.values]
    return replace(options, selected=next((each for each in (*wanted, *likely) if options.has(each)), ""))


def _offered(model: ModelEntry, team_id: int | None) -> bool:
    return model.offered and model.use == "chat" and answers(model.provider, team_id)


def _group(model: ModelEntry) -> str:
    broken = model.provider.kind.place is Place.INSIDE and model.model_id.startswith("fault-")
    return _("%(provider)s: faults to try") % {"provider": model.provider.name} if broken else model.provider.name


def last_choice(person: User) -> str:
    return Room.objects.filter(owner=person).order_by("-touched_at").values_list("model", flat=True).first() or ""


def _named(value: str, model: ModelEntry, name: str = "") -> Chosen:
    kind = model.provider.kind
    return Chosen(value, name or model.name or model.model_id, kind, kind.place is Place.INSIDE, _remarks(model))


def _remarks(model: ModelEntry) -> tuple[str, ...]:
    told = []
    if model.stage == "preview":
        told.append(_("preview"))
    elif model.stage == "deprecated":
        told.append(_("ends soon"))
    if "vision" in model.capabilities:
        told.append(_("reads images"))
    return tuple(told)
