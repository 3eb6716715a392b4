"""Is every text translated? `python -m deploy.translations` in the virtual environment.

The texts are extracted again, from a copy, and each must have a finished translation in every catalogue. Without
gettext nothing can be extracted; then only the catalogues are looked at.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

from deploy import machine
from deploy.machine import ROOT

SOURCES = ("console", "routing", "billing", "providers", "templates", "locale")


def main() -> int:
    faults = []
    with tempfile.TemporaryDirectory(prefix="relayhouse-texts-") as folder:
        copy = Path(folder)
        for source in SOURCES:
            if (ROOT / source).exists():
                shutil.copytree(ROOT / source, copy / source, ignore=shutil.ignore_patterns("__pycache__", "*.mo"))
        catalogues = sorted((copy / "locale").glob("*/LC_MESSAGES/django.po"))
        if not catalogues:
            faults.append("There is no catalogue in locale/.")
        if machine.has_gettext():
            for catalogue in catalogues:
                _extract(copy, catalogue.parent.parent.name)
        for catalogue in catalogues:
            faults += [f"{catalogue.relative_to(copy)}: {fault}" for fault in faults_of(catalogue)]
    sys.stdout.write("".join(f"{fault}\n" for fault in faults))
    return 1 if faults else 0


def _extract(copy: Path, language: str) -> None:
    command = [sys.executable, "-m", "django", "makemessages", "-l", language, "--no-location", "--no-wrap", "-v0"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"The texts could not be extracted:\n{done.stderr.strip()}")


def faults_of(file: Path) -> Iterator[str]:
    with file.open("rb") as source:
        catalogue = read_po(source, locale=file.parent.parent.name)
    for message in catalogue:
        if message.id:
            yield from _faults_of(message, catalogue)


def _faults_of(message: Message, catalogue: Catalog) -> Iterator[str]:
    name = message.id if isinstance(message.id, str) else message.id[0]
    given = message.string if isinstance(message.string, tuple | list) else (message.string,)
    if message.fuzzy:
        yield f"guessed, not translated: {name!r}"
    elif not all(given):
        yield f"not translated: {name!r}"
    else:
        for error in message.check(catalogue):
            yield f"{error}: {name!r}"


if __name__ == "__main__":
    sys.exit(main())
