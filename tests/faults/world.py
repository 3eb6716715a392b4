"""Everything the matrix is asked of: vendors that misbehave at their addresses, one gate before them, and who asks.

All cells are asked first, side by side, and what became of them is read once; the tests only look. What is in the
question names its cell, so that every vendor's journal tells which cell a request belonged to.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote

import aiohttp
import httpx
from django.test import override_settings

from billing.models import Attempt, LedgerEntry, Price, Request
from providers.addresses import parse_networks
from providers.connector import Connector
from providers.models import LanguageModel
from routing.breaker import Rules
from routing.keys import set_budget
from tests import (
    factories,
    misbehaviour_anthropic,
    misbehaviour_bedrock,
    misbehaviour_gemini,
    misbehaviour_ollama,
    misbehaviour_openai,
)
from tests.certificates import authority
from tests.cloud import LOOPBACK, Answer
from tests.faults.behaviours import BEHAVIOURS, Talk
from tests.faults.speech import Speech
from tests.faults.table import FAULTS, NONE, Fault
from tests.routing.gate import Gate, Got, Records
from tests.upstream import Exchange, Seen, Upstream, refusing_url

SPEECHES: Mapping[str, Speech] = {
    module.SPEECH.name: module.SPEECH
    for module in (
        misbehaviour_openai, misbehaviour_anthropic, misbehaviour_gemini, misbehaviour_bedrock, misbehaviour_ollama,
    )
}  # fmt: skip
WIRES = tuple(SPEECHES)
BUDGET_NANO = 10**15

# In seconds: what a fault is not about takes as long as a loaded machine needs.
PATIENT = {"connect_seconds": 20, "first_event_seconds": 20, "idle_seconds": 20}
TOTAL_SECONDS, SHORT_TOTAL_SECONDS = 60, 2
SHORT: Mapping[str, Mapping[str, float]] = {
    "first": {"first_event_seconds": 1.0},
    "idle": {"idle_seconds": 1.0},
    "connect": {"connect_seconds": 1.0},
}
ASKED_AT_ONCE = {"waits": 100, "quick": 8, "floods": 1, "stale": 1}
WAIT_SECONDS = 60.0
LONGEST_KEPT = 4 * 1024 * 1024


class Cell(NamedTuple):
    wire: str
    fault: str
    behaviour: str
    place: str
    streamed: bool
    with_b: bool

    def __str__(self) -> str:
        way, where = "stream" if self.streamed else "plain", "A+B" if self.with_b else "A"
        return "/".join(part for part in (self.wire, self.fault, self.behaviour, self.place, way, where) if part)


CELLS: Mapping[Cell, Fault] = {
    Cell(wire, fault.id, fault.behaviour, fault.place, streamed, with_b): fault.on(wire)
    for wire in WIRES
    for fault in FAULTS
    for streamed in (False, True)
    for with_b in (False, True)
    if fault.on(wire).expected(streamed=streamed, with_b=False) != NONE
}


def model_of(wire: str, fault: Fault) -> str:
    return ".".join(part for part in (wire, fault.behaviour, fault.place) if part)


def provider_of(wire: str, fault: Fault) -> str:
    return f"{wire}-{fault.place or fault.times or 'a'}"


def fallback_of(wire: str) -> str:
    """It speaks another wire than the one that fails."""
    return f"{WIRES[(WIRES.index(wire) + 1) % len(WIRES)]}-b"


# -- the vendors ---------------------------------------------------------------------------------


class Vendor(Upstream):
    """Every wire at one address. The model chooses the behaviour, unless this one is always well."""

    def __init__(self, *, healthy: bool = False, tls: str = "", elsewhere: str = "") -> None:
        super().__init__(tls=tls)
        self._healthy = healthy
        self.elsewhere = elsewhere

    def _behaviour(self, seen: Seen) -> Answer:
        behave = BEHAVIOURS["ok" if self._healthy else asked_model(seen).split(".")[1]]

        async def answer(it: Exchange) -> None:
            await behave(Talk(it, speech_of(seen), self.elsewhere))

        return answer


def asked_model(seen: Seen) -> str:
    found = re.search(r"/models?/([^/:]+)", unquote(seen.path))
    return found[1] if found else seen.model


def speech_of(seen: Seen) -> Speech:
    """By the door that was knocked at."""
    doors = {"/chat/completions": "openai", "/v1/messages": "anthropic", "/v1beta/": "gemini", "/model/": "bedrock"}
    return SPEECHES[next((wire for door, wire in doors.items() if door in seen.path), "ollama")]


async def lookup(host: str, port: int) -> Sequence[tuple[int, str]]:
    here, metadata = (socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "169.254.169.254")
    found = {
        "none.test": [],
        "good.test": [here],
        "forbidden.test": [metadata],
        "rebinds.test": [here, metadata],
    }
    if host == "slow.test":
        await asyncio.sleep(60)
    if host not in found:
        raise OSError(f"'{host}' cannot be looked up")
    return found[host]


class Plain(Upstream):
    """Says no to whatever does not look like HTTP, as HTTP."""

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()


@contextmanager
def accepting_only() -> Iterator[str]:
    """Connections are made, since the kernel makes them, and nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        yield f"https://127.0.0.1:{server.getsockname()[1]}"


