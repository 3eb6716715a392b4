"""How hard is what is asked? Rules and points, each with its reason in words; no model is asked.

Points are given for what makes an answer long or needs thought, and taken for what is a quick thing to do. A caller who
knows better says so, and is believed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

import msgspec

from providers.chat import Fields
from routing.texts import said_in

LOW_AT, HIGH_AT = 1, 4  # points: up to the first it is low, from the second on high

# Beginnings of words, and then phrases, in English and in French. Plain comparisons, and only for words whose first
# letters some beginning has: one pattern with all of them costs a millisecond a page.
_QUICK = (
    tuple(
        "translat classif categori label extract rephras reword spell defin convert proofread sentiment synonym "
        "tradui class catégori étiquet extrai reformul orthograph défini conver synonyme".split()
    ),
    ("yes or no", "true or false", "one word", "say hello", "what time", "capital of", "in one sentence",
     "fix the typo",
     "oui ou non", "vrai ou faux", "un seul mot", "dis bonjour", "quelle heure", "en une phrase", "les fautes"),
)  # fmt: skip
_THOUGHT = (
    tuple(
        "prove proof derive reason analy compar tradeoff evaluat assess design architect strateg plan optimi debug "
        "refactor critiqu implication algorithm complexit theorem simulat diagnos "
        "démontr prouv dédui raisonn évalu conçoi concev stratég planifi débog pourquoi conséquence "
        "théorèm".split()
    ),
    ("step by step", "step-by-step", "root cause", "explain why", "why does", "pros and cons", "trade-off",
     "étape par étape", "cause racine", "avantages et inconvénients"),
)  # fmt: skip
_LONG_ANSWER = (
    tuple(
        "essay report article detailed thorough comprehensive full complete chapter "
        "essai rapport détaillé approfondi exhausti complet complèt chapitre".split()
    ),
    ("in detail", "at length", "00 words", "en détail", "00 mots"),
)
# Words that begin like one of those above and are none of them.
_NOT_MEANT = frozenset("fully fullest planet planets plane planes plant plants classic class classes designed".split())
_WORD = re.compile(r"\w+")
_HEAD = 4  # letters; no beginning is shorter
_HEADS = frozenset(each[:_HEAD] for beginnings, _ in (_QUICK, _THOUGHT, _LONG_ANSWER) for each in beginnings)


def _is_a_query(text: str) -> bool:
    return -1 < text.find("SELECT ") < text.rfind("FROM ")


# Each pattern is tried only where its mark is in the text.
_CODE: Mapping[str, Callable[[str], object] | None] = {
    "```": None, "Traceback": None, "#include": None, "=>": None, ";\n": None,
    "def ": re.compile(r"\bdef \w+\(").search, "class ": re.compile(r"\bclass \w+[(:]").search,
    "function": re.compile(r"\bfunction\s*\w*\(").search, "SELECT ": _is_a_query,
}  # fmt: skip
_MATHS: Mapping[str, Callable[[str], object] | None] = {
    "\\": re.compile(r"\\(?:frac|int|sum|sqrt|lim)\b").search, "^": re.compile(r"\d\s?\^\s?\d").search,
    "$": re.compile(r"\$[^$\n]{1,200}\$").search, "∫": None, "∑": None, "√": None, "≤": None, "≥": None, "≠": None,
}  # fmt: skip
_LISTED = re.compile(r"^[ \t]*(?:\d{1,3}[.)]|[-*•])[ \t]", re.MULTILINE)

_EFFORTS = {b'"high"': 4, b'"xhigh"': 5, b'"max"': 5, b'"medium"': 2, b'"low"': 0, b'"minimal"': -1, b'"none"': -1}


class Complexity(msgspec.Struct, frozen=True):
    level: str  # low, medium, high
    points: int
    reasons: tuple[str, ...]


def estimate(fields: Fields) -> Complexity:
    said = said_in(fields)
    found = [each for each in (*_of_text(said.text), *_of_request(fields, said.turns, said.whole)) if each[0]]
    points = sum(each[0] for each in found)
    level = "low" if points <= LOW_AT else "high" if points >= HIGH_AT else "medium"
    return Complexity(level, points, tuple(f"{words} ({number:+d})" for number, words in found))


def _of_text(text: str) -> list[tuple[int, str]]:
    small = text.lower()
    # In the order of the text, so that the same request is explained in the same words everywhere.
    words = [word for word in dict.fromkeys(_WORD.findall(small)) if word[:_HEAD] in _HEADS and word not in _NOT_MEANT]
    thought, quick = _met(_THOUGHT, words, small), _met(_QUICK, words, small)
    questions, columns = text.count("?"), text.count("|") + text.count("\t")
    listed = len(_LISTED.findall(text)) if "\n" in text else 0
    size = len(text) // 6
    found = [
        (2 if size > 900 else 1 if size > 200 else 0, "a long text"),
        (min(4, 2 * len(thought)), f"asks for thought: {', '.join(thought[:3])}"),
        (2 if _met(_LONG_ANSWER, words, small) else 0, "asks for a long answer"),
        (2 if _has(_CODE, text) else 0, "code"),
        (2 if _has(_MATHS, text) else 0, "mathematics"),
        (1 if columns > 8 else 0, "a table"),
        (1 if questions > 2 else 0, f"{questions} questions"),
        (1 if listed > 2 else 0, f"{listed} points to treat"),
    ]
    if quick and not thought:
        found.append((-3, f"a quick thing to do: {quick[0]}"))
    return found


def _has(marks: Mapping[str, Callable[[str], object] | None], text: str) -> bool:
    return any(mark in text and (test is None or test(text)) for mark, test in marks.items())


def _met(meant: tuple[tuple[str, ...], tuple[str, ...]], words: Iterable[str], text: str) -> list[str]:
    """What of it the text has; words of one beginning are one thing."""
    beginnings, phrases = meant
    met = {
        next(each for each in beginnings if word.startswith(each)): word
        for word in words
        if word.startswith(beginnings)
    }
    return sorted(met.values()) + [phrase for phrase in phrases if phrase in text]


def _of_request(fields: Fields, turns: int, whole: bool) -> list[tuple[int, str]]:
    tools = bytes(fields.get("tools", b"null"))
    return [
        (1 if turns > 6 else 0, f"{turns} turns"),
        (2 if not whole else 0, "a very long request"),
        (1 if tools not in (b"null", b"[]") else 0, "tools"),
        (1 if b'"json_schema"' in bytes(fields.get("response_format", b"")) else 0, "an answer in a given schema"),
        (_EFFORTS.get(bytes(fields.get("reasoning_effort", b"")), 0), "the effort that was asked for"),
    ]
