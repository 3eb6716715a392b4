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
