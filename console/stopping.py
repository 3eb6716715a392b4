"""What stops when a provider is switched off or disconnected, who answers instead, and bringing it back.

Its past stays: requests, attempts and the ledger name it in plain text and refer to none of its rows.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from django.core import serializers
from django.core.cache import cache
from django.db import IntegrityError, transaction
from django.db.models import Model

from billing.models import Attempt, Price, ProviderHour, Request, Team
from console.models import User
from providers.models import Credential, FormerSlug, LanguageModel, ModelAlias, Provider, configuration_changed
from routing.asks import Ask
from routing.compiler import compile_snapshot
from routing.decisions import Live
from routing.engine import decide, named
from routing.models import ApiKey
from routing.snapshot import Memo, ModelEntry, Snapshot

WEEK = timedelta(days=7)
SAMPLE = 5000  # of the newest calls, in which callers are looked for
MOST = 8  # callers and names that are told
UNDO_SECONDS = 60 * 60


@dataclass(frozen=True, slots=True)
class Caller:
    name: str
    calls: int


@dataclass(frozen=True, slots=True)
class Instead:
    """What somebody asks for, and the model that answers it from now on; empty: none."""

    asked: str
    answers: str


@dataclass(frozen=True, slots=True)
class Effect:
    calls: int  # of the last seven days
    sampled: bool  # callers are those of the newest calls alone
    teams: list[Caller]
    keys: list[Caller]
    people: list[Caller]
    aliases: list[str] = field(default_factory=list)
    house_default: str = ""
    team_defaults: list[str] = field(default_factory=list)  # names of teams
    instead: list[Instead] = field(default_factory=list)
    models: int = 0

    @property
    def in_use(self) -> bool:
        return bool(self.calls or self.aliases or self.house_default or self.team_defaults)


def effect_of(provider: Provider, now: datetime) -> Effect:
    """Bounded, whatever the traffic: sums of hours, and the callers of the newest calls."""
    hours = ProviderHour.objects.filter(provider_id=provider.pk, hour__gt=now - WEEK)
    counted = sum(hours.values_list("attempts", flat=True))
    newest = Attempt.objects.real().filter(provider_id=provider.pk, started_at__gt=now - WEEK)
    ids = list(newest.order_by("-started_at").values_list("request_id", flat=True)[:SAMPLE])
    called = Request.objects.filter(id__in=ids, started_at__gt=now - WEEK).exclude(purpose="system")
    rows = list(called.values_list("asked_model", "team_id", "key_id", "user_id"))
    snapshot = compile_snapshot()
    aliases = sorted(name for name, model in snapshot.aliases.items() if model.provider.slug == provider.slug)
    teams = {pk: name for pk, name in snapshot.team_defaults.items() if _means(name, provider.slug, snapshot)}
    house = snapshot.house_default if _means(snapshot.house_default, provider.slug, snapshot) else ""
    asked = [name for name, _ in Counter(row[0] for row in rows).most_common(MOST)]
    names = dict.fromkeys([*asked, *aliases, *teams.values(), house])
    return Effect(
        calls=max(counted, len(rows)),
        sampled=len(ids) == SAMPLE,
        teams=_callers((row[1] for row in rows), Team),
        keys=_callers((row[2] for row in rows), ApiKey),
        people=_callers((row[3] for row in rows), User),
        aliases=aliases,
        house_default=house,
        team_defaults=list(Team.objects.filter(pk__in=teams).order_by("name").values_list("name", flat=True)),
        instead=_instead([name for name in names if name][:MOST], without(snapshot, provider.slug), now),
        models=provider.models.filter(active=True).count(),
    )


def _means(name: str, slug: str, snapshot: Snapshot) -> bool:
    found = named(name, snapshot) if name else None
    return found is not None and any(model.provider.slug == slug for model in found[1])


def _callers(ids: Iterable[int | None], model: type[Model]) -> list[Caller]:
    """By name, the most frequent first. Those that are gone are left out."""
    counts = Counter(number for number in ids if number is not None).most_common(MOST)
    rows = model._default_manager.in_bulk([number for number, _ in counts])
    return [Caller(getattr(rows[pk], "name", "") or str(rows[pk]), count) for pk, count in counts if pk in rows]


def without(snapshot: Snapshot, slug: str) -> Snapshot:
    """The same house with this provider switched off."""
    entry = snapshot.providers.get(slug)
    if entry is None:
        return snapshot
    off = replace(entry, enabled=False)

    def moved(model: ModelEntry) -> ModelEntry:
        return replace(model, provider=off) if model.provider.slug == slug else model

    return replace(
        snapshot,
        providers={**snapshot.providers, slug: off},
        models={name: moved(model) for name, model in snapshot.models.items()},
        by_model_id={name: tuple(map(moved, models)) for name, models in snapshot.by_model_id.items()},
        aliases={name: moved(model) for name, model in snapshot.aliases.items()},
        memo=Memo(),
    )


def _instead(names: list[str], snapshot: Snapshot, now: datetime) -> list[Instead]:
    """As the engine itself would decide."""
    told = []
    for name in names:
        decision = decide(Ask("", name), snapshot, Live(), now=now)
        told.append(Instead(name, decision.usable[0].string if decision.usable else ""))
    return told


# -- disconnecting, and back --------------------------------------------------------------------


def disconnect(provider: Provider) -> str:
    """Delete it with its keys, models and prices. For an hour the token brings all of it back; keys stay sealed."""
    token = secrets.token_urlsafe(24)
    with transaction.atomic():
        cache.set(key_of(token), serializers.serialize("json", list(_rows_of(provider))), UNDO_SECONDS)
        provider.delete()
    return token


def _rows_of(provider: Provider) -> Iterable[Model]:
    yield provider
    for model in (FormerSlug, Credential, LanguageModel):
        yield from model.objects.filter(provider=provider)
    yield from ModelAlias.objects.filter(model__provider=provider)
    yield from Price.objects.filter(model__provider=provider)


def reconnect(token: str) -> Provider | None:
    """None when the hour is over, or a name it had is somebody else's now."""
    kept = cache.get(key_of(token))
    if kept is None:
        return None
    try:
        with transaction.atomic():
            rows = list(serializers.deserialize("json", kept))
            for row in rows:
                row.save(force_insert=True)
            configuration_changed()
    except IntegrityError:
        return None
    cache.delete(key_of(token))
    return Provider.objects.get(pk=rows[0].object.pk)


def key_of(token: str) -> str:
    return f"provider.undo.{hashlib.sha256(token.encode()).hexdigest()}"


def told_of(effect: Effect) -> Mapping[str, int]:
    """For the audit: how much was in use when it was stopped."""
    return {"calls": effect.calls, "models": effect.models, "aliases": len(effect.aliases)}
