"""The French documents are twins of the English ones: the same parts, about the same things, set as French is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.machine import ROOT
from tests.console.test_french import MISTYPED

TWINS = {
    "README.md": "README.fr.md",
    "docs/quick-start.md": "docs/fr/quick-start.md",
    "docs/configuration-files.md": "docs/fr/configuration-files.md",
    "docs/operating.md": "docs/fr/operating.md",
    "docs/api.md": "docs/fr/api.md",
    "docs/settings.md": "docs/fr/settings.md",
    "docs/routing.md": "docs/fr/routing.md",
    "docs/costs.md": "docs/fr/costs.md",
    "docs/limits.md": "docs/fr/limits.md",
    "docs/providers.md": "docs/fr/providers.md",
}
BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
NO_PROSE = re.compile(r"`[^`\n]*`|\]\([^)]*\)")
NAME = re.compile(r"`([^`\n]+)`")
twins = pytest.mark.parametrize(("english", "french"), TWINS.items(), ids=TWINS.values())


def read(name: str) -> str:
    return Path(ROOT, name).read_text()


def things(text: str) -> list[str]:
    """What the rows of its tables are about: the names in the first cell, or after a status in the second."""
    found = []
    for line in BLOCK.sub("", text).splitlines():
        if line.startswith("|"):
            first, second = [cell.strip() for cell in line.split("|")[1:3]]
            found += [first, *NAME.findall(second)] if first.isdigit() else NAME.findall(first)
    return found


@twins
def test_a_twin_has_the_same_parts(english: str, french: str) -> None:
    for mark in (r"^#+ ", r"^\|", r"^```", r"^- "):
        here, there = (len(re.findall(mark, read(name), re.MULTILINE)) for name in (english, french))
        assert here == there, mark


@twins
def test_its_tables_are_about_the_same_things(english: str, french: str) -> None:
    assert things(read(french)) == things(read(english))


@twins
def test_it_is_set_as_french_is(english: str, french: str) -> None:
    prose = NO_PROSE.sub("", BLOCK.sub("", read(french)))
    assert [line for line in prose.splitlines() if MISTYPED.search(line)] == []
