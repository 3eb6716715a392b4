"""What needs this person? The bell lists it: each with its cause, and where to act on it when there is such a page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.access import can
from console.invitations import open_invitations
from console.models import User
from providers.models import Provider
from routing.models import ApiKey

SOON = timedelta(days=2)
KEY_SOON = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Notice:
    icon: str
    title: str | Promise
    detail: str | Promise
    href: str = ""
    act: str | Promise = ""
    tone: str = ""  # ok, warn, bad, info


def notices_for(person: User, now: datetime) -> list[Notice]:
    found = []
    if can(person, "people.invite"):
        found += _ending_invitations(now)
    if can(person, "keys.change"):
        found += _ending_keys(now)
    if can(person, "providers.change"):
        found += _only_the_demonstration()
    return found


def _ending_invitations(now: datetime) -> list[Notice]:
    ending = open_invitations(now).filter(expires_at__lt=now + SOON).count()
    if not ending:
        return []
    title = ngettext("%(n)d invitation ends soon", "%(n)d invitations end soon", ending) % {"n": ending}
    detail = _("Not used yet. A new link lasts seven more days.")
    return [Notice("clock", title, detail, reverse("person-list"), _("Open"), "warn")]


def _ending_keys(now: datetime) -> list[Notice]:
    ending = ApiKey.objects.live(now).filter(expires_at__lt=now + KEY_SOON).count()
    if not ending:
        return []
    title = ngettext("%(n)d API key ends this week", "%(n)d API keys end this week", ending) % {"n": ending}
    href = reverse("key-list") + "?state=attention"
    return [Notice("key", title, _("Calls with it are refused from then on."), href, _("Open"), "warn")]


def _only_the_demonstration() -> list[Notice]:
    kinds = set(Provider.objects.filter(enabled=True).values_list("kind", flat=True))
    if kinds != {"demo"}:
        return []
    return [
        Notice(
            "plug",
            _("Only the demonstration answers"),
            _("Connect a provider with manage.py apply; the quick start shows how."),
            tone="info",
        )
    ]
