"""`manage.py key`: make, list and end API keys. A new secret stands alone on standard output, once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from billing.ids import new_request_id
from billing.models import Team
from console import keys as secrets_of_the_house
from console.audit import fields_of, record_command
from console.models import User
from routing.asks import Ask
from routing.compiler import compile_snapshot
from routing.decisions import Live
from routing.engine import decide
from routing.keys import SHOWN_CHARACTERS, create_key, revoke
from routing.models import ApiKey

LONGEST_LIFE_DAYS = 36_500


class Command(BaseCommand):
    help = "Makes, lists and ends API keys for the gateway."

    def add_arguments(self, parser: CommandParser) -> None:
        tasks = parser.add_subparsers(dest="task", required=True, metavar="create|list|revoke")
        create = tasks.add_parser("create", help="make a key and print its secret, once, alone on standard output")
        create.add_argument("--name", required=True, help="what the key is for")
        create.add_argument("--team", help="the team that pays; it is made when there is none of that name")
        create.add_argument("--person", metavar="EMAIL", help="the person whose key it is")
        create.add_argument("--models", nargs="+", default=[], metavar="MODEL", help="all it may use; default: any")
        create.add_argument("--expires", type=int, metavar="DAYS", help="end it after so many days; default: never")
        tasks.add_parser("list", help="every key with its state")
        end = tasks.add_parser("revoke", help="end a key")
        end.add_argument("key", metavar="PREFIX_OR_ID", help="the beginning of the secret, or the number in `key list`")

    def handle(self, *args: Any, **options: Any) -> None:
        match options["task"]:
            case "create":
                self.create(options)
            case "list":
                self.list()
            case "revoke":
                self.revoke(options["key"])

    def create(self, options: dict[str, Any]) -> None:
        name = options["name"].strip()
        if not name or len(name) > 80:
            raise CommandError("--name needs 1 to 80 characters.")
        if not options["team"] and not options["person"]:
            raise CommandError("Whose key is it? Name a --team, a --person, or both.")
        days = options["expires"]
        if days is not None and not 0 < days <= LONGEST_LIFE_DAYS:
            raise CommandError(f"--expires takes 1 to {LONGEST_LIFE_DAYS} days.")
        secrets_of_the_house.ensure()
        self.warn_of_unknown(options["models"])
        with transaction.atomic():
            key, secret = create_key(
                name,
                team=_team(options["team"]) if options["team"] else None,
                user=_person(options["person"]) if options["person"] else None,
                allowed_models=options["models"],
                expires_at=timezone.now() + timedelta(days=days) if days else None,
            )
            after = fields_of(key, "name", "allowed_models", "expires_at") | {"team": key.team, "person": key.user}
            record_command("key", "create", key, after=after)
        self.stdout.write(secret)

    def warn_of_unknown(self, models: list[str]) -> None:
        """A key may be made before its models are there, but a slip should not go unseen."""
        snapshot = compile_snapshot()
        for model in models:
            ask = Ask(new_request_id(), model, purpose="system")
            problem = decide(ask, snapshot, Live(), now=timezone.now()).problem
            if problem is not None and problem.code in ("model_not_found", "invalid_model_string"):
                self.stderr.write(f"Note: {problem.message}")

    def list(self) -> None:
        now = timezone.now()
        rows: list[tuple[str, ...]] = [("id", "key", "name", "team", "person", "models", "state", "last used")]
        rows += [_row(key, now) for key in ApiKey.objects.select_related("team", "user")]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            self.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def revoke(self, named: str) -> None:
        key = _key(named)
        if key.revoked_at is not None:
            self.stdout.write(f"Key {key.pk} ({key}) was revoked on {key.revoked_at:%Y-%m-%d} already.")
            return
        with transaction.atomic():
            revoke(key, timezone.now())
            record_command("key", "revoke", key, before={"revoked_at": None}, after=fields_of(key, "revoked_at"))
        self.stdout.write(f"Key {key.pk} ({key}, {key.name}) is revoked.")


def _team(name: str) -> Team:
    name = name.strip()
    team = Team.objects.filter(name__iexact=name).first()
    if team is None:
        if not 0 < len(name) <= 80:
            raise CommandError("--team needs 1 to 80 characters.")
        team = Team.objects.create(name=name)
        record_command("key", "create", team, after=fields_of(team, "name"))
    if team.archived_at is not None:
        raise CommandError(f"The team '{team}' is archived: restore it first, or name another.")
    return team


def _person(email: str) -> User:
    person = User.objects.filter(email__iexact=email.strip()).first()
    if person is None:
        raise CommandError(f"There is nobody with the e-mail address '{email}'.")
    if not person.is_active:
        raise CommandError(f"{person} is deactivated.")
    return person


def _key(named: str) -> ApiKey:
    """By number, or by the beginning of the secret: nobody has to type a whole secret, and nobody should."""
    found = ApiKey.objects.filter(pk=int(named)) if named.isascii() and named.isdigit() else ApiKey.objects.none()
    if not found and len(named) >= 5:
        found = ApiKey.objects.filter(prefix__startswith=named[:SHOWN_CHARACTERS])
    keys = list(found[:2])
    if not keys:
        raise CommandError(f"There is no key '{named[:12]}': `manage.py key list` shows them.")
    if len(keys) > 1:
        raise CommandError(f"More than one key begins with '{named[:12]}': use the number in `manage.py key list`.")
    return keys[0]


def _state(key: ApiKey, now: Any) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is None:
        return "live"
    return f"until {key.expires_at:%Y-%m-%d}" if key.expires_at > now else "expired"


def _row(key: ApiKey, now: datetime) -> tuple[str, ...]:
    return (
        str(key.pk),
        str(key),
        key.name,
        key.team.name if key.team else "",
        key.user.email if key.user else "",
        ", ".join(key.allowed_models) or "any",
        _state(key, now),
        f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never",
    )
