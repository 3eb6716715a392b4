"""The sections of a person's own page, each a form with its own save."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from console.accounts import AccountAdapter
from console.forms import PlainForm, RowForm
from console.forms.choices import languages, zones
from console.forms.sign_in import password_field, say_verdict
from console.models import User


class NameForm(RowForm):
    class Meta:
        model = User
        fields = ["name"]
        widgets = {"name": forms.TextInput(attrs={"autocomplete": "name"})}
        labels = {"name": _("Name")}


class DisplayForm(RowForm):
    language = forms.ChoiceField(label=_("Language"), required=False)
    time_zone = forms.ChoiceField(label=_("Time zone"), required=False)

    class Meta:
        model = User
        fields = ["language", "time_zone", "theme"]
        labels = {"theme": _("Theme")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        house = [("", _("As the organisation"))]
        self.fields["language"].choices = [*house, *languages()]  # type: ignore[attr-defined]
        self.fields["time_zone"].choices = [*house, *zones()]  # type: ignore[attr-defined]


class KeyboardForm(RowForm):
    class Meta:
        model = User
        fields = ["shortcuts", "enter_sends"]
        labels = {"shortcuts": _("Single-key shortcuts"), "enter_sends": _("Enter sends")}
        help_texts = {
            "shortcuts": _("Such as g and a letter to go somewhere, n for something new, ? for the list."),
            "enter_sends": _("Shift and Enter start a new line. Without it, Enter does, and Ctrl and Enter send."),
        }


class PasswordForm(PlainForm):
    """The old one first, unless there is none yet."""

    current = password_field(_("Current password"), "current-password")
    new = password_field(_("New password"), "new-password")

    def __init__(self, *args: Any, person: User, adapter: AccountAdapter | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.person, self.adapter = person, adapter
        say_verdict(self.fields["new"])
        if not person.has_usable_password():
            del self.fields["current"]

    def clean_new(self) -> str:
        new = str(self.cleaned_data["new"])
        validate_password(new, self.person)
        return new

    def clean_current(self) -> str:
        """Counted like a sign-in: a stolen session must not be a way to guess the password."""
        current = str(self.cleaned_data["current"])
        assert self.adapter is not None
        if not self.adapter.reauthenticate(self.person, current):
            raise ValidationError(_("That is not your password."))
        return current
