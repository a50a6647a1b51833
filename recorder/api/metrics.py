"""The supervisor's status as Prometheus metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

_IDENTITY: Final = frozenset({"role", "name", "pid", "state", "restarts"})


class _StatusCollector(Collector):
    def __init__(self, status: Mapping[str, Any]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        labels = ["role", "name"]
        up = GaugeMetricFamily("tandem_process_up", "1 while the process runs", labels=labels)
        restarts = GaugeMetricFamily(
            "tandem_process_restarts", "Replacements since the supervisor's start", labels=labels
        )
        figures: dict[str, GaugeMetricFamily] = {}
        for process in self._status["processes"]:
            key = [process["role"], process["name"]]
            up.add_metric(key, float(process["pid"] is not None))
            restarts.add_metric(key, process["restarts"])
            for name, value in process.items():
                if name in _IDENTITY or not isinstance(value, int | float):
                    continue
                family = figures.setdefault(
                    name, GaugeMetricFamily(f"tandem_{name}", f"Figure {name} of a process", labels=labels)
                )
                family.add_metric(key, value)
        yield up
        yield restarts
        yield from figures.values()


def exposition(status: Mapping[str, Any]) -> bytes:
    """Return the metrics page for one status."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_StatusCollector(status))
    return generate_latest(registry)
