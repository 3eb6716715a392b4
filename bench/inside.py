"""What does our own code cost a request? The edge and the gateway with everything on, without servers and sockets.

    python -m bench.inside                  microseconds of CPU a request, plain and streamed
    python -m bench.inside --profile plain  where they go

Key, decision, journal and settlement are real; the provider answers from memory, and nobody loads the journal.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import os
import pstats
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from bench.load import body
from bench.upstream import ANSWER, DELTAS, LAST

EVENTS = 1000
KEY = "rh_" + "a" * 40


def set_up(folder: Path) -> None:
    os.environ.update(
        RELAYHOUSE_STATE=str(folder), RELAYHOUSE_KEY_PEPPER="1:bench", DJANGO_SETTINGS_MODULE="console.settings"
    )
    import django

    django.setup()


def make_worker(folder: Path) -> Any:
    """A worker as it is in a process that serves, but for the network and the database."""
    from billing.journal import Journal
    from billing.ledger import Ledger
    from providers.registry import KINDS
    from routing import worker
    from routing.callers import Caller
    from routing.gateway import Gateway
    from routing.keys import hash_secret
    from routing.snapshot import ModelEntry, ProviderEntry, Snapshot

    provider = ProviderEntry(1, "bench", "Bench", KINDS["vllm"], "http://127.0.0.1:9/v1", 100)
    model = ModelEntry(1, provider, "bench-1", prices=(free(),))
    snapshot = Snapshot(
        revision=1,
        providers={"bench": provider},
        slugs={"bench": "bench"},
        models={("bench", "bench-1"): model},
        by_model_id={"bench-1": (model,)},
    )
    made = worker.Worker()
    made.journal = Journal.open(folder / "journal", "bench")
    made.snapshots.current = snapshot
    made.gateway = Gateway(port=Memory(), ledger=Ledger(made.journal), snapshots=made.snapshots)
    made.keys._callers[hash_secret(KEY)] = (Caller(1, 1, None), time.monotonic())
    worker._worker = made
    return made


def free() -> Any:
    from decimal import Decimal

    from billing.costs import Rates

    return Rates(1, "USD", Decimal(0), Decimal(0))


def unchunked(data: bytes) -> bytes:
    """A body from the chunks that bench.upstream has ready."""
    pieces = []
    while data and not data.startswith(b"0\r\n"):
        size, _, data = data.partition(b"\r\n")
        pieces.append(data[: int(size, 16)])
        data = data[int(size, 16) + 2 :]
    return b"".join(pieces)


class Memory:
    """A port whose provider has its answer ready."""

    def __init__(self) -> None:
        self._deltas = [unchunked(delta) for delta in DELTAS]
        self._last = unchunked(LAST)

    async def send(self, request: Any, limits: Any) -> Any:
        from providers.wiring import HttpAnswer

        return HttpAnswer(200, {"content-type": "application/json"}, ANSWER)

    def stream(self, request: Any, limits: Any) -> Any:
        return _Stream(self)


class _Stream:
    status = 200
    headers = {"content-type": "text/event-stream"}

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def __aenter__(self) -> _Stream:
        return self

    async def __aexit__(self, *error: Any) -> None:
        """There is nothing to close."""

    async def chunks(self) -> AsyncIterator[bytes]:
        deltas = self._memory._deltas
        for number in range(EVENTS):
            yield deltas[number % len(deltas)]
        yield self._memory._last


def scope(length: int) -> dict[str, Any]:
    headers = {
        "host": "127.0.0.1:8000",
        "authorization": f"Bearer {KEY}",
        "content-type": "application/json",
        "accept": "*/*",
        "user-agent": "bench",
        "content-length": str(length),
    }
    return {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }


async def ask(edge: Any, payload: bytes) -> int:
    """One request, as a server would call the application. The status it answered."""
    status = 0
    given = False
    never = asyncio.get_running_loop().create_future()

    async def receive() -> dict[str, Any]:
        nonlocal given
        if given:
            await never
        given = True
        return {"type": "http.request", "body": payload, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    await edge(scope(len(payload)), receive, send)
    return status


async def measure(folder: Path, parts: list[str], requests: int, profile: bool) -> None:
    from routing.edge import Edge

    worker = make_worker(folder)
    edge = Edge(body_limit=1 << 20)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)  # as the server does
    for part in parts:
        payload = body("bench:bench-1", stream=part == "streams")
        count = requests if part == "plain" else max(3, requests // 300)
        assert await ask(edge, payload) == 200
        work = work_of(edge, payload, count)
        seconds = await (profiled if profile else timed)(work)
        each = seconds / count * 1e6
        print(
            f"{part}: {each:.1f} microseconds a request" if part == "plain" else f"{part}: {each / EVENTS:.2f} an event"
        )
    assert worker.gateway.in_flight == 0
    worker.journal.close()


def work_of(edge: Any, payload: bytes, count: int) -> Callable[[], Coroutine[Any, Any, None]]:
    async def work() -> None:
        for _ in range(count):
            await ask(edge, payload)

    return work


async def timed(work: Callable[[], Coroutine[Any, Any, None]]) -> float:
    """The best of five, since the machine has other things to do."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        await work()
        best = min(best, time.process_time() - began)
    return best


async def profiled(work: Callable[[], Coroutine[Any, Any, None]]) -> float:
    profiler = cProfile.Profile()
    began = time.process_time()
    profiler.enable()
    await work()
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(45)
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], "plain", "streams"])
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        set_up(Path(folder))
        import uvloop

        parts = options.parts or ["plain", "streams"]
        uvloop.run(measure(Path(folder), parts, options.requests, options.profile))


if __name__ == "__main__":
    main()
