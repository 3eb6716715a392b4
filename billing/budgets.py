"""Budgets as people set them, and whether what they count is what the ledger has."""

from __future__ import annotations

from zoneinfo import available_timezones

from django.db.models import BigIntegerField, F, OuterRef, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from billing.models import Budget, Organisation, Pot, Slice
from billing.pots import booked
from billing.terms import MONEY, Terms

MOST_NANO = 2**62


def set_budget(
    scope: str,
    scope_id: int,
    *,
    limit_nano: int,
    currency: str = "",
    period: str = "month",
    zone: str = "",
    at_limit: str = "block",
    demo: bool = False,
) -> Budget:
    """In place of the one there was. A ValueError says what is wrong. Whoever calls tells the processes."""
    house = Organisation.get()
    currency, zone = (currency or house.currency).upper(), zone or house.time_zone
    if not 0 <= limit_nano <= MOST_NANO:
        raise ValueError("A budget is an amount of money that is not negative.")
    if period not in Budget.Period.values:
        raise ValueError(f"'{period}' is no period: there is {', '.join(Budget.Period.values)}.")
    if at_limit not in Budget.AtLimit.values:
        raise ValueError(f"'{at_limit}' is not what a budget can do at its end: {', '.join(Budget.AtLimit.values)}.")
    if len(currency) != 3 or not (currency.isascii() and currency.isalpha()):
        raise ValueError(f"'{currency}' is no currency: write three letters, such as USD.")
    if zone not in available_timezones():
        raise ValueError(f"'{zone}' is no time zone: write Europe/Paris, or UTC.")
    values = {
        "limit_nano": limit_nano,
        "currency": currency,
        "period": period,
        "time_zone": zone,
        "at_limit": at_limit,
        "demo": demo,
    }
    return Budget.objects.update_or_create(scope_kind=scope, scope_id=scope_id, defaults=values)[0]


def remove_budget(scope: str, scope_id: int) -> bool:
    """What was spent under it stays in the ledger."""
    return bool(Budget.objects.filter(scope_kind=scope, scope_id=scope_id).delete()[0])


def terms_of(budget: Budget) -> Terms:
    return Terms(
        budget_id=budget.pk,
        scope=budget.scope_kind,
        scope_id=budget.scope_id,
        limit_nano=budget.limit_nano,
        currency=budget.currency,
        period=budget.period,
        zone=budget.time_zone,
        downgrade=budget.at_limit == Budget.AtLimit.DOWNGRADE,
        demo=budget.demo,
    )


def terms_for(scope: str, scope_id: int) -> Terms | None:
    budget = Budget.objects.filter(scope_kind=scope, scope_id=scope_id).first()
    return terms_of(budget) if budget is not None else None


def disagreements() -> list[str]:
    """Where what was spent is not what the ledger says, to the nano, or what is taken is not what was given out."""
    found = []
    for pot in Pot.objects.filter(what=MONEY).order_by("pk"):
        spent = booked(pot)
        pot.refresh_from_db(fields=["spent"])
        if pot.spent != spent and booked(pot) != pot.spent:  # looked at again: the ledger goes on meanwhile
            found.append(f"{pot}: {pot.spent} nano-{pot.currency} are counted as spent, and {spent} are in the ledger")
    slices = Slice.objects.filter(pot=OuterRef("pk")).values("pot").annotate(total=Sum("amount")).values("total")
    given = Coalesce(Subquery(slices), Value(0), output_field=BigIntegerField())
    apart = Pot.objects.annotate(given=given).exclude(taken=F("given"))
    return found + [f"{pot}: {pot.taken} are taken, and its slices are {pot.given}" for pot in apart]
