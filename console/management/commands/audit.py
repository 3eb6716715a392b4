"""`manage.py audit verify`: does the chain still hold?"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from console.audit import verify
from console.models import AuditEntry


class Command(BaseCommand):
    help = "Proves that no entry of the audit log was changed, removed or moved."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("task", choices=["verify"])

    def handle(self, *args: Any, **options: Any) -> None:
        found = verify()
        if found.broken is not None:
            entry = AuditEntry.objects.get(pk=found.broken)
            raise CommandError(
                f"The chain breaks at entry {entry.pk} ({entry.at:%Y-%m-%d %H:%M:%S} UTC, {entry}): {found.reason}."
            )
        erased = f", the content of {found.erased} erased" if found.erased else ""
        self.stdout.write(f"{found.entries} entries, chain verified{erased}. Head {found.head}")
