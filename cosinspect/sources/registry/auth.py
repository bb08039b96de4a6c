"""Authentication: challenges of RFC 9110 and Docker's bearer tokens, without I/O.

Follows RFC 9110, 11.6.1 (`WWW-Authenticate`), and distribution's token specification (docs/spec/auth/token.md
and oauth.md). `Authenticator.answer` is a generator of token requests: the caller sends them and returns the
answers. Credentials are never sent in the clear, except to a registry that is itself spoken to over plain
HTTP, and no secret is part of a message or a representation.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
from collections.abc import Callable, Generator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit, urlunsplit

from attrs import field, frozen

from cosinspect.errors import AccessDenied
from cosinspect.sources.config.credential import Credential, FoundCredential

__all__ = [
    "Authenticator",
    "Authorization",
    "Challenge",
    "TokenAnswer",
    "TokenRequest",
    "Url",
    "joined",
    "parse_challenges",
]

CLIENT_ID = "cosinspect"
TOKEN_SECONDS = 60.0
"""The lifetime of a token if the server states none or a shorter one (as in containers/image)."""
MAX_CHALLENGES = 16
MAX_TOKENS = 16

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_GAP = re.compile(r"[ \t,]*")
_EQUALS = re.compile(r"[ \t]*=[ \t]*")
# Unquoted values are looser than the grammar: some servers send a bare URL as realm.
_VALUE = re.compile(r'"((?:[^"\\]|\\.)*+)"|([^\s,"]+)', re.DOTALL)
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|\Z))")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_HEADER_SAFE = re.compile(r"[!-~]+")
# RFC 6750, 2.1. What else a server answers is not a token, and is not carried to the registry.
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]{1,65536}=*")
_PORTS = {"http": 80, "https": 443}
# Nothing that two URL parsers could take for different hosts.
_URL_HOST = re.compile(r"[a-z0-9._-]{1,253}|[0-9a-f:.]{2,45}")


@frozen
class Url:
    """An absolute http or https URL that is fit to be fetched; `str` shows its host only.

    Attributes:
        text: all of it, without a fragment; it may carry a signature and belongs into no message.
        scheme: `http` or `https`.
        host: in lower case.
        port: the scheme's default if none is written.
    """

    text: str = field(repr=False)
    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Url | None:
        """Parse a URL; return None if it is relative, of another scheme, has a user, or is invalid."""
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            return None
        scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
        if scheme not in _PORTS or port == 0 or "@" in parts.netloc:
            return None
        if not _URL_HOST.fullmatch(host) or not _HEADER_SAFE.fullmatch(text):
            return None
        bare = urlunsplit((scheme, parts.netloc, parts.path, parts.query, ""))
        return cls(bare, scheme, host, port or _PORTS[scheme])

    @property
    def origin(self) -> tuple[str, str, int]:
        """The only receiver of credentials for this URL."""
        return self.scheme, self.host, self.port

    @property
    def is_loopback(self) -> bool:
        """Whether it leads to this very machine, by name or address."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def authority(self) -> str:
        """Host and port as a `Host` header has them: without the scheme's default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def joined(base: str, location: str) -> str:
    """Return the target of a `Location`; blanks and bytes beyond ASCII are escaped, as in Go's client."""
    escaped = "".join(
        character if "!" <= character <= "~" else quote(character.encode("latin-1", "replace"))
        for character in location
        if character.isprintable() or character == " " or character >= "\x80"
    )
    if any(character < " " or character == "\x7f" for character in location):
        return ""  # Go's client refuses control characters, too
    try:
        return urljoin(base, escaped) if escaped else ""
    except ValueError:
        return ""


