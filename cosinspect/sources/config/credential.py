"""What a registry is asked with: a user and a secret, and what was found of them."""

from __future__ import annotations

import base64

from attrs import field, frozen

__all__ = ["Credential", "FoundCredential"]


@frozen
class Credential:
    """What a registry knows a user by: a name and a password, or an identity token instead of both."""

    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str | None:
        """The `Authorization` header of the Basic scheme (RFC 7617); None for an identity token."""
        if self.identity_token:
            return None
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")


@frozen
class FoundCredential:
    """What looking for a credential came to.

    Attributes:
        credential: None if there is none, or where it could not be had.
        problem: what kept it from being had, for the message if access is denied later.
        origin: where it comes from, for messages.
    """

    credential: Credential | None = None
    problem: str | None = None
    origin: str = "the Docker configuration"
