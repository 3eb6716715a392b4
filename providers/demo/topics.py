"""What a question is about: a table of topics with the words that betray them, in four languages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from providers.demo.language import plain


@dataclass(frozen=True, slots=True)
class Topic:
    """Words are written without accents and in lower case; a star stands for any ending."""

    name: str
    weight: float
    words: str
    instead: str = "general"  # which topic answers in a language that has no text for this one
    opens: bool = True  # whether a sentence that takes up the question may come first


TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic("general", 0, "", opens=False),
        Topic("hello", 1, "hello, hi, hey, good morning, good evening, bonjour, bonsoir, salut, coucou, hallo, guten tag,"
              " moin, servus, hola, buenos dias, buenas tardes, ping, test", opens=False),
        Topic("thanks", 1, "thanks, thank you, merci, danke, vielen dank, gracias, parfait, perfect, super, genial, great",
              opens=False),
        Topic("identity", 5, "who are you, what are you, what can you do, which model, your name, are you real,"
              " introduce yourself, tell me about yourself, qui es-tu, qui etes-vous, que sais-tu faire,"
              " que savez-vous faire, quel modele, presente-toi, presentez-vous, tu es qui, wer bist du, wer sind sie,"
              " was kannst du, welches modell, stell dich vor, quien eres, quien es usted, que sabes hacer,"
              " que puedes hacer, que modelo, presentate", opens=False),
        Topic("python", 4, "python, django, flask, pandas, numpy, pytest, asyncio, pip, dataclass*", "code"),
        Topic("javascript", 4, "javascript, typescript, js, node, react, css, html, browser, htmx, frontend, navigateur",
              "code"),
        Topic("sql", 4, "sql, postgres*, sqlite, mysql, query, queries, requete sql, requetes sql, database*,"
              " base de donnees, bases de donnees, datenbank*, abfrage*, base de datos, consulta*, join, select", "code"),
        Topic("shell", 4, "bash, shell, terminal, linux, command line, git, docker, ssh, cron, grep, ligne de commande,"
              " kommandozeile, linea de comandos", "code"),
        Topic("code", 2, "code, function*, script*, program*, bug*, debug*, algorithm*, api, regex*, refactor*, unit test*,"
              " fonction*, programme, programmer, algorithme*, tests unitaires, funktion*, programm, programmier*, funcion*,"
              " programa, codigo, json, yaml, class"),
        Topic("summarise", 4, "summari*, summary, tl;dr, tldr, sum up, key points, in short, resume, resumer, resumez,"
              " points cles, synthese, synthetis*, zusammenfass*, fasse, fass, kurzfassung, resumen, resumir, resumeme,"
              " sintesis", opens=False),
        Topic("translate", 5, "translat*, traduis*, traduire, traduct*, traduz*, traduce*, traducir, ubersetz*,"
              " how do you say, comment dit-on, wie sagt man, como se dice"),
        Topic("mail", 3, "mail*, customer*, client*, reply, kunde*, kundin*, reponse a, e-mail*, email*, letter, letters, cover letter, courriel*, lettre*, message a, brief,"
              " e-mails, anschreiben, nachricht, carta*, correo*, mensaje, invitation*, apolog*, excus*, refund*,"
              " rembours*"),
        Topic("rewrite", 3, "rewrite, rephrase, reword, improve, proofread, polish, correct this, grammar, reformul*,"
              " reecri*, ameliore*, corrige*, relis, relecture, umschreib*, umformulier*, verbesser*, korrigier*,"
              " reescrib*, mejora*", "mail"),
        Topic("plan", 3, "plan, plans, planning, roadmap, schedule, timeline, agenda, milestone*, onboarding, strategy,"
              " planifi*, calendrier, feuille de route, etapes, organis*, strategie, zeitplan, ablauf, fahrplan, planen,"
              " planifica*, cronograma, hoja de ruta, pasos"),
        Topic("list", 2, "list, lists, ideas, idea, suggest*, brainstorm*, names for, examples, tips, liste*, idees, idee,"
              " propose*, suggere*, exemples, conseils, noms, ideen, vorschlag*, vorschlage, beispiele, tipps, lista*,"
              " sugier*, propon*, ejemplos, consejos, nombres", opens=True),
        Topic("compare", 3.5, "compare*, comparing, comparison, versus, vs, difference*, better, pros and cons, compar*,"
              " avantages, inconvenients, mieux, vergleich*, unterschied*, besser, vorteile, nachteile, diferencia*,"
              " ventajas, mejor, tableau, table, tabelle, tabla"),
        Topic("explain", 2, "explain*, why, how does, how do, how is, what is, what are, meaning, understand, expliqu*,"
              " pourquoi, comment fonctionne, qu'est-ce, c'est quoi, comprendre, erklar*, warum, wie funktioniert, was ist,"
              " verstehen, bedeutet, explica*, por que, como funciona, que es, entender"),
        Topic("numbers", 4, "calculat*, percent*, how many, how much, average, median, compound interest, maths, math,"
              " statistic*, calcul*, combien, pourcent*, moyenne, mediane, statistiques, rechne*, berechn*, wie viel*,"
              " wieviel*, prozent*, durchschnitt*, cuanto*, porcentaje*, promedio, estadistic*"),
        Topic("recipe", 4, "recipe*, cook*, bake, baking, dinner, lunch, breakfast, dish, soup, cake, bread, recette*,"
              " cuisin*, diner, repas, plat, soupe, gateau, tarte, crepes, rezept*, koch*, abendessen, kuchen, suppe, brot,"
              " receta*, cocin*, cena, sopa, pastel, tortilla", "list"),
        Topic("travel", 4, "travel*, trip*, itinerary, weekend in, visit, holiday*, vacation*, hotel*, train, voyage*,"
              " voyager, itineraire, week-end a, visiter, vacances, sejour, reise*, reisen, urlaub, besuchen, ausflug,"
              " viaje*, viajar, vacaciones, visitar", "plan"),
        Topic("story", 4, "story, stories, tale, poem*, haiku*, poetry, verse, fairy, song, histoire*, conte, poeme*, poesie,"
              " raconte*, chanson, geschichte*, gedicht*, marchen, erzahl*, cuento*, poema*, historia*, cuentame",
              opens=False),
        Topic("gateway", 4, "relayhouse, gateway*, llm*, large language model*, language model*, token*, failover, fallback*,"
              " routing, provider*, passerelle*, fournisseur*, modele de langage, modeles de langage, grand modele, routage,"
              " jeton*, anbieter, sprachmodell*, proveedor*, modelo de lenguaje, modelos de lenguaje, pasarela*,"
              " openai, budget*, presupuesto*"),
    )
}  # fmt: skip


def _pattern(topic: Topic) -> re.Pattern[str] | None:
    if not topic.words:
        return None
    words = (re.escape(word.strip()).replace(r"\*", r"\w*") for word in topic.words.split(","))
    return re.compile(rf"(?<![\w-])(?:{'|'.join(words)})(?![\w-])")


_PATTERNS = [(topic, pattern) for topic in TOPICS.values() if (pattern := _pattern(topic))]
_SUM = re.compile(r"\d\s*(?:[+*/×÷%]|[-−–]\s|\bx\b)\s*\d|\d\s?%\s*(?:of|de|von)\b")


def topic_of(text: str) -> str:
    """The topic with the heaviest words. A question's first lines tell more than what was pasted under them."""
    text = plain(text[:600])
    scores = {topic.name: topic.weight * len(set(pattern.findall(text))) for topic, pattern in _PATTERNS}
    if _SUM.search(text):
        scores["numbers"] += 5
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] else "general"


