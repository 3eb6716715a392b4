"""What the house has now, as plain values: the one place where configuration is read from the database for a plan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from django.db.models import Model, Prefetch

from billing.models import Membership, Organisation, Price, Team
from console.configuration.checking import PRICES, VARIANTS
from console.configuration.values import House, KeyHeld, ModelHeld, PriceHeld, ProviderHeld, TeamHeld, Thing
from console.models import User
from providers.models import Credential, FormerSlug, LanguageModel, ModelAlias, Provider
from providers.vault import SealBroken
from routing.models import ApiKey, Experiment, Flag, Route, Tier, UseCase

ORGANISATION = ("name", "label", "time_zone", "currency", "language", "default_model")
LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrency")
PROVIDER = (
    "name", "kind", "base_url", "enabled", "priority", "options", "timeout_seconds", "inactive_reason", "data_region",
    "trains_on_data", *LIMITS,
)  # fmt: skip
MODEL = ("name", "use", "active", "only_as_fallback", "context", "max_output", "capabilities")
PRICE = (*PRICES.values(), *VARIANTS, "currency", "valid_until", "source")
TEAM = ("name", "description", "default_model", "members_make_keys", "data_policy", "keeps_content", *LIMITS)
# What is a row of a list: its model, what it is called by, and its columns.
ROWS: Mapping[Thing, tuple[type[Model], str, tuple[str, ...]]] = {
    Thing.USE_CASE: (UseCase, "slug", ("name", "description", "tier", "position")),
    Thing.TIER: (Tier, "slug", ("name", "most_nano", "currency", "position")),
    Thing.ROUTE: (Route, "name", ("position", "enabled", "when", "chain")),
    Thing.FLAG: (Flag, "key", ("description", "enabled", "governs", "share", "unit", "salt", "rules")),
    Thing.EXPERIMENT: (
        Experiment, "key", ("hypothesis", "enabled", "use_case", "tier", "arms", "unit", "salt", "when"),
    ),
}  # fmt: skip


def read_house() -> House:
    """Seventeen queries, whatever there is."""
    house = Organisation.objects.filter(id=1).first() or Organisation(id=1)
    return House(
        organisation=_fields(house, ORGANISATION),
        providers={held.slug: held for held in _providers()},
        aliases={
            alias.name: (alias.model.provider.slug, alias.model.model_id)
            for alias in ModelAlias.objects.select_related("model__provider")
        },
        teams={held.name: held for held in _teams()},
        rows={thing: _rows(thing) for thing in ROWS},
        meant_by_keys=_meant_by_keys(),
        people=frozenset(
            email.lower() for email in User.objects.filter(is_active=True).values_list("email", flat=True)
        ),
    )


def _providers() -> list[ProviderHeld]:
    keys: dict[int, Credential] = {}
    for key in Credential.objects.order_by("-id"):
        if key.pk and (key.provider_id not in keys or key.name == "default" or keys[key.provider_id].name != "default"):
            keys[key.provider_id] = key
    former: dict[int, set[str]] = defaultdict(set)
    for number, slug in FormerSlug.objects.values_list("provider_id", "slug"):
        former[number].add(slug)
    models = _models()
    return [
        ProviderHeld(
            slug=row.slug,
            fields=_fields(row, PROVIDER),
            key=_key(keys.get(row.pk)),
            models=models[row.pk],
            listed=row.models_read_at is not None,
            former_slugs=frozenset(former[row.pk]),
        )
        for row in Provider.objects.by_priority()
    ]


def _key(row: Credential | None) -> KeyHeld | None:
    if row is None or not (row.variable or row.sealed):
        return None
    if row.variable:
        return KeyHeld(variable=row.variable)
    try:
        secret = row.reveal()
    except SealBroken:
        secret = ""  # whatever the file gives is another one
    return KeyHeld(last_four=row.last_four, secret=secret)


def _models() -> dict[int, dict[str, ModelHeld]]:
    prices: dict[int, list[PriceHeld]] = defaultdict(list)
    for row in Price.objects.order_by("-valid_from", "-id"):
        prices[row.model_id].append(PriceHeld(row.pk, row.valid_from, _fields(row, PRICE)))
    found: dict[int, dict[str, ModelHeld]] = defaultdict(dict)
    for model in LanguageModel.objects.order_by("model_id"):
        held = ModelHeld(_fields(model, MODEL), model.listed, tuple(prices[model.pk]))
        found[model.provider_id][model.model_id] = held
    return found


def _teams() -> list[TeamHeld]:
    members = Prefetch("memberships", Membership.objects.select_related("user"))
    return [
        TeamHeld(
            name=team.name,
            fields=_fields(team, TEAM),
            members={each.user.email.lower(): each.lead for each in team.memberships.all()},
            archived=team.archived_at is not None,
        )
        for team in Team.objects.order_by("name").prefetch_related(members)
    ]


def _meant_by_keys() -> dict[Thing, frozenset[str]]:
    pairs = list(ApiKey.objects.filter(revoked_at=None).order_by().values_list("use_case", "tier").distinct())
    return {
        Thing.USE_CASE: frozenset(use_case for use_case, _ in pairs if use_case),
        Thing.TIER: frozenset(tier for _, tier in pairs if tier),
    }


def _rows(thing: Thing) -> dict[str, dict[str, Any]]:
    model, key, names = ROWS[thing]
    found = {getattr(row, key): _fields(row, names) for row in model._default_manager.all()}
    if thing is Thing.ROUTE:
        for name, use_case, tier in Route.objects.values_list("name", "use_case__slug", "tier__slug"):
            found[name] |= {"use_case": use_case, "tier": tier or ""}
    return found


def _fields(row: Model, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}
