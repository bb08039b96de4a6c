"""HTTP as a registry's client needs it: time-outs, bounded retries, redirects, authorisation, errors by name.

Follows distribution-spec 1.1 ("Error codes") and RFC 9110 (429 and 503 with `Retry-After`, redirects, challenges). A
`transport` carries the requests.

An error's text names hosts, never a URL: paths and queries of storage servers carry signatures.
"""

from __future__ import annotations

import logging
import re
import ssl
import threading
from collections.abc import Callable, Generator, Mapping
from importlib import import_module
from urllib.parse import urlsplit

from attrs import evolve

from cosinspect.deadline import Deadline
from cosinspect.errors import (
    AccessDenied,
    LimitExceeded,
    NotFound,
    RegistryError,
    SourceError,
    TooManyRequests,
    TransportError,
)
from cosinspect.limits import Limits
from cosinspect.sources.registry.auth import (
    Authenticator,
    Authorization,
    TokenAnswer,
    TokenRequest,
    Url,
    joined,
)
from cosinspect.sources.registry.error_documents import ErrorDocument, Redactor, remedy_for
from cosinspect.sources.registry.retries import Attempts, Failure, Retries, Timeouts, retry_after
from cosinspect.sources.registry.transport import (
    AddressGuard,
    AnswerLostError,
    Destination,
    HttpAnswer,
    HttpTransport,
    TransportMaker,
)
from cosinspect.version import __version__

__all__ = ["Client", "RawResponse", "kept_connections"]

MAX_REDIRECTS = 5
MAX_ANSWERS = 4
"""Authorisations tried for one request: its own, and those that other threads got in the meantime."""

_REDIRECTS = (301, 302, 303, 307, 308)
_TRANSIENT = (408, 429, 500, 502, 503, 504)
_FORM = "application/x-www-form-urlencoded"
_LEAST_TIMEOUT = 0.001  # urllib3 takes none of 0

_LOG = logging.getLogger("cosinspect.registry")


def kept_connections(destination: Destination) -> HttpTransport:
    """Return the usual transport, which is imported now: it takes longer than all else that a command imports."""
    module = import_module("cosinspect.sources.registry.connections")
    made: HttpTransport = module.KeptConnections(destination)
    return made


class RawResponse:
    """A response whose body comes as it was sent, never decoded.

    Attributes:
        status: 200, or 206 where a range was requested.
        headers: by name, in any case.
    """

    def __init__(
        self, response: HttpAnswer, url: Url, clock: Callable[[], float], deadline: Deadline
    ) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response = response
        self._url = url
        self._clock = clock
        self._deadline = deadline

    @property
    def encoding(self) -> str | None:
        """The content coding that was applied, although none is ever asked for."""
        coding = self.headers.get("Content-Encoding", "").strip().lower()
        return None if coding in ("", "identity") else coding

    @property
    def length(self) -> int | None:
        """The value of `Content-Length`, if any."""
        text = self.headers.get("Content-Length", "").strip()
        return int(text) if re.fullmatch(r"[0-9]{1,19}", text) else None

    @property
    def chunked(self) -> bool:
        """Whether the body's end differs from a lost connection, although its length is unknown."""
        return "chunked" in self.headers.get("Transfer-Encoding", "").lower()

    def read(self, size: int, attempts: Attempts) -> bytes:
        """Return at most `size` bytes as soon as there are any, and none at the end.

        Raises:
            TransportError: the connection is lost or silent, or `attempts` has no time left.
            LimitExceeded: the time for all is over.
        """
        self._deadline.heed(attempts.where)
        started = self._clock()
        fault, data = "", b""
        try:
            data = self._response.read(size)
        except AnswerLostError as lost:
            fault = (
                f"{'keeps silent' if lost.silent else 'closed the connection'} in the middle of its answer"
            )
        attempts.spend(self._clock() - started)
        if fault:
            raise _lost(f"{self._url} {fault}", attempts.where)
        return data

    def read_whole(self, attempts: Attempts, *, limit: int, limit_name: str) -> bytes:
        """Return the body of a small answer, and close the connection.

        Raises:
            TransportError: the connection is lost or silent, or `attempts` has no time left.
            LimitExceeded: it is larger than `limit` bytes.
        """
        body = bytearray()
        try:
            while len(body) <= limit and (data := self.read(limit + 1 - len(body), attempts)):
                body += data
        finally:
            self.close()
        if len(body) > limit:
            raise LimitExceeded(
                f"expected an answer of at most {limit} bytes, {self._url} sends more",
                limit=limit_name,
                bound=limit,
                where=attempts.where,
            )
        # http.client takes a connection that ends within the headers for an answer without a body.
        cut = not body and self.length is None and not self.chunked
        if cut or self.length not in (None, len(body)):
            raise _lost(f"{self._url} closed the connection in the middle of its answer", attempts.where)
        return bytes(body)

    def close(self) -> None:
        """Close the connection; it is used again if the body was read to its end."""
        self._response.close()


