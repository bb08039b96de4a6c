"""The server as an ASGI application: the protocol of each path, and the bounds of every request."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from attrs import define
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from cosinspect.server.exchange import Refusal, Reply, reply_json
from cosinspect.server.harbor import ERROR
from cosinspect.server.journal import bound
from cosinspect.server.openapi import description
from cosinspect.server.reports import Reports
from cosinspect.server.service import Service

__all__ = ["application"]

_logger = logging.getLogger("cosinspect.server")

REQUEST_ID = "X-Request-Id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")

Protocol = TypeVar("Protocol")
Answer = Callable[[Request, bytes, float], Awaitable[Reply]]


def application(service: Service) -> Starlette:
    """Make the application; each request uses the service's configuration at its arrival."""
    metrics = service.metrics
    desk = _Desk(service)
    reports = Reports(service.verdicts)

    def admission(*, mutate: bool) -> Answer:
        async def answer(request: Request, body: bytes, arrived: float) -> Reply:
            timeout = request.query_params.get("timeout")
            admissions = service.protocols.admissions
            return await admissions.answer(body, patience=timeout, arrived=arrived, mutate=mutate)

        return answer

    def gatekeeper(*, pin: bool) -> Answer:
        async def answer(_request: Request, body: bytes, arrived: float) -> Reply:
            return await service.protocols.provider.answer(body, arrived=arrived, pin=pin)

        return answer

    async def notify(_request: Request, body: bytes, _arrived: float) -> Reply:
        return _spoken(service.protocols.notifications).answer(body)

    async def report(request: Request, _body: bytes, _arrived: float) -> Reply:
        return await asyncio.to_thread(
            reports.answer, request.path_params["digest"], request.headers.get("accept", "")
        )

    async def health(_request: Request, _body: bytes, _arrived: float) -> Reply:
        return reply_json({"status": "ok"})

    async def readiness(_request: Request, _body: bytes, _arrived: float) -> Reply:
        found = await service.readiness()
        return reply_json(found.document, status=503 if found.reasons else 200)

    described = reply_json(description())

    async def describe(_request: Request, _body: bytes, _arrived: float) -> Reply:
        return described

    async def expose(_request: Request, _body: bytes, _arrived: float) -> Reply:
        return Reply(metrics.text(), media_type=metrics.content_type)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            await service.close()

    routes = [
        desk.route("/admission", "admission", admission(mutate=False), "POST"),
        desk.route("/mutate", "mutate", admission(mutate=True), "POST"),
        desk.route("/gatekeeper", "gatekeeper", gatekeeper(pin=False), "POST"),
        desk.route("/gatekeeper/pin", "gatekeeper", gatekeeper(pin=True), "POST"),
        desk.route("/notifications", "notifications", notify, "POST"),
        *_harbor(desk, service),
        desk.route("/reports/{digest}", "reports", report, "GET"),
        desk.route("/healthz", "health", health, "GET"),
        desk.route("/readyz", "health", readiness, "GET"),
        desk.route("/metrics", "metrics", expose, "GET"),
        desk.route("/openapi.json", "openapi", describe, "GET"),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def _harbor(desk: _Desk, service: Service) -> list[Route]:
    async def metadata(_request: Request, _body: bytes, _arrived: float) -> Reply:
        return _spoken(service.protocols.scanner).metadata()

    async def scan(_request: Request, body: bytes, _arrived: float) -> Reply:
        return await _spoken(service.protocols.scanner).scan(body)

    async def report(request: Request, _body: bytes, _arrived: float) -> Reply:
        scanner = _spoken(service.protocols.scanner)
        return await asyncio.to_thread(scanner.report, request.path_params["scan"])

    base = "/scanner/api/v1"
    return [
        desk.route(f"{base}/metadata", "harbor", metadata, "GET"),
        desk.route(f"{base}/scan", "harbor", scan, "POST"),
        desk.route(f"{base}/scan/{{scan}}/report", "harbor", report, "GET"),
    ]


def _spoken(protocol: Protocol | None) -> Protocol:
    """Return a protocol."""
    if protocol is None:
        raise Refusal(404, "the configuration has no table for this protocol")
    return protocol


@define
class _Desk:
    """Handles requests: bounds their size and time, counts them, and always answers."""

    service: Service

    def route(self, path: str, protocol: str, answer: Answer, method: str) -> Route:
        metrics = self.service.metrics

        async def endpoint(request: Request) -> Response:
            arrived = time.monotonic()
            request_id = _request_id(request)
            with bound(request_id=request_id):
                try:
                    _authorize(request, self._token(protocol))
                    body = await self._body(request) if method == "POST" else b""
                    reply = await answer(request, body, arrived)
                except asyncio.CancelledError:  # the server ends, and this request took longer than its grace
                    reply = _refused(Refusal(503, "the server is ending, try again"), protocol)
                    _logger.warning("a request of %s was not done when the server ended", protocol)
                except ClientDisconnect:
                    reply = Reply(status=499)  # the client is gone
                except Refusal as fault:
                    reply = _refused(fault, protocol)
                    _logger.log(
                        logging.WARNING if method == "POST" else logging.DEBUG,
                        "request refused",
                        extra={"protocol": protocol, "status": fault.status, "reason": fault.message},
                    )
                except Exception:  # later requests must still be answered, and this one is not admitted
                    _logger.exception("a request of %s cannot be answered", protocol)
                    reply = _refused(Refusal(500, "internal error: the server's log has more"), protocol)
            metrics.requests.labels(protocol, str(reply.status)).inc()
            metrics.answer_seconds.labels(protocol).observe(time.monotonic() - arrived)
            headers = {**reply.headers, REQUEST_ID: request_id}
            return Response(
                reply.body, status_code=reply.status, media_type=reply.media_type, headers=headers
            )

        return Route(path, endpoint, methods=[method])

    def _token(self, protocol: str) -> str:
        settings = self.service.protocols.settings
        return {"notifications": settings.notifications_token, "harbor": settings.harbor_token}.get(
            protocol, ""
        )

    async def _body(self, request: Request) -> bytes:
        listen = self.service.protocols.settings.configuration.listen
        most = listen.body_bytes
        length = request.headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length[:20]) > most:
            raise Refusal(413, f"expected at most {most} bytes, Content-Length is {length[:20]}")
        try:
            async with asyncio.timeout(listen.client_seconds):
                return await _read(request, most)
        except TimeoutError as fault:
            raise Refusal(408, "the request was not complete in time") from fault


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


def _request_id(request: Request) -> str:
    """Return the id of a request for the log: the client's, if it is a valid id, or a new one."""
    given = request.headers.get(REQUEST_ID, "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _refused(fault: Refusal, protocol: str) -> Reply:
    headers = {"WWW-Authenticate": "Bearer"} if fault.status == 401 else {}
    media_type = ERROR if protocol == "harbor" else "application/json"
    reply = reply_json({"error": {"message": fault.message}}, status=fault.status, media_type=media_type)
    return Reply(reply.body, reply.status, reply.media_type, headers)
