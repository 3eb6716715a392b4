"""What probes and Prometheus get, and who may read what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from console import health
from routing import worker

HERE = ("127.0.0.1", 40000)
ELSEWHERE = ("203.0.113.9", 40000)


async def ask(
    path: str, *, client: tuple[str, int] | None = HERE, method: str = "GET", **headers: str
) -> tuple[int, bytes]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "path": path, "method": method, "client": client, "headers": pairs}
    await health.application(scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


@pytest.fixture
async def started(transactional_db: None) -> AsyncIterator[worker.Worker]:
    health.database.__init__()  # type: ignore[misc]  # what it remembers belongs to the loop before
    yield await worker.started()
    await worker.stop()


async def test_it_lives_without_anything_else() -> None:
    assert await ask("/health/live", client=ELSEWHERE) == (200, b'{"live":true}')


async def test_only_reading_is_answered() -> None:
    status, _ = await ask("/health/live", method="POST")
    assert status == 405


@pytest.mark.store
async def test_it_is_ready_once_the_worker_is(started: worker.Worker) -> None:
    assert await ask("/health/ready", client=ELSEWHERE) == (200, b'{"ready":true,"not_ready":[]}')


async def test_it_is_not_ready_while_it_drains(started: worker.Worker) -> None:
    started.draining = True
    assert await ask("/health/ready") == (503, b'{"ready":false,"not_ready":["draining"]}')


@pytest.mark.parametrize("address", [HERE, ("::1", 40000)])
async def test_programs_of_this_machine_read_metrics(address: tuple[str, int], db: None) -> None:
    status, body = await ask("/metrics", client=address)
    assert status == 200
    assert b"# TYPE relayhouse_requests_total counter" in body
    assert b"# TYPE relayhouse_provider_up gauge" in body


@pytest.mark.parametrize(
    ("client", "headers"),
    [
        (ELSEWHERE, {}),
        (None, {}),
        (HERE, {"x_forwarded_for": "203.0.113.9"}),
        (HERE, {"forwarded": "for=203.0.113.9"}),
        (ELSEWHERE, {"x_forwarded_for": "127.0.0.1"}),
        (ELSEWHERE, {"authorization": "Bearer "}),
    ],
)
async def test_nobody_else_reads_metrics(client: tuple[str, int] | None, headers: dict[str, str]) -> None:
    status, _ = await ask("/metrics", client=client, **headers)
    assert status == 403


async def test_a_token_opens_metrics_from_anywhere(settings: Any, db: None) -> None:
    settings.METRICS_TOKEN = "test-metrics-token"
    assert (await ask("/metrics", client=ELSEWHERE, authorization="Bearer test-metrics-token"))[0] == 200
    assert (await ask("/metrics", client=ELSEWHERE, authorization="Bearer test-metrics-tokem"))[0] == 403
    assert (await ask("/metrics", client=ELSEWHERE, authorization="Basic test-metrics-token"))[0] == 403
