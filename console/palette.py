"""What could these letters mean? Acts, places, providers, models, teams and people, as far as this person may see them.

Ranked by how the letters fit: the beginning of the text, then of a word, then anywhere, then in order with gaps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Q
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from billing.ids import PREFIX
from console import traffic
from console.access import can, visible_teams
from console.lineup import visible_models
from console.models import User
from console.navigation import acts_for, groups_for
from providers.models import Provider
from providers.registry import KINDS

MOST = 12
FIRST_ACTS = 4
LONGEST = 100
READ = 200  # rows read of one table to rank; a longer word narrows them


@dataclass(frozen=True, slots=True)
class Row:
    label: str
    href: str
    icon: str = ""
    detail: str = ""
    letter: str = ""
    theme: str = ""
    mark: Any = None  # the kind whose tile stands in front
    person: Any = None
    spans: tuple[tuple[int, int], ...] = ()  # which letters of the label fit

    @property
    def marked(self) -> SafeString:
        pieces, at = [], 0
        for start, end in self.spans:
            pieces.append(format_html("{}<mark>{}</mark>", self.label[at:start], self.label[start:end]))
            at = end
        return format_html("{}{}", format_html_join("", "{}", ((piece,) for piece in pieces)), self.label[at:])


@dataclass(frozen=True, slots=True)
class Found:
    label: str | Promise
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class Fit:
    """How letters fit a text: 0 its beginning, 1 the beginning of a word, 2 inside, 3 with gaps."""

    rank: int
    spans: tuple[tuple[int, int], ...]


def fit(letters: str, text: str) -> Fit | None:
    """None when they do not. Without letters everything fits."""
    wanted, within = letters.lower(), text.lower()
    at = within.find(wanted)
    if at == 0:
        return Fit(0, ((0, len(wanted)),) if wanted else ())
    while at > 0:
        if not within[at - 1].isalnum():
            return Fit(1, ((at, at + len(wanted)),))
        at = within.find(wanted, at + 1)
    at = within.find(wanted)
    if at > 0:
        return Fit(2, ((at, at + len(wanted)),))
    spans, at = [], 0
    for letter in wanted.replace(" ", ""):
        at = within.find(letter, at)
        if at < 0:
            return None
        spans.append((at, at + 1))
        at += 1
    return Fit(3, tuple(spans))


def search(person: User, letters: str) -> list[Found]:
    """Without letters: what one can do and where one can go. At most twelve rows, the best of each group first."""
    letters = letters.strip()[:LONGEST]
    acts, places = list(_acts(person)), list(_places(person))
    if not letters:
        acts = acts[:FIRST_ACTS]  # so that the places stand in view too
    groups: list[tuple[str | Promise, Iterable[Row]]] = [(_("Actions"), acts), (_("Go to"), places)]
    if letters:
        groups += [
            (_("Providers"), _providers(person, letters)),
            (_("Models"), _models(person, letters)),
            (_("Teams"), _teams(person, letters)),
            (_("People"), _people(person, letters)),
            (_("Requests"), _requests(person, letters)),
        ]
    ranked = [(label, _ranked(rows, letters)) for label, rows in groups]
    return _best(sorted((one for one in ranked if one[1]), key=lambda one: one[1][0][0]))  # the closest group first


def _ranked(rows: Iterable[Row], letters: str) -> list[tuple[int, Row]]:
    fitting = []
    for row in rows:
        found = fit(letters, row.label)
        if found:
            fitting.append((found.rank, replace(row, spans=found.spans)))
        elif row.detail and (beside := fit(letters, row.detail)) and beside.rank < 3:
            fitting.append((beside.rank + 1, row))
    return sorted(fitting, key=lambda one: one[0])


def _best(groups: list[tuple[str | Promise, list[tuple[int, Row]]]]) -> list[Found]:
    """The twelve best rows of all groups; a loose fit gives way to a close one in another group."""
    everything = sorted(
        (rank, which, place) for which, (_label, rows) in enumerate(groups) for place, (rank, _row) in enumerate(rows)
    )
    kept = {(which, place) for _rank, which, place in everything[:MOST]}
    found = []
    for which, (label, rows) in enumerate(groups):
        chosen = [row for place, (_rank, row) in enumerate(rows) if (which, place) in kept]
        if chosen:
            found.append(Found(label, chosen))
    return found


def _acts(person: User) -> Iterator[Row]:
    for act in acts_for(person):
        yield Row(str(act.label), act.address, act.icon, theme=act.theme)


def _places(person: User) -> Iterator[Row]:
    for group in groups_for(person):
        for place in group.places:
            yield Row(str(place.label), place.address, place.icon, letter=place.letter)


def _providers(person: User, letters: str) -> Iterator[Row]:
    if not can(person, "providers.see"):
        return
    for provider in Provider.objects.filter(_loosely(letters, "name", "slug")).by_priority()[:READ]:
        href = reverse("provider-detail", args=[provider.slug])
        yield Row(provider.name, href, detail=provider.slug, mark=KINDS.get(provider.kind, provider))


def _models(person: User, letters: str) -> Iterator[Row]:
    if not can(person, "models.see"):
        return
    rows = visible_models(person).filter(_loosely(letters, "model_id", "name"), active=True, provider__enabled=True)
    for model in rows.order_by("provider__priority", "model_id")[:READ]:
        yield Row(
            model.name or model.model_id,
            reverse("model-detail", args=[model.pk]),
            detail=f"{model.provider.slug}:{model.model_id}",
            mark=KINDS.get(model.provider.kind, model.provider),
        )


def _teams(person: User, letters: str) -> Iterator[Row]:
    if not can(person, "teams.see"):
        return
    for team in visible_teams(person).filter(_loosely(letters, "name"), archived_at=None)[:READ]:
        yield Row(team.name, reverse("team-detail", args=[team.slug]), "rooms", team.description)


def _people(person: User, letters: str) -> Iterator[Row]:
    if not can(person, "people.see"):
        return
    for other in User.objects.filter(_loosely(letters, "name", "email"), is_active=True)[:READ]:
        yield Row(str(other), reverse("person-detail", args=[other.pk]), detail=other.email, person=other)


def _requests(person: User, letters: str) -> Iterator[Row]:
    """Only of a whole id: nobody looks for one by its beginning."""
    if not (can(person, "requests.see") and letters.lower().startswith(PREFIX)):
        return
    found = traffic.one(traffic.sight_of(person), letters.lower().partition("-")[0])
    if found is not None:
        yield Row(found.id, reverse("request-detail", args=[found.id]), "list", found.asked_model)


def _loosely(letters: str, *fields: str) -> Q:
    """Rows that hold these letters in this order; how well they fit is ranked in Python.

    Each gap excludes the letter that ends it, so that no text can make the pattern slow.
    """
    first, *others = [_escaped(letter) for letter in letters if not letter.isspace()]
    pattern = first + "".join(f"[^{letter}]*{letter}" for letter in others)
    condition = Q()
    for field in fields:
        condition |= Q(**{f"{field}__iregex": pattern})
    return condition


def _escaped(letter: str) -> str:
    return letter if letter.isalnum() else "\\" + letter