@dataclass(repr=False)
class World:
    gate: Gate
    vendors: dict[str, Vendor]  # by name; "b" is the healthy one, "elsewhere" the one nobody may be led to
    got: dict[Cell, Got] = field(default_factory=dict)
    records: dict[Cell, Records] = field(default_factory=dict)
    seen: dict[Cell, dict[str, list[Seen]]] = field(default_factory=dict)  # by cell and vendor
    failures: dict[str, int] = field(default_factory=dict)  # by target, as the breaker counted them
    opened: set[str] = field(default_factory=set)  # targets whose circuit ordinary rules would have opened at once


@contextmanager
def made() -> Iterator[World]:
    with ExitStack() as stack:

        def vendor(**fields: Any) -> Vendor:
            return stack.enter_context(Vendor(**fields))

        elsewhere = vendor(healthy=True)
        first = vendor(elsewhere=f"{elsewhere.url}/v1/stolen")
        vendors = {"a": first, "b": vendor(healthy=True), "elsewhere": elsewhere, "fresh": vendor()}
        vendors |= {f"stale-{wire}": vendor() for wire in WIRES}
        vendors |= {f"tls-{fault}": vendor(tls=fault) for fault in ("good", "expired", "wrong-host", "self-signed")}
        addresses = {name: vendor.url for name, vendor in vendors.items()} | {
            "shut": refusing_url().removesuffix("/v1"),
            "tls-hangs": stack.enter_context(accepting_only()),
            "tls-plaintext": stack.enter_context(Plain()).url.replace("http:", "https:"),
        }
        addresses |= {
            f"dns-{name}": f"http://{name}.test:{first.port}"
            for name in ("none", "fails", "slow", "forbidden", "rebinds", "good")
        }
        for wire in WIRES:
            connect(wire, addresses | {"stale": addresses[f"stale-{wire}"]})
        stack.enter_context(override_settings(PRIVATE_NETWORKS=LOOPBACK))
        # Circuits stay closed, however often a target fails, and remember everything.
        gate = Gate(rules=Rules(in_a_row=10**9, hopeless=10**6, of=10**9, window_seconds=10**9))
        type(gate.team).objects.filter(pk=gate.team.pk).update(concurrency=1000, tokens_per_minute=10**12)
        set_budget(gate.key, BUDGET_NANO)
        stack.enter_context(gate)
        gate.call(lambda: plug_in(gate))
        yield World(gate, vendors)


async def plug_in(gate: Gate) -> None:
    """A connector that trusts our authority and asks our name server."""
    worker = gate.worker
    old = worker.connector
    worker.connector = worker.gateway.port = Connector(
        private_networks=parse_networks(LOOPBACK), ca_bundle=str(authority().ca_file), lookup=lookup
    )
    await old.close()
    await worker.connector.start()


def connect(wire: str, addresses: Mapping[str, str]) -> None:
    """The providers of a wire: one for each address and each time that is short, and the healthy one."""
    speech = SPEECHES[wire]
    served: dict[str, list[Fault]] = defaultdict(list)
    for fault in FAULTS:
        if fault not in served[provider_of(wire, fault)]:
            served[provider_of(wire, fault)].append(fault)
    models: list[LanguageModel] = []

    def serve(slug: str, address: str, times: str, names: Sequence[str], priority: int) -> None:
        provider = factories.make_provider(
            slug,
            speech.kind,
            secret=speech.secret,
            base_url=address + speech.root,
            priority=priority,
            timeout_seconds=SHORT_TOTAL_SECONDS if times == "total" else TOTAL_SECONDS,
            options={**speech.options, **PATIENT, **SHORT.get(times, {})},
        )
        models.extend(LanguageModel(provider=provider, model_id=name, listed=True) for name in dict.fromkeys(names))

    for slug, faults in served.items():
        serve(slug, addresses[faults[0].place or "a"], faults[0].times, [model_of(wire, one) for one in faults], 10)
    before = WIRES[WIRES.index(wire) - 1]
    serve(f"{wire}-b", addresses["b"], "", [model_of(before, fault) for fault in FAULTS], 20)
    LanguageModel.objects.bulk_create(models)
    Price.objects.bulk_create(
        Price(model=model, input_per_million=1, output_per_million=2, valid_from=factories.LONG_AGO, source="test")
        for model in models
    )