class Form(StrEnum):
    """How an earlier answer is wanted again."""

    SHORT = "short"
    LONG = "long"
    OTHER = "other"
    SAME = "same"  # in another language


_AGAIN = {
    Form.SHORT: (
        "shorter|briefer|more concise|too long|in one sentence|make it short|shorten|plus court|plus courte|plus bref|"
        "plus breve|raccourci\\w*|abrege\\w*|trop long|en une phrase|kurzer|zu lang|kurze\\w*|knapper|"
        "mas corto|mas corta|mas breve|demasiado largo|acorta\\w*|abrevia\\w*"
    ),
    Form.LONG: (
        "longer|more detail\\w*|elaborate|expand|go on|continue|tell me more|more please|plus long|plus longue|"
        "plus de details?|detaille\\w*|developpe\\w*|continue\\w*|la suite|langer|ausfuhrlicher|"
        "mehr details|mach weiter|mas largo|mas detalle\\w*|continua|sigue"
    ),
    Form.OTHER: (
        "another one|another|again|try again|something else|a new one|un autre|une autre|autrement|recommence|"
        "autre chose|noch ein\\w*|nochmal|etwas anderes|otra vez|otro|otra|de nuevo"
    ),
}
_AGAIN_PATTERNS = {form: re.compile(rf"(?<![\w-])(?:{words})(?![\w-])") for form, words in _AGAIN.items()}


def form_of(text: str) -> Form | None:
    """Whether a turn only asks for the last answer in another form: a few words, one of them telling."""
    words = plain(text)
    if len(words.split()) > 9:
        return None
    return next((form for form, pattern in _AGAIN_PATTERNS.items() if pattern.search(words)), None)
