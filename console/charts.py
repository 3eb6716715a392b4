"""Charts as the server draws them: SVG shapes that stretch, labels as HTML, values beside them as JSON for reading.

Colours are classes or custom properties, so a chart follows the theme without being drawn again. Values come in two
forms, as numbers for the shapes and as words already formatted for the reader.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from django.template.loader import render_to_string
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

EDGE = 'stroke="var(--surface)" stroke-width="1" vector-effect="non-scaling-stroke"'
STEP = 10  # width of one column in the drawing's own units


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    line: str  # "d1" to "d8", or an outcome: "ok", "warn", "bad"
    values: Sequence[float | None]
    words: Sequence[str]

    @property
    def colour(self) -> str:
        return "var(--d8)" if self.line == "ok" else f"var(--{self.line})"

    @property
    def fill(self) -> str:
        return f"f{self.line[1:]}" if self.line.startswith("d") else f"f{self.line}"


@dataclass(frozen=True, slots=True)
class Axis:
    """Ticks from zero upwards with their words, and the labels under the columns as (column, word)."""

    top: float
    ticks: Sequence[str]
    below: Sequence[tuple[int, str]]
    columns: Sequence[str]  # each column's full name, for reading
    totals: Sequence[str] = ()


def bars(
    label: str,
    series: Sequence[Series],
    axis: Axis,
    *,
    forecast: int | None = None,
    brush: tuple[float, float] | None = None,
    height: int = 248,
    over: SafeString | str = "",
) -> SafeString:
    """Stacked columns, the first series at the bottom. Those from `forecast` on are pale, after a dashed line.

    `brush` is the part that is chosen, from and to as shares of the width. `over` lies over the plot: handles.
    """
    shapes = []
    for column in range(len(axis.columns)):
        base = 0.0
        for one in series:
            value = one.values[column] or 0
            tall = value / axis.top * 100
            base += tall
            pale = " fc" if forecast is not None and column >= forecast else ""
            if tall:
                shapes.append((one.fill, pale, f"{column * STEP + 1.7:.1f}", f"{100 - base:.2f}", f"{tall:.2f}"))
    drawn = format_html_join(
        "",
        '<rect class="{}{}" x="{}" y="{}" width="6.6" height="{}" ' + EDGE + "/>",
        shapes,
    )
    return _chart(label, list(reversed(series)), axis, drawn, height, forecast, brush, over)


def lines(
    label: str,
    series: Sequence[Series],
    axis: Axis,
    *,
    limit: float | None = None,
    height: int = 190,
    steps: bool = False,
) -> SafeString:
    """One line a series, the first one filled; `limit` is drawn across in red.

    With `steps` a value holds for its whole column, and no line is filled or dashed.
    """
    pieces = []
    for place, one in enumerate(series):
        points = [
            f"{x:.1f},{100 - value / axis.top * 100:.2f}"
            for column, value in enumerate(one.values)
            if value is not None
            for x in ((column * STEP, (column + 1) * STEP) if steps else (column * STEP + STEP / 2,))
        ]
        path = " ".join(points)
        if place == 0 and points and not steps:
            first, last = points[0].split(",")[0], points[-1].split(",")[0]
            fill = f"color-mix(in oklab, {one.colour} 10%, transparent)"
            pieces.append(
                format_html('<path class="band" fill="{}" d="M{} L{},100 L{},100Z"/>', fill, path, last, first)
            )
        dash = " dash" if place and not steps else ""
        if points:
            pieces.append(format_html('<path class="ln{}" stroke="{}" d="M{}"/>', dash, one.colour, path))
    if limit is not None:
        across = f"M0 {100 - limit / axis.top * 100:.2f}H{len(axis.columns) * STEP}"
        style = "stroke:var(--bad);stroke-dasharray:5 4;stroke-width:1.5"
        pieces.append(format_html('<path class="g" style="{}" d="{}"/>', style, across))
    return _chart(label, series, axis, _joined(pieces), height)


def spark(values: Sequence[float], line: str = "d1") -> SafeString:
    """A curve without axes, beside a figure that says the number."""
    low, high = min(values), max(values)
    span = (high - low) or 1
    path = " ".join(
        f"{place * 100 / max(1, len(values) - 1):.1f},{100 - (value - low) / span * 100:.1f}"
        for place, value in enumerate(values)
    )
    return format_html(
        '<svg class="spark" style="--c:var(--{})" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
        '<path class="a" d="M{} L100,108 L0,108Z"/><path d="M{}"/></svg>',
        line,
        path,
        path,
    )


def strip(states: Sequence[str], label: str, *, wide: bool = False) -> SafeString:
    """One bar a period: "" good, "w" degraded, "b" failed, "n" nothing known. The label says it in counts."""
    marks = format_html_join(
        "", "<i{}></i>", ((format_html(' class="{}"', state) if state else "",) for state in states)
    )
    return format_html(
        '<span class="strip{}" role="img" aria-label="{}">{}</span>', " wide" if wide else "", label, marks
    )


def _chart(
    label: str,
    read: Sequence[Series],
    axis: Axis,
    drawn: SafeString,
    height: int,
    forecast: int | None = None,
    brush: tuple[float, float] | None = None,
    over: SafeString | str = "",
) -> SafeString:
    count = len(axis.columns)
    steps = len(axis.ticks) - 1
    grid = format_html_join(
        "",
        '<path class="g{}" d="M0 {}H{}"/>',
        (("" if tick else " z", f"{100 - tick * 100 / steps:.2f}", count * STEP) for tick in range(steps + 1)),
    )
    told = {
        "x": list(axis.columns),
        "t": list(axis.totals) or None,
        "s": [{"n": one.name, "c": one.colour, "v": list(one.words)} for one in read],
    }
    html = render_to_string(
        "ui/chart.html",
        {
            "label": label,
            "height": height,
            "width": count * STEP,
            "ticks": axis.ticks,
            "shapes": _joined([grid, drawn]),
            "forecast": f"{forecast * 100 / count:.2f}" if forecast is not None else "",
            "forecast_x": (forecast or 0) * STEP,
            "brush": [f"{share:.2%}" for share in brush] if brush else [],
            "over": over,
            "below": [(f"{(column + 0.5) * 100 / count:.2f}", word) for column, word in axis.below],
            "told": _as_data(told),
        },
    )
    return mark_safe(html)  # noqa: S308  # rendered by the template, which escapes


def _joined(pieces: Sequence[SafeString]) -> SafeString:
    return format_html_join("", "{}", ((piece,) for piece in pieces))


def _as_data(value: object) -> SafeString:
    """JSON for a script element of type application/json, where `<` and `&` must not start markup."""
    text = json.dumps(value, ensure_ascii=False)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return mark_safe(text)  # noqa: S308
