"""What a program may ask about the house in plain words: who there is, what for, and what its team has spent."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from django.conf import settings
from django.db.models import Count, F, Q, Sum
from django.utils import timezone

from billing.costs import MILLION, NANO, Rates
from billing.models import LedgerEntry, Organisation, Request
from providers.registry import KINDS
from routing.callers import Caller
from routing.decisions import PRICE_UNKNOWN
from routing.engine import named
from routing.obstacles import answers, may_use
from routing.snapshot import ModelEntry, ProviderEntry, RouteEntry, Snapshot

TOKENS = ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "audio_tokens")
MOST_ROWS = 200


def providers_body(snapshot: Snapshot, caller: Caller) -> bytes:
    """Every provider in order of priority, then every kind that nobody has connected."""
    connected = [
        _provider(each, snapshot, caller) for each in snapshot.providers.values() if answers(each, caller.team_id)
    ]
    there = {each.kind.slug for each in snapshot.providers.values()}
    missing = [
        {
            "name": kind.slug,
            "status": "inactive",
            "reason": kind.retired or "not connected: API key missing",
            "models": [],
        }
        if kind.key_required
        else {"name": kind.slug, "status": "inactive", "reason": kind.retired or "not connected", "models": []}
        for kind in KINDS.values()
        if kind.slug not in there
    ]
    return orjson.dumps({"providers": connected + missing})


def _provider(provider: ProviderEntry, snapshot: Snapshot, caller: Caller) -> dict[str, Any]:
    reason = provider.inactive_reason if provider.enabled else "switched off"
    told: dict[str, Any] = {"name": provider.slug, "status": "inactive" if reason else "active"}
    if reason:
        return told | {"reason": reason, "models": []}
    models = [
        model.model_id
        for (slug, _), model in snapshot.models.items()
        if slug == provider.slug and model.offered and may_use(model, caller.allowed_models)
    ]
    return told | {"models": models}


def use_cases_body(snapshot: Snapshot) -> bytes:
    routing = snapshot.routing
    cases = []
    for case in routing.use_cases.values():
        rows = routing.rows.get((case.slug, case.tier), ()) + routing.rows.get((case.slug, ""), ())
        cases.append(
            {"use_case": case.slug, "name": case.name, **_row(rows[0] if rows else None), "tier": case.tier or None}
        )
    tiers = [
        {
            "tier": tier.slug,
            "name": tier.name,
            "max_cost_per_request": None if tier.most_nano is None else tier.most_nano / NANO,
            "currency": tier.currency,
        }
        for tier in routing.tiers.values()
    ]
    return orjson.dumps({"use_cases": cases, "tiers": tiers})


def _row(row: RouteEntry | None) -> dict[str, Any]:
    if row is None:
        return {"primary": None, "fallback": None, "connected": False}
    fallbacks = row.chain.fallbacks
    return {
        "primary": row.chain.first[0],
        "fallback": fallbacks[0].target if fallbacks else None,
        "connected": any(row.targets.values()),
    }


# -- what was spent ------------------------------------------------------------------


def cost_summary(caller: Caller, snapshot: Snapshot, now: datetime | None = None) -> dict[str, Any]:
    """Of the key's team, or of its person, in the running month of the house. Reads the database."""
    zone = ZoneInfo(Organisation.get().time_zone)
    now = (now or timezone.now()).astimezone(zone)
    since = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    whose = {"team_id": caller.team_id} if caller.team_id is not None else {"user_id": caller.user_id}
    entries = LedgerEntry.objects.real().filter(started_at__gte=since.astimezone(UTC), **whose)
    requests = Request.objects.real().filter(started_at__gte=since.astimezone(UTC), **whose)
    counted = requests.aggregate(all=Count("id"), rerouted=Count("id", filter=Q(attempts__gt=1, status="ok")))
    tokens = entries.aggregate(**{name: Sum(name, default=0) for name in TOKENS})
    return {
        "month": f"{since:%Y-%m}",
        "time_zone": str(zone),
        "requests": counted["all"],
        "tokens": {name.removesuffix("_tokens"): tokens[name] for name in TOKENS} | {"total": sum(tokens.values())},
        "cost": _amounts(entries),
        "by_provider": _grouped(entries, "provider"),
        "by_use_case": _grouped(entries, "use_case"),
        "fallback_rate": round(counted["rerouted"] / counted["all"], 4) if counted["all"] else 0.0,
        "savings": _savings(entries, snapshot, caller, now),
    }


def _amounts(entries: Any) -> dict[str, str | None]:
    """By currency, as text. Entries that nobody could price are counted beside it."""
    sums = entries.exclude(amount_nano=None).values("currency").annotate(sum=Sum("amount_nano")).order_by("currency")
    told: dict[str, Any] = {row["currency"] or "none": _text(row["sum"]) for row in sums}
    unpriced = entries.filter(amount_nano=None).count()
    return told | ({PRICE_UNKNOWN: unpriced} if unpriced else {})


def _grouped(entries: Any, by: str) -> list[dict[str, Any]]:
    whole = sum((F(name) for name in TOKENS[1:]), F(TOKENS[0]))
    rows = entries.values(by, "currency").annotate(
        requests=Count("request_id", distinct=True), tokens=Sum(whole, default=0), sum=Sum("amount_nano")
    )
    return [
        {
            by: row[by] or None,
            "currency": row["currency"] or None,
            "cost": None if row["sum"] is None else _text(row["sum"]),
            "requests": row["requests"],
            "tokens": row["tokens"],
        }
        for row in rows.order_by(by, "currency")[:MOST_ROWS]
    ]


def _savings(entries: Any, snapshot: Snapshot, caller: Caller, now: datetime) -> dict[str, Any] | None:
    """Against a baseline: the same tokens at its list price. Only what is owed in its currency can be compared."""
    found = _baseline(snapshot, caller, now.timestamp())
    if found is None:
        return None
    model, rates = found
    same = entries.filter(currency=rates.currency).exclude(amount_nano=None)
    sums = same.aggregate(**{name: Sum(name, default=0) for name in TOKENS}, spent=Sum("amount_nano", default=0))
    instead = _at_list_price(sums, rates)
    return {
        "baseline": model.string,
        "currency": rates.currency,
        "baseline_cost": _text(instead),
        "saved": _text(instead - sums["spent"]),
        "method": "the same tokens at the list price of the baseline, nothing cached",
    }


def _baseline(snapshot: Snapshot, caller: Caller, now: float) -> tuple[ModelEntry, Rates] | None:
    """The model that is set, or the dearest one that the key could use instead."""
    if settings.BASELINE_MODEL:
        found = named(settings.BASELINE_MODEL, snapshot)
        models = found[1][:1] if found else ()
    else:
        models = tuple(
            model
            for model in snapshot.models.values()
            if model.offered and model.use == "chat" and may_use(model, caller.allowed_models)
        )
    priced = [(model, rates) for model in models if (rates := model.rates_at(now)) is not None]
    return max(priced, key=lambda pair: pair[1].dearest, default=None)


def _at_list_price(sums: dict[str, int], rates: Rates) -> int:
    going_in, coming_out = sum(sums[name] for name in TOKENS[:3]), sum(sums[name] for name in TOKENS[3:5])
    return (going_in * rates.nano[0] + coming_out * rates.nano[3]) // MILLION


def _text(nano: int) -> str:
    return f"{Decimal(nano) / NANO:f}"
