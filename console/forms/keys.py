"""The form of an API key: whose it is, what it may use and spend, when it ends, which pages may call with it.

The management API fills in the same form, so a script is refused what a page would refuse.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from billing.costs import NANO
from billing.models import Budget, Organisation
from console.forms import PlainForm
from console.holders import LIMITS, RIGHTS, Holder, Keeper, rights_of
from console.issuing import budget_of
from console.keynames import LONGEST, MOST_ALLOWED, Choices, offered, unknown
from routing.cors import LONGEST_ORIGIN, parsed_origin
from routing.models import ApiKey, Tier, UseCase
from routing.rotation import LONGEST_OVERLAP
from routing.snapshot import Snapshot

DAYS = {"30": 30, "90": 90, "365": 365}
NEVER, DATE = "never", "date"
MOST_YEARS = 100
ANY, SOME = "any", "some"
MOST = {"requests_per_minute": 2**31 - 1, "tokens_per_minute": 2**62, "concurrency": 2**31 - 1}
MOST_MONEY = Decimal(10) ** 9
MOST_ORIGINS = 50
OVERLAPS = (
    ("0", _("None: the old one ends now")),
    ("1", _("1 hour")),
    ("24", _("1 day")),
    ("168", _("7 days")),
    ("720", _("30 days")),
)


def _limit(label: Any, name: str) -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        required=False,
        min_value=1,
        max_value=MOST[name],
        localize=True,
        widget=forms.TextInput(attrs={"class": "input", "inputmode": "numeric", "placeholder": ""}),
    )


def _lines(rows: int) -> forms.Textarea:
    return forms.Textarea(attrs={"class": "input mono", "rows": rows, "spellcheck": "false", "autocapitalize": "none"})


class KeyForm(PlainForm):
    name = forms.CharField(label=_("Name"), max_length=80)
    holder = forms.ChoiceField(label=_("Belongs to"))
    may_use = forms.ChoiceField(
        label=_("May use"),
        choices=[(ANY, _("Any route and model")), (SOME, _("Only these"))],
        widget=forms.RadioSelect,
        initial=ANY,
    )
    models = forms.Field(
        label=_("Routes and models"), required=False
    )  # the picker's boxes: templates/keys/_models.html
    more_models = forms.CharField(
        label=_("Others, one a line"), required=False, widget=_lines(2), max_length=MOST_ALLOWED * LONGEST
    )
    use_case = forms.ChoiceField(label=_("Use case, if not sent"), required=False)
    tier = forms.ChoiceField(label=_("Budget tier, if not sent"), required=False)
    budget = forms.DecimalField(
        label=_("Budget"),
        required=False,
        min_value=0,
        max_value=MOST_MONEY,
        max_digits=18,
        decimal_places=9,
        localize=True,
        widget=forms.TextInput(attrs={"class": "input", "inputmode": "decimal"}),
    )
    period = forms.ChoiceField(label=_("For"), choices=Budget.Period.choices, initial=Budget.Period.MONTH)
    at_limit = forms.ChoiceField(label=_("At 100%"), choices=Budget.AtLimit.choices, initial=Budget.AtLimit.BLOCK)
    ends = forms.ChoiceField(
        label=pgettext_lazy("a key", "Ends"),
        choices=[
            ("30", _("30 days")),
            ("90", _("90 days")),
            ("365", _("1 year")),
            (NEVER, _("No end")),
            (DATE, _("Other date")),
        ],
        widget=forms.RadioSelect,
        initial="90",
    )
    ends_on = forms.DateField(
        label=_("Last day"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    requests_per_minute = _limit(_("Requests a minute"), "requests_per_minute")
    tokens_per_minute = _limit(_("Tokens a minute"), "tokens_per_minute")
    concurrency = _limit(_("Requests at once"), "concurrency")
    origins = forms.CharField(
        label=_("Allowed origins"),
        required=False,
        widget=_lines(1),
        help_text=_("Of pages that call in a browser, one a line: https://returns.example.com. Empty: no page may."),
        max_length=MOST_ORIGINS * LONGEST_ORIGIN,
    )
    keeps_content = forms.ChoiceField(
        label=_("What was asked and answered"),
        required=False,
        choices=[("", _("As its team")), ("yes", _("Is kept")), ("no", _("Is not kept"))],
    )
    rights = forms.ChoiceField(
        label=_("In the management API"),
        required=False,
        choices=[
            ("", _("Reads requests and models")),
            ("see", _("Also sees the keys of its team")),
            ("change", _("Also makes and changes them")),
        ],
    )

    def __init__(
        self,
        *args: Any,
        keeper: Keeper,
        snapshot: Snapshot,
        key: ApiKey | None = None,
        team: str = "",
        until: datetime | None = None,
        **kwargs: Any,
    ) -> None:
        """`until` is the moment it ends, for whoever names one and not a day."""
        self.key, self.keeper, self.snapshot, self.until = key, keeper, snapshot, until
        self.exceeds = False  # whether it would do more than whoever makes it
        self.chosen: Holder | None = None  # whose the new key is
        self.held = budget_of(key) if key is not None else None
        self.currency = self.held.currency if self.held is not None else Organisation.get().currency
        self._holders = {each.value: each for each in keeper.holders()} if key is None else {}
        kwargs["initial"] = (_typed(key, self.held) if key is not None else {}) | kwargs.get("initial", {})
        super().__init__(*args, **kwargs)
        fields: dict[str, Any] = self.fields
        if key is None:
            fields["holder"].choices = _grouped(self._holders.values())
            if team and f"team:{team}" in self._holders:
                fields["holder"].initial = f"team:{team}"
        else:
            del fields["holder"]
        fields["use_case"].choices = [("", _("None")), *_listed(UseCase, key.use_case if key else "")]
        fields["tier"].choices = [("", _("The use case's own")), *_listed(Tier, key.tier if key else "")]
        if not any(keeper.may_grant(each.team) for each in self._held_by()):
            del fields["rights"]
        fields["name"].widget.attrs["autocomplete"] = "off"

    def _held_by(self) -> list[Holder]:
        return [Holder(self.key.team, self.key.user)] if self.key is not None else list(self._holders.values())

    # -- what the template shows -------------------------------------------------------

    @property
    def groups(self) -> list[Choices]:
        """The picker, with what is ticked."""
        teams = {each.team.pk if each.team else None for each in self._held_by()}
        return offered(self.snapshot, teams.pop() if len(teams) == 1 else None, self.ticked)

    @property
    def ticked(self) -> list[str]:
        if self.is_bound:
            return _unique(getattr(self.data, "getlist", lambda name: self.data.get(name, []))("models"))
        return list(self.key.allowed_models) if self.key is not None else []

    @property
    def chooses(self) -> bool:
        return str(self["may_use"].value()) == SOME

    @property
    def dated(self) -> bool:
        return str(self["ends"].value()) == DATE

    # -- what was typed ------------------------------------------------------------------

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"]).strip()
        if not name.isprintable():
            raise ValidationError(_("A name has letters, digits and signs that can be printed."))
        return name

    def clean_models(self) -> list[str]:
        return self.ticked

    def clean_origins(self) -> list[str]:
        typed = [line.strip() for line in str(self.cleaned_data["origins"]).splitlines() if line.strip()]
        if len(typed) > MOST_ORIGINS:
            raise ValidationError(_("At most %(n)d origins.") % {"n": MOST_ORIGINS})
        return _unique(_origin(each) for each in typed)

    def clean(self) -> None:
        given = self.cleaned_data
        given["allowed_models"] = self._allowed()
        if "holder" in given:
            self.chosen = self._holders[given["holder"]]
        given["expires_at"] = self._end()
        given["scopes"] = self._scopes()
        faults = self.keeper.faults(given | {limit: given.get(limit) for limit in LIMITS})
        self.exceeds = bool(faults)
        for name, words in faults.items():
            self.add_error(name if name in self.fields else None, words)

    def _allowed(self) -> list[str]:
        given = self.cleaned_data
        if given.get("may_use") != SOME:
            return []
        typed = [line.strip() for line in str(given.get("more_models", "")).splitlines() if line.strip()]
        names = _unique([*given.get("models", []), *typed])
        if not names:
            self.add_error("models", _("Tick at least one, or let it use any."))
        elif len(names) > MOST_ALLOWED or any(len(name) > LONGEST for name in names):
            self.add_error("models", _("At most %(n)d, each with at most %(long)d characters.")
                           % {"n": MOST_ALLOWED, "long": LONGEST})  # fmt: skip
        else:
            before = set(self.key.allowed_models) if self.key is not None else set()
            strange = [name for name in unknown(names, self.snapshot) if name not in before]
            if strange:
                words = _("Nothing here is called %(names)s.") % {"names": ", ".join(strange[:3])}
                self.add_error("more_models" if strange[0] in typed else "models", words)
        return names

    def _end(self) -> datetime | None:
        ends, day = self.cleaned_data.get("ends"), self.cleaned_data.get("ends_on")
        if ends in DAYS:
            return timezone.now() + timedelta(days=DAYS[ends])
        if ends != DATE:
            return None
        if self.until is not None:
            if self.until <= timezone.now() and (self.key is None or self.until != self.key.expires_at):
                self.add_error("ends_on", _("This moment is over: name one to come."))
            elif self.until.year - timezone.now().year > MOST_YEARS:
                self.add_error("ends_on", _("At most %(n)d years from now.") % {"n": MOST_YEARS})
            return self.until
        if "ends_on" in self.errors:
            return None
        if day is None:
            self.add_error("ends_on", _("On which day does it end?"))
            return None
        held = self.key.expires_at if self.key is not None else None
        if held is not None and day == timezone.localdate(held):
            return held  # as it is: an hour that somebody set is not lost
        if day < timezone.localdate():
            self.add_error("ends_on", _("This day is over: take today or a day to come."))
        elif day.year - timezone.localdate().year > MOST_YEARS:
            self.add_error("ends_on", _("At most %(n)d years from now.") % {"n": MOST_YEARS})
        else:
            return _last_moment(day)
        return None

    def _scopes(self) -> list[str]:
        if "rights" not in self.fields:
            return list(self.key.scopes) if self.key is not None else []
        wanted = self.cleaned_data.get("rights", "")
        if self.key is not None and wanted == rights_of(self.key):
            return list(self.key.scopes)
        holder = self._held_by()[0] if self.key is not None else self.chosen
        if wanted and holder is not None and not self.keeper.may_grant(holder.team):
            self.add_error("rights", _("Only somebody who manages the keys of this team can give this."))
        return list(RIGHTS[wanted])

    # -- what is kept ----------------------------------------------------------------------

    @property
    def values(self) -> dict[str, Any]:
        """Of `issuing.FIELDS`."""
        given = self.cleaned_data
        kept = {"yes": True, "no": False}
        plain = ("name", "allowed_models", "scopes", "use_case", "tier", "expires_at", *LIMITS)
        return {name: given[name] for name in plain} | {
            "allowed_origins": given["origins"],
            "keeps_content": kept.get(given["keeps_content"]),
        }

    @property
    def spending(self) -> dict[str, Any] | None:
        """For `set_budget`; None: no budget."""
        amount = self.cleaned_data["budget"]
        if amount is None:
            return None
        given = {name: self.cleaned_data[name] for name in ("period", "at_limit")}
        return {"limit_nano": int(amount * NANO)} | given


class RotateForm(PlainForm):
    overlap = forms.ChoiceField(
        label=_("The old secret still works for"), choices=OVERLAPS, initial="24", widget=forms.RadioSelect
    )

    @property
    def duration(self) -> timedelta:
        return min(timedelta(hours=int(self.cleaned_data["overlap"])), LONGEST_OVERLAP)


def _typed(key: ApiKey, budget: Budget | None) -> dict[str, Any]:
    """The key as its form shows it."""
    words = {True: "yes", False: "no", None: ""}
    typed = {name: getattr(key, name) for name in ("name", "use_case", "tier", *LIMITS)} | {
        "may_use": SOME if key.allowed_models else ANY,
        "origins": "\n".join(key.allowed_origins),
        "keeps_content": words[key.keeps_content],
        "rights": rights_of(key),
        "ends": DATE if key.expires_at else NEVER,
        "ends_on": timezone.localdate(key.expires_at) if key.expires_at else None,
    }
    if budget is not None:
        amount = Decimal(budget.limit_nano) / NANO
        typed |= {"budget": amount, "period": budget.period, "at_limit": budget.at_limit}
    return typed


def _grouped(holders: Iterable[Holder]) -> list[tuple[Any, Any]]:
    teams, own = [], []
    for each in holders:
        if each.user is None:
            teams.append((each.value, str(each.team)))
        elif each.team is None:
            own.append((each.value, _now("Me alone")))
        else:
            own.append((each.value, _now("Me, paid by %(team)s") % {"team": each.team}))
    groups = [(_now("A team"), teams), (_now("My own"), own)]
    return [(label, rows) for label, rows in groups if rows]


def _listed(rows: Any, held: str) -> list[tuple[str, str]]:
    """Slugs and names; one that the key has and that is gone by now stays."""
    known = list(rows.objects.values_list("slug", "name"))
    return known if not held or any(slug == held for slug, _name in known) else [*known, (held, held)]


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in names if name.strip()))


def _origin(typed: str) -> str:
    origin = parsed_origin(typed)
    if not origin:
        words = _("“%(typed)s” is no origin: write https://returns.example.com.")
        raise ValidationError(words % {"typed": typed[:LONGEST_ORIGIN]})
    return origin


def _last_moment(day: date) -> datetime:
    return datetime.combine(day, time(23, 59, 59), timezone.get_current_timezone())
