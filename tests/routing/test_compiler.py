"""From rows to the snapshot, and how a process keeps its own up to date: rule 17 of docs/reliability.md."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.utils import timezone

from billing.models import Organisation, Price, Team
from providers.models import Credential, LanguageModel, ModelAlias, Provider
from routing import compiler
from routing.callers import Caller, KeyBook
from routing.compiler import KeyChanges, SnapshotStore, compile_snapshot
from routing.keys import create_key, revoke
from routing.models import KeyChange
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_providers(db: None) -> None:
    Provider.objects.all().delete()


# -- compiling --------------------------------------------------------------------


def test_an_empty_house_has_an_empty_snapshot() -> None:
    Organisation.objects.all().delete()
    snapshot = compile_snapshot()
    assert (snapshot.providers, snapshot.models, snapshot.aliases, snapshot.house_default) == ({}, {}, {}, "")


def test_rows_become_entries() -> None:
    provider = factories.make_provider(
        "Groq EU", "vllm", base_url="http://127.0.0.1:9/v1", priority=7, timeout_seconds=30, options={"a": 1}
    )
    factories.make_model(provider, "llama", name="Llama", context=8000, max_output=100, capabilities=["tools"])
    snapshot = compile_snapshot()
    model = snapshot.models["groq-eu", "llama"]
    entry = model.provider
    assert entry is snapshot.providers["groq-eu"]
    assert (entry.name, entry.priority, entry.timeout_seconds, entry.options) == ("Groq EU", 7, 30.0, {"a": 1})
    assert (model.context, model.max_output, model.capabilities) == (8000, 100, frozenset({"tools"}))
    assert model.string == "groq-eu:llama"
    assert model.offered
    assert snapshot.by_model_id["llama"] == (model,)


def test_a_bare_id_has_its_providers_by_priority_then_slug() -> None:
    for name, priority in (("b", 20), ("a", 20), ("c", 10)):
        factories.make_model(factories.make_provider(name, "vllm", priority=priority), "llama")
    assert [model.provider.slug for model in compile_snapshot().by_model_id["llama"]] == ["c", "a", "b"]


def test_a_renamed_provider_is_found_under_both_slugs() -> None:
    provider = factories.make_provider("Azure", "vllm")
    factories.make_model(provider, "gpt")
    provider.rename("Azure Europe")
    snapshot = compile_snapshot()
    assert snapshot.slugs == {"azure": "azure-europe", "azure-europe": "azure-europe"}
    assert snapshot.models["azure-europe", "gpt"].other_names == {"azure:gpt"}


def test_a_new_provider_may_take_the_place_of_none_but_a_slug_in_use_wins_over_a_former_one() -> None:
    provider = factories.make_provider("Azure", "vllm")
    provider.rename("Azure Europe")
    assert factories.make_provider("Azure", "vllm").slug == "azure-2"


def test_aliases_lead_to_their_models() -> None:
    model = factories.make_model(factories.make_provider("Groq", "vllm"), "llama")
    ModelAlias.objects.create(name="fast", model=model)
    snapshot = compile_snapshot()
    assert snapshot.aliases["fast"].string == "groq:llama"
    assert snapshot.aliases["fast"].other_names == {"fast"}


def test_defaults_of_the_house_and_of_living_teams() -> None:
    factories.claim_house(default_model="demo:relay-1")
    team = factories.make_team("Research", default_model="fast")
    factories.make_team("Nothing set")
    factories.make_team("Gone", default_model="fast", archived_at=timezone.now())
    snapshot = compile_snapshot()
    assert snapshot.house_default == "demo:relay-1"
    assert snapshot.team_defaults == {team.pk: "fast"}


def test_prices_come_newest_first_without_those_that_ended() -> None:
    model = factories.make_model(factories.make_provider("Groq", "vllm"), "llama")
    now = timezone.now()
    factories.make_price(model, "1", "2", valid_from=now - timedelta(days=30), valid_until=now - timedelta(days=10))
    old = factories.make_price(model, "3", "4", valid_from=now - timedelta(days=9))
    new = factories.make_price(model, "5", "6", valid_from=now + timedelta(days=1), cached_per_million=Decimal("0.5"))
    entry = compile_snapshot().models["groq", "llama"]
    assert [rates.price_id for rates in entry.prices] == [new.pk, old.pk]
    assert entry.prices[0].cached == Decimal("0.5")
    rates = entry.rates_at(now.timestamp())
    assert rates is not None
    assert rates.price_id == old.pk
    later = entry.rates_at(now.timestamp() + 2 * 86400)
    assert later is not None
    assert later.price_id == new.pk


def test_a_model_without_a_price_has_none() -> None:
    factories.make_model(factories.make_provider("Groq", "vllm"), "llama")
    assert compile_snapshot().models["groq", "llama"].rates_at(datetime.now(UTC).timestamp()) is None


def test_credentials_stay_sealed() -> None:
    provider = factories.make_provider("Groq", "vllm", secret="test-key-of-groq-1234")
    credential = Credential.objects.get(provider=provider)
    entry = compile_snapshot().providers["groq"].credentials[0]
    assert entry.sealed == credential.sealed
    assert "test-key" not in repr(compile_snapshot())


def test_a_provider_that_needs_a_key_and_has_none_is_inactive() -> None:
    factories.make_provider("OpenAI", "openai")
    assert compile_snapshot().providers["openai"].inactive_reason == "it has no API key"


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = factories.make_provider("OpenAI", "openai")
    Credential.objects.create(provider=provider, variable="A_KEY_OF_THIS_TEST")
    assert "A_KEY_OF_THIS_TEST" in compile_snapshot().providers["openai"].inactive_reason
    monkeypatch.setitem(os.environ, "A_KEY_OF_THIS_TEST", "test-key-1")
    assert compile_snapshot().providers["openai"].inactive_reason == ""


def test_a_kind_this_version_does_not_know_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    factories.make_model(factories.make_provider("Old", "a-kind-of-tomorrow"), "m")
    assert compile_snapshot().models == {}
    assert "a-kind-of-tomorrow" in caplog.text


def test_what_is_switched_off_is_known_but_not_offered() -> None:
    provider = factories.make_provider("Groq", "vllm", models_read_at=timezone.now())
    factories.make_model(provider, "listed", listed=True)
    factories.make_model(provider, "by-hand", listed=False)
    factories.make_model(provider, "gone", listed=False, active=False)
    factories.make_model(provider, "off", listed=True, active=False)
    factories.make_model(provider, "last", listed=True, only_as_fallback=True)
    models = compile_snapshot().models
    assert {name for (_, name), model in models.items() if model.offered} == {"listed", "by-hand"}
    assert {name for (_, name), model in models.items() if model.gone} == {"gone"}


@pytest.mark.store
def test_compiling_takes_few_queries(django_assert_max_num_queries: Any) -> None:
    for number in range(20):
        provider = factories.make_provider(f"P{number}", "vllm", secret="test-key-12345678")
        for other in range(3):
            factories.make_price(factories.make_model(provider, f"m{other}"))
    with django_assert_max_num_queries(15):
        assert len(compile_snapshot().models) == 60


# -- keeping up ---------------------------------------------------------------------


@pytest.fixture
async def store(transactional_db: None) -> AsyncIterator[SnapshotStore]:
    keys = KeyBook()
    made = SnapshotStore(keys)
    yield made
    await made.close()
    keys.close()


@contextlib.asynccontextmanager
async def watching(store: SnapshotStore) -> AsyncIterator[None]:
    watch = asyncio.create_task(store.watch())
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


async def until(condition: Any, seconds: float = 3.0) -> float:
    """Seconds until it is so."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not condition():
        assert loop.time() - began < seconds, "it did not come to that"
        await asyncio.sleep(0.02)
    return loop.time() - began


