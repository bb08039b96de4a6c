"""Connections to registries: kept for further requests, and given up when the head of an answer only drips in.

A socket's time-out begins anew with every byte, so a server that sends one now and then could hold a client for days
before its body, which is read under a deadline, even begins. Here the head as a whole has the time of one silence.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse

__all__ = ["PatientAdapter"]

POOLED_CONNECTIONS = 32
"""Idle connections kept; as many layers as anybody reads at once."""


class _Connection(HTTPConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # urllib3's own is another type than http.client's
        """Give the answer once its head is there.

        Raises:
            TimeoutError: it is not whole within the read time-out, however busily it comes.
        """
        late = threading.Event()

        def give_up() -> None:
            late.set()
            if self.sock is not None:
                with contextlib.suppress(OSError):
                    self.sock.shutdown(socket.SHUT_RDWR)  # ends the read that waits for more

        seconds = self.timeout
        timer = threading.Timer(seconds, give_up) if isinstance(seconds, int | float) else None
        if timer:
            timer.daemon = True
            timer.start()
        try:
            response = super().getresponse()
        except Exception as fault:
            if late.is_set():
                raise TimeoutError("the head of the answer does not end") from fault
            raise
        finally:
            if timer:
                timer.cancel()
        if late.is_set():  # http.client takes the end of the connection for that of the headers
            response.close()
            raise TimeoutError("the head of the answer does not end")
        return response


class _TLSConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection

    def _validate_conn(self, conn: Any) -> None:
        """Connect, and warn nobody of a certificate that does not count: that was asked for."""
        if conn.is_closed:
            conn.connect()


_POOLS = {"http": _Pool, "https": _TLSPool}


class PatientAdapter(HTTPAdapter):
    """The adapter of a registry's client; it never repeats a request by itself."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        """Speak TLS with `tls`, or as usual."""
        self._tls = tls
        super().__init__(pool_connections=POOLED_CONNECTIONS, pool_maxsize=POOLED_CONNECTIONS, max_retries=0)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the connections' pools."""
        if self._tls is not None:
            options["ssl_context"] = self._tls
        super().init_poolmanager(*arguments, **options)

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
        """Give the connections by way of a proxy, with the same patience."""
        if self._tls is not None:
            options["ssl_context"] = self._tls
        manager = super().proxy_manager_for(*arguments, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager
