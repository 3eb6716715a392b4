"""Making a key, changing it, giving it another secret and ending it: each with its line in the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from billing.costs import decimal
from billing.models import Budget
from console.audit import Named, fields_of, record
from console.holders import LIMITS, Holder
from console.models import AuditEntry, User
from routing.keys import create_key, remove_budget, revoke, set_budget
from routing.models import ApiKey
from routing.rotation import end_former_secrets, rotate

FIELDS = (
    "name", "allowed_models", "scopes", "use_case", "tier", *LIMITS, "expires_at", "allowed_origins", "keeps_content",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it, for the audit log: a person, or a key by its name."""

    user: User | None = None
    name: str = ""
    request: HttpRequest | None = None

    def record(self, verb: str, obj: Any, **changes: Any) -> AuditEntry:
        return record(self.user, verb, obj, request=self.request, actor_name=self.name, **changes)


def create(
    actor: Actor, holder: Holder, values: Mapping[str, Any], budget: dict[str, Any] | None
) -> tuple[ApiKey, str]:
    """`values` are those of FIELDS; `budget` what `set_budget` takes. A ValueError says what is wrong with that."""
    with transaction.atomic():
        key, secret = create_key(
            values["name"],
            team=holder.team,
            user=holder.user,
            allowed_models=values["allowed_models"],
            scopes=values["scopes"],
            expires_at=values["expires_at"],
            created_by=actor.user,
        )
        _set(key, values)
        _budget(key, budget)
        actor.record("create", _named(key), after=_told(key) | {"team": key.team, "person": key.user})
    return key, secret


def change(actor: Actor, key: ApiKey, values: Mapping[str, Any], budget: dict[str, Any] | None) -> bool:
    """Whether anything is another thing now."""
    with transaction.atomic():
        before = _told(key)
        _set(key, values)
        _budget(key, budget)
        after = _told(key)
        if after != before:
            actor.record("change", _named(key), before=before, after=after)
    return after != before


def renew(actor: Actor, key: ApiKey, overlap: timedelta) -> str:
    """The key's new secret. The old one goes on for so long; `rotation.Ended` where the key does not."""
    now, before = timezone.now(), {"ends_in": key.last_four}
    with transaction.atomic():
        secret = rotate(key, overlap, now)
        actor.record("rotate", _named(key), before=before, after={"ends_in": key.last_four, "old_until": now + overlap})
    return secret


def end_old(actor: Actor, key: ApiKey) -> int:
    """The former secrets open the key no more. How many did."""
    with transaction.atomic():
        ended = end_former_secrets(key, timezone.now())
        if ended:
            actor.record("end", _named(key), note="former secrets")
    return ended


def end(actor: Actor, key: ApiKey) -> bool:
    """For good. Whether it was not over before."""
    with transaction.atomic():
        held = ApiKey.objects.select_for_update().get(pk=key.pk)
        if held.revoked_at is not None:
            return False
        revoke(key, timezone.now())
        actor.record("revoke", _named(key), before={"revoked_at": None}, after=fields_of(key, "revoked_at"))
    return True


def budget_of(key: ApiKey) -> Budget | None:
    return Budget.objects.filter(scope_kind="key", scope_id=key.pk).first()


def is_live(key: ApiKey, now: datetime) -> bool:
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > now)


def _set(key: ApiKey, values: Mapping[str, Any]) -> None:
    changed = [name for name in FIELDS if getattr(key, name) != values[name]]
    for name in changed:
        setattr(key, name, values[name])
    if changed:
        key.save(update_fields=changed)


def _budget(key: ApiKey, wanted: dict[str, Any] | None) -> None:
    held = budget_of(key)
    if wanted is None:
        if held is not None:
            remove_budget(key)
    elif held is None or any(getattr(held, _COLUMNS.get(name, name)) != value for name, value in wanted.items()):
        kept: dict[str, Any] = {"currency": held.currency, "zone": held.time_zone, "demo": held.demo} if held else {}
        set_budget(key, **{**kept, **wanted})


_COLUMNS = {"zone": "time_zone"}


def _told(key: ApiKey) -> dict[str, Any]:
    budget = budget_of(key)
    words = f"{decimal(budget.limit_nano)} {budget.currency} {budget.period} {budget.at_limit}" if budget else None
    return fields_of(key, *FIELDS) | {"budget": words}


def _named(key: ApiKey) -> Named:
    """By its name, which people know it by."""
    return Named("apikey", str(key.pk), f"{key.name} ({key})")
