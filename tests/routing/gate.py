"""The gateway as a program meets it: the edge under uvicorn, its worker, its database, and a key that opens it.

It runs in a thread of this process, with a loop of its own. Whatever tests ask of it comes over a real socket.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import uvicorn

from billing.models import Attempt, LedgerEntry, Request, Team
from console.serving.server import Protocol
from providers.models import Provider
from routing import worker
from routing.breaker import Rules
from routing.edge import Edge
from routing.keys import create_key
from routing.retries import Policy
from tests import factories
from tests.services import free_port

WAIT_SECONDS = 10.0
MESSAGES = [{"role": "user", "content": "Say hello."}]
# Of a provider, in seconds: short, so that silence is over soon.
TIMES = {"connect_seconds": 0.5, "first_event_seconds": 0.5, "idle_seconds": 0.5}
TOTAL_SECONDS = 2

T = TypeVar("T")


@dataclass
class Got:
    """What a client got: the status, the headers, and the body as JSON or as events."""

    status: int
    headers: httpx.Headers
    body: bytes
    seconds: float = 0.0
    whole: bool = True

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """Of a refusal, or of the event that ended a stream."""
        if self.is_stream:
            return next((event["error"] for event in self.events if "error" in event), {})
        return dict(self.json.get("error", {}))

    @property
    def is_stream(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def events(self) -> list[dict[str, Any]]:
        blocks = [block.splitlines() for block in self.body.decode().split("\n\n")]
        told = ["\n".join(line[6:] for line in lines if line.startswith("data: ")) for lines in blocks]
        return [json.loads(data) for data in told if data and data != "[DONE]"]

    @property
    def done(self) -> bool:
        return self.body.endswith(b"data: [DONE]\n\n")

    @property
    def text(self) -> str:
        if not self.is_stream:
            return str(self.json["choices"][0]["message"]["content"])
        deltas = [choice["delta"] for event in self.events for choice in event.get("choices", ())]
        return "".join(delta.get("content") or "" for delta in deltas)

    @property
    def request_id(self) -> str:
        return str(self.headers["x-request-id"])


@dataclass
class Records:
    """What the ledger has of one request."""

    request: Request
    attempts: list[Attempt] = field(default_factory=list)
    entries: list[LedgerEntry] = field(default_factory=list)

    @property
    def billed(self) -> list[str]:
        return [attempt.billed for attempt in self.attempts]


class Gate:
    """`http` is uvicorn's own protocol class or ours, which tells in a cheaper way when a client leaves."""

    def __init__(
        self,
        *,
        http: type[asyncio.Protocol] = Protocol,
        body_limit: int = 1024 * 1024,
        hold_seconds: float = 15.0,
        retries: Policy | None = None,
        rules: Rules | None = None,
    ):
        self.team: Team = factories.make_team("Gate")
        self.key, self.secret = create_key("gate", team=self.team)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._edge = Edge(body_limit=body_limit, hold_seconds=hold_seconds)
        self._retries = retries or Policy(base_seconds=0.02, share=1.0)
        # Most tests ask a target that fails again and again: its circuit stays closed unless a test is about it.
        self._rules = rules or Rules(in_a_row=10**9, of=10**9)
        config = uvicorn.Config(
            self._application,
            interface="asgi3",
            http=http,
            host="127.0.0.1",
            port=self.port,
            log_level="warning",
            timeout_graceful_shutdown=5,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="gate", daemon=True)
        self.loop: asyncio.AbstractEventLoop

    def __enter__(self) -> Gate:
        self._thread.start()
        self.until(lambda: self._server.started, "the gate did not open")
        return self

    def __exit__(self, *error: Any) -> None:
        self._server.should_exit = True
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive()

    async def _application(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self._edge(scope, receive, send)
            return
        await receive()
        self.loop = asyncio.get_running_loop()
        started = await worker.started()
        started.gateway.retries = self._retries
        started.breakers.rules = self._rules
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await worker.stop()
        await send({"type": "lifespan.shutdown.complete"})

    # -- inside ------------------------------------------------------------------------

    @property
    def worker(self) -> worker.Worker:
        running = worker.running()
        assert running is not None
        return running

    def call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run something in the gate's own loop."""
        return asyncio.run_coroutine_threadsafe(work(), self.loop).result(WAIT_SECONDS)

    def refresh(self) -> None:
        """Take up what changed in the database now, not within a second."""
        self.call(self.worker.snapshots.refresh)

    def until(self, condition: Callable[[], Any], words: str, seconds: float = WAIT_SECONDS) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, words
            time.sleep(0.01)
        return found

    def at_rest(self) -> None:
        """Nothing is left in flight: no call, no connection to a provider, nobody waiting, no task of a request."""
        gateway, connector = self.worker.gateway, self.worker.connector
        self.until(
            lambda: (gateway.in_flight, gateway.waiting, connector.open) == (0, 0, 0),
            f"left over: {gateway.in_flight} calls, {gateway.waiting} waiting, {connector.open} connections",
            5.0,
        )

    def records(self, request_id: str) -> Records:
        request = self.until(lambda: Request.objects.filter(id=request_id).first(), f"{request_id} was never recorded")
        return Records(
            request,
            list(Attempt.objects.filter(request_id=request_id).order_by("number")),
            list(LedgerEntry.objects.filter(request_id=request_id)),
        )

    # -- outside -----------------------------------------------------------------------

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.secret}"}

    def _client(self) -> httpx.Client:
        # Without TLS there is nobody to verify, and reading the machine's authorities takes longer than most calls.
        return httpx.Client(base_url=self.url, timeout=WAIT_SECONDS, verify=False)

    def get(self, path: str, method: str = "GET", **headers: str) -> Got:
        with self._client() as client:
            answer = client.request(method, path, headers=self.headers | headers)
        return Got(answer.status_code, answer.headers, answer.content)

    def chat(self, model: str | None, *, headers: dict[str, str] | None = None, **fields: Any) -> Got:
        body = {"messages": MESSAGES} | ({"model": model} if model is not None else {}) | fields
        return self.post(json.dumps(body).encode(), headers)

    def post(self, body: bytes, headers: dict[str, str] | None = None, path: str = "/v1/chat/completions") -> Got:
        with self._client() as client:
            answer = client.post(path, content=body, headers=self.headers | (headers or {}))
        return Got(answer.status_code, answer.headers, answer.content)


def connect(name: str, base_url: str, models: list[str], *, kind: str = "vllm", **fields: Any) -> Provider:
    """A provider at this address that serves these models, at a price, and with short times."""
    options = TIMES | fields.pop("options", {})
    provider = factories.make_provider(
        name, kind, base_url=base_url, options=options, **({"timeout_seconds": TOTAL_SECONDS} | fields)
    )
    for model in models:
        factories.make_price(factories.make_model(provider, model, listed=True), "1", "2")
    return provider
