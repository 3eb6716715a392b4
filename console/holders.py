"""Whose keys may somebody see, make, change and end? Asked of a person, and of a key that manages keys.

A key never gets more than whoever makes it has: people make keys for teams they lead or, where the team allows it, for
themselves in it; a key that manages keys stays within its own team, models, rights and time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from django.db.models import Q, QuerySet

from billing.models import Budget, Team
from console.access import ACTIONS, can, memberships_of
from console.models import User
from routing.callers import Caller
from routing.models import ApiKey

SEE, CHANGE = "keys.see", "keys.change"
READS = ("requests.see", "models.see")  # what a key may do in the management API without being told
# What a key may be given in the management API, by the words of the form: its scopes.
RIGHTS: Mapping[str, tuple[str, ...]] = {"": (), "see": (*READS, SEE), "change": (*READS, SEE, CHANGE)}
LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrency")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who a key belongs to: a team, a person in it, or a person alone."""

    team: Team | None
    user: User | None

    @property
    def value(self) -> str:
        """As a form names it: `team:3`, `mine:3`, `mine:`."""
        return f"{'mine' if self.user else 'team'}:{self.team.pk if self.team else ''}"


class Keeper(Protocol):
    """Somebody who may deal with keys."""

    def visible(self) -> QuerySet[ApiKey]: ...

    def holders(self) -> list[Holder]: ...

    def may_change(self, key: ApiKey) -> bool: ...

    def may_end(self, key: ApiKey) -> bool: ...

    def may_grant(self, team: Team | None) -> bool: ...

    def faults(self, values: Mapping[str, Any]) -> dict[str, str]: ...


class Person:
    """Admins deal with all keys, leads with those of their teams, members with their own where the team allows it."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.sees_all = can(user, "keys.see_all")
        self.changes_all = user.is_active and user.role in ACTIONS[CHANGE]

    @property
    def makes_keys(self) -> bool:
        """For anybody at all."""
        return self.changes_all or bool(self.holders())

    def visible(self) -> QuerySet[ApiKey]:
        keys = ApiKey.objects.all()
        if self.sees_all:
            return keys
        return keys.filter(Q(user=self.user) | Q(team__in=[each.team_id for each in memberships_of(self.user)]))

    def holders(self) -> list[Holder]:
        """What a new key of theirs may belong to, the likeliest first."""
        if self.changes_all:
            teams = list(Team.objects.filter(archived_at=None))
            own = [each.team for each in memberships_of(self.user)]
            return [
                *(Holder(team, None) for team in teams),
                Holder(None, self.user),
                *(Holder(team, self.user) for team in own),
            ]
        memberships = memberships_of(self.user)
        return [
            *(Holder(each.team, None) for each in memberships if each.lead),
            *(Holder(each.team, self.user) for each in memberships if can(self.user, "keys.make_own", each.team)),
        ]

    def may_change(self, key: ApiKey) -> bool:
        if self.changes_all or can(self.user, CHANGE, key):
            return True
        if key.user_id != self.user.pk:
            return False
        return key.team is None or can(self.user, "keys.make_own", key.team)

    def may_end(self, key: ApiKey) -> bool:
        """One's own key can be ended whatever its team allows by now."""
        return key.user_id == self.user.pk or self.may_change(key)

    def may_grant(self, team: Team | None) -> bool:
        """Whether a key may manage other keys: only those that its maker manages."""
        return self.changes_all or (team is not None and can(self.user, CHANGE, team))

    def faults(self, values: Mapping[str, Any]) -> dict[str, str]:
        return {}


class Program:
    """A key with the right to see keys or to change them: those of its team, or its person's own."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.key = ApiKey.objects.select_related("team", "user").get(pk=caller.key_id)
        self.person = Person(self.key.user) if self.key.user is not None else None

    def visible(self) -> QuerySet[ApiKey]:
        keys = ApiKey.objects.filter(team=self.key.team)
        if self.person is None:
            return keys
        return keys.filter(user=self.key.user) if can(self.person.user, SEE) else keys.none()

    def holders(self) -> list[Holder]:
        mine = Holder(self.key.team, self.key.user)
        if self.person is not None and mine not in self.person.holders():
            return []
        return [mine]

    def may_change(self, key: ApiKey) -> bool:
        """Itself not: what it may must come from somebody else. And nothing that may more than it may."""
        if key.pk == self.key.pk or CHANGE not in self.caller.scopes or (self.person and not self.person.may_end(key)):
            return False
        return not self.faults(terms_of(key))

    def may_end(self, key: ApiKey) -> bool:
        return CHANGE in self.caller.scopes and (self.person is None or self.person.may_end(key))

    def may_grant(self, team: Team | None) -> bool:
        return CHANGE in self.caller.scopes

    def faults(self, values: Mapping[str, Any]) -> dict[str, str]:
        """What a key with these values could do that this one cannot, by field."""
        found = {}
        if self.key.allowed_models and not _within(values["allowed_models"], self.key.allowed_models):
            found["models"] = "It may use models that the key which asks for it may not use: list only those."
        if not set(values["scopes"]) <= set(self.key.scopes):
            found["rights"] = "It may do what the key which asks for it may not do."
        if self.key.expires_at is not None and not _ends_by(values["expires_at"], self.key.expires_at):
            found["ends_on"] = "It ends after the key which asks for it: name an earlier day."
        for limit in LIMITS:
            most, wanted = getattr(self.key, limit), values[limit]
            if most is not None and (wanted is None or wanted > most):
                found[limit] = f"The key which asks for it has a limit of {most:,} here: take that, or less."
        if Budget.objects.filter(scope_kind="key", scope_id=self.key.pk).exists():
            found["name"] = "The key which asks for it has a budget of its own, which other keys would get around."
        return found


def terms_of(key: ApiKey) -> dict[str, Any]:
    """What a key may, as forms and faults speak of it."""
    return {name: getattr(key, name) for name in ("allowed_models", "scopes", "expires_at", *LIMITS)}


def rights_of(key: ApiKey) -> str:
    """The word of the form for the key's scopes."""
    if CHANGE in key.scopes:
        return "change"
    return "see" if SEE in key.scopes else ""


def _within(wanted: Iterable[str], allowed: Iterable[str]) -> bool:
    wanted = set(wanted)
    return bool(wanted) and wanted <= set(allowed)


def _ends_by(wanted: Any, end: Any) -> bool:
    return wanted is not None and wanted <= end
