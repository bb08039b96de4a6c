"""An image: one manifest, its configuration and its layers, reached through a source."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Self

from attrs import evolve

from cosinspect.blob import Source
from cosinspect.cache import Cache
from cosinspect.deadline import Deadline
from cosinspect.errors import (
    InvalidLayer,
    InvalidManifest,
    LimitExceeded,
)
from cosinspect.extras import load_extra
from cosinspect.image.resolution import Resolved, resolve_image
from cosinspect.image.schedule import LayerKey, LayerSchedule, key_of
from cosinspect.layer.changeset import LayerIndex
from cosinspect.layer.checkpoints import Checkpoints
from cosinspect.layer.indexing import Follower
from cosinspect.layer.layer import Layer, Progress
from cosinspect.layer.ledger import Ledger
from cosinspect.layer.retain import Retain
from cosinspect.layer.toc import is_announced
from cosinspect.layer.toc_layer import TableLayer, TableUse, open_by_table
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.documents import (
    Manifest,
    Platform,
)
from cosinspect.rootfs.rootfs import Bodies, Rootfs, merge_layers
from cosinspect.rootfs.semantics import Semantics

if TYPE_CHECKING:  # fsspec comes with an extra
    from fsspec import AbstractFileSystem

__all__ = ["JOBS", "Image"]

JOBS = 4
"""Layers read in parallel: inflating and hashing release the interpreter lock, reading headers does not."""

_INITRD_STEP = re.compile(r"dracut|initrd|initramfs|elemental init|kairos-init")


def _builds_initrd(layer: Layer) -> bool:
    return layer.created_by is not None and _INITRD_STEP.search(layer.created_by) is not None


class Image:
    """A container image with verified content; use it in a `with` statement, because it holds connections.

    Attributes:
        name: as given.
        index_digest: of the image index that the name refers to, None if it refers to the manifest.
        choice: the manifest chosen from the index for the platform, None without an index.
        digest: of the manifest.
        manifest: the manifest.
        config: the image configuration.
        layers: bottom first.
        limits: the bounds for everything that is read.
        cache: the cache, None without one.
        fetched: compressed bytes of the layers that were read completely.
        table_use: the effects of reading layers by their tables of contents.
        deadline: for all reads.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        resolved: Resolved,
        *,
        limits: Limits = DEFAULT_LIMITS,
        verify_diff_ids: bool = True,
        cache: Cache | None = None,
        deadline: Deadline | None = None,
        jobs: int = JOBS,
        restartable: bool = True,
    ) -> None:
        """Make an image of its documents; `Image.open` reads them and has the same arguments.

        Raises:
            InvalidManifest: manifest and configuration disagree on the number of layers.
            LimitExceeded: there are more layers than `limits.layers`.
        """
        self.name = name
        self._source = source
        self.table_use = TableUse()
        self._tables: dict[LayerKey, TableLayer] = {}
        self.limits = limits
        self.cache = cache
        self.fetched = 0
        self._jobs = jobs
        self.deadline = deadline if deadline is not None else Deadline(limits.seconds)
        self.index_digest = resolved.index_digest
        self.choice = resolved.choice
        self.digest = resolved.digest
        self.manifest = resolved.manifest
        self.config = resolved.config
        self.layers = self._layers(resolved.manifest, verify_diff_ids, restartable)

    @classmethod
    def open(
        cls,
        name: str,
        source: Source,
        *,
        platform: Platform | None = None,
        limits: Limits = DEFAULT_LIMITS,
        verify_diff_ids: bool = True,
        cache: Cache | None = None,
        deadline: Deadline | None = None,
        jobs: int = JOBS,
        restartable: bool = True,
    ) -> Self:
        """Resolve the image once and read its documents.

        Args:
            name: for messages and reports.
            source: of the image; it is closed with the image.
            platform: selects from an index, by default the host's platform; an image without an index must not contradict
        a given platform.
            limits: bounds for everything read.
            verify_diff_ids: whether layers must match the diff IDs of the configuration.
            cache: the cache of layers and trees.
            deadline: for everything; by default `limits.seconds` from now.
            jobs: how many layers are read in parallel, at least one.
            restartable: whether to record checkpoints in layers, so that a file that was not kept is read from the nearest
        one instead of the layer's beginning; inflating gzip then takes an eighth longer.

        Raises:
            SourceError: the source does not deliver.
            ContentError: the bytes do not match their digests.
            InvalidImage: there is no image, or none for the platform.
        """
        deadline = deadline if deadline is not None else Deadline(limits.seconds)
        return cls(
            name,
            source,
            resolve_image(source, platform, limits),
            limits=limits,
            verify_diff_ids=verify_diff_ids,
            cache=cache,
            deadline=deadline,
            jobs=jobs,
            restartable=restartable,
        )

    @property
    def platform(self) -> Platform | None:
        """The platform in the image's configuration."""
        return self.config.platform

    @property
    def chain(self) -> tuple[str, ...]:
        """Everything that decides the merged tree: each layer's digest and diff_id, bottom first, and the bounds."""
        bounds = repr(evolve(self.limits, seconds=0.0))
        return (
            bounds,
            *(
                f"{layer.descriptor.digest} {layer.descriptor.media_type} {layer.diff_id}"
                for layer in self.layers
            ),
        )

    def read_rootfs(
        self,
        retain: Iterable[str] = (),
        *,
        semantics: Semantics = Semantics.OCI,
        known: Iterable[LayerIndex] = (),
        progress: Progress | None = None,
        follower: Follower | None = None,
        trust_tables: bool = False,
    ) -> Rootfs:
        """Fetch and read every layer once, and merge them.

        Args:
            retain: globs of paths whose content is kept while layers are read, so that opening them needs no second pass.
            semantics: of the tree; `Rootfs.under` returns the others from the same layers.
            known: indexes of layers that were read before; those layers are not read again.
            progress: called with the number of compressed bytes, from several threads.
            follower: selects files whose bytes it receives, from several threads.
            trust_tables: trust the tables of contents of layers, and fetch only the needed parts.

        Raises:
            SourceError: a layer cannot be fetched.
            ContentError: a layer does not match the image.
            InvalidLayer: the runtimes cannot read a layer.
            LimitExceeded: a bound was reached.
        """
        # The layer that probably takes longest comes first; then the largest, so that no worker is left alone
        # with it at the end.
        order = sorted(self.layers, key=lambda layer: (not _builds_initrd(layer), -layer.descriptor.size))
        found = {key_of(index): index for index in known}
        ledger = Ledger(self.limits)
        waiting = self._unknown(order, found, progress, ledger, trust_tables=trust_tables)
        self.fetched += sum(layer.descriptor.size for layer in waiting.values())
        try:
            with self._schedule(waiting, retain, progress, follower, ledger) as schedule:
                found.update(schedule.results())
        except InvalidLayer as fault:
            if semantics.installs and fault.kind:
                return self.salvage(semantics)
            raise
        indexes = [found[key_of(layer)] for layer in self.layers]
        self._count_repeated(indexes, ledger)
        trees = merge_layers if self.cache is None else self.cache.tree
        with self.deadline.running(self.name):
            return Rootfs(indexes, self.bodies(indexes), limits=self.limits, semantics=semantics, trees=trees)

    def fs(self, retain: Iterable[str] = (), *, semantics: Semantics = Semantics.OCI) -> AbstractFileSystem:
        """Return the merged tree as a read-only file system of fsspec; it needs the extra `fs`.

        Args:
            retain: globs of files to keep in memory while layers are read; others are read again when they are opened.
            semantics: of the tree.

        Raises:
            MissingPackage: fsspec is not installed.
            CosinspectError: as `read_rootfs` does.
        """
        module = load_extra("cosinspect.image.filesystem", "fs")
        return module.ImageFileSystem(self.read_rootfs(retain, semantics=semantics))

    rootfs = read_rootfs
    """The name that `read_rootfs` had first; it works as ever."""

    def salvage(self, semantics: Semantics = Semantics.ELEMENTAL) -> Rootfs:
        """Return what elemental installs of an image with an unreadable layer; layers are read again from the top down.

        Raises:
            CosinspectError: as `read_rootfs` raises it, but no InvalidLayer.
        """
        indexes: list[LayerIndex] = []
        ledger = Ledger(self.limits)
        for layer in reversed(self.layers):
            self.deadline.heed(self.name)
            index = self.cache.layer(layer) if self.cache is not None else None
            try:
                index = layer.index(ledger=ledger) if index is None else index
            except InvalidLayer as fault:
                index = layer.salvage(fault, ledger)
            indexes.insert(0, index)
            if any(cut.reader != "containerd" and not cut.ended for cut in index.cuts):
                break
        unread = len(self.layers) - len(indexes)
        nothing = (
            LayerIndex(layer.descriptor, layer.diff_id, (), (), (), (), {}, 0)
            for layer in self.layers[:unread]
        )
        return Rootfs([*nothing, *indexes], self.layers, limits=self.limits, semantics=semantics)

    def bodies(self, indexes: Iterable[LayerIndex]) -> list[Bodies]:
        """Return the reader of files' contents for each layer, by its index: the layer, or its table of contents."""
        return [
            layer if index.table is None else self._tables[key_of(layer)]
            for layer, index in zip(self.layers, indexes, strict=True)
        ]

    def from_top(
        self,
        retain: Iterable[str] = (),
        *,
        progress: Progress | None = None,
        follower: Follower | None = None,
        trust_tables: bool = False,
    ) -> Iterator[tuple[LayerIndex, ...]]:
        """Read layers from the top down; yield the topmost one, the topmost two, and so on, each bottom first.

        Closing the generator cancels reads in progress. Arguments and errors are those of `read_rootfs`.
        """
        order = self.layers[::-1]
        found: dict[LayerKey, LayerIndex] = {}
        ledger = Ledger(self.limits)
        waiting = self._unknown(order, found, progress, ledger, trust_tables=trust_tables)
        with self._schedule(waiting, retain, progress, follower, ledger) as schedule:
            indexes: tuple[LayerIndex, ...] = ()
            for layer in order:
                key = key_of(layer)
                if key not in found:
                    found.update(schedule.results([key]))
                    self.fetched += layer.descriptor.size
                indexes = (found[key], *indexes)
                yield indexes

    def _unknown(
        self,
        layers: Iterable[Layer],
        found: dict[LayerKey, LayerIndex],
        progress: Progress | None,
        ledger: Ledger,
        *,
        trust_tables: bool,
    ) -> dict[LayerKey, Layer]:
        """Return the layers that must be read, in their order; put into `found` what the cache and tables of contents know."""
        unknown: dict[LayerKey, Layer] = {}
        for known in found.values():
            ledger.take_index(known, self.name)
        for layer in layers:
            key = key_of(layer)
            if key in found or key in unknown:
                continue
            index = self.cache.layer(layer) if self.cache is not None else None
            if index is None:
                unknown[key] = layer
            else:
                ledger.take_index(index, self.name)
                found[key] = index
        if trust_tables:
            found.update(self._by_table(unknown, progress, ledger))
        return unknown

    def _schedule(
        self,
        layers: dict[LayerKey, Layer],
        retain: Iterable[str],
        progress: Progress | None,
        follower: Follower | None,
        ledger: Ledger,
    ) -> LayerSchedule:
        """Begin to read layers; each that is read goes to the cache."""
        wanted = Retain(retain, limits=self.limits)

        def read(layer: Layer, cancelled: threading.Event) -> LayerIndex:
            with self.deadline.running(self.name):
                index = layer.index(
                    wanted, progress=progress, cancelled=cancelled, follower=follower, ledger=ledger
                )
                if self.cache is not None:
                    self.cache.keep_layer(layer, index)
                return index

        return LayerSchedule(layers, read, jobs=self._jobs, deadline=self.deadline, where=self.name)

    def _by_table(
        self, unique: dict[LayerKey, Layer], progress: Progress | None, ledger: Ledger
    ) -> dict[LayerKey, LayerIndex]:
        """Remove from `unique` the layers that are read by their tables of contents."""
        announced = {key: layer for key, layer in unique.items() if is_announced(layer.descriptor)}

        def opened_by_table(layer: Layer) -> TableLayer | None:
            with self.deadline.running(self.name):
                found = open_by_table(layer, self.table_use)
                if found is not None:
                    ledger.take_index(found.index, self.name)
                return found

        with ThreadPoolExecutor(self._jobs, thread_name_prefix="table") as pool:
            opened = pool.map(opened_by_table, announced.values())
            found = {key: item for key, item in zip(announced, opened, strict=True) if item is not None}
        for key in found:
            layer = unique.pop(key)
            if progress is not None:
                progress(layer, layer.descriptor.size)
        self._tables.update(found)
        return {key: item.index for key, item in found.items()}

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Image {self.name} {self.digest}>"

    def _count_repeated(self, indexes: Iterable[LayerIndex], ledger: Ledger) -> None:
        """Count layers that are in the image more than once: their entries are written to trees as often."""
        seen: set[int] = set()
        for index in indexes:
            if id(index) in seen:
                ledger.take_index(index, self.name)
            seen.add(id(index))

    def _layers(self, manifest: Manifest, verify: bool, restartable: bool) -> tuple[Layer, ...]:
        count, expected = len(manifest.layers), len(self.config.diff_ids)
        if count != expected:
            raise InvalidManifest(
                f"expected {expected} layers as the configuration has diff_ids, found {count}",
                where="manifest.layers",
                remedy="manifest and configuration belong to different images: push the image again",
            )
        if count > self.limits.layers:
            raise LimitExceeded(
                f"expected at most {self.limits.layers} layers, found {count}",
                limit="layers",
                bound=self.limits.layers,
                where="manifest.layers",
            )
        places = {each.digest: Checkpoints() if restartable else None for each in manifest.layers}
        return tuple(
            Layer(
                descriptor,
                diff_id,
                position,
                step,
                self._source,
                self.limits,
                verify,
                self.deadline,
                places[descriptor.digest],
            )
            for position, (descriptor, diff_id, step) in enumerate(
                zip(manifest.layers, self.config.diff_ids, self.config.steps(), strict=True)
            )
        )
