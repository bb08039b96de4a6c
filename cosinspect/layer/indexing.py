"""From the headers of an archive to the content of a layer: names are normalised, markers recognised, irregularities noted.

The headers come from a tar archive, or from the table of contents of a layer; they have the same meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Protocol

from cosinspect.errors import LimitExceeded
from cosinspect.formats.boot.program import Program, ProgramReader, is_candidate, read_program, weight_of
from cosinspect.layer.changeset import Cut, LayerEntry, LayerIndex, Marker
from cosinspect.layer.entry_table import EntryTable, Row
from cosinspect.layer.ledger import (
    DIRECTORY_BYTES,
    ENTRY_BYTES,
    IMPLIED_BYTES,
    NOTE_BYTES,
    Ledger,
    weight_of_characters,
    weight_of_text,
)
from cosinspect.layer.outline import Names, Outline
from cosinspect.layer.retain import Retain
from cosinspect.layer.whiteout import AUFS_PREFIX, NAMELESS, OPAQUE, PREFIX
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.documents import Descriptor, Digest
from cosinspect.tar.blocks import BLOCK
from cosinspect.tar.irregularities import Irregularity
from cosinspect.tar.names import cleaned, normalise
from cosinspect.tar.reader import Header, TarStream
from cosinspect.tar.runs import CommonEntry, header_of

__all__ = ["Archive", "BodySink", "Follower", "Indexing"]

_HANDED_BYTES = 256 * 1024
_STRETCH = 64  # the weight of one region of a sparse map
_MAPPING = 200  # the memory of an entry's attributes
_TEXT = 150  # the memory of the name and the value of one attribute
_PAID_AT = 256 * 1024
_SHARED = 4096
_OVERLAY_ATTRIBUTES = ("trusted.overlay.", "user.overlay.")

_TYPES = {
    "0": "file",
    "1": "hardlink",
    "2": "symlink",
    "3": "char",
    "4": "block",
    "5": "dir",
    "6": "fifo",
    "S": "file",
    "g": "global",
}
_PLAIN = frozenset("0123456")
_NO_DEVICE = (0, 0)
_ODD_STARTS = ("", ".")  # of a name that is perhaps no name of a file, or a marker
_HEADER_NAME = 100  # the length of the field for a name
_UNCHANGED = 0xFFFFFFFF  # an owner that chown(2) keeps


class BodySink(Protocol):
    """Receives the bytes of one file while the layer is read."""

    def write(self, data: bytes, /) -> None:
        """Receive bytes; they are not verified yet."""
        ...

    def end(self) -> None:
        """Receive the end of the file."""
        ...

    def confirm(self, verified: bool, /) -> None:
        """Receive whether the layer was verified, as soon as that is known."""
        ...


class Follower(Protocol):
    """Selects files whose bytes it receives while the layer is read; thread-safe."""

    @property
    def least(self) -> int:
        """Return the size in bytes of the smallest file that it may select."""
        ...

    def follow(self, layer: Descriptor, entry: LayerEntry, /) -> BodySink | None:
        """Return the receiver of a file's bytes, None if they are not wanted."""
        ...


class Archive(Protocol):
    """A sequence of headers, the content of the last one, and the irregularities so far."""

    irregularities: list[Irregularity]

    @property
    def position(self) -> int:
        """Bytes of the archive consumed so far."""
        ...

    def __iter__(self) -> Iterator[Header]: ...

    def read(self, size: int) -> bytes:
        """Return at most `size` further stored bytes of the current entry, none at its end."""
        ...

    def note(self, kind: str, offset: int, message: str, path: str = "") -> None:
        """Note an irregularity."""
        ...


def _as_stored(device: tuple[int, int]) -> tuple[int, int]:
    """Return the device numbers as Linux stores them: 12 bits of the major, 20 of the minor number (linux/kdev_t.h)."""
    return device[0] & 0xFFF, device[1] & 0xFFFFF


def _weight(header: Header) -> int:
    """Return the size of a header's attributes and sparse map, in characters."""
    weight = 0
    if header.xattrs:
        weight += sum(len(name) + len(value) for name, value in header.xattrs.items())
    if header.sparse:
        weight += _STRETCH * len(header.sparse)
    return weight


