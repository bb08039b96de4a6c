"""Connections to registries: kept for further requests, and given up when the head of an answer only drips in.

A socket's time-out begins anew with every byte, so a server that sends one now and then could hold a client for days
before its body, which is read under a deadline, even begins. Here the head as a whole has the time of one silence.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse

__all__ = ["AddressGuard", "InternalAddressError", "PatientAdapter", "causes", "is_internal"]

MAX_CAUSES = 16
"""Exceptions that are looked at within one."""
POOLED_CONNECTIONS = 32
"""Idle connections kept; as many layers as anybody reads at once."""


def is_internal(address: str) -> bool:
    """Return whether an address belongs to this machine or its network: loopback, link-local, private, or invalid."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return not found.is_global or found.is_multicast


class InternalAddressError(OSError):
    """A registry on a public address names a host whose address is internal."""


class AddressGuard:
    """Keeps a registry on a public address from having its client ask hosts of the client's own network.

    The address that a connection really has is looked at, before a byte is sent: a name may lead anywhere. A connection by
    way of a proxy is the proxy's affair.

    Args:
        allowed: whether internal addresses may be asked anyway.
    """

    def __init__(self, *, allowed: bool) -> None:
        self._allowed = allowed
        self._registry_is_internal = False

    def meet_registry(self, address: str) -> None:
        """Record the address of the registry."""
        if is_internal(address):
            self._registry_is_internal = True

    def meet_other(self, address: str) -> None:
        """Look at where a token server or a redirect leads.

        Raises:
            InternalAddressError: to an internal address, and the registry is not on one.
        """
        if not (self._allowed or self._registry_is_internal) and is_internal(address):
            raise InternalAddressError(address)


class _Connection(HTTPConnection):
    meet: Callable[[str], None] | None = None
    """Told the address of each connection that is made without a proxy."""

    def _new_conn(self) -> socket.socket:
        made = super()._new_conn()
        if self.meet is not None and self.proxy is None:
            try:
                self.meet(made.getpeername()[0])
            except OSError:
                made.close()
                raise
        return made

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # urllib3's own is another type than http.client's
        """Return the answer when its head is complete.

        Raises:
            TimeoutError: the head is not complete within the read time-out, even if bytes arrive.
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
        """Connect without a warning about an unverified certificate: that was requested."""
        if conn.is_closed:
            conn.connect()


def _pools(meet: Callable[[str], None] | None) -> dict[str, type[HTTPConnectionPool]]:
    """Return pools whose connections tell `meet` their addresses."""
    told = {"meet": staticmethod(meet) if meet is not None else None}
    plain = type("_MetPool", (_Pool,), {"ConnectionCls": type("_Met", (_Connection,), told)})
    secure = type("_MetTLSPool", (_TLSPool,), {"ConnectionCls": type("_MetTLS", (_TLSConnection,), told)})
    return {"http": plain, "https": secure}


class PatientAdapter(HTTPAdapter):
    """The adapter of a registry's client; it never repeats a request."""

    def __init__(
        self, tls: ssl.SSLContext | None = None, *, meet: Callable[[str], None] | None = None
    ) -> None:
        """Speak TLS with `tls`, or as usual; tell `meet` the address of each connection, which it may refuse with an OSError."""
        self._tls = tls
        self._pools = _pools(meet)
        super().__init__(pool_connections=POOLED_CONNECTIONS, pool_maxsize=POOLED_CONNECTIONS, max_retries=0)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the connections' pools."""
        if self._tls is not None:
            options["ssl_context"] = self._tls
        super().init_poolmanager(*arguments, **options)

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
        """Return the connections by way of a proxy, with the same patience."""
        if self._tls is not None:
            options["ssl_context"] = self._tls
        manager = super().proxy_manager_for(*arguments, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager


def causes(fault: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it wraps: requests and urllib3 keep it in several places."""
    waiting: list[object] = [fault]
    for _ in range(MAX_CAUSES):
        if not waiting:
            return
        cause = waiting.pop(0)
        if isinstance(cause, BaseException):
            yield cause
            waiting += [*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__]