class Client:
    """One repository over HTTP; thread-safe."""

    def __init__(
        self,
        *,
        registry: Url,
        where: str,
        authenticator: Authenticator,
        timeouts: Timeouts,
        retries: Retries,
        limits: Limits,
        sleep: Callable[[float], None],
        clock: Callable[[], float],
        tls: ssl.SSLContext | None = None,
        tls_elsewhere: ssl.SSLContext | None = None,
        deadline: Deadline | None = None,
        private_addresses: bool = False,
        transport: TransportMaker = kept_connections,
    ) -> None:
        self._registry = registry
        self._where = where
        self._authenticator = authenticator
        self._authenticating = threading.Lock()
        self._redactor = Redactor()
        self._timeouts = timeouts
        self._retries = retries
        self._limits = limits
        self._sleep = sleep
        self._clock = clock
        self._deadline = deadline if deadline is not None else Deadline(limits.seconds, clock=clock)
        self._transport = transport(
            Destination(registry, AddressGuard(allowed=private_addresses), tls, tls_elsewhere, timeouts)
        )

    def attempts(self, where: str) -> Attempts:
        """Return the patience for one document or blob, which messages call `where`."""
        return Attempts(self._timeouts, self._retries, self._pause, where)

    def get(self, path: str, headers: Mapping[str, str], attempts: Attempts) -> RawResponse:
        """Ask the registry for `path`, until it answers or the patience is at its end; the body is not yet read.

        Raises:
            NotFound, AccessDenied, TooManyRequests, RegistryError: its answer is an error.
            TransportError: there is no answer.
        """
        url = Url.parse(f"{self._registry.text}{path}")
        if url is None:
            raise ValueError("a path made of a reference and a digest is always part of a URL")
        while True:
            started = self._clock()
            outcome = self._authorised(url, headers)
            attempts.spend(self._clock() - started)
            if isinstance(outcome, RawResponse):
                return outcome
            outcome.settle(attempts)

    def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        where: str,
        *,
        accept: tuple[int, ...],
    ) -> RawResponse:
        """Send a request to the registry, with retries if they are safe; return the answer without its body.

        Args:
            method: HEAD, PUT or POST; a repeated request must have the same effect.
            target: a path, or the location that the registry returned: relative to the registry, or a URL.
            headers: of the request.
            body: of the request.
            where: for messages.
            accept: statuses that are not errors.

        Raises:
            NotFound, AccessDenied, TooManyRequests, RegistryError: the answer is an error.
            TransportError: there is no answer, or the target is not a URL.
        """
        url = Url.parse(joined(f"{self._registry.text}/", target))
        if url is None or (url.scheme == "http" and self._registry.scheme != "http"):
            raise TransportError(
                "the registry sends uploads to something that is no URL of its kind", where=where
            )
        attempts = self.attempts(where)
        while True:
            started = self._clock()
            outcome = self._authorised(url, headers, method, body, accept)
            attempts.spend(self._clock() - started)
            if isinstance(outcome, RawResponse):
                outcome.close()
                return outcome
            outcome.settle(attempts)

    def document(
        self, path: str, headers: Mapping[str, str], where: str, *, limit: int, limit_name: str
    ) -> tuple[RawResponse, bytes]:
        """Return a small answer with its body, asked for again if the connection is lost.

        Raises:
            LimitExceeded: it is larger than `limit` bytes.
            SourceError: as `get` does.
        """
        attempts = self.attempts(where)
        while True:
            response = self.get(path, headers, attempts)
            try:
                body = response.read_whole(attempts, limit=limit, limit_name=limit_name)
            except TransportError as fault:
                failure = Failure(fault, again=True)
            else:
                self._require_discretion(body, where)
                return response, body
            failure.settle(attempts)

    def shown(self, text: str) -> str:
        """Return what a registry says as it can be shown; "" if it holds a secret that was sent."""
        return self._redactor.fit(text)

    def _require_discretion(self, body: bytes, where: str) -> None:
        """Refuse a document that repeats what was sent in secret: parts of it would be shown in messages and reports.

        Raises:
            TransportError: it does.
        """
        if self._redactor.is_repeated_in(body):
            raise TransportError(
                "the registry repeats in its answer a secret that it was sent",
                where=where,
                remedy="change the password or token, and report the registry to its operator",
            )

    def close(self) -> None:
        """Close the idle connections."""
        self._transport.close()

    def _pause(self, seconds: float) -> None:
        self._sleep(min(seconds, self._deadline.left()))

    def _authorised(
        self,
        url: Url,
        headers: Mapping[str, str],
        method: str = "GET",
        body: bytes | None = None,
        accept: tuple[int, ...] = (200, 206),
    ) -> RawResponse | Failure:
        own = url.origin == self._registry.origin  # storage that takes an upload is shown no credentials
        header, fresh = self._authenticator.header() if own else None, not own
        for _ in range(MAX_ANSWERS):
            exchange = self._exchange(method, url, headers, header, body)
            if isinstance(exchange, Failure):
                return exchange
            response, at = exchange
            if fresh or response.status != 401 or at.origin != url.origin:
                return self._judge(response, at, accept)
            document = self._error_document(response)
            try:
                answer = self._answer(response.headers.get("WWW-Authenticate", ""), header)
            except AccessDenied as denied:
                told = denied if denied.codes else denied.with_codes(document.codes)
                if document.text:  # the denial may be a token server's
                    told = told.but(message=f"{told.message} (the registry says {document.text!r})")
                raise told from denied
            header, fresh = answer.header, answer.fresh
        return Failure(self._authenticator.refusal(401), again=False)

    def _answer(self, challenges: str, rejected: str | None) -> Authorization:
        with self._authenticating:
            return self._drive(self._authenticator.answer(challenges, rejected))

    def _drive(self, flow: Generator[TokenRequest, TokenAnswer, Authorization]) -> Authorization:
        answer: TokenAnswer | None = None
        while True:
            try:
                asked = flow.send(answer) if answer else next(flow)
            except StopIteration as end:
                authorization: Authorization = end.value
                break
            answer = self._ask(asked)
        return authorization

    def _ask(self, asked: TokenRequest) -> TokenAnswer:
        """Send a request for a token, with its own retries."""
        attempts = self.attempts(self._where)
        headers = {"Accept": "application/json"}
        if asked.form is not None:
            headers["Content-Type"] = _FORM
        method = "GET" if asked.form is None else "POST"
        limit = self._limits.token_bytes
        while True:
            started = self._clock()
            outcome = self._exchange(method, asked.url, headers, asked.authorization, asked.form)
            attempts.spend(self._clock() - started)
            if isinstance(outcome, Failure):
                failure = outcome
            elif outcome[0].status in _TRANSIENT:
                failure = self._failure(*outcome)
            else:
                response = RawResponse(*outcome, self._clock, self._deadline)
                try:
                    body = response.read_whole(attempts, limit=limit, limit_name="token_bytes")
                    return TokenAnswer(response.status, body)
                except TransportError as fault:
                    failure = Failure(fault, again=True)
            failure.settle(attempts)

    def _exchange(
        self,
        method: str,
        url: Url,
        headers: Mapping[str, str],
        authorization: str | None,
        form: bytes | None = None,
    ) -> tuple[HttpAnswer, Url] | Failure:
        """Send a request and follow redirects; only the first host gets `authorization`."""
        at = url
        for _ in range(MAX_REDIRECTS + 1):
            sent = {
                **headers,
                "Accept-Encoding": "identity",
                "User-Agent": f"cosinspect/{__version__}",
            }
            if authorization and at.origin == url.origin:
                sent["Authorization"] = authorization
            is_form = sent.get("Content-Type") == _FORM
            self._redactor.learn(sent.get("Authorization"), form if is_form else None)
            response = self._send(method, at, sent, form)
            self._log(method, at, sent, response, redirected=at is not url)
            if isinstance(response, Failure):
                return response
            for text in self._redactor.new_warnings(response.headers):
                _LOG.warning("%s warns: %s", at, text)
            if response.status not in _REDIRECTS or method != "GET":
                return response, at
            self._drain(response)
            location = response.headers.get("Location", "")
            target = Url.parse(joined(at.text, location))
            if target is None:
                return self._misled(at, "to something that is no http or https URL")
            if target.scheme == "http" and self._registry.scheme != "http":
                return self._misled(at, f"from HTTPS to plain HTTP at {target}")
            at = target
        return self._misled(url, f"more than {MAX_REDIRECTS} times")

    def _log(
        self,
        method: str,
        at: Url,
        sent: Mapping[str, str],
        outcome: HttpAnswer | Failure,
        *,
        redirected: bool,
    ) -> None:
        """Log a request without what may be secret: values of headers, queries, and paths that a redirect chose."""
        own = not redirected and at.origin == self._registry.origin
        place = f"{at}{urlsplit(at.text).path}" if own else str(at)
        shown = [sent["Authorization"].partition(" ")[0]] if "Authorization" in sent else []
        shown.extend([sent["Range"]] if "Range" in sent else [])
        answer = "no answer" if isinstance(outcome, Failure) else str(outcome.status)
        _LOG.info("%s %s%s: %s", method, place, f" ({', '.join(shown)})" if shown else "", answer)

    def _misled(self, at: Url, how: str) -> Failure:
        return Failure(TransportError(f"{at} redirects {how}"), again=False)

    def _send(
        self, method: str, url: Url, headers: Mapping[str, str], form: bytes | None
    ) -> HttpAnswer | Failure:
        self._deadline.heed(self._where)
        left = max(self._deadline.left(), _LEAST_TIMEOUT)
        usual = self._timeouts
        timeouts = evolve(usual, connect=min(usual.connect, left), read=min(usual.read, left))
        return self._transport.send(method, url, headers, form, timeouts)

    def _judge(
        self, response: HttpAnswer, at: Url, accept: tuple[int, ...] = (200, 206)
    ) -> RawResponse | Failure:
        if response.status in accept:
            return RawResponse(response, at, self._clock, self._deadline)
        return self._failure(response, at)

    def _failure(self, response: HttpAnswer, at: Url) -> Failure:
        """Name the error that a response is."""
        status, document = response.status, self._error_document(response)
        codes, own = document.codes, at.origin == self._registry.origin
        # What another host says in words is not for its readers: storage servers quote URLs.
        spelt = f"{at} answers {status}{document if own else ErrorDocument(codes)}"
        wait = retry_after(response.headers)
        error: SourceError
        if status in (401, 403) and own:
            refusal = self._authenticator.refusal(status, codes)
            error = refusal.but(message=refusal.message + document.said)
        elif status == 404:
            unknown = "check repository, tag and digest; some registries say so of private images too"
            error = NotFound(spelt, status=status, codes=codes, remedy=remedy_for(codes, unknown))
        elif status == 429:
            asks = f" and asks to wait for {wait:g} s" if wait else ""
            error = TooManyRequests(
                spelt + asks, status=status, codes=codes, remedy="try again later, or log in"
            )
        elif status == 400 and own and at.scheme == "http" and not codes:
            remedy = "if it speaks HTTPS, do without --plain-http"
            error = RegistryError(spelt, status=status, codes=codes, remedy=remedy)
        else:
            later = "try again later" if status >= 500 or not own else None
            error = RegistryError(spelt, status=status, codes=codes, remedy=remedy_for(codes, later))
        return Failure(error, again=status in _TRANSIENT, retry_after=wait)

    def _error_document(self, response: HttpAnswer) -> ErrorDocument:
        """Read an error document out of a body, which is drained."""
        return self._redactor.error_document(self._drain(response))

    def _drain(self, response: HttpAnswer) -> bytes:
        """Read a body that decides nothing as far as is worth the connection."""
        body = bytearray()
        deadline = self._clock() + self._timeouts.read
        try:
            while len(body) < self._limits.error_bytes and self._clock() < deadline:
                data = response.read(self._limits.error_bytes - len(body))
                if not data:
                    break
                body += data
        except AnswerLostError:
            body.clear()
        response.close()
        return bytes(body)


def _lost(message: str, where: str) -> TransportError:
    return TransportError(message, where=where, remedy="check the network and try again")
