"""The server's counters, for Prometheus."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from cosinspect.version import __version__

__all__ = ["Metrics"]

HOSTS = 200
"""The most hosts of registries with their own counter; the rest share one, because requests can name any host."""
OTHER_HOSTS = "other"


class Metrics:
    """Counters of one server, in a registry of their own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = registry = _MetricRegistry()
        self.requests = Counter(
            "cosinspect_requests",
            "Requests by protocol and HTTP status.",
            ["protocol", "status"],
            registry=registry,
        )
        self.answer_seconds = Histogram(
            "cosinspect_answer_seconds",
            "Time to an answer, by protocol.",
            ["protocol"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=registry,
        )
        self.decisions = Counter(
            "cosinspect_decisions",
            "Images decided for requests, by protocol, rule, mode, verdict, and whether they were admitted.",
            ["protocol", "rule", "mode", "verdict", "admitted"],
            registry=registry,
        )
        self.inspected = Counter(
            "cosinspect_inspections",
            "Inspections made, by verdict; error where there is none.",
            ["verdict"],
            registry=registry,
        )
        self.seconds = Histogram(
            "cosinspect_inspection_seconds",
            "Time of an inspection.",
            buckets=(0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
            registry=registry,
        )
        self.refused = Counter(
            "cosinspect_refused", "Images refused because the queue was full.", registry=registry
        )
        self.events = Counter(
            "cosinspect_notifications",
            "Events of registries, by their effect.",
            ["outcome"],
            registry=registry,
        )
        self.reloads = Counter(
            "cosinspect_configuration_reloads",
            "Times that the configuration was read again, by outcome: success or failure.",
            ["outcome"],
            registry=registry,
        )
        self.reload_failed = Gauge(
            "cosinspect_configuration_reload_failed",
            "1 while the configuration's files have mistakes and the server uses the earlier configuration.",
            registry=registry,
        )
        self.loaded = Gauge(
            "cosinspect_configuration_load_timestamp_seconds",
            "When the configuration in use was read.",
            registry=registry,
        )
        self.certificate = Gauge(
            "cosinspect_certificate_expiry_timestamp_seconds",
            "When the server's certificate expires; 0 without TLS.",
            registry=registry,
        )
        self._registry_errors = Counter(
            "cosinspect_registry_errors",
            "Failures of registries, by host and kind of error.",
            ["host", "error"],
            registry=registry,
        )
        self._hosts: set[str] = set()
        self._waiting = Gauge(
            "cosinspect_waiting", "Images that wait or are being inspected.", registry=registry
        )
        self._queue_age = Gauge(
            "cosinspect_queue_age_seconds",
            "Longest time that an image waits for a worker; 0 if none waits.",
            registry=registry,
        )
        build = Gauge("cosinspect_build_info", "Always 1.", ["version", "python_version"], registry=registry)
        build.labels(__version__, platform.python_version()).set(1)
        self.reloads.labels("success")
        self.reloads.labels("failure")

    def watch(self, waiting: Callable[[], int], queue_age: Callable[[], float]) -> None:
        """Read the gauges of the queue from these functions."""
        self._waiting.set_function(waiting)
        self._queue_age.set_function(queue_age)

    def registry_error(self, host: str, error: str) -> None:
        """Count a failure of a registry.

        Args:
            host: of the registry.
            error: the class of the error.
        """
        if host not in self._hosts:
            if len(self._hosts) >= HOSTS:
                host = OTHER_HOSTS
            else:
                self._hosts.add(host)
        self._registry_errors.labels(host, error).inc()

    def configuration_loaded(self) -> None:
        """Record that the configuration in use was read now."""
        self.loaded.set(time.time())
        self.reload_failed.set(0)

    def text(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self._registry)


class _MetricRegistry(CollectorRegistry):
    """A registry without the start time of each counter, which would be a third of all series."""

    def collect(self) -> Iterator[Metric]:
        for family in super().collect():
            family.samples = [each for each in family.samples if not each.name.endswith("_created")]
            yield family
