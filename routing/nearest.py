"""Which known names look like this one? Through a small index, so that a catalogue of thousands costs little more."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from difflib import SequenceMatcher
from itertools import islice

MOST_COMPARED = 60  # difflib costs about 20 microseconds a pair: only the most promising get it
LONGEST = 120  # nobody misspells a longer name
ALIKE = 0.55


class Names:
    """Names and their triples of letters. `like()` gives the closest first."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(dict.fromkeys(names))
        self._having: dict[str, list[int]] = defaultdict(list)
        for number, name in enumerate(self._names):
            for triple in _triples(name):
                self._having[triple].append(number)

    def like(self, asked: str, may_see: Callable[[str], bool], most: int = 3) -> list[str]:
        """At most so many names that resemble the one asked for, among those that may be seen."""
        asked = asked.lower()[:LONGEST]
        shared: Counter[int] = Counter()
        for triple in _triples(asked):
            shared.update(self._having.get(triple, ()))
        ranked = (self._names[number] for number, _ in shared.most_common())
        promising = islice((name for name in ranked if may_see(name)), MOST_COMPARED)
        alike = sorted(((_likeness(asked, name), name) for name in promising), key=lambda pair: (-pair[0], pair[1]))
        return [name for likeness, name in alike if likeness >= ALIKE][:most]


def _triples(name: str) -> set[str]:
    """Of the name with its ends marked: `gp`, `gpt`, `pt-` ..."""
    marked = f"^{name.lower()}$"
    return {marked[at : at + 3] for at in range(len(marked) - 2)} or {marked}


def _likeness(asked: str, name: str) -> float:
    """Of the whole name or of the part after its first colon: people leave the provider out."""
    name = name.lower()
    best = SequenceMatcher(None, asked, name, autojunk=False).ratio()
    _, colon, rest = name.partition(":")
    if colon:
        best = max(best, SequenceMatcher(None, asked, rest, autojunk=False).ratio())
    return best
