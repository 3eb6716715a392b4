"""A provider that is not kept yet: what was typed of it, and the values that reach it. Nothing here is written down."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.text import slugify

from providers import vault
from providers.auth import TOKEN
from providers.models import FormerSlug, Provider
from providers.registry import Kind
from providers.wiring import Target
from routing.snapshot import CredentialEntry, ModelEntry, ProviderEntry

QUOTES = "\"'`\u201c\u201d\u2018\u2019\u00ab\u00bb"
RESERVED = frozenset({"add", "check", "check-draft", "reconnect"})  # addresses that would hide a provider's own page
_ASSIGNED = re.compile(r"(?:export\s+)?[A-Z][A-Z0-9_]*\s*=\s*(?=\S)")


@dataclass(frozen=True, slots=True)
class Draft:
    kind: Kind
    name: str
    base_url: str = ""  # empty: the kind's own
    secret: str = field(default="", repr=False)
    variable: str = ""  # the environment variable that holds the secret, where it is not kept here
    options: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 100

    @property
    def slug(self) -> str:
        return slugify(self.name)[:80] or self.kind.slug

    @property
    def address(self) -> str:
        return self.base_url or self.kind.base_url

    def target(self, model: str = "", *, seconds: float = 60.0) -> Target:
        return Target(
            provider_id=0,
            provider=self.slug,
            kind=self.kind,
            base_url=self.address,
            model=model,
            secret=self.secret,
            options=self.options,
            timeout_seconds=seconds,
        )

    def entry(self, model: str) -> ModelEntry:
        """The model as the gateway's attempts take it. The secret is sealed in memory, for this one use."""
        uid = str(uuid.uuid4())
        sealed = vault.seal(self.secret, "credential", uid, "secret") if self.secret else ""
        keys = (CredentialEntry(0, uid, sealed=sealed),) if sealed else ()
        provider = ProviderEntry(
            id=0,
            slug=self.slug,
            name=self.name,
            kind=self.kind,
            base_url=self.base_url,
            priority=self.priority,
            credentials=keys,
            options=self.options,
        )
        return ModelEntry(id=0, provider=provider, model_id=model)


def draft_of(provider: Provider, kind: Kind, secret: str) -> Draft:
    """A provider that is kept, with this key: to try one before it is used."""
    return Draft(kind, provider.name, provider.base_url, secret, options=provider.options, priority=provider.priority)


# -- keys as people paste them ---------------------------------------------------------


def tidy_key(text: str, kind: Kind) -> tuple[str, bool]:
    """The key itself, and whether anything around it was left out: spaces, quotes, `NAME=`, `Bearer `."""
    key = text.strip()
    if key.startswith("{"):
        return key, False
    key = _ASSIGNED.sub("", key, count=1) if _ASSIGNED.match(key) else key
    key = key.strip(QUOTES + " \t\r\n").removesuffix(";").strip(QUOTES)
    if not kind.auth.endswith("-or-token"):
        key = key.removeprefix(TOKEN).strip()
    return key, key != text


def joined(parts: Mapping[str, str]) -> str:
    """A secret of several parts as one text."""
    return json.dumps({name: value for name, value in parts.items() if value}, sort_keys=True)


# -- names -----------------------------------------------------------------------------


def taken(name: str, but: Provider | None = None) -> bool:
    """Whether a provider has, or had, this name or the slug it makes."""
    slug = slugify(name)[:80]
    others = Provider.objects.exclude(pk=but.pk) if but else Provider.objects.all()
    former = FormerSlug.objects.exclude(provider=but) if but else FormerSlug.objects.all()
    return (
        slug in RESERVED
        or others.filter(slug=slug).exists()
        or others.filter(name__iexact=name).exists()
        or former.filter(slug=slug).exists()
    )


def free_name(name: str) -> str:
    """The name with the first number that nobody has: "Groq 2"."""
    if not taken(name):
        return name
    stem = re.sub(r"[ -]\d+$", "", name)[:70]
    return next(f"{stem} {number}" for number in range(2, 10_000) if not taken(f"{stem} {number}"))
