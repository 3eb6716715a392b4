"""How the installation behaves."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.models import Organisation
from console.forms import RowForm
from console.forms.choices import currencies, languages, zones
from console.forms.models import clean_default_model


class GeneralForm(RowForm):
    time_zone = forms.ChoiceField(label=_("Time zone"))
    currency = forms.ChoiceField(label=_("Currency"))
    language = forms.ChoiceField(label=_("Language"))

    class Meta:
        model = Organisation
        fields = ["name", "label", "time_zone", "currency", "language", "default_model"]
        labels = {
            "name": _("Organisation"),
            "label": _("Environment label"),
            "default_model": _("Default model"),
        }
        help_texts = {
            "label": _("Shown under the name, for example Production or Staging."),
            "default_model": _("Answers when neither the request nor the team names a model."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, choices in (("time_zone", zones), ("currency", currencies), ("language", languages)):
            kept = getattr(self.instance, name)
            known = choices()
            flat = {value for value, group in known} | {
                v for __, group in known if isinstance(group, list) for v, __ in group
            }
            self.fields[name].choices = known if kept in flat else [(kept, kept), *known]  # type: ignore[attr-defined]
        self.fields["default_model"].widget.attrs.update({"class": "input mono", "spellcheck": "false"})

    def clean_default_model(self) -> str:
        return clean_default_model(self.cleaned_data["default_model"])
