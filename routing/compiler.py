"""From rows to the frozen snapshot that decisions read, and how each process keeps its own up to date."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from django.db import DatabaseError, DataError, connections
from django.db.models import Max, Q
from django.utils import timezone

from billing.costs import Rates
from billing.models import Organisation, Price, Team
from billing.prices import rates_of
from billing.terms import Bounds, bounds
from providers.adapters import speaks
from providers.models import Credential, FormerSlug, LanguageModel, ModelAlias, Provider, current_revision
from providers.registry import KINDS
from routing import circuits
from routing.breaker import Breakers, rules_from
from routing.callers import KeyBook
from routing.cells import read_routing
from routing.models import KeyChange
from routing.picking import usable
from routing.snapshot import CredentialEntry, ModelEntry, ProviderEntry, Snapshot, TeamEntry
from routing.threads import with_fresh_connection

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
REBUILD_SECONDS = 0.5  # the least time between two snapshots
UNCOMMITTED_SECONDS = 90.0  # a transaction may take so long to show a row with a number below those already seen
USED_SECONDS = 5.0
MOST_CHANGES = 1000  # of circuits, kept while the database is away

T = TypeVar("T")


def compile_snapshot() -> Snapshot:
    """The configuration as one value. A dozen queries; read again when somebody changed it meanwhile."""
    revision, release, _ = current_revision()
    while True:
        snapshot = _compiled(revision, release)
        after, release, _ = current_revision()
        if after == revision:
            return snapshot
        revision = after


def _compiled(revision: int, release: int) -> Snapshot:
    former = _grouped(FormerSlug.objects.values_list("provider_id", "slug"))
    providers = _providers()
    aliases = _grouped(ModelAlias.objects.values_list("model_id", "name"))
    prices = _prices()
    teams, team_bounds = _teams()
    models: dict[int, ModelEntry] = {}
    for row in LanguageModel.objects.filter(provider__in=providers).order_by("model_id"):
        provider = providers[row.provider_id]
        old = {f"{slug}:{row.model_id}" for slug in former[row.provider_id]}
        models[row.pk] = ModelEntry(
            id=row.pk,
            provider=provider,
            model_id=row.model_id,
            name=row.name,
            use=row.use,
            active=row.active,
            only_as_fallback=row.only_as_fallback,
            listed=row.listed,
            context=row.context,
            max_output=row.max_output,
            capabilities=frozenset(row.capabilities),
            lacks=frozenset(row.lacks),
            parameters=row.parameters,
            stage=row.stage,
            prices=tuple(prices[row.pk]),
            created=int(row.created_at.timestamp()),
            other_names=frozenset(aliases[row.pk]) | old,
        )
    in_order = sorted(models.values(), key=lambda model: (model.provider.priority, model.provider.slug, model.model_id))
    by_model_id: dict[str, tuple[ModelEntry, ...]] = defaultdict(tuple)
    for model in in_order:
        by_model_id[model.model_id] += (model,)
    slugs = {slug: entry.slug for number, entry in providers.items() for slug in former[number]}
    snapshot = Snapshot(
        revision=revision,
        release=release,
        providers={entry.slug: entry for entry in providers.values()},
        slugs=slugs | {entry.slug: entry.slug for entry in providers.values()},
        models={(model.provider.slug, model.model_id): model for model in in_order},
        by_model_id=dict(by_model_id),
        aliases={name: models[number] for number, names in aliases.items() if number in models for name in names},
        teams=teams,
        team_bounds=team_bounds,
        team_defaults={number: team.default_model for number, team in teams.items() if team.default_model},
        restricted=any(entry.only_teams for entry in providers.values()),
        house_default=Organisation.objects.filter(id=1).values_list("default_model", flat=True).first() or "",
    )
    return replace(snapshot, routing=read_routing(snapshot))


def _teams() -> tuple[dict[int, TeamEntry], dict[int, Bounds]]:
    """With the limits of those that have any."""
    rows = list(Team.objects.filter(archived_at=None))
    limits = {
        row.pk: bounds("team", row.pk, row.requests_per_minute, row.tokens_per_minute, row.concurrency) for row in rows
    }
    teams = {row.pk: TeamEntry(row.slug, row.default_model, row.data_policy, row.keeps_content) for row in rows}
    return teams, {pk: each for pk, each in limits.items() if each is not None}


def _providers() -> dict[int, ProviderEntry]:
    """By row number."""
    credentials: dict[int, list[CredentialEntry]] = defaultdict(list)
    unset: dict[int, str] = {}
    now = timezone.now().timestamp()
    for key in Credential.objects.filter(enabled=True).order_by("id"):
        if key.variable and not os.environ.get(key.variable, "").strip():
            unset[key.provider_id] = key.variable
        elif key.variable or key.sealed:
            credentials[key.provider_id].append(
                CredentialEntry(
                    key.pk,
                    str(key.uid),
                    key.weight,
                    key.sealed,
                    key.variable,
                    key.valid_until.timestamp() if key.valid_until else None,
                )
            )
    found: dict[int, ProviderEntry] = {}
    for row in Provider.objects.order_by("priority", "slug"):
        kind = KINDS.get(row.kind)
        if kind is None:
            log.error("provider '%s' is of kind '%s', which this version does not know: left out", row.slug, row.kind)
            continue
        reason = kind.retired or row.inactive_reason
        if not reason and not speaks(kind):
            reason = f"Relayhouse does not speak the format of {kind.name} yet"
        keys = tuple(credentials[row.pk])
        lasting = usable(keys, now)
        if not reason and keys and not lasting:
            reason = "its API key has ended"
        if not reason and kind.key_required and not keys:
            missing = unset.get(row.pk)
            reason = f"the environment variable {missing} is not set" if missing else "it has no API key"
        found[row.pk] = ProviderEntry(
            id=row.pk,
            slug=row.slug,
            name=row.name,
            kind=kind,
            base_url=row.base_url,
            priority=row.priority,
            enabled=row.enabled,
            inactive_reason=reason,
            credentials=lasting or keys,
            options=row.options,
            timeout_seconds=float(row.timeout_seconds),
            only_teams=frozenset(row.only_teams),
            data_region=row.data_region,
            trains_on_data=row.trains_on_data,
            bounds=bounds("provider", row.pk, row.requests_per_minute, row.tokens_per_minute, row.concurrency),
            rules=rules_from(row.options),
        )
    return found


def _prices() -> dict[int, list[Rates]]:
    """By model, newest first; those that ended, or gave way to a newer one, are of no use to a new request."""
    found: dict[int, list[Rates]] = defaultdict(list)
    now = timezone.now()
    current: set[int] = set()
    lasting = Q(valid_until=None) | Q(valid_until__gt=now)
    for row in Price.objects.filter(lasting).order_by("-valid_from", "-id"):
        if row.model_id in current:
            continue
        if row.valid_from <= now and row.valid_until is None:
            current.add(row.model_id)
        try:
            found[row.model_id].append(rates_of(row))
        except ValueError as error:
            # Then nothing is known of what the model costs, which everybody is shown.
            log.error("price %s of model %s is left out: %s", row.pk, row.model_id, error)
    return found


def _grouped(pairs: Iterable[tuple[int, str]]) -> dict[int, list[str]]:
    groups: dict[int, list[str]] = defaultdict(list)
    for number, text in pairs:
        groups[number].append(text)
    return groups


class SnapshotStore:
    """The snapshot of this process and the watch that replaces it. One thread of its own does the database work."""

    def __init__(self, keys: KeyBook, breakers: Breakers | None = None) -> None:
        self.current = Snapshot()
        self.breakers = Breakers() if breakers is None else breakers
        self._keys = keys
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="snapshot")
        self._changes = KeyChanges()
        self._turn = asyncio.Lock()
        self._built = -REBUILD_SECONDS
        self._failing = False

    @property
    def loaded(self) -> bool:
        """Whether there is a configuration to decide by."""
        return self._built > 0

    async def refresh(self) -> None:
        """Be up to date, now. Waits when the last snapshot was made a moment ago."""
        async with self._turn:
            await asyncio.sleep(max(0.0, self._built + REBUILD_SECONDS - time.monotonic()))
            await self._poll()

    async def watch(self) -> None:
        """Once a second until cancelled: rebuild when the revision grew, forget keys that changed, note those used."""
        noted = time.monotonic()
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                async with self._turn:
                    await self._poll()
                if time.monotonic() - noted >= USED_SECONDS:
                    noted = time.monotonic()
                    await self._in_thread(self._keys.note_used)
                self._recovered()
            except DatabaseError as error:
                self._failed("the database cannot be asked for the configuration: %s", error)
            except Exception:
                # A configuration that cannot be compiled must not end the watch: the last good one stays.
                self._failed("the configuration cannot be compiled", exc_info=True)

    async def close(self) -> None:
        try:
            await self._in_thread(self._keys.note_used)
        except DatabaseError as error:
            log.warning("when keys were last used is not noted: %s", error)
        self._thread.submit(connections.close_all)
        self._thread.shutdown(wait=False)

    async def _poll(self) -> None:
        snapshot, changed = await self._in_thread(self._newer)
        for key_hash in changed:
            self._keys.forget(key_hash)
        if snapshot is not None:
            self.current = snapshot
            self._built = time.monotonic()
        await self._exchange_circuits()

    async def _exchange_circuits(self) -> None:
        noticed, self.breakers.changes = self.breakers.changes, []
        try:
            self.breakers.hear(await self._in_thread(lambda: circuits.exchange(noticed)))
        except DataError as error:
            log.error("%d changes of circuits cannot be written and are dropped: %s", len(noticed), error)
        except DatabaseError:
            self.breakers.changes[:0] = noticed[-MOST_CHANGES:]
            raise
        self.breakers.tidy(time.time())

    def _newer(self) -> tuple[Snapshot | None, list[str]]:
        changed = self._changes.read(time.monotonic())
        revision, release, _ = current_revision()
        if (revision, release) == (self.current.revision, self.current.release) and self.loaded:
            return None, changed
        return compile_snapshot(), changed

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, with_fresh_connection, work)

    def _failed(self, message: str, *words: object, exc_info: bool = False) -> None:
        """Said once, not once a second."""
        if not self._failing:
            log.error(message, *words, exc_info=exc_info)
        self._failing = True

    def _recovered(self) -> None:
        if self._failing:
            log.warning("the configuration is read again, revision %s", self.current.revision)
        self._failing = False


class KeyChanges:
    """Reads each change once. Rows may become visible out of order, so it looks back over what is not settled yet."""

    def __init__(self) -> None:
        self._settled: int | None = None  # nothing at or below this number can still appear
        self._recent: deque[tuple[float, int]] = deque()
        self._seen: set[int] = set()

    def read(self, now: float) -> list[str]:
        if self._settled is None:
            # Before the first look no key is held, so nothing has to be forgotten.
            self._settled = KeyChange.objects.aggregate(last=Max("id"))["last"] or 0
            return []
        rows = KeyChange.objects.filter(id__gt=self._settled).order_by("id").values_list("id", "hash")
        fresh = [(number, key_hash) for number, key_hash in rows if number not in self._seen]
        for number, _ in fresh:
            self._seen.add(number)
            self._recent.append((now, number))
        while self._recent and self._recent[0][0] < now - UNCOMMITTED_SECONDS:
            number = self._recent.popleft()[1]
            self._seen.discard(number)
            self._settled = max(self._settled, number)
        return [key_hash for _, key_hash in fresh]
