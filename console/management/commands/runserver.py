"""`manage.py runserver`: the same site under daphne, for development. It reloads on change.

It cuts streams when it stops. Daphne's command is taken from here instead of its
app, because the app would load twisted (20 MB) into every process.
"""

from __future__ import annotations

from daphne.management.commands.runserver import Command as DaphneCommand

from console import keys
from routing.demonstration import furnish_new_house


class Command(DaphneCommand):  # type: ignore[misc]  # daphne ships no types
    help = __doc__

    def inner_run(self, *args: object, **options: object) -> None:
        # The reloader runs this in a child of its own; the parent only watches.
        self.check_migrations()
        keys.ensure()
        furnish_new_house()
        super().inner_run(*args, **options)
