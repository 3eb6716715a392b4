"""`manage.py invite`: the link with which a colleague comes in, alone on standard output."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from billing.models import Team
from console import invitations
from console.audit import record_command
from console.models import Role


class Command(BaseCommand):
    help = "Makes an invitation and prints its link. An earlier one to the same address ends."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--role", choices=Role.values, default=Role.MEMBER, help="default: member")
        parser.add_argument("--team", action="append", default=[], metavar="NAME", help="may be given several times")
        parser.add_argument("--mail", action="store_true", help="mail it as well, where EMAIL_URL is set")

    def handle(self, *args: Any, **options: Any) -> None:
        email = options["email"].strip().lower()
        try:
            validate_email(email)
        except ValidationError:
            raise CommandError(f"'{email}' is not an email address.") from None
        teams = [self.team(name) for name in options["team"]]
        try:
            with transaction.atomic():
                invitation, token = invitations.invite(email, options["role"], teams, None, timezone.now())
                after = {"role": invitation.role, "teams": [team.name for team in teams]}
                record_command("invite", "invite", invitation, after=after)
        except invitations.Taken:
            raise CommandError(f"There is an account with the address {email} already.") from None
        link = invitations.address(token)
        if options["mail"]:
            sent = invitations.mail(invitation, link)
            self.stderr.write("Mailed." if sent else "Not mailed: EMAIL_URL is not set, or the server refused.")
        days = invitations.LIFETIME.days
        self.stderr.write(f"{email}, {invitation.get_role_display()}. The link works once, for {days} days.")
        self.stdout.write(link)

    def team(self, name: str) -> Team:
        found = Team.objects.filter(Q(name__iexact=name) | Q(slug=name), archived_at=None).first()
        if found is None:
            known = ", ".join(Team.objects.filter(archived_at=None).values_list("name", flat=True)[:20])
            raise CommandError(
                f"There is no team '{name}'. " + (f"There are: {known}." if known else "There is none yet.")
            )
        return found
