"""Entries of the transparency log Rekor (version 1): the signed content that they name.

Known kinds: `hashedrekord`, `rekord` and `dsse`, each 0.0.1. This module does not verify that an entry is in the log.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from attrs import frozen

from cosinspect.errors import FormatError
from cosinspect.formats.signing.signed_json import decode_base64, read_signed_json
from cosinspect.wire_types import ready

__all__ = ["LogEntry", "read_log_bundle", "read_log_entry"]


@frozen
class LogEntry:
    """The signed content that an entry names.

    Attributes:
        kind: with its version, such as `hashedrekord 0.0.1`.
        signatures: the logged signatures; None for an unknown kind.
        payload_sha256: hexadecimal digits of the signed payload's digest.
    """

    kind: str
    signatures: tuple[bytes, ...] | None
    payload_sha256: str

    def agrees(self, signature: bytes, payload: bytes) -> bool:
        """Return whether the entry names this signature of this payload; True for an unknown kind."""
        if self.signatures is None:
            return True
        return signature in self.signatures and self.payload_sha256 == hashlib.sha256(payload).hexdigest()


class _WireHash(msgspec.Struct):
    algorithm: str
    value: str


class _WireData(msgspec.Struct):
    hash: _WireHash


class _WireContent(msgspec.Struct):
    content: str


class _WireHashed(msgspec.Struct):
    data: _WireData
    signature: _WireContent


class _WireSignature(msgspec.Struct):
    signature: str


class _WireDsse(msgspec.Struct, rename="camel"):
    payload_hash: _WireHash
    signatures: list[_WireSignature]


class _WireLogEntry(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    spec: dict[str, Any]


class _WireLogPayload(msgspec.Struct):
    body: str


class _WireLogBundle(msgspec.Struct):
    payload: _WireLogPayload = msgspec.field(name="Payload")


def read_log_entry(raw: bytes) -> LogEntry:
    """Read an entry's body.

    Raises:
        FormatError: of kind `json`, `fields`, `base64` or `algorithm`.
    """
    wire = read_signed_json(raw, _WireLogEntry, "log entry")
    kind = f"{wire.kind[:40]} {wire.api_version[:40]}"
    try:
        if kind in ("hashedrekord 0.0.1", "rekord 0.0.1"):
            hashed = msgspec.convert(wire.spec, ready(_WireHashed))
            return LogEntry(
                kind, (decode_base64(hashed.signature.content, "log entry"),), _sha256(hashed.data.hash)
            )
        if kind == "dsse 0.0.1":
            dsse = msgspec.convert(wire.spec, ready(_WireDsse))
            found = tuple(decode_base64(item.signature, "log entry") for item in dsse.signatures)
            return LogEntry(kind, found, _sha256(dsse.payload_hash))
    except msgspec.ValidationError as fault:
        raise FormatError(str(fault), kind="fields", where="log entry") from fault
    return LogEntry(kind, None, "")


def read_log_bundle(raw: bytes) -> LogEntry:
    """Read cosign's annotation `dev.sigstore.cosign/bundle` (SIGNATURE_SPEC.md, "bundle").

    Raises:
        FormatError: of kind `json`, `fields`, `base64` or `algorithm`.
    """
    wire = read_signed_json(raw, _WireLogBundle, "log bundle")
    return read_log_entry(decode_base64(wire.payload.body, "log bundle"))


def _sha256(wire: _WireHash) -> str:
    if wire.algorithm != "sha256":
        raise FormatError(
            f"expected sha256, found {wire.algorithm[:40]!r}", kind="algorithm", where="log entry"
        )
    return wire.value.lower()
