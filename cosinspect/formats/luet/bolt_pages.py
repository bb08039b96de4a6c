"""The pages of a bbolt file: the meta page that counts, and page images that are verified before they are read.

Follows bbolt's file format version 2 (`page.go`, `meta.go`, `node.go`, `freelist.go`; the same from bolt 1.2 to bbolt
1.5), in the byte order and page size of the machine that wrote it. Only meta pages have a checksum. Of other pages
the structure is verified: pages are within the file and of the expected kind, elements are within their page, one after
the other. Everything else is refused.
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
_CHECKED_BYTES = 56  # of a meta page, before its checksum
_LEAST_PAGE, _MOST_PAGE = 512, 16 * 1024 * 1024
_NO_FREELIST = 2**64 - 1
_LONG_FREELIST = 0xFFFF  # value of the count field: the first number is the count

Part = tuple[bytes, memoryview, int, int]
"""An element: key, value, flags (in a leaf), child page (in a branch)."""


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
        ),  # as in Meta, after magic, version, page size and flags; checksum
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
    """A valid meta page."""

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
        number: None for the image inside an inline bucket.
        flags: the kind of the page.
        count: of elements.
        span: the numbers of all pages that it occupies.
        data: the whole image, with header and overflow pages.
        offset: of the image in the file, if it has a number.
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
    """The pages of the meta page `meta`."""

    data: memoryview = field(repr=False)
    meta: Meta

    def page(self, number: int, *flags: int) -> Page:
        """Return a page, which is inside the file and has one of `flags`.

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
            raise FormatError(
                f"page {number}: its header has the number {identity}", kind="page", offset=offset
            )
        if kind not in flags:
            wanted = " or ".join(f"{flag:#x}" for flag in flags)
            raise FormatError(
                f"page {number}: flags {kind:#x} instead of {wanted}", kind="page", offset=offset
            )
        if number + overflow >= mark:
            raise FormatError(
                f"page {number}: its {overflow} overflow pages reach beyond the database",
                kind="page",
                offset=offset,
            )
        end = offset + (overflow + 1) * size
        if end > file_size:
            raise _truncated(number, offset, file_size)
        span = range(number, number + overflow + 1)
        return Page(number, kind, count, span, self.data[offset:end], offset)

    def inline_page(self, image: memoryview) -> Page:
        """Return the leaf in the bytes after an inline bucket's header.

        Raises:
            FormatError: of kind `element` (too short) or `page`.
        """
        if len(image) < _HEADER_BYTES:
            raise FormatError(f"inline bucket: {len(image)} bytes are too short for a page", kind="element")
        _, flags, count, overflow = self._layout.header.unpack_from(image)
        if flags != LEAF or overflow:
            raise FormatError(
                f"inline bucket: flags {flags:#x} and {overflow} overflow pages instead of {LEAF:#x} and 0",
                kind="page",
            )
        return Page(None, flags, count, range(0), image)

    def parts(self, page: Page, damage: Callable[[FormatError], None] | None = None) -> Iterator[Part]:
        """Yield the elements of a branch or leaf, up to the first at a wrong position.

        With `damage`, overlapping elements inside the page are yielded too, as in bbolt, which does not compare elements.
        `damage` is called with their faults, of kind `overlap`. The total is never more than the page holds.

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
                told = f"element {index} is out of the page or overlaps another (pos {pos} ksize {ksize} vsize {vsize})"
                left -= ksize + vsize
                if damage is None or middle + vsize > len(data) or left < 0:
                    raise damaged(page, told)
                damage(damaged(page, told, kind="overlap"))
                if ksize < 1:
                    continue
            # Writers put key after key: without overlaps, the elements are never larger than the file.
            end = max(end, middle + vsize)
            yield bytes(data[start:middle]), data[middle:end], flags, 0 if leaf else element[2]

    def bucket_header(self, page: Page, value: memoryview) -> tuple[int, int, memoryview | None]:
        """Return the root page, the sequence and, for an inline bucket, the image of its page.

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
        """Return the freelist's page and its numbers; None if the writer stores no freelist.

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
    """Return the valid meta page of the newest transaction, and the fault of the other one.

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
        # The page size is unknown: the second meta page must be at the offset that its own page size implies.
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
    """Return the meta page at `offset`, or the kind of its fault."""
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
    # bbolt accepted a checksum of 0 until 1.3.6; every writer computes it anyway.
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
    """Return the error for a fault of `page`, with its position."""
    return FormatError(f"{page}: {what}", kind=kind, offset=page.offset)


def _truncated(number: int, offset: int, file_size: int) -> FormatError:
    return FormatError(
        f"page {number} at {offset} beyond end of file {file_size}",
        kind="truncated",
        offset=offset,
        remedy="the file was cut short: look for the layer that wrote it",
    )
