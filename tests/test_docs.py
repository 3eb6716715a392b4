"""The docs say what is there: every setting, every command, every link."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMANDS = {"run", "test", "check", "fix", "bench", "prove", "clean"}


def read(name: str) -> str:
    return (ROOT / name).read_text()


def variables() -> set[str]:
    return set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', read("console/settings.py")))


def test_the_settings_are_found() -> None:
    assert {"DATABASE_URL", "RELAYHOUSE_STATE", "DRAIN_SECONDS"} <= variables()


def test_every_setting_has_a_row_in_the_docs() -> None:
    rows = {name for line in read("docs/settings.md").splitlines() if line[:1] == "|" for name in _quoted(line)}
    assert variables() - rows == set()


def test_every_documented_setting_exists() -> None:
    first_cells = [line.split("|")[1] for line in read("docs/settings.md").splitlines() if line.startswith("| `")]
    assert {name for cell in first_cells for name in _quoted(cell)} - variables() == set()


def test_every_setting_has_a_line_in_the_example() -> None:
    assert set(re.findall(r"^#?([A-Z_]+)=", read(".env.example"), re.M)) == variables()


def test_no_other_module_reads_the_environment() -> None:
    """But for credentials that name a variable, whose names people choose."""
    found = {
        f"{file.relative_to(ROOT)}: {line.strip()}"
        for app in ("console", "routing", "billing", "providers")
        for file in (ROOT / app).rglob("*.py")
        for line in file.read_text().splitlines()
        if re.search(r"os\.environ\.get|os\.environ\[|os\.getenv", line) and ".variable" not in line
    }
    assert {line for line in found if not line.startswith("console/settings.py")} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = [
        target
        for target in LINK.findall(page.read_text())
        if "://" not in target and not target.startswith(("#", "mailto:"))
        if not (page.parent / target.partition("#")[0]).exists()
    ]
    assert broken == []


def test_make_has_the_commands_the_docs_promise() -> None:
    makefile = read("Makefile")
    assert set(re.findall(r"^([a-z]+):.*## ", makefile, re.M)) == COMMANDS
    told = {name for page in PAGES for name in re.findall(r"`make ([a-z]+)|^make ([a-z]+)", page.read_text(), re.M)}
    assert {a or b for a, b in told} <= COMMANDS


def test_management_commands_in_the_docs_exist() -> None:
    there = {file.stem for app in ROOT.glob("*/management/commands") for file in app.glob("[a-z]*.py")}
    told = {name for page in PAGES for name in re.findall(r"manage\.py ([a-z_]+)", page.read_text())}
    assert told - there - {"migrate"} == set()


def _quoted(text: str) -> set[str]:
    return set(re.findall(r"`([A-Z][A-Z_]+)`", text))
