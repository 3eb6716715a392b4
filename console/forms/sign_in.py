"""Signing in, second factor, new password: allauth's forms in our words."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import LoginForm, ResetPasswordForm, ResetPasswordKeyForm, SetPasswordForm
from allauth.account.forms import ReauthenticateForm as PasswordAgainForm
from allauth.mfa.base.forms import AuthenticateForm
from allauth.mfa.base.forms import ReauthenticateForm as AuthenticatorAgainForm
from allauth.mfa.totp.forms import ActivateTOTPForm
from django import forms
from django.core.exceptions import ValidationError
from django.urls import reverse_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.accounts import PER_PLACE, Throttled
from console.forms import Styled


def password_field(label: Any, autocomplete: str) -> forms.CharField:
    return forms.CharField(
        label=label,
        strip=False,
        max_length=512,
        widget=forms.PasswordInput(attrs={"autocomplete": autocomplete, "class": "input"}, render_value=False),
    )


def say_verdict(field: forms.Field) -> None:
    """Ask for the verdict on a new password while it is typed; `#verdict` stands under the field."""
    field.widget.attrs |= {
        "hx-post": reverse_lazy("password-verdict"),
        "hx-trigger": "input changed delay:250ms",
        "hx-target": "#verdict",
        "hx-swap": "innerHTML",
        "hx-sync": "this:replace",
        "aria-describedby": "verdict",
    }


class SignInForm(Styled, LoginForm):
    """Says how many tries are left before a wait."""

    retry_after = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].label = _("Email")
        self.fields["login"].widget.attrs.update({"autocomplete": "username", "autofocus": True})
        self.fields["password"].help_text = ""
        self.fields["remember"].label = _("Keep me signed in for 30 days")
        self.fields["remember"].initial = True

    def _clean_with_password(self, credentials: dict[str, Any]) -> Any:
        try:
            return super()._clean_with_password(credentials)
        except Throttled as error:
            self.retry_after = error.wait
            raise
        except ValidationError as error:
            if error.code != "email_password_mismatch":
                raise
            self.fields["password"].widget.attrs["aria-invalid"] = "true"
            raise ValidationError(_mismatch(getattr(self.request, "tries_left", 0)), code=error.code) from None


def _mismatch(left: int) -> str:
    if not left:
        words = ngettext(
            "That email and password do not match. Wait %(m)d minute, then try again.",
            "That email and password do not match. Wait %(m)d minutes, then try again.",
            PER_PLACE.minutes,
        )
        return words % {"m": PER_PLACE.minutes}
    words = ngettext(
        "That email and password do not match. %(n)d try left before a %(m)d minute wait.",
        "That email and password do not match. %(n)d tries left before a %(m)d minute wait.",
        left,
    )
    return words % {"n": left, "m": PER_PLACE.minutes}


class ReauthenticateForm(Styled, PasswordAgainForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password"].help_text = ""


class ForgottenForm(Styled, ResetPasswordForm):
    pass


class _OnePassword(Styled):
    """allauth asks twice; a field that can be shown is asked once."""

    cleaned_data: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields.pop("password2", None)
        self.fields["password1"].label = gettext_lazy("New password")
        self.fields["password1"].help_text = ""
        say_verdict(self.fields["password1"])

    def clean(self) -> dict[str, Any]:
        self.cleaned_data.setdefault("password2", self.cleaned_data.get("password1"))
        cleaned: dict[str, Any] = super().clean()  # type: ignore[misc]
        return cleaned


class NewPasswordForm(_OnePassword, ResetPasswordKeyForm):
    pass


class FirstPasswordForm(_OnePassword, SetPasswordForm):
    pass


class _Code(Styled):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["code"].label = gettext_lazy("Code")
        self.fields["code"].widget.attrs.update({"inputmode": "text", "autofocus": True, "class": "input mono"})


class CodeForm(_Code, AuthenticateForm):
    pass


class CodeAgainForm(_Code, AuthenticatorAgainForm):
    pass


class ActivateForm(_Code, ActivateTOTPForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["code"].widget.attrs["inputmode"] = "numeric"
