"""The payload that cosign signs in the tag scheme ("simple signing"; cosign, SIGNATURE_SPEC.md; containers-signature(5))."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from attrs import field, frozen

from cosinspect.errors import FormatError, InvalidManifest
from cosinspect.formats.signing.signed_json import read_signed_json
from cosinspect.oci.documents import Digest

__all__ = ["SIMPLE_SIGNING", "SimpleSigning", "read_simple_signing"]

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
"""The media type of a payload."""

_TYPE = "cosign container image signature"


@frozen
class SimpleSigning:
    """The claims of a payload.

    Attributes:
        digest: of the manifest or index that is signed.
        reference: the signer's name of the image; cosign ignores it, and so does this library.
        annotations: the further signed content (`optional`), unchanged.
    """

    digest: Digest
    reference: str
    annotations: Mapping[str, Any] = field(hash=False)


class _WireIdentity(msgspec.Struct):
    reference: str = msgspec.field(default="", name="docker-reference")


class _WireSignedImage(msgspec.Struct):
    # cosign writes the first, its specification has the second; its reader accepts any case.
    digest: str | None = msgspec.field(default=None, name="docker-manifest-digest")
    specified: str | None = msgspec.field(default=None, name="Docker-manifest-digest")


class _WireCritical(msgspec.Struct):
    image: _WireSignedImage
    type: str
    identity: _WireIdentity = msgspec.field(default_factory=_WireIdentity)


class _WirePayload(msgspec.Struct):
    critical: _WireCritical
    optional: dict[str, Any] | None = None


def read_simple_signing(raw: bytes) -> SimpleSigning:
    """Read a payload.

    Raises:
        FormatError: of kind `json`, `fields`, `type` (a payload of another type) or `digest`.
    """
    wire = read_signed_json(raw, _WirePayload, "payload")
    if wire.critical.type != _TYPE:
        raise FormatError(
            f"expected {_TYPE!r}, found {wire.critical.type[:100]!r}",
            kind="type",
            where="payload.critical.type",
        )
    stated = [
        text for text in (wire.critical.image.digest, wire.critical.image.specified) if text is not None
    ]
    if len(stated) != 1:
        raise FormatError(
            f"expected one docker-manifest-digest, found {len(stated)}",
            kind="digest",
            where="payload.critical.image",
        )
    try:
        digest = Digest.parse(stated[0])
    except InvalidManifest as fault:
        raise FormatError(fault.message, kind="digest", where="payload.critical.image") from fault
    return SimpleSigning(digest, wire.critical.identity.reference, wire.optional or {})
