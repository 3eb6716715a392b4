"""What may be set by hand about a model: what it can do, its other names, and what it costs."""

from __future__ import annotations

from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from billing.prices import Listed
from console.forms import PlainForm
from console.forms.choices import currencies
from console.lineup import ABILITIES
from providers.models import FormerSlug, LanguageModel, ModelAlias, Provider
from routing.engine import AUTO

BY_HAND = "set by hand"
LARGEST = 100_000_000  # tokens of a window that anybody would mean
DEAREST = Decimal(10) ** 8
_WORDS = {True: "yes", False: "no"}


class OverrideForm(PlainForm):
    """What somebody here knows better than the list and the catalogue. Empty: what those say."""

    context = forms.IntegerField(label=_("Context window"), min_value=1, max_value=LARGEST, required=False)
    max_output = forms.IntegerField(label=_("Longest answer"), min_value=1, max_value=LARGEST, required=False)

    def __init__(self, *args: Any, model: LanguageModel, **kwargs: Any) -> None:
        self.model = model
        super().__init__(*args, initial=_typed(model), **kwargs)
        for name, number in (("context", model.context), ("max_output", model.max_output)):
            self.fields[name].widget.attrs["inputmode"] = "numeric"
            if number and name not in model.overrides:
                self.fields[name].help_text = format_lazy(_("Known: {number} tokens"), number=f"{number:,}")
        if model.use == LanguageModel.Use.CHAT:
            for name, label in ABILITIES.items():
                self.fields[name] = forms.ChoiceField(label=label, required=False, choices=_choices(model, name))
                self.fields[name].widget.attrs["class"] = "input"

    @property
    def abilities(self) -> list[Any]:
        return [self[name] for name in ABILITIES if name in self.fields]

    @property
    def values(self) -> dict[str, Any]:
        """None where nothing is set: see `facts.set_override`."""
        told: dict[str, Any] = {name: self.cleaned_data[name] for name in ("context", "max_output")}
        known = {word: value for value, word in _WORDS.items()}
        return told | {bound.name: known.get(self.cleaned_data[bound.name]) for bound in self.abilities}


def _typed(model: LanguageModel) -> dict[str, Any]:
    words = {True: "yes", False: "no"}
    return {
        name: words.get(value, value) if isinstance(value, bool) else value for name, value in model.overrides.items()
    }


def _choices(model: LanguageModel, name: str) -> list[tuple[str, str | Promise]]:
    if name in model.overrides:
        usual: str | Promise = _("As its provider says")
    elif name in model.capabilities:
        usual = _("As known: yes")
    elif name in model.lacks:
        usual = _("As known: no")
    else:
        usual = _("Not known")
    return [("", usual), ("yes", pgettext_lazy("of an ability", "Yes")), ("no", pgettext_lazy("of an ability", "No"))]


class AliasForm(PlainForm):
    name = forms.CharField(label=_("Another name"), max_length=200)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].widget.attrs |= {"class": "input mono", "spellcheck": "false", "autocapitalize": "none"}

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        if not name.isprintable() or " " in name:
            raise ValidationError(_("A name has no spaces: write small-and-fast."))
        if name == AUTO or name.startswith(f"{AUTO}:"):
            raise ValidationError(_("“auto” means the default model everywhere: take another name."))
        prefix, colon, _rest = name.partition(":")
        if colon and _is_slug(prefix):
            raise ValidationError(
                _("“%(name)s” is how a model of that provider is named: take another name.") % {"name": name}
            )
        held = ModelAlias.objects.filter(name=name).select_related("model__provider").first()
        if held is not None:
            raise ValidationError(_("%(model)s has this name already.") % {"model": held.model})
        return name


def _is_slug(prefix: str) -> bool:
    slug = prefix.lower()
    return Provider.objects.filter(slug=slug).exists() or FormerSlug.objects.filter(slug=slug).exists()


def _rate(label: Any, *, required: bool = False) -> forms.DecimalField:
    """Localised: a comma is a decimal sign where people write one."""
    return forms.DecimalField(
        label=label,
        required=required,
        min_value=0,
        max_value=DEAREST,
        max_digits=18,
        decimal_places=9,
        localize=True,
        widget=forms.TextInput(attrs={"class": "input", "inputmode": "decimal"}),
    )


class PriceForm(PlainForm):
    """A price from a day on. It never changes one that is in the books."""

    currency = forms.ChoiceField(label=_("Currency"), choices=currencies)
    input_per_million = _rate(pgettext_lazy("tokens", "Input"), required=True)
    output_per_million = _rate(pgettext_lazy("tokens", "Output"), required=True)
    cached_per_million = _rate(_("Cached input"))
    cache_write_per_million = _rate(_("Cache write"))
    reasoning_per_million = _rate(_("Reasoning"))
    per_request = _rate(_("Each request"))
    valid_from = forms.DateField(
        label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}), help_text=_("Empty: now.")
    )

    FIRST = ("input_per_million", "output_per_million", "cached_per_million")
    MORE = ("cache_write_per_million", "reasoning_per_million", "per_request")

    @property
    def first_fields(self) -> list[Any]:
        return [self[name] for name in self.FIRST]

    @property
    def more_fields(self) -> list[Any]:
        return [self[name] for name in self.MORE]

    def clean_valid_from(self) -> datetime | None:
        day = self.cleaned_data["valid_from"]
        if day is None:
            return None
        if day < timezone.localdate():
            raise ValidationError(_("Calls of the past are in the books: take today or a day to come."))
        return None if day == timezone.localdate() else datetime.combine(day, time(), UTC)

    @property
    def listed(self) -> Listed:
        given = {name: self.cleaned_data[name] for name in (*self.FIRST, *self.MORE)}
        return Listed(
            **{name: value for name, value in given.items() if value is not None},
            currency=self.cleaned_data["currency"],
            valid_from=self.cleaned_data["valid_from"],
            source=BY_HAND,
        )
