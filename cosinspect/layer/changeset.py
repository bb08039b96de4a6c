"""The content of one layer as values, from one pass over its blob.

Names follow image-spec, layer.md: entries add or replace; whiteouts and opaque whiteouts delete from lower
layers.
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
    """One entry of a layer, with a normalised name; a msgspec structure for speed.

    Attributes:
        path: without leading slash, "" for the root; bytes that are not UTF-8 as surrogate escapes.
        type: `file`, `dir`, `symlink`, `hardlink`, `char`, `block` or `fifo`.
        mode: permission bits, setuid, setgid and sticky included.
        link: raw target of a symbolic link; normalised path of a hard link's target.
        header: offset of the entry in the uncompressed layer.
        data: offset of its content in the uncompressed layer, `stored` bytes long; `sparse` lists the data regions.
        name: as Go's `filepath.Clean` returns it, if that differs from `path`: `/etc/x`, `../x`; else "".
        target: a hard link's target as written, if readers resolve its dots through links; else "".
        fault: what is unusual about it, words separated by blanks, "" for nearly all entries: its type if no file is made of
            it, `sparse` for type S, `owner` for an owner that chown(2) keeps, and last the reason of `tar.header.unwritable`.
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
    """A whiteout or opaque whiteout: what it acts on, and its place.

    Attributes:
        path: the path that it deletes; for an opaque whiteout, the directory that it empties.
        offset: of the entry in the uncompressed layer.
        name: as `LayerEntry.name`, for the path.
        is_directory: whether it is a directory instead of a file; some readers then create a directory of that name.
        data: offset after its header.
        link: the target as written if the marker is a link, which some readers leave out as they leave out other links; else "".
    """

    path: str
    offset: int
    name: str = ""
    is_directory: bool = False
    data: int = 0
    link: str = ""


@frozen
class Cut:
    """An offset at which a reader stops, although the layer continues.

    Attributes:
        reader: `containerd` or `ggcr` (go-containerregistry), "" for every reader.
        offset: the number of bytes of the uncompressed layer that it reads.
        ended: whether these bytes include the archive's end mark, so that the reader sees the whole archive.
        reason: why it stops, a sentence without a full stop.
    """

    reader: str
    offset: int
    ended: bool
    reason: str


@frozen
class LayerIndex:
    """The content of a layer, and the bodies of requested files.

    Attributes:
        entries: in the archive's order; a later entry replaces an earlier one of the same path.
        whiteouts: the paths that are deleted from lower layers.
        opaques: the directories whose lower children are hidden.
        name_only: entries that make no file but whose names have an effect: PAX global headers (type `global`)
            and entries of an unknown type (`unknown`).
        cuts: offsets at which readers stop early.
        nameless: whiteouts that name no file (`.wh.`, `.wh..`, `.wh...`), by their own path; `name` is the directory that
        some readers delete.
        irregularities: what other readers may read differently.
        contents: retained bodies by the offset of their data.
        uncompressed_size: bytes of the whole archive, including those after its end mark.
        table: the digest of the table of contents if only that was read; None if the layer was read to its end.
        programs: what executable files and libraries require, by the offset of their data; missing ones were not
        examined.
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
        """The digests that decide it: the layer's, and that of its table of contents if only the table was read."""
        digest = str(self.descriptor.digest)
        if any(cut.reader == "containerd" for cut in self.cuts):
            digest = f"{digest} as {self.descriptor.media_type}"
        return digest if self.table is None else f"{digest} by its table {self.table}"
