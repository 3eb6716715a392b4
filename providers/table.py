"""The page about every vendor, printed from the table: docs/providers.md and its French twin."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, pgettext

from providers.adapters import speaks
from providers.registry import KINDS, OPENAI_ONLY, Kind, Place

FORMATS = {
    "openai": "OpenAI Chat Completions",
    "responses": "OpenAI Responses",
    "anthropic": "Anthropic Messages",
    "gemini": "Gemini generateContent",
    "bedrock": "Bedrock Converse",
    "ollama": "Ollama",
    "copilot": "Microsoft Graph",
}


# Names of addresses in the rows, for the catalogue: the rows themselves know no translation.
ADDRESSES = (
    gettext_noop("China"),
    gettext_noop("United States"),
    gettext_noop("a deployment of your own"),
    gettext_noop("a project"),
    gettext_noop("a workspace"),
    gettext_noop("from a container of Docker Desktop"),
    gettext_noop("from a container of Docker Engine"),
)
WIDTH = 120
_CODE = re.compile(r"`[^`]*`")


def page() -> str:
    kinds = [kind for kind in KINDS.values() if kind.place is not Place.INSIDE]
    used = [kind for kind in kinds if speaks(kind) and not kind.retired]
    return "\n\n".join([*_who(kinds), *_keys(used), *_abilities(used), *_changes(used), *_trial()]) + "\n"


def _who(kinds: list[Kind]) -> list[str]:
    others = ((kind, name, url) for kind in kinds for name, url in kind.variants.items())
    return [
        f"# {_('Providers')}",
        _prose(
            _("Every vendor is one row of `providers/registry.py`. This page is printed from those rows:"),
            "`manage.py provider table`.",
        ),
        f"## {_('Who they are')}",
        _table(
            (_("kind"), _("name"), _("where"), _("format"), _("address")),
            ((_code(kind.slug), kind.name, _where(kind), _format(kind), _address(kind)) for kind in kinds),
        ),
        f"## {_('Other addresses of the same vendor')}",
        _table(
            (_("kind"), _("which"), _("address")),
            ((_code(kind.slug), _(name), _code(url)) for kind, name, url in others),
        ),
    ]


def _keys(kinds: list[Kind]) -> list[str]:
    return [
        f"## {_('Keys and options')}",
        _prose(_("A key is pasted, or comes from an environment variable. Options that are needed stand first.")),
        _table(
            (_("kind"), _("variable"), _("where the key is found"), _("options")),
            ((_code(kind.slug), _code(kind.variable), kind.key_place, _codes(_options(kind))) for kind in kinds),
        ),
    ]


def _abilities(kinds: list[Kind]) -> list[str]:
    return [
        f"## {_('What they answer')}",
        _table(
            (_("kind"), _("list of models"), _("texts a request, for embeddings"), _("health"), _("tells the cost")),
            (
                (
                    _code(kind.slug),
                    _yes(bool(kind.models_path)),
                    _texts_at_once(kind),
                    _health(kind),
                    _yes(kind.sees_cost),
                )
                for kind in kinds
            ),
        ),
    ]


def _texts_at_once(kind: Kind) -> str:
    if not kind.embeddings_path:
        return ""
    others = [f"{_code(words)}: {most}" for words, most in kind.embedding_batches.items()]
    return f"{kind.embedding_batch} ({', '.join(others)})" if others else str(kind.embedding_batch)


def _changes(kinds: list[Kind]) -> list[str]:
    changed = [kind for kind in kinds if kind.renames or kind.drops or kind.message_keeps]
    return [
        f"## {_('What is changed on the way')}",
        _prose(
            _("Fields that a vendor does not take are left out, and `x-relayhouse-warnings` says so."),
            _("What a vendor added to a message of its own goes back to that vendor alone."),
        ),
        _prose(_("OpenAI’s own fields, which hardly anybody else takes:"), _codes(sorted(OPENAI_ONLY)) + "."),
        _table(
            (_("kind"), _("sent under another name"), _("left out"), _("given back")),
            (
                (
                    _code(kind.slug),
                    _codes(f"{old} → {new}" for old, new in sorted(kind.renames.items())),
                    _left_out(kind),
                    _codes(sorted(kind.message_keeps)),
                )
                for kind in changed
            ),
        ),
    ]


def _trial() -> list[str]:
    return [
        f"## {_('The first trial with a real key')}",
        _prose(
            _("What the rows say was read in the vendors’ documents. The first trial of each should be recorded:"),
            _("a plain answer, a streamed tool call, a bad key, an unknown model, a prompt that is too long."),
            _("`manage.py provider record PROVIDER --into FOLDER` asks these five things."),
            _("It writes down what was sent and what came, and leaves out keys and accounts."),
            _("The calls are real, cost what they cost, and are not in the ledger."),
            _("Read the files before you give them to anybody."),
            _("In `tests/recordings/` they become tests."),
        ),
    ]


def _prose(*sentences: str) -> str:
    whole = _CODE.sub(lambda found: found[0].replace(" ", "\0"), " ".join(sentences))
    return textwrap.fill(whole, WIDTH, break_long_words=False, break_on_hyphens=False).replace("\0", " ")


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [_line(heads), "|" + "---|" * len(tuple(heads))]
    return "\n".join([*lines, *map(_line, rows)])


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _codes(texts: Iterable[str]) -> str:
    return ", ".join(map(_code, texts))


def _yes(told: bool) -> str:
    return _("yes") if told else ""


def _where(kind: Kind) -> str:
    if kind.retired:
        return _("retired")
    if kind.place is Place.LOCAL:
        return _("a server of your own")
    if kind.gathers:
        return _("resells the models of others")
    return _("cloud, in the EU") if kind.eu else pgettext("where a provider is", "cloud")


def _format(kind: Kind) -> str:
    return FORMATS.get(kind.wire.value, kind.wire.value)


def _address(kind: Kind) -> str:
    return _code(kind.base_url) or _("of your own")


def _options(kind: Kind) -> list[str]:
    given = [*kind.needs, *kind.defaults, *kind.headers.values(), *(["style"] if kind.styles else [])]
    return list(dict.fromkeys(name for name in given if name != "base_url"))


def _health(kind: Kind) -> str:
    if kind.health_path:
        return _code(kind.health_path)
    return _("the list of models") if kind.models_path else _("only a chat tells")


def _left_out(kind: Kind) -> str:
    """By name what is particular to it; the long list that most leave out as one."""
    taken = OPENAI_ONLY - kind.drops
    names = {*kind.drops, *kind.takes, *(f"messages.{name}" for name in kind.message_drops)}
    names |= {f"tools.function.{name}" for name in kind.tool_drops}
    if 2 * len(taken) > len(OPENAI_ONLY):
        return _codes(sorted(names))
    words = _("OpenAI’s own fields")
    if taken:
        words = _("OpenAI’s own fields (but for %(names)s)") % {"names": _codes(sorted(taken))}
    return ", ".join(filter(None, [words, _codes(sorted(names - OPENAI_ONLY))]))
