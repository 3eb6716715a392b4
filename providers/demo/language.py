"""In which language to answer, and which of the asker's own words may be repeated."""

from __future__ import annotations

import re
import unicodedata

LANGUAGES = ("en", "fr", "de", "es")

# Small words that betray a language. A word shared by two counts for both and decides nothing.
_TELLTALES = {
    "en": (
        "the and you is are what how why can could please with of to for write me my give this that it do does explain"
        " hello hi thanks thank when which who should would there i an from about your make some help need in a good"
        " morning shorter longer code table between difference say reply"
    ),
    "fr": (
        "le la les un une des du de et est vous tu je que qui quoi comment pourquoi pour avec dans sur mon ma mes moi"
        " bonjour bonsoir salut merci écris écrivez fais faites donne donnez explique expliquez expliquer quel quelle"
        " quels quelles ce cette ces au aux en ne pas plus résume résumez traduis traduisez rédige rédigez peux pouvez"
        " s'il plaît entre idées lettre courriel être suis êtes sont ça différence court courte compare aide aidez dis"
        " recette semaine ou où y a-t-il combien calcule calculez voudrais faire mois nous notre"
    ),
    "de": (
        "der die das und ist ein eine einen einer wie was warum ich du sie mir mich bitte mit für auf von zu den dem des"
        " nicht schreib schreibe schreiben erkläre erklär hallo danke guten tag welche welcher gib zeig kann können soll"
        " zwischen unterschied vergleiche übersetze fasse zusammen plane kürzer länger auch noch im am vom zum zur über"
        " wer bist deine mein meine ideen rezept woche wieviel viel sind"
    ),
    "es": (
        "el la los las un una unos de y es son que qué cómo como por para con mi mis me tú usted yo hola gracias escribe"
        " escriba explica explícame dame haz hazme cuál en del al favor puedes puede quién eres traduce resume buenos"
        " días buenas tardes entre diferencia compara ideas carta correo receta semana más corto cuánto cuántos lista"
        " sobre una necesito quiero ayuda"
    ),
}
_WORDS = {language: frozenset(words.split()) for language, words in _TELLTALES.items()}
_ELISION = re.compile(r"\b(?:[ldjcnsm]|qu)['’]\w", re.IGNORECASE)
_SIGNS = {"fr": "çœêèùâîôû", "de": "ßäö", "es": "ñ¿¡áíó"}

_NAMES = {
    "en": "english|anglais|englisch|inglés|ingles",
    "fr": "french|français|francais|französisch|francés|frances",
    "de": "german|allemand|deutsch|alemán|aleman",
    "es": "spanish|espagnol|spanisch|español|espanol|castellano",
}
_ASKED = {
    language: re.compile(
        r"\b(?:answer|answers|reply|replies|respond|speak|talk|write|written|réponds?|répondez|répondre|parlez?|écri\w*"
        r"|rédige\w*|responde?\w*|contesta\w*|escrib\w*|habla\w*|antworte\w*|schreib\w*|sprich)\b"
        rf"[^.!?\n]{{0,60}}\b(?:in|en|auf)\s+(?:{names})\b"
        rf"|^\W*(?:and |now |the same |same |et |maintenant |la même chose |und |jetzt |y |ahora |lo mismo )?"
        rf"(?:in|en|auf)\s+(?:{names})\W*(?:please|s['’]il (?:te|vous) pla[iî]t|bitte|por favor)?\W*$",
        re.IGNORECASE,
    )
    for language, names in _NAMES.items()
}


def detect(text: str) -> str | None:
    """The language a text is written in, or None when nothing in it tells."""
    text = text[:4000].lower()
    words = re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)?", text)
    scores = {language: sum(1 for word in words if word in known) for language, known in _WORDS.items()}
    scores["fr"] += len(_ELISION.findall(text))
    for language, signs in _SIGNS.items():
        scores[language] += 2 if any(sign in text for sign in signs) else 0
    best = max(LANGUAGES, key=lambda language: scores[language])
    return best if scores[best] else None


def asked_for(text: str) -> str | None:
    """The language a text asks to be answered in: "reply in French", "et en anglais ?"."""
    for language, pattern in _ASKED.items():
        if pattern.search(text[:4000]):
            return language
    return None


def choose(turns: list[str], orders: str) -> str:
    """The language of the answer: asked for in the newest turn, in the orders, used in a turn, used in the orders."""
    newest = turns[-1] if turns else ""
    return (
        asked_for(newest)
        or asked_for(orders)
        or next((found for turn in reversed(turns) if (found := asked_for(turn) or detect(turn))), None)
        or detect(orders)
        or "en"
    )


_UNSAFE = re.compile(r"[`*_\[\]<>#|\\~{}\"“”„«»$^=]+")


def quotable(text: str, longest: int = 64) -> str:
    """The start of a text as plain words: nothing in it is Markdown, HTML, a link or an invisible character."""
    text = " ".join(word for word in text[:2000].split() if "://" not in word and "www." not in word.lower())
    text = "".join(" " if unicodedata.category(sign)[0] in "CZ" else sign for sign in text)
    text = re.sub(r"\s+", " ", _UNSAFE.sub(" ", text)).strip(" -+.:;,!?¿¡'’&@/")
    sentence = re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0].strip(" -+.:;,!?'’")
    if len(sentence) <= longest:
        return sentence
    words = sentence[:longest].rsplit(" ", 1)[0].rstrip(" -+.:;,!?'’")
    return f"{words}…"


def plain(text: str) -> str:
    """Lower case and without accents, for comparing words."""
    spread = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in spread if not unicodedata.combining(sign)).replace("’", "'")


_MARKS = {"en": "“{}”", "fr": "«\u00a0{}\u00a0»", "de": "„{}“", "es": "«{}»"}
_YOUR_WORDS = {"en": "your question", "fr": "votre question", "de": "Ihre Frage", "es": "su pregunta"}


def in_quotes(text: str, language: str) -> str:
    words = quotable(text)
    return _MARKS[language].format(words) if words else _YOUR_WORDS[language]


_CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
_THIN = re.compile(r"(?<=[^\s|]) (?=[:;!?»])|(?<=«) ")


def typeset(text: str, language: str) -> str:
    """Straight apostrophes and plain spaces of the text files as a typographer would set them; code is left alone."""
    parts = _CODE.split(text)
    for place in range(0, len(parts), 2):
        prose = re.sub(r"(?<=\w)'(?=\w)", "’", parts[place])
        parts[place] = _THIN.sub("\u00a0", prose) if language == "fr" else prose
    return "".join(parts)
