"""Whose reading of layers: the rules in which runtimes and installers differ, as a table.

image-spec, layer.md leaves room, and not everyone stays inside it. Four readings matter for an OS image:

- `oci`: the specification, and where it is silent `umoci` (with which `oci` is compared in the tests).
- `overlay`: what a node shows that pulls the image: containerd's `archive.Apply` writes each layer into a directory of
  its own, whiteouts as character devices 0/0 and opaque whiteouts as an attribute, and the kernel's overlayfs lays
  them over each other. Docker and Podman differ from it in the modes of implied directories only.
- `elemental`: what elemental, luet and kairos-agent write to disk: go-containerregistry's `mutate.Extract` (0.20.3, as
  elemental-toolkit has it) reads the layers top down into one archive, the first entry of a name winning, and
  containerd's `archive.Apply` writes that into one directory.
- `elemental3`: what Elemental 3 writes to disk: the same two functions at 0.21.9 and 2.3.4 (SUSE/elemental, pkg/unpack/oci.go).

| rule | oci | overlay | elemental |
|---|---|---|---|
| layers are read | bottom up, onto one tree | bottom up, each onto its own | top down, the first of a name wins |
| a whiteout | takes away from lower layers | hides lower layers | hides what is read after it, its own layer's too |
| and an entry of its name before it | stays | the layer is refused | stays |
| and a directory of its name behind it | starts empty | shows lower children again | is lost |
| an opaque whiteout | empties the lower directory | hides lower layers, not at the root | has no effect |
| a name twice in a layer | the last counts | the last counts | the first counts |
| a file in the place of a parent | becomes a directory | in its own layer: the layer is refused | the image is refused |
| a parent behind a lower layer's link | is written through | becomes a directory | is written, then replaced by the link |
| a parent that no layer lists | 0755 | as the lower layer has it | 0755 |
| a hard link to a lower layer's file | that file | the layer is refused | the image is refused |
| a hard link whose target a higher layer replaces | stays as it was | stays as it was | gets the new content |
| a hard link's own attributes | not applied | applied to the file | applied to the file |
| attributes of the root | applied | ignored | ignored |
| a whiteout that names nothing | ignored, told | the layer is refused | takes the directory away |
| a directory that its layer replaces by a file | replaced | the layer is refused | the image is refused |
| a character device 0/0 | a device | a whiteout | a device |

Elemental 3 differs from elemental in these rules:

| rule | elemental | elemental3 |
|---|---|---|
| an opaque whiteout | has no effect | hides lower layers |
| a whiteout of a name that is written already | has no effect | hides what is below the name and read after it |
| a name that leads out of the root | is written inside | ends the archive, and nobody is told |
| a relative link that leads out of the root | is written | is left out |
| damage behind the archive's end mark | is not seen | ends the archive after the layer |
"""

from __future__ import annotations

import enum

from attrs import frozen

__all__ = ["RULES", "USUAL", "Rules", "Semantics", "Stacking"]


class Semantics(enum.Enum):
    """Whose reading of layers."""

    OCI = "oci"
    OVERLAY = "overlay"
    ELEMENTAL = "elemental"
    ELEMENTAL3 = "elemental3"

    @property
    def installs(self) -> bool:
        """Whether it is the reading of a program that writes the image to disk, top down, and that tells nobody where it ends early."""
        return RULES[self].stacking is Stacking.TOP_DOWN

    @property
    def reader(self) -> str:
        """Name who reads so, for sentences."""
        return _READERS[self]


_READERS = {
    Semantics.OCI: "the specification",
    Semantics.OVERLAY: "containerd on overlayfs",
    Semantics.ELEMENTAL: "elemental",
    Semantics.ELEMENTAL3: "Elemental 3",
}


class Stacking(enum.Enum):
    """How layers come together, from which the rules on whiteouts and repeated names follow."""

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
"""What a profile compares that names no semantics; for images of Elemental 3 its own takes the place of `elemental`."""
