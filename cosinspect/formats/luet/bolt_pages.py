"""The pages of a bbolt file: which meta page counts, and page images checked before anything is taken from them.

Follows bbolt's file format version 2 (`page.go`, `meta.go`, `node.go`, `freelist.go`; the same from bolt 1.2 to bbolt
1.5), in the byte order and page size of whichever machine wrote it. Only meta pages carry a checksum; of all else
the structure is checked: pages lie in the file and are what they should be, elements lie in their page, one behind the
other. Refused: anything else.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Literal

from attrs import field, frozen

from cosinspect.deadline import spend
from cosinspect.errors import FormatError

__all__ = ["BRANCH", "LEAF", "BoltPages", "Meta", "Page", "Part", "damaged", "newest_meta"]

MAGIC = 0xED0CDAED
VERSION = 2

BRANCH, LEAF, FREELIST = 0x01, 0x02, 0x10  # flags of a page header

_HEADER_BYTES = 16
_ELEMENT_BYTES = 16
_META_BYTES = 64
_CHECKED_BYTES = 56  # of a meta, in front of its checksum
_LEAST_PAGE, _MOST_PAGE = 512, 16 * 1024 * 1024
_NO_FREELIST = 2**64 - 1
_LONG_FREELIST = 0xFFFF  # as the count: the first number is the count

Part = tuple[bytes, memoryview, int, int]
"""Of an element: key, value, flags (of a leaf's), child page (of a branch's)."""


@frozen
class _Layout:
    """The structures of the file in one byte order."""

    header: struct.Struct
    meta: struct.Struct
    bucket: struct.Struct
    leaf: struct.Struct
    branch: struct.Struct
    number: struct.Struct


def _layout(order: str) -> _Layout:
    return _Layout(
        header=struct.Struct(f"{order}QHHI"),  # id, flags, count, overflow
        meta=struct.Struct(
            f"{order}IIIIQQQQQQ"
        ),  # as in Meta, behind magic, version, page size and flags; checksum
        bucket=struct.Struct(f"{order}QQ"),  # root page, sequence
        leaf=struct.Struct(f"{order}IIII"),  # flags, pos, ksize, vsize
        branch=struct.Struct(f"{order}IIQ"),  # pos, ksize, page
        number=struct.Struct(f"{order}Q"),
    )


_LAYOUTS = {"little": _layout("<"), "big": _layout(">")}
_ORDERS: dict[bytes, Literal["little", "big"]] = {
    MAGIC.to_bytes(4, "little"): "little",
    MAGIC.to_bytes(4, "big"): "big",
}


@frozen
class Meta:
    """A meta page that is valid."""

    byteorder: Literal["little", "big"]
    page_size: int
    root: int
    sequence: int
    freelist: int
    high_water_mark: int
    txid: int


@frozen
class Page:
    """A branch, leaf or freelist page.

    Attributes:
        number: None is the image inside an inline bucket.
        flags: which of the three it is.
        count: of elements.
        span: the numbers of all pages that it takes.
        data: the whole image, header and overflow pages included.
        offset: of the image in the file, where it has a number.
    """

    number: int | None
    flags: int
    count: int
    span: range
    data: memoryview = field(repr=False)
    offset: int | None = None

    def __str__(self) -> str:
        return "inline bucket" if self.number is None else f"page {self.number}"


@frozen
class BoltPages:
    """The pages that the meta page `meta` speaks of."""

    data: memoryview = field(repr=False)
    meta: Meta

    def page(self, number: int, *flags: int) -> Page:
        """Return a page that is inside the file and has one of `flags`.

        Raises:
            FormatError: of kind `page` or `truncated`.
        """
        size, mark, file_size = self.meta.page_size, self.meta.high_water_mark, len(self.data)
        offset = number * size
        if not 2 <= number < mark:
            raise FormatError(
                f"page {number} out of range, the database has pages 2 to {mark - 1}", kind="page"
            )
        if offset + _HEADER_BYTES > file_size:
            raise _truncated(number, offset, file_size)
        identity, kind, count, overflow = self._layout.header.unpack_from(self.data, offset)
        if identity != number:
            raise FormatError(f"page {number}: its header says page {identity}", kind="page", offset=offset)
        if kind not in flags:
            wanted = " or ".join(f"{flag:#x}" for flag in flags)
            raise FormatError(
                f"page {number}: flags {kind:#x} instead of {wanted}", kind="page", offset=offset
            )
        if number + overflow >= mark:
            raise FormatError(
                f"page {number}: {overflow} overflow pages leave the database", kind="page", offset=offset
            )
        end = offset + (overflow + 1) * size
        if end > file_size:
            raise _truncated(number, offset, file_size)
        span = range(number, number + overflow + 1)
        return Page(number, kind, count, span, self.data[offset:end], offset)

    def inline_page(self, image: memoryview) -> Page:
        """Return the leaf that the bytes after an inline bucket's header are.

        Raises:
            FormatError: of kind `element` (too short) or `page`.
        """
        if len(image) < _HEADER_BYTES:
            raise FormatError(f"inline bucket: {len(image)} bytes are no page", kind="element")
        _, flags, count, overflow = self._layout.header.unpack_from(image)
        if flags != LEAF or overflow:
            raise FormatError(
                f"inline bucket: flags {flags:#x} and {overflow} overflow pages instead of {LEAF:#x} and 0",
                kind="page",
            )
        return Page(None, flags, count, range(0), image)

    def parts(self, page: Page, damage: Callable[[FormatError], None] | None = None) -> Iterator[Part]:
        """Yield the elements of a branch or leaf, up to the first that is not where it should be.

        With `damage` those that lie inside the page are given anyway, as bbolt gives them, which compares no element with
        another; it takes their faults, of kind `overlap`. No more is given so than the page holds.

        Raises:
            FormatError: of kind `element`.
        """
        data, count = page.data, page.count
        end = _HEADER_BYTES + _ELEMENT_BYTES * count
        if end > len(data):
            raise damaged(page, f"{count} elements do not fit")
        leaf = page.flags == LEAF
        if not leaf and not count:
            raise damaged(page, "a branch without elements")
        layout = self._layout.leaf if leaf else self._layout.branch
        at = _HEADER_BYTES
        left = len(data)
        for index, element in enumerate(layout.iter_unpack(data[at:end])):
            spend()
            flags, pos, ksize, vsize = element if leaf else (0, element[0], element[1], 0)
            start = at + pos
            at += _ELEMENT_BYTES
            middle = start + ksize
            if start < end or ksize < 1 or middle + vsize > len(data):
                told = f"element {index} out of page or overlapping (pos {pos} ksize {ksize} vsize {vsize})"
                left -= ksize + vsize
                if damage is None or middle + vsize > len(data) or left < 0:
                    raise damaged(page, told)
                damage(damaged(page, told, kind="overlap"))
                if ksize < 1:
                    continue
            # Writers put key behind key: with no overlap, what elements give can never exceed what the file holds.
            end = max(end, middle + vsize)
            yield bytes(data[start:middle]), data[middle:end], flags, 0 if leaf else element[2]

    def bucket_header(self, page: Page, value: memoryview) -> tuple[int, int, memoryview | None]:
        """Return root page, sequence and, where the bucket is inline, the image of its page.

        Raises:
            FormatError: of kind `element`.
        """
        layout = self._layout.bucket
        if len(value) < layout.size:
            raise damaged(page, f"a bucket's value of {len(value)} bytes is too short")
        root, sequence = layout.unpack_from(value)
        if root:
            return root, sequence, None
        if page.number is None:
            raise damaged(page, "an inline bucket cannot hold another one")
        return 0, sequence, value[layout.size :]

    def freelist(self) -> tuple[Page, tuple[int, ...]] | None:
        """Return the freelist's page and the numbers in it; None if the writer stores none.

        Raises:
            FormatError: as `page` does, or of kind `element`.
        """
        if self.meta.freelist == _NO_FREELIST:
            return None
        page = self.page(self.meta.freelist, FREELIST)
        layout = self._layout.number
        start, count = _HEADER_BYTES, page.count
        if count == _LONG_FREELIST:
            (count,) = layout.unpack_from(page.data, start)
            start += layout.size
        end = start + count * layout.size
        if end > len(page.data):
            raise damaged(page, f"{count} free pages do not fit")
        return page, tuple(number for (number,) in layout.iter_unpack(page.data[start:end]))

    @property
    def _layout(self) -> _Layout:
        return _LAYOUTS[self.meta.byteorder]


def newest_meta(data: memoryview) -> tuple[Meta, tuple[str, ...]]:
    """Return the valid meta page of the newest transaction, and what is wrong with the other one.

    Raises:
        FormatError: of kind `empty`, `truncated` (fewer than two pages), or where no meta page is valid, `magic` (no bolt
            database at all), `version`, `checksum`, `page-size` or `root`.
    """
    if not data:
        raise FormatError("a bolt database has two pages at least, and this file is empty", kind="empty")
    first = _meta(data, 0)
    if isinstance(first, Meta):
        page_size = first.page_size
        if len(data) < 2 * page_size:
            raise FormatError(
                f"a bolt database has two pages of {page_size} bytes at least, and this file has {len(data)} bytes",
                kind="truncated",
                offset=len(data),
            )
        second = _meta(data, page_size, page_size)
    else:
        # The page size is unknown then: the second meta page must be where it says itself that it is.
        tried = (_meta(data, size, size) for size in (1024 << shift for shift in range(15)))
        second = next((meta for meta in tried if isinstance(meta, Meta)), first)
    valid = [meta for meta in (first, second) if isinstance(meta, Meta)]
    if not valid:
        raise _no_meta(data, str(first))
    problems = tuple(
        f"meta page {number} invalid: {meta.replace('-', ' ')}"
        for number, meta in enumerate((first, second))
        if not isinstance(meta, Meta)
    )
    return max(valid, key=lambda meta: meta.txid), problems


def _meta(data: memoryview, offset: int, page_size: int | None = None) -> Meta | str:
    """Read the meta of the page at `offset`, or name the kind of its fault."""
    start = offset + _HEADER_BYTES
    body = bytes(data[start : start + _META_BYTES])
    byteorder = _ORDERS.get(body[:4])
    if byteorder is None:
        return "magic" if len(body) >= 4 else "truncated"
    if len(body) < _META_BYTES:
        return "truncated"
    _, version, size, _, root, sequence, freelist, mark, txid, checksum = _LAYOUTS[byteorder].meta.unpack(
        body
    )
    if version != VERSION:
        return "version"
    # A checksum of 0 passed until bbolt 1.3.6; every writer computes it anyway.
    if checksum != _fnv1a(body[:_CHECKED_BYTES]):
        return "checksum"
    if not _LEAST_PAGE <= size <= _MOST_PAGE or size & (size - 1) or page_size not in {None, size}:
        return "page-size"
    if not 2 <= root < mark:
        return "root"
    return Meta(byteorder, size, root, sequence, freelist, mark, txid)


def _fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def _no_meta(data: memoryview, kind: str) -> FormatError:
    message = {
        "magic": "not a bolt database: neither meta page has the magic number",
        "version": f"a bolt database of another format version than {VERSION}",
        "truncated": f"a bolt database has two pages at least, and this file ends after {len(data)} bytes",
    }.get(kind, f"no meta page of the bolt database is valid: meta page 0 has a bad {kind.replace('-', ' ')}")
    return FormatError(message, kind=kind, offset=_HEADER_BYTES)


def damaged(page: Page, what: str, *, kind: str = "element") -> FormatError:
    """Return the error that says what is wrong with `page`, and where it is."""
    return FormatError(f"{page}: {what}", kind=kind, offset=page.offset)


def _truncated(number: int, offset: int, file_size: int) -> FormatError:
    return FormatError(
        f"page {number} at {offset} beyond end of file {file_size}",
        kind="truncated",
        offset=offset,
        remedy="the file was cut short: look for the layer that wrote it",
    )
