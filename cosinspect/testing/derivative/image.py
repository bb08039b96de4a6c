"""A small derivative: true formats, true names, a few kilobytes, and every way it is known to break.

`derivative()` has everything that the checks ask of an image that boots and can be installed; `BREAKAGES` are what can
be done to it so that it does not, `DEGRADATIONS` what makes it worse without that.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import get_args

from cosinspect.testing.bootfiles import Architecture
from cosinspect.testing.derivative import toolkit_files as toolkit
from cosinspect.testing.derivative.breakages import BREAKAGES, DEGRADATIONS, Breakage
from cosinspect.testing.derivative.parts import (
    KERNEL_VERSION,
    Parts,
    initrd_of,
    parts_of,
    program,
    unified_of,
)
from cosinspect.testing.entries import Entries, Entry
from cosinspect.testing.images import BuiltImage, ImageBuilder
from cosinspect.testing.layers import Compression

__all__ = [
    "BREAKAGES",
    "DEGRADATIONS",
    "KERNEL_VERSION",
    "Breakage",
    "builder_of",
    "derivative",
    "derivative_of",
    "program",
]


def derivative(
    broken: str | None = None,
    *,
    generation: toolkit.GenerationName | None = None,
    architecture: Architecture = "amd64",
    top: Mapping[str, Entry] | None = None,
    created_by: str = "",
) -> BuiltImage:
    """Make a derivative, broken in one of the ways of `BREAKAGES` or `DEGRADATIONS`, or not at all.

    Args:
        broken: the way's name.
        generation: of the toolkit; by default the one that the way is for, G2 for none.
        architecture: of the image.
        top: paths and entries of a last layer, such as `{"etc/motd": "hello", "boot/vmlinuz": Whiteout()}`.
        created_by: the build step of that layer, for the history; by default one that names the paths.

    Raises:
        ValueError: there is no such way, generation or architecture, or a path of `top` is not one in the image.
    """
    ways = {**BREAKAGES, **DEGRADATIONS}
    _require("a name of BREAKAGES or DEGRADATIONS", broken, ways)
    _require("a generation", generation, get_args(toolkit.GenerationName))
    _require("an architecture", architecture, get_args(Architecture))
    breakage = ways[broken] if broken is not None else None
    parts = parts_of(generation or (breakage.generation if breakage else "G2"), architecture)
    if breakage is not None:
        breakage.apply(parts)
    if top:
        entries = {_path(path): entry for path, entry in top.items()}
        parts.top.update(entries)
        parts.step = created_by or f"COPY {' '.join(entries)} /"
    return derivative_of(parts)


def _require(what: str, given: str | None, known: Collection[str]) -> None:
    if given is None or given in known:
        return
    near = difflib.get_close_matches(given, known, n=1)
    meant = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    raise ValueError(f"expected {what}, found {given!r}; {meant}")


def _path(path: str) -> str:
    """Return a path without its leading slash; a layer's names have none."""
    short = path.lstrip("/")
    if not short or any(part in ("", ".", "..") for part in short.rstrip("/").split("/")):
        raise ValueError(f"expected a path in the image, such as 'etc/motd', found {path!r}")
    return short


def derivative_of(parts: Parts) -> BuiltImage:
    """Make the image of its parts, which a test of your own may have changed."""
    return builder_of(parts).build()


def builder_of(parts: Parts) -> ImageBuilder:
    """Return the builder of the image of its parts, to which a test may add layers."""
    platform = parts.platform or f"linux/{parts.architecture}"
    labels = {"flavor": "demo"} | ({"containers.bootc": "1"} if parts.generation == "bootc" else {})
    builder = ImageBuilder(platform=platform, labels=labels, cmd=["/bin/bash"])

    def layer(
        onto: ImageBuilder, entries: Entries, step: str, compression: Compression = "gzip"
    ) -> ImageBuilder:
        if parts.seekable is None:
            return onto.layer(entries, created_by=step, compression=compression)
        return onto.seekable_layer(entries, created_by=step, kind=parts.seekable)

    builder = layer(builder, parts.base, "ADD base.tar /").empty_layer("ENV COSIGN_EXPERIMENTAL=1")
    step = "RUN zypper in -y kernel-default && rm -rf /var/cache/zypp"
    builder = layer(builder, parts.kernel, step, "zstd")
    builder = layer(builder, parts.packages, "RUN luet install -y meta/cos-minimal meta/cos-verify")
    boot = {**parts.boot, **unified_of(parts)}
    if parts.initrd_written:
        boot[parts.initrd_path] = initrd_of(parts)
    builder = layer(builder, boot, f"RUN dracut -f /{parts.initrd_path} {KERNEL_VERSION}")
    # Parts written again would replace the links that they are; a real diff lists what it changed.
    if parts.top and parts.seekable is None and parts.edit_table is None:
        builder = builder.layer(parts.top, created_by=parts.step, parents=False)
    elif parts.top:
        builder = builder.seekable_layer(
            parts.top,
            created_by=parts.step,
            kind=parts.seekable or "estargz",
            edit_table=parts.edit_table,
            parents=False,
        )
    return builder
