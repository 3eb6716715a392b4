"""`manage.py provider`: record what a connected provider answers, print the table of vendors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import translation

from providers.adapters import speaks
from providers.errors import ProviderError
from providers.models import LanguageModel, Provider
from providers.recording import record
from providers.registry import KINDS
from providers.table import page
from providers.vault import SealBroken


class Command(BaseCommand):
    help = "Records what a connected provider answers, and prints the table of vendors."

    def add_arguments(self, parser: CommandParser) -> None:
        tasks = parser.add_subparsers(dest="task", required=True, metavar="record|table")
        recording = tasks.add_parser("record", help="ask five things, and write the answers down without secrets")
        recording.add_argument("slug", metavar="PROVIDER")
        recording.add_argument("--model", default="", help="which of its models; default: the first one for chat")
        recording.add_argument("--into", default="recorded", metavar="FOLDER", help="default: ./recorded")
        recording.add_argument("--window", type=int, metavar="TOKENS", help="of the model, where the list is silent")
        table = tasks.add_parser("table", help="every vendor and what is particular about it, as Markdown")
        table.add_argument("--language", default="en", help="default: en")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["task"] == "table":
            with translation.override(options["language"]):
                self.stdout.write(page(), ending="")
        else:
            self.record(options["slug"], options["model"], Path(options["into"]), options["window"])

    def record(self, slug: str, name: str, folder: Path, window: int | None) -> None:
        provider = Provider.objects.filter(slug=slug).first()
        if provider is None:
            names = ", ".join(Provider.objects.order_by("slug").values_list("slug", flat=True))
            raise CommandError(f"There is no provider '{slug}'. There are: {names or 'none'}.")
        kind = KINDS.get(provider.kind)
        if kind is None or not speaks(kind):
            raise CommandError(f"Relayhouse does not speak the format of '{provider.kind}'.")
        model = self._model(provider, name)
        self.stderr.write("Five real calls are made. They cost what they cost, and are not in the ledger.")
        try:
            recorded = record(provider, model.model_id, folder, window=window or model.context)
        except (ProviderError, SealBroken) as error:
            raise CommandError(f"It cannot be asked: {error}") from error
        for one in recorded:
            said = f"no answer: {one.words}" if one.status is None else f"{one.status}"
            self.stdout.write(f"{one.name}: {said}")
            for file in one.files:
                self.stdout.write(f"  {file}")
        self.stderr.write("Read the files before you give them to anybody.")

    @staticmethod
    def _model(provider: Provider, name: str) -> LanguageModel:
        models = LanguageModel.objects.filter(provider=provider, use=LanguageModel.Use.CHAT, active=True)
        model = (models.filter(model_id=name) if name else models).order_by("model_id").first()
        if model is None:
            raise CommandError(f"'{provider.slug}' has no model {name!r} for chat." if name else "It has no model.")
        return model
