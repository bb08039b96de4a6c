"""Credentials for a registry, and the result of looking for them."""

from __future__ import annotations

import base64

from attrs import field, frozen

__all__ = ["Credential", "FoundCredential"]


@frozen
class Credential:
    """A name and a password, or an identity token."""

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
    """The result of looking for a credential.

    Attributes:
        credential: None if there is none, or it could not be read.
        problem: why it could not be read, for the message if access is denied later.
        origin: its source, for messages.
    """

    credential: Credential | None = None
    problem: str | None = None
    origin: str = "the Docker configuration"
