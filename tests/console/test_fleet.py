"""The page of all providers: who sees it, what it says of each, how it is sorted, searched and turned over."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing import hours
from console.gauges import provider_gauges
from providers.models import Credential, HealthCheck, LanguageModel, Provider
from tests.billing.test_hours import call
from tests.factories import make_model, make_provider
from tests.services import free_port

pytestmark = pytest.mark.django_db


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture(autouse=True)
def without_the_demonstration(db: None) -> None:
    Provider.objects.filter(kind="demo").delete()


def local(name: str, **fields: Any) -> Provider:
    return make_provider(name, kind="vllm", base_url="http://127.0.0.1:1/v1", **fields)


def checked(provider: Provider, now: datetime, *oks: bool, code: str = "upstream_unreachable") -> None:
    """Newest first, half a minute apart."""
    for number, ok in enumerate(oks):
        at = now - timedelta(seconds=30 * number)
        HealthCheck.objects.create(provider=provider, at=at, ok=ok, code="" if ok else code, duration_ms=40)


def page(client: Any, query: str = "", **headers: str) -> str:
    answer = client.get(f"/providers/{query}", headers=headers)
    assert answer.status_code == 200
    return answer.content.decode()


def names(html: str) -> list[str]:
    """Of the table, from top to bottom."""
    body = html.partition('<table class="tbl fleet">')[2].partition("</table>")[0]
    return [piece.partition("</b>")[0] for piece in body.split("<span><b>")[1:]]


# -- who ----------------------------------------------------------------------------------


def test_who_may_look_and_who_may_change(request: Any, signed_in: Any) -> None:
    provider = local("House")
    for name, status in {"alice": 200, "adam": 200, "vera": 200, "bob": 403, "dana": 403}.items():
        client = signed_in(request.getfixturevalue(name))
        answer = client.get("/providers/")
        assert answer.status_code == status, name
        html = answer.content.decode()
        may_change = name in ("alice", "adam")
        assert ("Add provider" in html) == may_change
        assert (f"/providers/{provider.pk}/disconnect/" in html) == may_change
        assert ("You can look, not change" in html) == (name == "vera")
        for path in ("check/", f"{provider.pk}/enabled/", f"{provider.pk}/disconnect/", "reconnect/"):
            if not may_change:
                assert client.post(f"/providers/{path}", {"sure": "on"}).status_code == 403
    provider.refresh_from_db()
    assert provider.enabled


# -- what it says ---------------------------------------------------------------------------


def test_every_state_has_its_word_and_its_reason(alice: Any, signed_in: Any, now: datetime) -> None:
    good, bad, shaky, off = local("Good"), local("Bad"), local("Shaky"), local("Off", enabled=False)
    local("Unknown")
    make_provider("Keyless", kind="openai")
    checked(good, now, True)
    checked(bad, now, False, False, False)
    checked(shaky, now, False, True)
    checked(off, now - timedelta(hours=2), True)
    html = page(signed_in(alice))
    for label, why in {
        "Healthy": "The last check was answered",
        "Failing": "3 checks in a row failed: it could not be reached",
        "Degraded": "The last check failed: it could not be reached",
        "Inactive": "API key missing",
        "Off": "Somebody switched it off",
        "Not checked": "Not checked yet",
    }.items():
        assert f">{label}</span>" in html, label
        assert why in html, why
    assert "1 <small>of 5</small>" in html
    assert "1 degraded, 1 failing, 1 inactive, 1 not checked" in html
    assert "Needs attention <i>3</i>" in html


def test_a_refused_key_is_shown_as_such(alice: Any, signed_in: Any, now: datetime) -> None:
    provider = make_provider("Groq", kind="groq", secret="test-key-0000-0001")
    checked(provider, now, False, code="upstream_auth")
    Credential.objects.update(problem="groq refused the key.")
    html = page(signed_in(alice))
    assert "Its key is refused" in html
    assert ">Failing</span>" in html


def test_figures_of_the_day_and_the_month(alice: Any, signed_in: Any, now: datetime) -> None:
    first, second = local("First"), local("Second")
    for _ in range(9):
        call(now, (first, "ok"), nano=500_000_000)
    call(now, (first, "upstream_timeout"), (second, "ok"), nano=70_000_000, currency="USD")
    hours.reckon(now)
    html = page(signed_in(alice))
    assert "€4.50" in html
    assert "$0.07" in html
    assert "10.0%" in html or "10%" in html
    assert "1 from First" in html
    assert "90.0% on the first attempt" in html
    assert "100%" in html


def test_nothing_connected(alice: Any, signed_in: Any) -> None:
    html = page(signed_in(alice))
    assert "No provider yet" in html
    assert "Try the demo" in html
    assert "Ready to connect" in html
    assert "Check all" not in html


def test_it_is_shown_while_the_cache_is_away(alice: Any, signed_in: Any, settings: Any) -> None:
    local("House")
    location = f"redis://127.0.0.1:{free_port()}/0"
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": location}}
    assert names(page(signed_in(alice))) == ["House"]


# -- sorting, searching, turning pages ------------------------------------------------------


def test_sixty_of_them(alice: Any, signed_in: Any, django_assert_max_num_queries: Any) -> None:
    for number in range(60):
        local(f"House {number:02}")
    client = signed_in(alice)
    client.get("/providers/")
    with django_assert_max_num_queries(40):  # however many there are
        html = page(client, "?sort=name")
    assert names(html) == [f"House {number:02}" for number in range(10)]
    assert "Showing 10 of 60" in html
    assert "1 of 6" in html
    last = page(client, "?sort=name&page=6")
    assert names(last)[-1] == "House 59"
    assert 'rel="next"' not in last
    assert names(page(client, "?sort=name&page=999")) == names(last)
    assert names(page(client, "?sort=-name"))[0] == "House 59"
    for nonsense in ("?page=-1", "?page=x", "?sort=salary&state=odd", "?page=99999999999999"):
        assert client.get(f"/providers/{nonsense}").status_code == 200


def test_chips_and_search(alice: Any, signed_in: Any, now: datetime) -> None:
    make_provider("Mistral", kind="mistral", secret="test-key-0000-0001")
    house = local("House")
    checked(house, now, False, False, False)
    client = signed_in(alice)
    assert names(page(client, "?state=eu")) == ["Mistral"]
    assert names(page(client, "?state=local")) == ["House"]
    assert names(page(client, "?state=attention")) == ["House"]
    assert names(page(client, "?q=mIs")) == ["Mistral"]
    assert "No provider holds “zzz”." in page(client, "?q=zzz")
    assert "&lt;script&gt;" in page(client, "?q=<script>")
    assert "EU hosted <i>1</i>" in page(client, "?state=local")


def test_what_is_sorted_by_what(alice: Any, signed_in: Any, now: datetime) -> None:
    low, high = local("Low"), local("High")
    call(now, (low, "ok"), first_ms=90, nano=1)
    for outcome in ("ok", "upstream_timeout", "ok"):
        call(now, (high, outcome), first_ms=2900, nano=900)
    hours.reckon(now)
    client = signed_in(alice)
    for key in ("spend", "first", "errors", "requests"):
        assert names(page(client, f"?sort=-{key}")) == ["High", "Low"], key
        assert names(page(client, f"?sort={key}")) == ["Low", "High"], key
    assert names(page(client)) == ["High", "Low"]
    assert 'aria-sort="descending"' in page(client)


def test_an_answer_to_htmx_is_the_table_and_what_goes_with_it(alice: Any, signed_in: Any) -> None:
    local("House")
    html = page(signed_in(alice), "?q=house", HX_Request="true")
    assert html.lstrip().startswith("<section")
    assert 'hx-get="/providers/?q=house"' in html
    assert 'hx-target="#fleet-kpis"' in html
    assert "<!doctype" not in html


def test_models_that_can_be_had_are_counted(alice: Any, signed_in: Any) -> None:
    for model_id in ("a", "b"):
        make_model(local("House") if model_id == "a" else Provider.objects.get(), model_id)
    make_model(local("Off", enabled=False), "c")
    assert LanguageModel.objects.count() == 3
    assert "2 models available" in page(signed_in(alice))


# -- elsewhere ------------------------------------------------------------------------------


def test_the_navigation_counts_those_that_need_somebody(alice: Any, bob: Any, signed_in: Any) -> None:
    make_provider("Keyless", kind="openai")
    assert "Needs attention: </span>1</span>" in signed_in(alice).get("/profile/").content.decode()
    assert "Needs attention" not in signed_in(bob).get("/profile/").content.decode()


def test_programs_are_told_the_same(alice: Any, dana: Any, client: Any, signed_in: Any, now: datetime) -> None:
    house = local("House")
    make_model(house, "a")
    checked(house, now, False, False, False)
    call(now - timedelta(minutes=10), (house, "upstream_timeout"))
    call(now - timedelta(minutes=10), (house, "ok"), first_ms=120, nano=7)
    hours.reckon(now)
    told = signed_in(alice).get("/api/providers").json()
    assert len(told) == 1
    assert told[0] | {"checked_at": "", "first_token_ms": 0} == {
        "slug": "house",
        "name": "House",
        "kind": "vllm",
        "enabled": True,
        "status": "down",
        "why": "3 checks in a row failed: it could not be reached",
        "checked_at": "",
        "models": 1,
        "requests": 2,
        "failures": 1,
        "rerouted": 0,
        "first_token_ms": 0,
        "spent": {"EUR": 7},
    }
    assert 100 < told[0]["first_token_ms"] <= 150
    assert signed_in(dana).get("/api/providers").status_code == 403
    assert client.get("/api/providers").status_code == 401


def test_prometheus_reads_how_they_are(now: datetime) -> None:
    checked(local("Good"), now, True)
    checked(local("Bad"), now, False, False, False)
    local("Off", enabled=False)
    text = provider_gauges().decode()
    assert 'relayhouse_provider_up{provider="good"} 1.0' in text
    assert 'relayhouse_provider_up{provider="bad"} 0.0' in text
    assert 'relayhouse_provider_status{provider="bad",status="down"} 1.0' in text
    assert '"off"' not in text
