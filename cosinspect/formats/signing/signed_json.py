"""JSON documents of signatures, decoded strictly: repeated keys and text that is not UTF-8 are refused, because readers differ."""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

import msgspec

from cosinspect.errors import FormatError, InvalidManifest
from cosinspect.oci.wire import load_document
from cosinspect.wire_types import ready

__all__ = ["decode_base64", "read_signed_json"]

T = TypeVar("T")


def read_signed_json(raw: bytes, wire: type[T], what: str) -> T:
    """Return a JSON object as a structure; unknown keys are skipped.

    Raises:
        FormatError: of kind `json` (not an unambiguous JSON object) or `fields` (another structure).
    """
    try:
        return msgspec.convert(load_document(raw, what), ready(wire))
    except InvalidManifest as fault:
        raise FormatError(fault.message, kind="json", where=what) from fault
    except msgspec.ValidationError as fault:
        raise FormatError(str(fault), kind="fields", where=what) from fault


def decode_base64(text: str, what: str) -> bytes:
    """Decode standard base64 with padding (RFC 4648, 4); refuse anything else.

    Raises:
        FormatError: of kind `base64`.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as fault:  # ValueError: characters outside ASCII
        raise FormatError(f"expected base64: {fault}", kind="base64", where=what) from fault
