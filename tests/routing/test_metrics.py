"""Counting in one process, adding up over several, and never going back when one of them ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from routing.metrics import MOST_SERIES, Metrics


@pytest.fixture
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.RELAYHOUSE_STATE = tmp_path
    return tmp_path / "metrics"


@pytest.fixture
def metrics(folder: Path) -> Iterator[Metrics]:
    made = Metrics()
    made.start("one")
    yield made
    made.stop()


def finish(metrics: Metrics, model: str = "relay-1", duration_ms: int = 300, first_token_ms: int | None = None) -> None:
    metrics.finished(
        provider="demo", model=model, status="ok", code="", duration_ms=duration_ms, first_token_ms=first_token_ms
    )


def samples(text: bytes) -> dict[tuple[str, ...], float]:
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found[(sample.name, sample.labels.get("model", ""), sample.labels.get("le", ""))] = sample.value
    return found


def test_requests_are_counted_with_their_times(metrics: Metrics) -> None:
    finish(metrics, duration_ms=300, first_token_ms=40)
    finish(metrics, duration_ms=100)
    told = samples(metrics.render())
    assert told["relayhouse_requests_total", "relay-1", ""] == 2
    assert told["relayhouse_request_duration_seconds_count", "relay-1", ""] == 2
    assert told["relayhouse_request_duration_seconds_sum", "relay-1", ""] == pytest.approx(0.4)
    assert told["relayhouse_request_duration_seconds_bucket", "relay-1", "0.1"] == 1
    assert told["relayhouse_request_duration_seconds_bucket", "relay-1", "0.25"] == 1
    assert told["relayhouse_request_duration_seconds_bucket", "relay-1", "0.5"] == 2
    assert told["relayhouse_request_duration_seconds_bucket", "relay-1", "+Inf"] == 2
    assert told["relayhouse_first_token_seconds_count", "relay-1", ""] == 1
    assert told["relayhouse_first_token_seconds_bucket", "relay-1", "0.05"] == 1


def test_names_of_models_cannot_break_the_text(metrics: Metrics) -> None:
    finish(metrics, model='custom?tps=1"\n} evil')
    assert samples(metrics.render())["relayhouse_requests_total", 'custom?tps=1"\n} evil', ""] == 1


def test_the_number_of_series_is_bounded(metrics: Metrics) -> None:
    for number in range(MOST_SERIES + 50):
        finish(metrics, model=f"custom?tps={number}")
    told = samples(metrics.render())
    totals = {model: value for (name, model, _), value in told.items() if name == "relayhouse_requests_total"}
    assert len(totals) == MOST_SERIES + 1
    assert totals["other"] == 50


def test_gauges_are_read_when_asked(metrics: Metrics) -> None:
    running = 3
    metrics.gauge("relayhouse_requests_in_flight", "Running.", lambda: running)
    assert samples(metrics.render())["relayhouse_requests_in_flight", "", ""] == 3
    running = 0
    assert samples(metrics.render())["relayhouse_requests_in_flight", "", ""] == 0


def test_workers_are_added_up(metrics: Metrics) -> None:
    other = Metrics()
    other.start("two")
    for each in (metrics, other):
        each.gauge("relayhouse_requests_in_flight", "Running.", lambda: 2)
        finish(each)
    other.publish()
    told = samples(metrics.render())
    assert told["relayhouse_requests_total", "relay-1", ""] == 2
    assert told["relayhouse_requests_in_flight", "", ""] == 4
    other.stop()
    told = samples(metrics.render())
    assert told["relayhouse_requests_total", "relay-1", ""] == 2
    assert told["relayhouse_requests_in_flight", "", ""] == 2


def test_the_counts_of_a_killed_process_stay_and_its_gauges_go(metrics: Metrics, folder: Path) -> None:
    script = """
import os, signal, django
django.setup()
from routing.metrics import METRICS
METRICS.start("killed")
METRICS.gauge("relayhouse_requests_in_flight", "Running.", lambda: 7)
METRICS.finished(provider="demo", model="relay-1", status="ok", code="", duration_ms=1, first_token_ms=None)
METRICS.publish()
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = os.environ | {"RELAYHOUSE_STATE": str(folder.parent), "DJANGO_SETTINGS_MODULE": "console.settings"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert (folder / "killed.json").exists()
    told = samples(metrics.render())
    assert told["relayhouse_requests_total", "relay-1", ""] == 1
    assert ("relayhouse_requests_in_flight", "", "") not in told

    late = Metrics()
    late.start("late")
    assert not (folder / "killed.json").exists()
    assert samples(metrics.render())["relayhouse_requests_total", "relay-1", ""] == 1
    late.stop()


def test_tokens_cost_and_reroutes_are_added_up(metrics: Metrics, folder: Path) -> None:
    metrics.used("demo", "relay-1", (9, 0, 0, 4, 2, 0), 1_500_000_000, "USD")
    metrics.used("demo", "relay-1", (1, 0, 0, 0, 0, 0), 500_000_000, "EUR")
    metrics.finished(
        provider="demo", model="relay-1", status="ok", code="", duration_ms=1, first_token_ms=None, attempts=2
    )
    other = Metrics()
    other.start("two")
    other.used("demo", "relay-1", (10, 0, 0, 0, 0, 0), 250_000_000, "USD")
    other.stop()  # what it counted stays
    told = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            told[sample.name, sample.labels.get("kind") or sample.labels.get("currency", "")] = sample.value
    assert told["relayhouse_tokens_total", "input"] == 20
    assert told["relayhouse_tokens_total", "output"] == 4
    assert told["relayhouse_tokens_total", "reasoning"] == 2
    assert told["relayhouse_cost_total", "USD"] == 1.75
    assert told["relayhouse_cost_total", "EUR"] == 0.5
    assert told["relayhouse_rerouted_total", ""] == 1


def test_what_is_counted_of_models_is_bounded(metrics: Metrics) -> None:
    for number in range(MOST_SERIES + 50):
        metrics.used("demo", f"m{number}", (1, 0, 0, 0, 0, 0), None, "")
    text = metrics.render().decode()
    assert 'relayhouse_tokens_total{kind="input",model="other",provider="demo"} 50.0' in text