class Indexing:
    """The state of one pass.

    Attributes:
        entries: the entries so far.
        sinks: the receivers that wait for the result of the verification.
    """

    def __init__(
        self,
        archive: Archive,
        retain: Retain,
        *,
        limits: Limits = DEFAULT_LIMITS,
        follow: Callable[[LayerEntry], BodySink | None] | None = None,
        least: int = 0,
        programs: bool = True,
        ledger: Ledger | None = None,
    ) -> None:
        """Read `archive`; keep the bodies that `retain` selects, and pass on those of at least `least` bytes that `follow` selects.

        With `programs`, the requirements of executable files and libraries are read from their bodies. `ledger` counts the
        memory that all layers of an image take.
        """
        self._retain = retain
        self._follow = follow
        self._least = least if follow is not None else limits.inflated_bytes + 1
        self.sinks: list[BodySink] = []
        self._archive = archive
        self._limits = limits
        self.entries = EntryTable()
        self.whiteouts: list[Marker] = []
        self.opaques: list[Marker] = []
        self.nameless: list[Marker] = []
        self.name_only: list[LayerEntry] = []
        self.contents: dict[int, bytes] = {}
        self.programs: dict[int, Program] = {}
        self._programs_left = limits.program_characters if programs else 0
        self.metadata = 0
        self.outline = Outline(archive.note, limits=limits)
        self._ledger = ledger if ledger is not None else Ledger(limits)
        self._kept = 0
        self._directories = 0
        self._implied = 0
        self._listed = 0
        self._notes = 0
        self._same: dict[int, int] = {}

    def run(self) -> None:
        """Read all headers.

        Raises:
            InvalidLayer: Go's readers, and so the runtimes, cannot read the archive.
            LimitExceeded: the archive exceeds a bound.
        """
        most = self._limits.entries
        archive = self._archive
        runs = archive if isinstance(archive, TarStream) and self._fits_bounds() else None
        following = runs.following if runs is not None else partial(next, iter(archive), None)
        seen = 0
        while True:
            run = runs.run(most - seen) if runs is not None else ()
            if runs is not None and run:
                seen += len(run)
                self._take_run(runs, run)
            else:
                header = following()
                if header is None:
                    break
                if seen >= most:
                    raise self._limit("entries", most, "entries in a layer")
                seen += 1
                self._take(header)
            if self._kept > _PAID_AT:
                self._pay()
        self._pay()

    def index(
        self,
        descriptor: Descriptor,
        diff_id: Digest,
        uncompressed_size: int,
        table: Digest | None = None,
        cuts: Iterable[Cut] = (),
    ) -> LayerIndex:
        """Return the content of the layer after all of it was read."""
        # Runtimes treat a whiteout that is a directory as a directory of that name.
        self.outline.finish((marker for marker in self.whiteouts if not marker.is_directory), self.opaques)
        return LayerIndex(
            descriptor,
            diff_id,
            self.entries.seal(),
            tuple(self.whiteouts),
            tuple(self.opaques),
            tuple(self._archive.irregularities),
            self.contents,
            uncompressed_size,
            tuple(self.nameless),
            table,
            tuple(self.name_only),
            tuple(cuts),
            self.programs,
        )

    def _pay(self) -> None:
        """Have what was kept since the last time counted."""
        directories, implied = self.outline.directories, max(0, self.outline.directories - self._listed)
        self._kept += DIRECTORY_BYTES * (directories - self._directories)
        self._kept += IMPLIED_BYTES * max(0, implied - self._implied)
        self._directories, self._implied = directories, max(implied, self._implied)
        notes = self._archive.irregularities
        self._kept += sum(NOTE_BYTES + len(each.message) + len(each.path) for each in notes[self._notes :])
        self._notes = len(notes)
        kept, self._kept = self._kept, 0
        self._ledger.take(kept, f"byte {self._archive.position} of the uncompressed layer")

    # -- entries of the common form --------------------------------------------------------------------------------

    def _fits_bounds(self) -> bool:
        """Return whether the bounds of a path allow every name that has room in a header."""
        return min(self._limits.path_bytes, self._limits.path_depth) >= _HEADER_NAME

    def _take_run(  # noqa: PLR0915 - one loop without calls: each would cost a tenth of what an entry costs
        self, archive: TarStream, run: Sequence[CommonEntry]
    ) -> None:
        """Take entries of the common form as `_take` does, in a third of the time.

        An entry goes to `_take` if its name may be a marker or has to be cleaned, if its directory has no entry yet, or if the
        directory has its name already.
        """
        outline, retain, table = self.outline, self._retain, self.entries
        rows: list[Row] = []  # regular files that are not in the table yet
        number = 0
        wanted_names, programs = retain.names, self._programs_left > 0
        least = self._least
        names: Names | None = None
        above: str | None = None
        wanted = False
        owner_before: tuple[int, int, int] | None = None
        mode = uid = gid = executable = 0
        count = characters = 0
        current = run[-1]
        for row in run:
            name, shape, owner, size, mtime, offset = row
            path = name[2:] if name[:2] == "./" else name
            kind = shape.kind
            if kind == "5" and path[-1:] == "/":
                path = path[:-1]
            parent, slash, base = path.rpartition("/")
            if parent != above:
                above, names, wanted = parent, outline.names(parent), retain.may_want(parent)
                number = table.number(parent) if names is not None else 0
            if owner is not owner_before:
                mode, uid, gid = owner
                owner_before, executable = owner, mode & 0o111
                mode &= 0o7777
            if (
                names is None
                or base in names
                or base[:1] in _ODD_STARTS
                or (slash and not parent)
                or not 0 <= uid < _UNCHANGED > gid >= 0
            ):
                table.extend(rows)
                rows.clear()
                archive.enter(row)
                self._take(header_of(row))
                above, current = None, row
                continue
            count += 1
            characters += len(path)
            data = offset + BLOCK
            if kind == "0":
                rows.append((number, base, 0, mode, uid, gid, size, mtime, offset, data))
                names[base] = offset
                if (
                    wanted
                    or base in wanted_names
                    or size >= least
                    or (programs and size and (executable or ".so" in base))
                ):
                    table.extend(rows)
                    rows.clear()
                    archive.enter(row)
                    self._take_body(
                        LayerEntry(path, "file", mode, uid, gid, size, mtime, "", _NO_DEVICE, None, offset, data, size, None)
                    )  # fmt: skip
                    current = row
                continue
            link = shape.link if kind == "2" else ""
            characters += len(link)
            entry = LayerEntry(
                path, _TYPES[kind], mode, uid, gid, 0, mtime, link, _NO_DEVICE, None, offset, data, 0, None
            )  # fmt: skip
            table.extend(rows)
            rows.clear()
            table.append(entry)
            self._listed += kind == "5"
            outline.add(entry)
            above = None
        table.extend(rows)
        if current is not run[-1]:
            archive.enter(run[-1])
        self.metadata += characters
        self._kept += ENTRY_BYTES * count + weight_of_characters(characters)
        self._hold_metadata_to_bound()

    # -- all other entries -----------------------------------------------------------------------------------------

    def _take(self, header: Header) -> None:
        name = header.name
        path, escapes = normalise(name)
        if escapes:
            self._note(
                "escaping-name",
                header,
                f"the name {name[:200]!r} leaves the root",
            )
        self._hold_to_bounds(header, path)
        kind = _TYPES.get(header.type, "unknown")
        as_go = cleaned(name) if escapes or name.startswith("/") else ""
        if PREFIX in path and path.rpartition("/")[2].startswith(PREFIX):
            self._take_marker(header, kind, path, as_go)
            return
        if kind == "char" or header.xattrs:
            self._note_overlay(header)
        link, target = header.link, ""
        if kind == "hardlink":
            link, escapes = normalise(link)
            if link != header.link.removeprefix("./").lstrip("/"):
                target = header.link
            if escapes:
                self._note(
                    "escaping-hardlink",
                    header,
                    f"the hard link's target {header.link[:200]!r} leaves the root",
                )
        elif kind != "symlink":
            link = ""
        uid, gid, device, fault = header.uid, header.gid, header.device, header.fault
        if not (0 <= uid < _UNCHANGED and 0 <= gid < _UNCHANGED):
            uid, gid = uid & _UNCHANGED, gid & _UNCHANGED
            if _UNCHANGED in (uid, gid):
                fault = f"owner {fault}".rstrip()
        if device != (0, 0):
            device = _as_stored(device) if kind in ("char", "block") else (0, 0)
        if header.type not in _PLAIN:
            fault = f"{'sparse' if header.type == 'S' else kind} {fault}".rstrip()
        # Numbers that nearly all entries share are one object each.
        mode, mtime = header.mode & 0o7777, header.mtime
        if len(self._same) < _SHARED:
            mode, mtime = self._same.setdefault(mode, mode), self._same.setdefault(mtime, mtime)
        else:
            mode, mtime = self._same.get(mode, mode), self._same.get(mtime, mtime)
        entry = LayerEntry(
            path, kind, mode, uid, gid, header.size, mtime, link, device, header.xattrs,
            header.offset, header.data, header.stored, header.sparse, as_go, target, fault,
        )  # fmt: skip
        if kind in ("global", "unknown"):
            self.name_only.append(entry)
            return
        self.entries.append(entry)
        self._listed += kind == "dir"
        self.outline.add(entry)
        if kind == "file" and header.sparse is None:
            self._take_body(entry)

    def _hold_to_bounds(self, header: Header, path: str) -> None:
        # A character takes at most four bytes.
        limits, length = self._limits, len(path)
        longest = limits.path_bytes
        if 4 * length > longest and len(path.encode("utf-8", "surrogateescape")) > longest:
            raise self._limit("path_bytes", limits.path_bytes, "bytes in a path")
        if length >= limits.path_depth and path.count("/") >= limits.path_depth:
            raise self._limit("path_depth", limits.path_depth, "components in a path")
        self.metadata += length + len(header.link)
        self._kept += ENTRY_BYTES + weight_of_text(path) + weight_of_text(header.link)
        if header.xattrs or header.sparse:
            weight = _weight(header)
            self.metadata += weight
            self._kept += 2 * weight + (_MAPPING + _TEXT * len(header.xattrs) if header.xattrs else 0)
        self._hold_metadata_to_bound()

    def _hold_metadata_to_bound(self) -> None:
        most = self._limits.metadata_characters
        if self.metadata > most:
            raise self._limit("metadata_characters", most, "characters of names and attributes")

    def _take_body(self, entry: LayerEntry) -> None:
        """Pass on a file's content, keep it, or read what a kernel needs to execute it."""
        sink = self._follow(entry) if self._follow is not None and entry.size >= self._least else None
        if sink is not None:
            self._hand_on(sink)
        elif self._retain.wants(entry.path, entry.stored):
            body = b"".join(iter(lambda: self._archive.read(1 << 20), b""))
            self.contents[entry.data] = body
            if self._programs_left > 0 and is_candidate(entry.path, entry.mode):
                self._note_program(entry.data, read_program(body))
        elif self._programs_left > 0 and entry.stored and is_candidate(entry.path, entry.mode):
            self._read_program(entry)

    def _read_program(self, entry: LayerEntry) -> None:
        """Read as much of a body as is needed for its type and its requirements."""
        reader = ProgramReader(entry.stored)
        while (data := self._archive.read(_HANDED_BYTES)) and reader.feed(data):
            pass
        self._note_program(entry.data, reader.finish())

    def _note_program(self, data: int, program: Program) -> None:
        # What exceeds the bound is read on demand.
        weight = weight_of(program)
        self._programs_left -= weight
        if self._programs_left > 0:
            self._kept += weight
            self.programs[data] = program

    def _hand_on(self, sink: BodySink) -> None:
        self.sinks.append(sink)
        while data := self._archive.read(_HANDED_BYTES):
            sink.write(data)
        sink.end()

    def _take_marker(self, header: Header, kind: str, path: str, as_go: str) -> None:
        """Record a whiteout by its name, for every type of entry, as umoci and containerd do."""
        directory, _, base = path.rpartition("/")
        link = header.link if kind in ("symlink", "hardlink") else ""
        if base == OPAQUE:
            name = as_go and as_go.rpartition("/")[0]
            self.opaques.append(Marker(directory, header.offset, name, kind == "dir", header.data, link))
            return
        victim = base.removeprefix(PREFIX)
        place = as_go.rpartition("/")[0] + "/" if as_go else directory and f"{directory}/"
        if base in NAMELESS:
            self.nameless.append(
                Marker(path, header.offset, cleaned(f"{place}{victim}"), kind == "dir", header.data, link)
            )
            self._note(
                "invalid-whiteout", header, f"the whiteout {path!r} names nothing that it could delete"
            )
            return
        if base.startswith(AUFS_PREFIX):
            self._note(
                "aufs-metadata", header, f"{path!r} is metadata of AUFS, which has no meaning in an image"
            )
        elif kind == "dir":
            self._note(
                "whiteout-directory",
                header,
                f"the whiteout {path!r} is a directory",
            )
        elif header.stored or kind != "file" or header.fault:
            self._note("odd-whiteout", header, f"the whiteout {path!r} is not an empty regular file")
        name = f"{place}{victim}" if as_go else ""
        self.whiteouts.append(
            Marker(
                f"{directory}/{victim}" if directory else victim,
                header.offset,
                name,
                kind == "dir",
                header.data,
                link,
            )
        )

    def _note_overlay(self, header: Header) -> None:
        """Note attributes and devices that overlayfs interprets (Linux: Documentation/filesystems/overlayfs.rst)."""
        if header.type == "3" and _as_stored(header.device) == (0, 0):
            self._note("overlay-device", header, "a character device 0/0, overlayfs' own whiteout")
        if header.xattrs:
            orders = sorted(name for name in header.xattrs if name.startswith(_OVERLAY_ATTRIBUTES))
            if orders:
                self._note(
                    "overlay-attribute", header, f"the attribute {', '.join(orders)[:200]} of overlayfs"
                )

    def _note(self, kind: str, header: Header, message: str) -> None:
        self._archive.note(kind, header.offset, message, header.name)

    def _limit(self, name: str, bound: int, what: str) -> LimitExceeded:
        return LimitExceeded(
            f"expected at most {bound} {what}, found more",
            limit=name,
            bound=bound,
            where=f"byte {self._archive.position} of the uncompressed layer",
        )
