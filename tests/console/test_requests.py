"""The list of requests: who sees which, how it is narrowed and turned over, and that no look is without an end."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.test import AsyncClient
from django.utils import timezone

from billing.ids import new_request_id
from billing.models import Request, Team
from console import histogram, traffic
from console.palette import search
from console.request_export import harmless
from console.sifting import Filters, asked_in, moment_in
from console.traffic import Sight, TooSlow, _Base, bounded, newer, page_at, sight_of
from routing.keys import create_key
from tests.factories import make_entry, make_request, make_team, make_user

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
ALL = Sight(everything=True)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def ids(answer: Any) -> list[str]:
    return [line.request.id for line in answer.context["lines"]]


# -- who sees what -----------------------------------------------------------------------------


@pytest.fixture
def everybodys(bob: Any, research: Team, charlie: Any) -> dict[str, Request]:
    return {
        "bob's": make_request(user=bob),
        "the team's": make_request(team=research),
        "charlie's": make_request(user=charlie),
        "another team's": make_request(team=make_team("Legal")),
    }


@pytest.mark.store
@pytest.mark.parametrize(
    ("who", "seen"),
    [
        ("alice", {"bob's", "the team's", "charlie's", "another team's"}),
        ("vera", {"bob's", "the team's", "charlie's", "another team's"}),
        ("bob", {"bob's"}),
        ("lea", {"the team's"}),
    ],
)
def test_each_sees_what_is_theirs(
    request: Any, signed_in: Any, research: Team, everybodys: dict[str, Request], who: str, seen: set[str]
) -> None:
    person = make_user("Lea", teams=[research], lead=True) if who == "lea" else request.getfixturevalue(who)
    client = signed_in(person)
    assert set(ids(client.get("/requests/"))) == {everybodys[name].id for name in seen}
    for name, each in everybodys.items():
        assert client.get(f"/requests/{each.id}/").status_code == (200 if name in seen else 404), name


def test_finance_sees_none(signed_in: Any, dana: Any) -> None:
    client = signed_in(dana)
    for path in ("/requests/", "/requests/bars/", "/requests/new/", f"/requests/{new_request_id()}/"):
        assert client.get(path).status_code == 403


def test_a_filter_widens_nothing(signed_in: Any, bob: Any, everybodys: dict[str, Request], research: Team) -> None:
    client = signed_in(bob)
    for query in (f"team={research.pk}", "team=0", f"person={bob.pk + 1}", "key=1", "outcome=failed"):
        assert set(ids(client.get(f"/requests/?{query}"))) <= {everybodys["bob's"].id}
    assert ids(client.get("/requests/", {"q": everybodys["charlie's"].id})) == []


# -- narrowing ---------------------------------------------------------------------------------


@pytest.mark.store
@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ({"outcome": "failed"}, {"status": "failed"}),
        ({"outcome": "failed"}, {"status": "interrupted"}),
        ({"outcome": "rerouted"}, {"attempts": 2}),
        ({"slow": "1"}, {"duration_ms": 5001}),
        ({"status": "cancelled"}, {"status": "cancelled"}),
        ({"code": "tier_cap"}, {"status": "failed", "error_code": "tier_cap"}),
        ({"provider": "b"}, {"provider": "b"}),
        ({"model": "b:n"}, {"provider": "b", "model": "n"}),
        ({"use_case": "code"}, {"use_case": "code"}),
        ({"tier": "premium"}, {"tier": "premium"}),
        ({"purpose": "playground"}, {"purpose": "playground"}),
        ({"team": "71"}, {"team": 71}),
        ({"key": "72"}, {"key": 72}),
        ({"person": "73"}, {"user": 73}),
        ({"team": "71", "key": "72", "outcome": "failed"}, {"team": 71, "key": 72, "status": "failed"}),
        ({"q": "my-own"}, {"client_request_id": "my-own-id"}),
        ({"q": "talk"}, {"session": "talk-7"}),
        ({"demo": "1"}, {"demo": True}),
    ],
)
def test_each_filter_finds_what_it_names(asked: dict[str, str], fields: dict[str, Any]) -> None:
    make_request(duration_ms=4999, team=70, key=70, user=70)
    wanted = make_request(**fields)
    assert [row.id for row in page_at(ALL, asked_in(asked)).rows] == [wanted.id]


@pytest.mark.store
def test_a_request_is_found_by_its_id_its_attempt_and_its_beginning() -> None:
    early, late = make_request(NOON), make_request(NOON + timedelta(hours=1))
    for typed in (late.id, late.id.upper().replace("REQ", "req"), f"{late.id}-2", late.id[:15], f"  {late.id} "):
        assert [row.id for row in page_at(ALL, asked_in({"q": typed})).rows] == [late.id], typed
    assert [row.id for row in page_at(ALL, asked_in({"q": early.id[:8]})).rows] == [late.id, early.id]
    for typed in ("req_zz", "req_" + "f" * 40, "req_ffffffffffff"):
        assert page_at(ALL, asked_in({"q": typed})).rows == []


def test_a_range_of_time_is_in_the_hours_of_the_page() -> None:
    inside, outside = make_request(NOON), make_request(NOON + timedelta(hours=1))
    with timezone.override("Europe/Paris"):
        wanted = asked_in({"since": "2026-11-24T12:30", "until": "2026-11-24T14:00"})
        assert wanted.asked() == {"since": "2026-11-24T12:30", "until": "2026-11-24T14:00"}
    assert [row.id for row in page_at(ALL, wanted).rows] == [inside.id]
    assert page_at(ALL, Filters(since=outside.started_at)).rows[0].id == outside.id
    assert page_at(ALL, Filters(until=inside.started_at)).rows == []


def test_what_cannot_be_understood_is_left_out(signed_in: Any, alice: Any) -> None:
    row = make_request()
    query = "outcome=odd&status=odd&purpose=x&team=x&key=99999999999999999999&since=yesterday&before=x"
    answer = signed_in(alice).get(f"/requests/?{query}&until=2026-99-99T00:00")
    assert ids(answer) == [row.id]
    assert [moment_in(text) for text in ("", "0001-01-01T00:00", "9999-12-31T23:59")] == [None, None, None]


def test_a_form_leaves_no_empty_words_in_the_address(signed_in: Any, alice: Any) -> None:
    client = signed_in(alice)
    assert client.get("/requests/?provider=a&model=&team=")["Location"] == "/requests/?provider=a"
    pushed = client.get("/requests/?provider=a&model=&slow=1", headers=HTMX)["HX-Push-Url"]
    assert pushed == "/requests/?slow=1&provider=a"


# -- turning over ------------------------------------------------------------------------------


@pytest.mark.store
def test_every_request_is_on_exactly_one_page(research: Team, bob: Any) -> None:
    """Many of the same millisecond, and a sight of several indexes."""
    made = [make_request(NOON + timedelta(milliseconds=n // 4), team=research) for n in range(30)]
    made += [make_request(NOON + timedelta(milliseconds=n), user=bob) for n in range(6)]
    made += [make_request(NOON, user=bob, team=research)]
    make_request(NOON, team=research.pk + 1)
    sight = Sight(teams=(research.pk, 10**9), user=bob.pk)
    seen: list[str] = []
    before = ""
    while True:
        found = page_at(sight, Filters(), before, 4)
        seen += [row.id for row in found.rows]
        before = found.older
        if not before:
            break
    assert seen == sorted((row.id for row in made), reverse=True)


@pytest.mark.store
def test_a_sparse_filter_is_searched_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "SCAN", 5)
    rows = [make_request(NOON + timedelta(seconds=n), provider="rare" if n in (3, 17) else "a") for n in range(20)]
    wanted = Filters(provider="rare")
    assert [row.id for row in page_at(ALL, wanted).rows] == [rows[17].id, rows[3].id]
    first = page_at(ALL, wanted, seconds=0)  # the time is up after one step
    assert [row.id for row in first.rows] == [rows[17].id]
    assert first.searched_to == rows[14].started_at
    found, further = first, []
    while found.older:
        found = page_at(ALL, wanted, found.older, seconds=0)
        further.append([row.id for row in found.rows])
    assert further == [[], [rows[3].id], []]


def test_the_page_says_how_far_it_looked(signed_in: Any, alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "SCAN", 2)
    monkeypatch.setattr(traffic.page_at, "__kwdefaults__", {"seconds": 0.0})
    for n in range(5):
        make_request(NOON + timedelta(minutes=n))
    answer = signed_in(alice).get("/requests/?provider=none")
    assert "Search further back" in answer.content.decode()
    assert "Nothing fits since 24 Nov, 12:02" in answer.content.decode()


def test_older_ones_come_as_rows_alone(signed_in: Any, alice: Any) -> None:
    rows = [make_request(NOON + timedelta(seconds=n)) for n in range(60)]
    client = signed_in(alice)
    first = client.get("/requests/", headers=HTMX)
    assert ids(first) == [row.id for row in rows[:9:-1]]
    more = client.get(f"/requests/{first.context['older']}&more=1&day=Tuesday 24 November", headers=HTMX)
    text = more.content.decode()
    assert ids(more) == [row.id for row in rows[9::-1]]
    assert ("<table" in text, "Tuesday" in text, 'hx-target="#req-foot"' in text) == (False, False, True)
    assert "There are no older ones" in text


@pytest.mark.store
@pytest.mark.parametrize(
    ("sight", "wanted", "index"),
    [
        (ALL, Filters(provider="x"), "request_by_time|started_at_idx"),
        (ALL, Filters(key=5, team=3, outcome="failed"), "request_by_key|key_id_started_at_idx"),
        (ALL, Filters(person=5, team=3), "request_by_user|user_id_started_at_idx"),
        (ALL, Filters(team=3, provider="x"), "request_by_team|team_id_started_at_idx"),
        (ALL, Filters(outcome="failed", provider="x"), "request_failed|started_at_idx1"),
        (ALL, Filters(outcome="rerouted"), "request_rerouted|started_at_idx2"),
        (Sight(user=5), Filters(team=3), "request_by_user|user_id_started_at_idx"),
    ],
)
def test_every_look_goes_through_the_index_that_bounds_it(sight: Sight, wanted: Filters, index: str) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")
    base = _Base(sight.branches[0], wanted)
    plan = base.rows(traffic._range(wanted, new_request_id()))[:51].explain()
    name = index.split("|")[connection.vendor == "postgresql"]
    assert name in plan, plan


@pytest.mark.store
def test_what_takes_too_long_is_stopped() -> None:
    slow = {
        "postgresql": "SELECT pg_sleep(20)",
        "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
    }
    with pytest.raises(TooSlow), bounded(0.05), connection.cursor() as cursor:
        cursor.execute(slow[connection.vendor])
    with bounded(5):
        assert Request.objects.count() == 0  # and the connection goes on


def test_a_page_that_took_too_long_says_so(signed_in: Any, alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "STATEMENT_SECONDS", -1.0)
    Request.objects.bulk_create([make_unsaved(n) for n in range(1500)])
    answer = signed_in(alice).get("/requests/?provider=none")
    assert "This took too long" in answer.content.decode()


def make_unsaved(n: int) -> Request:
    moment = NOON + timedelta(seconds=n)
    request_id = new_request_id(int(moment.timestamp() * 1000))
    return Request(id=request_id, started_at=moment, status="ok", purpose="api", asked_model="a:m")


def test_a_page_asks_the_same_few_questions_however_long_it_is(
    signed_in: Any, alice: Any, django_assert_max_num_queries: Any
) -> None:
    client = signed_in(alice)
    client.get("/requests/", headers=HTMX)
    for n in range(60):
        make_entry(make_request(NOON + timedelta(seconds=n)))
    with django_assert_max_num_queries(22):
        assert len(client.get("/requests/", headers=HTMX).context["lines"]) == 50


# -- what has come since -----------------------------------------------------------------------


@pytest.mark.store
def test_new_ones_are_counted_and_not_shown(signed_in: Any, alice: Any) -> None:
    old = make_request()
    client = signed_in(alice)
    assert "new request" not in client.get(f"/requests/new/?than={old.id}").content.decode()
    later = old.started_at + timedelta(seconds=1)
    for _ in range(3):
        make_request(later)
    make_request(later, provider="b")
    assert "4 new requests" in client.get(f"/requests/new/?than={old.id}").content.decode()
    assert "1 new request<" in client.get(f"/requests/new/?than={old.id}&provider=b").content.decode()
    assert newer(ALL, Filters(), "nonsense") == 0
    Request.objects.bulk_create([make_unsaved(10**5 + n) for n in range(120)])
    assert newer(ALL, Filters(), new_request_id(int(NOON.timestamp() * 1000))) == traffic.MOST_NEW


# -- a line ------------------------------------------------------------------------------------


def test_a_line_says_who_answered_and_what_it_cost(signed_in: Any, alice: Any, research: Team) -> None:
    key, _ = create_key("support-bot", team=research)
    make_entry(make_request(NOON, key=key, team=research, first_token_ms=380, duration_ms=8400))
    make_entry(make_request(NOON - timedelta(days=1)), nano=None)
    make_request(NOON - timedelta(days=1), status="failed", attempts=3)
    text = signed_in(alice).get("/requests/").content.decode()
    for words in ("support-bot", "$0.00540", "1,200 / 240", "380", "8.4", "no price", "No provider answered"):
        assert words in text, words
    assert "$0.00000" in text  # of the one that nobody answered
    assert text.count('class="grp"') == 2


def test_demonstration_rows_are_offered_where_there_is_nothing_else(signed_in: Any, alice: Any) -> None:
    client = signed_in(alice)
    assert "No request yet" in client.get("/requests/").content.decode()
    row = make_request(demo=True)
    answer = client.get("/requests/")
    assert (ids(answer), "?demo=1" in answer.content.decode()) == ([], True)
    assert ids(client.get("/requests/?demo=1")) == [row.id]


def test_the_palette_finds_a_whole_id(alice: Any, bob: Any) -> None:
    row = make_request()
    assert [found.href for group in search(alice, row.id) for found in group.rows] == [f"/requests/{row.id}/"]
    assert search(bob, row.id) == []


# -- the histogram -----------------------------------------------------------------------------


@pytest.mark.store
def test_bars_count_each_request_once(research: Team, bob: Any) -> None:
    now = NOON + timedelta(minutes=10)
    make_request(NOON, team=research)
    make_request(NOON - timedelta(minutes=1), user=bob, team=research)  # his, and of the team he leads
    make_request(NOON - timedelta(minutes=1), user=bob, status="failed")
    make_request(NOON - timedelta(hours=23), team=research, attempts=2)
    make_request(NOON - timedelta(hours=24), team=research)  # before the oldest bar
    make_request(NOON, team=research, demo=True)
    make_request(NOON)
    day = histogram.day_of(Sight(teams=(research.pk,), user=bob.pk), now)
    assert (day.complete, day.totals, day.bars[-1], day.bars[-2]) == (True, (2, 1, 1), (1, 0, 0), (1, 0, 1))
    assert day.bars[1] == (0, 1, 0)
    assert histogram.day_of(ALL, now).totals == (3, 1, 1)


def test_a_bar_that_is_over_is_counted_once_and_the_running_one_again() -> None:
    now = NOON + timedelta(minutes=10)
    make_request(NOON - timedelta(hours=5))
    assert histogram.day_of(ALL, now).totals == (1, 0, 0)
    make_request(NOON - timedelta(hours=5))
    make_request(NOON)
    assert histogram.day_of(ALL, now + timedelta(seconds=20)).totals == (2, 0, 0)
    assert histogram.day_of(ALL, now + timedelta(hours=1, seconds=20)).totals == (3, 0, 0)


def test_what_is_not_counted_in_time_comes_with_the_next_look(signed_in: Any, alice: Any) -> None:
    make_request()
    day = histogram.day_of(ALL, timezone.now(), seconds=0)
    assert (day.complete, day.totals, sum(bar is not None for bar in day.bars)) == (False, (1, 0, 0), histogram.AT_ONCE)
    text = signed_in(alice).get("/requests/bars/").content.decode()
    assert ("First attempt, 1" in text, 'hx-trigger="load' in text) == (True, False)


def test_the_handles_stand_where_the_range_is() -> None:
    day = histogram.Day(NOON - timedelta(hours=23, minutes=30), [(1, 0, 0)] * histogram.BARS)
    chart = histogram.drawn(day, NOON, NOON - timedelta(hours=12), NOON)
    assert 'aria-valuenow="23"' in chart
    assert 'aria-valuenow="47"' in chart
    assert 'aria-valuetext="00:00"' in chart
    assert "hidden" in histogram.drawn(day, NOON, NOON - timedelta(days=9), NOON - timedelta(days=8))


# -- CSV and API -------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
async def test_the_list_is_exported_as_it_is_narrowed() -> None:
    def made() -> Any:
        person = make_user("Bob")
        rows = [make_request(NOON + timedelta(seconds=n), user=person, session="=1+1") for n in range(3)]
        make_entry(rows[0])
        make_request(NOON)  # another's
        make_request(NOON, user=person, provider="b")
        return person, rows

    person, rows = await sync_to_async(made)()
    client = AsyncClient()
    await client.aforce_login(person, backend="allauth.account.auth_backends.AuthenticationBackend")
    answer = await client.get("/requests/export/?provider=a")
    text = b"".join([piece async for piece in answer]).decode()  # type: ignore[union-attr]
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [line["id"] for line in lines] == [row.id for row in rows[::-1]]
    assert (lines[2]["amount"], lines[2]["input_tokens"], lines[1]["amount"]) == ("0.0054", "1200", "")
    assert lines[0]["session"] == "'=1+1"
    assert [harmless(text) for text in ("@x", "-1", "+1", "\tx", "x=1", "")] == ["'@x", "'-1", "'+1", "'\tx", "x=1", ""]


@pytest.mark.store
def test_programs_get_the_same_list(client: Any, research: Team, bob: Any, signed_in: Any) -> None:
    _, secret = create_key("test", team=research)
    headers = {"authorization": f"Bearer {secret}"}
    rows = [make_request(NOON + timedelta(seconds=n), team=research) for n in range(3)]
    foreign = make_request(NOON)
    make_entry(rows[2])
    found = client.get("/api/requests?size=2", headers=headers).json()
    assert [row["id"] for row in found["requests"]] == [rows[2].id, rows[1].id]
    rest = client.get(f"/api/requests?before={found['older']}", headers=headers).json()
    assert ([row["id"] for row in rest["requests"]], rest["older"], rest["searched_to"]) == ([rows[0].id], None, None)
    one = client.get(f"/api/requests/{rows[2].id}", headers=headers).json()
    assert (one["entries"][0]["amount_nano"], one["tries"], one["ask"]) == (5_400_000, [], None)
    assert client.get(f"/api/requests/{foreign.id}", headers=headers).status_code == 404
    assert signed_in(bob).get("/api/requests").json()["requests"] == []
    for query in ("size=0", "size=201", "outcome=odd", "team=-1", "since=soon", "key=99999999999999999999"):
        assert client.get(f"/api/requests?{query}", headers=headers).status_code == 422, query


def test_people_see_through_the_api_what_they_see_on_the_page(bob: Any, alice: Any) -> None:
    assert sight_of(alice) == ALL
    assert sight_of(bob) == Sight(user=bob.pk)
