"""A request to try: what it is for, what it says, as whom, and what to pretend."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.models import Team
from routing.snapshot import Snapshot

MOST = 20_000
PRETEND = (
    ("down", _("is down")),
    ("slow", _("is slow")),
    ("rate_limited", _("says 429")),
    ("server_error", _("is overloaded")),
    ("auth", _("refuses the key")),
    ("limited", _("has reached its limit")),
    ("over_budget", _("is over budget")),
)


class TryForm(forms.Form):
    use_case = forms.ChoiceField(label=_("Use case"), required=False)
    budget_tier = forms.ChoiceField(label=_("Budget"), required=False)
    model = forms.CharField(label=_("Model"), required=False, max_length=300)
    text = forms.CharField(label=_("Message"), max_length=MOST, widget=forms.Textarea(attrs={"rows": 3}))
    complexity = forms.ChoiceField(label=_("Complexity"), required=False)
    team = forms.ChoiceField(label=_("As the team"), required=False)
    tools = forms.BooleanField(label=_("Needs tools"), required=False)
    image = forms.BooleanField(label=_("Has an image"), required=False)
    pretend = forms.ChoiceField(label=_("Pretend"), required=False)
    how = forms.ChoiceField(label=_("What happens to it"), required=False, choices=PRETEND)

    def __init__(self, snapshot: Snapshot, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        routing = snapshot.routing
        fields: dict[str, Any] = self.fields
        fields["use_case"].choices = [
            ("", _("none: name a model")),
            *((case.slug, case.name) for case in routing.use_cases.values()),
        ]
        fields["budget_tier"].choices = [
            ("", _("the usual one")),
            *((tier.slug, tier.name) for tier in routing.tiers.values()),
        ]
        levels = (("low", _("low")), ("medium", _("medium")), ("high", _("high")))
        fields["complexity"].choices = [("", _("estimated")), *levels]
        fields["pretend"].choices = [
            ("", _("nothing")),
            *((each.slug, each.name) for each in snapshot.providers.values()),
        ]
        for each in self.fields.values():
            if not isinstance(each.widget, forms.CheckboxInput):
                each.widget.attrs["class"] = "input"
        teams = Team.objects.filter(archived_at=None).values_list("slug", "name")
        fields["team"].choices = [("", _("nobody's")), *teams]
