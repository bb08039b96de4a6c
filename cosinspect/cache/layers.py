"""The record of one layer: its index, and the smaller retained bodies.

The head has what every inspection reads. Entries, markers and bodies are sections that are decoded on demand:
a cached merged tree needs none of them.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar, overload

import msgspec

from cosinspect.cache.record import Damaged, Record
from cosinspect.cache.record_writer import RecordWriter
from cosinspect.cache.section import Section
from cosinspect.cache.text import escape, rewrite, unescape
from cosinspect.compression.codecs import pack, unpack
from cosinspect.errors import FormatError
from cosinspect.formats.boot.program import Program
from cosinspect.layer.changeset import Cut, LayerEntry, LayerIndex, Marker
from cosinspect.layer.entry_table import COLUMNS, Columns, EntryTable, LazyEntries, table_of
from cosinspect.oci.documents import Descriptor, Digest
from cosinspect.tar.irregularities import Irregularity
from cosinspect.wire_types import ready

__all__ = ["BODY_BYTES", "decode_layer", "encode_layer"]

BODY_BYTES = 1 << 20
"""Larger bodies are not cached; their parsed values are."""

T = TypeVar("T")


class _Part(msgspec.Struct, frozen=True, array_like=True):
    """Many values of one type, packed.

    Attributes:
        count: of the values.
        size: of the section, unpacked.
        escaped: whether their text is escaped.
    """

    count: int
    size: int
    escaped: bool
    section: Section


class _LayerHead(msgspec.Struct, frozen=True, array_like=True):
    irregularities: list[tuple[str, int, str, str]]
    uncompressed_size: int
    escaped: bool
    entries: _Part
    whiteouts: _Part
    opaques: _Part
    nameless: _Part
    name_only: _Part
    programs: _Part
    contents: dict[int, Section]
    cuts: list[tuple[str, int, bool, str]]


class _Table(msgspec.Struct, frozen=True, array_like=True):
    """The columns of a table of entries (`cosinspect.layer.entry_table.Columns`), numbers as bytes, the lowest first."""

    directories: list[str]
    names: list[str]
    numbers: list[bytes]
    types: bytes
    irregular: list[tuple[int, LayerEntry]]
    links: list[tuple[int, str]]


class _Marker(msgspec.Struct, frozen=True, array_like=True, gc=False):
    path: str
    offset: int
    name: str
    is_directory: bool
    data: int
    link: str


class _LayerDecoder(Generic[T]):
    """Decodes each part of a layer once; if a section is damaged, the layer is read again."""

    def __init__(self, record: Record, again: Callable[[], LayerIndex]) -> None:
        self.record = record
        self._again = again
        self._fresh: LayerIndex | None = None

    def fresh(self) -> LayerIndex:
        if self._fresh is None:
            self._fresh = self._again()
        return self._fresh


class _Values(Sequence[T]):
    """Values that are decoded at the first access."""

    def __init__(self, count: int, load: Callable[[], Sequence[T]]) -> None:
        self._count = count
        self._load = load
        self._loaded: Sequence[T] | None = None if count else ()

    def _all(self) -> Sequence[T]:
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        return iter(self._all())

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        return self._all()[index]


class _Contents(Mapping[int, bytes]):
    """Bodies that are read from the record on demand."""

    def __init__(self, sections: dict[int, Section], reading: _LayerDecoder[LayerEntry]) -> None:
        self._sections = sections
        self._reading = reading

    def __getitem__(self, data: int) -> bytes:
        section = self._sections[data]
        try:
            return self._reading.record.read(section)
        except Damaged:
            return self._reading.fresh().contents[data]

    def __iter__(self) -> Iterator[int]:
        return iter(self._sections)

    def __len__(self) -> int:
        return len(self._sections)


class _Programs(Mapping[int, Program]):
    """The requirements of programs, decoded on demand."""

    def __init__(self, load: Callable[[], Mapping[int, Program]], count: int) -> None:
        self._load = load
        self._count = count
        self._loaded: Mapping[int, Program] | None = None if count else {}

    def _all(self) -> Mapping[int, Program]:
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def __getitem__(self, data: int) -> Program:
        return self._all()[data]

    def __iter__(self) -> Iterator[int]:
        return iter(self._all())

    def __len__(self) -> int:
        return self._count


def encode_layer(index: LayerIndex, key: bytes) -> list[bytes]:
    """Return the record of a layer, in pieces."""
    writer = RecordWriter(key)
    irregularities = [(each.kind, each.offset, each.message, each.path) for each in index.irregularities]
    entries, name_only = (_table_part(writer, table_of(group)) for group in (index.entries, index.name_only))
    markers = (
        [
            _Marker(each.path, each.offset, each.name, each.is_directory, each.data, each.link)
            for each in group
        ]
        for group in (index.whiteouts, index.opaques, index.nameless)
    )
    whiteouts, opaques, nameless = (_part(writer, group, _escaped_marker) for group in markers)
    programs = _part(writer, list(index.programs.items()), lambda item: item)
    contents = {data: writer.add(body) for data, body in index.contents.items() if len(body) <= BODY_BYTES}
    cuts = [(each.reader, each.offset, each.ended, each.reason) for each in index.cuts]
    parts = (entries, whiteouts, opaques, nameless, name_only, programs, contents, cuts)
    try:
        head = msgspec.msgpack.encode(_LayerHead(irregularities, index.uncompressed_size, False, *parts))
    except UnicodeEncodeError:
        irregularities = [
            (kind, offset, escape(message), escape(path)) for kind, offset, message, path in irregularities
        ]
        head = msgspec.msgpack.encode(_LayerHead(irregularities, index.uncompressed_size, True, *parts))
    return writer.finish(head)


def decode_layer(
    record: Record, descriptor: Descriptor, diff_id: Digest, again: Callable[[], LayerIndex]
) -> LayerIndex:
    """Return the index of a layer; `again` reads the layer itself if a section is damaged.

    Raises:
        Damaged: the head is invalid.
    """
    try:
        head = msgspec.msgpack.decode(record.head, type=ready(_LayerHead))
    except msgspec.DecodeError as fault:
        raise Damaged(f"the head is not that of a layer: {fault}") from fault
    reading = _LayerDecoder[LayerEntry](record, again)
    text = unescape if head.escaped else str
    irregularities = tuple(
        Irregularity(kind, offset, text(message), text(path))
        for kind, offset, message, path in head.irregularities
    )

    def entries(part: _Part, fresh: Callable[[LayerIndex], Sequence[LayerEntry]]) -> Callable[[], EntryTable]:
        def load() -> EntryTable:
            try:
                return _table(record, part)
            except Damaged:
                return table_of(fresh(reading.fresh()))

        return load

    def markers(part: _Part, fresh: Callable[[LayerIndex], Sequence[Marker]]) -> Sequence[Marker]:
        def load() -> Sequence[Marker]:
            try:
                found = _values(record, part, list[_Marker])
            except Damaged:
                return fresh(reading.fresh())
            change = unescape if part.escaped else str
            return [
                Marker(
                    change(each.path),
                    each.offset,
                    change(each.name),
                    each.is_directory,
                    each.data,
                    change(each.link),
                )
                for each in found
            ]

        return _Values(part.count, load)

    def programs() -> Mapping[int, Program]:
        try:
            return dict(_values(record, head.programs, list[tuple[int, Program]]))
        except Damaged:
            return reading.fresh().programs

    return LayerIndex(
        descriptor,
        diff_id,
        LazyEntries(head.entries.count, entries(head.entries, lambda index: index.entries)),
        markers(head.whiteouts, lambda index: index.whiteouts),
        markers(head.opaques, lambda index: index.opaques),
        irregularities,
        _Contents(head.contents, reading),
        head.uncompressed_size,
        markers(head.nameless, lambda index: index.nameless),
        name_only=LazyEntries(head.name_only.count, entries(head.name_only, lambda index: index.name_only)),
        cuts=tuple(Cut(*each) for each in head.cuts),
        programs=_Programs(programs, head.programs.count),
    )


def _part(writer: RecordWriter, values: Sequence[T], escaped: Callable[[T], T]) -> _Part:
    marked = False
    try:
        data = msgspec.msgpack.encode(list(values))
    except UnicodeEncodeError:
        marked = True
        data = msgspec.msgpack.encode([escaped(each) for each in values])
    return _Part(len(values), len(data), marked, writer.add(pack(data)))


def _table_part(writer: RecordWriter, table: EntryTable) -> _Part:
    def encoded(change: Callable[[str], str] | None) -> bytes:
        parts = table.columns()
        stored = _Table(
            parts.directories if change is None else list(map(change, parts.directories)),
            parts.names if change is None else list(map(change, parts.names)),
            [column.tobytes() for column in _swapped(parts.numbers)],
            parts.types,
            list(parts.irregular.items())
            if change is None
            else [(row, rewrite(each, change)) for row, each in parts.irregular.items()],
            list(parts.links.items())
            if change is None
            else [(row, change(link)) for row, link in parts.links.items()],
        )
        return msgspec.msgpack.encode(stored)

    marked = False
    try:
        data = encoded(None)
    except UnicodeEncodeError:
        marked = True
        data = encoded(escape)
    return _Part(len(table), len(data), marked, writer.add(pack(data)))


def _table(record: Record, part: _Part) -> EntryTable:
    try:
        found = msgspec.msgpack.decode(unpack(record.read(part.section), part.size), type=ready(_Table))
        numbers = []
        for kind, data in zip(COLUMNS, found.numbers, strict=True):
            column = array(kind)
            column.frombytes(data)
            numbers.append(column)
    except (msgspec.DecodeError, FormatError, ValueError) as fault:
        raise Damaged(f"the entries of the layer cannot be decoded: {fault}") from fault
    change = unescape if part.escaped else None
    columns = Columns(
        found.directories if change is None else list(map(change, found.directories)),
        found.names if change is None else list(map(change, found.names)),
        _swapped(numbers),
        found.types,
        {row: each if change is None else rewrite(each, change) for row, each in found.irregular},
        {row: link if change is None else change(link) for row, link in found.links},
    )
    if {part.count} != {len(columns.types), *map(len, columns.numbers)}:
        raise Damaged(f"expected {part.count} entries, found columns of other lengths")
    return EntryTable.of_columns(columns)


def _swapped(columns: Sequence[array[int]]) -> Sequence[array[int]]:
    """Return columns of numbers in the byte order of records, or back from it."""
    if sys.byteorder == "little":
        return columns
    found = [array(column.typecode, column) for column in columns]
    for column in found:
        column.byteswap()
    return found


def _values(record: Record, part: _Part, kind: type[list[T]]) -> list[T]:
    try:
        found = msgspec.msgpack.decode(unpack(record.read(part.section), part.size), type=ready(kind))
    except (msgspec.DecodeError, FormatError) as fault:
        raise Damaged(f"a part of the layer cannot be decoded: {fault}") from fault
    if len(found) != part.count:
        raise Damaged(f"expected {part.count} values, found {len(found)}")
    return found


def _escaped_marker(marker: _Marker) -> _Marker:
    return _Marker(
        escape(marker.path),
        marker.offset,
        escape(marker.name),
        marker.is_directory,
        marker.data,
        escape(marker.link),
    )
