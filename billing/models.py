"""Whose money it is and where it went: organisation, teams, prices, and the three append-only record tables.

`Request`, `Attempt` and `LedgerEntry` are written by the journal's loader only. They have no foreign keys, are unique
on (id, started_at) and live in monthly partitions on Postgres.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from providers.models import Decisive, LanguageModel


class Organisation(Decisive):
    """One row: the house itself."""

    name = models.CharField(_("name"), max_length=120, default="Relayhouse")
    label = models.CharField(_("environment label"), max_length=40, blank=True)
    time_zone = models.CharField(_("time zone"), max_length=60, default="UTC")
    currency = models.CharField(_("currency"), max_length=3, default="USD")
    language = models.CharField(_("language"), max_length=10, default="en")
    default_model = models.CharField(_("default model"), max_length=300, blank=True)
    claimed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="organisation_is_one_row")]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def get(cls) -> Organisation:
        return cls.objects.get_or_create(id=1)[0]


class DataPolicy(models.TextChoices):
    """Where the data of a team may go; blank: to any provider."""

    NO_TRAINING = "no_training", _("Only where nobody trains on it")
    EU_ONLY = "eu_only", _("Only within the EU")
    LOCAL_ONLY = "local_only", _("Only to our own servers")


class Team(Decisive):
    name = models.CharField(_("name"), max_length=80, unique=True)
    slug = models.SlugField(_("slug"), max_length=80, unique=True)
    description = models.CharField(_("description"), max_length=300, blank=True)
    default_model = models.CharField(_("default model"), max_length=300, blank=True)
    members_make_keys = models.BooleanField(_("members may create their own keys"), default=False)
    # Of all its keys together, a minute; and running at once. Null: no limit.
    requests_per_minute = models.PositiveIntegerField(_("requests a minute"), null=True, blank=True)
    tokens_per_minute = models.PositiveBigIntegerField(_("tokens a minute"), null=True, blank=True)
    concurrency = models.PositiveIntegerField(_("requests at once"), null=True, blank=True)
    data_policy = models.CharField(_("where its data may go"), max_length=20, choices=DataPolicy, blank=True)
    keeps_content = models.BooleanField(_("keep what was asked and answered"), default=False)
    archived_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self.slug:
            stem = slugify(self.name)[:70] or "team"
            taken = set(Team.objects.filter(slug__startswith=stem).values_list("slug", flat=True))
            self.slug = next(s for s in [stem, *(f"{stem}-{n}" for n in range(2, len(taken) + 3))] if s not in taken)
        super().save(*args, **kwargs)


class Membership(models.Model):
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    lead = models.BooleanField(_("team lead"), default=False)
    joined_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["user__name"]
        constraints = [models.UniqueConstraint(fields=["team", "user"], name="one_membership_per_team")]

    def __str__(self) -> str:
        return f"{self.user} in {self.team}"


class Price(Decisive):
    """What a model costs per million tokens from a moment on. Never edited: a change is a new row."""

    model = models.ForeignKey(LanguageModel, on_delete=models.CASCADE, related_name="prices")
    currency = models.CharField(_("currency"), max_length=3, default="USD")
    input_per_million = models.DecimalField(max_digits=18, decimal_places=9, validators=[MinValueValidator(0)])
    output_per_million = models.DecimalField(max_digits=18, decimal_places=9, validators=[MinValueValidator(0)])
    cached_per_million = models.DecimalField(max_digits=18, decimal_places=9, null=True, blank=True)
    cache_write_per_million = models.DecimalField(max_digits=18, decimal_places=9, null=True, blank=True)
    reasoning_per_million = models.DecimalField(max_digits=18, decimal_places=9, null=True, blank=True)
    per_request = models.DecimalField(max_digits=18, decimal_places=9, default=0)
    audio_input_per_million = models.DecimalField(max_digits=18, decimal_places=9, null=True, blank=True)
    audio_output_per_million = models.DecimalField(max_digits=18, decimal_places=9, null=True, blank=True)
    # Other rates for long prompts and at certain hours: see billing/costs.py for what a row holds.
    tiers = models.JSONField(default=list, blank=True)
    windows = models.JSONField(default=list, blank=True)
    batch_share = models.DecimalField(max_digits=4, decimal_places=3, null=True, blank=True)  # 0.5: half price
    set_by_id = models.BigIntegerField(null=True, blank=True)  # who typed it; null when it was read somewhere
    valid_from = models.DateTimeField(default=timezone.now)
    valid_until = models.DateTimeField(null=True, blank=True)
    source = models.CharField(_("source"), max_length=200)

    class Meta:
        ordering = ["model_id", "-valid_from"]
        constraints = [models.UniqueConstraint(fields=["model", "valid_from"], name="one_price_per_model_and_moment")]

    def __str__(self) -> str:
        return f"{self.input_per_million}/{self.output_per_million} {self.currency} from {self.valid_from:%Y-%m-%d}"


class PriceProposal(models.Model):
    """A price that the sync found and nobody has decided on yet. Accepting it writes a Price, dismissing it a date."""

    class State(models.TextChoices):
        OPEN = "open", _("Open")
        ACCEPTED = "accepted", _("Accepted")
        DISMISSED = "dismissed", _("Dismissed")

    model = models.ForeignKey(LanguageModel, on_delete=models.CASCADE, related_name="proposals")
    values = models.JSONField()  # the fields of a Price, amounts as text
    source = models.CharField(max_length=200)
    state = models.CharField(max_length=12, choices=State.choices, default=State.OPEN)
    found_at = models.DateTimeField(default=timezone.now)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by_id = models.BigIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["-found_at"]
        constraints = [
            models.UniqueConstraint(fields=["model"], condition=Q(state="open"), name="one_open_proposal_per_model")
        ]

    def __str__(self) -> str:
        return f"{self.model} from {self.source}: {self.state}"


class ProviderHour(models.Model):
    """What the traffic of one hour said about a provider. Reckoned from the attempts, and reckoned again at will."""

    provider_id = models.BigIntegerField()
    hour = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    rerouted = models.PositiveIntegerField(default=0)  # requests that failed here and were answered elsewhere
    # How many first tokens came within each bound of billing/hours.py, so that medians of days can be had too.
    first_tokens = models.JSONField(default=list)
    amounts = models.JSONField(default=dict)  # nano-units by currency

    class Meta:
        constraints = [models.UniqueConstraint(fields=["provider_id", "hour"], name="one_row_per_provider_and_hour")]
        indexes = [models.Index(fields=["hour"], name="provider_hour_by_hour")]

    def __str__(self) -> str:
        return f"{self.provider_id} at {self.hour:%Y-%m-%d %H}"


class Budget(models.Model):
    """How much a key may spend in each window of a calendar. What was spent the ledger says: nothing is ever reset."""

    class Period(models.TextChoices):
        DAY = "day", _("a day")
        WEEK = "week", _("a week")
        MONTH = "month", _("a month")
        TOTAL = "total", _("in all")

    class AtLimit(models.TextChoices):
        BLOCK = "block", _("Refuse")
        DOWNGRADE = "downgrade", _("One tier lower, if that fits")

    # Billing refers upward by plain text: whose it is is known above.
    scope_kind = models.CharField(max_length=12)
    scope_id = models.BigIntegerField()
    limit_nano = models.BigIntegerField(_("limit"))
    currency = models.CharField(_("currency"), max_length=3, default="USD")
    period = models.CharField(_("period"), max_length=8, choices=Period.choices, default=Period.MONTH)
    time_zone = models.CharField(_("time zone"), max_length=60, default="UTC")
    at_limit = models.CharField(_("at its end"), max_length=12, choices=AtLimit.choices, default=AtLimit.BLOCK)
    demo = models.BooleanField(default=False)  # counts demonstration rows, and only those
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["scope_kind", "scope_id"], name="one_budget_per_scope"),
            models.CheckConstraint(condition=Q(limit_nano__gte=0), name="budget_is_not_negative"),
        ]

    def __str__(self) -> str:
        return f"budget of {self.scope_kind} {self.scope_id}"


class Pot(models.Model):
    """One amount that processes share: of money one row a window, of a minute's limit one row that begins again."""

    scope_kind = models.CharField(max_length=12)
    scope_id = models.BigIntegerField()
    what = models.CharField(max_length=12)  # money, requests, tokens, running
    window = models.CharField(max_length=100, default="")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)  # null: never
    currency = models.CharField(max_length=3, default="")
    demo = models.BooleanField(default=False)
    spent = models.BigIntegerField(default=0)  # of money: what the ledger says
    taken = models.BigIntegerField(default=0)  # the sum of its slices

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["scope_kind", "scope_id", "what", "window"], name="one_pot_per_scope_and_window"
            )
        ]

    def __str__(self) -> str:
        return f"{self.what} of {self.scope_kind} {self.scope_id} {self.window}".rstrip()


