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
    """Reports the state of the process to the service manager that started it; without one, nothing is sent.

    Attributes:
        address: of the manager's socket; "" if there is none.
    """

    address: str = ""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> ServiceManager:
        """Return the manager that the environment names."""
        address = environment.get("NOTIFY_SOCKET", "")
        return cls(address if address.startswith(("/", "@")) else "")

    def ready(self, status: str) -> None:
        """Report that requests are answered."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """Report that the configuration is being read; `ready` always follows."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Report that the process ends."""
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if not self.address:
            return
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        # An unreachable manager does not stop requests.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(address)
            sender.send(state.encode())
