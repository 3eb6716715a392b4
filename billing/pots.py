"""Shared amounts in the database: one row each, and one for what each process took of it.

Every change is one transaction that locks the row of the amount first and the slices after it; several rows in the
order of their numbers. `spent + taken <= limit` is part of the UPDATE that takes, so nothing is ever given twice.

A slice of money shrinks when the ledger gets what was spent of it (spending.py); what its process gives back is only
what is free. So the slice of a process that died is worth what its journal has not told yet, and when the journal is
replayed, the rest of it is free.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError, connection, transaction
from django.db.models import F, Q, QuerySet, Sum
from django.utils import timezone

from billing.models import LedgerEntry, Pot, Slice
from billing.pools import portion
from billing.terms import MINUTE, MONEY, RUNNING, Key

LEASE_SECONDS = 15.0  # without a sign of life a slice is nobody's, once its journal is replayed
PAYERS = {"key": "key_id", "team": "team_id", "user": "user_id"}  # whose entries count, by kind of scope
SPENDING = 7_391_003  # Postgres: held shared by whoever books, alone by whoever begins a pot with what is booked


@dataclass(frozen=True, slots=True)
class Order:
    """What a process wants of one shared amount."""

    key: Key
    limit: int
    needs: Sequence[int]  # of those who wait, in their order; the first one without what is free
    node: str
    place: str
    now: float
    pot_id: int = 0  # where it is known
    starts_at: float = 0.0  # of the window: of money as it is, of a minute as the process knows it
    ends_at: float = float("inf")
    free: int = 0
    settled: int = 0  # spent since it last told
    recall: bool = True  # ask the others for what they have free, where this is not enough
    currency: str = ""
    demo: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What it got. Nought: not even the first need fits."""

    pot_id: int
    amount: int
    left: int
    others: int  # processes that have some of it
    starts_at: float
    ends_at: float
    spent: int = 0
    held: int = 0  # by requests that run, and by slices that were not given back
    waiting: bool = False  # some of them have not answered the recall yet


def take(order: Order) -> Reply:
    """The conditional UPDATE, with its slice. Raises what the database raises."""
    now = _moment(order.now)
    with transaction.atomic():
        pot = _locked(order, now)
        if _lasts_a_minute(order.key) and pot.ends_at is not None and pot.ends_at <= now:
            _begin_again(pot, now)
        known = pot.pk == order.pot_id and (pot.starts_at == _moment(order.starts_at) or not _lasts_a_minute(order.key))
        settled = order.settled if known else 0
        slices = list(pot.slices.all())
        mine = next((each for each in slices if each.node == order.node), None)
        living = [each for each in slices if each is not mine and each.lease_until > now]
        left = order.limit - pot.spent - pot.taken
        amount = portion(left, order.needs, len(living))
        if amount and not _fits(pot, amount, order.limit):
            amount = 0
        if amount or settled:
            _keep(pot, mine, order, amount, settled, now)
        others = [each for each in living if each.amount != each.settled]
        asked = [each for each in others if each.recalled_at is not None]
        if not amount and order.recall and others:
            pot.slices.filter(pk__in=[each.pk for each in others], recalled_at=None).update(recalled_at=now)
            asked = others
    unbooked = sum(each.settled for each in slices) + settled
    return Reply(
        pot.pk,
        amount,
        left - amount,
        len(living),
        pot.starts_at.timestamp(),
        pot.ends_at.timestamp() if pot.ends_at is not None else float("inf"),
        spent=pot.spent + unbooked,
        held=pot.taken - unbooked - (order.free if known else 0),
        waiting=bool(asked),
    )


def _fits(pot: Pot, amount: int, limit: int) -> bool:
    fitting = Pot.objects.filter(pk=pot.pk).alias(then=F("spent") + F("taken") + amount).filter(then__lte=limit)
    return bool(fitting.update(taken=F("taken") + amount))


def _keep(pot: Pot, mine: Slice | None, order: Order, amount: int, settled: int, now: datetime) -> None:
    until = now + timedelta(seconds=LEASE_SECONDS)
    if mine is None:
        Slice.objects.create(
            pot=pot, node=order.node, place=order.place, amount=amount, settled=settled, lease_until=until
        )
    else:
        Slice.objects.filter(pk=mine.pk).update(
            amount=F("amount") + amount, settled=F("settled") + settled, lease_until=until
        )


# -- the row ------------------------------------------------------------------------------


def _locked(order: Order, now: datetime) -> Pot:
    rows = Pot.objects.select_for_update()
    pot = rows.filter(pk=order.pot_id).first() if order.pot_id else None
    if pot is None:
        kind, number, what, window = order.key
        named = {"scope_kind": kind, "scope_id": number, "what": what, "window": window}
        pot = rows.filter(**named).first()
        if pot is None:
            if what == MONEY:
                _begin_money(order, named)
            else:
                ends_at = now + timedelta(seconds=MINUTE) if _lasts_a_minute(order.key) else None
                Pot.objects.get_or_create(**named, defaults={"starts_at": now, "ends_at": ends_at})
            pot = rows.get(**named)
    return pot