class Slice(models.Model):
    """What one process has taken out of a pot. Of money, what the ledger does not have yet is part of it."""

    pot = models.ForeignKey(Pot, on_delete=models.CASCADE, related_name="slices")
    node = models.CharField(max_length=120)  # as its journal is called
    place = models.CharField(max_length=40)  # the folder its journal is in
    amount = models.BigIntegerField(default=0)
    settled = models.BigIntegerField(default=0)  # of that: spent, and not in the ledger yet
    lease_until = models.DateTimeField()
    recalled_at = models.DateTimeField(null=True)  # somebody waits for what is free of it

    class Meta:
        constraints = [models.UniqueConstraint(fields=["pot", "node"], name="one_slice_per_pot_and_node")]
        indexes = [
            models.Index(fields=["node"], name="slice_recalled", condition=Q(recalled_at__isnull=False)),
            models.Index(fields=["node"], name="slice_by_node"),
            models.Index(fields=["place", "lease_until"], name="slice_by_place"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} of pot {self.pot_id} with {self.node}"


class RecordQuerySet(models.QuerySet[Any]):
    def real(self) -> RecordQuerySet:
        """Without demonstration rows, which no page and no real budget counts."""
        return self.filter(demo=False)


class Request(models.Model):
    """One call, however many attempts it took. Its id is also the decision's id and `x-request-id`."""

    pk = models.CompositePrimaryKey("id", "started_at")
    id = models.CharField(max_length=40)
    started_at = models.DateTimeField()
    status = models.CharField(max_length=12)  # ok, failed, cancelled, interrupted
    error_code = models.CharField(max_length=60, default="")
    purpose = models.CharField(max_length=12)  # api, playground, system
    team_id = models.BigIntegerField(null=True)
    user_id = models.BigIntegerField(null=True)
    key_id = models.BigIntegerField(null=True)
    client_request_id = models.CharField(max_length=200, default="")
    asked_model = models.CharField(max_length=300)
    provider = models.CharField(max_length=80, default="")
    model = models.CharField(max_length=200, default="")
    streamed = models.BooleanField(default=False)
    attempts = models.PositiveSmallIntegerField(default=0)
    first_token_ms = models.PositiveIntegerField(null=True)
    duration_ms = models.PositiveIntegerField(default=0)
    revision = models.BigIntegerField(default=0)
    release = models.BigIntegerField(default=0)
    decision = models.JSONField(null=True)
    warnings = models.JSONField(null=True)
    demo = models.BooleanField(default=False)
    # Database defaults, since the version before this one may still be writing rows while this one starts.
    use_case = models.CharField(max_length=60, default="", db_default="")
    tier = models.CharField(max_length=60, default="", db_default="")
    route = models.CharField(max_length=140, default="", db_default="")
    session = models.CharField(max_length=200, default="", db_default="")
    queued_ms = models.PositiveIntegerField(null=True)  # until the first attempt was sent
    # What a decision was made from, all but the content: see routing/asks.py.
    ask = models.JSONField(null=True)

    objects = RecordQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["started_at"], name="request_by_time"),
            models.Index(fields=["team_id", "started_at"], name="request_by_team"),
            models.Index(fields=["key_id", "started_at"], name="request_by_key"),
            models.Index(fields=["user_id", "started_at"], name="request_by_user"),
            models.Index(fields=["started_at"], name="request_failed", condition=~Q(status="ok")),
            models.Index(fields=["started_at"], name="request_rerouted", condition=Q(attempts__gt=1)),
        ]

    def __str__(self) -> str:
        return self.id


