"""What is typed to connect a provider: only the fields its kind needs, made from the row of the registry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from billing.prices import Listed
from console.configuration.variables import OWN_SECRETS
from console.connecting import BY_HAND, Choice
from console.drafts import Draft, free_name, joined, taken, tidy_key
from console.forms import PlainForm
from console.forms.choices import currencies
from console.remedies import trouble_of
from providers.addresses import parse_networks, read_url
from providers.auth import is_sendable, parts
from providers.errors import ProviderError
from providers.registry import Kind, Place

LABELS = {
    "region": _("Region"),
    "project": _("Project"),
    "location": _("Location"),
    "workspace_id": _("Workspace"),
    "organization": _("Organisation"),
    "project_id": _("Project"),
    "bill_to": _("Bill to"),
    "beta": _("Beta features"),
    "referer": _("Address of your site"),
    "title": _("Name of your site"),
    "deployment": _("Deployment"),
    "api_version": _("API version"),
    "time_zone": _("Time zone"),
    "tenant_id": _("Tenant ID"),
    "client_id": _("Client ID"),
    "client_secret": _("Client secret"),
    "refresh_token": _("Refresh token of a person"),
    "access_key_id": _("Access key ID"),
    "secret_access_key": _("Secret access key"),
    "session_token": _("Session token"),
}
SHOWN_PARTS = frozenset({"tenant_id", "client_id", "access_key_id"})  # these name an account and open nothing
LONGEST_KEY = 16_000
MOST_MODELS = 2000
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,119}")
_OPTION = re.compile(r"[\w.:/@+ -]{1,200}")


def secret_input(**attributes: str) -> forms.PasswordInput:
    """Never shown again, and not for a password manager."""
    return forms.PasswordInput(
        attrs={"class": "input mono", "autocomplete": "off", "spellcheck": "false", "data-1p-ignore": ""} | attributes
    )


class KeyFields(PlainForm):
    """A key as it is pasted, the parts it may have instead, or the name of a variable that holds it."""

    key = forms.CharField(required=False, max_length=LONGEST_KEY, strip=False, widget=secret_input())
    variable = forms.CharField(
        label=_("Environment variable"),
        required=False,
        max_length=120,
        help_text=_("Instead of a key kept here: the name of a variable of this server that holds it."),
    )

    def __init__(self, *args: Any, kind: Kind, key_required: bool | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind = kind
        self.key_required = kind.key_required if key_required is None else key_required
        self.trimmed = False
        self.secret = ""
        self.fields["key"].label = _("Key") if kind.parts else _("Secret key")
        self.fields["variable"].widget.attrs.update({"class": "input mono", "spellcheck": "false"})
        if kind.auth == "none":
            del self.fields["key"], self.fields["variable"]
        for name, needed in self.parts():
            self.fields[f"part_{name}"] = forms.CharField(
                label=LABELS.get(name, name),
                required=False,
                max_length=LONGEST_KEY,
                widget=forms.TextInput(attrs={"class": "input mono", "autocomplete": "off", "spellcheck": "false"})
                if name in SHOWN_PARTS
                else secret_input(),
                help_text="" if needed else _("Only if there is one."),
            )

    def parts(self) -> Iterator[tuple[str, bool]]:
        """Each part's name, and whether it must be given."""
        for part in self.kind.parts:
            yield part.removesuffix("?"), not part.endswith("?")

    @property
    def part_fields(self) -> list[Any]:
        return [self[f"part_{name}"] for name, _needed in self.parts()]

    def clean_variable(self) -> str:
        name = str(self.cleaned_data["variable"]).strip().removeprefix("${").removeprefix("$").removesuffix("}")
        if name and not _VARIABLE.fullmatch(name):
            raise ValidationError(_("This is not the name of an environment variable."))
        if name in OWN_SECRETS:
            raise ValidationError(_("%(name)s is a secret of this house, not a provider's key.") % {"name": name})
        return name

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if "key" not in self.fields:
            return cleaned
        self.secret, self.trimmed = tidy_key(cleaned.get("key") or "", self.kind)
        given = {name: (cleaned.get(f"part_{name}") or "").strip() for name, _needed in self.parts()}
        if self.secret:
            self._judge_key()
        elif any(given.values()):
            self._join(given)
        elif self.key_required and not cleaned.get("variable") and "variable" not in self.errors:
            self.add_error("key", _("Paste the key here."))
        return cleaned

    def _judge_key(self) -> None:
        if self.secret.startswith("{") and self.kind.parts:
            try:
                parts(self.secret)
            except ValueError:
                self.add_error("key", _("This looks like JSON, but cannot be read as the parts of a key."))
        elif not is_sendable(self.secret) or " " in self.secret.removeprefix("Bearer "):
            self.add_error("key", _("There is a space, a line break or another character in it that no key has."))

    def _join(self, given: dict[str, str]) -> None:
        for name, needed in self.parts():
            if needed and not given[name]:
                self.add_error(f"part_{name}", _("This part is missing."))
            elif not is_sendable(given[name]):
                self.add_error(f"part_{name}", _("There is a character in it that no key has."))
        self.secret = joined(given)


