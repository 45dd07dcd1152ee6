"""Metrics for Prometheus, on a port of this machine; names are documented in docs/metrics.md."""

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

__all__ = ["GAUGES", "Collector", "MetricsError", "serve"]

GAUGES = {
    "hosts": "hosts tracked",
    "details": "hosts with counters by window",
    "sketches": "lists of destinations that are estimated",
    "sessions_open": "connections in which something is being said",
    "pieces_held": "pieces of streams out of order",
    "alerts_open": "alerts that are open",
    "exchangers_known": "addresses of mail exchangers with a name",
    "evidence_bytes": "bytes in the evidence store",
    "ring_blocks_waiting": "ring blocks that wait to be read",
    "loss_ratio": "share of packets or bytes lost in the last interval",
    "snapshot_time_seconds": "wall time of the last snapshot",
    "packet_time_seconds": "packet time of the newest frame",
    "outbox_alerts": "alerts not yet in the journal",
}
"""Counts that may fall, with what they are; all others only grow."""


class MetricsError(Exception):
    """The metrics cannot be served; the text says why."""


class Collector:
    """Turns counters by stage into metrics when Prometheus asks."""

    def __init__(self, counters: Callable[[], dict[str, dict[str, float]]]) -> None:
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        for stage, counters in self._counters().items():
            if stage == "frames":
                frames = CounterMetricFamily(
                    "port25_frames", "frames by what they were decoded to", labels=["outcome"]
                )
                for name, value in counters.items():
                    frames.add_metric([name], value)
                yield frames
                continue
            for name, value in counters.items():
                if name in GAUGES:
                    yield GaugeMetricFamily(f"port25_{name}", GAUGES[name], value=value)
                else:
                    yield CounterMetricFamily(f"port25_{name}", f"{stage}: {name}", value=value)


def serve(address: str, collector: Collector) -> Any:
    """Answer at ``host:port`` from a thread of its own; its server. Raises MetricsError."""
    host, _, port = address.rpartition(":")
    registry = CollectorRegistry()
    registry.register(collector)
    try:
        server, _ = start_http_server(int(port), host.strip("[]") or "127.0.0.1", registry)
    except (OSError, OverflowError) as error:
        fault = getattr(error, "strerror", None) or str(error)
        raise MetricsError(f"metrics at {address}: {fault}") from None
    return server
