"""Whose key is this? The book of keys: what it holds, what it forgets, and what it does when it cannot ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.utils import timezone

from billing.models import Team
from console.models import User
from routing import callers
from routing.callers import Caller, KeyBook, Refused
from routing.keys import ALPHABET, RANDOM_CHARACTERS, create_key, hash_secret, parse_peppers, peppers, revoke
from routing.models import ApiKey
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def book() -> AsyncIterator[KeyBook]:
    made = KeyBook()
    yield made
    made.close()


@pytest.fixture
def team(transactional_db: None) -> Team:
    return factories.make_team("Research")


def a_secret(number: int = 0) -> str:
    return "rh_" + f"{number:0{RANDOM_CHARACTERS}d}"


make = sync_to_async(create_key)


# -- making them --------------------------------------------------------------------


@pytest.mark.store
def test_the_secret_is_shown_once_and_not_kept(team: Team) -> None:
    key, secret = create_key("ci", team=team)
    assert secret.startswith("rh_")
    assert len(secret) == 3 + RANDOM_CHARACTERS
    assert set(secret[3:]) <= set(ALPHABET)
    row = {name: str(value) for name, value in ApiKey.objects.filter(pk=key.pk).values()[0].items()}
    assert not any(secret in value or secret[9:-4] in value for value in row.values())
    assert (key.prefix, key.last_four) == (secret[:9], secret[-4:])
    assert str(key) == f"{secret[:9]}…{secret[-4:]}"


def test_no_two_keys_are_the_same(team: Team) -> None:
    assert len({create_key("k", team=team)[1] for _ in range(20)}) == 20


def test_the_pepper_decides_the_hash(settings: Any) -> None:
    peppers.cache_clear()
    settings.RELAYHOUSE_KEY_PEPPER = "1:one"
    first = hash_secret("rh_x")
    peppers.cache_clear()
    settings.RELAYHOUSE_KEY_PEPPER = "1:one,2:two"
    assert hash_secret("rh_x") != first
    assert hash_secret("rh_x", version=1) == first
    peppers.cache_clear()


def test_peppers_are_read_as_documented() -> None:
    assert parse_peppers("1:a,2:b:c\n") == {1: b"a", 2: b"b:c"}
    assert parse_peppers("plain") == {1: b"plain"}
    for wrong in ("", "one:secret", "1:"):
        with pytest.raises(ImproperlyConfigured):
            parse_peppers(wrong)


def test_a_missing_pepper_is_explained(settings: Any, tmp_path: Any) -> None:
    peppers.cache_clear()
    settings.RELAYHOUSE_KEY_PEPPER = ""
    settings.RELAYHOUSE_STATE = tmp_path
    with pytest.raises(ImproperlyConfigured, match="RELAYHOUSE_KEY_PEPPER"):
        peppers()
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "pepper").write_text("1:from the file\n")
    assert peppers() == {1: b"from the file"}
    peppers.cache_clear()


# -- who it is -----------------------------------------------------------------------


async def test_a_key_is_found_and_then_known(book: KeyBook, team: Team) -> None:
    key, secret = await make("k", team=team, allowed_models=["OpenAI:GPT-4o", "fast"])
    assert book.known(secret, time.time()) is None
    found = await book.find(secret)
    assert isinstance(found, Caller)
    assert (found.key_id, found.team_id, found.user_id) == (key.pk, team.pk, None)
    assert found.allowed_models == {"OpenAI:GPT-4o", "openai:GPT-4o", "fast"}
    assert book.known(secret, time.time()) is found


async def test_a_key_of_an_older_pepper_still_opens(settings: Any, team: Team) -> None:
    _, secret = await make("k", team=team)
    settings.RELAYHOUSE_KEY_PEPPER += ",2:newer"
    peppers.cache_clear()
    book = KeyBook()
    try:
        assert isinstance(await book.find(secret), Caller)
        assert isinstance(book.known(secret, time.time()), Caller)
        newer, other = await make("k2", team=team)
        assert newer.pepper_version == 2
        assert isinstance(await book.find(other), Caller)
    finally:
        book.close()
        peppers.cache_clear()


@pytest.mark.parametrize("secret", ["", "rh_", "rh_short", "sk-" + "a" * 40, "rh_" + "é" * 40, "rh_" + "a" * 41])
async def test_what_cannot_be_a_key_costs_no_read(book: KeyBook, secret: str) -> None:
    assert book.known(secret, time.time()) is callers.INVALID
    assert await book.find(secret) is callers.INVALID


async def refused(book: KeyBook, secret: str) -> str:
    found = await book.find(secret)
    assert isinstance(found, Refused)
    assert found.status == 401
    assert book.known(secret, time.time()) == found
    return found.code


async def test_an_unknown_key_is_refused_and_remembered(book: KeyBook, team: Team) -> None:
    assert await refused(book, a_secret()) == "invalid_api_key"


async def test_a_revoked_key_is_refused(book: KeyBook, team: Team) -> None:
    key, secret = await make("k", team=team)
    await sync_to_async(revoke)(key, timezone.now())
    assert await refused(book, secret) == "key_revoked"


async def test_an_expired_key_is_refused(book: KeyBook, team: Team) -> None:
    _, secret = await make("k", team=team, expires_at=timezone.now() - timedelta(seconds=1))
    assert await refused(book, secret) == "key_expired"


async def test_a_key_expires_while_it_is_held(book: KeyBook, team: Team) -> None:
    _, secret = await make("k", team=team, expires_at=timezone.now() + timedelta(hours=1))
    assert isinstance(await book.find(secret), Caller)
    assert isinstance(book.known(secret, time.time() + 3500), Caller)
    assert book.known(secret, time.time() + 3700) is callers.EXPIRED


async def test_the_key_of_an_archived_team_is_refused(book: KeyBook, team: Team) -> None:
    _, secret = await make("k", team=team)
    team.archived_at = timezone.now()
    await sync_to_async(team.save)()
    assert await refused(book, secret) == "key_revoked"


async def test_the_key_of_a_person_who_left_is_refused(book: KeyBook, team: Team) -> None:
    person = await sync_to_async(factories.make_user)("Bob")
    _, secret = await make("k", user=person)
    found = await book.find(secret)
    assert isinstance(found, Caller)
    assert found.user_id == person.pk
    await sync_to_async(User.objects.filter(pk=person.pk).update)(is_active=False)
    book.forget(hash_secret(secret))
    assert await refused(book, secret) == "key_revoked"


async def test_a_forgotten_key_is_read_again(book: KeyBook, team: Team) -> None:
    key, secret = await make("k", team=team)
    await book.find(secret)
    await sync_to_async(revoke)(key, timezone.now())
    assert isinstance(book.known(secret, time.time()), Caller)
    book.forget(key.hash)
    assert book.known(secret, time.time()) is None
    assert await refused(book, secret) == "key_revoked"


async def test_a_read_that_a_change_overtook_is_not_remembered(book: KeyBook, team: Team) -> None:
    key, secret = await make("k", team=team)
    reading = asyncio.create_task(book.find(secret))
    for _ in range(3):
        await asyncio.sleep(0)  # until the read has begun; its answer is taken in a later turn
    assert book._reading
    book.forget(key.hash)
    assert isinstance(await reading, Caller)
    assert book.known(secret, time.time()) is None


async def test_many_requests_with_a_new_key_read_it_once(book: KeyBook, team: Team) -> None:
    _, secret = await make("k", team=team)
    found = await asyncio.gather(*(book.find(secret) for _ in range(50)))
    assert len({id(caller) for caller in found}) == 1


# -- bounds ------------------------------------------------------------------------------


async def test_the_book_has_an_end(book: KeyBook, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "MOST_HELD", 3)
    secrets = [(await make(f"k{number}", team=team))[1] for number in range(5)]
    for secret in secrets:
        await book.find(secret)
    assert len(book) == 3
    assert [book.known(secret, time.time()) is not None for secret in secrets] == [False, False, True, True, True]


async def test_guessing_is_throttled_and_known_keys_go_on(
    book: KeyBook, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "UNKNOWN_PER_SECOND", 3)
    _, secret = await make("k", team=team)
    await book.find(secret)
    found = [await book.find(a_secret(number)) for number in range(50)]
    codes = {refusal.code for refusal in found if isinstance(refusal, Refused)}
    assert "too_many_unknown_keys" in codes
    assert isinstance(book.known(secret, time.time()), Caller)


async def test_refusals_are_bounded(book: KeyBook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "MOST_REFUSED", 10)
    for number in range(30):
        await book.find(a_secret(number))
    assert len(book._refused) <= 10
    assert not book._reading


# -- a database that cannot be asked ----------------------------------------------------


@pytest.fixture
def away(transactional_db: None) -> Iterator[Any]:
    """Call it to take the table of keys away; it is put back afterwards."""
    gone = []

    def take() -> None:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE routing_apikey RENAME TO elsewhere")
        gone.append(True)

    yield take
    if gone:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO routing_apikey")


async def test_a_held_key_outlives_the_database(
    book: KeyBook, team: Team, away: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret = await make("k", team=team)
    await book.find(secret)
    await sync_to_async(away)()
    monkeypatch.setattr(callers, "FRESH_SECONDS", 0.0)
    assert book.known(secret, time.time()) is None
    assert isinstance(await book.find(secret), Caller)


async def test_a_database_that_failed_is_not_waited_for_each_time(
    book: KeyBook, team: Team, away: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real = callers.read_key
    monkeypatch.setattr(callers, "read_key", lambda hashes: asked.append(hashes) or real(hashes))
    _, secret = await make("k", team=team)
    await book.find(secret)
    await sync_to_async(away)()
    monkeypatch.setattr(callers, "FRESH_SECONDS", 0.0)
    for _ in range(3):
        assert isinstance(await book.find(secret), Caller)
    assert len(asked) == 2  # when it was there, and once when it was not


async def test_a_key_that_cannot_be_read_is_not_called_invalid(book: KeyBook, team: Team, away: Any) -> None:
    _, secret = await make("k", team=team)
    await sync_to_async(away)()
    found = await book.find(secret)
    assert isinstance(found, Refused)
    assert (found.status, found.code) == (503, "ledger_unavailable")
    assert book.known(secret, time.time()) is None


# -- when it was used ----------------------------------------------------------------------


def test_use_is_noted_once_a_minute(transactional_db: None) -> None:
    team = factories.make_team("Research")
    key, secret = create_key("k", team=team)
    idle, _ = create_key("idle", team=team)

    async def use() -> None:
        await book.find(secret)
        book.known(secret, time.time())

    book = KeyBook()
    try:
        async_to_sync(use)()
        book.note_used()
        key.refresh_from_db()
        first = key.last_used_at
        assert first is not None
        assert abs(first.timestamp() - time.time()) < 5
        async_to_sync(use)()
        book.note_used()
        key.refresh_from_db()
        assert key.last_used_at == first
        idle.refresh_from_db()
        assert idle.last_used_at is None
    finally:
        book.close()
