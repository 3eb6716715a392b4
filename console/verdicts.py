"""What the engine and the lists of models say of a candidate, in the reader's language.

They say it in English, and so it is kept with the request. A sentence that is not in this table stays as it is.
"""

from __future__ import annotations

import re

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

SENTENCES: tuple[tuple[str, str | Promise], ...] = (
    (r"named in the request", _("named in the request")),
    (r"the team default", _("the team's default")),
    (r"the house default", _("the organisation's default")),
    (r"first, priority (?P<number>\d+)", _("first, priority %(number)s")),
    (r"fallback, priority (?P<number>\d+)", _("fallback, priority %(number)s")),
    (r"first, priority (?P<number>\d+), marked as only a fallback", _("first, priority %(number)s, only as fallback")),
    (
        r"fallback, priority (?P<number>\d+), marked as only a fallback",
        _("fallback, priority %(number)s, only as fallback"),
    ),
    (r"first of the route", _("first of the route")),
    (r"drawn, weight (?P<weight>[\d.]+)", _("drawn, weight %(weight)s")),
    (r"not drawn, weight (?P<weight>[\d.]+)", _("not drawn, weight %(weight)s")),
    (r"cheapest: (?P<what>.+)", _("the cheapest: %(what)s")),
    (r"fastest: (?P<what>.+)", _("the fastest: %(what)s")),
    (r"least busy: (?P<what>.+)", _("the least busy: %(what)s")),
    (r"next: (?P<what>.+)", _("next: %(what)s")),
    (r"fallback", _("fallback")),
    (r"fallback, only for (?P<what>.+)", _("fallback, only for %(what)s")),
    (r"(?P<verdict>.+), which is not what happened", _("%(verdict)s, which is not what happened")),
    (r"not connected \(.+\)", _("not connected")),
    (r"arm (?P<arm>.+) of (?P<key>.+)", _("arm %(arm)s of %(key)s")),
    (r"flag '(?P<key>.+)': (?P<why>.+)", _("flag '%(key)s': %(why)s")),
    (
        r"about (?P<cost>[\d.]+) (?P<currency>\w+), over the maximum of tier (?P<tier>\S+), (?P<most>[\d.]+) \w+",
        _("about %(cost)s %(currency)s, over the %(most)s %(currency)s of tier %(tier)s"),
    ),
    (
        r"next cheaper model within the maximum of tier (?P<tier>\S+): about (?P<cost>[\d.]+) (?P<currency>\w+)",
        _("the next cheaper model that tier %(tier)s allows: about %(cost)s %(currency)s"),
    ),
    (r"its circuit is open until (?P<when>.+)", _("its circuit is open until %(when)s")),
    (
        r"its circuit is open, and nobody else is left: tried all the same",
        _("its circuit is open, and nobody else is left: tried all the same"),
    ),
    (
        r"(?P<name>.+) is not one of our own servers, which the data policy of this team forbids",
        _("%(name)s is not one of our own servers, which the data policy of this team forbids"),
    ),
    (
        r"(?P<name>.+) is not known to keep data within the EU, which the data policy of this team forbids",
        _("%(name)s is not known to keep data within the EU, which the data policy of this team forbids"),
    ),
    (
        r"(?P<name>.+) is not known to leave data out of its training, which the data policy of this team forbids",
        _("%(name)s is not known to leave data out of its training, which the data policy of this team forbids"),
    ),
    (
        r"no route for (?P<use_case>\S+) applies, or none of its models is connected: the default model answers",
        _("no route for %(use_case)s applies, or none of its models is connected: the default model answers"),
    ),
    (r"pretended: it cannot be reached", _("pretended: it cannot be reached")),
    (r"pretended: its first token does not come in time", _("pretended: its first token does not come in time")),
    (r"pretended: it says (?P<status>\d+)", _("pretended: it says %(status)s")),
    (r"pretended: it refuses the key", _("pretended: it refuses the key")),
    (r"pretended: its limit is reached", _("pretended: its limit is reached")),
    (r"pretended: nothing is left of the budget for it", _("pretended: nothing is left of the budget for it")),
    (r"this key may not use it", _("this key may not use it")),
    (r"(?P<name>.+) is for chat, not for embeddings", _("%(name)s is for chat, not for embeddings")),
    (r"(?P<name>.+) is for embeddings, not for chat", _("%(name)s is for embeddings, not for chat")),
    (r"(?P<name>.+) does not list (?P<model>.+) any more", _("%(name)s does not list %(model)s any more")),
    (r"(?P<name>.+) is switched off", _("%(name)s is switched off")),
    (r"(?P<name>.+) is gone", _("%(name)s is gone")),
    (r"(?P<name>.+) is being tried by another team", _("%(name)s is being tried by another team")),
    (r"(?P<name>.+?) is inactive: (?P<reason>.+)", _("%(name)s is inactive: %(reason)s")),
    (r"[Tt]he environment variable (?P<name>\w+) is not set", _("the environment variable %(name)s is not set")),
    (r"it has no API key", _("it has no API key")),
    (r"its API key has ended", _("its API key has ended")),
    (
        r"Relayhouse does not speak the format of (?P<name>.+) yet",
        _("Relayhouse does not speak the format of %(name)s yet"),
    ),
)
_PATTERNS = tuple((re.compile(pattern), words) for pattern, words in SENTENCES)


def in_words(sentence: str) -> str:
    for pattern, words in _PATTERNS:
        found = pattern.fullmatch(sentence.removesuffix("."))
        if found:
            parts = found.groupdict()
            for nested in ("reason", "verdict"):
                if nested in parts:
                    parts[nested] = in_words(parts[nested])
            return str(words) % parts
    return gettext(sentence) if sentence else ""


def order_in_words(slugs: str) -> str:
    """ "mistral, then groq": those that may be asked, one after the other."""
    return gettext(", then ").join(slugs.split(", then "))
