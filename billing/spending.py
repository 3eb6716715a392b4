"""What the ledger books is spent: of every budget that it counts in, and out of the slice that was held for it.

In the same transaction as the entry, and once: an entry that is there already was counted when it came.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.db import connection
from django.db.models import F, Q

from billing.ids import milliseconds_of, started_at
from billing.models import LedgerEntry, Pot, Slice
from billing.pots import SPENDING
from billing.records import Settled
from billing.rows import CHARGED, charge_id
from billing.terms import MONEY


class Charge(NamedTuple):
    """An entry, as far as budgets look at it."""

    id: str
    attempt_id: str
    key_id: int
    amount: int
    currency: str
    demo: bool
    pot_id: int | None  # what it was held in


def charge_of(record: Settled) -> Charge | None:
    """None: no budget counts it."""
    opened, amount = record.opened, record.amount_nano
    if not amount or opened.payer.key_id is None or record.billed not in CHARGED:
        return None
    return Charge(
        charge_id(opened.attempt_id),
        opened.attempt_id,
        opened.payer.key_id,
        amount,
        opened.currency,
        opened.demo,
        opened.pot_id,
    )


@dataclass(frozen=True, slots=True)
class Spent:
    """What is to be booked on pots, worked out before the entries are written."""

    by_pot: dict[int, int]
    by_slice: dict[int, int]  # by pot, of the process whose journal this is


NOTHING = Spent({}, {})


def counted(charges: Sequence[Charge]) -> Spent:
    """Of those that are not in the ledger yet. Within the transaction that writes them."""
    if not charges:
        return NOTHING
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [SPENDING])
    keys = {charge.key_id for charge in charges}
    pots = defaultdict(list)
    earliest = started_at(min(charge.attempt_id for charge in charges))
    lasting = Q(ends_at=None) | Q(ends_at__gt=earliest)
    for pot in Pot.objects.filter(lasting, scope_kind="key", what=MONEY, scope_id__in=keys):
        pots[pot.scope_id].append(pot)
    if not pots:
        return NOTHING
    windows = {
        key_id: [(pot.pk, pot.currency, pot.demo, *_milliseconds(pot)) for pot in rows] for key_id, rows in pots.items()
    }
    there = _there([charge for charge in charges if charge.key_id in windows])
    by_pot: dict[int, int] = defaultdict(int)
    by_slice: dict[int, int] = defaultdict(int)
    for charge in charges:
        found = windows.get(charge.key_id)
        if found is None or charge.id in there:
            continue
        moment = milliseconds_of(charge.attempt_id)
        for pot_id, currency, demo, starts_at, ends_at in found:
            if currency == charge.currency and demo == charge.demo and starts_at <= moment < ends_at:
                by_pot[pot_id] += charge.amount
            if pot_id == charge.pot_id:
                by_slice[pot_id] += charge.amount
    return Spent(dict(by_pot), dict(by_slice))


def _milliseconds(pot: Pot) -> tuple[float, float]:
    """Its window, as ids tell the time."""
    ends_at = pot.ends_at.timestamp() * 1000 if pot.ends_at is not None else float("inf")
    return pot.starts_at.timestamp() * 1000, ends_at


def _there(charges: Sequence[Charge]) -> set[str]:
    """Those in the ledger already: told twice, by a process that was killed between booking and forgetting."""
    ids = [charge.id for charge in charges]
    table = LedgerEntry._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            moments = [started_at(pick(charge.attempt_id for charge in charges)) for pick in (min, max)]
            cursor.execute(
                f"SELECT id FROM {table} WHERE id = ANY(%s) AND started_at BETWEEN %s AND %s",  # noqa: S608
                [ids, *moments],
            )
        else:
            cursor.execute(
                f"SELECT id FROM {table} WHERE id IN (SELECT value FROM json_each(%s))",  # noqa: S608
                [json.dumps(ids)],
            )
        return {row[0] for row in cursor.fetchall()}


def book(spent: Spent, node: str) -> None:
    """In the order of their numbers, as everybody locks them."""
    for pot_id in sorted(spent.by_pot.keys() | spent.by_slice.keys()):
        amount, held = spent.by_pot.get(pot_id, 0), spent.by_slice.get(pot_id, 0)
        Pot.objects.filter(pk=pot_id).update(spent=F("spent") + amount)
        mine = Slice.objects.filter(pot_id=pot_id, node=node)
        if held and mine.update(amount=F("amount") - held, settled=F("settled") - held):
            Pot.objects.filter(pk=pot_id).update(taken=F("taken") - held)
            mine.filter(amount=0, settled=0).delete()
