"""The process that listens: TLS 1.3 with a certificate that may change under it, clients that are slow, and an end that is orderly."""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from cosinspect.errors import InvalidConfiguration
from cosinspect.server.application import application
from cosinspect.server.configuration import Configuration, Listen
from cosinspect.server.verdicts import Verdicts

__all__ = ["listen"]

_logger = logging.getLogger("cosinspect.server")

WATCH_SECONDS = 1.0
"""How often the certificate's files are looked at."""
KEEP_ALIVE = 75
"""Seconds that a connection may be idle between requests; the API server keeps its own for longer than a moment."""


def listen(
    configuration: Configuration,
    environment: Mapping[str, str],
    *,
    ready: Callable[[str], None] = lambda _address: None,
) -> None:
    """Serve until the process is told to end, by SIGTERM or SIGINT; runs in the main thread.

    Args:
        configuration: what the server goes by.
        environment: of the process: where credentials and mirrors are.
        ready: told of the address once it can be called.

    Raises:
        InvalidConfiguration: certificate, rules, or the file of verdicts cannot be used.
        OSError: the address cannot be had.
    """
    settings = configuration.listen
    context = _context(settings)
    verdicts = Verdicts.open(Path(configuration.inspections.database), keep=configuration.inspections.keep)
    try:
        app = application(configuration, verdicts, environment)
    except BaseException:
        verdicts.close()
        raise
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=_patient_for(settings.client_seconds),
        loop="asyncio",
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=settings.connections,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=max(1, round(settings.grace_seconds / 2)),
    )
    config.load()
    config.ssl = context
    server = _Server(config, settings, ready)
    # Uvicorn raises the signal once more when it has ended, which would make of an orderly end a violent one.
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    try:
        server.run()
    finally:
        signal.signal(signal.SIGTERM, before)
    if not server.started:
        raise InvalidConfiguration("the server could not start", where=settings.address)


class _Server(uvicorn.Server):
    """Uvicorn's server, which tells when it listens and renews the certificate."""

    def __init__(self, config: uvicorn.Config, settings: Listen, ready: Callable[[str], None]) -> None:
        super().__init__(config)
        self._settings = settings
        self._ready = ready

    async def startup(self, sockets: Any = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as fault:  # what uvicorn does where the address is taken
            raise OSError(f"{self._settings.address} cannot be listened at") from fault
        if not self.started:
            return
        for server in self.servers:
            for socket in server.sockets:
                host, port = socket.getsockname()[:2]
                scheme = "http" if self._settings.plain_http else "https"
                self._ready(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}")
        if self.config.ssl is not None:
            self._watching = asyncio.create_task(_renew(self.config.ssl, self._settings))


def _context(settings: Listen) -> ssl.SSLContext | None:
    if settings.plain_http:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        _load(context, settings)
        if settings.client_ca is not None:
            context.load_verify_locations(settings.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as fault:  # ssl.SSLError is an OSError
        raise InvalidConfiguration(
            f"certificate and key cannot be used: {fault}",
            where="listen",
            remedy="they must be PEM, belong together, and have no password",
        ) from fault
    return context


def _load(context: ssl.SSLContext, settings: Listen) -> None:
    assert settings.certificate is not None  # noqa: S101 - the configuration demands it
    # A key with a password would have OpenSSL ask a terminal for it.
    context.load_cert_chain(settings.certificate, settings.key, password=lambda: "")


async def _renew(context: ssl.SSLContext, settings: Listen) -> None:
    """Load the certificate again when its files have changed; while they do not fit each other, the old one stays."""
    seen = _stamp(settings)
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        now = _stamp(settings)
        if now == seen:
            continue
        try:
            # Into a context of its own first: a half that fits nothing must not replace half of what is in use.
            _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), settings)
            _load(context, settings)
        except (OSError, ValueError) as fault:
            _logger.warning("the new certificate cannot be used, the old one stays: %s", fault)
            continue
        seen = now
        _logger.info("the certificate was renewed")


def _stamp(settings: Listen) -> tuple[tuple[int, int, int], ...]:
    found = []
    for name in (settings.certificate, settings.key):
        try:
            told = Path(name or "").stat()
        except OSError:
            continue
        found.append((told.st_mtime_ns, told.st_ino, told.st_size))
    return tuple(found)


def _patient_for(seconds: float) -> type[H11Protocol]:
    """Return uvicorn's protocol with a bound on what a client takes to send a request's head."""

    class Protocol(H11Protocol):
        """Lets go of a connection whose request does not come to the end of its head in time."""

        head_due: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.head_due = self.loop.call_later(seconds, self.give_up)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            cycle: Any = self.cycle
            if cycle is not None and not cycle.response_complete:
                self.forget()
            elif self.head_due is None:
                self.head_due = self.loop.call_later(seconds, self.give_up)

        def connection_lost(self, exc: Exception | None) -> None:
            self.forget()
            super().connection_lost(exc)

        def forget(self) -> None:
            if self.head_due is not None:
                self.head_due.cancel()
                self.head_due = None

        def give_up(self) -> None:
            self.head_due = None
            self.transport.close()

    return Protocol
