"""Which places are there, and which of them does this person see? Sidebar, phone bar and palette ask here.

A place joins this list with its page: a link that leads nowhere is never drawn.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from console.access import can


@dataclass(frozen=True, slots=True)
class Place:
    key: str
    label: str | Promise
    icon: str
    name: str  # of its URL
    action: str  # what seeing it needs
    letter: str = ""  # "g" and this letter lead there
    short: str | Promise = ""  # on the phone's bar
    bottom: bool = False  # one of the five at the bottom of a phone
    also: tuple[str, ...] = ()  # other addresses that belong to this place

    @property
    def address(self) -> str:
        return reverse(self.name)


@dataclass(frozen=True, slots=True)
class Group:
    key: str
    places: tuple[Place, ...]
    label: str | Promise = ""  # the heading; empty for the first one
    name: str | Promise = ""  # its landmark's name when there is no heading


GROUPS: tuple[Group, ...] = (
    Group(
        "work",
        (
            Place(
                "overview",
                _("Overview"),
                "home",
                "overview",
                "overview.see",
                "o",
                pgettext_lazy("place on the phone's bar", "Overview"),
                bottom=True,
            ),
            Place(
                "playground",
                _("Playground"),
                "chat",
                "play",
                "play.see",
                "p",
                pgettext_lazy("place on the phone's bar", "Chat"),
                bottom=True,
            ),
        ),
        name=_("Work"),
    ),
    Group(
        "gateway",
        (
            Place("providers", _("Providers"), "plug", "provider-list", "providers.see", "v", bottom=True),
            Place("models", _("Models"), "box", "model-list", "models.see", "m"),
            Place("routing", _("Routing"), "route", "routing", "routing.see", "r"),
        ),
        label=_("Gateway"),
    ),
    Group(
        "observe",
        (Place("requests", _("Requests"), "list", "request-list", "requests.see", "l"),),
        label=_("Observe"),
    ),
    Group(
        "access",
        (
            Place("keys", _("API keys"), "key", "key-list", "keys.see", "k"),
            Place(
                "teams",
                _("Teams"),
                "rooms",
                "team-list",
                "teams.see",
                "g",
                bottom=True,
                also=("/people/", "/new-team/"),
            ),
            Place("settings", _("Settings"), "sliders", "settings", "settings.see", ",", bottom=True),
        ),
        label=_("Access"),
    ),
)


@dataclass(frozen=True, slots=True)
class Act:
    """Something to do that the palette offers. `theme` is done on the spot; the others lead somewhere."""

    label: str | Promise
    icon: str
    action: str
    name: str = ""
    query: str = ""
    theme: str = ""

    @property
    def address(self) -> str:
        return (reverse(self.name) if self.name else "#") + self.query


ACTS: tuple[Act, ...] = (
    Act(_("New room in the playground"), "plus", "play.use", "play"),
    Act(_("Add a provider"), "plus", "providers.change", "provider-create"),
    Act(_("Try a request"), "play", "routing.see", "routing"),
    Act(_("Create an API key"), "plus", "keys.make_own", "key-create"),
    Act(_("Invite a colleague"), "plus", "people.invite", "invitation-create"),
    Act(_("Create a team"), "plus", "teams.create", "team-create"),
    Act(_("Show the first steps"), "check", "overview.see", "overview", "?steps=show"),
    Act(_("Open my profile"), "gear", "profile.change", "profile"),
    Act(_("Use the light theme"), "sun", "profile.change", theme="light"),
    Act(_("Use the dark theme"), "moon", "profile.change", theme="dark"),
    Act(_("Follow the system's theme"), "auto", "profile.change", theme="system"),
    Act(_("Read about the API"), "code", "profile.change", "api-docs"),
    Act(_("See the style guide"), "book", "styleguide.see", "styleguide"),
)


def groups_for(person: Any) -> list[Group]:
    """The groups with the places this person may see; empty ones are left out."""
    seen = []
    for group in GROUPS:
        places = tuple(place for place in group.places if can(person, place.action))
        if places:
            seen.append(Group(group.key, places, group.label, group.name))
    return seen


def acts_for(person: Any) -> list[Act]:
    return [act for act in ACTS if can(person, act.action)]


def here(places: Iterable[Place], path: str) -> str:
    """The key of the place that this path belongs to: the longest address it starts with."""
    fitting = [place for place in places if any(_holds(address, path) for address in (place.address, *place.also))]
    return max(fitting, key=lambda place: len(place.address)).key if fitting else ""


def _holds(address: str, path: str) -> bool:
    return path == address or (address != "/" and path.startswith(address))
