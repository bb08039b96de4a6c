"""Signed envelopes (secure-systems-lab/dsse, envelope.md and protocol.md, v1)."""

from __future__ import annotations

import msgspec
from attrs import frozen

from cosinspect.errors import FormatError
from cosinspect.formats.signing.signed_json import decode_base64

__all__ = ["Envelope", "WireEnvelope", "to_envelope"]


@frozen
class Envelope:
    """A payload and the signatures over it.

    Attributes:
        payload_type: the type of the payload, which is signed too.
        payload: its bytes.
        signatures: of `signed_bytes`; at least one.
    """

    payload_type: str
    payload: bytes
    signatures: tuple[bytes, ...]

    @property
    def signed_bytes(self) -> bytes:
        """The signed bytes: type and payload, each after its length ("PAE")."""
        kind = self.payload_type.encode()
        return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(self.payload), self.payload)


class WireSignature(msgspec.Struct):
    sig: str


class WireEnvelope(msgspec.Struct, rename="camel"):
    """envelope.md."""

    payload: str
    payload_type: str
    signatures: list[WireSignature]


def to_envelope(wire: WireEnvelope, where: str) -> Envelope:
    """Convert a decoded envelope to a value.

    Raises:
        FormatError: of kind `base64`, or `signatures` (there is none).
    """
    if not wire.signatures:
        raise FormatError("expected a signature, found none", kind="signatures", where=f"{where}.signatures")
    return Envelope(
        wire.payload_type,
        decode_base64(wire.payload, f"{where}.payload"),
        tuple(
            decode_base64(item.sig, f"{where}.signatures[{number}]")
            for number, item in enumerate(wire.signatures)
        ),
    )
