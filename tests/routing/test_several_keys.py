"""Several keys of one provider behind the gateway: shared by weight, and another at once when one is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from providers.chat import ChatRequest
from providers.errors import BadCredentials
from providers.models import Credential, Provider
from routing.attempts import Attempt
from tests import misbehaviour
from tests.routing.gate import Gate, connect
from tests.upstream import Exchange, Upstream

GOOD, OTHER, REFUSED, LIMITED = (f"test-key-{name}-0000" for name in ("good", "other", "refused", "limited"))


async def by_key(it: Exchange) -> None:
    """What comes of a call is decided by the key it is made with."""
    told = {f"Bearer {REFUSED}": "401", f"Bearer {LIMITED}": "429"}
    await misbehaviour.BEHAVIOURS[told.get(it.seen.headers.get("authorization", ""), "ok")](it)


@pytest.fixture(scope="module")
def provider(gate: Gate) -> Iterator[Provider]:
    misbehaviour.BEHAVIOURS["by-key"] = by_key
    yield connect("Keys", "http://127.0.0.1:1/v1", ["by-key"])
    del misbehaviour.BEHAVIOURS["by-key"]


@pytest.fixture
def keys(gate: Gate, provider: Provider, first: Upstream) -> Iterator[list[str]]:
    """Which keys its requests came with."""
    Provider.objects.filter(pk=provider.pk).update(base_url=first.base_url)
    seen = len(first.requests)

    class Seen(list[str]):
        def now(self) -> list[str]:
            chats = [request for request in first.requests[seen:] if request.model == "by-key"]
            return [request.headers["authorization"].removeprefix("Bearer ") for request in chats]

    yield Seen()
    Credential.objects.filter(provider=provider).delete()


def give(gate: Gate, provider: Provider, *secrets: str, **fields: object) -> list[Credential]:
    made = []
    for number, secret in enumerate(secrets):
        key = Credential(provider=provider, name=f"key {number}", **fields)
        key.keep(secret)
        key.save()
        made.append(key)
    gate.refresh()
    return made


@pytest.mark.parametrize("bad", [REFUSED, LIMITED])
@pytest.mark.parametrize("stream", [False, True])
def test_another_key_is_tried_at_once(gate: Gate, provider: Provider, keys: object, bad: str, stream: bool) -> None:
    made = give(gate, provider, bad, GOOD)
    Credential.objects.filter(pk=made[0].pk).update(weight=1000)
    made[1].save()
    gate.refresh()
    answers = [gate.chat("keys:by-key", stream=stream) for _ in range(4)]
    assert [answer.status for answer in answers] == [200] * 4
    used = keys.now()  # type: ignore[attr-defined]
    assert used[:2] == [bad, GOOD]
    records = gate.records(answers[0].request_id)
    assert [attempt.credential_id for attempt in records.attempts] == [made[0].pk, made[1].pk]
    assert [attempt.billed for attempt in records.attempts] == ["voided", "provider"]
    assert len(records.entries) == 1


def test_with_no_other_key_the_refusal_is_the_answer(gate: Gate, provider: Provider, keys: object) -> None:
    give(gate, provider, REFUSED, REFUSED)
    answer = gate.chat("keys:by-key")
    assert (answer.status, answer.error["code"]) == (502, "upstream_auth")
    assert len(gate.records(answer.request_id).attempts) == 2


def test_keys_share_the_requests(gate: Gate, provider: Provider, keys: object) -> None:
    give(gate, provider, GOOD, OTHER)
    for _ in range(30):
        assert gate.chat("keys:by-key").status == 200
    assert set(keys.now()) == {GOOD, OTHER}  # type: ignore[attr-defined]  # by chance alone, 1 in 5e8


def test_a_key_that_has_ended_is_not_used(gate: Gate, provider: Provider, keys: object) -> None:
    """Neither when the snapshot knows it, nor when it was made while the key still lasted."""
    (key,) = give(gate, provider, GOOD, valid_until=timezone.now() - timedelta(seconds=1))
    answer = gate.chat("keys:by-key")
    assert (answer.status, answer.error["code"]) == (503, "no_usable_provider")
    assert "its API key has ended" in answer.error["message"]
    key.valid_until = timezone.now() + timedelta(days=1)
    key.save()
    gate.refresh()
    model = gate.worker.snapshots.current.models["keys", "by-key"]
    (entry,) = model.provider.credentials
    over = replace(model, provider=replace(model.provider, credentials=(replace(entry, valid_until=1.0),)))
    with pytest.raises(BadCredentials, match="has ended"):
        Attempt(gate.worker.connector, ChatRequest({}), over)
    assert keys.now() == []  # type: ignore[attr-defined]


def test_a_key_that_cannot_be_opened_gives_way_to_another(gate: Gate, provider: Provider, keys: object) -> None:
    broken, good = give(gate, provider, GOOD, OTHER)
    Credential.objects.filter(pk=broken.pk).update(sealed=good.sealed, weight=1000)  # of another row
    good.save()
    gate.refresh()
    assert [gate.chat("keys:by-key").status for _ in range(3)] == [200] * 3
    assert set(keys.now()) == {OTHER}  # type: ignore[attr-defined]
