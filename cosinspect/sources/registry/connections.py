"""Connections to registries by requests and urllib3: kept for further requests, and made by way of proxies.

It is the only module that imports `requests` and its `urllib3`. Requests go through the adapters, not through
`Session.request`: that would answer from .netrc, keep cookies, and read the body of a redirect whole. Proxies and
certificate bundles are found as `requests` finds them.

An error's text names hosts, never a URL: paths and queries of storage servers carry signatures. For the same reason no
error is chained to what `requests` raised.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from cosinspect.errors import TransportError
from cosinspect.sources.registry.answer_heads import HeadInTime
from cosinspect.sources.registry.auth import Url
from cosinspect.sources.registry.retries import Failure, Timeouts
from cosinspect.sources.registry.transport import (
    AnswerLostError,
    Destination,
    HttpAnswer,
    InternalAddressError,
)

__all__ = ["KeptConnections"]

MAX_CAUSES = 16
"""Exceptions that are looked at within one."""
POOLED_CONNECTIONS = 32
"""Idle connections kept; as many layers as anybody reads at once."""

# OpenSSL's words for an answer that is no TLS record.
_NOT_TLS = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")


class _Connection(HeadInTime, HTTPConnection):
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
    """Return pools whose connections pass their addresses to `meet`."""
    told = {"meet": staticmethod(meet) if meet is not None else None}
    plain = type("_MetPool", (_Pool,), {"ConnectionCls": type("_Met", (_Connection,), told)})
    secure = type("_MetTLSPool", (_TLSPool,), {"ConnectionCls": type("_MetTLS", (_TLSConnection,), told)})
    return {"http": plain, "https": secure}


class _Adapter(HTTPAdapter):
    """It never repeats a request."""

    def __init__(
        self, tls: ssl.SSLContext | None = None, *, meet: Callable[[str], None] | None = None
    ) -> None:
        """Use the TLS context `tls`, or the default; pass the address of each connection to `meet`, which may refuse it with an OSError."""
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


class KeptConnections:
    """Carries requests on connections that are kept, or by way of proxies.

    Args:
        destination: what it connects to.
    """

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._session = requests.Session()
        tls, tls_elsewhere, guard = destination.tls, destination.tls_elsewhere, destination.guard
        # Token servers and storage often have the registry's own authority, so that is trusted there as well.
        self._session.mount("https://", _Adapter(tls_elsewhere, meet=guard.meet_other))
        self._session.mount("http://", _Adapter(meet=guard.meet_other))
        # For the registry only: no other host gets its client's certificate.
        own = _Adapter(tls if tls is not None else tls_elsewhere, meet=guard.meet_registry)
        self._session.mount(f"{destination.registry.text}/", own)

    def send(
        self, method: str, url: Url, headers: Mapping[str, str], body: bytes | None, timeouts: Timeouts
    ) -> HttpAnswer | Failure:
        """Send a request; return its answer when the head is complete, or why there is none."""
        try:
            # A callable for `auth` keeps requests from taking any out of the URL.
            request = requests.Request(method, url.text, dict(headers), data=body, auth=_as_it_is).prepare()
            settings = self._session.merge_environment_settings(url.text, {}, True, None, None)
            response = self._session.get_adapter(url.text).send(
                request,
                stream=True,
                timeout=(timeouts.connect, timeouts.read),
                verify=self._verify(url, settings["verify"]),
                cert=settings["cert"],
                # No proxy can reach this machine's own registry, as Go's clients know too.
                proxies={} if url.is_loopback else settings["proxies"],
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as fault:
            failure = _unsent(fault, url, self._destination)
        else:
            return _KeptAnswer(response)
        return failure

    def close(self) -> None:
        """Close the idle connections."""
        self._session.close()

    def _verify(self, url: Url, usual: bool | str | None) -> bool | str:
        """Return the certificate authorities for verification: the default ones, a bundle, or none."""
        tls = self._destination.tls if self._destination.is_registry(url) else None
        if tls is not None and tls.verify_mode is ssl.CERT_NONE:
            return False
        return True if usual is None else usual


class _KeptAnswer:
    def __init__(self, response: requests.Response) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response

    def read(self, size: int) -> bytes:
        try:
            # Not read(): that waits for all of `size`, and a byte now and then would keep it waiting for ever.
            data: bytes = self._response.raw.read1(size, decode_content=False) or b""
        except urllib3.exceptions.ReadTimeoutError:
            raise AnswerLostError(silent=True) from None
        except (urllib3.exceptions.HTTPError, OSError, ValueError):
            raise AnswerLostError(silent=False) from None
        return data

    def close(self) -> None:
        self._response.close()


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _unsent(fault: Exception, url: Url, destination: Destination) -> Failure:
    """Return what kept an answer from coming, without the words of `fault`: they quote the URL."""
    message, remedy, again = f"{url} cannot be reached", "check the network and try again", True
    found = tuple(_causes(fault))
    if any(isinstance(cause, InternalAddressError) for cause in found):
        message = f"{destination.registry} sends its client to {url}, which has an address of this machine or its network"
        remedy, again = "if that is right, allow it with --allow-private-addresses", False
    elif isinstance(fault, requests.exceptions.SSLError):
        reasons = [cause.reason or "" for cause in found if isinstance(cause, ssl.SSLError)]
        message = f"{url} broke off the TLS handshake"
        if any(reason in _NOT_TLS for reason in reasons):
            message, remedy = f"{url} does not speak TLS", "if it speaks plain HTTP, try --plain-http"
            again = False
        elif any(reason.startswith("CERTIFICATE") for reason in reasons):
            message = f"the certificate of {url} cannot be verified"
            remedy = (
                "if its authority is your own, name the directory of its certificate with --cert-dir, or the bundle in "
                "REQUESTS_CA_BUNDLE; --tls-verify=false accepts any certificate"
            )
            again = False
    elif isinstance(fault, requests.exceptions.ProxyError):
        message = f"the proxy on the way to {url} does not let the request through"
        remedy = "check the proxy in HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
    elif isinstance(fault, requests.exceptions.ConnectTimeout):
        message = f"{url} takes no connection within {destination.timeouts.connect:g} s"
    elif isinstance(fault, requests.exceptions.ReadTimeout):
        message = f"{url} gives no answer within {destination.timeouts.read:g} s"
    elif any(isinstance(cause, urllib3.exceptions.NameResolutionError) for cause in found):
        message = f"the name of {url} cannot be resolved"
        remedy = "check the name and the network"
    elif any(isinstance(cause, ConnectionRefusedError) for cause in found):
        message = f"{url} refuses the connection"
        remedy = "check the port and whether the registry is running"
    elif isinstance(fault, requests.ConnectionError | urllib3.exceptions.HTTPError):
        message = f"{url} closed the connection without an answer"
    elif isinstance(fault, requests.RequestException | ValueError):
        message, remedy, again = f"a request cannot be made for {url}", "check the name", False
    else:  # what requests lets pass before it connects
        message, again = "the bundle of certificates cannot be read", False
        remedy = "check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE"
    return Failure(TransportError(message, remedy=remedy), again=again)


def _causes(fault: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it wraps: requests and urllib3 keep it in several places."""
    waiting: list[object] = [fault]
    for _ in range(MAX_CAUSES):
        if not waiting:
            return
        cause = waiting.pop(0)
        if isinstance(cause, BaseException):
            yield cause
            waiting += [*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__]