class Attempt(models.Model):
    """One call to one provider. `<request id>-<n>`."""

    pk = models.CompositePrimaryKey("id", "started_at")
    id = models.CharField(max_length=48)
    started_at = models.DateTimeField()
    request_id = models.CharField(max_length=40)
    number = models.PositiveSmallIntegerField()
    status = models.CharField(max_length=12)  # ok, failed, cancelled, interrupted
    billed = models.CharField(max_length=12)  # provider, counted, estimated, voided, ambiguous
    provider_id = models.BigIntegerField(null=True)
    provider = models.CharField(max_length=80)
    model = models.CharField(max_length=200)
    credential_id = models.BigIntegerField(null=True)
    upstream_status = models.PositiveSmallIntegerField(null=True)
    upstream_id = models.CharField(max_length=200, default="")
    error_code = models.CharField(max_length=60, default="")
    error_message = models.CharField(max_length=500, default="")
    first_token_ms = models.PositiveIntegerField(null=True)
    duration_ms = models.PositiveIntegerField(default=0)
    demo = models.BooleanField(default=False)

    objects = RecordQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["request_id"], name="attempt_by_request"),
            models.Index(fields=["provider_id", "started_at"], name="attempt_by_provider"),
        ]

    def __str__(self) -> str:
        return self.id


