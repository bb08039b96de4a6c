"""Statements about artifacts (in-toto attestation framework, spec/v1/statement.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from attrs import field, frozen

from cosinspect.errors import FormatError
from cosinspect.formats.signing.signed_json import read_signed_json

__all__ = ["IN_TOTO", "Statement", "Subject", "read_statement"]

IN_TOTO = "application/vnd.in-toto+json"
"""The payload type of a statement in an envelope."""

_TYPES = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")


@frozen
class Subject:
    """An artifact that a statement is about.

    Attributes:
        name: in its producer's words.
        digests: hexadecimal digits by algorithm, unchanged.
        annotations: further properties in the statement.
    """

    name: str
    digests: Mapping[str, str] = field(hash=False)
    annotations: Mapping[str, Any] = field(hash=False)


@frozen
class Statement:
    """A statement: its artifacts and its kind, without the predicate."""

    predicate_type: str
    subjects: tuple[Subject, ...]


class _WireSubject(msgspec.Struct):
    digest: dict[str, str]
    name: str = ""
    annotations: dict[str, Any] | None = None


class _WireStatement(msgspec.Struct, rename="camel"):
    type: str = msgspec.field(name="_type")
    subject: list[_WireSubject]
    predicate_type: str


def read_statement(raw: bytes) -> Statement:
    """Read a statement.

    Raises:
        FormatError: of kind `json`, `fields`, or `type` (a statement of another version).
    """
    wire = read_signed_json(raw, _WireStatement, "statement")
    if wire.type not in _TYPES:
        raise FormatError(
            f"expected {_TYPES[0]}, found {wire.type[:100]!r}", kind="type", where="statement._type"
        )
    return Statement(
        wire.predicate_type,
        tuple(Subject(item.name, item.digest, item.annotations or {}) for item in wire.subject),
    )
