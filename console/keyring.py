"""The keys of one provider: adding one, putting one in another's place, and what state each is in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console.connecting import check, keep_key, with_variable
from console.drafts import Draft, draft_of
from providers.listing import refresh_models
from providers.models import Credential, Provider
from providers.registry import Kind

SOON = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class State:
    badge: str  # ok, warn, bad, or nothing
    words: str | Promise


def state_of(key: Credential, now: datetime) -> State:
    if not key.enabled:
        return State("", _("Off"))
    if key.valid_until is not None and key.valid_until <= now:
        return State("", _("Ended"))
    if key.problem:
        return State("bad", _("Refused"))
    if key.valid_until is not None:
        return State("warn", _("Being replaced"))
    return State("ok", _("In use"))


def add(provider: Provider, name: str, draft: Draft, weight: int) -> Credential:
    with transaction.atomic():
        key = keep_key(Credential(provider=provider, name=name, weight=weight), draft)
        _hopeful(provider)
    return key


def replace(old: Credential, draft: Draft, until: datetime) -> Credential:
    """The new key takes the old one's name and weight; both are used until then. In one transaction."""
    with transaction.atomic():
        old = Credential.objects.select_for_update().get(pk=old.pk)
        name = old.name
        old.name = free_name(old.provider, f"{name[:60]} (old)")
        old.valid_until = min(until, old.valid_until) if old.valid_until else until
        old.save()
        new = Credential(provider=old.provider, name=name, weight=old.weight, rotated_at=timezone.now())
        keep_key(new, draft)
        _hopeful(old.provider)
    return new


def free_name(provider: Provider, name: str) -> str:
    taken = set(provider.credentials.values_list("name", flat=True))
    numbered = (f"{name[:74]} {number}" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(each for each in numbered if each not in taken)


def _hopeful(provider: Provider) -> None:
    """A provider that was refused for its key may be asked again."""
    if provider.inactive_reason:
        provider.inactive_reason = ""
        provider.save(update_fields=["inactive_reason"])


def try_key(draft: Draft) -> str:
    """What is wrong with it, in words; empty when it is accepted."""
    for line in ("reached", "key"):
        told = check(with_variable(draft), line)
        if not told.ok:
            return f"{told.words}. {told.trouble.remedy}" if told.trouble else told.words
    return ""


def with_key(provider: Provider, kind: Kind, key: Credential | None) -> Draft:
    """The provider as a draft with this key of it. Raises SealBroken."""
    return draft_of(provider, kind, key.reveal() if key else "")


def lasting(provider: Provider, now: datetime) -> list[Credential]:
    """Those that requests may use now."""
    keys = provider.credentials.filter(enabled=True).order_by("id")
    return [key for key in keys if key.valid_until is None or key.valid_until > now]


def note_problem(key: Credential, problem: str) -> None:
    """What its provider said of it. A note, which decisions do not read."""
    Credential.objects.filter(pk=key.pk).update(problem=problem[:300])


def move(provider: Provider, draft: Draft, options: dict[str, object]) -> None:
    """To another address, with a secret of its own: the keys there were stay behind and are gone."""
    with transaction.atomic():
        provider.credentials.all().delete()
        provider.base_url = draft.base_url
        provider.options = options
        provider.inactive_reason = ""
        provider.save()
        if draft.secret or draft.variable:
            keep_key(Credential(provider=provider), draft)
    refresh_models(provider)
