"""The port between a registry's client and the connections that carry its requests.

`connections` keeps connections and knows proxies, with requests and urllib3; `direct` makes one for each request, with the
standard library alone. What a client reads and repeats does not depend on which one carries it.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Mapping
from typing import Protocol

from attrs import frozen

from cosinspect.sources.registry.auth import Url
from cosinspect.sources.registry.retries import Failure, Timeouts

__all__ = [
    "AddressGuard",
    "AnswerLostError",
    "Destination",
    "HttpAnswer",
    "HttpTransport",
    "InternalAddressError",
    "TransportMaker",
    "is_internal",
]


class AnswerLostError(Exception):
    """The body of an answer does not come to its end.

    Attributes:
        silent: nothing came within the read time-out; otherwise the connection was closed.
    """

    def __init__(self, *, silent: bool) -> None:
        super().__init__(silent)
        self.silent = silent


class HttpAnswer(Protocol):
    """The answer to one request; its body is not yet read.

    Attributes:
        status: of HTTP.
        headers: by name, in any case; those of one name are joined by commas.
    """

    status: int
    headers: Mapping[str, str]

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes of the body as they are sent, as soon as there are any, and none at the end.

        Raises:
            AnswerLostError: the connection is silent or lost.
        """

    def close(self) -> None:
        """Return or close the connection."""


class HttpTransport(Protocol):
    """Carries requests; thread-safe. It follows no redirect and repeats nothing."""

    def send(
        self, method: str, url: Url, headers: Mapping[str, str], body: bytes | None, timeouts: Timeouts
    ) -> HttpAnswer | Failure:
        """Send a request; return its answer when the head is complete, or why there is none.

        Args:
            method: of HTTP.
            url: the target.
            headers: all that are sent, beside `Host` and the length of the body.
            body: of the request.
            timeouts: for the connection, and for the head of the answer.
        """

    def close(self) -> None:
        """Close the idle connections."""


@frozen
class Destination:
    """What a transport must know of the hosts that it connects to.

    Attributes:
        registry: the only host that is shown the client's certificate.
        guard: is called with the address of each connection that is made without a proxy.
        tls: the TLS context for the registry, None for the default.
        tls_elsewhere: the same for token servers and storage.
        timeouts: for messages.
    """

    registry: Url
    guard: AddressGuard
    tls: ssl.SSLContext | None
    tls_elsewhere: ssl.SSLContext | None
    timeouts: Timeouts

    def is_registry(self, url: Url) -> bool:
        """Return whether a request goes to the registry itself."""
        return url.text.startswith(f"{self.registry.text}/")


TransportMaker = Callable[[Destination], HttpTransport]


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
