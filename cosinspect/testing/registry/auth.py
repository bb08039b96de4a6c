"""Authorisation of a test's registry: Basic, or Docker's bearer tokens.

Follows Docker's token authentication (GET with Basic credentials) and its OAuth 2 form (POST); challenges are
those of RFC 9110 and RFC 6750. Tokens are counted names and mean nothing elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import parse_qs

from attrs import evolve, field, frozen

from cosinspect.testing.registry.messages import ROUTES, Request, Response, error_response, json_response

__all__ = ["Auth", "BasicAuth", "TokenAuth", "TokenGate"]


@frozen
class BasicAuth:
    """Every request must carry this user and password."""

    user: str
    password: str = field(repr=False)


@frozen
class TokenAuth:
    """Every request must carry a token from this registry's own `/token`, for the repository and the action.

    Attributes:
        user: the user who gets tokens; None for anonymous only.
        password: of the user.
        anonymous: issue tokens for pulling without credentials.
        identity_token: a refresh token that is accepted instead of user and password (OAuth 2, by POST).
        uses: the number of requests per token; None for any number.
        seconds: the lifetime of a token, also sent as `expires_in`.
        service: the service that challenges name.
        realm: the token server in challenges, instead of this registry's own `/token`.
        clock: returns the seconds.
    """

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    anonymous: bool = field(default=False, kw_only=True)
    identity_token: str | None = field(default=None, kw_only=True, repr=False)
    uses: int | None = field(default=None, kw_only=True)
    seconds: float = field(default=300, kw_only=True)
    service: str = field(default="cosinspect.testing", kw_only=True)
    realm: str | None = field(default=None, kw_only=True)
    clock: Callable[[], float] = field(default=time.monotonic, kw_only=True, repr=False)


Auth: TypeAlias = BasicAuth | TokenAuth
"""The required authorisation."""


@frozen(kw_only=True)
class _IssuedToken:
    scopes: frozenset[tuple[str, str]]
    expires: float
    uses: int | None


class TokenGate:
    """Issues challenges and tokens, and verifies them."""

    def __init__(self, auth: Auth | None) -> None:
        self._auth = auth
        self._tokens: dict[str, _IssuedToken] = {}

    def challenge(self, request: Request, address: str) -> Response | None:
        """Return a 401 for the request, or None if it is authorised; `address` is the registry's own."""
        match self._auth:
            case None:
                return None
            case BasicAuth(user, password):
                if _credentials(request) == (user, password):
                    return None
                return _challenge('Basic realm="cosinspect.testing"')
            case TokenAuth() as auth:
                return self._bearer(auth, request, address)

    def _bearer(self, auth: TokenAuth, request: Request, address: str) -> Response | None:
        repository = next((hit[1] for route in ROUTES.values() if (hit := route.fullmatch(request.path))), "")
        action = "pull" if request.method in ("GET", "HEAD") else "push"
        realm = auth.realm or f"http://{address}/token"
        demand = f'Bearer realm="{realm}",service="{auth.service}"'
        if repository:
            demand += f',scope="repository:{repository}:{"pull" if action == "pull" else "pull,push"}"'
        kind, _, name = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return _challenge(demand)
        token = self._tokens.get(name)
        if not token or token.uses == 0 or auth.clock() >= token.expires:
            return _challenge(demand + ',error="invalid_token"')
        if repository and (repository, action) not in token.scopes:
            return _challenge(demand + ',error="insufficient_scope"')
        if token.uses is not None:
            self._tokens[name] = evolve(token, uses=token.uses - 1)
        return None

    def issue(self, request: Request) -> Response:
        """Answer at the token endpoint: GET with Basic credentials (Docker), or POST of a form (OAuth 2)."""
        auth = self._auth
        if not isinstance(auth, TokenAuth):
            return error_response(404)
        asked = request.query
        credentials = _credentials(request)
        refreshed = False
        if request.method == "POST":
            asked = parse_qs(request.body.decode("utf-8", "replace"))
            form = {name: values[0] for name, values in asked.items()}
            refreshed = auth.identity_token is not None and form.get("refresh_token") == auth.identity_token
            if form.get("grant_type") == "password":
                credentials = form.get("username", ""), form.get("password", "")
            elif not refreshed:
                return error_response(401, message="the refresh token is not known")
        known = refreshed or (auth.user is not None and credentials == (auth.user, auth.password))
        if not known and (credentials or not auth.anonymous):
            return error_response(401, message="user or password is not known")
        scopes = _scopes(" ".join(asked.get("scope", ())))
        if not known:
            scopes = frozenset((repository, action) for repository, action in scopes if action == "pull")
        name = f"cosinspect-testing-token-{len(self._tokens) + 1}"
        self._tokens[name] = _IssuedToken(scopes=scopes, expires=auth.clock() + auth.seconds, uses=auth.uses)
        return json_response({"token": name, "access_token": name, "expires_in": int(auth.seconds)})


def _challenge(demand: str) -> Response:
    response = error_response(401)
    return evolve(response, headers={**response.headers, "WWW-Authenticate": demand})


def _credentials(request: Request) -> tuple[str, str] | None:
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password


def _scopes(text: str) -> frozenset[tuple[str, str]]:
    """`repository:NAME:pull,push` and so on, as pairs of name and action."""
    found = re.findall(r"repository:(\S+):([a-z*,]+)", text)
    return frozenset((repository, action) for repository, actions in found for action in actions.split(","))
