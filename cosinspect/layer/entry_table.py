"""The entries of a layer as columns of numbers, a fifth of what they take as objects."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple, TypeAlias, overload

from cosinspect.layer.changeset import LayerEntry

__all__ = ["COLUMNS", "Columns", "EntryTable", "LazyEntries", "Row", "table_of"]

_SHORT, _WORD, _LONG = 1 << 16, 1 << 32, 1 << 63
_ZEROS = (0, 0, 0, 0, 0, 0, 0)  # the numbers of an irregular entry
_BATCH_BITS = 12
_BATCH = 1 << _BATCH_BITS
_WITHIN = _BATCH - 1
_TYPES = ("file", "dir", "symlink", "hardlink", "char", "block", "fifo", "global", "unknown")
_CODES = {name: code for code, name in enumerate(_TYPES)}
_NO_DEVICE = (0, 0)
_DEVICES = ("char", "block")
_KINDS = "HIIqqqq"  # mode, uid, gid, size, mtime, header, data
COLUMNS = "II" + _KINDS
"""The type codes of the columns of numbers (`array`): where the name ends, the directory, then those of `_KINDS`."""
Row: TypeAlias = "tuple[int, str, int, int, int, int, int, int, int, int]"
"""Number of the directory, name, code of the type (0 for a regular file), mode, uid, gid, size, mtime, header, data."""


class Columns(NamedTuple):
    """What a table consists of.

    Attributes:
        directories: the paths of all directories that have an entry.
        names: the last components of the paths, those of 4096 entries joined.
        numbers: by entry, the end of its name within those, the number of its directory, and `COLUMNS` but these two.
        types: by entry.
        irregular: as in the table.
        links: as in the table.
    """

    directories: list[str]
    names: list[str]
    numbers: Sequence[array[int]]
    types: bytes
    irregular: dict[int, LayerEntry]
    links: dict[int, str]


class EntryTable(Sequence[LayerEntry]):
    """The entries of a layer in the archive's order; each is made when it is asked for.

    Two requests for an entry return equal objects, not the same one. The columns hold what nearly all entries consist of. An entry
    that has more is also held as an object.

    Attributes:
        irregular: the entries with a device, attributes, a sparse map, a fault, or another name for Go, by row.
        links: the targets of links, by row.
    """

    def __init__(self, entries: Iterable[LayerEntry] = ()) -> None:
        """Start with `entries`."""
        self.irregular: dict[int, LayerEntry] = {}
        self.links: dict[int, str] = {}
        self._directories: dict[str, int] = {}
        self._paths: list[str] = []
        self._waiting: list[Row] = []
        self._groups: list[array[int]] | None = None
        self._names: list[str] = []  # those of a batch joined; a name that is not ASCII widens its batch only
        self._ends = array("I")
        self._parents = array("I")
        self._types = bytearray()
        self._numbers = tuple(array(kind) for kind in _KINDS)
        for entry in entries:
            self.append(entry)
        if self._waiting:
            self._pack()

    # -- writing ---------------------------------------------------------------------------------------------------

    def append(self, entry: LayerEntry) -> None:
        """Add an entry; after `seal` none can be added."""
        parent, _, name = entry.path.rpartition("/")
        number, code = self.number(parent), _CODES[entry.type]
        row = len(self)
        if entry.link:
            self.links[row] = entry.link
        if _is_regular(entry):
            numbers = entry.mode, entry.uid, entry.gid, entry.size, entry.mtime, entry.header, entry.data
        else:
            self.irregular[row] = entry
            numbers = _ZEROS
        self.extend(((number, name, code, *numbers),))

    def number(self, directory: str) -> int:
        """Return the number of a directory in the rows; it is given at the first request."""
        number = self._directories.get(directory)
        if number is None:
            number = self._directories[directory] = len(self._paths)
            self._paths.append(directory)
        return number

    def extend(self, rows: Iterable[Row]) -> None:
        """Add rows of regular files, whose numbers are not negative and have room in `COLUMNS`."""
        self._waiting += rows
        while len(self._waiting) >= _BATCH:
            self._pack()

    def seal(self) -> EntryTable:
        """Move the last entries to the columns, and return the table."""
        if self._waiting:
            self._pack()
        return self

    def _pack(self) -> None:
        batch = self._waiting[:_BATCH]
        del self._waiting[:_BATCH]
        assert not len(self._ends) & _WITHIN, "sealed"  # noqa: S101 - every batch but the last is full
        parents, names, codes, *numbers = zip(*batch, strict=True)
        for kind, column, more in zip(_KINDS, self._numbers, numbers, strict=True):
            column.extend(array(kind, more))
        self._names.append("".join(names))
        self._ends.extend(accumulate(map(len, names)))
        self._parents.extend(parents)
        self._types.extend(codes)

    def columns(self) -> Columns:
        """Return what the sealed table consists of."""
        numbers = (self._ends, self._parents, *self._numbers)
        return Columns(self._paths, self._names, numbers, bytes(self._types), self.irregular, self.links)

    @classmethod
    def of_columns(cls, columns: Columns) -> EntryTable:
        """Return the table that consists of these columns."""
        table = cls()
        (
            table._paths,
            table._names,
            (table._ends, table._parents, *numbers),
            types,
            table.irregular,
            table.links,
        ) = columns
        table._numbers, table._types = tuple(numbers), bytearray(types)
        table._directories = {path: number for number, path in enumerate(table._paths)}
        return table

    # -- reading ---------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._ends) + len(self._waiting)

    @overload
    def __getitem__(self, index: int) -> LayerEntry: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[LayerEntry]: ...
    def __getitem__(self, index: int | slice) -> LayerEntry | Sequence[LayerEntry]:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        row = index if index >= 0 else index + len(self)
        if not 0 <= row < len(self):
            raise IndexError(index)
        if row >= len(self._ends):
            return self._entry(row, *self._waiting[row - len(self._ends)])
        return self._made(row)

    def __iter__(self) -> Iterator[LayerEntry]:
        for row in range(len(self._ends)):
            yield self._made(row)
        for row, waiting in enumerate(self._waiting, len(self._ends)):
            yield self._entry(row, *waiting)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, (str, bytes)):
            return NotImplemented
        return len(self) == len(other) and all(map(LayerEntry.__eq__, self, other))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)!r})"

    def _made(self, row: int) -> LayerEntry:
        numbers = [column[row] for column in self._numbers]
        return self._entry(row, self._parents[row], self.name(row), self._types[row], *numbers)

    def _entry(
        self, row: int, number: int, name: str, code: int,
        mode: int, uid: int, gid: int, size: int, mtime: int, header: int, data: int,
    ) -> LayerEntry:  # fmt: skip
        irregular = self.irregular.get(row) if self.irregular else None
        if irregular is not None:
            return irregular
        parent = self._paths[number]
        return LayerEntry(
            f"{parent}/{name}" if parent else name, _TYPES[code], mode, uid, gid, size, mtime, self.links.get(row, ""), _NO_DEVICE, None,
            header, data, 0 if code else size, None,
        )  # fmt: skip

    def name(self, row: int) -> str:
        """Return the last component of an entry's path."""
        start = self._ends[row - 1] if row & _WITHIN else 0
        return self._names[row >> _BATCH_BITS][start : self._ends[row]]

    # -- by directory; the table is sealed -------------------------------------------------------------------------

    @property
    def directories(self) -> Sequence[str]:
        """The paths of all directories that have an entry, by number."""
        return self._paths

    def type(self, row: int) -> str:
        """Return the type of an entry."""
        return _TYPES[self._types[row]]

    def rows_of_type(self, kind: str) -> Iterator[int]:
        """Yield the rows of all entries of a type."""
        code = _CODES[kind]
        row = self._types.find(code)
        while row >= 0:
            yield row
            row = self._types.find(code, row + 1)

    def has_in_names(self, text: str) -> bool:
        """Return whether the name of some entry has a character in it."""
        return any(text in names for names in self._names)

    def places(self) -> Iterator[tuple[int, str]]:
        """Yield the number of the directory and the name of each entry."""
        return zip(self._parents, map(self.name, range(len(self._ends))), strict=True)

    def rows(self, number: int) -> array[int]:
        """Return the rows of a directory's entries, sorted by name, by the number of the directory."""
        if self._groups is None:
            groups = [array("I") for _ in self._paths]
            for row, parent in enumerate(self._parents):
                groups[parent].append(row)
            for at, rows in enumerate(groups):
                groups[at] = array("I", sorted(rows, key=self.name))
            self._groups = groups
        return self._groups[number]

    def find(self, path: str) -> int | None:
        """Return a row of the entry at a path, None if there is no entry."""
        parent, _, name = path.rpartition("/")
        number = self._directories.get(parent)
        if number is None:
            return None
        rows = self.rows(number)
        at = bisect_left(rows, name, key=self.name)
        return rows[at] if at < len(rows) and self.name(rows[at]) == name else None


