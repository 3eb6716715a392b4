"""API keys in the management API: a script lists, makes, changes, rotates and ends them as the pages do.

Whoever is signed in has the rights of the pages. A key needs the scope `keys.see` or `keys.change`, reaches the keys of
its own team, and gives no key more than it has itself.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from django.http import HttpRequest
from django.utils import timezone, translation
from ninja import Field, NinjaAPI, Query, Schema, Status
from ninja.errors import HttpError

from billing.costs import decimal
from console import issuing
from console.forms.keys import DATE, NEVER, SOME, KeyForm
from console.holders import LIMITS, Keeper, Person, Program, rights_of
from console.issuing import Actor
from console.keylist import in_state
from console.keyuse import Meter, meters
from console.models import User
from console.paging import page_of
from console.picking import current_snapshot
from routing.api import Refused
from routing.callers import Caller
from routing.models import ApiKey
from routing.rotation import LONGEST_OVERLAP, Ended
from routing.schemas import ErrorOut

MOST = 200
BIGGEST = 2**63 - 1  # of a number in a path
SEEN = {401: ErrorOut, 403: ErrorOut, 422: ErrorOut, 503: ErrorOut}
ONE = SEEN | {404: ErrorOut}
# What the form calls its fields, and the API its own.
NAMES = {
    "models": "allowed_models",
    "more_models": "allowed_models",
    "origins": "allowed_origins",
    "ends": "expires_at",
    "ends_on": "expires_at",
    "rights": "manages",
    "holder": "team",
    "at_limit": "budget",
    "period": "budget",
    "__all__": "key",
}


class BudgetIn(Schema):
    amount: Decimal = Field(..., ge=0, le=10**9, description="in the currency of the house", examples=["120"])
    period: Literal["day", "week", "month", "total"] = "month"
    at_limit: Literal["block", "downgrade"] = "block"


class KeyFields(Schema):
    """Lists that are empty and numbers that are null limit nothing."""

    name: str = Field(..., min_length=1, max_length=80)
    allowed_models: list[str] = Field([], description="models, aliases, `auto/<use case>`")
    use_case: str = Field("", description="slug of the use case, where a request names none")
    tier: str = Field("", description="slug of the budget tier, where a request names none")
    budget: BudgetIn | None = None
    requests_per_minute: int | None = Field(None, ge=1, le=2**31 - 1)
    tokens_per_minute: int | None = Field(None, ge=1, le=2**62)
    concurrency: int | None = Field(None, ge=1, le=2**31 - 1)
    expires_at: datetime | None = None
    allowed_origins: list[str] = Field([], description="of pages that may call with it in a browser")
    keeps_content: bool | None = Field(None, description="null: as its team")
    manages: Literal["", "see", "change"] = Field("", description="of its team's keys: nothing, see them, change them")


class KeyIn(KeyFields):
    team: str = Field("", description="slug of the team it belongs to, or that pays for it")
    own: bool = Field(False, description="it belongs to whoever is signed in")


class KeyPatch(KeyFields):
    """What is left out stays as it is."""

    name: str = Field("", min_length=1, max_length=80)


class RotateIn(Schema):
    overlap_hours: float = Field(24, ge=0, le=LONGEST_OVERLAP.total_seconds() / 3600)


class BudgetOut(Schema):
    amount: str
    spent: str = Field(..., description="in the window that runs")
    currency: str
    period: str
    at_limit: str


class OldSecret(Schema):
    last_four: str
    ends_at: datetime


class KeyOut(Schema):
    id: int
    name: str
    shown: str = Field(..., description="the beginning and the end of its secret")
    team: str | None
    person: str | None = Field(..., description="e-mail address of whose it is")
    state: Literal["live", "expired", "revoked"]
    allowed_models: list[str]
    use_case: str
    tier: str
    budget: BudgetOut | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrency: int | None
    allowed_origins: list[str]
    keeps_content: bool | None
    manages: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    old_secrets: list[OldSecret] = Field(..., description="that still open it since it was rotated")


class KeyMade(Schema):
    key: KeyOut
    secret: str = Field(..., description="shown this once, and kept nowhere")


class KeyList(Schema):
    data: list[KeyOut]
    next: str = Field(..., description="give it as `after` for the next page; empty: there is none")


class Asked(Schema):
    state: Literal["", "attention", "unused", "ended"] = Field("", description="empty: those that open something")
    team: str = Field("", max_length=80, description="slug")
    after: str = Field("", max_length=1000)
    limit: int = Field(50, ge=1, le=MOST)


def add(api: NinjaAPI) -> None:
    @api.get("/keys", response={200: KeyList} | SEEN, summary="List the API keys", **_told("keys.see"))
    def list_keys(request: HttpRequest, asked: Query[Asked]) -> KeyList:
        """The newest first. Everything but the secrets."""
        now = timezone.now()
        keys = in_state(_keeper(request).visible(), asked.state, now)
        if asked.team:
            keys = keys.filter(team__slug=_text(asked.team))
        page = page_of(_whole(keys), ("-created_at", "-id"), asked.after, asked.limit)
        return KeyList(data=_out(page.rows, now), next=page.next)

    @api.post("/keys", response={201: KeyMade} | SEEN, summary="Make an API key", **_told("keys.make_own"))
    def create_key(request: HttpRequest, asked: KeyIn) -> Status[KeyMade]:
        """Its secret is in the answer, and nowhere else."""
        keeper = _keeper(request)
        form = _form(keeper, asked.dict(exclude={"team", "own"}), holder=_holder(keeper, asked))
        assert form.chosen is not None
        key, secret = issuing.create(_actor(request), form.chosen, form.values, form.spending)
        return Status(201, KeyMade(key=_one(key), secret=secret))

    @api.get("/keys/{key_id}", response={200: KeyOut} | ONE, summary="Read an API key", **_told("keys.see"))
    def read_key(request: HttpRequest, key_id: int) -> KeyOut:
        return _one(_visible(_keeper(request), key_id))

    @api.patch("/keys/{key_id}", response={200: KeyOut} | ONE, summary="Change an API key", **_told("keys.make_own"))
    def change_key(request: HttpRequest, key_id: int, asked: KeyPatch) -> KeyOut:
        """Only what is sent is changed. It holds everywhere within two seconds."""
        keeper = _keeper(request)
        key = _changeable(keeper, key_id)
        form = _form(keeper, _held(key) | asked.dict(exclude_unset=True), key=key)
        issuing.change(_actor(request), key, form.values, form.spending)
        return _one(key)

    @api.post(
        "/keys/{key_id}/rotate",
        response={200: KeyMade, 409: ErrorOut} | ONE,
        summary="Give an API key a new secret",
        **_told("keys.make_own"),
    )
    def rotate_key(request: HttpRequest, key_id: int, asked: RotateIn) -> KeyMade:
        """The old secret still works for as long as the overlap says. The key, its budget and its past stay."""
        key = _changeable(_keeper(request), key_id)
        try:
            secret = issuing.renew(_actor(request), key, timedelta(hours=asked.overlap_hours))
        except Ended:
            raise Refused(409, "key_expired", "This key has ended: make another one.") from None
        return KeyMade(key=_one(key), secret=secret)

    @api.post("/keys/{key_id}/revoke", response={200: KeyOut} | ONE, summary="End an API key", **_told("keys.make_own"))
    def revoke_key(request: HttpRequest, key_id: int) -> KeyOut:
        """For good, and everywhere within two seconds. Again does no harm."""
        keeper = _keeper(request)
        key = _visible(keeper, key_id)
        if not keeper.may_end(key):
            raise Refused(403, "not_allowed", f"You may not end the key {key_id}.")
        issuing.end(_actor(request), key)
        return _one(key)


def _told(action: str) -> dict[str, Any]:
    return {"tags": ["keys"], "openapi_extra": {"x-needs": action}}


# -- who asks, and for which key ---------------------------------------------------------------


def _keeper(request: HttpRequest) -> Keeper:
    who: User | Caller = request.auth  # type: ignore[attr-defined]
    return Program(who) if isinstance(who, Caller) else Person(who)


def _actor(request: HttpRequest) -> Actor:
    who: User | Caller = request.auth  # type: ignore[attr-defined]
    if isinstance(who, Caller):
        return Actor(name=f"API key {ApiKey.objects.get(pk=who.key_id).name}", request=request)
    return Actor(who, request=request)


def _visible(keeper: Keeper, number: int) -> ApiKey:
    key: ApiKey | None = _whole(keeper.visible()).filter(pk=number).first() if 0 < number <= BIGGEST else None
    if key is None:
        raise HttpError(404, f"There is no key {number}.")
    return key


def _changeable(keeper: Keeper, number: int) -> ApiKey:
    key = _visible(keeper, number)
    if not keeper.may_change(key):
        raise Refused(403, "not_allowed", f"You may not change the key {number}.")
    if key.revoked_at is not None:
        raise HttpError(404, f"The key {number} is revoked, and stays as it is.")
    return key


def _holder(keeper: Keeper, asked: KeyIn) -> str:
    """Whose it becomes, as the form names it. Whoever can make keys for one only need not say."""
    holders = keeper.holders()
    fitting = [each for each in holders if (each.team.slug if each.team else "") == asked.team]
    fitting = [each for each in fitting if (each.user is not None) == asked.own]
    if not asked.team and not asked.own and len(holders) == 1:
        fitting = holders
    if not fitting:
        raise Refused(422, "invalid", "team: Name a team that you may make keys for; 'own' makes the key yours.")
    return fitting[0].value


# -- what is sent, as the form takes it -----------------------------------------------------------


def _form(keeper: Keeper, sent: dict[str, Any], *, key: ApiKey | None = None, holder: str = "") -> KeyForm:
    """Filled in and valid, or the refusal. In English, as everything that the API says."""
    budget = sent["budget"]
    until: datetime | None = sent["expires_at"]
    if until is not None and timezone.is_naive(until):
        raise Refused(422, "invalid", "expires_at: It needs a time zone, as in 2027-01-31T00:00:00Z.")
    given = {name: sent[name] for name in ("name", "use_case", "tier", *LIMITS)} | {
        "holder": holder,
        "may_use": SOME if sent["allowed_models"] else "any",
        "models": sent["allowed_models"],
        "origins": "\n".join(sent["allowed_origins"]),
        "ends": NEVER if until is None else DATE,
        "keeps_content": {True: "yes", False: "no", None: ""}[sent["keeps_content"]],
        "rights": sent["manages"],
        "period": budget["period"] if budget else "month",
        "at_limit": budget["at_limit"] if budget else "block",
        "budget": f"{budget['amount']:f}" if budget else "",
    }
    with translation.override("en"):
        form = KeyForm(given, keeper=keeper, snapshot=current_snapshot(), key=key, until=until)
        if sent["manages"] and "rights" not in form.fields:
            raise Refused(403, "not_allowed", "manages: Only whoever manages the keys of a team can give this.")
        if not form.is_valid():
            faults = (f"{NAMES.get(name, name)}: {' '.join(map(str, said))}" for name, said in form.errors.items())
            status, code = (403, "not_allowed") if form.exceeds else (422, "invalid")
            raise Refused(status, code, "; ".join(faults))
    return form


def _held(key: ApiKey) -> dict[str, Any]:
    """The key as it would have been sent."""
    budget = issuing.budget_of(key)
    plain = ("name", "allowed_models", "use_case", "tier", *LIMITS, "expires_at", "allowed_origins", "keeps_content")
    return {name: getattr(key, name) for name in plain} | {
        "manages": rights_of(key),
        "budget": None
        if budget is None
        else {
            "amount": Decimal(decimal(budget.limit_nano)),
            "period": budget.period,
            "at_limit": budget.at_limit,
        },
    }


def _text(given: str) -> str:
    return given.replace("\0", "")


# -- what is told ---------------------------------------------------------------------------------


def _whole(keys: Any) -> Any:
    return keys.select_related("team", "user").prefetch_related("former_secrets")


def _one(key: ApiKey) -> KeyOut:
    """As it is by now."""
    return _out([_whole(ApiKey.objects).get(pk=key.pk)], timezone.now())[0]


def _out(keys: list[ApiKey], now: datetime) -> list[KeyOut]:
    spent = meters([key.pk for key in keys], now)
    return [_told_of(key, spent.get(key.pk), now) for key in keys]


def _told_of(key: ApiKey, meter: Meter | None, now: datetime) -> KeyOut:
    same = ("id", "name", "allowed_models", "use_case", "tier", *LIMITS, "allowed_origins", "keeps_content")
    times = ("created_at", "expires_at", "last_used_at", "revoked_at")
    return KeyOut(
        **{name: getattr(key, name) for name in (*same, *times)},
        shown=str(key),
        team=key.team.slug if key.team else None,
        person=key.user.email if key.user else None,
        state="revoked" if key.revoked_at else "live" if issuing.is_live(key, now) else "expired",
        manages=rights_of(key),
        budget=_budget(meter),
        old_secrets=[
            OldSecret(last_four=old.last_four, ends_at=old.ends_at)
            for old in key.former_secrets.all()
            if old.ends_at > now
        ],
    )


def _budget(meter: Meter | None) -> BudgetOut | None:
    if meter is None:
        return None
    budget = meter.budget
    return BudgetOut(
        amount=decimal(budget.limit_nano),
        spent=decimal(meter.spent_nano),
        currency=budget.currency,
        period=budget.period,
        at_limit=budget.at_limit,
    )