@frozen
class Challenge:
    """One way to authenticate that a server offers.

    Attributes:
        scheme: in lower case, such as `bearer` or `basic`.
        parameters: by their names in lower case.
    """

    scheme: str
    parameters: Mapping[str, str] = field(factory=dict)


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Read a `WWW-Authenticate` header, or several of them joined by commas; what cannot be read is left out."""
    found: list[Challenge] = []
    parameters: dict[str, str] = {}
    position = 0
    while len(found) < MAX_CHALLENGES:
        position = _end(_GAP, header, position)
        name = _TOKEN.match(header, position)
        if not name:
            break
        equals = _EQUALS.match(header, name.end())
        if equals and found:
            value = _VALUE.match(header, equals.end())
            if not value:
                break
            quoted, bare = value.groups()
            text = bare if quoted is None else _ESCAPE.sub(r"\1", quoted)
            parameters.setdefault(name[0].lower(), text)
            position = value.end()
            continue
        parameters = {}
        found.append(Challenge(name[0].lower(), parameters))
        position = _end(_GAP, header, name.end())
        opaque = _TOKEN68.match(header, position)
        if opaque and opaque[0].endswith("="):  # without it, this is the next scheme's name
            position = opaque.end()
    return tuple(found)


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    hit = pattern.match(text, position)
    return hit.end() if hit else position


@frozen
class TokenRequest:
    """A request for a token, which the caller of `Authenticator.answer` sends.

    Attributes:
        url: the target.
        authorization: its `Authorization` header, or None.
        form: for a POST, the encoded form; None for a GET.
    """

    url: Url
    authorization: str | None = field(default=None, repr=False)
    form: bytes | None = field(default=None, repr=False)


@frozen
class TokenAnswer:
    """What came back."""

    status: int
    body: bytes = field(repr=False)


@frozen
class Authorization:
    """An `Authorization` header to send.

    Attributes:
        header: its value.
        fresh: it was got for the request that was just turned away, so another refusal of it is the last word.
    """

    header: str = field(repr=False)
    fresh: bool


@frozen
class _Token:
    header: str = field(repr=False)
    expires: float


class Authenticator:
    """The authorisation of a repository's requests; only one thread at a time may use `answer`.

    Args:
        registry: of the repository.
        host: the registry as the user calls it, for messages.
        repository: whose content is pulled.
        where: the image's name, for messages.
        lookup: finds the credential on demand.
        authorization: a header for all requests, which replaces every other.
        clock: returns the seconds.
    """

    def __init__(
        self,
        *,
        registry: Url,
        host: str,
        repository: str,
        where: str,
        lookup: Callable[[], FoundCredential],
        clock: Callable[[], float],
        authorization: str | None = None,
    ) -> None:
        self._registry = registry
        self._host = host
        self._repository = repository
        self._where = where
        self._lookup = lookup
        self._clock = clock
        self._tokens: dict[tuple[str, str, str], _Token] = {}
        self._given = authorization
        self._current: _Token | None = _Token(authorization, math.inf) if authorization else None

    def header(self) -> str | None:
        """Return what the last answer was, while it lasts."""
        current = self._current
        return current.header if current and self._clock() < current.expires else None

    def answer(
        self, challenges: str, rejected: str | None
    ) -> Generator[TokenRequest, TokenAnswer, Authorization]:
        """Answer a 401: yield the token requests that takes, and return what to send instead.

        Args:
            challenges: the `WWW-Authenticate` header.
            rejected: the `Authorization` header that was not good enough, or None.

        Raises:
            AccessDenied: there is no answer that the registry would take.
        """
        if rejected is not None and rejected == self._given:
            raise self._denied(f"{self._host} refuses the authorization that was given")
        offered: dict[str, Challenge] = {}
        for challenge in parse_challenges(challenges):
            offered.setdefault(challenge.scheme, challenge)
        bearer = offered.get("bearer")
        if bearer and bearer.parameters.get("realm"):
            return (yield from self._bearer(bearer.parameters, rejected))
        if "basic" in offered:
            return self._basic(rejected)
        named = ", ".join(sorted(scheme[:40] for scheme in offered)) or "none"
        raise self._denied(f"expected the registry to offer Bearer or Basic authentication, found {named}")

    def _basic(self, rejected: str | None) -> Authorization:
        found = self._lookup()
        header = found.credential.basic if found.credential else None
        if header is None:
            raise self._denied(
                f"{self._host} asks for a user and a password, and {found.origin} has none for it",
                found.problem,
            )
        if header == rejected:
            raise self._denied(f"{self._host} refuses the user or password of {found.origin}")
        self._current = _Token(header, math.inf)
        return Authorization(header, fresh=True)

    def _bearer(
        self, parameters: Mapping[str, str], rejected: str | None
    ) -> Generator[TokenRequest, TokenAnswer, Authorization]:
        realm, service = parameters["realm"], parameters.get("service", "")
        scope = parameters.get("scope") or f"repository:{self._repository}:pull"
        key = (realm, service, scope)
        held = self._tokens.get(key)
        if held and held.header != rejected and self._clock() < held.expires:
            self._current = held  # another thread was faster
            return Authorization(held.header, fresh=False)
        url = Url.parse(realm)
        if url is None:
            raise self._denied("expected the address of a token server, found a realm that is none")
        if url.scheme == "http" and self._registry.scheme != "http":
            raise self._denied(
                f"the token server {url} does not use HTTPS: neither credentials nor a token go in the clear"
            )
        found = self._lookup()
        asked_at = self._clock()
        answer = yield _token_request(url, service, scope, found.credential)
        header, seconds = self._token(answer, url, found)
        token = _Token(header, asked_at + max(seconds, TOKEN_SECONDS))
        if len(self._tokens) >= MAX_TOKENS:
            self._tokens.clear()
        self._tokens[key] = self._current = token
        return Authorization(header, fresh=True)

    def _token(self, answer: TokenAnswer, url: Url, found: FoundCredential) -> tuple[str, float]:
        """Return the header and the seconds that a token server's answer is good for."""
        if answer.status != 200:
            if found.credential:
                raise self._denied(
                    f"the token server {url} refuses the credentials of {found.origin} "
                    f"(status {answer.status})",
                    status=answer.status,
                )
            raise self._denied(
                f"the token server {url} gives no token without credentials (status {answer.status})",
                found.problem,
                status=answer.status,
            )
        try:
            document: Any = json.loads(answer.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise self._denied(f"expected the token server {url} to answer in JSON, found something else")
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str) or not _BEARER.fullmatch(token):
            raise self._denied(f"expected a token from the token server {url}, found none that can be sent")
        seconds = document.get("expires_in")
        if not isinstance(seconds, int | float) or not 0 <= seconds < 2**31:
            seconds = TOKEN_SECONDS
        return f"Bearer {token}", float(seconds)

    def refusal(self, status: int, codes: tuple[str, ...] = ()) -> AccessDenied:
        """Return the error for a registry that has the last word: what was sent is not enough."""
        spelt = f" ({', '.join(codes)})" if codes else ""
        return self._denied(f"{self._host} denies access{spelt}", status=status, codes=codes)

    def _denied(
        self, message: str, problem: str | None = None, *, status: int = 401, codes: tuple[str, ...] = ()
    ) -> AccessDenied:
        login = "docker login" if self._host == "docker.io" else f"docker login {self._host}"
        remedy = f"check the name, or log in with an account that may pull it: {login}"
        if problem:
            message = f"{message}: {problem}"
        return AccessDenied(message, status=status, codes=codes, where=self._where, remedy=remedy)


def _token_request(url: Url, service: str, scope: str, credential: Credential | None) -> TokenRequest:
    named = [("service", service)] if service else []
    if credential and credential.identity_token:
        form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", credential.identity_token),
            ("client_id", CLIENT_ID),
            ("scope", scope),
            *named,
        ]
        return TokenRequest(url, form=urlencode(form).encode("ascii"))
    query = urlencode(named + [("scope", part) for part in scope.split()])
    parts = urlsplit(url.text)
    full = Url.parse(urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, query))))))
    return TokenRequest(full or url, credential.basic if credential else None)
