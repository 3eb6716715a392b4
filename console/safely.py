"""The six steps in which a new provider is brought in, and where one of them stands."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from billing.models import Attempt
from console import trials
from console.models import AuditEntry
from providers.models import LanguageModel, Provider

WATCHED = 20  # real requests after which its figures say something


@dataclass(frozen=True, slots=True)
class Step:
    key: str
    title: str | Promise
    words: str | Promise
    done: bool
    act: str | Promise
    href: str


def steps_of(provider: Provider) -> list[Step]:
    slug = provider.slug
    calls = Attempt.objects.filter(provider_id=provider.pk)[:WATCHED].count()
    active = LanguageModel.objects.filter(provider=provider, active=True)
    tried_by_one = bool(provider.only_teams) or _changed(provider, "only_teams")
    return [
        Step(
            "connected",
            _("Connected"),
            _("Its address answers and its key is accepted."),
            provider.models_read_at is not None and not provider.inactive_reason,
            _("See the keys"),
            reverse("provider-credentials", args=[slug]),
        ),
        Step(
            "configured",
            _("Configured"),
            _("The models you want are on, and each has a price."),
            active.exists() and not active.filter(prices=None).exists(),
            _("Choose models"),
            reverse("provider-models", args=[slug]),
        ),
        Step(
            "tested",
            _("Tested"),
            _("Five calls: plain, streamed, with a tool, to a model that is not there, and a long one to count."),
            trials.passed(provider.trial),
            _("Run the tests"),
            reverse("provider-detail", args=[slug]) + "#trial",
        ),
        Step(
            "one-team",
            _("Tried by one team"),
            _("It answers one team before everybody relies on it."),
            tried_by_one,
            _("Choose the team"),
            reverse("provider-detail", args=[slug]) + "#teams",
        ),
        Step(
            "watched",
            _("Watched"),
            _("Twenty real calls, after which its figures mean something."),
            calls >= WATCHED,
            _("See its figures"),
            reverse("provider-detail", args=[slug]) + "#figures",
        ),
        Step(
            "adjusted",
            _("Adjusted and opened"),
            _("Time limits and priority are set, and it answers everybody."),
            not provider.only_teams and _changed(provider, "timeout_seconds", "options", "priority"),
            _("Set limits"),
            reverse("provider-limits", args=[slug]),
        ),
    ]


def _changed(provider: Provider, *fields: str) -> bool:
    """Whether somebody changed one of these here since it was connected."""
    entries = AuditEntry.objects.filter(object_kind="provider", object_id=str(provider.pk), verb="change")
    return any(
        field in (content.get("after") or {})
        for content in entries.values_list("content", flat=True)[:200]
        if content
        for field in fields
    )
