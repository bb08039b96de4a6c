"""Entries of the transparency log Rekor (version 1), as far as they tell what was signed.

Known kinds: `hashedrekord`, `rekord` and `dsse`, each 0.0.1. Whether an entry is in the log is not asked here.
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
    """What an entry says was signed.

    Attributes:
        kind: and version, such as `hashedrekord 0.0.1`.
        signatures: those that were logged; None for a kind that is not known.
        payload_sha256: hexadecimal digits; of the payload that was signed.
    """

    kind: str
    signatures: tuple[bytes, ...] | None
    payload_sha256: str

    def agrees(self, signature: bytes, payload: bytes) -> bool:
        """Return whether the entry is about this signature over this payload; one of an unknown kind is not asked."""
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
    """Read what cosign keeps in the annotation `dev.sigstore.cosign/bundle` (SIGNATURE_SPEC.md, "bundle").

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
