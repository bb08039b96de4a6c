"""What policy tests are written with: images made of a few lines, and a registry to pull them from.

Public, and kept stable like the rest: whoever writes a profile or a check of their own tests it with these.

    from cosinspect.testing import ImageBuilder, Registry, Symlink, Whiteout

    def test_the_kernel_can_be_pulled():
        base = ImageBuilder().layer({"boot/vmlinuz-6.4": b"...", "boot/vmlinuz": Symlink("vmlinuz-6.4")})
        image = base.layer({"boot/vmlinuz": Whiteout()}, created_by="RUN rm /boot/vmlinuz").build()
        with Registry() as registry:
            name = registry.push(image, "org/os:v1")

`layers` writes archives, `images` makes and writes images and indexes, `registry` serves them.
"""

from __future__ import annotations

from cosinspect.testing.images import BuiltImage, BuiltIndex, ImageBuilder, image_index
from cosinspect.testing.layers import (
    BuiltLayer,
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
    build_layer,
    digest_of,
    pax_header,
    tar_bytes,
    tar_header,
)
from cosinspect.testing.registry import BasicAuth, Fault, Registry, Request, TokenAuth

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
    "Symlink",
    "TokenAuth",
    "Whiteout",
    "build_layer",
    "digest_of",
    "image_index",
    "pax_header",
    "tar_bytes",
    "tar_header",
]
