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
            if "reason" in parts:
                parts["reason"] = in_words(parts["reason"])
            return str(words) % parts
    return gettext(sentence) if sentence else ""


def order_in_words(slugs: str) -> str:
    """ "mistral, then groq": those that may be asked, one after the other."""
    return gettext(", then ").join(slugs.split(", then "))
