"""What every form of the console shares: our classes on controls, errors tied to their field, text as it was typed."""

from __future__ import annotations

from typing import Any

from django import forms

SWITCHES = (forms.CheckboxInput, forms.RadioSelect, forms.CheckboxSelectMultiple)


class Styled:
    """Mixed into a form: `.input` on controls, `aria-invalid` and `aria-describedby` where something is wrong."""

    fields: dict[str, forms.Field]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)
            if not isinstance(field.widget, SWITCHES):
                field.widget.attrs.setdefault("class", "input")

    def full_clean(self) -> None:
        super().full_clean()  # type: ignore[misc]
        for name in getattr(self, "_errors", None) or ():
            if name in self.fields:
                self.fields[name].widget.attrs["aria-invalid"] = "true"


class PlainForm(Styled, forms.Form):
    """A form that is not a row."""


class RowForm(Styled, forms.ModelForm):  # type: ignore[type-arg]  # its type takes a model only while it is checked
    """A form that is a row."""
