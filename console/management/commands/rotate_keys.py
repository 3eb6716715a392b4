"""`manage.py rotate_keys`: seal every secret anew under the first key of the ring."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from console.audit import Named, record_command
from console.resealing import reseal


class Command(BaseCommand):
    help = "Seals every secret anew under the first key of the ring, so that the older keys can be taken out of it."

    def handle(self, *args: Any, **options: Any) -> None:
        told = reseal()
        secrets = f"{told.done} secret{'' if told.done == 1 else 's'}"
        self.stdout.write(f"{secrets} sealed anew under '{told.key}'; {told.already} already were.")
        if told.done:
            named = Named("configuration", "key-ring", told.key)
            record_command("rotate_keys", "rotate", named, note=f"{secrets} sealed anew")
        if told.broken:
            for each in told.broken:
                self.stderr.write(each)
            raise CommandError("These could not be opened: keep the keys of the ring, and enter these secrets again.")
        self.stdout.write("The other keys of the ring seal nothing any more and may be taken out of it.")