class DraftForm(KeyFields):
    """The whole of a new provider. A check needs less of it than keeping it does."""

    name = forms.CharField(
        label=_("Name"), max_length=80, help_text=_("Used in routes and logs. You can connect the same provider twice.")
    )
    base_url = forms.CharField(label=_("Address"), required=False, max_length=500)
    models = forms.CharField(
        label=_("Models or deployments"),
        required=False,
        max_length=4000,
        help_text=_("This provider lists none. Their names, separated by commas."),
    )
    priority = forms.IntegerField(
        label=_("Priority"),
        min_value=0,
        max_value=1000,
        initial=100,
        required=False,
        help_text=_("The lowest number is asked first, where several providers have the same model."),
    )

    field_order = ["name", "base_url", "key"]

    def __init__(self, *args: Any, kind: Kind, checking: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, kind=kind, **kwargs)
        self.checking = checking
        self.fields["name"].required = not checking
        self.fields["name"].initial = free_name(kind.name)
        self._shape_address()
        if kind.models_path or kind.models:
            del self.fields["models"]
        for name in dict.fromkeys((*kind.needs, *kind.defaults, *kind.headers.values())):
            if name != "base_url":
                self.fields[f"option_{name}"] = forms.CharField(
                    label=LABELS.get(name, name),
                    required=name in kind.needs,
                    initial=kind.defaults.get(name, ""),
                    max_length=200,
                    widget=forms.TextInput(attrs={"class": "input mono", "spellcheck": "false"}),
                )

    def _shape_address(self) -> None:
        field, kind = self.fields["base_url"], self.kind
        field.required = "base_url" in kind.needs
        field.initial = "" if "{" in kind.base_url else kind.base_url
        field.widget.attrs.update({"class": "input mono", "inputmode": "url", "spellcheck": "false"})
        if kind.variants:
            field.widget.attrs["list"] = "variants"
        if kind.place is Place.LOCAL:
            field.help_text = _("As this server reaches it. In a container, localhost is the container itself.")
        elif not kind.base_url:
            field.help_text = _("With its whole path, as the provider's documentation gives it.")

    @property
    def first_fields(self) -> list[Any]:
        """What the kind cannot do without, besides name and key."""
        names = [name for name in self.kind.needs if name != "base_url"]
        fields = [self["base_url"]] if self.fields["base_url"].required or self.kind.place is Place.LOCAL else []
        fields += [self[f"option_{name}"] for name in names]
        return fields + ([self["models"]] if "models" in self.fields else [])

    @property
    def more_fields(self) -> list[Any]:
        first = {bound.name for bound in self.first_fields}
        extras = [f"option_{name}" for name in (*self.kind.defaults, *self.kind.headers.values())]
        names = ["base_url", *extras, "variable", "priority"]
        return [self[name] for name in names if name in self.fields and name not in first]

    def clean_name(self) -> str:
        name = " ".join(str(self.cleaned_data["name"]).split())
        if self.checking or not name:
            return name
        if not re.search(r"[A-Za-z0-9]", name):
            raise ValidationError(_("A name needs a letter from A to Z or a digit: addresses are made from it."))
        if taken(name):
            free = free_name(name)
            raise ValidationError(_("This name is taken. “%(free)s” is free.") % {"free": free}, code="taken")
        return name

    def clean_base_url(self) -> str:
        address = str(self.cleaned_data["base_url"]).strip().rstrip("/")
        return clean_address(address, self.kind) if address else ""

    def clean_priority(self) -> int:
        given = self.cleaned_data["priority"]
        return 100 if given is None else int(given)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        for name in self.fields:
            if name.startswith("option_") and cleaned.get(name) and not _OPTION.fullmatch(cleaned[name]):
                self.add_error(name, _("There is a character in it that does not belong there."))
        return cleaned

    @property
    def draft(self) -> Draft:
        cleaned = self.cleaned_data
        options: dict[str, Any] = {
            name.removeprefix("option_"): value.strip()
            for name, value in cleaned.items()
            if name.startswith("option_") and value.strip() and value != self.fields[name].initial
        }
        names = [name.strip() for name in str(cleaned.get("models") or "").split(",") if name.strip()]
        if names:
            options["models"] = names
        address = cleaned.get("base_url") or ""
        return Draft(
            kind=self.kind,
            name=cleaned.get("name") or self.kind.name,
            base_url="" if address == self.kind.base_url.rstrip("/") else address,
            secret="" if cleaned.get("variable") else self.secret,
            variable=cleaned.get("variable") or "",
            options=options,
            priority=cleaned.get("priority", 100),
        )


