"""The sections of a file that are lists of rows: use cases, tiers, routes, flags, experiments. What they declare."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from console.configuration.fields import Reader, given
from console.configuration.reading import Table
from console.configuration.values import UNSET, Fault, RowWanted, Thing
from routing import chains, conditions, experiments, flags
from routing.caps import NANO

SLUG = re.compile(r"[a-z0-9][a-z0-9_-]*\Z")
MOST_POSITION = 32_000
SHARE_DECIMALS = 3

Section = Callable[[Reader], RowWanted | None]


def read(top: Reader) -> list[RowWanted]:
    found: list[RowWanted] = []
    for name, section in SECTIONS.items():
        for number, each in enumerate(top.tables(name)):
            row = section(each)
            each.done()
            if row is not None:
                found.append(replace(row, number=number))
    return found


def _use_case(read: Reader) -> RowWanted | None:
    fields = given(
        name=read.text("name", 80),
        description=read.text("description", 300, empty=True),
        tier=read.text("tier", 60, empty=True),
        position=read.whole("position", 0, MOST_POSITION),
    )
    return _row(read, Thing.USE_CASE, _slug(read, "slug"), fields)


def _tier(read: Reader) -> RowWanted | None:
    fields = given(
        name=read.text("name", 80),
        most_nano=_maximum(read),
        currency=_currency(read),
        position=read.whole("position", 0, MOST_POSITION),
    )
    return _row(read, Thing.TIER, _slug(read, "slug"), fields)


def _route(read: Reader) -> RowWanted | None:
    absent = read.raw("absent") is True
    chain, when = _nested(read, "chain"), _nested(read, "when")
    if chain is not UNSET:
        _faults(read, chains.faults(chain, "chain"))
    elif not absent:
        read.fault("chain", "is missing.")
    if when is not UNSET:
        _faults(read, conditions.faults(when, "when"))
    fields = given(
        use_case=read.text("use_case", 60, required=not absent),
        tier=_every_tier(read),
        position=read.whole("position", 0, MOST_POSITION),
        enabled=read.flag("enabled"),
        when=when or {} if when is not UNSET else UNSET,
        chain=chain,
    )
    return _row(read, Thing.ROUTE, read.text("name", 140, required=True), fields)


def _flag(read: Reader) -> RowWanted | None:
    absent = read.raw("absent") is True
    rules = _nested(read, "rules")
    share = _share(read)
    governs = read.text("governs", 320, required=not absent)
    unit = read.text("unit", 12)
    told = given(governs=governs, unit=unit, rules=rules)
    if governs is not UNSET:
        _faults(read, flags.faults(told, ""))
    fields = given(
        description=read.text("description", 300, empty=True),
        enabled=read.flag("enabled"),
        share=share,
        salt=read.whole("salt", 1, 1_000_000),
    )
    return _row(read, Thing.FLAG, _slug(read, "key"), fields | told)


def _experiment(read: Reader) -> RowWanted | None:
    absent = read.raw("absent") is True
    arms, when = _nested(read, "arms"), _nested(read, "when")
    unit = read.text("unit", 12)
    told = given(arms=arms, unit=unit, when=when)
    if not absent:
        _faults(read, experiments.faults(told, "", judge=lambda _: ""))
    fields = given(
        hypothesis=read.text("hypothesis", 300, empty=True),
        enabled=read.flag("enabled"),
        use_case=read.text("use_case", 60, required=not absent),
        tier=_every_tier(read),
        salt=read.whole("salt", 1, 1_000_000),
    )
    return _row(read, Thing.EXPERIMENT, _slug(read, "key"), fields | told)


SECTIONS: Mapping[str, Section] = {
    "use_cases": _use_case,
    "tiers": _tier,
    "routes": _route,
    "flags": _flag,
    "experiments": _experiment,
}


# -- one value ------------------------------------------------------------------------


def _row(read: Reader, thing: Thing, key: Any, fields: Mapping[str, Any]) -> RowWanted | None:
    absent = read.flag("absent")
    if key is UNSET:
        return None
    return RowWanted(read.path, thing, key, fields, absent=absent is True)


def _slug(read: Reader, key: str) -> Any:
    value = read.text(key, 60, required=True)
    if value is not UNSET and not SLUG.match(value):
        read.fault(key, f"'{value}' has other characters than small letters, digits, - and _.")
        return UNSET
    return value


def _every_tier(read: Reader) -> Any:
    """A tier's slug; null or empty: every."""
    if read.raw("tier") is None:
        return ""
    return read.text("tier", 60, empty=True)


def _share(read: Reader) -> Any:
    """Per cent, as exact as it is kept: what is rounded would differ from the file for ever."""
    share = read.amount("share")
    if share is UNSET:
        return UNSET
    if share > 100:
        read.fault("share", "must be from 0 to 100.")
    elif share != round(share, SHARE_DECIMALS):
        read.fault("share", f"has at most {SHARE_DECIMALS} digits after the point.")
    else:
        return share
    return UNSET


def _maximum(read: Reader) -> Any:
    """`max` of a request, in the currency of the tier; null: no maximum."""
    value = read.amount("max", null=True)
    return value if value is UNSET or value is None else int(value * NANO)


def _currency(read: Reader) -> Any:
    value = read.text("currency", 3)
    if value is not UNSET and not (len(value) == 3 and value.isalpha() and value.isupper()):
        read.fault("currency", f"'{value}' is no currency: write three capital letters, such as EUR.")
        return UNSET
    return value


def _nested(read: Reader, key: str) -> Any:
    value = read.raw(key)
    return value if value is UNSET else plain(value)


def plain(value: Any) -> Any:
    """Plain lists and mappings, and numbers as JSON has them."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, Table):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    return value


def _faults(read: Reader, found: Any) -> None:
    for where, words in found:
        path = where.removeprefix(".")
        read.faults.append(Fault(f"{read.path}.{path}" if path else read.path, f"{words}."))
