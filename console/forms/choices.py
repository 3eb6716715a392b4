"""Lists to choose from: time zones, currencies, languages."""

from __future__ import annotations

import zoneinfo
from functools import cache
from typing import Any

from babel import Locale
from babel.numbers import list_currencies
from django.conf import settings
from django.utils.translation import get_language

COMMON_CURRENCIES = (
    "EUR",
    "USD",
    "GBP",
    "CHF",
    "CAD",
    "SEK",
    "NOK",
    "DKK",
    "PLN",
    "CZK",
    "JPY",
    "CNY",
    "INR",
    "AUD",
    "BRL",
)
AREAS = ("Africa", "America", "Antarctica", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")


@cache
def zone_names() -> tuple[str, ...]:
    named = sorted(name for name in zoneinfo.available_timezones() if name.split("/")[0] in AREAS)
    return ("UTC", *named)


def zones() -> list[tuple[str, Any]]:
    """By area, as the browser names them."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for name in zone_names()[1:]:
        area, _, place = name.partition("/")
        groups.setdefault(area, []).append((name, place.replace("_", " ")))
    return [("UTC", "UTC"), *groups.items()]


def currencies() -> list[tuple[str, str]]:
    names = Locale.parse((get_language() or "en").replace("-", "_")).currencies
    return [(code, f"{code}, {names.get(code, code)}") for code in COMMON_CURRENCIES if code in list_currencies()]


def languages() -> list[tuple[str, str]]:
    """Each in its own words."""
    return [(code, (Locale.parse(code).get_display_name(code) or code).capitalize()) for code, _ in settings.LANGUAGES]
