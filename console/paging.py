"""Pages of a list by the last row seen, never by counting rows over: the thousandth page costs what the first does."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import reduce
from typing import Any, Generic, TypeVar, cast

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet

Row = TypeVar("Row", bound=Model)
SIZE = 50


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    rows: list[Row]
    next: str  # the cursor of the next page; empty on the last one
    is_first: bool


def page_of(rows: QuerySet[Row], by: tuple[str, ...], cursor: str = "", size: int = SIZE) -> Page[Row]:
    """One page ordered by these fields; `-name` goes down. The last field must be unique."""
    wanted = rows.order_by(*by)
    seen = opened(cursor, len(by))
    if seen:
        try:
            wanted = wanted.filter(_after(by, seen))
        except (ValidationError, ValueError):  # of another list, or made up: not a moment, not a number
            seen = []
    found = list(wanted[: size + 1])
    more = len(found) > size
    found = found[:size]
    return Page(found, _closed(found[-1], by) if more else "", not seen)


def _after(by: tuple[str, ...], seen: list[Any]) -> Q:
    """(a, b) > (x, y) spelt out, because the directions may differ. An index needs a bound of its own to begin at."""
    first = by[0].removeprefix("-")
    bound = Q(**{f"{first}__{'lte' if by[0].startswith('-') else 'gte'}": seen[0]})
    condition = Q()
    equal = Q()
    for field, value in zip(by, seen, strict=True):
        name = field.removeprefix("-")
        further = Q(**{f"{name}__{'lt' if field.startswith('-') else 'gt'}": value})
        condition |= equal & further
        equal &= Q(**{name: value})
    return bound & condition


def _closed(row: Model, by: tuple[str, ...]) -> str:
    values = [reduce(getattr, field.removeprefix("-").split("__"), cast(Any, row)) for field in by]
    plain = [v.isoformat() if isinstance(v, datetime) else str(v) if isinstance(v, Decimal) else v for v in values]
    text = json.dumps(plain, ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def opened(cursor: str, fields: int) -> list[Any]:
    """A cursor that we did not write starts at the first page."""
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, UnicodeDecodeError):
        return []
    plain = isinstance(values, list) and all(isinstance(v, str | int) and "\0" not in str(v) for v in values)
    return values if plain and len(values) == fields else []
