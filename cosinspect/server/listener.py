"""The listening process: TLS 1.3 with a certificate that is reloaded, slow clients, signals, and an orderly shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import signal
import time
from collections.abc import Iterator, Mapping
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from cosinspect.errors import InvalidConfiguration
from cosinspect.server.application import application
from cosinspect.server.certificate import renew, tls_context
from cosinspect.server.service import Service
from cosinspect.server.service_manager import ServiceManager
from cosinspect.server.settings import Settings
from cosinspect.server.verdicts import Verdicts

__all__ = ["listen"]

_logger = logging.getLogger("cosinspect.server")

KEEP_ALIVE = 75
"""Seconds that a connection may be idle between requests; the API server keeps its connections open."""

ENDING_SECONDS = 2.0
"""The end of the grace, for what follows when requests in hand are answered or given up."""
CLOSE_SECONDS = 1.0
"""What a client may take to close its side of a connection that has no request, once the server ends."""


def listen(path: str, environment: Mapping[str, str]) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reloads. It runs in the main thread.

    Args:
        path: of the server's configuration.
        environment: of the process; it names credentials, mirrors and the service manager.

    Raises:
        InvalidConfiguration: configuration, certificate, rules, or the store of verdicts cannot be used.
        OSError: the address cannot be used.
    """
    loaded = Settings.load(path)
    configuration = loaded.configuration
    settings = configuration.listen
    verdicts = Verdicts.open(configuration.inspections.database, keep=configuration.inspections.keep)
    try:
        service = Service(path, loaded, verdicts, environment)
        context = tls_context(settings, service.metrics)
    except BaseException:
        verdicts.close()
        raise
    config = uvicorn.Config(
        application(service),
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
        timeout_graceful_shutdown=max(1, round(settings.grace_seconds - ENDING_SECONDS)),
    )
    config.load()
    config.ssl = context
    server = _Server(config, service, ServiceManager.of(environment))
    with _signals():
        server.run()
    if not server.started:
        raise InvalidConfiguration("the server could not start", where=settings.address)


def _refusal(address: str, cause: BaseException | None) -> str:
    """Return why an address cannot be used, and what to do."""
    number = cause.errno if isinstance(cause, OSError) else None
    reasons = {
        errno.EADDRINUSE: "another program listens there; end it (ss -ltnp lists them)",
        errno.EADDRNOTAVAIL: "this machine has no such address; use one of its own (ip address lists them)",
        errno.EACCES: "this user may not use the port; use one from 1024 on",
    }
    reason = reasons.get(
        number or 0, f"{cause or 'the operating system refuses it'}; use one that it accepts"
    )
    return f"{address}: expected an address to listen at, {reason}, or set another listen.address"


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Handle signals, so that none ends the process before or after the event loop handles them.

    Uvicorn raises SIGTERM again after its end, which would end the process with a signal.
    """
    before = {
        number: signal.signal(number, lambda _number, _frame: None)
        for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Server(uvicorn.Server):
    """Uvicorn's server, which reports when it listens, renews the certificate, and reloads on SIGHUP."""

    def __init__(self, config: uvicorn.Config, service: Service, manager: ServiceManager) -> None:
        super().__init__(config)
        self._service = service
        self._manager = manager
        self._tasks: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: Any = None) -> None:
        settings = self._service.protocols.settings.configuration.listen
        log = logging.getLogger("uvicorn.error")
        log.disabled = True  # it prints the operating system's words, and the error below says more
        try:
            await super().startup(sockets)
        except SystemExit as fault:  # uvicorn's reaction to an address that cannot be used
            raise OSError(_refusal(settings.address, fault.__context__)) from fault
        finally:
            log.disabled = False
        if not self.started:
            return
        for server in self.servers:
            for socket in server.sockets:
                host, port = socket.getsockname()[:2]
                scheme = "http" if settings.plain_http else "https"
                address = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
                _logger.info("listening at %s", address)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: self._keep(self._reload()))
        if self.config.ssl is not None:
            self._keep(renew(self.config.ssl, settings, self._service.metrics))
        # What is here at the start stays. A collection that looks at all of it holds up every answer (70 ms were measured).
        gc.collect()
        gc.freeze()
        self._manager.ready("answering")

    async def shutdown(self, sockets: Any = None) -> None:
        self._manager.stopping()
        _logger.info("ending")
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, lambda _number, _frame: None)
        for task in self._tasks:
            task.cancel()
        self._keep(self._close_connections())
        await super().shutdown(sockets)

    async def _close_connections(self) -> None:
        """End connections that have no request and whose client does not close them: TLS would wait for it."""
        since: dict[H11Protocol, float] = {}
        while True:
            await asyncio.sleep(0.1)
            for connection in list(self.server_state.connections):
                if not isinstance(connection, H11Protocol) or _is_asked(connection):
                    continue
                now = time.monotonic()
                if now - since.setdefault(connection, now) >= CLOSE_SECONDS:
                    connection.transport.abort()

    async def _reload(self) -> None:
        self._manager.reloading()
        taken = await self._service.reload()
        self._manager.ready("answering" if taken else "answering by the earlier configuration")

    def _keep(self, work: Any) -> None:
        """Run a task in parallel with requests; a reference keeps it from garbage collection."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_asked(connection: H11Protocol) -> bool:
    """Return whether a connection has a request that is not answered yet."""
    cycle: Any = connection.cycle
    return cycle is not None and not cycle.response_complete


def _patient_for(seconds: float) -> type[H11Protocol]:
    """Return uvicorn's protocol with a time limit for a request's head."""

    class Protocol(H11Protocol):
        """Closes a connection if the head of its request is not complete in time."""

        head_due: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.head_due = self.loop.call_later(seconds, self.give_up)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if _is_asked(self):
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
