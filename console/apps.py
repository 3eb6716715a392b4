"""The site's own app: checks of the settings with a hint each, and keys for a house that has just been migrated."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from django.db.models.signals import post_migrate

TAG = "relayhouse"


class ConsoleConfig(AppConfig):
    name = "console"
    verbose_name = "Console"

    def ready(self) -> None:
        checks.register(check_settings, TAG)
        post_migrate.connect(make_keys, sender=self)
        from console import trail  # needs the models

        trail.connect()


def make_keys(**signal: Any) -> None:
    """A fresh house gets its key ring and pepper with its tables, so that every command can use them."""
    from console import keys  # needs the models

    try:
        keys.ensure()
    except (ImproperlyConfigured, DatabaseError):
        pass  # migrating, perhaps one app of several, is not starting: `serve` refuses with this sentence


def check_settings(**options: Any) -> list[checks.CheckMessage]:
    return [message for check in (_site_url, _networks, _key_texts, _limits, _oidc) for message in check()]


def _site_url() -> list[checks.CheckMessage]:
    parts = urlsplit(settings.SITE_URL)
    if not settings.SITE_URL or (parts.scheme in ("http", "https") and parts.netloc and parts.path in ("", "/")):
        return []
    return [
        checks.Error(
            f"SITE_URL is '{settings.SITE_URL}'.",
            hint="Give scheme and host, nothing more: https://models.example.org",
            id="console.E001",
        )
    ]


def _networks() -> list[checks.CheckMessage]:
    found: list[checks.CheckMessage] = []
    for name in ("TRUSTED_PROXIES", "PRIVATE_NETWORKS"):
        for text in getattr(settings, name):
            try:
                ipaddress.ip_network(text, strict=False)
            except ValueError:
                hint = "Write networks or addresses, separated by commas: 10.1.0.0/16,192.168.7.5"
                found.append(checks.Error(f"{name} has '{text}' in it.", hint=hint, id="console.E002"))
    return found


def _key_texts() -> list[checks.CheckMessage]:
    from providers.vault import parse_ring

    found: list[checks.CheckMessage] = []
    if settings.RELAYHOUSE_KEY_RING:
        try:
            parse_ring(settings.RELAYHOUSE_KEY_RING)
        except ImproperlyConfigured as error:
            hint = "Write id:base64,id:base64 with 32 bytes in each, the sealing key first."
            found.append(checks.Error(str(error), hint=hint, id="console.E003"))
    for part in settings.RELAYHOUSE_KEY_PEPPER.split(",") if settings.RELAYHOUSE_KEY_PEPPER else []:
        version, colon, secret = part.strip().partition(":")
        if not (version.isdigit() and colon and secret):
            hint = "Write 1:secret,2:secret, the newest version last."
            found.append(checks.Error("RELAYHOUSE_KEY_PEPPER is malformed.", hint=hint, id="console.E004"))
    return found


def _limits() -> list[checks.CheckMessage]:
    found: list[checks.CheckMessage] = []
    for name in ("BODY_LIMIT", "DRAIN_SECONDS"):
        if getattr(settings, name) < 1:
            hint = f"Leave {name} out to get the default."
            found.append(checks.Error(f"{name} must be at least 1.", hint=hint, id="console.E005"))
    return found


def _oidc() -> list[checks.CheckMessage]:
    if not settings.OIDC_SERVER_URL or (settings.OIDC_CLIENT_ID and settings.OIDC_CLIENT_SECRET):
        return []
    return [
        checks.Error(
            "OIDC_SERVER_URL is set without OIDC_CLIENT_ID and OIDC_CLIENT_SECRET.",
            hint="Register this site at the issuer and set both.",
            id="console.E006",
        )
    ]
