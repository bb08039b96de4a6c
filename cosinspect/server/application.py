"""The server as an ASGI application: which path speaks which protocol, and what bounds every request."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

from attrs import define
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from cosinspect.errors import InvalidConfiguration
from cosinspect.kubernetes_images import ImageFields
from cosinspect.server.admission import Admissions
from cosinspect.server.configuration import Configuration, Guarded
from cosinspect.server.exchange import Refusal, Reply, reply_json
from cosinspect.server.gate import Gate
from cosinspect.server.gatekeeper import Provider
from cosinspect.server.harbor import ERROR, Scanner
from cosinspect.server.inspector import Inspector
from cosinspect.server.metrics import Metrics
from cosinspect.server.notifications import Notifications
from cosinspect.server.openapi import description
from cosinspect.server.reports import Reports
from cosinspect.server.verdicts import Verdicts

__all__ = ["application"]

_logger = logging.getLogger("cosinspect.server")

TOKEN_BYTES = 4096

Answer = Callable[[Request, bytes, float], Awaitable[Reply]]


def application(
    configuration: Configuration, verdicts: Verdicts, environment: Mapping[str, str]
) -> Starlette:
    """Make the application.

    Args:
        configuration: what it goes by.
        verdicts: what was decided before; closed with the application.
        environment: of the process: where credentials and mirrors are.

    Raises:
        InvalidConfiguration: a rule names what cannot be used.
    """
    metrics = Metrics()
    inspector = Inspector(configuration, verdicts, metrics, environment)
    metrics.watch(lambda: inspector.waiting)
    desk = _Desk(configuration, metrics)
    gate = Gate(configuration, inspector, metrics)
    admissions = Admissions(configuration, ImageFields(configuration.kinds), gate)
    provider = Provider(gate, configuration.admission.seconds)
    reports = Reports(verdicts)

    def admission(*, mutate: bool) -> Answer:
        async def answer(request: Request, body: bytes, arrived: float) -> Reply:
            timeout = request.query_params.get("timeout")
            return await admissions.answer(body, patience=timeout, arrived=arrived, mutate=mutate)

        return answer

    def gatekeeper(*, pin: bool) -> Answer:
        async def answer(_request: Request, body: bytes, arrived: float) -> Reply:
            return await provider.answer(body, arrived=arrived, pin=pin)

        return answer

    async def report(request: Request, _body: bytes, _arrived: float) -> Reply:
        return await asyncio.to_thread(
            reports.answer, request.path_params["digest"], request.headers.get("accept", "")
        )

    async def health(_request: Request, _body: bytes, _arrived: float) -> Reply:
        return reply_json({"status": "ok"})

    described = reply_json(description())

    async def describe(_request: Request, _body: bytes, _arrived: float) -> Reply:
        return described

    async def tell(_request: Request, _body: bytes, _arrived: float) -> Reply:
        return Reply(metrics.text(), media_type=metrics.content_type)

    routes = [
        desk.route("/admission", "admission", admission(mutate=False), "POST"),
        desk.route("/mutate", "mutate", admission(mutate=True), "POST"),
        desk.route("/gatekeeper", "gatekeeper", gatekeeper(pin=False), "POST"),
        desk.route("/gatekeeper/pin", "gatekeeper", gatekeeper(pin=True), "POST"),
        desk.route("/reports/{digest}", "reports", report, "GET"),
        desk.route("/healthz", "health", health, "GET"),
        desk.route("/readyz", "health", health, "GET"),
        desk.route("/metrics", "metrics", tell, "GET"),
        desk.route("/openapi.json", "openapi", describe, "GET"),
    ]
    if configuration.notifications is not None:
        notifications = Notifications(configuration, inspector, metrics)

        async def notify(_request: Request, body: bytes, _arrived: float) -> Reply:
            return notifications.answer(body)

        routes.append(
            desk.route("/notifications", "notifications", notify, "POST", configuration.notifications)
        )
    if configuration.harbor is not None:
        routes.extend(_harbor(desk, Scanner(configuration, inspector), configuration.harbor))

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        inspector.start()
        try:
            yield
        finally:
            await inspector.close(configuration.listen.grace_seconds / 2)
            verdicts.close()

    return Starlette(routes=routes, lifespan=lifespan)


def _harbor(desk: _Desk, scanner: Scanner, guarded: Guarded) -> list[Route]:
    async def metadata(_request: Request, _body: bytes, _arrived: float) -> Reply:
        return scanner.metadata()

    async def scan(_request: Request, body: bytes, _arrived: float) -> Reply:
        return await scanner.scan(body)

    async def report(request: Request, _body: bytes, _arrived: float) -> Reply:
        return await asyncio.to_thread(scanner.report, request.path_params["scan"])

    base = "/scanner/api/v1"
    return [
        desk.route(f"{base}/metadata", "harbor", metadata, "GET", guarded),
        desk.route(f"{base}/scan", "harbor", scan, "POST", guarded),
        desk.route(f"{base}/scan/{{scan}}/report", "harbor", report, "GET", guarded),
    ]


@define
class _Desk:
    """Takes requests: bounded in size and time, counted, and answered whatever happens."""

    configuration: Configuration
    metrics: Metrics

    def route(
        self, path: str, protocol: str, answer: Answer, method: str, guarded: Guarded | None = None
    ) -> Route:
        token = _token(guarded)

        async def endpoint(request: Request) -> Response:
            arrived = time.monotonic()
            try:
                _authorize(request, token)
                body = await self._body(request) if method == "POST" else b""
                reply = await answer(request, body, arrived)
            except ClientDisconnect:
                reply = Reply(status=499)  # nobody hears it
            except Refusal as fault:
                reply = _refused(fault, protocol)
            except Exception:  # the next request must be answered, too; and this one is not admitted
                _logger.exception("a request of %s cannot be answered", protocol)
                reply = _refused(Refusal(500, "internal error: the server's log has more"), protocol)
            self.metrics.requests.labels(protocol, str(reply.status)).inc()
            self.metrics.answer_seconds.labels(protocol).observe(time.monotonic() - arrived)
            return Response(
                reply.body, status_code=reply.status, media_type=reply.media_type, headers=dict(reply.headers)
            )

        return Route(path, endpoint, methods=[method])

    async def _body(self, request: Request) -> bytes:
        most = self.configuration.listen.body_bytes
        length = request.headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length[:20]) > most:
            raise Refusal(413, f"expected at most {most} bytes, {length[:20]} are announced")
        try:
            async with asyncio.timeout(self.configuration.listen.client_seconds):
                return await _read(request, most)
        except TimeoutError as fault:
            raise Refusal(408, "the request did not come to its end in time") from fault


async def _read(request: Request, most: int) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise Refusal(413, f"expected at most {most} bytes")
        parts.append(part)
    return b"".join(parts)


def _authorize(request: Request, token: str) -> None:
    if not token:
        return
    given = request.headers.get("authorization", "")
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), f"Bearer {token}".encode()):
        raise Refusal(401, "expected the token of the configuration, as Authorization: Bearer")


def _token(guarded: Guarded | None) -> str:
    if guarded is None or guarded.token_file is None:
        return ""
    try:
        with Path(guarded.token_file).open(encoding="utf-8") as file:
            token = file.read(TOKEN_BYTES).strip()
    except (OSError, ValueError) as fault:
        raise InvalidConfiguration(f"the token cannot be read: {fault}", where=guarded.token_file) from fault
    if not token:
        raise InvalidConfiguration("expected a token, the file is empty", where=guarded.token_file)
    return token


def _refused(fault: Refusal, protocol: str) -> Reply:
    headers = {"WWW-Authenticate": "Bearer"} if fault.status == 401 else {}
    media_type = ERROR if protocol == "harbor" else "application/json"
    reply = reply_json({"error": {"message": fault.message}}, status=fault.status, media_type=media_type)
    return Reply(reply.body, reply.status, reply.media_type, headers)