def _begin_money(order: Order, named: dict[str, object]) -> None:
    """With what the ledger has of this window already. Nobody books meanwhile, and whoever books then finds the row."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SPENDING])
    starts_at = _moment(order.starts_at)
    ends_at = None if order.ends_at == float("inf") else _moment(order.ends_at)
    defaults = {"starts_at": starts_at, "ends_at": ends_at, "currency": order.currency, "demo": order.demo}
    pot, made = Pot.objects.get_or_create(**named, defaults=defaults)
    if made:
        Pot.objects.filter(pk=pot.pk).update(spent=booked(pot))


def booked(pot: Pot) -> int:
    """What the ledger says was spent in the window of a pot of money."""
    entries = LedgerEntry.objects.filter(
        **{PAYERS[pot.scope_kind]: pot.scope_id},
        currency=pot.currency,
        demo=pot.demo,
        started_at__gte=pot.starts_at,
    )
    if pot.ends_at is not None:
        entries = entries.filter(started_at__lt=pot.ends_at)
    return int(entries.aggregate(total=Sum("amount_nano"))["total"] or 0)


def _lasts_a_minute(key: Key) -> bool:
    return key[2] not in (MONEY, RUNNING)


def _begin_again(pot: Pot, now: datetime) -> None:
    """The next minute begins with the first request in it. What was taken in the last one is worth nothing now."""
    pot.slices.all().delete()
    pot.starts_at, pot.ends_at, pot.spent, pot.taken = now, now + timedelta(seconds=MINUTE), 0, 0
    pot.save(update_fields=["starts_at", "ends_at", "spent", "taken"])


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


# -- giving back --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Back:
    """What a process has free of one pot, and what it spent of it since it last told."""

    pot_id: int
    free: int = 0
    settled: int = 0
    starts_at: float | None = None  # of a minute: what is left of an earlier one is worth nothing


class Uncertain(Exception):
    """The database went away while it committed: perhaps it did."""


def give_back(returns: Iterable[Back], node: str, place: str = "") -> None:
    """All in one transaction. It answers a recall too. Raises Uncertain, or what the database raises."""
    wanted = {each.pot_id: each for each in returns}
    done = False
    try:
        with transaction.atomic():
            for pot in Pot.objects.select_for_update().filter(pk__in=wanted).order_by("pk"):
                _give_back(pot, wanted[pot.pk], node, place)
            done = True
    except DatabaseError as error:
        if done:
            raise Uncertain from error
        raise


def _give_back(pot: Pot, back: Back, node: str, place: str) -> None:
    if back.starts_at is not None and pot.starts_at != _moment(back.starts_at):
        return
    mine = Slice.objects.filter(pot=pot, node=node)
    if back.free < 0 and not mine.exists():
        # Used without asking while the store was away: now it is known.
        Slice.objects.create(pot=pot, node=node, place=place, lease_until=timezone.now())
    if mine.update(amount=F("amount") - back.free, settled=F("settled") + back.settled, recalled_at=None):
        Pot.objects.filter(pk=pot.pk).update(taken=F("taken") - back.free)
        mine.filter(amount=0, settled=0).delete()


def recalled(node: str) -> list[int]:
    """The pots of which somebody wants what this process has free."""
    return list(Slice.objects.filter(node=node, recalled_at__isnull=False).values_list("pot_id", flat=True))


def renew(node: str, now: float) -> None:
    Slice.objects.filter(node=node).update(lease_until=_moment(now + LEASE_SECONDS))


# -- what others have left ------------------------------------------------------------------


def free_node(node: str, *, lost_at: float | None = None) -> int:
    """Its process has ended and its journal is in the ledger: what is left of its slices is free. How many. With
    `lost_at`, it may be that the journal is lost, and only what nobody has given a sign of life for is free."""
    slices = Slice.objects.filter(node=node)
    return _free(slices if lost_at is None else slices.filter(lease_until__lt=_moment(lost_at)))


def sweep(place: str, living: Collection[str], now: float) -> int:
    """Slices whose lease has ended: limits at once, money when its journal is gone from the folder it was in."""
    over = Slice.objects.filter(lease_until__lt=_moment(now))
    return _free(over.filter(~Q(pot__what=MONEY) | Q(place=place)).exclude(Q(pot__what=MONEY) & Q(node__in=living)))


def _free(slices: QuerySet[Slice]) -> int:
    found = list(slices.values_list("pk", "pot_id"))
    count = 0
    for start in range(0, len(found), 500):
        ids, pot_ids = zip(*found[start : start + 500], strict=True)
        with transaction.atomic():
            # Locked, before what is taken of them is read.
            list(Pot.objects.select_for_update().filter(pk__in=pot_ids).order_by("pk").values_list("pk"))
            some = list(slices.filter(pk__in=ids))
            for each in some:
                Pot.objects.filter(pk=each.pot_id).update(taken=F("taken") - each.amount)
            Slice.objects.filter(pk__in=[each.pk for each in some]).delete()
            count += len(some)
    return count
