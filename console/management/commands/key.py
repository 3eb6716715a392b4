"""`manage.py key`: make, list and end API keys. A new secret stands alone on standard output, once."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from billing.costs import NANO, decimal
from billing.ids import new_request_id
from billing.models import Budget, Team
from console import keys as secrets_of_the_house
from console.audit import fields_of, record_command
from console.keynames import unknown
from console.models import User
from routing.asks import Ask
from routing.compiler import compile_snapshot
from routing.decisions import Live
from routing.engine import AUTO, decide
from routing.keys import SHOWN_CHARACTERS, create_key, remove_budget, revoke, set_budget
from routing.models import ApiKey
from routing.rotation import LONGEST_OVERLAP, Ended, rotate

NAMED = "the beginning of the secret, or the number in `key list`"
LONGEST_LIFE_DAYS = 36_500
MOST = 2**31 - 1
NONE = "none"
LIMITS = {
    "requests_per_minute": "requests it may make a minute; default: any number",
    "tokens_per_minute": "tokens it may use a minute, in and out",
    "concurrency": "requests it may have running at once",
}


class Command(BaseCommand):
    help = "Makes, lists and ends API keys for the gateway."

    def add_arguments(self, parser: CommandParser) -> None:
        tasks = parser.add_subparsers(dest="task", required=True, metavar="create|limit|list|rotate|revoke")
        create = tasks.add_parser("create", help="make a key and print its secret, once, alone on standard output")
        create.add_argument("--name", required=True, help="what the key is for")
        create.add_argument("--team", help="the team that pays; it is made when there is none of that name")
        create.add_argument("--person", metavar="EMAIL", help="the person whose key it is")
        create.add_argument("--models", nargs="+", default=[], metavar="MODEL", help="all it may use; default: any")
        create.add_argument("--expires", type=int, metavar="DAYS", help="end it after so many days; default: never")
        _add_limits(create)
        limit = tasks.add_parser("limit", help="change what a key may use; what is not named stays as it is")
        limit.add_argument("key", metavar="PREFIX_OR_ID", help=NAMED)
        limit.add_argument("--no-budget", action="store_true", help="take its budget away")
        _add_limits(limit)
        tasks.add_parser("list", help="every key with its state")
        again = tasks.add_parser("rotate", help="give a key a new secret and print it, once, alone on standard output")
        again.add_argument("key", metavar="PREFIX_OR_ID", help=NAMED)
        again.add_argument(
            "--overlap", type=float, default=24, metavar="HOURS", help="how long the old one still works; default: 24"
        )
        end = tasks.add_parser("revoke", help="end a key")
        end.add_argument("key", metavar="PREFIX_OR_ID", help=NAMED)

    def handle(self, *args: Any, **options: Any) -> None:
        match options["task"]:
            case "create":
                self.create(options)
            case "limit":
                self.limit(options)
            case "list":
                self.list()
            case "rotate":
                self.rotate(options["key"], options["overlap"])
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
        budget = _budget(options)
        limits = _limits(options)
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
            after |= _limit(key, limits, budget)
            record_command("key", "create", key, after=after)
        self.stdout.write(secret)

    def limit(self, options: dict[str, Any]) -> None:
        key = _key(options["key"])
        budget, limits = _budget(options), _limits(options)
        if not limits and budget is None and not options["no_budget"]:
            raise CommandError("What shall it be? Name a limit, a --budget, or --no-budget.")
        if budget is not None and options["no_budget"]:
            raise CommandError("--budget and --no-budget exclude each other.")
        before = fields_of(key, *limits)
        with transaction.atomic():
            after = _limit(key, limits, budget)
            if options["no_budget"] and remove_budget(key):
                before, after = before | {"budget": "there was one"}, after | {"budget": "none"}
            record_command("key", "change", key, before=before, after=after)
        self.stdout.write(f"Key {key.pk} ({key}, {key.name}) is changed.")

    def warn_of_unknown(self, models: list[str]) -> None:
        """A key may be made before its models are there, but a slip should not go unseen."""
        snapshot = compile_snapshot()
        for model in models:
            if model.startswith(f"{AUTO}/"):
                if unknown([model], snapshot):
                    self.stderr.write(f"Note: There is no use case '{model.removeprefix(f'{AUTO}/')}'.")
                continue
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

    def rotate(self, named: str, hours: float) -> None:
        """The same key with another secret: its budget, its limits and its past stay."""
        if not 0 <= hours <= LONGEST_OVERLAP.total_seconds() / 3600:
            raise CommandError(f"--overlap takes 0 to {LONGEST_OVERLAP.days * 24} hours.")
        key, now = _key(named), timezone.now()
        secrets_of_the_house.ensure()
        before, until = {"ends_in": key.last_four}, now + timedelta(hours=hours)
        try:
            with transaction.atomic():
                secret = rotate(key, until - now, now)
                record_command(
                    "key", "rotate", key, before=before, after={"ends_in": key.last_four, "old_until": until}
                )
        except Ended:
            raise CommandError(f"Key {key.pk} ({key}) has ended: make a new one with `manage.py key create`.") from None
        self.stdout.write(secret)

    def revoke(self, named: str) -> None:
        key = _key(named)
        if key.revoked_at is not None:
            self.stdout.write(f"Key {key.pk} ({key}) was revoked on {key.revoked_at:%Y-%m-%d} already.")
            return
        with transaction.atomic():
            revoke(key, timezone.now())
            record_command("key", "revoke", key, before={"revoked_at": None}, after=fields_of(key, "revoked_at"))
        self.stdout.write(f"Key {key.pk} ({key}, {key.name}) is revoked.")


def _add_limits(create: CommandParser) -> None:
    for field, words in LIMITS.items():
        create.add_argument(f"--{field.replace('_', '-')}", type=_number, metavar="N|none", help=words)
    create.add_argument("--budget", metavar="AMOUNT", help="the most it may spend in each period, as in 5 or 0.25")
    create.add_argument("--period", choices=Budget.Period.values, help="of the budget; default: month")
    create.add_argument("--currency", help="of the budget; default: the house's")
    create.add_argument("--time-zone", metavar="ZONE", help="of the period, as in Europe/Paris; default: the house's")
    create.add_argument(
        "--at-limit", choices=Budget.AtLimit.values, help="at the end of the budget: refuse, or try one tier lower"
    )


def _number(text: str) -> int | str:
    if text == NONE:
        return NONE
    number = int(text)
    if not 0 <= number <= MOST:
        raise ArgumentTypeError(f"a number from 0 to {MOST:,}, or {NONE}")
    return number


def _limits(options: dict[str, Any]) -> dict[str, int | None]:
    """Those that were named; None takes a limit away."""
    return {name: None if options[name] == NONE else options[name] for name in LIMITS if options[name] is not None}


def _budget(options: dict[str, Any]) -> dict[str, Any] | None:
    given = {name: options[name] for name in ("period", "currency", "time_zone", "at_limit") if options[name]}
    if options["budget"] is None:
        if given:
            raise CommandError(f"--{next(iter(given)).replace('_', '-')} belongs to a budget: name its --budget too.")
        return None
    try:
        nano = Decimal(options["budget"]) * NANO
        if not nano.is_finite() or nano != int(nano) or nano < 0:
            raise InvalidOperation
    except InvalidOperation:
        raise CommandError(f"--budget takes an amount such as 5 or 0.25, not '{options['budget']}'.") from None
    if "time_zone" in given:
        given["zone"] = given.pop("time_zone")
    return {"limit_nano": int(nano)} | given


def _limit(key: ApiKey, limits: dict[str, int | None], budget: dict[str, Any] | None) -> dict[str, Any]:
    """What the key got, for the record."""
    for field, limit in limits.items():
        setattr(key, field, limit)
    if limits:
        key.save(update_fields=list(limits))
    if budget is None:
        return dict(limits)
    try:
        made = set_budget(key, **budget)
    except ValueError as error:
        raise CommandError(str(error)) from None
    return dict(limits) | {"budget": f"{decimal(made.limit_nano)} {made.currency} {made.period}"}


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
