"""Circuits in the database: what one process learns the others know a second later, and a person can hold one open.

Transitions are rare, so this costs one small query a second and a write only when something opened or closed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from routing.breaker import Change
from routing.models import Circuit

FOR_EVER = datetime(9999, 1, 1, tzinfo=UTC)
NEWS = timedelta(minutes=10)  # how long a circuit that closed is told of
MOST = 2000  # targets told of at once


def exchange(changes: Sequence[Change]) -> Mapping[str, Change]:
    """Write what this process noticed, and read what all know."""
    for change in changes:
        _write(change)
    now = timezone.now()
    rows = Circuit.objects.filter(Q(until__gt=now) | Q(changed_at__gt=now - NEWS)).order_by("-changed_at")[:MOST]
    return {row.target: _change(row) for row in rows}


def hold(target: str, reason: str, person_id: int | None) -> None:
    """Leave a target alone until somebody releases it."""
    values = {
        "changed_at": timezone.now(),
        "until": FOR_EVER,
        "reason": reason[:200],
        "held": True,
        "held_by_id": person_id,
    }
    Circuit.objects.update_or_create(target=target[:300], defaults=values)


def release(target: str) -> bool:
    """Close a circuit, whoever opened it. False when there was none open."""
    closed = {"changed_at": timezone.now(), "until": None, "held": False, "held_by_id": None, "reason": ""}
    return bool(Circuit.objects.filter(target=target).exclude(until=None).update(**closed))


def of_provider(slug: str) -> list[Circuit]:
    """Those of its targets that are open now."""
    return list(Circuit.objects.filter(target__startswith=f"{slug}:", until__gt=timezone.now()))


def renamed(before: str, after: str) -> None:
    """Circuits go with their provider: one that a person holds open stays open under the new name."""
    if before == after:
        return
    for row in Circuit.objects.filter(target__startswith=f"{before}:"):
        Circuit.objects.filter(target=f"{after}:{row.target.partition(':')[2]}").exclude(pk=row.pk).delete()
        row.target = f"{after}:{row.target.partition(':')[2]}"
        row.changed_at = timezone.now()
        row.save(update_fields=["target", "changed_at"])


def forget(before: datetime) -> int:
    return Circuit.objects.filter(until=None, changed_at__lt=before).delete()[0]


def _write(change: Change) -> None:
    """A newer word stays; what a person holds is not changed by an answer."""
    at = datetime.fromtimestamp(change.at, UTC)
    until = datetime.fromtimestamp(change.until, UTC) if change.until else None
    values = {"changed_at": at, "until": until, "reason": change.reason}
    known = Circuit.objects.filter(target=change.target)
    if known.filter(held=False, changed_at__lte=at).update(**values) or known.exists():
        return
    try:
        with transaction.atomic():
            Circuit.objects.create(target=change.target, **values)
    except IntegrityError:
        pass  # another process noticed it in the same moment


def _change(row: Circuit) -> Change:
    until = row.until.timestamp() if row.until else 0.0
    return Change(row.target, row.changed_at.timestamp(), until, row.reason, row.held)
