"""systemd's protocol of readiness, sd_notify(3): one datagram for each change of state."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping

from attrs import frozen

__all__ = ["ServiceManager"]


@frozen
class ServiceManager:
    """Tells the service manager that started the process about its state; without one, nothing is sent.

    Attributes:
        address: of the manager's socket; "" if there is none.
    """

    address: str = ""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> ServiceManager:
        """Find the manager as the process's environment names it."""
        address = environment.get("NOTIFY_SOCKET", "")
        return cls(address if address.startswith(("/", "@")) else "")

    def ready(self, status: str) -> None:
        """Say that requests are answered."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """Say that the configuration is being read; `ready` follows, whatever comes of it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Say that the process ends."""
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if not self.address:
            return
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        # A manager that does not listen stops no request.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(address)
            sender.send(state.encode())
