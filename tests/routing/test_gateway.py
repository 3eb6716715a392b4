"""One call on its way, without HTTP before it: decisions, attempts, waits, ends, and what the journal has of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from billing.costs import Rates
from billing.journal import Journal
from billing.ledger import Ledger
from billing.lines import Damaged, records_in
from billing.records import Finished, Opened, Payer, Record, Settled
from providers import vault
from providers.chat import ChatRequest, TextDelta
from providers.connector import Connector
from providers.errors import Interrupted, ProviderError
from providers.registry import KINDS
from routing import worker
from routing.callers import Caller, KeyBook
from routing.edge import Edge
from routing.gateway import Call, Gateway, Refusal
from routing.keys import hash_secret
from routing.retries import Policy
from routing.snapshot import CredentialEntry, ModelEntry, ProviderEntry, Snapshot
from tests.upstream import Upstream

PAYER = Payer("api", 1, None, 7)
TEXT = "Hello from upstream."
RATES = Rates(5, "EUR", Decimal(1), Decimal(2))
TIMES = {"connect_seconds": 0.5, "first_event_seconds": 0.5, "idle_seconds": 0.5}


class Still:
    """A snapshot that nobody changes."""

    def __init__(self, current: Snapshot) -> None:
        self.current = current
        self.refreshed = 0

    async def refresh(self) -> None:
        self.refreshed += 1


def request(*, stream: bool = False, **fields: Any) -> ChatRequest:
    told = {"messages": [{"role": "user", "content": "Hello"}]} | fields
    return ChatRequest({name: msgspec.Raw(json.dumps(value).encode()) for name, value in told.items()}, stream=stream)


def snapshot_of(*models: ModelEntry) -> Snapshot:
    by_model_id: dict[str, tuple[ModelEntry, ...]] = {}
    for model in models:
        by_model_id[model.model_id] = (*by_model_id.get(model.model_id, ()), model)
    providers = {model.provider.slug: model.provider for model in models}
    return Snapshot(
        revision=3,
        providers=providers,
        slugs={slug: slug for slug in providers},
        models={(model.provider.slug, model.model_id): model for model in models},
        by_model_id=by_model_id,
    )


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(3):
        while not condition():  # noqa: ASYNC110 - of things that tell nobody when they change
            await asyncio.sleep(0.01)


class Bench:
    """A gateway with a real connector and a real journal, and two providers at one pretend vendor."""

    def __init__(self, folder: Path, upstream: Upstream, **more: Any) -> None:
        self.folder = folder
        self.provider = ProviderEntry(
            1, "a", "A", KINDS["vllm"], upstream.base_url, 10, options=TIMES, timeout_seconds=3.0
        )
        self.other = replace(self.provider, id=2, slug="b", name="B")
        self.journal = Journal.open(folder, "bench")
        self.connector = Connector()
        self.gateway = Gateway(
            port=self.connector,
            ledger=Ledger(self.journal),
            snapshots=Still(snapshot_of()),
            **({"retries": Policy(base_seconds=0.01)} | more),
        )

    def serve(self, *names: str, providers: tuple[ProviderEntry, ...] = (), **more: Any) -> None:
        entries = [
            ModelEntry(number, provider, name, prices=(RATES,), **more)
            for provider in providers or (self.provider,)
            for number, name in enumerate(names)
        ]
        self.gateway.snapshots = Still(snapshot_of(*entries))

    def call(self, model: str, *, stream: bool = False, **more: Any) -> Call:
        return self.gateway.call(request(stream=stream), PAYER, model=model, **more)

    def records(self) -> list[Record]:
        found: list[Record] = []
        for file in sorted((self.folder / "bench").glob("*.journal")):
            for record in records_in(file.read_bytes()):
                assert not isinstance(record, Damaged)
                found.append(record)
        return found

    def told(self) -> list[str]:
        """The journal in short."""
        words = []
        for record in self.records():
            match record:
                case Opened():
                    words.append(f"opened {record.provider}:{record.model}")
                case Settled():
                    words.append(f"settled {record.billed}")
                case Finished():
                    words.append(f"finished {record.status} {record.error_code}".strip())
        return words

    async def at_rest(self) -> None:
        await until(lambda: (self.connector.open, self.gateway.in_flight, self.gateway.waiting) == (0, 0, 0))


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    with Upstream() as made:
        yield made


@pytest.fixture
async def bench(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Bench]:
    made = Bench(tmp_path / "journal", upstream)
    await made.connector.start()
    yield made
    await made.at_rest()
    await made.connector.close()
    made.journal.close()


async def text_of(call: Call) -> str:
    return "".join([event.text async for events in call for event in events if isinstance(event, TextDelta)])


# -- answered --------------------------------------------------------------------------


async def test_a_plain_call_is_written_before_and_after(bench: Bench) -> None:
    bench.serve("ok")
    async with bench.call("a:ok", client_request_id="mine") as call:
        answer = await call.answer()
    assert answer.text == TEXT
    assert bench.told() == ["opened a:ok", "settled provider", "finished ok"]
    opened, settled, finished = bench.records()
    assert isinstance(opened, Opened)
    assert isinstance(settled, Settled)
    assert isinstance(finished, Finished)
    assert opened.attempt_id == f"{call.request_id}-1"
    assert settled.opened == opened
    assert settled.amount_nano == 9 * 1000 + 4 * 2000
    assert opened.reserved_nano is not None
    assert opened.reserved_nano >= settled.amount_nano
    assert (opened.revision, opened.currency, opened.price_id, opened.payer) == (3, "EUR", 5, PAYER)
    assert (finished.client_request_id, finished.provider, finished.attempts) == ("mine", "a", 1)
    assert (call.amount_nano, call.currency) == (settled.amount_nano, "EUR")


async def test_a_stream_is_settled_before_its_end_is_given_out(bench: Bench) -> None:
    bench.serve("ok")
    async with bench.call("a:ok", stream=True) as call:
        await call.open()
        assert bench.told() == ["opened a:ok"]
        assert call.first_token_ms is not None
        assert await text_of(call) == TEXT
        assert bench.told() == ["opened a:ok", "settled provider", "finished ok"]
        assert call.usage is not None
        assert call.usage.total == 13
    assert len(bench.records()) == 3


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({}, 50),
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 9, "max_tokens": 7}, 9),
        ({"max_completion_tokens": None, "max_tokens": 7}, 7),
        ({"max_tokens": 7, "n": 3}, 21),
    ],
)
async def test_the_worst_case_is_reserved(bench: Bench, fields: dict[str, Any], output: int) -> None:
    bench.serve("ok", max_output=50)
    async with bench.gateway.call(request(**fields), PAYER, model="a:ok") as call:
        await call.answer()
    opened = bench.records()[0]
    assert isinstance(opened, Opened)
    assert opened.reserved_nano == opened.input_estimate * 1000 + output * 2000


async def test_a_model_without_a_price_is_booked_without_an_amount(bench: Bench) -> None:
    bench.gateway.snapshots = Still(snapshot_of(ModelEntry(1, bench.provider, "ok")))
    async with bench.call("a:ok") as call:
        await call.answer()
    opened, settled, _ = bench.records()
    assert isinstance(opened, Opened)
    assert isinstance(settled, Settled)
    assert (opened.reserved_nano, opened.price_id) == (None, None)
    assert (settled.amount_nano, settled.billed) == (None, "provider")


# -- refused without an attempt ------------------------------------------------------------


async def test_an_unknown_model_is_recorded_and_nothing_is_sent(bench: Bench, upstream: Upstream) -> None:
    bench.serve("ok")
    with pytest.raises(Refusal) as caught:
        async with bench.call("nothing") as call:
            await call.answer()
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")
    assert bench.told() == ["finished failed model_not_found"]
    assert upstream.requests == []


async def test_a_name_that_a_list_brings_is_asked_for_once_more(bench: Bench) -> None:
    asked = []

    async def relist(model: str) -> bool:
        asked.append(model)
        bench.serve("ok")
        return True

    bench.serve("another")
    bench.gateway._relist = relist
    async with bench.call("a:ok") as call:
        assert (await call.answer()).text == TEXT
    assert asked == ["a:ok"]


# -- tried again ------------------------------------------------------------------------------


async def test_the_same_target_is_asked_three_times_in_all(bench: Bench, upstream: Upstream) -> None:
    bench.serve("500")
    with pytest.raises(Refusal) as caught:
        async with bench.call("a:500") as call:
            await call.answer()
    assert (caught.value.status, caught.value.spent, caught.value.retryable) == (502, True, True)
    assert len(upstream.chats) == 3
    assert bench.told() == [*(["opened a:500", "settled voided"] * 3), "finished failed upstream_error"]
    assert [record.attempt_id[-2:] for record in bench.records() if isinstance(record, Opened)] == ["-1", "-2", "-3"]


async def test_waits_are_drawn(tmp_path: Path, bench: Bench, upstream: Upstream) -> None:
    draws = iter([0.0, 0.5])
    bench.gateway.draw = lambda: next(draws)
    bench.gateway.retries = Policy(base_seconds=0.2)
    bench.serve("500")
    with pytest.raises(Refusal):
        async with bench.call("a:500") as call:
            await call.answer()
    first, second, third = (seen.at for seen in upstream.chats)
    assert second - first < 0.15  # 0.0 of 0.2 s
    assert 0.2 <= third - second < 0.4  # 0.5 of 0.4 s


async def test_nobody_waits_when_too_many_wait(bench: Bench, upstream: Upstream) -> None:
    bench.serve("500")
    bench.gateway.waiting = 3
    try:
        with pytest.raises(Refusal):
            async with bench.call("a:500") as call:
                await call.answer()
    finally:
        bench.gateway.waiting = 0
    assert len(upstream.chats) == 1


async def test_no_wait_outlives_the_deadline(bench: Bench, upstream: Upstream) -> None:
    bench.provider = replace(bench.provider, timeout_seconds=0.5)
    bench.serve("429-soon")
    with pytest.raises(Refusal) as caught:
        async with bench.call("a:429-soon") as call:
            await call.answer()
    assert (caught.value.status, caught.value.retry_after) == (429, 1.0)
    assert len(upstream.chats) == 1


async def test_a_silent_provider_leaves_time_for_the_next(bench: Bench, upstream: Upstream) -> None:
    """Without a limit of its own for the first event, it may use half of the time when one comes after it."""
    slow = replace(bench.provider, options={"connect_seconds": 0.5}, timeout_seconds=1.0)
    bench.serve("silent", providers=(slow, replace(bench.other, base_url=upstream.base_url)))
    began = asyncio.get_running_loop().time()
    with pytest.raises(Refusal) as caught:
        async with bench.call("silent") as call:
            await call.answer()
    assert caught.value.code == "upstream_timeout"
    assert call.attempts == 2
    assert asyncio.get_running_loop().time() - began < 1.5


async def answered(call: Call) -> None:
    async with call:
        await call.answer()


@pytest.mark.parametrize("change", [{"enabled": False}, {"inactive_reason": "broken"}, {"slug": "c"}])
async def test_who_was_switched_off_meanwhile_is_not_asked(
    bench: Bench, upstream: Upstream, change: dict[str, Any]
) -> None:
    bench.serve("silent", providers=(bench.provider, bench.other))
    asking = asyncio.create_task(answered(bench.call("silent")))
    await until(lambda: upstream.chats)
    bench.serve("silent", providers=(replace(bench.other, **change),))
    with pytest.raises(Refusal) as caught:
        await asking
    assert (caught.value.status, caught.value.code) == (503, "no_usable_provider")
    assert len(upstream.chats) == 1
    assert bench.told() == ["opened a:silent", "settled ambiguous", "finished failed no_usable_provider"]


async def test_a_key_that_was_replaced_meanwhile_is_not_sent(
    bench: Bench, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLD_KEY", "test-key-old")
    monkeypatch.setenv("NEW_KEY", "test-key-new")
    old = replace(bench.provider, credentials=(CredentialEntry(1, "u1", variable="OLD_KEY"),))
    new = replace(bench.provider, credentials=(CredentialEntry(2, "u2", variable="NEW_KEY"),))
    bench.gateway.retries = Policy(base_seconds=0.3)
    bench.gateway.draw = lambda: 1.0
    bench.serve("500", providers=(old,))
    asking = asyncio.create_task(answered(bench.call("a:500")))
    await until(lambda: bench.gateway.waiting)
    bench.serve("500", providers=(new,))
    with pytest.raises(Refusal):
        await asking
    sent = [seen.headers["authorization"] for seen in upstream.chats]
    assert sent == ["Bearer test-key-old", "Bearer test-key-new", "Bearer test-key-new"]


async def test_whoever_may_not_go_on_is_told_before_the_next_attempt(bench: Bench, upstream: Upstream) -> None:
    asked = []

    async def recheck() -> None:
        asked.append(len(upstream.chats))
        raise Refusal(401, "key_revoked", "This API key was revoked.", request_id="r")

    bench.serve("500")
    with pytest.raises(Refusal) as caught:
        async with bench.call("a:500", recheck=recheck) as call:
            await call.answer()
    assert (caught.value.code, asked, len(upstream.chats)) == ("key_revoked", [1], 1)
    assert bench.told() == ["opened a:500", "settled voided", "finished failed key_revoked"]


async def test_leaving_while_waiting_ends_the_wait(bench: Bench) -> None:
    bench.gateway.retries = Policy(base_seconds=60)
    bench.gateway.draw = lambda: 0.02
    bench.serve("500")

    async def ask() -> None:
        async with bench.call("a:500") as call:
            await call.answer()

    task = asyncio.create_task(ask())
    await until(lambda: bench.gateway.waiting)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.gateway.waiting == 0
    assert bench.told() == ["opened a:500", "settled voided", "finished cancelled client_left"]


# -- given up -----------------------------------------------------------------------------------


async def test_a_stream_left_in_the_middle_is_paid_for_what_came(bench: Bench, upstream: Upstream) -> None:
    bench.serve("long")
    async with bench.call("a:long", stream=True) as call:
        await call.open()
        async for _ in call:
            break
    assert bench.told() == ["opened a:long", "settled counted", "finished cancelled client_left"]
    await asyncio.to_thread(upstream.await_left)


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_cancelling_more_than_once_does_no_harm(bench: Bench, upstream: Upstream, times: int) -> None:
    bench.serve("long")

    async def read() -> None:
        async with bench.call("a:long", stream=True) as call:
            await call.open()
            async for _ in call:
                pass

    task = asyncio.create_task(read())
    await until(lambda: upstream.chats and upstream.chats[0].sent > 1000)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    await bench.at_rest()
    assert bench.told()[-1] == "finished cancelled client_left"
    assert len(bench.records()) == 3
    await asyncio.to_thread(upstream.await_left)


async def test_whoever_ends_a_call_for_a_reason_is_quoted(bench: Bench) -> None:
    bench.serve("long")

    async def interrupted() -> None:
        async with bench.call("a:long", stream=True) as call:
            await call.open()
            await anext(call)
            raise Interrupted("The server restarted.", code="server_restart")

    with pytest.raises(Interrupted):
        await interrupted()
    assert bench.told()[-1] == "finished interrupted server_restart"


async def test_an_interrupted_stream_raises_and_is_counted(bench: Bench) -> None:
    bench.serve("cuts")
    came: list[str] = []

    async def read() -> None:
        async with bench.call("a:cuts", stream=True) as call:
            await call.open()
            async for events in call:
                came.extend(event.text for event in events if isinstance(event, TextDelta))

    with pytest.raises(ProviderError) as caught:
        await read()
    assert caught.value.reason == "upstream_stream_interrupted"
    assert came == ["Hello", " from"]
    assert bench.told() == ["opened a:cuts", "settled counted", "finished interrupted upstream_stream_interrupted"]


# -- keys of providers ----------------------------------------------------------------------------


async def test_a_sealed_key_is_opened_for_the_request_only(bench: Bench, upstream: Upstream) -> None:
    uid = "7a1f6c1e-0000-4000-8000-000000000001"
    sealed = vault.seal("test-key-of-the-provider", "credential", uid, "secret")
    bench.provider = replace(bench.provider, credentials=(CredentialEntry(4, uid, sealed=sealed),))
    bench.serve("ok")
    async with bench.call("a:ok") as call:
        await call.answer()
    assert upstream.chats[0].headers["authorization"] == "Bearer test-key-of-the-provider"
    opened = bench.records()[0]
    assert isinstance(opened, Opened)
    assert opened.credential_id == 4
    assert not any(b"test-key" in file.read_bytes() for file in (bench.folder / "bench").glob("*.journal"))


async def test_a_key_from_the_environment_is_read_at_the_last_moment(
    bench: Bench, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY_OF_THIS_TEST", " test-key-from-outside ")
    bench.provider = replace(bench.provider, credentials=(CredentialEntry(4, "x", variable="A_KEY_OF_THIS_TEST"),))
    bench.serve("ok")
    async with bench.call("a:ok") as call:
        await call.answer()
    assert upstream.chats[0].headers["authorization"] == "Bearer test-key-from-outside"


async def test_a_key_that_cannot_be_opened_falls_back(bench: Bench, upstream: Upstream) -> None:
    sealed = vault.seal("test-key-of-another-row", "credential", "elsewhere", "secret")
    locked = replace(bench.provider, credentials=(CredentialEntry(4, "here", sealed=sealed),))
    bench.serve("ok", providers=(locked, bench.other))
    async with bench.call("ok") as call:
        assert (await call.answer()).text == TEXT
    assert bench.told() == ["opened b:ok", "settled provider", "finished ok"]
    bench.serve("ok", providers=(locked,))
    with pytest.raises(Refusal) as caught:
        async with bench.call("ok") as call:
            await call.answer()
    assert (caught.value.status, caught.value.code) == (502, "upstream_auth")
    assert "a cannot be opened" in caught.value.message
    assert bench.told()[3:] == ["finished failed upstream_auth"]


# -- the server goes down ---------------------------------------------------------------------------


class Client:
    """An ASGI client that stays until it is told otherwise."""

    def __init__(self, body: bytes, secret: str) -> None:
        headers = [(b"authorization", f"Bearer {secret}".encode()), (b"content-length", str(len(body)).encode())]
        self.scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers}
        self.sent: list[dict[str, Any]] = []
        self._messages = [{"type": "http.request", "body": body, "more_body": False}]
        self._stays = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if not self._messages:
            await self._stays.wait()
        return self._messages.pop()

    async def send(self, message: Any) -> None:
        self.sent.append(dict(message))

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


@pytest.fixture
async def edge(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Edge]:
    made = worker.Worker()
    made.gateway = bench.gateway
    monkeypatch.setattr(worker, "_worker", made)
    yield Edge(body_limit=100_000)
    made.keys.close()


def a_key(keys: KeyBook) -> str:
    secret = "rh_" + "k" * 40
    keys._callers[hash_secret(secret)] = (Caller(7, 1, None), asyncio.get_running_loop().time())
    return secret


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_outlives_the_server_says_so(bench: Bench, edge: Edge, stream: bool) -> None:
    model = "long" if stream else "silent"
    bench.serve(model)
    running = worker.running()
    assert running is not None
    body = json.dumps({"model": f"a:{model}", "messages": [{"role": "user"}], "stream": stream}).encode()
    client = Client(body, a_key(running.keys))
    task = asyncio.create_task(edge(client.scope, client.receive, client.send))
    await until(lambda: client.body if stream else bench.told())
    task.cancel()  # as a server does when its patience is over
    await task
    assert client.sent[-1].get("more_body", False) is False
    if stream:
        last = client.body.split(b"\n\n")[-2]
        assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "server_restart"
        assert b"[DONE]" not in client.body
        assert bench.told() == ["opened a:long", "settled counted", "finished interrupted server_restart"]
    else:
        assert client.sent[0]["status"] == 503
        assert json.loads(client.body)["error"]["code"] == "server_restart"
        assert bench.told() == ["opened a:silent", "settled ambiguous", "finished failed server_restart"]
