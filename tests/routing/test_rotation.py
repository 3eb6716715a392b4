"""A key gets a new secret: both open it for a while, and it stays the same key with the same budget and past."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing.models import Budget, Team
from console.models import AuditEntry
from routing.callers import REPLACED, REVOKED, Caller, KeyBook, Refused, find_key
from routing.keys import create_key, hash_secret, revoke, set_budget
from routing.models import ApiKey, FormerSecret, KeyChange
from routing.rotation import REMEMBERED, Ended, end_former_secrets, rotate
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(days=1)


@pytest.fixture
def team(transactional_db: None) -> Team:
    return factories.make_team("Research")


def who(secret: str) -> Caller | Refused:
    return find_key((hash_secret(secret),))[1]


def told_since(change: int) -> set[str]:
    return set(KeyChange.objects.filter(pk__gt=change).values_list("hash", flat=True))


@pytest.mark.store
def test_both_secrets_open_the_same_key_until_the_overlap_ends(team: Team) -> None:
    key, old = create_key("ci", team=team, allowed_models=["fast"])
    set_budget(key, 5_000_000_000)
    now = timezone.now()
    new = rotate(key, DAY, now)
    assert new != old
    key.refresh_from_db()
    assert (key.prefix, key.last_four, key.hash) == (new[:9], new[-4:], hash_secret(new))
    by_new, by_old = who(new), who(old)
    assert isinstance(by_new, Caller)
    assert isinstance(by_old, Caller)
    assert (by_old.key_id, by_old.allowed_models, by_old.allowance) == (key.pk, by_new.allowed_models, by_new.allowance)
    assert by_new.expires_at is None
    assert by_old.expires_at == pytest.approx((now + DAY).timestamp())
    assert Budget.objects.get().scope_id == key.pk
    FormerSecret.objects.update(ends_at=now - timedelta(seconds=1))
    assert who(old) == REPLACED
    assert isinstance(who(new), Caller)


def test_an_expiring_key_ends_with_all_its_secrets(team: Team) -> None:
    ends = datetime(2090, 1, 1, tzinfo=UTC)
    key, old = create_key("ci", team=team, expires_at=ends)
    rotate(key, DAY, ends - timedelta(hours=1))
    caller = who(old)
    assert isinstance(caller, Caller)
    assert caller.expires_at == ends.timestamp()


def test_without_an_overlap_the_old_one_ends_at_once_and_is_told_so(team: Team) -> None:
    key, old = create_key("ci", team=team)
    new = rotate(key, timedelta(0), timezone.now())
    assert who(old) == REPLACED
    assert isinstance(who(new), Caller)


def test_every_process_is_told_of_every_secret(team: Team) -> None:
    key, old = create_key("ci", team=team)
    last = KeyChange.objects.latest("pk").pk
    new = rotate(key, DAY, timezone.now())
    both = {hash_secret(old), hash_secret(new)}
    assert told_since(last) == both
    last = KeyChange.objects.latest("pk").pk
    revoke(key, timezone.now())
    assert told_since(last) == both
    assert who(old) == who(new) == REVOKED
    last = KeyChange.objects.latest("pk").pk
    key.delete()
    assert told_since(last) == both


def test_the_old_one_can_be_ended_before_its_time(team: Team) -> None:
    key, first = create_key("ci", team=team)
    now = timezone.now()
    second = rotate(key, DAY, now)
    third = rotate(key, DAY, now)
    assert isinstance(who(first), Caller)
    assert end_former_secrets(key, now) == 2
    assert (who(first), who(second)) == (REPLACED, REPLACED)
    assert isinstance(who(third), Caller)
    assert end_former_secrets(key, now) == 0


def test_what_ended_gets_no_new_secret(team: Team) -> None:
    now = timezone.now()
    key, _ = create_key("ci", team=team)
    with pytest.raises(ValueError, match="overlap"):
        rotate(key, timedelta(days=31), now)
    revoke(key, now)
    expired, _ = create_key("old", team=team, expires_at=now - DAY)
    for ended in (key, expired):
        with pytest.raises(Ended):
            rotate(ended, DAY, now)
    assert not FormerSecret.objects.exists()


def test_former_secrets_do_not_pile_up(team: Team) -> None:
    key, _ = create_key("ci", team=team)
    now = timezone.now()
    rotate(key, DAY, now - REMEMBERED - 2 * DAY)
    rotate(key, DAY, now)
    assert ApiKey.objects.get().former_secrets.count() == 1


async def test_a_process_that_knew_the_old_secret_lets_it_go(team: Team) -> None:
    async for book in _book():
        key, old = await sync_to_async(create_key)("ci", team=team)
        assert isinstance(await book.find(old), Caller)
        assert isinstance(book.known(old, time.time()), Caller)
        new = await sync_to_async(rotate)(key, timedelta(0), timezone.now())
        changes = [change async for change in KeyChange.objects.values_list("hash", flat=True)]
        for changed in changes:
            book.forget(changed)
        assert await book.find(old) == REPLACED
        assert book.known(old, time.time()) == REPLACED
        assert isinstance(await book.find(new), Caller)


async def test_an_old_secret_ends_by_the_clock_where_it_is_held(team: Team) -> None:
    async for book in _book():
        key, old = await sync_to_async(create_key)("ci", team=team)
        await sync_to_async(rotate)(key, DAY, timezone.now())
        assert isinstance(await book.find(old), Caller)
        later = book.known(old, time.time() + DAY.total_seconds() + 1)
        assert isinstance(later, Refused)
        assert later.code == "key_expired"


async def _book() -> AsyncIterator[KeyBook]:
    book = KeyBook()
    yield book
    book.close()


def test_the_command_prints_the_new_secret_alone(team: Team) -> None:
    key, old = create_key("ci", team=team)
    secret = command("rotate", str(key.pk), "--overlap", "2")
    assert secret.count("\n") == 1
    assert isinstance(who(secret.strip()), Caller)
    assert isinstance(who(old), Caller)
    left = key.former_secrets.get().ends_at - timezone.now()
    assert timedelta(hours=1) < left <= timedelta(hours=2)
    entry = AuditEntry.objects.get(verb="rotate")
    assert entry.content["before"] == {"ends_in": old[-4:]}
    assert secret.strip()[-4:] == entry.content["after"]["ends_in"]
    revoke(key, timezone.now())
    for words, said in (((str(key.pk),), "has ended"), ((str(key.pk), "--overlap", "721"), "0 to 720 hours")):
        with pytest.raises(CommandError, match=said):
            command("rotate", *words)


def command(*words: str) -> str:
    out = StringIO()
    call_command("key", *words, stdout=out)
    return out.getvalue()
