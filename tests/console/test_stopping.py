"""Switching off, disconnecting and taking it back: what is said before, what is kept, what other calls get then."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone

from billing import hours
from billing.models import Attempt, LedgerEntry, Organisation, Price, Request
from console import checks, stopping
from console.models import AuditEntry
from providers import connector
from providers.models import (
    Credential,
    FormerSlug,
    HealthCheck,
    LanguageModel,
    ModelAlias,
    Provider,
    current_revision,
)
from routing.keys import create_key
from tests.billing.test_hours import call
from tests.factories import make_model, make_price, make_provider, make_team
from tests.upstream import Upstream

pytestmark = pytest.mark.django_db


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def house(db: None) -> Provider:
    Provider.objects.filter(kind="demo").delete()
    return make_provider("House", kind="vllm", base_url="http://127.0.0.1:1/v1", secret="test-key-house-0001")


@pytest.fixture
def other(house: Provider) -> Provider:
    return make_provider("Other", kind="vllm", base_url="http://127.0.0.1:2/v1", priority=200)


@pytest.fixture
def client(alice: Any, signed_in: Any) -> Any:
    return signed_in(alice)


def used(house: Provider, other: Provider, now: datetime) -> None:
    """Two models, one of which the other provider serves too; callers of both."""
    own, both = make_model(house, "own"), make_model(house, "both")
    make_model(other, "both")
    ModelAlias.objects.create(name="fast", model=own)
    make_price(both)
    Organisation.get()
    Organisation.objects.update(default_model="house:own")
    team = make_team("Research", default_model="house:both")
    key = create_key("nightly", team=team)[0]
    for _ in range(3):
        call(now, (house, "ok"))
    Request.objects.update(asked_model="both", team_id=team.pk, key_id=key.pk)
    hours.reckon(now)


def test_the_effect_names_who_calls_and_who_answers_then(house: Provider, other: Provider, now: datetime) -> None:
    used(house, other, now)
    effect = stopping.effect_of(house, now)
    assert effect.calls == 3
    assert [(caller.name, caller.calls) for caller in effect.teams] == [("Research", 3)]
    assert [(caller.name, caller.calls) for caller in effect.keys] == [("nightly", 3)]
    assert (effect.aliases, effect.house_default, effect.team_defaults) == (["fast"], "house:own", ["Research"])
    assert {each.asked: each.answers for each in effect.instead} == {
        "both": "other:both",
        "fast": "",
        "house:both": "",
        "house:own": "",
    }
    assert effect.in_use
    assert not stopping.effect_of(other, now).in_use


def test_what_was_long_ago_is_no_use(house: Provider, now: datetime) -> None:
    make_model(house, "own")
    call(now - timedelta(days=8), (house, "ok"))
    assert not stopping.effect_of(house, now).in_use


# -- the switch -----------------------------------------------------------------------------


def test_one_that_nothing_uses_is_off_at_once_and_comes_back(client: Any, house: Provider) -> None:
    before = current_revision()[0]
    answer = client.post(f"/providers/{house.pk}/enabled/", follow=True)
    assert "House is off. Nobody calls it from now on." in answer.content.decode()
    house.refresh_from_db()
    assert not house.enabled
    assert current_revision()[0] == before + 1
    entry = AuditEntry.objects.latest("id")
    assert (entry.verb, entry.content) == ("change", {"before": {"enabled": True}, "after": {"enabled": False}})
    client.post(f"/providers/{house.pk}/enabled/", {"enabled": "on", "sure": "on"})
    house.refresh_from_db()
    assert house.enabled


def test_one_in_use_is_asked_about_first(client: Any, house: Provider, other: Provider, now: datetime) -> None:
    used(house, other, now)
    html = client.post(f"/providers/{house.pk}/enabled/").content.decode()
    for words in ("Turn House off?", "3 calls went to it", "Research (3)", "nightly", "other:both", "Nobody", "fast"):
        assert words in html, words
    house.refresh_from_db()
    assert house.enabled
    client.post(f"/providers/{house.pk}/enabled/", {"sure": "on"})
    house.refresh_from_db()
    assert not house.enabled


def test_with_htmx_the_question_comes_beside_the_table(
    client: Any, house: Provider, other: Provider, now: datetime
) -> None:
    used(house, other, now)
    answer = client.post(f"/providers/{house.pk}/enabled/?q=house", headers={"HX-Request": "true"})
    html = answer.content.decode()
    assert html.lstrip().startswith('<section class="card" id="prov-table"')
    assert '<hx-partial hx-target="#stop"' in html
    assert "Turn House off?" in html
    assert "House is off" not in html
    got = client.get(f"/providers/{house.pk}/disable-check/", headers={"HX-Request": "true"}).content.decode()
    assert "Turn House off?" in got
    assert "<!doctype" not in got


def test_the_way_back_is_one_of_our_pages(client: Any, house: Provider) -> None:
    to = client.post(f"/providers/{house.pk}/enabled/", {"back": "/providers/house/"})["Location"]
    assert to == "/providers/house/"
    to = client.post(f"/providers/{house.pk}/enabled/", {"enabled": "on", "back": "https://example.org/"})["Location"]
    assert to == "/providers/"


# -- disconnecting --------------------------------------------------------------------------


def token_in(html: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', html)
    assert found is not None
    return found[1]


def test_disconnecting_keeps_the_past_and_can_be_taken_back(
    client: Any, house: Provider, other: Provider, now: datetime
) -> None:
    used(house, other, now)
    HealthCheck.objects.create(provider=house, ok=True)
    house.rename("Home")
    before = {
        model: sorted(model.objects.order_by("pk").values_list()) if model is not LanguageModel else
        list(model.objects.order_by("pk").values_list("pk", "model_id", "capabilities"))
        for model in (FormerSlug, LanguageModel, ModelAlias)
    }  # fmt: skip
    secret = house.credentials.get().reveal()
    past = (Attempt.objects.count(), LedgerEntry.objects.count(), Request.objects.count())
    said = client.get(f"/providers/{house.pk}/disconnect/").content.decode()
    assert "Disconnect Home?" in said
    assert "2 models with their prices" in said
    html = client.post(f"/providers/{house.pk}/disconnect/", follow=True).content.decode()
    assert "Home is disconnected." in html
    assert list(Provider.objects.values_list("slug", flat=True)) == ["other"]
    assert (Attempt.objects.count(), LedgerEntry.objects.count(), Request.objects.count()) == past
    assert "test-key-house-0001" not in cache.get(stopping.key_of(token_in(html)))
    assert "delete" in AuditEntry.objects.values_list("verb", flat=True)

    revision = current_revision()[0]
    html = client.post("/providers/reconnect/", {"token": token_in(html)}, follow=True).content.decode()
    assert "Home is back, with its keys and models." in html
    back = Provider.objects.get(pk=house.pk)
    assert (back.slug, back.name, back.base_url) == ("home", "Home", house.base_url)
    assert back.credentials.get().reveal() == secret
    assert Price.objects.filter(model__provider=back).count() == 1
    for model, rows in before.items():
        now_there = model.objects.order_by("pk")
        found = now_there.values_list("pk", "model_id", "capabilities") if model is LanguageModel else (
            now_there.values_list())  # fmt: skip
        assert sorted(found, key=str) == sorted(rows, key=str)
    assert current_revision()[0] > revision
    assert "restore" in AuditEntry.objects.values_list("verb", flat=True)


def test_it_is_not_brought_back_over_somebody_else(client: Any, house: Provider) -> None:
    token = stopping.disconnect(house)
    make_provider("House", kind="vllm", base_url="http://127.0.0.1:3/v1")
    html = client.post("/providers/reconnect/", {"token": token}, follow=True).content.decode()
    assert "It cannot be brought back any more." in html
    assert Provider.objects.get(slug="house").base_url == "http://127.0.0.1:3/v1"
    assert not Credential.objects.exists()
    assert stopping.reconnect("made up") is None


def test_it_is_brought_back_once(house: Provider) -> None:
    token = stopping.disconnect(house)
    assert stopping.reconnect(token) is not None
    assert stopping.reconnect(token) is None


# -- checking on request --------------------------------------------------------------------


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as vendor:
        vendor.models = ["alpha"]
        yield vendor
    connector.hang_up()


def test_one_is_tested_and_told_about(client: Any, house: Provider, upstream: Upstream) -> None:
    Provider.objects.filter(pk=house.pk).update(base_url=upstream.base_url)
    html = client.post(f"/providers/{house.pk}/check/", follow=True).content.decode()
    assert re.search(r"House answered in \d+ ms\.", html)
    upstream.behave("401")
    answer = client.post(f"/providers/{house.pk}/check/", headers={"HX-Request": "true"})
    assert "House: Its key is refused." in answer.content.decode()


def test_a_good_check_mends_what_was_said_of_a_key_before(house: Provider, upstream: Upstream) -> None:
    fields = {"base_url": upstream.base_url, "inactive_reason": "house refused the key."}
    Provider.objects.filter(pk=house.pk).update(**fields)
    checks.check_providers(timezone.now())
    house.refresh_from_db()
    assert house.inactive_reason == ""
    assert list(house.models.values_list("model_id", flat=True)) == ["alpha"]


@pytest.mark.django_db(transaction=True)
def test_all_are_checked_without_making_anybody_wait(alice: Any, signed_in: Any, upstream: Upstream) -> None:
    Provider.objects.filter(kind="demo").update(enabled=False)
    house = make_provider("House", kind="vllm", base_url=upstream.base_url)
    client = signed_in(alice)
    answer = client.post("/providers/check/", headers={"HX-Request": "true"})
    assert answer.status_code == 202
    assert "Every provider is being checked." in answer.content.decode()
    checks.check_soon().result(30)
    assert HealthCheck.objects.filter(provider=house, ok=True).exists()
    assert client.post("/providers/check/")["Location"] == "/providers/"
    checks.check_soon().result(30)
