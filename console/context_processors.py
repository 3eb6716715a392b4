"""What every page shows around its own content, worked out only when the page asks for it."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

from billing.models import Organisation
from console.fleet import attention_count
from console.forms.choices import languages
from console.house import organisation_of
from console.models import User
from console.navigation import Group, Place, groups_for, here
from console.notices import Notice, notices_for
from console.palette import Found, search

THEME_COOKIE = "relayhouse_theme"


def shell(request: HttpRequest) -> dict[str, Any]:
    return {"brand": settings.BRAND, "shell": Shell(request)}


class Shell:
    def __init__(self, request: HttpRequest) -> None:
        self.request = request

    @cached_property
    def person(self) -> User | None:
        person = getattr(self.request, "user", None)
        return person if isinstance(person, User) else None

    @cached_property
    def organisation(self) -> Organisation:
        return organisation_of(self.request)

    @property
    def label(self) -> str:
        """The environment: what the installation was started with, else what its owner wrote."""
        return str(settings.ENVIRONMENT_LABEL) or self.organisation.label

    @cached_property
    def groups(self) -> list[Group]:
        return groups_for(self.person)

    @property
    def places(self) -> list[Place]:
        return [place for group in self.groups for place in group.places]

    @property
    def bottom(self) -> list[Place]:
        return [place for place in self.places if place.bottom][:4]

    @property
    def here(self) -> str:
        return here(self.places, self.request.path)

    @cached_property
    def ailing(self) -> int:
        """Providers that need somebody."""
        return attention_count(timezone.now())

    @cached_property
    def notices(self) -> list[Notice]:
        return notices_for(self.person, timezone.now()) if self.person else []

    @cached_property
    def first_results(self) -> list[Found]:
        """What the palette shows before anything is typed."""
        return search(self.person, "") if self.person else []

    @property
    def theme(self) -> str:
        if self.person:
            return self.person.theme
        kept = self.request.COOKIES.get(THEME_COOKIE, "")
        return kept if kept in User.Theme.values else User.Theme.SYSTEM

    @property
    def shortcuts(self) -> bool:
        return self.person is None or self.person.shortcuts

    @property
    def languages(self) -> list[tuple[str, str]]:
        return languages()
