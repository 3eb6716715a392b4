"""How each provider is doing, for Prometheus: read from the database when somebody asks, the same in every process."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from console import fleet
from providers.status import State

ANSWERS = frozenset({State.HEALTHY, State.DEGRADED})


class _Providers(Collector):
    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            "relayhouse_provider_up", "1 while the provider answers, 0 while it does not.", labels=["provider"]
        )
        status = GaugeMetricFamily(
            "relayhouse_provider_status", "1 for the status the provider has.", labels=["provider", "status"]
        )
        for row in fleet.judged(timezone.now()):
            if row.status.state in (State.OFF, State.UNKNOWN):
                continue  # nothing is known of what nobody asks
            up.add_metric([row.provider.slug], float(row.status.state in ANSWERS))
            status.add_metric([row.provider.slug, row.status.state], 1.0)
        yield from (up, status)


def provider_gauges() -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Providers())
    return generate_latest(registry)
