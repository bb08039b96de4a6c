"""The cache of one store: layers, merged trees and values, each under the digest of everything that decides it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from attrs import evolve

from cosinspect.cache.code import LAYER_CODE, TREE_CODE, code_digest
from cosinspect.cache.layers import decode_layer, encode_layer
from cosinspect.cache.record import Damaged, Record
from cosinspect.cache.record_writer import RecordWriter
from cosinspect.cache.store import Store
from cosinspect.cache.trees import decode_tree, encode_tree
from cosinspect.layer.changeset import LayerIndex
from cosinspect.layer.layer import Layer
from cosinspect.layer.toc import ANNOTATIONS, is_announced
from cosinspect.limits import Limits
from cosinspect.rootfs.overlay import Merged, merge
from cosinspect.rootfs.semantics import Semantics

__all__ = ["Cache"]


class Cache:
    """Records of layers, trees and values; thread-safe.

    Attributes:
        store: keeps the records.
    """

    def __init__(self, store: Store) -> None:
        """Read and write records in `store`."""
        self.store = store

    def layer(self, layer: Layer) -> LayerIndex | None:
        """Return the index of a layer from the cache, or None."""
        key = _layer_key(layer)
        record = self._load("layer", key)
        if record is None:
            return None
        try:
            return decode_layer(record, layer.descriptor, layer.diff_id, layer.index)
        except Damaged:
            self.store.discard("layer", key)
            return None

    def keep_layer(self, layer: Layer, index: LayerIndex) -> None:
        """Store the index of a layer, unless its diff_id was not verified."""
        if layer.verify_diff_id:
            key = _layer_key(layer)
            self.store.save("layer", key, encode_layer(index, key))

    def tree(self, indexes: Sequence[LayerIndex], semantics: Semantics, limits: Limits) -> Merged:
        """Return the merged tree of layers; merge and store it if it is not in the cache."""
        chain = [f"{index.origin} {index.diff_id}" for index in indexes]
        key = _key(code_digest(TREE_CODE), _bounds(limits), semantics.value, *chain)

        def again() -> Merged:
            self.store.discard("tree", key)
            return merge(indexes, semantics, limits=limits)

        record = self._load("tree", key)
        if record is not None:
            try:
                return decode_tree(record, again)
            except Damaged:
                self.store.discard("tree", key)
        merged = merge(indexes, semantics, limits=limits)
        self.store.save("tree", key, encode_tree(merged, key))
        return merged

    def value(self, kind: str, *parts: bytes | str) -> bytes | None:
        """Return the value stored under the same kind and parts, or None."""
        key = _key(*parts)
        record = self._load(kind, key)
        if record is None:
            return None
        try:
            record.verify()
        except Damaged:
            self.store.discard(kind, key)
            return None
        return record.head

    def keep_value(self, value: bytes, kind: str, *parts: bytes | str) -> None:
        """Store a value of a kind under everything that decides it."""
        key = _key(*parts)
        self.store.save(kind, key, RecordWriter(key).finish(value))

    def _load(self, kind: str, key: bytes) -> Record | None:
        data = self.store.load(kind, key)
        if data is None:
            return None
        try:
            return Record(data, key)
        except Damaged:
            self.store.discard(kind, key)
            return None


def _layer_key(layer: Layer) -> bytes:
    # containerd's reading of a layer also depends on its media type.
    digests = (str(layer.descriptor.digest), layer.descriptor.media_type, str(layer.diff_id))
    # The comparison with a table of contents depends on which table the manifest vouches for.
    tables = [f"{name}={layer.descriptor.annotations.get(name, '')}" for name in ANNOTATIONS]
    if not is_announced(layer.descriptor):
        tables = []
    return _key(code_digest(LAYER_CODE), _bounds(layer.limits), *digests, *tables)


def _bounds(limits: Limits) -> str:
    """Return bounds as text, without the time limit, which does not change the result."""
    return repr(evolve(limits, seconds=0.0))


def _key(*parts: bytes | str) -> bytes:
    found = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "big") + data)
    return found.digest()