class LedgerEntry(models.Model):
    """Money that moved: one `charge` per billed attempt, and `adjustment`s that correct it. Never edited."""

    pk = models.CompositePrimaryKey("id", "started_at")
    id = models.CharField(max_length=64)  # "<attempt id>/charge/0"
    started_at = models.DateTimeField()
    booked_at = models.DateTimeField()
    request_id = models.CharField(max_length=40)
    attempt_id = models.CharField(max_length=48)
    kind = models.CharField(max_length=12)  # charge, adjustment
    sequence = models.PositiveSmallIntegerField(default=0)
    purpose = models.CharField(max_length=12)
    team_id = models.BigIntegerField(null=True)
    user_id = models.BigIntegerField(null=True)
    key_id = models.BigIntegerField(null=True)
    provider_id = models.BigIntegerField(null=True)
    provider = models.CharField(max_length=80)
    model = models.CharField(max_length=200)
    input_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    audio_tokens = models.BigIntegerField(default=0)
    usage_source = models.CharField(max_length=12)  # provider, counted, estimated
    # Null when the model has no price: that is a fault to show, never zero.
    amount_nano = models.BigIntegerField(null=True)
    currency = models.CharField(max_length=3, default="")
    price_id = models.BigIntegerField(null=True)
    formula = models.CharField(max_length=400, default="")
    demo = models.BooleanField(default=False)
    # As they were called at that moment: the ledger knows no routes.
    use_case = models.CharField(max_length=60, default="", db_default="")
    tier = models.CharField(max_length=60, default="", db_default="")
    route = models.CharField(max_length=140, default="", db_default="")
    arm = models.CharField(max_length=140, default="", db_default="")  # "<experiment>/<arm>"
    session = models.CharField(max_length=200, default="", db_default="")
    tags = models.JSONField(null=True)

    objects = RecordQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "ledger entries"
        indexes = [
            models.Index(fields=["request_id"], name="entry_by_request"),
            models.Index(fields=["team_id", "started_at"], name="entry_by_team"),
            models.Index(fields=["key_id", "started_at"], name="entry_by_key"),
            models.Index(fields=["started_at"], name="entry_by_time"),
        ]

    def __str__(self) -> str:
        return self.id