class LazyEntries(Sequence[LayerEntry]):
    """The entries of a layer; their number is known, and they are loaded on demand."""

    def __init__(self, count: int, load: Callable[[], EntryTable]) -> None:
        self._count = count
        self._load = load
        self._table: EntryTable | None = None if count else EntryTable()

    def table(self) -> EntryTable:
        """Return the entries as a table."""
        if self._table is None:
            self._table = self._load()
        return self._table

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[LayerEntry]:
        return iter(self.table())

    @overload
    def __getitem__(self, index: int) -> LayerEntry: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[LayerEntry]: ...
    def __getitem__(self, index: int | slice) -> LayerEntry | Sequence[LayerEntry]:
        return self.table()[index]


def table_of(entries: Sequence[LayerEntry]) -> EntryTable:
    """Return entries as a table; the same one if they are one."""
    if isinstance(entries, EntryTable):
        return entries.seal()
    return entries.table() if isinstance(entries, LazyEntries) else EntryTable(entries)


def _is_regular(entry: LayerEntry) -> bool:
    """Return whether the columns hold all of an entry."""
    kind = entry.type
    return (
        not entry.fault
        and entry.xattrs is None
        and entry.sparse is None
        and not entry.name
        and not entry.target
        and kind not in _DEVICES
        and entry.device == _NO_DEVICE
        and entry.stored == (entry.size if kind == "file" else 0)
        and 0 <= entry.mode < _SHORT
        and 0 <= entry.uid < _WORD
        and 0 <= entry.gid < _WORD
        and all(-_LONG <= number < _LONG for number in (entry.size, entry.mtime, entry.header, entry.data))
    )
