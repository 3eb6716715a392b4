"""Where did the time of a request go? Gateway, attempts, first token and streaming, all on one scale.

Only how long an attempt took is written down, not when it began: the first begins when the gateway has decided, the
last ends with the request, those between follow each other, and what is left over was spent waiting for the last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from billing.models import Attempt, Request
from console import formats
from console.faults import reason

PARTS = 5  # of the scale
ROUND = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(4), Decimal(5), Decimal(10))
WAITED_MS = 20  # less is no wait worth a row

Mark = Callable[[str], Any]  # from a provider's slug to what its tile is drawn from


@dataclass(frozen=True, slots=True)
class Bar:
    label: str
    begins: int  # milliseconds
    lasts: int
    value: str
    colour: str = "d8"
    mark: Any = None
    hatched: bool = False
    inner: bool = False
    down: bool = False  # the value names a fault
    said: str = ""  # the same in words, for whoever does not see the drawing


@dataclass(frozen=True, slots=True)
class Placed:
    """A bar on the scale, in per cent."""

    bar: Bar
    start: str
    long: str


@dataclass(frozen=True, slots=True)
class Fall:
    rows: list[Placed]
    ticks: list[tuple[int, str]]  # per cent, and the word


def fall_of(request: Request, attempts: Sequence[Attempt], mark: Mark) -> Fall:
    bars = _bars(request, attempts, mark)
    top = scale_of(max((bar.begins + bar.lasts for bar in bars), default=0))
    rows = [Placed(bar, _share(bar.begins, top), _share(bar.lasts, top) if bar.lasts else "") for bar in bars]
    return Fall(rows, _ticks(top))


def begin_of(request: Request, attempts: Sequence[Attempt]) -> list[int]:
    """When each attempt began, in milliseconds after the request did."""
    lasts = [attempt.duration_ms for attempt in attempts]
    queued = request.queued_ms
    at = max(0, request.duration_ms - sum(lasts)) if queued is None else queued
    begins = []
    for each in lasts:
        begins.append(at)
        at += each
    if len(begins) > 1:
        begins[-1] = max(begins[-1], request.duration_ms - lasts[-1])
    return begins


def _bars(request: Request, attempts: Sequence[Attempt], mark: Mark) -> list[Bar]:
    begins = begin_of(request, attempts)
    gateway = begins[0] if begins else request.duration_ms
    bars = [_bar(_("Gateway"), 0, gateway)]
    ended = gateway
    for attempt, at in zip(attempts, begins, strict=True):
        if at - ended > WAITED_MS:
            bars.append(_bar(_("Waited to ask again"), ended, at - ended, inner=True))
        bars += _attempt(request, attempt, at, mark, last=attempt is attempts[-1])
        ended = at + attempt.duration_ms
    return bars


def _attempt(request: Request, attempt: Attempt, at: int, mark: Mark, *, last: bool) -> list[Bar]:
    lasts = attempt.duration_ms
    failed = attempt.status in ("failed", "interrupted")
    label = _("Attempt %(n)d") % {"n": attempt.number}
    colour = "bad" if failed else "d8" if attempt.status == "cancelled" else "d1"
    bars = [_bar(label, at, lasts, colour=colour, mark=mark(attempt.provider), hatched=failed, who=attempt.provider)]
    first = request.first_token_ms
    if last and first is not None and at < first <= at + lasts and attempt.status != "failed":
        bars.append(_bar(_("First token"), at, first - at, colour="d2", inner=True))
        if at + lasts > first:
            bars.append(_bar(pgettext("of an answer", "Streaming"), first, at + lasts - first, colour="d1", inner=True))
    if failed:
        words = reason(attempt.error_code)
        code = str(attempt.upstream_status or "")
        bars.append(Bar(words, at, 0, code, inner=True, down=True, said=f"{words} {code}".strip()))
    return bars


def _bar(label: str, begins: int, lasts: int, *, who: str = "", **look: Any) -> Bar:
    told = {
        "label": f"{label}, {who}" if who else label,
        "from": formats.duration(begins),
        "to": formats.duration(begins + lasts),
        "long": formats.duration(lasts),
    }
    said = _("%(label)s: from %(from)s to %(to)s, %(long)s") % told
    return Bar(label, begins, lasts, formats.duration(lasts), said=said, **look)


# -- the scale -------------------------------------------------------------------------------


def scale_of(most: int) -> Decimal:
    """The end of the scale in milliseconds: five round parts that hold it all."""
    part = Decimal(max(most, PARTS)) / PARTS
    power = Decimal(1).scaleb(part.adjusted())
    return next(step * power for step in ROUND if step * power >= part) * PARTS


def _ticks(top: Decimal) -> list[tuple[int, str]]:
    seconds = top >= 1000
    told = []
    for place in range(PARTS + 1):
        value = top * place / PARTS / (1000 if seconds else 1)
        words = formats.number(value.normalize() + 0)
        unit = ("s" if seconds else "ms") if place == PARTS else ""
        told.append((place * 100 // PARTS, f"{words}{formats.SPACE}{unit}" if unit else words))
    return told


def _share(milliseconds: int, top: Decimal) -> str:
    return f"{Decimal(milliseconds) / top * 100:.2f}"
