"""Layers for tests of the resolver: archives indexed without a registry in between."""

import io
import os

from cosinspect.layer.layer import Layer
from cosinspect.layer.retain import Retain
from cosinspect.oci.documents import OCI_LAYER, Descriptor, Digest

SCALE = int(os.environ.get("COSINSPECT_TEST_SCALE", "1"))
"""How many times more examples than usual property tests try."""


class BytesSource:
    """A source that holds blobs in memory."""

    def __init__(self, *blobs: bytes) -> None:
        self.blobs = {Digest.of(blob): blob for blob in blobs}

    def resolve(self) -> Descriptor:
        raise NotImplementedError

    def open(self, descriptor):
        return io.BytesIO(self.blobs[descriptor.digest])

    def open_range(self, descriptor, start, stop):
        return io.BytesIO(self.blobs[descriptor.digest][start:stop])

    def close(self) -> None:
        pass


def layer_of(archive: bytes, *, blob: bytes | None = None, position: int = 0, **options) -> Layer:
    """Make a layer of an uncompressed archive, stored as `blob` if that is given."""
    stored = archive if blob is None else blob
    descriptor = Descriptor(OCI_LAYER, Digest.of(stored), len(stored))
    return Layer(descriptor, Digest.of(archive), position, None, BytesSource(stored), **options)


def index_of(archive: bytes):
    """Index an uncompressed archive, every body kept."""
    return layer_of(archive).index(Retain(["**"]))
