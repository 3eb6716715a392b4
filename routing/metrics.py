"""What the data plane has done, in Prometheus' words: counted in memory, and shared by files with the other workers.

Counting is a dictionary look-up: it happens once a request. Each process writes its numbers to a file of its own about
once a second; whoever is asked for `/metrics` adds up its own and everybody's files. The numbers of processes that have
ended stay counted, so that no counter ever goes back.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
from django.conf import settings
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

PUBLISH_SECONDS = 1.0
MOST_SERIES = 1_000  # further models are counted together
OTHER = "other"

DURATIONS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
FIRST_TOKENS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0)
_DURATIONS_MS = tuple(seconds * 1000 for seconds in DURATIONS)
_FIRST_TOKENS_MS = tuple(seconds * 1000 for seconds in FIRST_TOKENS)

Labels = tuple[str, str, str, str]  # provider, model, status, code
LABELS = ("provider", "model", "status", "code")


# What is added up of attempts: provider, model, and a kind of token or "cost" with its currency.
Used = tuple[str, str, str, str]
BUCKETS = ("input", "cached", "cache_write", "output", "reasoning", "audio")
COST = "cost"
NANO = 10**9


class Counts(msgspec.Struct, array_like=True):
    """How often, how long, and how long until the first token; a bucket holds what its predecessors do not."""

    requests: int = 0
    duration_ms: int = 0
    durations: list[int] = msgspec.field(default_factory=lambda: [0] * (len(DURATIONS) + 1))
    firsts: int = 0
    first_ms: int = 0
    first_tokens: list[int] = msgspec.field(default_factory=lambda: [0] * (len(FIRST_TOKENS) + 1))
    rerouted: int = 0  # answered by another than the first that was asked

    def add(self, other: Counts) -> None:
        self.requests += other.requests
        self.duration_ms += other.duration_ms
        self.firsts += other.firsts
        self.first_ms += other.first_ms
        self.rerouted += other.rerouted
        for mine, theirs in ((self.durations, other.durations), (self.first_tokens, other.first_tokens)):
            for number, more in enumerate(theirs[: len(mine)]):
                mine[number] += more


class Published(msgspec.Struct):
    """One process's file."""

    series: list[tuple[Labels, Counts]]
    gauges: dict[str, float]
    used: list[tuple[Used, int]] = []


_decoder = msgspec.json.Decoder(Published)


