"""People, what they may do, what they did, and their conversations."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.models import (
    AbstractBaseUser,
    BaseUserManager,
    PermissionsMixin,
)
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models import Team


class Role(models.TextChoices):
    OWNER = "owner", _("Owner")
    ADMIN = "admin", _("Admin")
    EDITOR = "editor", _("Gateway editor")
    FINANCE = "finance", _("Finance")
    MEMBER = "member", _("Member")
    VIEWER = "viewer", _("Viewer")


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, role=Role.OWNER, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username or "")


class User(AbstractBaseUser, PermissionsMixin):
    class Theme(models.TextChoices):
        SYSTEM = "system", _("System")
        LIGHT = "light", _("Light")
        DARK = "dark", _("Dark")

    email = models.EmailField(_("email"), unique=True)
    name = models.CharField(_("name"), max_length=120)
    role = models.CharField(_("role"), max_length=10, choices=Role.choices, default=Role.MEMBER)
    language = models.CharField(_("language"), max_length=10, blank=True)  # empty: the organisation's
    time_zone = models.CharField(_("time zone"), max_length=60, blank=True)  # empty: the organisation's
    theme = models.CharField(_("theme"), max_length=8, choices=Theme.choices, default=Theme.SYSTEM)
    shortcuts = models.BooleanField(_("keyboard shortcuts"), default=True)
    enter_sends = models.BooleanField(_("Enter sends"), default=True)
    checklist_hidden = models.BooleanField(default=False)
    is_active = models.BooleanField(_("active"), default=True)
    date_joined = models.DateTimeField(default=timezone.now)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name or self.email

    @property
    def is_staff(self) -> bool:
        """Django's own admin is for owners."""
        return self.role == Role.OWNER

    def get_short_name(self) -> str:
        return self.name.split(" ")[0] if self.name else self.email


class Invitation(models.Model):
    """A colleague asked in, or a link to copy: only the hash of its token is kept."""

    email = models.EmailField(_("email"))
    role = models.CharField(_("role"), max_length=10, choices=Role.choices, default=Role.MEMBER)
    teams = models.ManyToManyField(Team, blank=True, related_name="invitations")
    token_hash = models.CharField(max_length=64, unique=True)
    invited_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.email


class ClaimCode(models.Model):
    """The one-time code printed at first start. Whoever opens its link becomes the owner."""

    code_hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"claim code of {self.created_at:%Y-%m-%d %H:%M}"


class AuditEntry(models.Model):
    """Who changed what. Each entry carries the hash of the one before; `content` is hashed apart, to be erasable."""

    at = models.DateTimeField(default=timezone.now)
    actor_id = models.BigIntegerField(null=True)
    actor_name = models.CharField(max_length=200)  # as it was then: "Claire Lambert", "manage.py apply"
    address = models.GenericIPAddressField(null=True, blank=True)
    verb = models.CharField(max_length=40)  # create, change, delete, invite, sign_in ...
    object_kind = models.CharField(max_length=40)
    object_id = models.CharField(max_length=100)
    object_name = models.CharField(max_length=300, blank=True)
    content = models.JSONField(null=True)  # {"before": {...}, "after": {...}}, without secrets
    note = models.CharField(max_length=300, blank=True)
    content_digest = models.CharField(max_length=64)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "audit entries"
        indexes = [models.Index(fields=["object_kind", "object_id"], name="audit_by_object")]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.verb} {self.object_kind} {self.object_name}"


class Room(models.Model):
    """A conversation in the playground."""

    title = models.CharField(_("title"), max_length=200, blank=True)
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="rooms")
    team = models.ForeignKey(Team, on_delete=models.SET_NULL, null=True, blank=True, related_name="rooms")
    model = models.CharField(_("model"), max_length=300, blank=True)  # as chosen: a model string, an alias or "auto"
    draft = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    touched_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-touched_at"]
        indexes = [models.Index(fields=["owner", "-touched_at"], name="rooms_of_owner")]

    def __str__(self) -> str:
        return self.title or f"room {self.pk}"


class Message(models.Model):
    """A question or an answer. `parent` makes the conversation a tree; siblings are other tries."""

    class Author(models.TextChoices):
        USER = "user", _("User")
        ASSISTANT = "assistant", _("Assistant")
        SYSTEM = "system", _("System")

    room = models.ForeignKey(Room, on_delete=models.CASCADE, related_name="messages")
    parent = models.ForeignKey("self", on_delete=models.CASCADE, null=True, blank=True, related_name="children")
    author = models.CharField(max_length=10, choices=Author.choices)
    sender = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    text = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["room", "id"], name="messages_of_room")]

    def __str__(self) -> str:
        return self.text[:60]


class Run(models.Model):
    """One answer being written by the process that owns it. It outlives every socket."""

    class Status(models.TextChoices):
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        STOPPED = "stopped", _("Stopped")
        FAILED = "failed", _("Failed")
        INTERRUPTED = "interrupted", _("Interrupted")

    id = models.CharField(primary_key=True, max_length=40)
    message = models.OneToOneField(Message, on_delete=models.CASCADE, related_name="run")
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.RUNNING)
    request_id = models.CharField(max_length=40, blank=True)
    node = models.CharField(max_length=80)  # the process that writes it
    asked_model = models.CharField(max_length=300)
    provider = models.CharField(max_length=80, blank=True)
    model = models.CharField(max_length=200, blank=True)
    stop_asked = models.BooleanField(default=False)
    error_code = models.CharField(max_length=60, blank=True)
    error_message = models.CharField(max_length=500, blank=True)
    first_token_ms = models.PositiveIntegerField(null=True)
    duration_ms = models.PositiveIntegerField(null=True)
    input_tokens = models.PositiveIntegerField(null=True)
    output_tokens = models.PositiveIntegerField(null=True)
    amount_nano = models.BigIntegerField(null=True)
    currency = models.CharField(max_length=3, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    heartbeat_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["status", "heartbeat_at"], name="runs_by_status")]

    def __str__(self) -> str:
        return self.id


class RunFrame(models.Model):
    """A piece of a run's log. Kept for a day after the run ended, then the message's text is enough."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="frames")
    seq = models.PositiveIntegerField()
    payload = models.JSONField()

    class Meta:
        ordering = ["run_id", "seq"]
        constraints = [models.UniqueConstraint(fields=["run", "seq"], name="one_frame_per_seq")]

    def __str__(self) -> str:
        return f"{self.run_id}/{self.seq}"
