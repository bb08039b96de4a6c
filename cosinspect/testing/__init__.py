"""What policy tests are written with: images made of a few lines, and a registry to pull them from.

Public, and kept stable like the rest: whoever writes a profile or a check of their own tests it with these.

    from cosinspect.testing import ImageBuilder, Registry, Symlink, Whiteout

    def test_the_kernel_can_be_pulled():
        base = ImageBuilder().layer({"boot/vmlinuz-6.4": b"...", "boot/vmlinuz": Symlink("vmlinuz-6.4")})
        image = base.layer({"boot/vmlinuz": Whiteout()}, created_by="RUN rm /boot/vmlinuz").build()
        with Registry() as registry:
            name = registry.push(image, "org/os:v1")

What stands at a path is in `entries`; `tar_writer` and `layers` make archives and blobs of it, `images` makes images
and indexes (`built_images`), which `layout_writer` and `docker_archive_writer` write to disk and `registry` serves
(`registry.store`), asking for credentials (`registry.auth`) and failing (`registry.faults`) as configured. It may import `tar`
and the ground: what tests images shares no code with what reads them.

Not imported here, so that only those pay for it who use it: `cosinspect.testing.derivative`, with `derivative()`, a
small image that has what the checks ask of a derivative that boots, and `BREAKAGES`, the ways in which derivatives
really broke, each with the check that must find it. Its kernels and initrds are made by `cosinspect.testing.bootfiles`.
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
