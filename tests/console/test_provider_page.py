"""The page of one provider: its tabs, what may be changed there, the trial, and the six steps of bringing it in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.hours import BOUNDS
from billing.models import Organisation, ProviderHour, Team
from billing.terms import Bounds
from console import trials
from console.figures import figures_of, uses_of
from console.models import AuditEntry, User
from providers import connector, discovery
from providers.models import LanguageModel, ModelAlias, Provider
from providers.registry import KINDS
from routing import circuits
from routing.breaker import Change
from routing.compiler import compile_snapshot
from tests.factories import make_model, make_price, make_provider, make_team
from tests.upstream import Upstream, refusing_url

HTMX = {"HX-Request": "true"}
TABS = ("", "models/", "limits/", "credentials/", "activity/")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    connector.hang_up()
    with Upstream() as server:
        yield server
    connector.hang_up()


@pytest.fixture
def client(adam: Any, signed_in: Any) -> Any:
    return signed_in(adam)


@pytest.fixture
def provider(db: None) -> Provider:
    provider = make_provider("House", kind="vllm", base_url="http://127.0.0.1:1/v1", secret="test-key-house-01")
    make_price(make_model(provider, "small"))
    make_model(provider, "big", active=False)
    return provider


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize(
    ("who", "sees", "changes"), [("adam", True, True), ("vera", True, False), ("dana", False, False)]
)
def test_tabs_are_seen_by_whoever_may(
    request: Any, signed_in: Any, provider: Provider, tab: str, who: str, sees: bool, changes: bool
) -> None:
    answer = signed_in(request.getfixturevalue(who)).get(f"/providers/house/{tab}")
    assert answer.status_code == (200 if sees else 403)
    page = answer.content.decode()
    assert ("You can look, not change" in page) == (sees and not changes)
    assert "test-key-house-01" not in page


@pytest.mark.parametrize("path", ["settings/", "address/", "teams/", "trial/", "limits/", "models/change/"])
def test_whoever_only_looks_changes_nothing(vera: Any, signed_in: Any, provider: Provider, path: str) -> None:
    assert signed_in(vera).post(f"/providers/house/{path}", {"offer": "off"}).status_code == 403


def test_a_provider_that_is_not_there(client: Any) -> None:
    assert client.get("/providers/nobody/").status_code == 404


def test_after_a_rename_the_old_address_leads_to_the_new_one(client: Any, provider: Provider) -> None:
    answer = client.post("/providers/house/settings/", {"name": "Big House", "priority": "5"})
    assert answer["Location"] == "/providers/big-house/"
    provider.refresh_from_db()
    assert (provider.name, provider.slug, provider.priority) == ("Big House", "big-house", 5)
    moved = client.get("/providers/house/")
    assert (moved.status_code, moved["Location"]) == (301, "/providers/big-house/")
    assert client.get("/providers/house/models/").status_code == 200
    assert compile_snapshot().slugs["house"] == "big-house"


@pytest.mark.parametrize("name", ["", "Other", "other", "日本", "add"])
def test_a_name_that_is_taken_or_makes_no_address(client: Any, provider: Provider, name: str) -> None:
    make_provider("Other", kind="vllm")
    answer = client.post("/providers/house/settings/", {"name": name, "priority": "5"})
    assert answer.status_code == 422
    provider.refresh_from_db()
    assert provider.name == "House"


def test_limits_are_those_the_gateway_keeps(client: Any, provider: Provider) -> None:
    fields = {
        "connect_seconds": "2.5",
        "first_event_seconds": "20",
        "idle_seconds": "",
        "timeout_seconds": "90",
        "max_tokens": "500",
        "temperature": "0.2",
    }
    assert client.post("/providers/house/limits/", fields).status_code == 302
    entry = compile_snapshot().providers["house"]
    assert entry.timeout_seconds == 90
    assert entry.options == {"connect_seconds": 2.5, "first_event_seconds": 20, "max_tokens": 500, "temperature": 0.2}
    from routing.attempts import IDLE_SECONDS, limits_of

    limits = limits_of(entry, 100.0, 60.0)
    assert (limits.connect, limits.first_byte, limits.idle) == (2.5, 20, IDLE_SECONDS)
    assert AuditEntry.objects.get(verb="change").content["after"]["timeout_seconds"] == 90


def test_what_a_provider_is_asked_at_most(client: Any, provider: Provider) -> None:
    fields = {
        "timeout_seconds": "90",
        "requests_per_minute": "60",
        "tokens_per_minute": "100000",
        "concurrency": "0",
        "circuit_failures": "2",
        "circuit_seconds": "7.5",
    }
    assert client.post("/providers/house/limits/", fields).status_code == 302
    entry = compile_snapshot().providers["house"]
    assert entry.bounds == Bounds("provider", provider.pk, 60, 100_000, 0)
    assert entry.rules is not None
    assert (entry.rules.in_a_row, entry.rules.first_seconds) == (2, 7.5)
    after = AuditEntry.objects.get(verb="change").content["after"]
    assert (after["requests_per_minute"], after["tokens_per_minute"], after["concurrency"]) == (60, 100_000, 0)
    page = client.get("/providers/house/limits/").content.decode()
    assert "2 failures in a row open it" in page
    assert "after 7.5 s" in page
    client.post("/providers/house/limits/", {"timeout_seconds": "90"})
    entry = compile_snapshot().providers["house"]
    assert (entry.bounds, entry.rules) == (None, None)


def test_who_may_not_change_limits_reads_them(provider: Provider, signed_in: Any, vera: User) -> None:
    Provider.objects.filter(pk=provider.pk).update(requests_per_minute=6000)
    page = signed_in(vera).get("/providers/house/limits/").content.decode()
    assert "6,000" in page
    assert "<dt>Failures in a row</dt><dd>5</dd>" in page


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timeout_seconds", "0"),
        ("connect_seconds", "soon"),
        ("temperature", "3"),
        ("requests_per_minute", "-1"),
        ("tokens_per_minute", "1e5"),
        ("circuit_failures", "0"),
        ("circuit_seconds", "0.5"),
    ],
)
def test_limits_that_are_none(client: Any, provider: Provider, field: str, value: str) -> None:
    assert client.post("/providers/house/limits/", {"timeout_seconds": "90", field: value}).status_code == 422


def test_models_are_offered_everywhere_only_as_fallback_or_not(client: Any, provider: Provider) -> None:
    pks = list(provider.models.values_list("pk", flat=True))
    for offer, active, fallback in (("fallback", True, True), ("off", False, False), ("everywhere", True, False)):
        client.post("/providers/house/models/change/", {"offer": offer, "model": pks})
        assert set(provider.models.values_list("active", "only_as_fallback")) == {(active, fallback)}
    assert client.post("/providers/house/models/change/", {"offer": "sometimes"}).status_code == 404


def test_the_list_of_models_is_read_again(client: Any, provider: Provider, upstream: Upstream) -> None:
    upstream.models = ["small", "fresh"]
    Provider.objects.filter(pk=provider.pk).update(base_url=upstream.base_url)
    page = client.post("/providers/house/models/read/", follow=True).content.decode()
    assert "1 new, 0 gone" in page
    assert LanguageModel.objects.get(provider=provider, model_id="fresh").prices.exists()


def test_one_team_first(client: Any, provider: Provider, research: Any) -> None:
    other = make_team("Legal")
    client.post("/providers/house/teams/", {"teams": [str(research.pk)]})
    snapshot = compile_snapshot()
    assert snapshot.providers["house"].only_teams == {research.pk}
    assert snapshot.restricted
    from datetime import UTC, datetime

    from routing.asks import Ask
    from routing.decisions import Live
    from routing.engine import decide

    for team, problem in ((research.pk, None), (other.pk, 503)):
        decision = decide(Ask("r", "house:small", team_id=team), snapshot, Live(), now=datetime.now(UTC))
        assert (decision.problem.status if decision.problem else None) == problem
    assert "It is being tried" in client.get("/providers/house/").content.decode()
    page = client.post("/providers/house/teams/", {}, follow=True).content.decode()
    assert "answers everybody now" in page
    assert not compile_snapshot().restricted


def test_what_happened_is_told(client: Any, provider: Provider) -> None:
    client.post("/providers/house/settings/", {"name": "House", "priority": "7"})
    client.post(f"/providers/house/credentials/{provider.credentials.get().pk}/state/")
    page = client.get("/providers/house/activity/").content.decode()
    assert "priority: 100 &gt; 7" in page
    assert "deactivated the credential House: default" in page


# -- the trial ------------------------------------------------------------------------------------


def run(client: Any, model: str) -> None:
    """As the page does it: each step asks for the next one."""
    step = "plain"
    while step:
        answer = client.post("/providers/house/trial/", {"model": model, "step": step}, headers=HTMX)
        assert answer.status_code == 200
        step = answer.content.decode().partition('name="step" value="')[2].partition('"')[0]


def test_the_trial_takes_five_steps_and_keeps_what_came(client: Any, provider: Provider, upstream: Upstream) -> None:
    Provider.objects.filter(pk=provider.pk).update(base_url=upstream.base_url)
    make_model(provider, "ok")
    run(client, "ok")
    provider.refresh_from_db()
    steps = {step["name"]: step for step in provider.trial["steps"]}
    assert list(steps) == list(trials.STEPS)
    assert [name for name, step in steps.items() if step["ok"]] == ["plain", "stream", "unknown-model"]
    assert steps["tool"]["said"] == trials.NO_TOOL_CALL
    assert steps["count"]["said"].endswith("/ 9"), "our count beside the one reported"
    assert not trials.passed(provider.trial)
    assert AuditEntry.objects.get(verb="check").content["after"] == {"trial": "failed"}
    page = client.get("/providers/house/").content.decode()
    assert "It answered without calling the tool." in page
    assert "Last run with ok." in page


def test_without_scripts_the_trial_runs_at_once(client: Any, provider: Provider, upstream: Upstream) -> None:
    upstream.behave("tools")
    Provider.objects.filter(pk=provider.pk).update(base_url=upstream.base_url)
    assert client.post("/providers/house/trial/", {"model": "small"}).status_code == 302
    provider.refresh_from_db()
    assert {step["name"]: step["ok"] for step in provider.trial["steps"]}["tool"]


def test_a_trial_of_nobody_says_so(client: Any, provider: Provider) -> None:
    Provider.objects.filter(pk=provider.pk).update(base_url=refusing_url())
    client.post("/providers/house/trial/", {"model": "small"})
    provider.refresh_from_db()
    assert not any(step["ok"] for step in provider.trial["steps"])
    assert client.post("/providers/house/trial/", {"model": "no-such"}).status_code == 404


def test_the_six_steps_say_where_it_stands(client: Any, provider: Provider) -> None:
    from console.safely import steps_of

    assert [step.done for step in steps_of(provider)] == [False, True, False, False, False, False]
    provider.models_read_at = timezone.now()
    provider.trial = {"steps": [{"name": name, "ok": True, "said": "", "ms": 5} for name in trials.STEPS]}
    provider.save()
    client.post("/providers/house/teams/", {"teams": [str(make_team().pk)]})
    client.post("/providers/house/limits/", {"timeout_seconds": "90"})
    assert [step.key for step in steps_of(Provider.objects.get(pk=provider.pk)) if not step.done] == [
        "watched",
        "adjusted",
    ]
    client.post("/providers/house/teams/", {})
    assert [step.key for step in steps_of(Provider.objects.get(pk=provider.pk)) if not step.done] == ["watched"]
    page = client.get("/providers/house/").content.decode()
    assert "5 of 6 done" in page


# -- servers that are found ------------------------------------------------------------------------


def test_servers_of_our_own_are_found_where_they_answer(upstream: Upstream) -> None:
    upstream.models = ["one", "two"]
    vllm, studio = KINDS["vllm"], KINDS["lmstudio"]
    found = discovery.look([(studio, refusing_url()), (vllm, upstream.base_url), (vllm, f"{upstream.url}/again")])
    assert found == [discovery.Server("vllm", upstream.base_url, 2)]
    upstream.behave("html-200")
    assert discovery.look([(vllm, upstream.base_url)]) == []


def test_only_this_machine_is_looked_at() -> None:
    hosts = {address.split("/")[2].split(":")[0] for _kind, address in discovery.places()}
    assert hosts == {"localhost", "host.docker.internal"}
    assert {kind.place.value for kind, _address in discovery.places()} == {"local"}


def test_what_is_found_is_offered_once(client: Any, upstream: Upstream) -> None:
    from django.core.cache import cache

    upstream.models = ["one"]
    cache.set(discovery.CACHE_KEY, [{"kind": "lmstudio", "base_url": upstream.base_url, "models": 1}], 60)
    page = client.get("/providers/add/discover/").content.decode()
    assert "LM Studio found on this machine" in page
    assert "1 model" in page
    form = client.get(page.partition('class="btn sm" href="')[2].partition('"')[0]).content.decode()
    assert f'value="{upstream.base_url}"' in form
    make_provider("LM Studio", kind="lmstudio", base_url=upstream.base_url)
    assert "found on this machine" not in client.get("/providers/add/discover/").content.decode()


# -- figures ----------------------------------------------------------------------------------------


def hour(provider: Provider, at: Any, attempts: int, failures: int, nano: int) -> None:
    tokens = [0] * (len(BOUNDS) + 1)
    tokens[BOUNDS.index(400)] = attempts - failures
    ProviderHour.objects.create(
        provider_id=provider.pk,
        hour=at,
        attempts=attempts,
        failures=failures,
        first_tokens=tokens,
        amounts={"EUR": nano},
    )


def test_thirty_days_of_calls_are_drawn(client: Any, provider: Provider) -> None:
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    for back in range(40):
        hour(provider, now - timedelta(days=back), 10, 9 if back == 0 else 0, 1_000_000_000)
    told = figures_of(provider, now)
    assert told["failed_today"] == 0.9
    assert told["failed_usually"] == pytest.approx(9 / 300)
    assert 350 < told["median_ms"] <= 400
    assert told["strip"].count("<i") == 30
    assert told["strip"].count('class="b"') == 1
    assert told["calls_month"] == 10 * len({now.day, *range(1, timezone.localtime(now).day + 1)})
    page = client.get("/providers/house/").content.decode()
    assert "Median time to the first token" in page
    assert "of attempts succeeded" in page


def test_without_calls_and_checks_nothing_is_drawn(client: Any, provider: Provider) -> None:
    assert figures_of(provider, timezone.now()) == {}
    assert "No call and no check yet" in client.get("/providers/house/").content.decode()


def test_it_says_what_relies_on_it(client: Any, provider: Provider, research: Any) -> None:
    ModelAlias.objects.create(name="fast", model=provider.models.get(model_id="small"))
    Team.objects.filter(pk=research.pk).update(default_model="fast")
    Organisation.objects.update(default_model="house:small")
    assert [use.name for use in uses_of(provider)][:2] == ["fast", "Research"]
    provider.rename("Elsewhere")
    assert len(uses_of(provider)) == 3, "the old name still leads here"


# -- circuits ---------------------------------------------------------------------------


def test_a_circuit_is_opened_and_closed_by_hand(client: Any, provider: Provider) -> None:
    page = client.get("/providers/house/limits/").content.decode()
    assert 'aria-current="step"' in page
    assert "A model that fails is left alone" in page
    answer = client.post("/providers/house/circuit/open/", {"model": "small"}, follow=True)
    page = answer.content.decode()
    assert "held open by hand" in page
    assert "1 model is left alone" in page
    client.post("/providers/house/circuit/close/", {"target": "house:small"})
    assert "held open by hand" not in client.get("/providers/house/limits/").content.decode()
    told = [entry.content["after"]["circuit"] for entry in AuditEntry.objects.order_by("id") if entry.content]
    assert told[-2:] == ["house:small: open", "house:small: closed"]


def test_one_that_opened_by_itself_says_why(client: Any, provider: Provider) -> None:
    now = timezone.now().timestamp()
    circuits.exchange([Change("house:small", now, now + 60, "House: it is <busy>")])
    page = client.get("/providers/house/limits/").content.decode()
    assert "House: it is &lt;busy&gt;" in page
    assert "tried again at" in page


@pytest.mark.parametrize(
    ("path", "posted"), [("open/", {"model": "nothing"}), ("close/", {"target": "another:small"}), ("close/", {})]
)
def test_circuits_of_others_are_out_of_reach(
    client: Any, provider: Provider, path: str, posted: dict[str, str]
) -> None:
    assert client.post(f"/providers/house/circuit/{path}", posted).status_code == 404


def test_whoever_may_only_look_opens_no_circuit(signed_in: Any, vera: Any, provider: Provider) -> None:
    client = signed_in(vera)
    assert client.post("/providers/house/circuit/open/", {"model": "small"}).status_code == 403
    assert "Open its circuit" not in client.get("/providers/house/limits/").content.decode()


def test_a_circuit_held_open_goes_with_its_provider_under_another_name(client: Any, provider: Provider) -> None:
    circuits.hold("house:small", "maintenance", None)
    client.post("/providers/house/settings/", {"name": "Mansion", "priority": "100"})
    assert [row.target for row in circuits.of_provider("mansion")] == ["mansion:small"]
    assert circuits.of_provider("house") == []


def test_a_provider_is_not_called_like_a_page(db: None) -> None:
    assert make_provider("Add", kind="vllm", base_url="http://127.0.0.1:1/v1").slug == "add-provider"
