"""The list of API keys: narrowed, sorted and turned over by the database, with figures that have a bound."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.ids import new_request_id
from billing.models import LedgerEntry, Pot, Request, Slice, Team
from billing.terms import MONEY
from billing.windows import window_of
from console import keyuse
from console.models import User
from console.paging import SIZE
from routing.keys import create_key, revoke, set_budget
from routing.models import ApiKey
from tests.factories import make_team, make_user

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true", "HX-Current-URL": "http://testserver/keys/"}
EURO = 1_000_000_000
QUERIES = 18  # of a page of the list, the shell and the session included


@pytest.fixture
def adams(adam: User, signed_in: Any) -> Any:
    return signed_in(adam)


def add(count: int, team: Team, prefix: str = "k", **fields: Any) -> None:
    before, now = ApiKey.objects.count(), timezone.now()
    ApiKey.objects.bulk_create(
        ApiKey(
            name=f"{prefix}-{n % 7}",
            prefix="rh_abcdef",
            last_four=f"{n:04}",
            hash=f"{prefix} {n}",
            team=team,
            created_at=now - timedelta(minutes=n // 3),
            last_used_at=now - timedelta(hours=n % 5) if n % 4 else None,
            expires_at=now + timedelta(days=30 + n % 3) if n % 2 else None,
            **fields,
        )
        for n in range(before, before + count)
    )


def asked(key: ApiKey, count: int, at: datetime | None = None) -> None:
    Request.objects.bulk_create(
        Request(
            id=new_request_id(), started_at=(at or timezone.now()) - timedelta(seconds=n), status="ok", purpose="api",
            asked_model="auto", key_id=key.pk, provider="demo", model="relay-1",
        )
        for n in range(count)
    )  # fmt: skip


def charged(nano: int, key: ApiKey | None = None, at: datetime | None = None, **fields: Any) -> None:
    number = new_request_id()
    at = at or timezone.now()
    LedgerEntry.objects.create(
        id=f"{number}-1/charge/0", started_at=at, booked_at=at, request_id=number, attempt_id=f"{number}-1",
        kind="charge", purpose="api" if key else "playground", key_id=key.pk if key else None, provider="demo",
        model="relay-1", usage_source="provider", amount_nano=nano, **{"currency": "USD"} | fields,
    )  # fmt: skip


def names(answer: Any) -> list[str]:
    return [row.key.name for row in answer.context["rows"]]


def every_page(client: Any, query: str) -> list[ApiKey]:
    found: list[ApiKey] = []
    while True:
        context = client.get(f"/keys/{query}", headers=HTMX).context
        found += [row.key for row in context["rows"]]
        if not context["next"]:
            return found
        query = context["next"]


@pytest.mark.store
@pytest.mark.parametrize("sort", ["name", "-name", "used", "-used", "expires", "-expires", "created", ""])
def test_nothing_is_lost_or_shown_twice(adams: Any, research: Team, sort: str) -> None:
    add(2 * SIZE + 11, research)
    found = every_page(adams, f"?sort={sort}")
    assert len(found) == len({key.pk for key in found}) == 2 * SIZE + 11
    far, long_ago = datetime.max.replace(tzinfo=timezone.get_default_timezone()), datetime(1970, 1, 1).astimezone()
    keys: dict[str, Any] = {
        "name": lambda key: key.name,
        "used": lambda key: key.last_used_at or long_ago,
        "expires": lambda key: key.expires_at or far,
        "created": lambda key: key.created_at,
    }
    wanted = [keys[sort.removeprefix("-") or "created"](key) for key in found]
    assert wanted == sorted(wanted, reverse=sort.startswith("-") or not sort)


def test_it_is_narrowed_by_team_state_and_words(adams: Any, adam: User, research: Team) -> None:
    now = timezone.now()
    legal, owner = make_team("Legal"), make_user("Zoe Durand")
    create_key("quiet", team=research)
    ApiKey.objects.update(created_at=now - timedelta(days=40))
    create_key("ends-soon", team=legal, expires_at=now + timedelta(days=3))
    create_key("over", team=legal, expires_at=now - timedelta(days=1))
    gone, _ = create_key("gone", team=legal)
    revoke(gone, now)
    zoes, secret = create_key("laptop", user=owner)
    create_key("mine", user=adam)
    for query, wanted in {
        "": {"quiet", "ends-soon", "laptop", "mine"},
        "?team=legal": {"ends-soon"},
        "?team=mine": {"mine"},
        "?team=nothing": {"quiet", "ends-soon", "laptop", "mine"},
        "?state=attention": {"ends-soon"},
        "?state=unused": {"quiet"},
        "?state=ended": {"over", "gone"},
        "?state=ended&team=research": set(),
        "?q=LAP": {"laptop"},
        "?q=durand": {"laptop"},
        f"?q={secret[-4:]}": {"laptop"},
        f"?q=…{secret[-4:]}": {"laptop"},
        f"?q={secret[:9]}": {"laptop"},
        "?q=%00": {"quiet", "ends-soon", "laptop", "mine"},
        "?after=nonsense&sort=odd": {"quiet", "ends-soon", "laptop", "mine"},
    }.items():
        assert set(names(adams.get(f"/keys/{query}"))) == wanted, query
    chips = {chip["word"]: chip["count"] for chip in adams.get("/keys/").context["chips"]}
    assert chips == {"Active": 4, "Needs attention": 1, "Unused for 30 days": 1, "Ended": 2}
    revoke(zoes, now)  # what is counted follows a change at once
    assert [chip["count"] for chip in adams.get("/keys/").context["chips"]] == [3, 1, 1, 3]


def test_what_is_counted_is_ones_own(bob: User, research: Team, signed_in: Any, adams: Any) -> None:
    create_key("ci", team=research)
    create_key("legal", team=make_team("Legal"))
    assert adams.get("/keys/").context["chips"][0]["count"] == 2
    assert signed_in(bob).get("/keys/").context["chips"][0]["count"] == 1


# -- figures -----------------------------------------------------------------------------------


@pytest.mark.store
def test_a_row_says_what_was_spent_of_the_budget_that_runs(adams: Any, research: Team) -> None:
    now = timezone.now()
    month = window_of("month", "UTC", now.timestamp())
    before = datetime.fromtimestamp(month.starts_at, timezone.get_default_timezone()) - timedelta(hours=1)
    ledger, _ = create_key("ledger", team=research)
    set_budget(ledger, 10 * EURO)
    charged(4 * EURO, ledger)
    charged(3 * EURO, ledger, before)  # of the month before
    charged(2 * EURO, ledger, currency="EUR")
    charged(1 * EURO, ledger, demo=True)
    pot, _ = create_key("pot", team=research)
    set_budget(pot, 10 * EURO)
    _pot(pot, f"USD {month.name} UTC", spent=9 * EURO, settled=EURO // 2)
    _pot(pot, "USD 2020-01 UTC", spent=99 * EURO)
    full, _ = create_key("full", team=research)
    set_budget(full, EURO, period="total")
    _pot(full, "USD total UTC", spent=EURO)
    create_key("free", team=research)
    rows = {row.key.name: row for row in adams.get("/keys/").context["rows"]}
    assert rows["free"].meter is None
    spent = {name: (row.meter.spent_nano, row.meter.per_cent) for name, row in rows.items() if row.meter}
    assert spent == {
        "ledger": (4 * EURO, "40.0%"),
        "pot": (9 * EURO + EURO // 2, "95.0%"),
        "full": (EURO, "100.0%"),
    }
    states = {name: row.state for name, row in rows.items()}
    assert states == {
        "ledger": ("", "Not used yet"),
        "pot": ("warn", "Nearly spent"),
        "full": ("bad", "Budget spent"),
        "free": ("", "Not used yet"),
    }
    assert set(names(adams.get("/keys/?state=attention"))) == {"pot", "full"}


def _pot(key: ApiKey, window: str, *, spent: int, settled: int = 0) -> None:
    made = Pot.objects.create(
        scope_kind="key", scope_id=key.pk, what=MONEY, window=window, starts_at=timezone.now(), currency="USD",
        spent=spent, taken=settled,
    )  # fmt: skip
    if settled:
        until = timezone.now()
        Slice.objects.create(pot=made, node="n", place="p", amount=settled, settled=settled, lease_until=until)


@pytest.mark.store
def test_requests_of_a_week_are_counted_up_to_a_bound(research: Team) -> None:
    now = timezone.now()
    busy, _ = create_key("busy", team=research)
    idle, _ = create_key("idle", team=research)
    asked(busy, 12)
    asked(busy, 5, now - timedelta(days=8))
    since = now - keyuse.WEEK
    assert keyuse.requests_since([busy.pk, idle.pk], since) == {busy.pk: 12, idle.pk: 0}
    assert keyuse.requests_since([busy.pk], since, most=10) == {busy.pk: 10}
    assert keyuse.requests_since([], since) == {}


@pytest.mark.store
def test_the_foot_says_what_of_the_month_went_through_keys(adams: Any, dana: User, bob: User, signed_in: Any) -> None:
    key, _ = create_key("ci", user=bob)
    charged(20 * EURO, key)
    charged(5 * EURO)
    charged(7 * EURO, key, demo=True)
    words = adams.get("/keys/month/", headers=HTMX).content.decode()
    assert "$20.00 of the $25.00 spent in" in words
    charged(5 * EURO)
    assert "$25.00" in signed_in(dana).get("/keys/month/").content.decode()  # a few minutes old at most
    cache.clear()
    assert "$30.00" in signed_in(dana).get("/keys/month/").content.decode()
    assert signed_in(bob).get("/keys/month/").status_code == 403
    assert 'hx-get="/keys/month/"' not in signed_in(bob).get("/keys/").content.decode()


def test_a_page_asks_as_much_of_many_keys_as_of_few(adams: Any, research: Team) -> None:
    adams.get("/keys/")  # the first visit of a session notes itself
    asks = []
    for count in (SIZE + 1, 3 * SIZE):
        add(count, research)
        for key in ApiKey.objects.order_by("-created_at", "-id")[:5]:
            set_budget(key, EURO)
            asked(key, 3)
        cache.clear()
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert len(names(adams.get("/keys/"))) == SIZE
        asks.append(len(queries))
    assert asks[0] == asks[1] <= QUERIES, asks
    plan = _plan(keyuse.requests_since, [1], timezone.now())
    assert "request_by_key" in plan


def _plan(work: Any, *words: Any) -> str:
    """How the database goes about the last query of it."""
    with CaptureQueriesContext(connection) as queries:
        work(*words)
    with connection.cursor() as cursor:
        explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
        cursor.execute(f"{explain} {queries[-1]['sql']}")
        return " ".join(str(row) for row in cursor.fetchall())
