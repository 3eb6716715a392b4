"""Teams and who is in them."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from billing.models import DataPolicy, Team
from console.forms import PlainForm, RowForm
from console.forms.models import clean_default_model
from console.models import User


class TeamForm(RowForm):
    class Meta:
        model = Team
        fields = ["name", "description", "default_model", "members_make_keys", "data_policy", "keeps_content"]
        labels = {
            "name": _("Name"),
            "description": _("Description"),
            "default_model": _("Default model"),
            "members_make_keys": _("Members may create their own keys"),
            "data_policy": _("Where its data may go"),
            "keeps_content": _("Keep what was asked and answered"),
        }
        help_texts = {
            "default_model": _("Answers when a request names no model. Empty: the organisation's."),
            "keeps_content": _("Of requests through the API, sealed, for as long as the house keeps them."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["default_model"].widget.attrs.update({"class": "input mono", "spellcheck": "false"})
        policies = cast(forms.ChoiceField, self.fields["data_policy"])
        policies.choices = [("", _("To any provider")), *DataPolicy.choices]

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"]).strip()
        if Team.objects.filter(name__iexact=name).exclude(pk=self.instance.pk).exists():
            raise ValidationError(_("There is a team with this name already."))
        return name

    def clean_default_model(self) -> str:
        return clean_default_model(self.cleaned_data["default_model"])


class MemberForm(PlainForm):
    """By address: whoever leads a team need not see everybody."""

    email = forms.EmailField(label=_("Email of a colleague"))
    lead = forms.BooleanField(label=_("Team lead"), required=False)

    def __init__(self, *args: Any, team: Team, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.team = team
        self.fields["email"].widget.attrs.update({"list": "colleagues", "autocomplete": "off"})

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"]).strip()
        person = User.objects.filter(email__iexact=email, is_active=True).first()
        if person is None:
            raise ValidationError(_("Nobody here has this address. Invite them first."))
        if self.team.memberships.filter(user=person).exists():
            raise ValidationError(_("%(name)s is in this team already.") % {"name": person})
        self.person = person
        return email
