"""What the first page says: the state of the house, the first steps, and what happened lately. Real calls only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from allauth.mfa.models import Authenticator
from django.db.models import Case, Count, Q, Sum, When
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.models import LedgerEntry, Request, Team
from console.access import can, memberships_of
from console.audit import KINDS as KINDS_OF_THINGS
from console.audit import VERBS
from console.models import AuditEntry, Invitation, Run, User
from providers.models import LanguageModel, Provider
from providers.registry import KINDS, Kind

# Where verb and kind alone would not make a sentence. Who did it stands before.
SENTENCES = {
    ("invite", "invitation"): _("invited %(name)s"),
    ("resend", "invitation"): _("made a new link for %(name)s"),
    ("ask", "access"): _("asked for access: %(name)s"),
    ("change", "password"): _("changed the password of %(name)s"),
    ("end", "session"): _("ended sessions: %(name)s"),
    ("reset_link", "user"): _("made a reset link for %(name)s"),
    ("activate", "user"): _("activated the account of %(name)s"),
    ("deactivate", "user"): _("deactivated the account of %(name)s"),
    ("add", "authenticator"): _("turned on two-factor: %(name)s"),
    ("remove", "authenticator"): _("turned off two-factor: %(name)s"),
    ("change", "authenticator"): _("renewed two-factor: %(name)s"),
    ("add", "membership"): _("added to a team: %(name)s"),
    ("remove", "membership"): _("removed from a team: %(name)s"),
}
PROVIDERS = 12
CHANGES = 5
DAY = timedelta(hours=24)
COMINGS_AND_GOINGS = ("sign_in", "sign_out", "sign_in_failed")


@dataclass(frozen=True, slots=True)
class Step:
    key: str
    title: str | Promise
    detail: str | Promise
    done: bool
    address: str
    act: str | Promise
    run: Run | None = None  # the answer that was the first one


@dataclass(frozen=True, slots=True)
class Day:
    """The last 24 hours, of everybody or of one person."""

    requests: int
    answered: int
    spent: list[tuple[int, str]]  # nano-units and their currency, largest first; never added across currencies
    unpriced: int

    @property
    def share(self) -> float | None:
        return self.answered / self.requests if self.requests else None


def steps_for(person: User) -> list[Step]:
    """The first steps this person can take here and now, in order."""
    steps = []
    if can(person, "play.use"):
        answer = first_answer(person)
        steps.append(
            Step(
                "answer",
                _("First answer"),
                _("Ask the demonstration model. It needs no key and costs nothing."),
                answer is not None,
                reverse("play"),
                _("Ask"),
                answer,
            )
        )
    if can(person, "providers.change"):
        steps.append(
            Step(
                "provider",
                _("Connect a provider"),
                _("Paste a key and watch it being checked."),
                Provider.objects.exclude(kind="demo").exists(),
                reverse("provider-create"),
                _("Connect"),
            )
        )
    if can(person, "people.invite"):
        steps.append(
            Step(
                "colleague",
                _("Invite a colleague"),
                _("A link to copy. You choose the role and the teams."),
                Invitation.objects.exists() or User.objects.count() > 1,
                reverse("invitation-create"),
                _("Invite"),
            )
        )
    steps.append(
        Step(
            "factor",
            _("Turn on two-factor"),
            _("A code from your phone, besides the password."),
            Authenticator.objects.filter(user=person, type=Authenticator.Type.TOTP).exists(),
            reverse("mfa_activate_totp"),
            _("Turn on"),
        )
    )
    return steps


def first_answer(person: User) -> Run | None:
    answers = Run.objects.filter(message__room__owner=person, status=Run.Status.DONE)
    return answers.order_by("ended_at").first()


def last_day(now: datetime, person: User | None = None) -> Day:
    """Of one person, or of everybody. Checks and probes are nobody's requests."""
    requests = Request.objects.real().filter(started_at__gt=now - DAY).exclude(purpose="system")
    entries = LedgerEntry.objects.real().filter(started_at__gt=now - DAY).exclude(purpose="system")
    if person is not None:
        requests, entries = requests.filter(user_id=person.pk), entries.filter(user_id=person.pk)
    counted = requests.aggregate(all=Count("id"), ok=Count("id", filter=Q(status="ok")))
    sums = entries.values("currency").annotate(
        nano=Sum("amount_nano"), unpriced=Count("id", filter=Q(amount_nano=None))
    )
    rows = list(sums)
    spent = [(row["nano"], row["currency"]) for row in rows if row["nano"] is not None and row["currency"]]
    return Day(counted["all"], counted["ok"], sorted(spent, reverse=True), sum(row["unpriced"] for row in rows))


def listed_providers() -> list[tuple[Provider, Kind | str]]:
    """Each with its tile: of its kind, or of its name where this version does not know the kind."""
    rows = Provider.objects.annotate(models_on=Count("models", filter=Q(models__active=True)))
    return [(row, KINDS.get(row.kind, row.name)) for row in rows.by_priority()[:PROVIDERS]]


def example_model(default: str) -> str:
    """A model that would answer if it were asked for by name: the house's own default, else the first; or empty."""
    able = LanguageModel.objects.active().filter(provider__enabled=True, provider__inactive_reason="")
    chatting = able.filter(use=LanguageModel.Use.CHAT, only_as_fallback=False).select_related("provider")
    slug, _, model_id = default.partition(":")
    default_first = Case(When(provider__slug=slug, model_id=model_id, then=0), default=1)
    found = chatting.order_by(default_first, "provider__priority", "provider__slug", "model_id").first()
    return str(found) if found else ""


def example_team(person: User) -> str:
    own = memberships_of(person)
    if own:
        return own[0].team.name
    return Team.objects.filter(archived_at=None).values_list("name", flat=True).first() or ""


def changes() -> list[tuple[AuditEntry, str]]:
    """The latest changes, each in words."""
    found = AuditEntry.objects.exclude(verb__in=COMINGS_AND_GOINGS).order_by("-id")[:CHANGES]
    return [(entry, told(entry)) for entry in found]


def told(entry: AuditEntry) -> str:
    """Who did it stands before these words."""
    special = SENTENCES.get((entry.verb, entry.object_kind))
    if special:
        return str(special) % {"name": entry.object_name}
    words = {
        "verb": VERBS.get(entry.verb, entry.verb),
        "kind": KINDS_OF_THINGS.get(entry.object_kind, entry.object_kind),
        "name": entry.object_name,
    }
    # Translators: "created the team Research"
    return gettext("%(verb)s %(kind)s %(name)s") % words


def provider_counts() -> dict[str, int]:
    """How many can answer, how many of them are more than the demonstration, how many cannot although they are on."""
    able = Q(enabled=True, inactive_reason="")
    return Provider.objects.aggregate(
        able=Count("pk", filter=able),
        real=Count("pk", filter=able & ~Q(kind="demo")),
        ailing=Count("pk", filter=Q(enabled=True) & ~Q(inactive_reason="")),
    )
