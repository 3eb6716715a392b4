"""`manage.py export`: the configuration as a file that `apply` reads. Secrets are not in it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from console.configuration.exporting import as_json, as_yaml, document
from console.configuration.state import read_house


class Command(BaseCommand):
    help = "Prints what `manage.py apply` can read. Keys of providers are references or left where they are."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=["yaml", "json"], default="yaml")

    def handle(self, *args: Any, **options: Any) -> None:
        told = document(read_house())
        self.stdout.write(as_json(told) if options["format"] == "json" else as_yaml(told), ending="")
