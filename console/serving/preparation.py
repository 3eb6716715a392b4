"""May this installation start, and is everything there that pages need? Asked by `serve`, and again by a reload."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from console import keys
from console.locks import slot
from routing.demonstration import furnish_new_house

COLLECT_SECONDS = 60.0


class NotReady(Exception):
    """It may not start, and what to do, in a sentence."""


def check(*, migrate: bool = False) -> None:
    """Raise NotReady, or leave everything in place."""
    try:
        missing = pending_migrations()
        if missing and migrate:
            call_command("migrate", interactive=False, verbosity=0)
        elif missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise NotReady(f"The database lacks the migration {missing[0]}{more}. Run: manage.py migrate")
        keys.ensure()
        furnish_new_house()
    except ImproperlyConfigured as error:
        raise NotReady(str(error)) from None
    except DatabaseError as error:
        raise NotReady(f"The database does not answer: {' '.join(str(error).split())}") from None
    finally:
        connection.close()
    collect_static()


def pending_migrations() -> list[str]:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def collect_static() -> None:
    """Put the pages' files under STATIC_ROOT with a hash in each name, unless they lie there already."""
    if settings.DEBUG:
        return  # then they are served as they lie in the source
    mark = Path(settings.STATIC_ROOT) / ".collected"
    wanted = _fingerprint()
    with slot("static", wait=COLLECT_SECONDS):  # the workers of a new generation come together
        if not mark.exists() or mark.read_text() != wanted:
            call_command("collectstatic", interactive=False, verbosity=0)
            mark.write_text(wanted)


def _fingerprint() -> str:
    """Changes when a file of the site does: by name, size and time of change, which is quick to ask."""
    found = []
    for finder in finders.get_finders():
        for name, storage in finder.list([]):
            stat = Path(storage.path(name)).stat()
            found.append((name, stat.st_size, stat.st_mtime_ns))
    return hashlib.sha256(json.dumps(sorted(found)).encode()).hexdigest()
