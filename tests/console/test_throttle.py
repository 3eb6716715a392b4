"""How many tries are left, and what hashing may take of the machine."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.hashers import check_password, make_password
from django.test import Client

from console import locks
from console.passwords import HASHES_AT_ONCE
from console.throttle import Limit, give_back, take
from tests.factories import PASSWORD, make_user

LIMIT = {"somebody": Limit(3, 60)}


def test_tries_count_down_and_come_back_with_time() -> None:
    assert [take(LIMIT, 1000.0 + second).left for second in range(3)] == [2, 1, 0]
    refused = take(LIMIT, 1010.0)
    assert (refused.allowed, refused.left) == (False, 0)
    assert 49 <= refused.wait <= 51
    assert take(LIMIT, 1060.5).allowed


def test_a_refused_try_does_not_make_the_wait_longer() -> None:
    for second in range(3):
        take(LIMIT, 1000.0 + second)
    for second in range(3, 59):
        assert not take(LIMIT, 1000.0 + second).allowed
    assert take(LIMIT, 1060.5).allowed


def test_a_good_try_is_given_back() -> None:
    for second in range(10):
        assert take(LIMIT, 1000.0 + second).allowed
        give_back(LIMIT, 1000.0 + second)


def test_one_full_limit_counts_nothing_under_the_others() -> None:
    narrow, wide = {"narrow": Limit(1, 60)}, {"wide": Limit(5, 60)}
    take(narrow, 1000.0)
    for _ in range(4):
        assert not take(narrow | wide, 1001.0).allowed
    assert take(wide, 1002.0).left == 4


def test_many_at_once_are_counted_exactly() -> None:
    limit = {"crowd": Limit(10, 600)}
    now = time.time()
    with ThreadPoolExecutor(8) as pool:
        rooms = list(pool.map(lambda number: take(limit, now + number / 1000), range(40)))
    assert sum(room.allowed for room in rooms) == 10


def test_no_more_work_at_once_than_there_are_slots() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def work(_: int) -> None:
        nonlocal running, most
        with locks.slot("test", slots=2, wait=30):
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.01)
            with lock:
                running -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(16)))
    assert most == 2


def test_a_place_is_waited_for_only_so_long_and_free_again_afterwards() -> None:
    with (
        locks.slot("password", slots=HASHES_AT_ONCE),
        locks.slot("password", slots=HASHES_AT_ONCE),
        pytest.raises(locks.Busy),
        locks.slot("password", slots=HASHES_AT_ONCE, wait=0.05),
    ):
        pass
    with locks.slot("password", slots=HASHES_AT_ONCE, wait=0.05):
        pass


def test_passwords_are_kept_with_argon2(slow_passwords: None) -> None:
    kept = make_password(PASSWORD)
    assert kept.startswith("argon2$argon2id$")
    assert check_password(PASSWORD, kept)
    assert not check_password(PASSWORD + " ", kept)


@pytest.mark.django_db
def test_strangers_elsewhere_do_not_keep_a_person_out(db: None, settings: Any) -> None:
    """Whoever signed in from this browser before gets in, however often others failed in their name."""
    settings.TRUSTED_PROXIES = ["127.0.0.1/32"]
    person = make_user("Pia", password=PASSWORD)
    own = Client()
    sign_in = {"login": person.email, "password": PASSWORD}
    own.post("/accounts/login/", sign_in)
    own.post("/accounts/logout/")
    for place in range(10):
        stranger = Client(headers={"X-Forwarded-For": f"198.51.100.{place}"})
        for _ in range(5):
            stranger.post("/accounts/login/", sign_in | {"password": "wrong password"})
    assert Client().post("/accounts/login/", sign_in).status_code == 429  # too many in this name, everywhere
    assert own.post("/accounts/login/", sign_in).status_code == 302


@pytest.mark.django_db
def test_one_address_does_not_try_everybody(db: None) -> None:
    make_user("Pia", password=PASSWORD)
    answers = [
        Client().post("/accounts/login/", {"login": f"person{number}@example.org", "password": "x"}).status_code
        for number in range(31)
    ]
    assert answers[:30] == [422] * 30
    assert answers[30] == 429
