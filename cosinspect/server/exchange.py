"""Requests and answers of all protocols."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from attrs import field, frozen

from cosinspect.wire_types import ready

__all__ = ["JSON", "Refusal", "Reply", "parse_json", "reply_json"]

JSON = "application/json"

T = TypeVar("T")


@frozen
class Reply:
    """An answer.

    Attributes:
        body: its content.
        status: of HTTP.
        media_type: of the body.
        headers: further ones.
    """

    body: bytes = b""
    status: int = 200
    media_type: str = JSON
    headers: Mapping[str, str] = field(factory=dict, hash=False)


class Refusal(Exception):
    """A request that does not follow the protocol; the message says what was expected and found.

    Attributes:
        status: of HTTP.
        message: for the client.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def parse_json(body: bytes, kind: type[T], what: str) -> T:
    """Read a document of a protocol.

    Raises:
        Refusal: it is not one.
    """
    try:
        return msgspec.json.decode(body, type=ready(kind))
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as fault:
        raise Refusal(400, f"expected {what}: {str(fault)[:300]}") from fault


def reply_json(value: object, *, status: int = 200, media_type: str = JSON) -> Reply:
    """Return an answer with a value as JSON."""
    return Reply(msgspec.json.encode(value), status, media_type)
