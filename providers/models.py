"""Who we can talk to: providers, their credentials, the models they serve, and the number that says it changed."""

from __future__ import annotations

import os
import uuid
from datetime import datetime
from typing import Any

from django.db import models, transaction
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce, Lower, NullIf
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from providers import vault
from providers.auth import last_four


class Configuration(models.Model):
    """One row. `revision` grows with every write that a decision could notice; each process polls it."""

    revision = models.BigIntegerField(default=1)
    release = models.BigIntegerField(default=0)
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="configuration_is_one_row")]

    def __str__(self) -> str:
        return f"revision {self.revision}, release {self.release}"


def configuration_changed() -> None:
    """Tell every process to read the configuration again. Call it inside the transaction of the change."""
    changed = Configuration.objects.filter(id=1).update(revision=F("revision") + 1, changed_at=timezone.now())
    if not changed:
        Configuration.objects.get_or_create(id=1)


class Decisive(models.Model):
    """A row that decisions depend on: saving or deleting one raises the revision in the same transaction."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            super().save(*args, **kwargs)
            configuration_changed()

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            gone = super().delete(*args, **kwargs)
            configuration_changed()
        return gone


class ProviderQuerySet(models.QuerySet["Provider"]):
    def by_priority(self) -> ProviderQuerySet:
        return self.order_by("priority", "slug")


class Provider(Decisive):
    """An account at a vendor, or a server of our own."""

    name = models.CharField(_("name"), max_length=80)
    slug = models.SlugField(_("slug"), max_length=80, unique=True)
    kind = models.CharField(_("kind"), max_length=40)
    base_url = models.CharField(_("address"), max_length=500, blank=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    priority = models.PositiveSmallIntegerField(_("priority"), default=100)
    # What a kind needs beyond address and key: deployment, api_version, default_model, max_tokens, temperature, ...
    options = models.JSONField(_("options"), default=dict, blank=True)
    timeout_seconds = models.PositiveIntegerField(_("time limit in seconds"), default=600)
    # Why it cannot answer although it is enabled; empty when nothing is known to be wrong.
    inactive_reason = models.CharField(max_length=300, blank=True)
    models_read_at = models.DateTimeField(null=True, blank=True)
    # Numbers of the teams it answers; empty: all of them. How a new vendor is tried before the house relies on it.
    only_teams = models.JSONField(_("only for these teams"), default=list, blank=True)
    # What the last trial found, step by step: {"at": ..., "steps": [{"name", "ok", "said", "ms"}]}.
    trial = models.JSONField(default=dict, blank=True)
    connected_by_id = models.BigIntegerField(null=True, blank=True)
    # What it allows us, or what we allow ourselves, in all processes together. Null: no limit.
    requests_per_minute = models.PositiveIntegerField(_("requests a minute"), null=True, blank=True)
    tokens_per_minute = models.PositiveBigIntegerField(_("tokens a minute"), null=True, blank=True)
    concurrency = models.PositiveIntegerField(_("requests at once"), null=True, blank=True)
    # Where it keeps our data, as an admin declared: "eu", "us", ...; blank: what its kind says.
    data_region = models.CharField(_("data region"), max_length=20, blank=True)
    trains_on_data = models.BooleanField(_("trains on what it is sent"), null=True, blank=True)  # null: nobody said
    created_at = models.DateTimeField(default=timezone.now)

    objects = ProviderQuerySet.as_manager()

    class Meta:
        ordering = ["priority", "slug"]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self.slug:
            self.slug = free_slug(self.name)
        super().save(*args, **kwargs)

    def rename(self, name: str) -> None:
        """Take a new name and slug; the old slug goes on working."""
        slug = slugify(name)[:80] or self.slug
        with transaction.atomic():
            if slug != self.slug:
                FormerSlug.objects.get_or_create(slug=self.slug, defaults={"provider": self})
                self.slug = slug
            self.name = name
            self.save(update_fields=["name", "slug"])


RESERVED = frozenset({"add", "check", "check-draft", "reconnect"})  # pages of their own beside those of providers


def free_slug(name: str) -> str:
    """A slug made from the name that nobody has: `groq`, then `groq-2`."""
    stem = slugify(name)[:70] or "provider"
    if stem in RESERVED:
        stem += "-provider"
    taken = set(Provider.objects.filter(slug__startswith=stem).values_list("slug", flat=True))
    taken |= set(FormerSlug.objects.filter(slug__startswith=stem).values_list("slug", flat=True))
    if stem not in taken:
        return stem
    return next(f"{stem}-{n}" for n in range(2, len(taken) + 3) if f"{stem}-{n}" not in taken)


class FormerSlug(Decisive):
    slug = models.SlugField(max_length=80, unique=True)
    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="former_slugs")

    def __str__(self) -> str:
        return self.slug


class Credential(Decisive):
    """One key of a provider: kept encrypted, or named as an environment variable and never kept at all."""

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="credentials")
    name = models.CharField(_("name"), max_length=80, default="default")
    uid = models.UUIDField(default=uuid.uuid4, editable=False, unique=True)
    sealed = models.TextField(blank=True, default="", editable=False)
    variable = models.CharField(_("environment variable"), max_length=120, blank=True)
    last_four = models.CharField(max_length=4, blank=True)
    weight = models.PositiveSmallIntegerField(_("weight"), default=1)
    enabled = models.BooleanField(_("enabled"), default=True)
    created_at = models.DateTimeField(default=timezone.now)
    rotated_at = models.DateTimeField(null=True, blank=True)
    # The end of an overlap: a key that another one has taken the place of is not used after it.
    valid_until = models.DateTimeField(null=True, blank=True)
    # What its provider said of it when it was last tried; empty when it was accepted.
    problem = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["provider", "name"], name="credential_name_per_provider")]

    def __str__(self) -> str:
        return f"{self.provider}: {self.name}"

    def keep(self, secret: str) -> None:
        """Seal the secret for this row and forget the variable it may have come from."""
        secret = secret.strip()
        self.sealed = vault.seal(secret, "credential", str(self.uid), "secret") if secret else ""
        self.last_four = last_four(secret)
        self.variable = ""

    def reveal(self) -> str:
        """The secret itself: for the signer of a request, at the last moment."""
        if self.variable:
            return os.environ.get(self.variable, "").strip()
        return vault.unseal(self.sealed, "credential", str(self.uid), "secret") if self.sealed else ""


class ModelQuerySet(models.QuerySet["LanguageModel"]):
    def active(self) -> ModelQuerySet:
        return self.filter(active=True)


class LanguageModel(Decisive):
    """A model as one provider serves it."""

    class Use(models.TextChoices):
        CHAT = "chat", _("Chat")
        EMBEDDING = "embedding", _("Embeddings")

    class Stage(models.TextChoices):
        PREVIEW = "preview", _("Preview")
        STABLE = "stable", _("Stable")
        DEPRECATED = "deprecated", _("Deprecated")
        RETIRED = "retired", _("Retired")

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="models")
    model_id = models.CharField(_("model id"), max_length=200)
    name = models.CharField(_("name"), max_length=200, blank=True)
    use = models.CharField(_("use"), max_length=12, choices=Use.choices, default=Use.CHAT)
    active = models.BooleanField(_("active"), default=True)
    only_as_fallback = models.BooleanField(_("only as fallback"), default=False)
    context = models.PositiveIntegerField(_("context window"), null=True, blank=True)
    max_output = models.PositiveIntegerField(_("longest answer"), null=True, blank=True)
    # What it is known to do and known not to do, from the provider's list, the catalogue and people. What is in neither
    # is not known, and then nothing is refused for it.
    capabilities = models.JSONField(_("capabilities"), default=list, blank=True)
    lacks = models.JSONField(_("does not do"), default=list, blank=True)
    # What somebody here set by hand, which wins: {"context": 8192, "tools": false}.
    overrides = models.JSONField(default=dict, blank=True)
    # What it refuses or wants instead, as the catalogue has it: see providers/parameters.py.
    parameters = models.JSONField(default=dict, blank=True)
    stage = models.CharField(_("stage"), max_length=12, choices=Stage.choices, default=Stage.STABLE)
    retires_on = models.DateField(_("retires on"), null=True, blank=True)
    successor = models.CharField(_("successor"), max_length=200, blank=True)
    # The same for the same model at other providers; empty when it is not known.
    canonical = models.CharField(max_length=200, blank=True, db_index=True)
    # True when the provider's own list named it; a row the list no longer names is kept, but not offered.
    listed = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)
    # The name that lists show, as they sort it. The database keeps it, whoever writes the row.
    shown = models.GeneratedField(
        expression=Lower(Coalesce(NullIf("name", Value("")), "model_id")),
        output_field=models.CharField(max_length=200),
        db_persist=True,
        serialize=False,
    )

    objects = ModelQuerySet.as_manager()

    class Meta:
        ordering = ["provider_id", "model_id"]
        constraints = [models.UniqueConstraint(fields=["provider", "model_id"], name="model_id_per_provider")]
        indexes = [
            models.Index(fields=["shown", "id"], name="model_by_shown"),
            models.Index(fields=["context", "id"], name="model_by_context"),
        ]

    def __str__(self) -> str:
        return f"{self.provider.slug}:{self.model_id}"


class ModelAlias(Decisive):
    """A name of the team's own for a model: `fast`, `house-default`."""

    name = models.CharField(_("alias"), max_length=200, unique=True)
    model = models.ForeignKey(LanguageModel, on_delete=models.CASCADE, related_name="aliases")

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "model aliases"

    def __str__(self) -> str:
        return self.name


class HealthCheck(models.Model):
    """One question to a provider whether it is there. Kept for a while and drawn; decisions do not read it."""

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="checks")
    at = models.DateTimeField(default=timezone.now)
    ok = models.BooleanField()
    duration_ms = models.PositiveIntegerField(null=True)
    code = models.CharField(max_length=60, default="")  # of the error, as in errors.py
    message = models.CharField(max_length=300, default="")

    class Meta:
        ordering = ["-at"]
        indexes = [models.Index(fields=["provider", "at"], name="check_by_provider")]

    def __str__(self) -> str:
        return f"{self.provider_id} at {self.at:%Y-%m-%d %H:%M:%S}: {self.code or 'ok'}"


def current_revision() -> tuple[int, int, datetime | None]:
    row = Configuration.objects.filter(id=1).values_list("revision", "release", "changed_at").first()
    return row or (0, 0, None)
