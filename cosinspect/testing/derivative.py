"""A small derivative: true formats, true names, a few kilobytes, and every way it is known to break.

`derivative()` has everything that the checks ask of an image that boots and can be installed; `BREAKAGES` are what can
be done to it so that it does not, `DEGRADATIONS` what makes it worse without that.
"""

from __future__ import annotations

from cosinspect.testing import toolkit_files as toolkit
from cosinspect.testing.bootfiles import Architecture
from cosinspect.testing.breakages import BREAKAGES, DEGRADATIONS, Breakage
from cosinspect.testing.derivative_parts import KERNEL_VERSION, Parts, initrd_of, parts_of, program
from cosinspect.testing.images import BuiltImage, ImageBuilder

__all__ = [
    "BREAKAGES",
    "DEGRADATIONS",
    "KERNEL_VERSION",
    "Breakage",
    "derivative",
    "derivative_of",
    "program",
]


def derivative(
    broken: str | None = None,
    *,
    generation: toolkit.GenerationName | None = None,
    architecture: Architecture = "amd64",
) -> BuiltImage:
    """Make a derivative, broken in one of the ways of `BREAKAGES` or `DEGRADATIONS`, or not at all.

    Args:
        broken: the way's name.
        generation: of the toolkit; by default the one that the way is for, G2 for none.
        architecture: of the image.

    Raises:
        KeyError: there is no such way.
    """
    breakage = {**BREAKAGES, **DEGRADATIONS}[broken] if broken is not None else None
    parts = parts_of(generation or (breakage.generation if breakage else "G2"), architecture)
    if breakage is not None:
        breakage.apply(parts)
    return derivative_of(parts)


def derivative_of(parts: Parts) -> BuiltImage:
    """Make the image of its parts, which a test of your own may have changed."""
    platform = parts.platform or f"linux/{parts.architecture}"
    labels = {"flavor": "demo"} | ({"containers.bootc": "1"} if parts.generation == "bootc" else {})
    builder = (
        ImageBuilder(platform=platform, labels=labels, cmd=["/bin/bash"])
        .layer(parts.base, created_by="ADD base.tar /")
        .empty_layer("ENV COSIGN_EXPERIMENTAL=1")
        .layer(
            parts.kernel,
            created_by="RUN zypper in -y kernel-default && rm -rf /var/cache/zypp",
            compression="zstd",
        )
        .layer(parts.packages, created_by="RUN luet install -y meta/cos-minimal meta/cos-verify")
        .layer(
            {**parts.boot, parts.initrd_path: initrd_of(parts)},
            created_by=f"RUN dracut -f /{parts.initrd_path} {KERNEL_VERSION}",
        )
    )
    if parts.top:
        # Parents written again would replace the links that they are; a real diff lists what it changed.
        builder = builder.layer(parts.top, created_by=parts.step, parents=False)
    return builder.build()
