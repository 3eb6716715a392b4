"""Every piece on one page, and charts that can be read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from console.charts import Axis, Series, bars, lines, spark, strip
from console.navigation import ACTS, GROUPS

TEMPLATES = Path(settings.BASE_DIR) / "templates"
SPRITE = (TEMPLATES / "partials" / "sprite.html").read_text()
ICONS = set(re.findall(r'id="i-(\w+)"', SPRITE))
PAGE_ONLY = {"ui/field_foot.html", "ui/toasts.html", "ui/crumbs.html", "ui/pager.html"}  # shown by what includes them


def test_the_style_guide_shows_every_section(bob: Any, signed_in: Any) -> None:
    page = signed_in(bob).get("/styleguide/").content.decode()
    linked = set(re.findall(r'^<a href="#([\w-]+)">', page, re.M))
    drawn = set(re.findall(r'<section class="s" id="([\w-]+)">', page))
    assert len(drawn) == 28
    assert linked == drawn


def test_every_piece_is_in_the_style_guide() -> None:
    """A new piece has an entry there, directly or inside another piece."""
    known = {f"ui/{path.name}" for path in (TEMPLATES / "ui").glob("*.html")}
    shown = {"ui/field.html", "ui/chart.html"}  # by their tag, by console/charts.py
    for path in [*(TEMPLATES / "styleguide").glob("*.html"), *(TEMPLATES / "ui").glob("*.html")]:
        shown |= set(re.findall(r'{% include "(ui/\w+\.html)"', path.read_text()))
    assert known - shown <= PAGE_ONLY


def test_every_icon_that_is_used_is_drawn() -> None:
    used: set[str] = set()
    for path in TEMPLATES.rglob("*.html"):
        used |= set(re.findall(r'{% icon "(\w+)"', path.read_text()))
    used |= {place.icon for group in GROUPS for place in group.places} | {act.icon for act in ACTS}
    assert len(used) > 30
    assert used <= ICONS, used - ICONS


def test_no_page_writes_a_colour_or_a_script() -> None:
    """Colours come from the tokens; the policy lets no inline script run."""
    for path in TEMPLATES.rglob("*.html"):
        text = path.read_text()
        where = str(path.relative_to(TEMPLATES))
        assert not re.search(r"style=\"[^\"]*(#[0-9a-fA-F]{3,6}\b|oklch|rgb\()", text), where
        assert not re.search(r"<style|\bon(click|load|change|submit|input)=|javascript:|hx-on", text), where
        for script in re.findall(r"<script([^>]*)>", text):
            assert "src=" in script or 'type="application/json"' in script, where


def chart(**options: Any) -> str:
    series = [
        Series("Mistral </script><b>", "d1", [1, 3], ["€1", "€3"]),
        Series("Failed", "bad", [0, 1], ["", "€1"]),
    ]
    axis = Axis(4, ["0", "2", "4"], [(0, "Mon"), (1, "Tue")], ["Monday", "Tuesday"], ["€1", "€4"])
    return bars("Spend.", series, axis, **options)


def test_bars_stand_on_each_other() -> None:
    html = chart(forecast=1)
    assert re.findall(r'<rect class="(\S+(?: fc)?)" x="[\d.]+" y="([\d.]+)" width="6.6" height="([\d.]+)"', html) == [
        ("f1", "75.00", "25.00"),
        ("f1 fc", "25.00", "75.00"),
        ("fbad fc", "0.00", "25.00"),
    ]
    assert "Forecast" in html
    assert 'aria-label="Spend. Use the arrow keys to read values."' in html


def test_names_cannot_leave_the_data() -> None:
    html = chart()
    assert html.count("</script>") == 1
    data = json.loads(re.search(r'application/json">(.*?)</script>', html, re.S).group(1))  # type: ignore[union-attr]
    assert data["s"][1]["n"] == "Mistral </script><b>"
    assert data["t"] == ["€1", "€4"]


def test_a_line_leaves_gaps_and_shows_its_limit() -> None:
    axis = Axis(10, ["0", "10"], [(0, "1")], ["1", "2", "3"])
    html = lines("Budget.", [Series("Actual", "d1", [0, 5, None], ["0", "5", ""])], axis, limit=8)
    assert 'd="M5.0,100.00 15.0,50.00"' in html
    assert 'd="M0 20.00H30"' in html


def test_a_line_without_a_value_is_not_drawn() -> None:
    axis = Axis(10, ["0", "10"], [(0, "1")], ["1", "2"])
    html = lines("Budget.", [Series("Actual", "d1", [None, None], ["", ""])], axis)
    assert 'class="ln' not in html
    assert 'd="M"' not in html


def test_small_charts() -> None:
    assert 'd="M0.0,100.0 100.0,0.0"' in spark([1, 2])
    assert spark([3, 3])
    html = strip(["", "w", "b"], "3 days: 1 degraded, 1 with failures")
    assert html.count("<i") == 3
    assert 'class="b"' in html
    assert 'aria-label="3 days: 1 degraded, 1 with failures"' in html


@pytest.mark.django_db
def test_the_style_guide_is_for_people_only(client: Any, alice: Any) -> None:
    assert client.get("/styleguide/").status_code == 302
