"""What may be changed about a provider that is connected."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models import Team
from console.drafts import Draft, free_name, taken
from console.forms import PlainForm
from console.forms.connect import LABELS, KeyFields, clean_address
from providers.models import Credential, Provider
from providers.registry import Kind
from routing.breaker import DEFAULT

# Seconds: option, label, what is usual, what it means.
TIMES = (
    ("connect_seconds", _("Connect"), 10, _("Until a connection is made.")),
    ("first_event_seconds", _("First answer"), None, _("Until the first piece of an answer. Empty: what is left.")),
    ("idle_seconds", _("Silence"), 120, _("The longest pause in the middle of an answer.")),
)

# What it allows us, or we allow ourselves, in all processes together: field, label, what it means, the most it may be.
ALLOWED = (
    ("requests_per_minute", _("Requests a minute"), _("Empty: as many as come."), 2**31 - 1),
    ("tokens_per_minute", _("Tokens a minute"), _("Of questions and answers together. Empty: as many as come."), 2**53),
    ("concurrency", _("Requests at once"), _("Empty: as many as come."), 2**31 - 1),
)

ALLOWED_FIELDS = tuple(name for name, *_rest in ALLOWED)
CIRCUIT = {"circuit_failures": DEFAULT.in_a_row, "circuit_seconds": DEFAULT.first_seconds}


class SettingsForm(PlainForm):
    name = forms.CharField(
        label=_("Name"), max_length=80, help_text=_("After a rename the old name goes on working in requests.")
    )
    priority = forms.IntegerField(
        label=_("Priority"),
        min_value=0,
        max_value=1000,
        help_text=_("The lowest number is asked first, where several providers have the same model."),
    )

    def __init__(self, *args: Any, provider: Provider, **kwargs: Any) -> None:
        kwargs.setdefault("initial", {"name": provider.name, "priority": provider.priority})
        super().__init__(*args, **kwargs)
        self.provider = provider

    def clean_name(self) -> str:
        name = " ".join(str(self.cleaned_data["name"]).split())
        if not any(letter.isascii() and letter.isalnum() for letter in name):
            raise ValidationError(_("A name needs a letter from A to Z or a digit: addresses are made from it."))
        if taken(name, but=self.provider):
            raise ValidationError(_("This name is taken. “%(free)s” is free.") % {"free": free_name(name)})
        return name


class LimitsForm(PlainForm):
    timeout_seconds = forms.IntegerField(
        label=_("Whole answer"), min_value=1, max_value=86_400, help_text=_("Everything, from question to last word.")
    )
    max_tokens = forms.IntegerField(
        label=_("Longest answer"),
        min_value=1,
        max_value=10_000_000,
        required=False,
        help_text=_("Tokens, where a request names none. Empty: the provider decides."),
    )
    temperature = forms.FloatField(
        label=_("Temperature"),
        min_value=0,
        max_value=2,
        required=False,
        help_text=_("Where a request names none. Empty: the provider decides."),
    )

    circuit_failures = forms.IntegerField(
        label=_("Failures in a row"),
        min_value=1,
        max_value=1000,
        required=False,
        help_text=_("So many open the circuit of a model."),
    )
    circuit_seconds = forms.FloatField(
        label=_("Left alone for"),
        min_value=1,
        max_value=3600,
        required=False,
        help_text=_("Then one request tries again; a failure doubles the time."),
    )

    def __init__(self, *args: Any, provider: Provider, **kwargs: Any) -> None:
        names = [name for name, *_rest in TIMES] + ["max_tokens", "temperature", *CIRCUIT]
        initial = {name: provider.options.get(name) for name in names}
        initial |= {name: getattr(provider, name) for name in ("timeout_seconds", *ALLOWED_FIELDS)}
        super().__init__(*args, initial=initial, **kwargs)
        self.provider = provider
        for name, label, words, most in ALLOWED:
            self.fields[name] = forms.IntegerField(
                label=label, min_value=0, max_value=most, required=False, help_text=words
            )
        for name, rule in CIRCUIT.items():
            self.fields[name].widget.attrs["data-usual"] = f"{rule:g}"
        for name, label, usual, words in TIMES:
            self.fields[name] = forms.FloatField(
                label=label, min_value=0.1, max_value=3600, required=False, help_text=words
            )
            if usual:
                self.fields[name].widget.attrs["data-usual"] = str(usual)
        for field in self.fields.values():
            field.widget.attrs.update({"class": "input", "inputmode": "decimal"})

    field_order = ["connect_seconds", "first_event_seconds", "idle_seconds", "timeout_seconds"]

    @property
    def times(self) -> list[Any]:
        return [self[name] for name, *_rest in TIMES] + [self["timeout_seconds"]]

    @property
    def allowed(self) -> list[Any]:
        return [self[name] for name in ALLOWED_FIELDS]

    def save(self) -> None:
        provider, cleaned = self.provider, dict(self.cleaned_data)
        for name in ("timeout_seconds", *ALLOWED_FIELDS):
            setattr(provider, name, cleaned.pop(name))
        options = {name: value for name, value in provider.options.items() if name not in cleaned}
        for name, value in cleaned.items():
            if value is not None:
                options[name] = int(value) if isinstance(value, float) and value.is_integer() else value
        provider.options = options
        provider.save(update_fields=["timeout_seconds", "options", *ALLOWED_FIELDS])


class TeamsForm(PlainForm):
    teams = forms.MultipleChoiceField(
        label=_("Answers only these teams"), required=False, widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, *args: Any, provider: Provider, **kwargs: Any) -> None:
        super().__init__(*args, initial={"teams": [str(pk) for pk in provider.only_teams]}, **kwargs)
        live = Team.objects.filter(archived_at=None).order_by("name")
        self.fields["teams"].choices = [(str(team.pk), team.name) for team in live]  # type: ignore[attr-defined]


class MoveForm(KeyFields):
    """Another address or region. The key is asked for again: the old one was for another place."""

    base_url = forms.CharField(label=_("Address"), required=False, max_length=500)

    def __init__(self, *args: Any, provider: Provider, kind: Kind, **kwargs: Any) -> None:
        # Where there was a key, there is one for the new place too.
        needed = kind.key_required or provider.credentials.exists()
        super().__init__(*args, kind=kind, key_required=needed, **kwargs)
        self.provider = provider
        self.fields["base_url"].initial = provider.base_url or ("" if "{" in kind.base_url else kind.base_url)
        self.fields["base_url"].widget.attrs.update({"class": "input mono", "inputmode": "url", "spellcheck": "false"})
        self.fields["base_url"].required = "base_url" in kind.needs
        for name in kind.needs:
            if name != "base_url":
                self.fields[f"option_{name}"] = forms.CharField(
                    label=LABELS.get(name, name), max_length=200, initial=provider.options.get(name, "")
                )
                self.fields[f"option_{name}"].widget.attrs["class"] = "input mono"

    @property
    def place_fields(self) -> list[Any]:
        return [self["base_url"]] + [self[name] for name in self.fields if name.startswith("option_")]

    def clean_base_url(self) -> str:
        address = str(self.cleaned_data["base_url"]).strip().rstrip("/")
        return clean_address(address, self.kind) if address else ""

    @property
    def options(self) -> dict[str, Any]:
        given = {
            name.removeprefix("option_"): value.strip()
            for name, value in self.cleaned_data.items()
            if name.startswith("option_")
        }
        return {**self.provider.options, **given}

    @property
    def draft(self) -> Draft:
        address = self.cleaned_data["base_url"]
        variable = self.cleaned_data.get("variable") or ""
        return Draft(
            kind=self.kind,
            name=self.provider.name,
            base_url="" if address == self.kind.base_url.rstrip("/") else address,
            secret="" if variable else self.secret,
            variable=variable,
            options=self.options,
            priority=self.provider.priority,
        )


# -- keys -------------------------------------------------------------------------------


OVERLAPS = {
    "0": _("At once"),
    "1": _("In an hour"),
    "24": _("In a day"),
    "168": _("In a week"),
    "720": _("In 30 days"),
}


class KeyForm(KeyFields):
    """One more key, or one in the place of another."""

    name = forms.CharField(label=_("Name"), max_length=80, required=False)
    weight = forms.IntegerField(
        label=_("Weight"),
        min_value=0,
        max_value=1000,
        initial=1,
        required=False,
        help_text=_("A key of weight 2 is used twice as often as one of weight 1."),
    )
    overlap = forms.ChoiceField(label=_("The old key ends"), choices=OVERLAPS.items(), initial="24", required=False)
    anyway = forms.BooleanField(label=_("Keep it although the check failed"), required=False)

    def __init__(
        self, *args: Any, provider: Provider, kind: Kind, old: Credential | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, kind=kind, key_required=True, **kwargs)
        self.provider, self.old = provider, old
        if old is not None:
            del self.fields["name"], self.fields["weight"]
        else:
            del self.fields["overlap"]

    def clean_name(self) -> str:
        name = " ".join(str(self.cleaned_data["name"]).split())
        if not name:
            raise ValidationError(_("Give it a name to tell it by."))
        if self.provider.credentials.filter(name=name).exists():
            raise ValidationError(_("There is a key of this name."))
        return name

    def clean_weight(self) -> int:
        given = self.cleaned_data["weight"]
        return 1 if given is None else int(given)

    @property
    def until(self) -> datetime:
        return timezone.now() + timedelta(hours=int(self.cleaned_data.get("overlap") or 0))

    @property
    def draft(self) -> Draft:
        variable = self.cleaned_data.get("variable") or ""
        return Draft(
            kind=self.kind,
            name=self.provider.name,
            base_url=self.provider.base_url,
            secret="" if variable else self.secret,
            variable=variable,
            options=self.provider.options,
        )