@pytest.mark.django_db(transaction=True)
async def test_a_change_is_live_within_two_seconds(store: SnapshotStore) -> None:
    await store.refresh()
    assert store.loaded
    async with watching(store):
        provider = await sync_to_async(factories.make_provider)("Groq", "vllm")
        await sync_to_async(factories.make_model)(provider, "llama")
        assert await until(lambda: ("groq", "llama") in store.current.models) < 2.0
        provider.enabled = False
        await sync_to_async(provider.save)()
        assert await until(lambda: not store.current.providers["groq"].enabled) < 2.0


@pytest.mark.django_db(transaction=True)
async def test_nothing_is_compiled_when_nothing_changed(store: SnapshotStore) -> None:
    await store.refresh()
    first = store.current
    await store.refresh()
    assert store.current is first


@pytest.mark.django_db(transaction=True)
async def test_a_revoked_key_is_forgotten_within_two_seconds(store: SnapshotStore) -> None:
    team = await sync_to_async(factories.make_team)("Research")
    key, secret = await sync_to_async(create_key)("k", team=team)
    await store.refresh()
    keys = store._keys
    assert isinstance(await keys.find(secret), Caller)
    assert len(keys) == 1
    async with watching(store):
        await sync_to_async(revoke)(key, timezone.now())
        assert await until(lambda: len(keys) == 0) < 2.0
    found = await keys.find(secret)
    assert getattr(found, "code", "") == "key_revoked"


