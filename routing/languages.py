"""Which language is this? By script and by small words; empty when it is not clear. Enough to choose a model by."""

from __future__ import annotations

import re
from collections.abc import Mapping

from providers.chat import Fields
from routing.texts import said_in

MOST_LETTERS = 1_500
LEAST_HITS = 2

# Small words of each language that few of the others have.
_WORDS: Mapping[str, frozenset[str]] = {
    code: frozenset(words.split())
    for code, words in {
        "en": "the and is are of to in that it with for on this what how you not have please can do does my an be was",
        "fr": "le la les des est et une un du que qui dans pour pas sur avec ce cette vous je nous sont comment quel",
        "de": "der die das und ist nicht ein eine mit auf für wie was ich sie wir zu den dem von sind bitte kann auch",
        "es": "el los las es una que del por con para como está qué cómo no se lo su más pero son puede sobre",
        "it": "il lo gli è una che di per con come non sono della nel alla questo questa più ho cosa dei può",
        "pt": "o os as é uma que do da não para com como em são você está mais por isso um ao qual pode",
        "nl": "de het een en is van ik niet dat met voor op zijn hoe wat je deze wij naar kan ook aan",
        "pl": "jest nie się na że to jak co dla czy są w z i do po tego może proszę",
        "sv": "och är inte att det en ett på som för med hur vad jag du kan av till den",
    }.items()
}
_LETTERS = {
    "fr": "çœêèùâîôë", "de": "ßäöü", "es": "ñ¿¡", "pt": "ãõ", "pl": "łąęśżźń", "sv": "å",
}  # fmt: skip
_SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af]")),
    ("zh", re.compile(r"[\u4e00-\u9fff]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
)
_WORD = re.compile(r"[^\W\d_]+")
# Word -> the languages that have it: one look for each word of a text, not one for each language.
_SPOKEN: Mapping[str, tuple[str, ...]] = {
    word: tuple(code for code, known in _WORDS.items() if word in known)
    for word in frozenset[str]().union(*_WORDS.values())
}


def language_of(text: str) -> str:
    sample = text[:MOST_LETTERS]
    if not sample.isascii():
        letters = max(1, sum(map(str.isalpha, sample)))
        for code, script in _SCRIPTS:
            if len(script.findall(sample)) > letters * 0.2:
                return code
    small = sample.lower()
    hits = dict.fromkeys(_WORDS, 0)
    for word in _WORD.findall(small):
        for code in _SPOKEN.get(word, ()):
            hits[code] += 1
    if not small.isascii():
        for code, marks in _LETTERS.items():
            hits[code] += sum(mark in small for mark in marks)
    first, second = sorted(hits.items(), key=lambda pair: -pair[1])[:2]
    return first[0] if first[1] >= LEAST_HITS and first[1] > second[1] else ""


def language_of_request(fields: Fields) -> str:
    return language_of(said_in(fields).text)