def clean_address(address: str, kind: Kind) -> str:
    """As it is kept. What the gateway would not dial is refused with the reason."""
    if "://" not in address:
        address = f"{'http' if kind.place is Place.LOCAL else 'https'}://{address}"
    if "?" in address or "#" in address:
        raise ValidationError(_("Leave out what follows ? or #."))
    if "{" in address:
        raise ValidationError(_("Write your own value in the place of the braces."))
    try:
        _url, policy = read_url(address, kind.place, parse_networks(settings.PRIVATE_NETWORKS))
    except ProviderError as error:
        trouble = trouble_of(error, kind, "")
        raise ValidationError(f"{trouble.cause}. {trouble.remedy}") from None
    if not (policy.near or policy.public or policy.allowed):
        raise ValidationError(_("Over plain HTTP the key could be read on the way: write https://."))
    return address.rstrip("/")


# -- the models that were found ------------------------------------------------------------


class ChoiceForm(PlainForm):
    """Which of the models shown are offered, and what those without a known price cost."""

    currency = forms.ChoiceField(label=_("Currency of typed prices"), required=False)

    def __init__(self, *args: Any, currency: str = "USD", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["currency"].choices = currencies()  # type: ignore[attr-defined]
        self.fields["currency"].initial = currency
        self.choice = Choice()

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        asked: Any = self.data
        shown = asked.getlist("shown")[:MOST_MODELS] if hasattr(asked, "getlist") else []
        prices: dict[str, Listed] = {}
        for number, name in enumerate(shown):
            told = [asked.get(f"price_{way}_{number}", "").strip() for way in ("in", "out")]
            if any(told):
                price = self._price(name, told, cleaned.get("currency") or "USD")
                if price is not None:
                    prices[name] = price
        self.choice = Choice(frozenset(shown), frozenset(asked.getlist("model")) if shown else frozenset(), prices)
        return cleaned

    def _price(self, name: str, told: list[str], currency: str) -> Listed | None:
        try:
            amounts = [Decimal((text or "0").replace(",", ".")) for text in told]
            if not all(amount.is_finite() and 0 <= amount <= 1_000_000 for amount in amounts):
                raise InvalidOperation
        except InvalidOperation:
            words = _("The price of %(model)s is not a number: write it per million tokens, like 0.25.")
            self.add_error(None, words % {"model": name})
            return None
        return Listed(currency, amounts[0], amounts[1], source=BY_HAND)
