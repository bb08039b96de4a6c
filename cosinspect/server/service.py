"""The running server: its current settings, their replacement, and its readiness."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import frozen

from cosinspect.errors import InvalidConfiguration
from cosinspect.server.examination import examine
from cosinspect.server.inspector import Inspector
from cosinspect.server.metrics import Metrics
from cosinspect.server.protocols import Protocols
from cosinspect.server.settings import Settings, stamp_of
from cosinspect.server.verdicts import Verdicts

__all__ = ["Readiness", "Service"]

_logger = logging.getLogger("cosinspect.server")

WATCH_SECONDS = 1.0
"""Seconds between looks at files; a change counts if two looks find the same, so that a half-written file is not read."""
RETRY_SECONDS = 10.0
"""Seconds between reads of refused files: a missing file may exist now although no watched file changed."""
REMEMBERED = 4
"""The number of earlier configurations whose scans Harbor may still request."""
PROBE_SECONDS = 1.0
"""Seconds that an answer about readiness is reused: any client may ask."""


@frozen
class Readiness:
    """Whether the server can decide images.

    Attributes:
        reasons: why it cannot; empty if it can.
        document: the answer of `/readyz`.
    """

    reasons: tuple[str, ...]
    document: dict[str, Any]


class Service:
    """The handlers of requests with their settings; used in one event loop.

    Args:
        path: of the configuration.
        settings: read from it.
        verdicts: earlier verdicts; closed with the service.
        environment: of the process: where credentials and mirrors are.
    """

    def __init__(
        self, path: str, settings: Settings, verdicts: Verdicts, environment: Mapping[str, str]
    ) -> None:
        self.metrics = Metrics()
        self.verdicts = verdicts
        self.inspector = Inspector(settings, verdicts, self.metrics, environment)
        self.protocols = Protocols.of(settings, self.inspector, self.metrics)
        self.metrics.watch(lambda: self.inspector.waiting, lambda: self.inspector.queue_age)
        self.metrics.configuration_loaded()
        self._path = path
        self._earlier: deque[Protocols] = deque(maxlen=REMEMBERED)
        self._loaded = time.time()
        self._mistakes: tuple[str, ...] = ()
        self._seen = settings.stamp
        self._retry = 0.0
        self._reloading = asyncio.Lock()
        self._watcher: asyncio.Task[None] | None = None
        self._probed: tuple[float, tuple[str, ...]] | None = None
        self._probing = asyncio.Lock()

    # -- its life --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start to inspect, and to watch files."""
        self.inspector.start()
        self._watcher = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Give up what is still in hand, since no request waits any longer, and close the verdicts."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        await self.inspector.close()
        self.verdicts.close()

    # -- settings -------------------------------------------------------------------------------------------

    async def reload(self) -> bool:
        """Read the configuration and its files again; with mistakes the earlier settings stay. Return whether it is in use."""
        async with self._reloading:
            current = self.protocols.settings
            self._seen = stamp_of(current.files)
            try:
                found = await asyncio.to_thread(Settings.load, self._path)
            except InvalidConfiguration as fault:
                self._refused(fault, await asyncio.to_thread(self._examined))
                return False
            except Exception as fault:  # the earlier settings stay valid after any failure
                _logger.exception("the configuration cannot be loaded")
                self._refused(InvalidConfiguration(f"internal error: {type(fault).__name__}: {fault}"))
                return False
            settings = found.after(current.configuration)
            self.inspector.adopt(settings)
            self._earlier.append(self.protocols)
            self.protocols = Protocols.of(settings, self.inspector, self.metrics)
            self._seen, self._mistakes, self._loaded = settings.stamp, (), time.time()
            self.metrics.reloads.labels("success").inc()
            self.metrics.configuration_loaded()
            _logger.info("the configuration was reloaded", extra={"rules": len(settings.configuration.rules)})
            if settings.restart:
                _logger.warning(
                    "these keys changed and take effect after a restart: %s", ", ".join(settings.restart)
                )
            return True

    def _examined(self) -> tuple[str, ...]:
        """Return every mistake, not only those that ended the loading; empty if that fails."""
        try:
            return examine(self._path)
        except Exception:  # the first mistake is known in any case
            _logger.exception("the configuration cannot be examined")
            return ()

    def _refused(self, fault: InvalidConfiguration, examined: tuple[str, ...] = ()) -> None:
        self._retry = time.monotonic() + RETRY_SECONDS
        mistakes = examined or tuple(fault.mistakes) or (str(fault),)
        self.metrics.reloads.labels("failure").inc()
        self.metrics.reload_failed.set(1)
        if mistakes == self._mistakes:
            return
        self._mistakes = mistakes
        _logger.error(
            "the configuration has mistakes, the earlier one stays in use", extra={"mistakes": list(mistakes)}
        )

    async def _watch(self) -> None:
        before = self._seen
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            now = stamp_of(self.protocols.settings.files)
            changed = now != self._seen and now == before
            before = now
            if changed or (self._mistakes and time.monotonic() >= self._retry):
                await self.reload()

    # -- readiness -------------------------------------------------------------------------------------

    async def readiness(self) -> Readiness:
        """Return whether images can be decided: the store of verdicts can be written, and workers are alive."""
        async with self._probing:
            if self._probed is None or self._probed[0] <= time.monotonic():
                reasons = await self._probe()
                self._probed = time.monotonic() + PROBE_SECONDS, reasons
            reasons = self._probed[1]
        configuration: dict[str, Any] = {
            "file": Path(self._path).name,
            "loaded": datetime.fromtimestamp(self._loaded, UTC).isoformat(timespec="seconds"),
            "mistakes": list(self._mistakes),
            "restart": list(self.protocols.settings.restart),
        }
        status = "not ready" if reasons else "ok"
        return Readiness(
            reasons, {"status": status, "reasons": list(reasons), "configuration": configuration}
        )

    async def _probe(self) -> tuple[str, ...]:
        reasons = []
        unwritable = await asyncio.to_thread(self.verdicts.probe)
        if unwritable is not None:
            reasons.append(f"verdicts cannot be written: {unwritable}")
        idle = self.inspector.failing
        if idle is not None:
            reasons.append(idle)
        return tuple(reasons)
