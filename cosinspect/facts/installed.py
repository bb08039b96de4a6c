"""The image that a machine runs before an upgrade: its files are on the disk, and its toolkit runs the upgrade."""

from __future__ import annotations

from attrs import field, frozen

from cosinspect.facts.facts import Facts
from cosinspect.oci.documents import ImageConfig
from cosinspect.rootfs.rootfs import Rootfs

__all__ = ["InstalledImage"]


@frozen
class InstalledImage:
    """The image that a machine runs.

    Attributes:
        name: as given.
        rootfs: the merged tree.
        config: the image configuration.
        facts: the facts in its files.
        steps: the build step of each layer, bottom first, None if unknown.
    """

    name: str
    rootfs: Rootfs = field(repr=False)
    config: ImageConfig = field(repr=False)
    facts: Facts = field(repr=False)
    steps: tuple[str | None, ...] = field(repr=False)
