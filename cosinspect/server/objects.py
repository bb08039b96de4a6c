"""Objects of Kubernetes in requests: small ones are decoded whole, large ones only where they may name an image.

The decoder blocks the event loop, and makes a value for each `{}`. Parts without a path to an image are skipped, which takes a
hundredth of the time and no memory.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from cosinspect.errors import InvalidObject
from cosinspect.kubernetes_images import MOST_VALUES, ImageFields
from cosinspect.wire_types import ready

__all__ = ["read_object"]

SMALL = 64 * 1024
"""The most bytes of an object that is always decoded whole."""
LEAF = 16 * 1024
"""The most bytes of a value at a path; names of images are far shorter."""
_METADATA = tuple(f"metadata.{name}" for name in ("name", "generateName", "deletionTimestamp"))


def read_object(raw: msgspec.Raw, group: str, kind: str, fields: ImageFields) -> Any:
    """Return an object as plain values; a large one of a built-in kind has only the fields that its controller reads.

    Raises:
        InvalidObject: it is not JSON, or is too large to search.
    """
    body = bytes(raw)
    try:
        if len(body) <= SMALL:
            return msgspec.json.decode(body)
        paths = () if fields.is_slow(group, kind) else fields.reads(group, kind)
        if not paths or any("[*]" in path for path in paths):
            count = body.count(b"{") + body.count(b"[") + body.count(b",")
            if count > MOST_VALUES:
                raise InvalidObject(f"expected an object of at most {MOST_VALUES} values", where=kind)
        if not paths:
            return msgspec.json.decode(body)
        return _plain(msgspec.json.decode(body, type=ready(_shape((*_METADATA, *paths)))))
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as fault:
        raise InvalidObject(f"expected an object: {str(fault)[:200]}", where=kind) from fault


@cache
def _shape(paths: tuple[str, ...]) -> Any:
    """Make the type of an object with only these paths."""
    tree: dict[str, Any] = {}
    for path in paths:
        node = tree
        for step in path.split("."):
            node = node.setdefault(step, {})
    return _struct(tree)


def _struct(tree: dict[str, Any]) -> Any:
    fields: list[tuple[str, Any, Any]] = []
    rename: dict[str, str] = {}
    for number, (step, below) in enumerate(tree.items()):
        key, many, _ = step.partition("[*]")
        name = f"f{number}"
        rename[name] = key
        if not below:
            fields.append((name, msgspec.Raw, msgspec.Raw(b"")))
        elif many:
            inner: Any = _struct(below)
            fields.append((name, list[inner] | None, None))
        else:
            fields.append((name, _struct(below) | None, None))
    return msgspec.defstruct("Part", fields, rename=rename)


def _plain(part: Any) -> Any:
    """Return decoded values as plain values, without absent fields."""
    if isinstance(part, list):
        return [_plain(each) for each in part]
    if isinstance(part, msgspec.Raw):
        if len(bytes(part)) > LEAF:
            raise InvalidObject(
                f"expected the name of an image, found a value of {len(bytes(part))} bytes", where="object"
            )
        return msgspec.json.decode(part)
    found = {}
    for field in msgspec.structs.fields(part):
        value = getattr(part, field.name)
        if value is not None and not (isinstance(value, msgspec.Raw) and not bytes(value)):
            found[field.encode_name] = _plain(value)
    return found
