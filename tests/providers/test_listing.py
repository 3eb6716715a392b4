"""The rows of models follow the list of their provider, and what is wrong with a provider is said in words."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from providers import connector
from providers.adapters import ADAPTERS
from providers.chat import Wire
from providers.listing import KEY_MISSING, NOT_SPOKEN, declared_prices, list_models, refresh_models, target_of
from providers.models import Credential, LanguageModel, Provider, current_revision
from tests.factories import make_model, make_provider
from tests.upstream import Upstream, refusing_url

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loop_thread")]


@pytest.fixture
def upstream(upstream: Upstream) -> Upstream:
    upstream.models = ["alpha", "beta"]
    return upstream


@pytest.fixture
def house(upstream: Upstream) -> Provider:
    return make_provider("House", kind="vllm", base_url=upstream.base_url)


def models(provider: Provider) -> dict[str, tuple[bool, bool]]:
    """By id: listed, active."""
    return {row.model_id: (row.listed, row.active) for row in provider.models.all()}


@pytest.mark.store
def test_new_models_become_rows_and_the_revision_rises_once(house: Provider) -> None:
    before = current_revision()[0]
    refreshed = refresh_models(house)
    assert (refreshed.added, refreshed.count, refreshed.problem) == (("alpha", "beta"), 2, "")
    assert models(house) == {"alpha": (True, True), "beta": (True, True)}
    assert house.models.get(model_id="alpha").context == 4096
    assert current_revision()[0] == before + 1
    house.refresh_from_db()
    assert house.models_read_at is not None


@pytest.mark.store
def test_a_list_that_says_the_same_changes_nothing(house: Provider) -> None:
    refresh_models(house)
    before = current_revision()[0]
    assert not refresh_models(house).changed
    assert current_revision()[0] == before


@pytest.mark.store
def test_a_model_that_is_gone_is_kept_but_not_offered_and_may_return(house: Provider, upstream: Upstream) -> None:
    refresh_models(house)
    upstream.models = ["alpha"]
    assert refresh_models(house).gone == ("beta",)
    assert models(house)["beta"] == (False, False)
    upstream.models = ["alpha", "beta"]
    assert refresh_models(house).returned == ("beta",)
    assert models(house)["beta"] == (True, True)


def test_what_a_person_switched_off_stays_off(house: Provider, upstream: Upstream) -> None:
    refresh_models(house)
    LanguageModel.objects.filter(provider=house, model_id="beta").update(active=False)
    for names in (["alpha"], ["alpha", "beta"]):
        upstream.models = names
        refresh_models(house)
        assert models(house)["beta"] == (True, False)


def test_what_a_person_wrote_stays_although_no_list_names_it(house: Provider) -> None:
    make_model(house, "by-hand")
    make_model(house, "alpha")
    refresh_models(house)
    assert models(house) == {"alpha": (True, True), "beta": (True, True), "by-hand": (False, True)}


def test_a_server_that_is_down_for_a_moment_goes_on_being_offered(house: Provider) -> None:
    refresh_models(house)
    Provider.objects.filter(pk=house.pk).update(base_url=refusing_url())
    house.refresh_from_db()
    assert "refused the connection" in refresh_models(house).problem
    house.refresh_from_db()
    assert house.inactive_reason == ""
    assert models(house)["alpha"] == (True, True)


def test_a_server_that_never_answered_is_inactive_until_it_does(upstream: Upstream) -> None:
    provider = make_provider("Later", kind="lmstudio", base_url=refusing_url())
    refresh_models(provider)
    provider.refresh_from_db()
    assert "refused the connection" in provider.inactive_reason
    Provider.objects.filter(pk=provider.pk).update(base_url=upstream.url)
    provider.refresh_from_db()
    assert refresh_models(provider).count == 2
    provider.refresh_from_db()
    assert provider.inactive_reason == ""


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("401", "Incorrect API key"),
        ("html-200", "not JSON"),
        ("bad-json", "not JSON"),
        ("empty", "not JSON"),
        ("503", "Overloaded"),
        ("redirects", "redirect"),
        ("error-200", "overloaded"),
    ],
)
def test_lists_that_are_none(house: Provider, upstream: Upstream, behaviour: str, words: str) -> None:
    upstream.behave(behaviour)
    refreshed = refresh_models(house)
    assert words in refreshed.problem
    assert "test-key" not in refreshed.problem
    assert models(house) == {}


def test_a_key_is_sent_and_never_shown(upstream: Upstream) -> None:
    provider = make_provider("Locked", kind="vllm", base_url=upstream.base_url, secret="test-key-abcdefghijkl")
    refresh_models(provider)
    assert upstream.requests[-1].headers["authorization"] == "Bearer test-key-abcdefghijkl"
    assert "test-key-abcdefghijkl" not in repr(target_of(provider))


def test_kinds_that_need_a_key_say_that_it_is_missing() -> None:
    provider = make_provider("Cloud", kind="openai")
    assert refresh_models(provider).problem == KEY_MISSING
    provider.refresh_from_db()
    assert provider.inactive_reason == KEY_MISSING


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    provider = make_provider("Cloud", kind="openai")
    Credential.objects.create(provider=provider, variable="SOME_KEY")
    assert refresh_models(provider).problem == "The environment variable SOME_KEY is not set."


def test_a_format_that_is_not_spoken_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ADAPTERS, Wire.ANTHROPIC)  # type: ignore[arg-type]
    provider = make_provider("Claude", kind="anthropic", secret="test-key-abcdefghijkl")
    assert refresh_models(provider).problem == NOT_SPOKEN


def test_addresses_inside_are_not_for_the_cloud(upstream: Upstream) -> None:
    provider = make_provider("Sly", kind="custom", base_url=upstream.base_url)
    before = upstream.connections
    assert "not allowed" in refresh_models(provider).problem
    assert upstream.connections == before
    provider.refresh_from_db()
    assert provider.inactive_reason


def test_a_kind_without_a_list_has_the_models_its_options_name() -> None:
    provider = make_provider(
        "Azure",
        kind="azure-openai",
        base_url="https://x.example",
        secret="test-key-abcdefghijkl",
        options={"deployment": "gpt-4o-deployment"},
    )
    assert list_models(target_of(provider)) is None
    assert refresh_models(provider).added == ("gpt-4o-deployment",)
    assert models(provider) == {"gpt-4o-deployment": (False, True)}
    assert not refresh_models(provider).changed


def test_the_pretend_vendor_lists_what_its_catalogue_has() -> None:
    provider = make_provider("Demo", kind="demo")
    refresh_models(provider)
    assert provider.models.get(model_id="relay-1").name == "Relay 1"
    assert provider.models.get(model_id="relay-1-embed").use == LanguageModel.Use.EMBEDDING
    prices = {price.model_id: price for price in declared_prices(provider)}
    assert str(prices["relay-1-paid"].output_per_million) == "10.00"


def test_servers_of_our_own_cost_nothing_by_declaration(house: Provider) -> None:
    refresh_models(house)
    assert [(price.model_id, price.input_per_million) for price in declared_prices(house)] == [
        ("alpha", 0),
        ("beta", 0),
    ]


# -- crossing over to the loop ------------------------------------------------------------------


def test_calls_from_many_threads_share_one_loop(house: Provider) -> None:
    target = target_of(house)
    counted: list[Any] = []
    threads = [threading.Thread(target=lambda: counted.append(list_models(target))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(one) for one in counted] == [2] * 8
    assert sum(thread.name == "connector" for thread in threading.enumerate()) == 1


async def test_inside_a_running_worker_its_own_connector_is_used() -> None:
    worker = connector.Connector()
    await worker.start()

    async def which(it: connector.Connector) -> connector.Connector:
        return it

    assert await asyncio.to_thread(connector.call, which) is worker
    with pytest.raises(RuntimeError, match="await it instead"):
        connector.call(which)
    await worker.close()


def test_a_key_that_was_replaced_is_not_the_one_that_reads_the_list(upstream: Upstream) -> None:
    """The old one may be withdrawn at any time during the overlap; the provider goes on all the same."""
    house = make_provider("House", kind="vllm", base_url=upstream.base_url, secret="test-key-old-one")
    house.credentials.update(valid_until=timezone.now() + timedelta(hours=1))
    new = Credential(provider=house, name="new")
    new.keep("test-key-new-one")
    new.save()
    refresh_models(house)
    assert upstream.requests[-1].headers["authorization"] == "Bearer test-key-new-one"


def test_one_refused_key_of_several_does_not_take_the_provider_out(upstream: Upstream) -> None:
    house = make_provider("House", kind="vllm", base_url=upstream.base_url, secret="test-key-old-one")
    for name in ("second", "third"):
        key = Credential(provider=house, name=name)
        key.keep(f"test-key-{name}-one")
        key.save()
    refresh_models(house)
    upstream.behave("401")
    assert "key" in refresh_models(house).problem.lower()
    house.refresh_from_db()
    assert house.inactive_reason == ""
