"""Where is this browser? A guess at time zone and currency for the first form, shown and open to change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from babel import Locale
from babel.core import UnknownLocaleError, get_global
from babel.numbers import get_territory_currencies

from console.forms.choices import COMMON_CURRENCIES, zone_names


@dataclass(frozen=True, slots=True)
class House:
    time_zone: str
    currency: str


def guess(accept_language: str, zone: str = "") -> House:
    """From the browser's own time zone when a script sent it, otherwise from the languages it asks for."""
    if zone in zone_names() and (country := _country_of_zone(zone)):
        return House(zone, _currency_of(country))
    country = next(_countries(accept_language), "")
    return House(zone if zone in zone_names() else _only_zone_of(country), _currency_of(country))


def _countries(accept_language: str) -> Iterator[str]:
    """`fr-CA,fr;q=0.9` gives CA; a language alone gives where most people speak it."""
    for piece in accept_language.split(",")[:10]:
        tag = piece.partition(";")[0].strip().replace("-", "_")
        try:
            locale = Locale.parse(tag)
        except (ValueError, UnknownLocaleError):
            continue
        territory = locale.territory or _likely_territory(tag)
        if territory and territory.isalpha():
            yield territory


def _likely_territory(language: str) -> str:
    likely: str = get_global("likely_subtags").get(language, "")
    return likely.rpartition("_")[2]


def _country_of_zone(zone: str) -> str:
    named: str = get_global("zone_aliases").get(zone, zone)
    territory: str = get_global("zone_territories").get(named, "")
    return territory if territory.isalpha() and territory != "ZZ" else ""


def _only_zone_of(country: str) -> str:
    """A country with several hours says nothing about this one."""
    zones: list[str] = get_global("territory_zones").get(country, [])
    known = [zone for zone in zones if zone in zone_names()]
    january = datetime(2026, 1, 15)
    hours = {ZoneInfo(zone).utcoffset(january) for zone in known}
    return known[0] if len(hours) == 1 else "UTC"


def _currency_of(country: str) -> str:
    legal = get_territory_currencies(country) if country else []
    return next((code for code in legal if code in COMMON_CURRENCIES), "USD")
