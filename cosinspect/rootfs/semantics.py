"""Semantics: the rules in which runtimes and installers differ, as a table.

image-spec, layer.md leaves some cases open, and some readers violate it. Four semantics matter for an OS image:

- `oci`: the specification, and `umoci` where it does not decide (tests compare `oci` with it).
- `overlay`: what a node shows: containerd's `archive.Apply` writes each layer into a directory of
  its own, whiteouts as character devices 0/0 and opaque whiteouts as an attribute, and the kernel's overlayfs lays
  them over each other. Docker and Podman differ from it in the modes of implied directories only.
- `elemental`: what elemental, luet and kairos-agent write to disk: go-containerregistry's `mutate.Extract` (0.20.3, as
  elemental-toolkit has it) reads the layers top down into one archive, the first entry of a name winning, and
  containerd's `archive.Apply` writes that into one directory.
- `elemental3`: what Elemental 3 writes to disk: the same two functions at 0.21.9 and 2.3.4 (SUSE/elemental, pkg/unpack/oci.go).

| rule | oci | overlay | elemental |
|---|---|---|---|
| order of layers | bottom up, onto one tree | bottom up, each into its own directory | top down, the first entry of a name wins |
| a whiteout | deletes from lower layers | hides lower layers | hides everything read after it, in its own layer too |
| an entry of the same name before the whiteout | stays | the layer is refused | stays |
| a directory of the same name after the whiteout | starts empty | shows lower children again | is lost |
| an opaque whiteout | empties the lower directory | hides lower layers, except at the root | has no effect |
| a name twice in a layer | the last counts | the last counts | the first counts |
| a file where a parent directory is needed | becomes a directory | in the same layer: the layer is refused | the image is refused |
| a parent that is a link of a lower layer | written through the link | becomes a directory | written, then replaced by the link |
| a parent that no layer lists | 0755 | as in the lower layer | 0755 |
| a hard link to a lower layer's file | that file | the layer is refused | the image is refused |
| a hard link whose target a higher layer replaces | keeps its content | keeps its content | gets the new content |
| a hard link's own attributes | not applied | applied to the file | applied to the file |
| attributes of the root | applied | ignored | ignored |
| a whiteout without a name | ignored, reported | the layer is refused | deletes the directory |
| a directory that its layer replaces by a file | replaced | the layer is refused | the image is refused |
| a character device 0/0 | a device | a whiteout | a device |

Elemental 3 differs from elemental in these rules:

| rule | elemental | elemental3 |
|---|---|---|
| an opaque whiteout | has no effect | hides lower layers |
| a whiteout of a name that was written before | has no effect | hides everything below the name that is read later |
| a name that leads out of the root | is written inside | ends the archive without an error |
| a relative link that leads out of the root | is written | is left out |
| damage after the archive's end mark | is not read | ends the archive after the layer |
"""

from __future__ import annotations

import enum

from attrs import frozen

__all__ = ["RULES", "USUAL", "Rules", "Semantics", "Stacking"]


class Semantics(enum.Enum):
    """The semantics of a reader of layers."""

    OCI = "oci"
    OVERLAY = "overlay"
    ELEMENTAL = "elemental"
    ELEMENTAL3 = "elemental3"

    @property
    def installs(self) -> bool:
        """Whether it is that of a program that writes the image to disk, top down, and may end early without an error."""
        return RULES[self].stacking is Stacking.TOP_DOWN

    @property
    def reader(self) -> str:
        """The name of the reader, for sentences."""
        return _READERS[self]


_READERS = {
    Semantics.OCI: "the specification",
    Semantics.OVERLAY: "containerd on overlayfs",
    Semantics.ELEMENTAL: "elemental",
    Semantics.ELEMENTAL3: "Elemental 3",
}


class Stacking(enum.Enum):
    """How layers are stacked; it implies the rules for whiteouts and repeated names."""

    IN_PLACE = "bottom up, onto one tree"
    SIDE_BY_SIDE = "each onto a tree of its own, then laid over each other"
    TOP_DOWN = "top down, the first of a name wins"


@frozen(kw_only=True)
class Rules:
    """How a reader writes entries to a directory.

    Attributes:
        stacking: how layers come together.
        lists_root: whether an entry for the root gives it attributes.
        revisits_directories: whether each directory that was listed must still be there when everything is written.
        hardlinks_carry_attributes: whether a hard link's mode and owner are applied to the file.
        lexical: whether `..` in a link's target takes off the name before it, as containerd's `fs.RootPath` does, and
            is not followed from where the links lead, as the kernel does; `fs.RootPath` also refuses a file where a directory is
            needed, which a directory replaces otherwise.
        link_hops: symbolic links followed on the way to one entry; None for `Limits.link_hops`.
        sets_attributes: whether an extended attribute that Linux refuses ends everything.
        guarded: whether a reader that works top down has the guards of `cosinspect.rootfs.guarded`: opaque whiteouts hide, a
            whiteout hides what comes later even where its name is written, names that leave the root end everything, links that do are
            left out.
    """

    stacking: Stacking
    lists_root: bool
    revisits_directories: bool
    hardlinks_carry_attributes: bool
    lexical: bool
    link_hops: int | None = None
    sets_attributes: bool = False
    guarded: bool = False


def _containerd(stacking: Stacking, *, guarded: bool = False) -> Rules:
    """What `archive.Apply` does, whichever directory it writes to (containerd 1.7.29, archive/tar.go)."""
    return Rules(
        stacking=stacking,
        lists_root=False,
        revisits_directories=True,
        hardlinks_carry_attributes=True,
        lexical=True,
        link_hops=255,
        sets_attributes=True,
        guarded=guarded,
    )


RULES = {
    Semantics.OCI: Rules(
        stacking=Stacking.IN_PLACE,
        lists_root=True,
        revisits_directories=False,
        hardlinks_carry_attributes=False,
        lexical=False,
    ),
    Semantics.OVERLAY: _containerd(Stacking.SIDE_BY_SIDE),
    Semantics.ELEMENTAL: _containerd(Stacking.TOP_DOWN),
    Semantics.ELEMENTAL3: _containerd(Stacking.TOP_DOWN, guarded=True),
}
"""The rules of each semantics."""

USUAL = (Semantics.OCI, Semantics.OVERLAY, Semantics.ELEMENTAL)
"""The default of a profile; for images of Elemental 3, `elemental3` replaces `elemental`."""
