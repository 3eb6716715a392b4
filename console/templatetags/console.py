"""Pieces of the interface for templates: icons, avatars, fields, and numbers in words."""

from __future__ import annotations

from typing import Any

from django import forms, template
from django.forms import BoundField
from django.utils.html import format_html
from django.utils.safestring import SafeString

from console import formats, verdicts

register = template.Library()

register.filter("money", formats.money)
register.filter("money_big", formats.money_big)
register.filter("tokens", formats.tokens)
register.filter("duration", formats.duration)
register.filter("difference", formats.difference)
register.filter("pct", formats.pct)
register.filter("success", formats.success)
register.filter("number", formats.number)
register.filter("when", formats.when)
register.filter("in_words", verdicts.in_words)
register.simple_tag(formats.price, name="price")

HUES = (30, 62, 95, 150, 200, 235, 262, 290, 320, 350)


@register.simple_tag
def icon(name: str, extra: str = "") -> SafeString:
    """`{% icon "route" %}`, `{% icon "route" "s" %}`: a drawing of partials/sprite.html."""
    return format_html(
        '<svg class="ico{}" aria-hidden="true"><use href="#i-{}"/></svg>', f" {extra}" if extra else "", name
    )


@register.filter
def initials(name: Any) -> str:
    """Two letters for a tile: of the first and the last word, or the first two."""
    words = [word for word in str(name).replace("@", " ").split() if word[0].isalnum()]
    if not words:
        return "?"
    return (words[0][0] + words[-1][0]).upper() if len(words) > 1 else words[0][:2].capitalize()


@register.filter
def hue(name: Any) -> int:
    """The same name always has the same colour."""
    return HUES[sum(ord(letter) * (place + 1) for place, letter in enumerate(str(name))) % len(HUES)]


@register.simple_tag
def avatar(person: Any, extra: str = "") -> SafeString:
    return format_html(
        '<span class="avatar{}" style="--h:{}" aria-hidden="true">{}</span>',
        f" {extra}" if extra else "",
        hue(person),
        initials(person),
    )


@register.simple_tag
def monogram(letters: str, colour: int, size: str = "") -> SafeString:
    """Initials on a tinted tile; sizes xs, s, m, l."""
    return format_html(
        '<span class="mono-tile{}" style="--h:{}" aria-hidden="true">{}</span>',
        f" {size}" if size else "",
        colour,
        letters,
    )


@register.simple_tag
def tile(mark: Any, size: str = "") -> SafeString:
    """The tile of a kind of provider (it knows its letters and hue), or of any name."""
    if hasattr(mark, "initials"):
        return monogram(mark.initials, mark.hue, size)
    return monogram(initials(mark), hue(mark), size)


@register.inclusion_tag("ui/field.html")
def field(bound: BoundField, **extra: Any) -> dict[str, Any]:
    """A label, its control, its hint and what is wrong with it.

    `{% field form.email %}`; also `hint=`, `optional=True`, `link=` with `link_text=`, `prefix=`, `suffix=`, `ok=`.
    """
    attributes: dict[str, Any] = {}
    described = [f"{bound.auto_id}_hint"] if extra.get("hint") else []
    described += [f"{bound.auto_id}_helptext"] if bound.help_text else []
    described += [f"{bound.auto_id}_ok"] if extra.get("ok") and not bound.errors else []
    described += [f"{bound.auto_id}_error"] if bound.errors else []
    if described:
        attributes["aria-describedby"] = " ".join(described)
    look = _look(bound.field.widget)
    if look == "check" and extra.get("switch"):
        attributes |= {"class": "switch", "role": "switch"}
    return {
        "field": bound,
        "look": look,
        "control": bound.as_widget(attrs=attributes),
        "described": attributes.get("aria-describedby", ""),
        "optional": False,
        **extra,
    }


def _look(widget: forms.Widget) -> str:
    if isinstance(widget, forms.RadioSelect | forms.CheckboxSelectMultiple):
        return "choices"
    if isinstance(widget, forms.CheckboxInput):
        return "check"
    if isinstance(widget, forms.PasswordInput):
        return "password"
    return "control"


@register.filter
def errors_of(form: forms.BaseForm) -> list[dict[str, Any]]:
    """Every error of a form with the id of the control it is about; the form's own come first, without one."""
    found = [{"id": "", "message": message} for message in form.non_field_errors()]
    for bound in form:
        target = bound.auto_id if _look(bound.field.widget) != "choices" else f"{bound.auto_id}_0"
        found += [{"id": target, "message": message, "label": bound.label} for message in bound.errors]
    return found
