"""`manage.py prices`: compare prices with the public lists, show a model's, set one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from billing import syncing
from billing.costs import BUCKETS, decimal
from billing.models import Price
from billing.prices import Listed, rates_of, row_at, set_price, variants
from console.audit import Named, record_command
from providers.models import LanguageModel

RATES = {
    "input": "a million input tokens",
    "output": "a million output tokens",
    "cached": "a million cached input tokens; default: as input",
    "cache-write": "a million tokens written to the cache; default: as input",
    "reasoning": "a million reasoning tokens; default: as output",
    "audio-input": "a million tokens of speech heard; default: as input",
    "audio-output": "a million tokens of speech made; default: as output",
}


class Command(BaseCommand):
    help = "Compares prices with the public lists, shows a model's price and its history, and sets one."

    def add_arguments(self, parser: CommandParser) -> None:
        tasks = parser.add_subparsers(dest="task", required=True, metavar="sync|show|set")
        tasks.add_parser("sync", help="read the lists; price what has no price, propose what differs")
        show = tasks.add_parser("show", help="the price of a model, and those before and after it")
        show.add_argument("model", metavar="PROVIDER:MODEL")
        put = tasks.add_parser("set", help="a new price from now on, or from a day to come")
        put.add_argument("model", metavar="PROVIDER:MODEL")
        for name, words in RATES.items():
            put.add_argument(f"--{name}", required=name in ("input", "output"), metavar="AMOUNT", help=words)
        put.add_argument("--per-request", metavar="AMOUNT", help="each request, whatever its length")
        put.add_argument("--batch-share", metavar="SHARE", help="what a batch pays of it: 0.5")
        put.add_argument("--currency", default="USD", help="three letters; default: USD")
        put.add_argument("--from", dest="begins", metavar="DATE", help="2027-01-01, midnight UTC; default: now")
        put.add_argument("--source", default="the command line", help="who says so")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["task"] == "sync":
            self.sync()
        elif options["task"] == "show":
            self.show(_model(options["model"]))
        else:
            self.set(_model(options["model"]), options)

    def sync(self) -> None:
        found = syncing.sync()
        if found.problem:
            self.stderr.write(f"The published list was not read: {found.problem}")
        if found.priced:
            note = f"{found.priced} models had no price"
            record_command("prices", "add", Named("price", "list", found.source), note=note)
        self.stdout.write(f"read: {found.source}")
        self.stdout.write(f"priced: {found.priced}")
        self.stdout.write(f"changes proposed: {found.proposed}")
        for name in found.unknown:
            self.stdout.write(f"no price known: {name}")

    def show(self, model: LanguageModel) -> None:
        rows = list(model.prices.order_by("-valid_from", "-id"))
        current = row_at(rows, timezone.now())
        if not rows:
            self.stdout.write(f"{model}: price unknown")
        for row in rows:
            mark = "  <- now" if current and row.pk == current.pk else ""
            self.stdout.write(f"from {row.valid_from:%Y-%m-%d %H:%M} {row.currency}, {row.source}{mark}")
            self._rates(row)

    def _rates(self, row: Price) -> None:
        try:
            rates = rates_of(row)
        except ValueError as error:
            self.stdout.write(f"    cannot be read: {error}")
            return
        for each in variants(rates).values():
            told = ", ".join(f"{name} {decimal(nano)}" for name, nano in zip(BUCKETS, each.nano, strict=True))
            self.stdout.write(f"    {f'{each.label}: ' if each.label else ''}{told}")
        if rates.nano_per_request:
            self.stdout.write(f"    each request {decimal(rates.nano_per_request)}")

    def set(self, model: LanguageModel, options: dict[str, Any]) -> None:
        now = timezone.now()
        begins = _day(options["begins"])
        if begins and begins <= now:
            raise CommandError("--from is past: what was paid for stays as it is. Leave it out to begin now.")
        names = [name.replace("-", "_") for name in RATES]
        values = {f"{name}_per_million": options[name] for name in names if options[name] is not None}
        values |= {name: options[name] for name in ("per_request", "batch_share") if options[name] is not None}
        try:
            listed = Listed.from_values(
                values | {"currency": _currency(options["currency"]), "source": options["source"]}
            )
        except ValueError as error:
            raise CommandError(str(error)) from error
        with transaction.atomic():
            row = set_price(model, listed if begins is None else _from(listed, begins), now=now)
            after = listed.values()
            record_command("prices", "change", Named("price", str(row.pk), str(model)), after=after)
        self.stdout.write(f"{model}: {row}")


def _model(text: str) -> LanguageModel:
    slug, _, model_id = text.partition(":")
    model = LanguageModel.objects.filter(provider__slug=slug.lower(), model_id=model_id).select_related("provider")
    found = model.first()
    if found is None:
        raise CommandError(f"There is no model '{text}'. Write provider:model id, as in `manage.py export`.")
    return found


def _currency(text: str) -> str:
    if not (len(text) == 3 and text.isascii() and text.isalpha()):
        raise ValueError(f"'{text}' is not a currency: write USD or EUR.")
    return text.upper()


def _day(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise CommandError(f"'{text}' is not a date: write 2027-01-01.") from None


def _from(listed: Listed, begins: datetime) -> Listed:
    return Listed.from_values(listed.values() | {"valid_from": begins.isoformat()})
