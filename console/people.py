"""Changes to people and teams that touch more than one row, each whole or not at all."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from allauth.account.forms import EmailAwarePasswordResetTokenGenerator
from allauth.account.utils import user_pk_to_url_str
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, Max, OuterRef, Prefetch, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from billing.models import Membership, Team
from console.access import can, can_give
from console.invitations import absolute, pending_invitations
from console.models import Role, User
from routing.models import ApiKey


class NotPossible(Exception):
    """Why not, in words for the person who tried."""


def listed_people() -> QuerySet[User]:
    """People with what the list shows: their live teams, two-factor, when last seen."""
    memberships = Membership.objects.filter(team__archived_at=None).select_related("team").order_by("team__name")
    return User.objects.annotate(
        two_factor=Exists(Authenticator.objects.filter(user=OuterRef("pk"), type=Authenticator.Type.TOTP)),
        seen_at=Max("usersession__last_seen_at"),
    ).prefetch_related(Prefetch("memberships", memberships))


def listed_teams(teams: QuerySet[Team], now: datetime) -> QuerySet[Team]:
    live = Q(api_keys__revoked_at=None) & (Q(api_keys__expires_at=None) | Q(api_keys__expires_at__gt=now))
    leads = Membership.objects.filter(lead=True, user__is_active=True).select_related("user")
    return teams.annotate(
        people=Count("memberships", filter=Q(memberships__user__is_active=True), distinct=True),
        keys=Count("api_keys", filter=live, distinct=True),
    ).prefetch_related(Prefetch("memberships", leads, to_attr="leads"))


def counts() -> dict[str, int]:
    """How many are behind each chip of the list."""
    people = User.objects.aggregate(
        active=Count("pk", filter=Q(is_active=True)), inactive=Count("pk", filter=Q(is_active=False))
    )
    return people | {"invited": pending_invitations().count()}


def team_counts(teams: QuerySet[Team]) -> dict[str, int]:
    # Teams of a lead come through a join; each must count once.
    return teams.aggregate(
        live=Count("pk", filter=Q(archived_at=None), distinct=True),
        archived=Count("pk", filter=Q(archived_at__isnull=False), distinct=True),
    )


def change_role(actor: User, person: User, role: str) -> None:
    if not can(actor, "people.change", person) or not can_give(actor, role):
        raise NotPossible(_("Only somebody with that role, or a higher one, can give it."))
    with transaction.atomic():
        person = User.objects.select_for_update().get(pk=person.pk)
        if person.role == Role.OWNER and role != Role.OWNER:
            _keep_an_owner(person)
        person.role = role
        person.save(update_fields=["role"])


def deactivate(actor: User, person: User, now: datetime) -> list[ApiKey]:
    """Sign the person out everywhere and end their own keys, which are returned. Rooms and teams stay as they are."""
    if not can(actor, "people.change", person):
        raise NotPossible(_("Only somebody with that role, or a higher one, can deactivate this person."))
    if actor.pk == person.pk:
        raise NotPossible(_("You cannot deactivate yourself. Ask another owner or admin."))
    with transaction.atomic():
        if person.role == Role.OWNER:
            _keep_an_owner(person)
        User.objects.filter(pk=person.pk).update(is_active=False)
        keys = _end_keys(ApiKey.objects.filter(user=person), now)
    end_sessions(person)
    return keys


def reactivate(actor: User, person: User) -> None:
    if not can(actor, "people.change", person):
        raise NotPossible(_("Only somebody with that role, or a higher one, can activate this person."))
    User.objects.filter(pk=person.pk).update(is_active=True)


def archive(team: Team, now: datetime) -> list[ApiKey]:
    """Close a team and end its keys, which are returned."""
    with transaction.atomic():
        team.archived_at = now
        team.save(update_fields=["archived_at"])
        return _end_keys(ApiKey.objects.filter(team=team), now)


def restore(team: Team) -> None:
    team.archived_at = None
    team.save(update_fields=["archived_at"])


def end_sessions(person: User, but: str | None = None) -> int:
    """Sign a person out of every browser, or of every other one. How many."""
    sessions = UserSession.objects.filter(user=person).exclude(session_key=but or "")
    ended = list(sessions)
    for session in ended:
        session.end()
    return len(ended)


def reset_link(person: User, request: HttpRequest | None = None) -> str:
    """Where this person sets a new password. It works once, for as long as Django's own reset links do."""
    key = f"{user_pk_to_url_str(person)}-{EmailAwarePasswordResetTokenGenerator().make_token(person)}"
    return reset_address(key, request)


def reset_address(key: str, request: HttpRequest | None = None) -> str:
    uid, __, token = key.partition("-")
    return absolute(reverse("account_reset_password_from_key", kwargs={"uidb36": uid, "key": token}), request)


def reset_hours() -> int:
    return int(settings.PASSWORD_RESET_TIMEOUT // 3600)


def owners() -> QuerySet[User]:
    return User.objects.filter(role=Role.OWNER, is_active=True)


def _keep_an_owner(person: User) -> None:
    """Locks the owners, so that two of them cannot step down at the same moment."""
    others = [owner for owner in owners().select_for_update() if owner.pk != person.pk]
    if not others:
        raise NotPossible(_("This is the last owner. Make somebody else an owner first."))


def _end_keys(keys: QuerySet[ApiKey], now: datetime) -> list[ApiKey]:
    ended = list(keys.live(now))  # type: ignore[attr-defined]
    for key in ended:
        key.revoked_at = now
        key.save(update_fields=["revoked_at"])  # one by one: each save tells every process to forget the key
    return ended


def effect_of_leaving(person: User, now: datetime) -> dict[str, Any]:
    """What the confirmation says before somebody is deactivated."""
    return {
        "keys": ApiKey.objects.live(now).filter(user=person).count(),
        "rooms": person.rooms.filter(deleted_at=None).count(),
        "teams": person.memberships.filter(team__archived_at=None).count(),
        "sessions": UserSession.objects.filter(user=person).count(),
    }


def effect_of_archiving(team: Team, now: datetime) -> dict[str, Any]:
    return {
        "keys": ApiKey.objects.live(now).filter(team=team).count(),
        "members": team.memberships.count(),
        "rooms": team.rooms.filter(deleted_at=None).count(),
        "invitations": team.invitations.filter(accepted_at=None, withdrawn_at=None, expires_at__gt=now).count(),
    }
