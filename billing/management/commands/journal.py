"""`manage.py journal`: which journals lie in the state folder, and what to do with those that nobody loads."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing import pots
from billing.journal import LOCK
from billing.journals import Home, homes, set_aside, taken
from billing.lines import Damaged
from billing.loader import load_left
from billing.unfinished import Unfinished


class Command(BaseCommand):
    help = "Lists the journals in the state folder, loads those of processes that have ended, gives up a lost one."

    def add_arguments(self, parser: CommandParser) -> None:
        tasks = parser.add_subparsers(dest="task", required=True, metavar="show|load|abandon")
        tasks.add_parser("show", help="every journal: whose it is, whether its process runs, how much is in it")
        tasks.add_parser("load", help="load those whose processes have ended, as any `serve` does each minute")
        abandon = tasks.add_parser("abandon", help="book what can be read of a journal, as estimated what was open")
        abandon.add_argument("node", metavar="NODE", help="as in `journal show`")

    def handle(self, *args: Any, **options: Any) -> None:
        match options["task"]:
            case "show":
                self.show()
            case "load":
                self.load()
            case "abandon":
                self.abandon(options["node"])

    def show(self) -> None:
        rows = [("node", "process", "bytes", "requests open")]
        for home in homes(settings.JOURNAL_FOLDER):
            state = "running" if home.is_held() else "ended"
            rows.append((home.node, state, str(home.size()), _open(home)))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            self.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        for path in set_aside(settings.JOURNAL_FOLDER):
            self.stdout.write(f"Not in the ledger: {path}")

    def load(self) -> None:
        count = 0
        for home in homes(settings.JOURNAL_FOLDER):
            with taken(home) as got:
                if got:
                    try:
                        load_left(home)
                    except OSError as error:
                        raise CommandError(
                            f"The journal of {home.node} cannot be read: {error}."
                            f" `manage.py journal abandon {home.node}` books what can be read of it."
                        ) from error
                    count += 1
        self.stdout.write(f"{count} journal{'' if count == 1 else 's'} loaded.")

    def abandon(self, node: str) -> None:
        home = next((home for home in homes(settings.JOURNAL_FOLDER) if home.node == node), None)
        if home is None and (count := pots.free_node(node, lost_at=time.time())):
            self.stdout.write(
                f"The journal of {node} is not here. It had taken of {count} shared amounts: that is free."
            )
            return
        if home is None:
            raise CommandError(f"There is no journal of '{node}' here: `manage.py journal show` lists them.")
        (home.path / LOCK).touch(mode=0o600)  # it may be lost like the rest
        with taken(home) as got:
            if not got:
                raise CommandError(f"The process of {node} runs, or somebody is loading its journal: end it first.")
            estimated = load_left(home, lenient=True)
        self.stdout.write(f"The journal of {node} is given up: {estimated} open requests booked as estimated.")


def _open(home: Home) -> str:
    unfinished = Unfinished()
    try:
        for record in home.records():
            if not isinstance(record, Damaged):
                unfinished.take(record)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return str(len(unfinished))