@pytest.mark.django_db(transaction=True)
async def test_a_configuration_that_cannot_be_compiled_leaves_the_last_good_one(
    store: SnapshotStore, caplog: pytest.LogCaptureFixture
) -> None:
    provider = await sync_to_async(factories.make_provider)("Groq", "vllm")
    model = await sync_to_async(factories.make_model)(provider, "llama")
    await store.refresh()
    good = store.current
    async with watching(store):
        # A row that no form would let through: capabilities that are no list.
        await sync_to_async(LanguageModel.objects.filter(pk=model.pk).update)(capabilities=5)
        await sync_to_async(provider.save)()
        await until(lambda: "cannot be compiled" in caplog.text)
        assert store.current is good
        await sync_to_async(LanguageModel.objects.filter(pk=model.pk).update)(capabilities=["tools"])
        await until(lambda: store.current is not good)
    assert caplog.text.count("cannot be compiled") == 1
    assert store.current.models["groq", "llama"].capabilities == {"tools"}


@pytest.mark.django_db(transaction=True)
async def test_the_last_good_one_stays_while_the_database_is_away(
    store: SnapshotStore, caplog: pytest.LogCaptureFixture
) -> None:
    await sync_to_async(factories.make_provider)("Groq", "vllm")
    await store.refresh()
    good = store.current
    table = "providers_configuration"
    async with watching(store):
        await sync_to_async(_rename_table)(table, "elsewhere")
        try:
            await until(lambda: "cannot be asked" in caplog.text)
            assert store.current is good
        finally:
            await sync_to_async(_rename_table)("elsewhere", table)
        await until(lambda: "is read again" in caplog.text)


def _rename_table(old: str, new: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER TABLE "{old}" RENAME TO "{new}"')


@pytest.mark.django_db(transaction=True)
async def test_snapshots_are_made_at_most_twice_a_second(store: SnapshotStore) -> None:
    loop = asyncio.get_running_loop()
    await store.refresh()
    began, seen = loop.time(), {id(store.current): store.current}
    while loop.time() - began < 1.2:
        await sync_to_async(factories.make_provider)("Groq", "vllm")
        await store.refresh()
        seen[id(store.current)] = store.current
    assert len(seen) <= 4


# -- key changes --------------------------------------------------------------------


def test_each_change_is_read_once() -> None:
    KeyChange.objects.create(hash="before")
    changes = KeyChanges()
    assert changes.read(0.0) == []
    KeyChange.objects.create(hash="a")
    KeyChange.objects.create(hash="b")
    assert changes.read(1.0) == ["a", "b"]
    assert changes.read(2.0) == []


def test_a_change_that_becomes_visible_late_is_not_missed() -> None:
    KeyChange.objects.create(hash="before")
    changes = KeyChanges()
    changes.read(0.0)
    first = KeyChange.objects.latest("id").pk
    KeyChange.objects.create(id=first + 5, hash="committed first")
    assert changes.read(1.0) == ["committed first"]
    KeyChange.objects.create(id=first + 2, hash="begun earlier, committed later")
    assert changes.read(2.0) == ["begun earlier, committed later"]
    changes.read(2.0 + compiler.UNCOMMITTED_SECONDS + 1)
    assert changes.read(3.0 + compiler.UNCOMMITTED_SECONDS) == []
    assert len(changes._seen) == 0


def test_prices_of_the_demo_are_declared() -> None:
    from routing.demonstration import furnish

    provider = furnish()
    declared = Price.objects.filter(model__provider=provider, source__startswith="declared")
    assert declared.count() == provider.models.count() > 20
    paid = compile_snapshot().models["demo", "relay-1-paid"].prices[0]
    assert (paid.input, paid.output) == (Decimal("2.5"), Decimal(10))
    furnish()
    assert Price.objects.filter(model__provider=provider).count() == provider.models.count()
    assert Organisation.get().default_model == "demo:relay-1"
    assert Team.objects.count() == 0
