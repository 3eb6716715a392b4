"""The texts the pretend vendor writes with: one Markdown file a topic and language, in `texts/<language>/<topic>.md`.

A file holds sections that start with a line `%% short` (one, for "shorter, please"), `%% full` (the more the merrier)
or `%% worked` (for a question that something could be worked out from).
`phrases.md` has sections of single lines instead: openings, notices, tips, thoughts. `[[quote]]` stands for the asker's
own words, `[[sum]]` and `[[points]]` for what was worked out from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from providers.demo.language import LANGUAGES, typeset
from providers.demo.topics import TOPICS

_FOLDER = Path(__file__).parent / "texts"


@dataclass(frozen=True, slots=True)
class Texts:
    short: str
    full: tuple[str, ...]
    worked: str = ""  # used instead when something could be worked out from the question


def _sections(path: Path, language: str) -> list[tuple[str, str]]:
    blocks = ("\n" + path.read_text(encoding="utf-8")).split("\n%% ")[1:]
    titled = (block.partition("\n") for block in blocks)
    return [(title.strip(), typeset(text.strip(), language)) for title, _, text in titled]


def _read_texts(language: str) -> dict[str, Texts]:
    bank = {}
    for path in sorted((_FOLDER / language).glob("*.md")):
        if path.stem == "phrases":
            continue
        sections = _sections(path, language)
        single = {title: text for title, text in sections if title != "full"}
        full = tuple(text for title, text in sections if title == "full")
        bank[path.stem] = Texts(single["short"], full, single.get("worked", ""))
    return bank


def _read_phrases(language: str) -> dict[str, tuple[str, ...]]:
    sections = _sections(_FOLDER / language / "phrases.md", language)
    return {title: tuple(line for line in text.splitlines() if line) for title, text in sections}


# Read once, when the module is: some seventy small files, so that no answer ever waits for a disk.
_TEXTS = {language: _read_texts(language) for language in LANGUAGES}
_PHRASES: Mapping[str, Mapping[str, tuple[str, ...]]] = {language: _read_phrases(language) for language in LANGUAGES}


def texts(language: str, topic: str) -> Texts:
    known = _TEXTS[language]
    if topic in known:
        return known[topic]
    instead = TOPICS[topic].instead
    return known.get(instead) or known["general"]


def topics(language: str) -> list[str]:
    return sorted(_TEXTS[language])


def phrases(language: str, title: str) -> tuple[str, ...]:
    return _PHRASES[language][title]
