"""`manage.py apply FILE`: what would change; with `--yes` it does."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from console.configuration import words
from console.configuration.applying import apply, planned, read_file
from console.configuration.lists import read_lists, unanswered_defaults
from console.configuration.values import FileRefused


class Command(BaseCommand):
    help = "Makes the house as a YAML or JSON file says. Without --yes it only shows what would change."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="docs/configuration-files.md says what it may hold; - reads standard input")
        parser.add_argument("--yes", action="store_true", help="apply the plan")
        parser.add_argument("--json", action="store_true", help="print the plan, or the faults, as JSON")

    def handle(self, *args: Any, file: str, yes: bool, **options: Any) -> None:
        name, content = _content(file)
        try:
            declared = read_file(content, name)
            plan = planned(declared)
            applied = yes and bool(plan.changes)
            if applied:
                plan = apply(declared)
        except FileRefused as refused:
            if options["json"]:
                self.stdout.write(json.dumps(words.faults_as_json(refused.faults), indent=2))
                sys.exit(1)
            raise CommandError(_faults(name, refused)) from None
        lists = [*read_lists(plan), *unanswered_defaults(declared)] if yes else []
        if options["json"]:
            self.stdout.write(json.dumps(words.as_json(plan, applied=applied, lists=lists), indent=2))
            return
        self.stdout.write(words.in_words(plan, done=applied))
        for line in lists:
            self.stdout.write(line)


def _content(file: str) -> tuple[str, bytes]:
    if file == "-":
        return "standard input", sys.stdin.buffer.read()
    try:
        return file, Path(file).read_bytes()
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from None


def _faults(name: str, refused: FileRefused) -> str:
    count = len(refused.faults)
    head = f"{name} has {'a fault' if count == 1 else f'{count} faults'}; nothing was changed."
    return "\n".join([head, *(f"  {fault}" for fault in refused.faults)])
