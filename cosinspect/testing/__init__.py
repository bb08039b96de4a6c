"""The testing kit: images in a few lines of code, and a registry that serves them.

It is public and stable, for tests of profiles, policies and plugins. docs/testing.md is the manual.

    from cosinspect.testing import ImageBuilder, Registry, Symlink, Whiteout

    def test_the_kernel_can_be_pulled():
        base = ImageBuilder().layer({"boot/vmlinuz-6.4": b"...", "boot/vmlinuz": Symlink("vmlinuz-6.4")})
        image = base.layer({"boot/vmlinuz": Whiteout()}, created_by="RUN rm /boot/vmlinuz").build()
        with Registry() as registry:
            name = registry.push(image, "org/os:v1")

`entries` has the content of layers; `tar_writer` and `layers` make archives and blobs; `images` makes images
and indexes (`built_images`); `layout_writer` and `docker_archive_writer` write them to disk; `registry`
serves them (`registry.store`) with authentication (`registry.auth`) and faults (`registry.faults`). It may
import `tar` and the ground: the code that builds test images is independent of the code that reads images.

`cosinspect.testing.pytest` has fixtures for pytest.

Import `cosinspect.testing.derivative` separately, because it takes time: it has `derivative()`, a small image
that passes all checks, and `BREAKAGES`, known defects, each with the check that must find it.
`cosinspect.testing.bootfiles` makes its kernels and initrds.
"""

from __future__ import annotations

from cosinspect.testing.built_images import BuiltImage, BuiltIndex
from cosinspect.testing.entries import (
    Device,
    Directory,
    Fifo,
    File,
    Hardlink,
    Opaque,
    RawEntry,
    RawName,
    Symlink,
    Whiteout,
)
from cosinspect.testing.images import ImageBuilder, image_index
from cosinspect.testing.layers import BuiltLayer, build_layer, digest_of
from cosinspect.testing.registry.auth import BasicAuth, TokenAuth
from cosinspect.testing.registry.faults import Fault
from cosinspect.testing.registry.messages import Request
from cosinspect.testing.registry.server import Registry
from cosinspect.testing.table_writer import SeekableLayer, seekable_layer
from cosinspect.testing.tar_writer import pax_header, tar_bytes, tar_header

__all__ = [
    "BasicAuth",
    "BuiltImage",
    "BuiltIndex",
    "BuiltLayer",
    "Device",
    "Directory",
    "Fault",
    "Fifo",
    "File",
    "Hardlink",
    "ImageBuilder",
    "Opaque",
    "RawEntry",
    "RawName",
    "Registry",
    "Request",
    "SeekableLayer",
    "Symlink",
    "TokenAuth",
    "Whiteout",
    "build_layer",
    "digest_of",
    "image_index",
    "pax_header",
    "seekable_layer",
    "tar_bytes",
    "tar_header",
]
