"""The first person: a one-time code printed at start makes whoever opens its link the owner."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from billing.models import Membership, Organisation, Team
from console.models import ClaimCode, Role, User
from console.tokens import hash_token, new_token

LIFETIME = timedelta(hours=24)


class AlreadyClaimed(Exception):
    """Somebody else finished first."""


@dataclass(frozen=True, slots=True)
class Founding:
    """What the welcome page asks."""

    name: str
    email: str
    password: str
    organisation: str
    time_zone: str
    currency: str
    language: str
    team: str


def new_claim_code(now: datetime) -> str:
    """A fresh code; the ones before it end."""
    code = new_token()
    with transaction.atomic():
        ClaimCode.objects.filter(used_at=None).delete()
        ClaimCode.objects.create(code_hash=hash_token(code), created_at=now, expires_at=now + LIFETIME)
    return code


def open_code(code: str, now: datetime) -> ClaimCode | None:
    return ClaimCode.objects.filter(code_hash=hash_token(code), used_at=None, expires_at__gt=now).first()


def is_claimed() -> bool:
    return Organisation.get().claimed_at is not None


def found(code: ClaimCode, founding: Founding, now: datetime) -> tuple[User, Team]:
    """Make the owner, the organisation and its first team, or nothing at all. Two browsers: the first one wins."""
    Organisation.get()
    with transaction.atomic():
        if not ClaimCode.objects.filter(pk=code.pk, used_at=None, expires_at__gt=now).update(used_at=now):
            raise AlreadyClaimed
        if not Organisation.objects.filter(id=1, claimed_at=None).update(claimed_at=now):
            raise AlreadyClaimed
        house = Organisation.get()
        house.name = founding.organisation
        house.time_zone = founding.time_zone
        house.currency = founding.currency
        house.language = founding.language
        house.save(update_fields=["name", "time_zone", "currency", "language"])
        owner = User.objects.create_user(founding.email, founding.password, name=founding.name, role=Role.OWNER)
        team = Team.objects.filter(name=founding.team).first() or Team.objects.create(name=founding.team)
        Membership.objects.create(team=team, user=owner, lead=True)
    return owner, team
