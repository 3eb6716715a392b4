"""`manage.py ledger`: what a request cost, and whether journals and ledger agree."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.checking import check
from billing.lookup import find


class Command(BaseCommand):
    help = "Shows what requests cost, and proves that journals and ledger agree."

    def add_arguments(self, parser: CommandParser) -> None:
        tasks = parser.add_subparsers(dest="task", required=True, metavar="show|check")
        show = tasks.add_parser("show", help="one JSON line a charge or adjustment of these requests")
        show.add_argument("requests", nargs="+", metavar="REQUEST_ID", help="as in the answer's x-request-id")
        show.add_argument("--attempts", action="store_true", help="also what was not charged: voided and ambiguous")
        tasks.add_parser("check", help="compare journals and ledger, and print the counts")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["task"] == "show":
            self.show(options["requests"], options["attempts"])
        else:
            self.check_all()

    def show(self, requests: list[str], attempts: bool) -> None:
        found = find(requests, settings.JOURNAL_FOLDER, attempts=attempts)
        for lines in found.lines.values():
            for line in lines:
                self.stdout.write(json.dumps(line))
        for request_id, count in found.running.items():
            self.stderr.write(f"{request_id}: {count} attempt{'s' if count > 1 else ''} not settled yet")
        if found.unknown:
            raise CommandError(f"Neither in the ledger nor in this machine's journals: {_names(found.unknown)}")

    def check_all(self) -> None:
        found = check(settings.JOURNAL_FOLDER)
        for name, count in found.counts.items():
            self.stdout.write(f"{name}: {count}")
        if found.disagreements:
            for words in found.disagreements:
                self.stderr.write(words)
            raise CommandError(f"Journals and ledger disagree: {len(found.disagreements)} times.")
        self.stdout.write("Journals and ledger agree.")


def _names(request_ids: list[str]) -> str:
    return ", ".join(ascii(request_id)[1:-1][:60] for request_id in request_ids)
