"""The record of one layer: its index, and the smaller retained bodies.

The head has what every inspection reads. Entries, markers and bodies are sections that are decoded on demand:
a cached merged tree needs none of them.
"""

from __future__ import annotations

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


class _Marker(msgspec.Struct, frozen=True, array_like=True, gc=False):
    path: str
    offset: int
    name: str
    is_directory: bool
    data: int


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
    entries, name_only = (
        _part(writer, group, lambda entry: rewrite(entry, escape))
        for group in (index.entries, index.name_only)
    )
    markers = (
        [_Marker(each.path, each.offset, each.name, each.is_directory, each.data) for each in group]
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

    def entries(
        part: _Part, fresh: Callable[[LayerIndex], Sequence[LayerEntry]]
    ) -> Callable[[], Sequence[LayerEntry]]:
        def load() -> Sequence[LayerEntry]:
            try:
                found = _values(record, part, list[LayerEntry])
            except Damaged:
                return fresh(reading.fresh())
            return [rewrite(each, unescape) for each in found] if part.escaped else found

        return load

    def markers(part: _Part, fresh: Callable[[LayerIndex], Sequence[Marker]]) -> Sequence[Marker]:
        def load() -> Sequence[Marker]:
            try:
                found = _values(record, part, list[_Marker])
            except Damaged:
                return fresh(reading.fresh())
            change = unescape if part.escaped else str
            return [
                Marker(change(each.path), each.offset, change(each.name), each.is_directory, each.data)
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
        _Values(head.entries.count, entries(head.entries, lambda index: index.entries)),
        markers(head.whiteouts, lambda index: index.whiteouts),
        markers(head.opaques, lambda index: index.opaques),
        irregularities,
        _Contents(head.contents, reading),
        head.uncompressed_size,
        markers(head.nameless, lambda index: index.nameless),
        name_only=_Values(head.name_only.count, entries(head.name_only, lambda index: index.name_only)),
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


def _values(record: Record, part: _Part, kind: type[list[T]]) -> list[T]:
    try:
        found = msgspec.msgpack.decode(unpack(record.read(part.section), part.size), type=ready(kind))
    except (msgspec.DecodeError, FormatError) as fault:
        raise Damaged(f"a part of the layer cannot be decoded: {fault}") from fault
    if len(found) != part.count:
        raise Damaged(f"expected {part.count} values, found {len(found)}")
    return found


def _escaped_marker(marker: _Marker) -> _Marker:
    return _Marker(escape(marker.path), marker.offset, escape(marker.name), marker.is_directory, marker.data)
