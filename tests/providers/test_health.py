"""Checks against a real server that behaves and misbehaves: what is written, what is noted, who waits for whom."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from providers import connector, health
from providers.models import Credential, HealthCheck, Provider, current_revision
from providers.registry import KINDS
from tests.factories import make_provider
from tests.upstream import Upstream, refusing_url

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loop_thread")]


@pytest.fixture
def upstream(upstream: Upstream) -> Upstream:
    upstream.models = ["alpha"]
    Provider.objects.filter(kind="demo").update(enabled=False)
    return upstream


def provider_at(url: str, name: str = "House", **fields: Any) -> Provider:
    return make_provider(name, kind="vllm", base_url=url, **fields)


def add_key(provider: Provider, name: str, secret: str) -> Credential:
    key = Credential(provider=provider, name=name)
    key.keep(secret)
    key.save()
    return key


def checked() -> HealthCheck:
    """The one that was written, by a check that is due."""
    (row,) = health.check(timezone.now())
    assert HealthCheck.objects.get() == row
    return row


@pytest.mark.store
def test_a_good_answer_is_a_row_and_leaves_the_revision_alone(upstream: Upstream) -> None:
    provider_at(upstream.base_url, secret="test-key-good")
    before = current_revision()[0]
    row = checked()
    assert (row.ok, row.code, row.message) == (True, "", "")
    assert row.duration_ms is not None
    assert [(seen.method, seen.path) for seen in upstream.requests] == [("GET", "/v1/models")]
    assert upstream.requests[0].headers["authorization"] == "Bearer test-key-good"
    assert current_revision()[0] == before


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        ("500", "upstream_error"),
        ("503", "upstream_overloaded"),
        ("429", "rate_limit_exceeded"),
        ("html-200", "upstream_invalid_response"),
        ("error-200", "upstream_overloaded"),
        ("resets", "upstream_unreachable"),
        ("redirects", "upstream_invalid_response"),
    ],
)
def test_what_is_no_good_answer_is_a_failed_check(upstream: Upstream, behaviour: str, code: str) -> None:
    provider_at(upstream.base_url)
    upstream.behave(behaviour)
    row = checked()
    assert (row.ok, row.code) == (False, code)
    assert row.message


def test_a_server_that_is_not_there(upstream: Upstream) -> None:
    provider_at(refusing_url())
    row = checked()
    assert (row.ok, row.code) == (False, "upstream_unreachable")
    assert "refused the connection" in row.message


def test_a_silent_one_delays_nobody(upstream: Upstream) -> None:
    with Upstream() as other:
        other.models = ["alpha"]
        upstream.behave("silent")
        for number in range(5):
            provider_at(upstream.base_url, f"Silent {number}", timeout_seconds=1)
        good = provider_at(other.base_url, "Good")
        began = time.monotonic()
        rows = {row.provider_id: row for row in health.check(timezone.now())}
        assert time.monotonic() - began < 4.5  # one after the other they take five seconds
    silent = [row for number, row in rows.items() if number != good.pk]
    assert rows[good.pk].ok
    assert [row.code for row in silent] == ["upstream_timeout"] * 5


@pytest.mark.store
def test_a_refused_key_is_noted_and_the_note_goes_when_it_is_accepted(upstream: Upstream) -> None:
    provider = provider_at(upstream.base_url, secret="test-key-sec-0001")
    key = provider.credentials.get()
    upstream.behave("401")
    row = checked()
    key.refresh_from_db()
    assert (row.ok, row.code) == (False, "upstream_auth")
    assert key.problem
    assert "test-key-sec-0001" not in key.problem + row.message
    upstream.behave(None)
    before = current_revision()[0]
    health.check(timezone.now(), only=[provider.pk])
    key.refresh_from_db()
    assert key.problem == ""
    assert current_revision()[0] == before


def test_the_next_key_is_tried_when_one_is_refused(upstream: Upstream) -> None:
    provider = provider_at(upstream.base_url)
    keys = [add_key(provider, f"key {number}", f"test-key-{number:012}") for number in range(6)]
    upstream.behave("401")
    health.check(timezone.now())
    asked = {seen.headers["authorization"] for seen in upstream.requests}
    assert len(asked) == health.MOST_KEYS
    assert Credential.objects.exclude(problem="").count() == health.MOST_KEYS
    upstream.behave(None)
    upstream.requests.clear()
    at = timezone.now()
    for turn in range(len(keys)):  # each key has its turn
        health.check(at + turn * health.EVERY, only=[provider.pk])
    assert len({seen.headers["authorization"] for seen in upstream.requests}) == len(keys)


def test_keys_that_ended_or_are_off_are_not_used(upstream: Upstream) -> None:
    provider = provider_at(upstream.base_url)
    now = timezone.now()
    ended, off, good = (add_key(provider, name, f"test-key-{name}-0001") for name in ("ended", "off", "good"))
    ended.valid_until = now - timedelta(seconds=1)
    ended.save()
    off.enabled = False
    off.save()
    health.check(now)
    assert [seen.headers["authorization"] for seen in upstream.requests] == ["Bearer test-key-good-0001"]
    assert good.problem == ""


@pytest.mark.parametrize(
    ("kind", "fields", "reason"),
    [
        ("openai", {}, "API key missing"),
        ("github-models", {"secret": "test-key-0001"}, KINDS["github-models"].retired),
        ("custom", {}, "The address is missing."),
        ("no-such-kind", {}, "This kind of provider is not known."),
    ],
)
def test_what_is_known_without_asking_is_not_asked(
    upstream: Upstream, kind: str, fields: dict[str, Any], reason: str
) -> None:
    provider = make_provider("Idle", kind=kind, **fields)
    assert health.unasked_because(provider, timezone.now()) == reason
    assert health.check(timezone.now()) == []
    assert not HealthCheck.objects.exists()


def test_a_variable_that_is_not_set_and_a_key_that_ended(upstream: Upstream, monkeypatch: Any) -> None:
    provider = make_provider("Groq", kind="groq")
    key = Credential.objects.create(provider=provider, variable="TEST_GROQ_KEY")
    monkeypatch.delenv("TEST_GROQ_KEY", raising=False)
    now = timezone.now()
    assert health.unasked_because(provider, now) == "The environment variable TEST_GROQ_KEY is not set."
    monkeypatch.setenv("TEST_GROQ_KEY", "test-key-0001")
    assert health.unasked_because(provider, now) == ""
    key.valid_until = now
    key.save()
    assert health.unasked_because(Provider.objects.get(pk=provider.pk), now) == "its API key has ended"


def test_a_kind_with_nothing_cheap_to_ask_is_only_reached(upstream: Upstream, monkeypatch: Any) -> None:
    """Without the key, and whatever it answers, short of saying that it broke."""
    monkeypatch.setattr("django.conf.settings.PRIVATE_NETWORKS", ["127.0.0.0/8"])
    connector.hang_up()  # the next loop thread reads the settings anew
    make_provider("GLM", kind="zhipu", base_url=upstream.base_url, secret="test-key-0001")
    upstream.behave("404")
    row = checked()
    assert (row.ok, row.code) == (True, health.ADDRESS_ONLY)
    assert "authorization" not in upstream.requests[0].headers
    upstream.behave("503")
    HealthCheck.objects.all().delete()
    assert not checked().ok
    connector.hang_up()


def test_an_empty_purse_is_not_healthy(upstream: Upstream, monkeypatch: Any) -> None:
    from tests import misbehaviour

    said = misbehaviour.refuses(200, b'{"is_available": false, "balance_infos": []}')
    monkeypatch.setitem(misbehaviour.BEHAVIOURS, "no balance", said)
    monkeypatch.setattr("django.conf.settings.PRIVATE_NETWORKS", ["127.0.0.0/8"])
    connector.hang_up()
    make_provider("DeepSeek", kind="deepseek", base_url=upstream.url, secret="test-key-0001")
    upstream.behave("no balance")
    row = checked()
    assert (row.ok, row.code) == (False, "upstream_quota")
    connector.hang_up()


@pytest.mark.store
def test_two_clocks_do_no_harm(upstream: Upstream) -> None:
    provider_at(upstream.base_url)
    now = timezone.now()
    assert len(health.check(now)) == 1
    assert health.check(now) == []
    assert len(health.check(now + health.EVERY)) == 1
    assert len(upstream.requests) == 2


def test_those_that_are_off_are_not_asked(upstream: Upstream) -> None:
    provider_at(upstream.base_url, enabled=False)
    assert health.check(timezone.now()) == []
    assert not upstream.requests


def test_the_pretend_vendor_is_asked_like_any_other(upstream: Upstream) -> None:
    Provider.objects.filter(kind="demo").delete()
    make_provider("Demo", kind="demo")
    assert checked().ok
