"""Checks on the image as a whole: which toolkit is in it, and whether every runtime sees the same tree."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.changeset import normalise
from cosinspect.checks.base import CheckContext, Undecided, check
from cosinspect.report import Capability, Finding, Level

__all__ = ["generation_unknown", "layer_ambiguous", "layer_malformed"]

# What umoci, containerd, Docker and Podman refuse to unpack.
REFUSED = frozenset(
    {
        "dangling-hardlink",
        "empty-symlink",
        "hardlink-to-directory",
        "invalid-whiteout",
        "parent-loop",
        "root-not-directory",
        "unknown-type",
    }
)
# What they unpack to different trees, or another tar reader sees differently. A missing end mark or padding, AUFS
# metadata and sparse files are odd, but everyone sees the same.
AMBIGUOUS = frozenset(
    {
        "data-after-end",
        "duplicate-entry",
        "empty-pax-path",
        "escaping-name",
        "global-header",
        "hardlink-to-deleted",
        "long-name-over-pax",
        "odd-whiteout",
        "prefix-without-magic",
        "repeated-long-name",
        "repeated-pax-header",
        "size-without-content",
        "slash-on-file",
        "whiteout-directory",
    }
)


@check(
    id="COS001",
    name="generation-unknown",
    level=Level.ERROR,
    capabilities=(Capability.BOOT, Capability.INSTALL),
    summary="The image carries no cOS toolkit that is known.",
    why="""Nothing in the image mounts the immutable root filesystem or runs the boot stages, so what is installed
        from it is no derivative.""",
    remedy="Install the toolkit in the Dockerfile: RUN luet install -y meta/cos-minimal",
    reads=("etc/systemd/system/cos-setup-boot.service", "{usr/,}lib/systemd/system/cos-setup-boot.service"),
    universal=True,
)
def generation_unknown(context: CheckContext) -> Iterator[Finding | str]:
    """Find out the generation, and say so where this version has no rules for it."""
    generation = context.facts.generation
    table = context.profile.generations.get(generation)
    if table is not None:
        yield f"generation {generation}: {table.title}"
    elif generation:
        raise Undecided(
            f"the image is of generation {generation} ({context.profile.title(generation)}), for which there are no rules yet"
        )
    else:
        yield Finding("expected the files of a cOS toolkit, found none of any generation")


def _irregular(context: CheckContext, kinds: frozenset[str]) -> Iterator[Finding]:
    for problem in context.rootfs.problems:
        if problem.kind in kinds:
            yield Finding(problem.message, f"/{problem.path}", problem.layer, (context.step(problem.layer),))
    for layer, index in enumerate(context.rootfs.indexes):
        for irregularity in index.irregularities:
            if irregularity.kind in kinds:
                where = f"byte {irregularity.offset} of the uncompressed layer"
                path, _ = normalise(irregularity.path)
                yield Finding(
                    irregularity.message, f"/{path}" if path else None, layer, (where, context.step(layer))
                )


@check(
    id="COS002",
    name="layer-malformed",
    level=Level.ERROR,
    capabilities=(
        Capability.BOOT,
        Capability.INSTALL,
        Capability.UPGRADE,
        Capability.RECOVERY,
        Capability.ISO,
    ),
    summary="A layer asks for something that runtimes refuse to unpack.",
    why="The image cannot be pulled or written to disk: whoever unpacks it stops at this entry.",
    remedy="Build the layer again with a current tool, and report the tool that wrote it.",
    universal=True,
)
def layer_malformed(context: CheckContext) -> Iterator[Finding | str]:
    """Look at what the resolver and the tar reader noticed."""
    yield from _irregular(context, REFUSED)
    yield f"every entry of the layers can be unpacked ({len(context.rootfs.indexes)} read)"


@check(
    id="COS003",
    name="layer-ambiguous",
    level=Level.WARNING,
    summary="A layer holds something that different runtimes unpack differently.",
    why="""What is on the machine depends on the tool that unpacked the image; what this report says of it holds for
        readers that follow the specification.""",
    remedy="Build the layer again with a tool that writes each path once and whiteouts as empty files.",
    universal=True,
)
def layer_ambiguous(context: CheckContext) -> Iterator[Finding | str]:
    """Look at what the tar reader noticed."""
    yield from _irregular(context, AMBIGUOUS)
