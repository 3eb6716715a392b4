"""A colleague is asked in with a link. The link works once, for seven days, and only its hash is kept."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from billing.models import Membership, Organisation, Team
from console.mail import send
from console.models import Invitation, User
from console.tokens import hash_token, new_token

LIFETIME = timedelta(days=7)


class Taken(Exception):
    """There is an account with this address already, or the link was used a moment ago."""


def open_invitations(now: datetime) -> QuerySet[Invitation]:
    return Invitation.objects.filter(accepted_at=None, withdrawn_at=None, expires_at__gt=now)


def pending_invitations() -> QuerySet[Invitation]:
    """Those still waiting for an answer, also the ones that ended."""
    return Invitation.objects.filter(accepted_at=None, withdrawn_at=None)


def invite(
    email: str, role: str, teams: Iterable[Team], invited_by: User | None, now: datetime
) -> tuple[Invitation, str]:
    """An invitation and its token. An earlier one to the same address ends."""
    email = email.strip().lower()
    token = new_token()
    with transaction.atomic():
        if User.objects.filter(email__iexact=email).exists():
            raise Taken
        pending_invitations().filter(email__iexact=email).update(withdrawn_at=now)
        invitation = Invitation.objects.create(
            email=email,
            role=role,
            token_hash=hash_token(token),
            invited_by=invited_by,
            created_at=now,
            expires_at=now + LIFETIME,
        )
        invitation.teams.set(teams)
    return invitation, token


def renew(invitation: Invitation, now: datetime) -> str:
    """A new link for another seven days; the old one ends."""
    token = new_token()
    invitation.token_hash = hash_token(token)
    invitation.expires_at = now + LIFETIME
    invitation.save(update_fields=["token_hash", "expires_at"])
    return token


def withdraw(invitation: Invitation, now: datetime) -> bool:
    return bool(pending_invitations().filter(pk=invitation.pk).update(withdrawn_at=now))


def find(token: str, now: datetime) -> Invitation | None:
    return open_invitations(now).filter(token_hash=hash_token(token)).select_related("invited_by").first()


def accept(invitation: Invitation, name: str, password: str | None, now: datetime) -> User:
    """The account behind an invitation. Without a password it is one for the company's sign-in only."""
    try:
        with transaction.atomic():
            if not open_invitations(now).filter(pk=invitation.pk).update(accepted_at=now):
                raise Taken
            user = User.objects.create_user(invitation.email, password, name=name, role=invitation.role)
            teams = invitation.teams.filter(archived_at=None)
            Membership.objects.bulk_create([Membership(team=team, user=user) for team in teams])
    except IntegrityError:
        raise Taken from None
    return user


def address(token: str, request: HttpRequest | None = None) -> str:
    """The link as a person can open it."""
    return absolute(reverse("invitation-accept", args=[token]), request)


def absolute(path: str, request: HttpRequest | None = None) -> str:
    if settings.SITE_URL:
        return str(settings.SITE_URL).rstrip("/") + path
    return request.build_absolute_uri(path) if request else f"http://127.0.0.1:8000{path}"


def mail(invitation: Invitation, link: str) -> bool:
    context = {"invitation": invitation, "link": link, "organisation": Organisation.get(), "days": LIFETIME.days}
    return send("invitation", [invitation.email], context)
