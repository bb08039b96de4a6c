"""What one layer says about the tree below it: the values that one pass over its blob yields.

Names follow image-spec, layer.md: entries add or replace; whiteouts and opaque whiteouts take away from lower layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from attrs import field, frozen

from cosinspect.formats.boot.program import Program
from cosinspect.oci.documents import Descriptor, Digest
from cosinspect.tar.header import SparseMap
from cosinspect.tar.irregularities import Irregularity

__all__ = ["Cut", "LayerEntry", "LayerIndex", "Marker"]


class LayerEntry(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One entry of a layer, its name normalised; a msgspec structure because a layer has tens of thousands of them.

    Attributes:
        path: without leading slash, "" for the root; bytes that are not UTF-8 as surrogate escapes.
        type: `file`, `dir`, `symlink`, `hardlink`, `char`, `block` or `fifo`.
        mode: permission bits, setuid, setgid and sticky included.
        link: raw target of a symbolic link; normalised path of a hard link's target.
        header: offset of the entry in the uncompressed layer.
        data: offset of its content there, `stored` bytes long, spread out by `sparse`.
        name: as Go's `filepath.Clean` gives it, where that is not `path`: `/etc/x`, `../x`; else "".
        target: a hard link's target as written, where readers resolve its dots along the links before them; else "".
        fault: what is out of the ordinary about it, in words parted by blanks, "" for nearly all entries: its type where no
            file is made of it, `sparse` for type S, `owner` for an owner that chown(2) leaves as it is, and at the end what a reader
            runs into that writes the entry again, as `tar.header.unwritable` names it.
    """

    path: str
    type: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    link: str
    device: tuple[int, int]
    xattrs: dict[str, str] | None
    header: int
    data: int
    stored: int
    sparse: SparseMap | None
    name: str = ""
    target: str = ""
    fault: str = ""


@frozen
class Marker:
    """A whiteout or opaque whiteout: what it acts on, and where it stands.

    Attributes:
        path: what it takes away, or of an opaque whiteout the directory that it empties.
        offset: of the entry in the uncompressed layer.
        name: as `LayerEntry.name`, for the path.
        is_directory: whether it is a directory instead of a file, which some readers take for another name.
        data: offset behind its header.
    """

    path: str
    offset: int
    name: str = ""
    is_directory: bool = False
    data: int = 0


@frozen
class Cut:
    """Where a reader's way through a layer ends, although there is more of it.

    Attributes:
        reader: `containerd` or `ggcr` (go-containerregistry), "" for every reader.
        offset: the bytes of the uncompressed layer that it gets.
        ended: whether the archive's end mark is among them, so that who stops there sees the whole archive.
        reason: what it meets, in a sentence without a full stop.
    """

    reader: str
    offset: int
    ended: bool
    reason: str


@frozen
class LayerIndex:
    """Everything a layer says, and the bodies of the files that were asked for.

    Attributes:
        entries: in the archive's order, later ones winning over earlier ones of the same path.
        whiteouts: the paths that lower layers lose.
        opaques: the directories whose lower children are hidden.
        name_only: entries that make no file and act by their names anyway: PAX global headers (of type `global`)
            and entries of a type that no reader knows (`unknown`).
        cuts: where readers come to no good end.
        nameless: whiteouts that name no file (`.wh.`, `.wh..`, `.wh...`), by their own path; `name` is the directory that
            a reader takes away who believes them.
        irregularities: what another reader may see differently.
        contents: retained bodies by the offset of their data.
        uncompressed_size: bytes of the whole archive, what follows its end mark included.
        table: the digest of the table of contents that alone was read, None where the layer itself was, to its end.
        programs: what the executable files and the libraries ask for, by the offset of their data; those that are not
            in it were not looked at.
    """

    descriptor: Descriptor
    diff_id: Digest
    entries: Sequence[LayerEntry] = field(repr=False)
    whiteouts: Sequence[Marker] = field(repr=False)
    opaques: Sequence[Marker] = field(repr=False)
    irregularities: tuple[Irregularity, ...]
    contents: Mapping[int, bytes] = field(repr=False, hash=False)
    uncompressed_size: int
    nameless: Sequence[Marker] = ()
    table: Digest | None = None
    name_only: Sequence[LayerEntry] = field(repr=False, default=())
    cuts: tuple[Cut, ...] = ()
    programs: Mapping[int, Program] = field(factory=dict, repr=False, hash=False)

    @property
    def origin(self) -> str:
        """What it is a function of: the layer's digest, or that of its table of contents as well."""
        digest = str(self.descriptor.digest)
        if any(cut.reader == "containerd" for cut in self.cuts):
            digest = f"{digest} as {self.descriptor.media_type}"
        return digest if self.table is None else f"{digest} by its table {self.table}"