class Metrics:
    """One a process: see METRICS."""

    def __init__(self) -> None:
        self._series: dict[Labels, Counts] = {}
        self._used: dict[Used, int] = {}
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self._file: Path | None = None
        self._lock = -1
        self._published: bytes = b""

    def finished(
        self,
        *,
        provider: str,
        model: str,
        status: str,
        code: str,
        duration_ms: int,
        first_token_ms: int | None,
        attempts: int = 1,
    ) -> None:
        """A request ended. Called by the gateway, once each."""
        labels = (provider, model, status, code)
        counts = self._series.get(labels)
        if counts is None:
            counts = self._new_series(labels)
        counts.requests += 1
        counts.duration_ms += duration_ms
        counts.durations[bisect_left(_DURATIONS_MS, duration_ms)] += 1
        if attempts > 1 and status == "ok":
            counts.rerouted += 1
        if first_token_ms is not None:
            counts.firsts += 1
            counts.first_ms += first_token_ms
            counts.first_tokens[bisect_left(_FIRST_TOKENS_MS, first_token_ms)] += 1

    def used(self, provider: str, model: str, buckets: tuple[int, ...], amount_nano: int | None, currency: str) -> None:
        """What an attempt took and cost. Called once each, when it is settled."""
        if len(self._used) >= MOST_SERIES and (provider, model, "input", "") not in self._used:
            model = OTHER
        used = self._used
        for name, count in zip(BUCKETS, buckets, strict=True):
            if count:
                what = (provider, model, name, "")
                used[what] = used.get(what, 0) + count
        if amount_nano:
            what = (provider, model, COST, currency)
            used[what] = used.get(what, 0) + amount_nano

    def _new_series(self, labels: Labels) -> Counts:
        if len(self._series) >= MOST_SERIES:
            provider, _, status, code = labels
            labels = (provider, OTHER, status, code)
        return self._series.setdefault(labels, Counts())

    def gauge(self, name: str, description: str, read: Callable[[], float]) -> None:
        """A number that is read when it is asked for: calls in flight, bytes in the journal."""
        self._gauges[name] = (description, read)

    # -- several processes ---------------------------------------------------------

    def start(self, node: str) -> None:
        """Take a file in the state folder, and keep the numbers of processes that have ended."""
        folder = _folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = folder / f"{node}.json"
        self._lock = os.open(self._file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        _gather_ended(folder)

    def stop(self) -> None:
        """Leave the numbers behind; nothing is in flight any more."""
        if self._file is not None:
            self._gauges.clear()
            self.publish()
            os.close(self._lock)
            self._file = None

    async def keep_publishing(self) -> None:
        while True:
            await asyncio.sleep(PUBLISH_SECONDS)
            await asyncio.to_thread(self.publish)

    def publish(self) -> None:
        if self._file is None:
            return
        written = msgspec.json.encode(self._own())
        if written != self._published:
            _write(self._file, written)
            self._published = written

    def _own(self) -> Published:
        gauges = {name: float(read()) for name, (_, read) in tuple(self._gauges.items())}
        return Published(list(self._series.items()), gauges, list(self._used.items()))

    def render(self) -> bytes:
        """The text for Prometheus: this process as it is now, the others as they were a second ago at most."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Sum(self._everybody(), {name: words for name, (words, _) in self._gauges.items()}))
        return generate_latest(registry)

    def _everybody(self) -> Iterator[Published]:
        yield self._own()
        folder = _folder()
        for file in folder.glob("*.json") if folder.is_dir() else ():
            if file != self._file:
                found = _read(file)
                if found is not None:
                    yield found if _is_alive(file) else Published(found.series, {}, found.used)


class _Sum(Collector):
    def __init__(self, parts: Iterable[Published], descriptions: dict[str, str]) -> None:
        self._series: dict[Labels, Counts] = {}
        self._gauges = dict.fromkeys(descriptions, 0.0)
        self._descriptions = descriptions
        self._used: dict[Used, int] = {}
        for part in parts:
            for what, amount in part.used:
                self._used[what] = self._used.get(what, 0) + amount
            for labels, counts in part.series:
                self._series.setdefault(labels, Counts()).add(counts)
            for name, value in part.gauges.items():
                self._gauges[name] = self._gauges.get(name, 0.0) + value

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("relayhouse_requests", "Requests that ended.", labels=LABELS)
        durations = HistogramMetricFamily(
            "relayhouse_request_duration_seconds", "From the request to its end.", labels=LABELS
        )
        firsts = HistogramMetricFamily(
            "relayhouse_first_token_seconds", "From the request to the first token of a stream.", labels=LABELS
        )
        rerouted = CounterMetricFamily(
            "relayhouse_rerouted", "Requests that another than the first target answered.", labels=LABELS[:2]
        )
        by_target: dict[tuple[str, str], int] = {}
        for labels, counts in sorted(self._series.items()):
            by_target[labels[:2]] = by_target.get(labels[:2], 0) + counts.rerouted
            requests.add_metric(labels, counts.requests)
            durations.add_metric(labels, _cumulated(DURATIONS, counts.durations), counts.duration_ms / 1000)
            if counts.firsts:
                firsts.add_metric(labels, _cumulated(FIRST_TOKENS, counts.first_tokens), counts.first_ms / 1000)
        for target, count in by_target.items():
            rerouted.add_metric(target, count)
        yield from (requests, durations, firsts, rerouted, *self._amounts())
        for name, value in sorted(self._gauges.items()):
            yield GaugeMetricFamily(name, self._descriptions.get(name, name), value=value)

    def _amounts(self) -> Iterator[Metric]:
        tokens = CounterMetricFamily("relayhouse_tokens", "Tokens, by kind.", labels=("provider", "model", "kind"))
        cost = CounterMetricFamily("relayhouse_cost", "What it cost.", labels=("provider", "model", "currency"))
        for (provider, model, kind, currency), amount in sorted(self._used.items()):
            if kind == COST:
                cost.add_metric((provider, model, currency), amount / NANO)
            else:
                tokens.add_metric((provider, model, kind), amount)
        yield from (tokens, cost)


def _cumulated(bounds: tuple[float, ...], counts: list[int]) -> list[tuple[str, float]]:
    total, buckets = 0, []
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets


# -- files ----------------------------------------------------------------------------------------------------


def _folder() -> Path:
    return Path(settings.RELAYHOUSE_STATE) / "metrics"


def _write(file: Path, written: bytes) -> None:
    draft = file.with_suffix(".draft")
    draft.write_bytes(written)
    draft.replace(file)


def _read(file: Path) -> Published | None:
    try:
        return _decoder.decode(file.read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return None  # gathered a moment ago, or written by a version that counted otherwise


def _is_alive(file: Path) -> bool:
    """Whether its process still holds its lock: the kernel lets go of it however the process ended."""
    try:
        descriptor = os.open(file.with_suffix(".lock"), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _gather_ended(folder: Path) -> None:
    """Add the numbers of ended processes to one file, so that their files do not pile up."""
    with (folder / "gathering").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        past = folder / "past.json"
        series: dict[Labels, Counts] = {}
        used: dict[Used, int] = {}
        ended = [file for file in folder.glob("*.json") if file == past or not _is_alive(file)]
        for file in ended:
            found = _read(file)
            for labels, counts in found.series if found is not None else ():
                series.setdefault(labels, Counts()).add(counts)
            for what, amount in found.used if found is not None else ():
                used[what] = used.get(what, 0) + amount
        _write(past, msgspec.json.encode(Published(list(series.items()), {}, list(used.items()))))
        for file in ended:
            if file != past:
                file.unlink(missing_ok=True)
                file.with_suffix(".lock").unlink(missing_ok=True)


METRICS = Metrics()
