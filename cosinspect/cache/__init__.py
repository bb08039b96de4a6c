"""What was found out before, by what it was found out from: layers, merged trees, and whatever else is a function of them.

A key is the digest of everything that decides a value: the content's own digests, the bounds it was read within, and the
code that read it. So nothing here is ever out of date, and no entry needs to be told from another by its age.

It may import `compression`, `formats`, `layer`, `oci`, `rootfs` and `tar`. Which code decides an index or a tree is listed in `code`; where
records are kept is in `store` and `shared`; values parsed from files are shared through `parsed`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from attrs import evolve

from cosinspect.cache.code import LAYER_CODE, TREE_CODE, code_digest
from cosinspect.cache.layers import decode_layer, encode_layer
from cosinspect.cache.record import Damaged, Record, RecordWriter
from cosinspect.cache.store import DirectoryStore, Kept, Store, open_directory
from cosinspect.cache.trees import decode_tree, encode_tree
from cosinspect.layer.changeset import LayerIndex
from cosinspect.layer.layer import Layer
from cosinspect.layer.toc import ANNOTATIONS, is_announced
from cosinspect.limits import Limits
from cosinspect.rootfs.overlay import Merged, merge
from cosinspect.rootfs.semantics import Semantics

__all__ = ["Cache", "DirectoryStore", "Kept", "Store", "open_directory"]


class Cache:
    """Records of layers, trees and values; used from several threads at once.

    Attributes:
        store: where they are kept.
    """

    def __init__(self, store: Store) -> None:
        """Look things up in `store`, and keep them there."""
        self.store = store

    def layer(self, layer: Layer) -> LayerIndex | None:
        """Return the index of a layer without reading it, None if it is not known."""
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
        """Keep the index of a layer; one whose diff_id was not verified is not kept."""
        if layer.verify_diff_id:
            key = _layer_key(layer)
            self.store.save("layer", key, encode_layer(index, key))

    def tree(self, indexes: Sequence[LayerIndex], semantics: Semantics, limits: Limits) -> Merged:
        """Return the tree that layers make; it is merged and kept if it is not known."""
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
        """Return a value that was kept under the same kind and parts, None if it is not known."""
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
        """Keep a value of a kind under everything that decides it."""
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
    # What containerd makes of a layer is a matter of its media type as well.
    digests = (str(layer.descriptor.digest), layer.descriptor.media_type, str(layer.diff_id))
    # Whether a layer agrees with its table of contents is a matter of which table the manifest vouches for.
    tables = [f"{name}={layer.descriptor.annotations.get(name, '')}" for name in ANNOTATIONS]
    if not is_announced(layer.descriptor):
        tables = []
    return _key(code_digest(LAYER_CODE), _bounds(layer.limits), *digests, *tables)


def _bounds(limits: Limits) -> str:
    """Tell bounds as text; the time that reading took decides nothing about what was read."""
    return repr(evolve(limits, seconds=0.0))


def _key(*parts: bytes | str) -> bytes:
    found = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "big") + data)
    return found.digest()
