"""docs/providers.md says what the table says: `manage.py provider table [--language fr] > …` prints it anew."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.core.management import call_command

from providers.registry import KINDS
from providers.table import ADDRESSES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("language", "file"), [("en", "providers.md"), ("fr", "fr/providers.md")])
def test_the_page_is_what_would_be_printed(language: str, file: str) -> None:
    printed = io.StringIO()
    call_command("provider", "table", language=language, stdout=printed)
    words = f"stale: .venv/bin/python manage.py provider table --language {language} > docs/{file}"
    assert (DOCS / file).read_text() == printed.getvalue(), words


def test_every_vendor_is_on_it() -> None:
    page = (DOCS / "providers.md").read_text()
    assert all(f"| `{slug}` | {kind.name} |" in page for slug, kind in KINDS.items() if slug != "demo")


def test_names_of_addresses_can_be_translated() -> None:
    names = {name for kind in KINDS.values() for name in kind.variants}
    assert names == set(ADDRESSES)
