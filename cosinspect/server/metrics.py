"""What the server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["Metrics"]


class Metrics:
    """Counters of one server, in a registry of their own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "cosinspect_requests",
            "Requests by protocol and HTTP status.",
            ["protocol", "status"],
            registry=self._registry,
        )
        self.answer_seconds = Histogram(
            "cosinspect_answer_seconds",
            "Time to an answer, by protocol.",
            ["protocol"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=self._registry,
        )
        self.decisions = Counter(
            "cosinspect_decisions",
            "Images decided for requests, by protocol and standing.",
            ["protocol", "standing"],
            registry=self._registry,
        )
        self.inspected = Counter(
            "cosinspect_inspections",
            "Inspections made, by verdict; error where there is none.",
            ["verdict"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "cosinspect_inspection_seconds",
            "Time of an inspection.",
            buckets=(0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
            registry=self._registry,
        )
        self.refused = Counter(
            "cosinspect_refused", "Images for which the queue had no room.", registry=self._registry
        )
        self.events = Counter(
            "cosinspect_notifications",
            "Events of registries, by what became of them.",
            ["outcome"],
            registry=self._registry,
        )
        self._waiting = Gauge(
            "cosinspect_waiting", "Images that wait or are being inspected.", registry=self._registry
        )

    def watch(self, waiting: Callable[[], int]) -> None:
        """Have the gauge tell what `waiting` gives."""
        self._waiting.set_function(waiting)

    def text(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self._registry)
