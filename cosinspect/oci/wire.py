"""OCI documents as they are on the wire, decoded so that every decoder reads the same.

It refuses repeated keys, known keys in another case (Go's decoder accepts them), text that is not UTF-8, and
NaN.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, NoReturn, TypeVar

import msgspec

from cosinspect.errors import InvalidManifest
from cosinspect.oci.media_types import refuse_schema_1
from cosinspect.wire_types import ready

__all__ = [
    "WireConfig",
    "WireDescriptor",
    "WireExecution",
    "WireIndex",
    "WireManifest",
    "convert_document",
    "load_document",
    "load_json",
    "refuse_keys",
    "refuse_other_case",
]

# The documents on the wire. Go's encoder writes null for an empty list or map.


class WirePlatform(msgspec.Struct):
    os: str = ""
    architecture: str = ""
    variant: str = ""


class WireDescriptor(msgspec.Struct, rename="camel"):
    """descriptor.md."""

    media_type: str
    digest: str
    size: int
    platform: WirePlatform | None = None
    annotations: dict[str, str] | None = None
    artifact_type: str | None = None


class WireManifest(msgspec.Struct, rename="camel"):
    """manifest.md."""

    schema_version: int
    config: WireDescriptor
    layers: list[WireDescriptor] | None
    media_type: str | None = None
    artifact_type: str | None = None
    subject: WireDescriptor | None = None
    annotations: dict[str, str] | None = None


class WireIndex(msgspec.Struct, rename="camel"):
    """image-index.md."""

    schema_version: int
    manifests: list[WireDescriptor] | None
    media_type: str | None = None
    annotations: dict[str, str] | None = None


class WireExecution(msgspec.Struct):
    """config.md, "config"."""

    env: list[str] | None = msgspec.field(default=None, name="Env")
    labels: dict[str, str] | None = msgspec.field(default=None, name="Labels")


class WireRootfs(msgspec.Struct):
    type: str
    diff_ids: list[str] | None = None


class WireHistory(msgspec.Struct):
    created_by: str | None = None
    comment: str | None = None
    empty_layer: bool | None = None


class WireConfig(msgspec.Struct):
    """config.md."""

    rootfs: WireRootfs
    os: str = ""
    architecture: str = ""
    variant: str = ""
    created: Any = None
    config: WireExecution | None = None
    history: list[WireHistory] | None = None


_NESTED: Mapping[type, Mapping[str, type]] = {
    WireManifest: {"config": WireDescriptor, "layers": WireDescriptor, "subject": WireDescriptor},
    WireIndex: {"manifests": WireDescriptor},
    WireDescriptor: {"platform": WirePlatform},
    WireConfig: {"config": WireExecution, "rootfs": WireRootfs, "history": WireHistory},
}

T = TypeVar("T")


def load_document(raw: bytes, where: str) -> dict[str, Any]:
    """Decode a JSON object whose keys every decoder reads the same way.

    Raises:
        InvalidManifest: the input is not such an object; `where` names it in the message.
    """
    document = load_json(raw, where)
    if not isinstance(document, dict):
        raise InvalidManifest("expected a JSON object", where=where)
    return document


def load_json(raw: bytes, where: str) -> Any:
    """Decode JSON without repeated keys.

    Raises:
        InvalidManifest: the input is not such JSON; `where` names it in the message.
    """

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in items:
            if key in found:
                raise InvalidManifest(f"the key {key[:60]!r} is repeated", where=where)
            found[key] = value
        return found

    def constant(name: str) -> NoReturn:
        raise InvalidManifest(f"{name} is not JSON", where=where)

    try:
        # Given bytes, json also accepts UTF-16, which other decoders refuse.
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=pairs, parse_constant=constant)
        if b"\\ud" in raw or b"\\uD" in raw:
            json.dumps(document, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is not text
    except RecursionError:
        raise InvalidManifest("the document is nested too deeply", where=where) from None
    except ValueError as fault:  # a JSONDecodeError, or a UnicodeError
        if isinstance(fault, InvalidManifest):
            raise
        place = (
            f" in line {fault.lineno}, column {fault.colno}"
            if isinstance(fault, json.JSONDecodeError)
            else ""
        )
        raise InvalidManifest(
            f"expected a JSON document, found something else{place}", where=where
        ) from fault
    return document


@cache
def _names(wire: type) -> Mapping[str, str]:
    """Return the keys of a structure by their case-folded form; cached, because computing them takes longer than decoding."""
    return {item.encode_name.casefold(): item.encode_name for item in msgspec.structs.fields(wire)}


def refuse_other_case(value: Any, wire: type, where: str) -> None:
    """Refuse `Layers` beside or instead of `layers`: Go's decoder reads both as the same field.

    Raises:
        InvalidManifest: there is such a key.
    """
    if not isinstance(value, dict):
        return
    names = _names(wire)
    nested = _NESTED.get(wire, {})
    for key, item in value.items():
        known = names.get(key.casefold(), key)
        if known != key:
            raise InvalidManifest(
                f"the key {key!r} stands for {known!r} to some readers and is unknown to others", where=where
            )
        if key not in nested:
            continue
        if isinstance(item, list):
            for number, element in enumerate(item):
                refuse_other_case(element, nested[key], f"{where}.{key}[{number}]")
        else:
            refuse_other_case(item, nested[key], f"{where}.{key}")


def refuse_keys(document: dict[str, Any], keys: tuple[str, ...], where: str) -> None:
    """Refuse a document with a key that only another kind of document has.

    Raises:
        InvalidManifest: the document has one of `keys` (in lower case).
    """
    for key in document:
        # Go's decoder folds case as Unicode does: `layer\u017f` is `layers` to it.
        if key.casefold() in keys:
            raise InvalidManifest(
                f"a document with {key!r} here could be read as one of another kind (CVE-2021-41190)",
                where=where,
                remedy="push the image again with a current tool",
            )


def convert_document(document: dict[str, Any], wire: type[T], where: str) -> T:
    """Convert a document to a structure.

    Raises:
        InvalidManifest: the document has another structure; the message names the key.
        UnsupportedMediaType: the document is of schema 1.
    """
    refuse_other_case(document, wire, where)
    try:
        found = msgspec.convert(document, ready(wire))
    except msgspec.ValidationError as fault:
        text = str(fault)
        message, _, path = text.partition(" - at `$")
        raise InvalidManifest(message, where=where + path.rstrip("`")) from fault
    version = document.get("schemaVersion", 2)
    if version == 1:
        refuse_schema_1()
    if version != 2:
        raise InvalidManifest(f"expected 2, found {version!r:.60}", where=f"{where}.schemaVersion")
    return found
