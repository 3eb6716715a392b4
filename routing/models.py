"""Who may call the gateway with a key, and the trail that tells every process a key changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models import Team
from providers.models import Decisive


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def live(self, now: datetime) -> ApiKeyQuerySet:
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)


class ApiKey(models.Model):
    """A secret that a program presents. Only its HMAC is kept; the secret is shown once."""

    name = models.CharField(_("name"), max_length=80)
    prefix = models.CharField(max_length=12)
    last_four = models.CharField(max_length=4)
    hash = models.CharField(max_length=64, unique=True)
    pepper_version = models.PositiveSmallIntegerField(default=1)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="api_keys", null=True, blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys", null=True, blank=True
    )
    scopes = models.JSONField(_("scopes"), default=list, blank=True)  # empty: everything a key may do
    allowed_models = models.JSONField(_("allowed models"), default=list, blank=True)  # empty: all
    # What `auto` means for it, where the request does not say.
    use_case = models.CharField(_("default use case"), max_length=60, blank=True)
    tier = models.CharField(_("default tier"), max_length=60, blank=True)
    requests_per_minute = models.PositiveIntegerField(_("requests a minute"), null=True, blank=True)
    tokens_per_minute = models.PositiveBigIntegerField(_("tokens a minute"), null=True, blank=True)
    concurrency = models.PositiveIntegerField(_("requests at once"), null=True, blank=True)
    allowed_origins = models.JSONField(_("allowed origins"), default=list, blank=True)  # of browsers; empty: none
    keeps_content = models.BooleanField(
        _("keep what was asked and answered"), null=True, blank=True
    )  # null: as its team
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, related_name="+", null=True, blank=True
    )
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(team__isnull=False) | Q(user__isnull=False), name="key_belongs_to_team_or_person"
            )
        ]

    def __str__(self) -> str:
        return f"{self.prefix}…{self.last_four}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            super().save(*args, **kwargs)
            self.tell()

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            self.tell()
            return super().delete(*args, **kwargs)

    def tell(self) -> None:
        """Every process reads it again, by whichever of its secrets it is presented."""
        hashes = [self.hash, *self.former_secrets.values_list("hash", flat=True)]
        KeyChange.objects.bulk_create([KeyChange(hash=each) for each in hashes])


class FormerSecret(models.Model):
    """The secret that a key had before it was rotated. It opens the same key until its time ends."""

    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="former_secrets")
    hash = models.CharField(max_length=64, unique=True)
    pepper_version = models.PositiveSmallIntegerField(default=1)
    last_four = models.CharField(max_length=4)
    ends_at = models.DateTimeField()

    class Meta:
        ordering = ["-ends_at"]

    def __str__(self) -> str:
        return f"…{self.last_four}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            super().save(*args, **kwargs)
            KeyChange.objects.create(hash=self.hash)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            KeyChange.objects.create(hash=self.hash)
            return super().delete(*args, **kwargs)


class KeyChange(models.Model):
    """A key that every process must forget; read together with the revision once a second, pruned after a day."""

    hash = models.CharField(max_length=64)
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"key change {self.pk}"


class Circuit(models.Model):
    """A target that was left alone, or is: what the processes tell each other, and what a person held open."""

    target = models.CharField(max_length=300, unique=True)  # "<provider slug>:<model id>"
    changed_at = models.DateTimeField()
    until = models.DateTimeField(null=True, blank=True)  # null: it is closed
    reason = models.CharField(max_length=200, blank=True)
    held = models.BooleanField(default=False)
    held_by_id = models.BigIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["target"]
        indexes = [models.Index(fields=["changed_at"], name="circuit_by_change")]

    def __str__(self) -> str:
        return f"{self.target} {'open' if self.until else 'closed'}"


class Repeat(models.Model):
    """A POST that came with an `Idempotency-Key`: who is answering it, and then the answer, for whoever repeats it."""

    name = models.CharField(max_length=64, unique=True)  # a digest of API key, path and the client's own key
    body = models.CharField(max_length=64)  # a digest of what was asked
    request_id = models.CharField(max_length=40)
    began_at = models.DateTimeField()
    beat_at = models.DateTimeField()  # a sign of life of whoever answers
    ended_at = models.DateTimeField(null=True, blank=True)
    content_type = models.CharField(max_length=80, blank=True)
    sealed = models.TextField(blank=True)  # the answer, under the key ring; empty when it was too long to keep

    class Meta:
        indexes = [models.Index(fields=["began_at"], name="repeat_by_time")]

    def __str__(self) -> str:
        return self.request_id


class UseCase(Decisive):
    """What somebody wants a model for. The first half of an intent such as `auto/code_generation/economy`."""

    slug = models.CharField(_("slug"), max_length=60, unique=True)
    name = models.CharField(_("name"), max_length=80)
    description = models.CharField(_("description"), max_length=300, blank=True)
    tier = models.CharField(_("usual tier"), max_length=60, blank=True)  # a tier's slug, where a request names none
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "slug"]

    def __str__(self) -> str:
        return self.name


class Tier(Decisive):
    """How much one request may cost. The second half of an intent."""

    slug = models.CharField(_("slug"), max_length=60, unique=True)
    name = models.CharField(_("name"), max_length=80)
    most_nano = models.BigIntegerField(_("maximum a request"), null=True, blank=True)  # null: no maximum
    currency = models.CharField(_("currency"), max_length=3, default="USD")
    position = models.PositiveSmallIntegerField(default=0)  # the cheapest first

    class Meta:
        ordering = ["position", "slug"]

    def __str__(self) -> str:
        return self.name


class Route(Decisive):
    """Which models answer a use case at a tier, in what order, and when this row is meant at all."""

    name = models.CharField(_("name"), max_length=140, unique=True)  # "code_generation/economy"
    use_case = models.ForeignKey(UseCase, on_delete=models.CASCADE, related_name="routes")
    tier = models.ForeignKey(
        Tier, on_delete=models.CASCADE, related_name="routes", null=True, blank=True
    )  # null: every
    position = models.PositiveSmallIntegerField(default=0)  # of several for the same cell, the first that applies
    enabled = models.BooleanField(_("enabled"), default=True)
    when = models.JSONField(_("conditions"), default=dict, blank=True)  # see routing/conditions.py
    chain = models.JSONField(_("chain"), default=dict)  # see routing/chains.py

    class Meta:
        ordering = ["use_case__position", "tier__position", "position", "name"]

    def __str__(self) -> str:
        return self.name


class Flag(Decisive):
    """A switch that may be on for some and off for others: of a provider, a model or a feature."""

    key = models.CharField(_("key"), max_length=80, unique=True)
    description = models.CharField(_("description"), max_length=300, blank=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    # What it decides about: "provider:<slug>", "model:<string>" or "feature:<name>"; see routing/flags.py.
    governs = models.CharField(_("governs"), max_length=320)
    share = models.DecimalField(_("share"), max_digits=6, decimal_places=3, default=100)  # per cent that have it on
    unit = models.CharField(_("same side for"), max_length=12, default="team")  # user, team, key, session, request
    salt = models.PositiveIntegerField(default=1)  # another number deals the cards anew
    rules = models.JSONField(_("rules"), default=list, blank=True)  # first that applies: {"when", "on"}
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["key"]

    def __str__(self) -> str:
        return self.key


class Experiment(Decisive):
    """Several chains against each other in a cell of the routes."""

    key = models.CharField(_("key"), max_length=80, unique=True)
    hypothesis = models.CharField(_("hypothesis"), max_length=300, blank=True)
    enabled = models.BooleanField(_("running"), default=True)
    use_case = models.CharField(_("use case"), max_length=60)
    tier = models.CharField(_("tier"), max_length=60, blank=True)  # blank: every
    arms = models.JSONField(_("arms"), default=list)  # {"name", "weight", "target"}: see routing/experiments.py
    unit = models.CharField(_("same arm for"), max_length=12, default="user")
    salt = models.PositiveIntegerField(default=1)
    when = models.JSONField(_("audience"), default=dict, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["key"]

    def __str__(self) -> str:
        return self.key


class Exposure(models.Model):
    """That a unit met an arm, once, with the first time it did."""

    experiment = models.CharField(max_length=80)  # its key and salt: "<key>#<salt>"
    unit = models.CharField(max_length=64)  # a digest: who it is stays out of it
    arm = models.CharField(max_length=60)
    first_at = models.DateTimeField()
    request_id = models.CharField(max_length=40)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "unit"], name="one_exposure_per_unit")]
        indexes = [models.Index(fields=["experiment", "arm", "first_at"], name="exposure_by_arm")]

    def __str__(self) -> str:
        return f"{self.experiment}: {self.arm}"


class KeptContent(models.Model):
    """What was asked and answered, where the key or its team wants it kept; under the key ring, until its time ends."""

    request_id = models.CharField(max_length=40, unique=True)
    started_at = models.DateTimeField()
    asked = models.TextField(blank=True)
    answered = models.TextField(blank=True)
    cut = models.BooleanField(default=False)  # it was too long to be kept whole

    class Meta:
        indexes = [models.Index(fields=["started_at"], name="content_by_time")]

    def __str__(self) -> str:
        return self.request_id