# -- who asks ------------------------------------------------------------------------------------


def lane_of(cell: Cell) -> str:
    fault = CELLS[cell]
    if fault.place == "stale":
        return "stale"
    if cell.behaviour.startswith("huge"):
        return "floods"
    return "waits" if fault.times or cell.fault == "F07" else "quick"


def ask_all(world: World) -> None:
    """In lanes one after the other: those who wait for a clock must not wait for those who need the machine."""
    for lane, at_once in ASKED_AT_ONCE.items():
        cells = sorted((cell for cell in CELLS if lane_of(cell) == lane), key=lambda cell: -CELLS[cell].seconds)
        world.got |= asyncio.run(ask(world, cells, at_once))
    world.gate.at_rest()
    ids = {got.request_id for got in world.got.values()}
    world.gate.until(
        lambda: ids <= set(Request.objects.values_list("id", flat=True)), "not all was recorded", WAIT_SECONDS
    )
    read_records(world)
    read_journals(world)
    for target, state in world.gate.worker.breakers.states.items():
        world.failures[target] = state.failed
        if state.in_a_row >= 10**6:
            world.opened.add(target)


async def ask(world: World, cells: Sequence[Cell], at_once: int) -> dict[Cell, Got]:
    places = asyncio.Semaphore(at_once)
    timeout = aiohttp.ClientTimeout(total=WAIT_SECONDS)
    connector = aiohttp.TCPConnector(limit=at_once)
    async with aiohttp.ClientSession(world.gate.url, connector=connector, timeout=timeout) as client:

        async def one(cell: Cell) -> Got:
            async with places:
                if CELLS[cell].place == "stale":
                    await put(client, world.gate, cell, "An unused connection, please.")
                    await asyncio.to_thread(world.gate.at_rest)  # it is given back
                return await put(client, world.gate, cell, f"Cell {cell}.")

        return dict(zip(cells, await asyncio.gather(*map(one, cells)), strict=True))


async def put(client: aiohttp.ClientSession, gate: Gate, cell: Cell, question: str) -> Got:
    fault = CELLS[cell]
    model = model_of(cell.wire, fault)
    body = {
        "model": model if cell.with_b else f"{provider_of(cell.wire, fault)}:{model}",
        "messages": [{"role": "user", "content": question}],
        "stream": cell.streamed,
    }
    began = time.perf_counter()
    async with client.post("/v1/chat/completions", data=json.dumps(body), headers=gate.headers) as answer:
        content = shortened(await answer.read())
        headers = httpx.Headers(list(answer.headers.items()))
        return Got(answer.status, headers, content, time.perf_counter() - began)


def shortened(content: bytes) -> bytes:
    """A flood need not be kept: how it began and how it ended will do."""
    events = content.split(b"\n\n")
    return b"\n\n".join([*events[:3], *events[-2:]]) if len(content) > LONGEST_KEPT else content


def read_records(world: World) -> None:
    requests = {request.id: request for request in Request.objects.all()}
    attempts, entries = defaultdict(list), defaultdict(list)
    for attempt in Attempt.objects.order_by("number"):
        attempts[attempt.request_id].append(attempt)
    for entry in LedgerEntry.objects.order_by("attempt_id"):
        entries[entry.request_id].append(entry)
    for cell, got in world.got.items():
        name = got.request_id
        world.records[cell] = Records(requests[name], attempts[name], entries[name])


def read_journals(world: World) -> None:
    cells = {str(cell): cell for cell in CELLS}
    for name, vendor in world.vendors.items():
        vendor.await_that(lambda it: all(seen.ended for seen in it.requests), WAIT_SECONDS)
        for seen in vendor.requests:
            found = re.search(rb"Cell ([\w/+.-]+)\.", seen.body)
            if found:
                world.seen.setdefault(cells[found[1].decode()], {}).setdefault(name, []).append(seen)
