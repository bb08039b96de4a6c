"""Tar headers, front to back, by the rules of Go's `archive/tar`.

Every runtime that unpacks layers uses that package, so an inspector must see the same names, types and sizes,
and fail on the same input (`archive/tar`: reader.go, strconv.go, format.go). It reads ustar, PAX, STAR, old
GNU and v7 headers, GNU long names and base-256 numbers, and old GNU and PAX sparse files (0.0, 0.1, 1.0).
Like Go, it accepts a missing final padding or end mark. Input that Go refuses raises `InvalidLayer`. Input
that Go accepts and another reader reads differently is an `Irregularity` beside the entry.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from typing import NoReturn

from cosinspect.errors import InvalidLayer, LimitExceeded
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.tar.blocks import BLOCK, Blocks
from cosinspect.tar.header import (
    HEADER_BYTES,
    Header,
    Pending,
    SparseMap,
    is_valid_sparse,
    parse_decimal,
    parse_number,
    parse_octal,
    parse_pax_records,
    parse_text,
    rewritten_bytes,
    unwritable,
)
from cosinspect.tar.irregularities import Notes
from cosinspect.tar.names import cleaned
from cosinspect.tar.runs import COMMON_NUMBER, REMEMBERED, CommonEntry, CommonHeaders, header_of

__all__ = ["Header", "TarStream"]

_ZERO_BLOCK = bytes(BLOCK)
_CHECKSUM = re.compile(rb"[0-7]{6}\0 ")  # the usual form
_CUT = "content-truncated", "the archive ends in the middle of a file's content"
_LONG = 512 * 1024  # a shorter header never becomes too long when it is written again
# All types whose size field Go ignores (archive/tar: isHeaderOnlyType).
_HEADER_ONLY = frozenset(b"123456")
_KNOWN_TYPES = frozenset(b"0123456S")
_NUL, _REGULAR, _DIRECTORY = 0, ord("0"), ord("5")
_SPARSE, _PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK = ord("S"), ord("x"), ord("g"), ord("L"), ord("K")
_XATTR = "SCHILY.xattr."


class TarStream(Notes):
    """An iterator over the headers of an archive that arrives in pieces; it can read the content of the last entry.

    Attributes:
        irregularities: all noted so far.
    """

    def __init__(
        self,
        pieces: Iterator[bytes],
        *,
        limits: Limits = DEFAULT_LIMITS,
        seek: Callable[[int], int] | None = None,
    ) -> None:
        """Read from `pieces`; `seek`, if given, skips bytes and returns how many."""
        super().__init__(limits.notes_of_a_kind)
        self._blocks = Blocks(pieces, seek=seek)
        self._limits = limits
        self._left = 0  # stored bytes of the current entry not yet consumed
        self._padding = 0
        # The headers of one archive repeat the same owners, modes and tails.
        self._headers = CommonHeaders()
        self._numbers = self._headers.numbers
        self._owners = self._headers.owners
        self._tails = self._headers.tails

    @property
    def position(self) -> int:
        """Bytes of the archive consumed so far."""
        return self._blocks.position

    def __iter__(self) -> Iterator[Header]:
        while True:
            if run := self.run(1):
                yield header_of(run[0])
            elif (header := self.following()) is not None:
                yield header
            else:
                return

    def run(self, most: int) -> list[CommonEntry]:
        """Return at most `most` of the next entries if they have the common form; the last one is then the current entry.

        Only entries whose headers are in the buffer are among them. The contents of all but the last are there as well, so that
        `enter` can go back to them before anything else is read.
        """
        skipped = self._left + self._padding
        piece, at, base = self._blocks.buffered(skipped)
        found = self._headers.run(piece, at, base, most)
        if found:
            self.enter(found[-1])
        return found

    def enter(self, entry: CommonEntry) -> None:
        """Make an entry of the last run the current one."""
        self._blocks.move(entry[5] + BLOCK)
        self._left = entry[3]
        self._padding = -self._left % BLOCK

    def following(self) -> Header | None:
        """Return the next entry in any form; None after the last one.

        Raises:
            InvalidLayer: Go's reader cannot read it.
            LimitExceeded: an extended header exceeds `Limits.pax_bytes`.
        """
        header = self._next()
        if header is None:
            self._look_behind_the_end()
        return header

    def read(self, size: int) -> bytes:
        """Return at most `size` further stored bytes of the current entry, none at its end.

        Raises:
            InvalidLayer: the archive ends within the entry.
        """
        size = min(size, self._left)
        if size <= 0:
            return b""
        data = self._blocks.take(size)
        if not data:
            self._fail(*_CUT, self.position)
        self._left -= len(data)
        return data

    # -- what every step needs -------------------------------------------------------------------------------------

    def _body(self, size: int, what: str) -> bytes:
        """Return the whole content of an extended header."""
        if size > self._limits.pax_bytes:
            raise LimitExceeded(
                f"expected {what} of at most {self._limits.pax_bytes} bytes, found {size}",
                limit="pax_bytes",
                bound=self._limits.pax_bytes,
                where=f"byte {self.position}",
            )
        self._left = size
        parts = []
        while part := self.read(size):
            parts.append(part)
        return b"".join(parts)

    def _fail(self, kind: str, message: str, offset: int) -> NoReturn:
        raise InvalidLayer(
            message,
            kind=kind,
            offset=offset,
            where=f"byte {offset} of the uncompressed layer",
            remedy="no runtime unpacks this layer: build it again",
        )

    # -- entries ---------------------------------------------------------------------------------------------------

    def _next(self) -> Header | None:
        pending: Pending | None = None
        start = -1
        while True:
            if self._left and not self._blocks.skip(self._left):
                self._fail(*_CUT, self.position)
            self._left = 0
            if self._padding and not self._blocks.skip(self._padding):
                self.note(
                    "missing-padding", self.position, "the last file's padding and the end mark are missing"
                )
                return None
            self._padding = 0
            offset = self.position
            block = self._header_block()
            if block is None:
                if pending is not None:
                    self.note("dangling-extension", start, "an extended header has no entry after it")
                return None
            if start < 0:
                start = offset
            kind = block[156]
            size = self._number(block, 124, 12)
            if kind in (_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK):
                if size < 0:
                    self._fail("negative-size", "a negative size", offset)
                # Go parses these too, and refuses a header if one is invalid.
                self._numeric_fields(block)
                self._format_fields(block, offset)
                pending = pending or Pending()
                self._padding = -size % BLOCK
                if kind == _PAX_GLOBAL:
                    return self._global(block, start, offset, size, pending)
                self._extension(kind, size, offset, pending)
                continue
            return self._entry(block, start, offset, size, pending)

    def _header_block(self) -> bytes | None:
        """Return the next header block with a verified checksum, or None at the archive's end."""
        offset = self.position
        block = self._blocks.block()
        if not block:
            self.note("missing-end", offset, "the archive has no end mark")
            return None
        if len(block) < BLOCK:
            self._fail(
                "header-truncated",
                f"expected a header of {BLOCK} bytes, the archive ends after {len(block)}",
                offset,
            )
        if block == _ZERO_BLOCK:
            second = self._blocks.block()
            if not second:
                self.note("missing-end", offset, "the archive's end mark is one block instead of two")
                return None
            if len(second) < BLOCK:
                self._fail("end-truncated", "the archive ends in the middle of its end mark", offset)
            if second != _ZERO_BLOCK:
                self._fail("lone-zero-block", "a lone block of zeros with entries behind it", offset)
            return None
        field = block[148:156]
        expected = int(field[:6], 8) if _CHECKSUM.fullmatch(field) else parse_octal(field)
        # The low half of an adler-32 is the sum of the bytes modulo 65521: exact if no byte is above 127.
        total = (zlib.adler32(block) & 0xFFFF) - 1 if block.isascii() else sum(block)
        if expected is None or expected != total - sum(field) + 256:
            signed = sum(block) - 256 * sum(byte > 127 for byte in block)
            signed_field = sum(byte - 256 * (byte > 127) for byte in field)
            if expected is None or expected != signed - signed_field + 256:
                self._fail(
                    "header-checksum",
                    f"expected a header with the checksum {total - sum(field) + 256:o}, found the bytes {field.hex(' ')}",
                    offset,
                )
        return block

    def _records(self, size: int, offset: int) -> dict[str, str]:
        records = parse_pax_records(self._body(size, "an extended header"))
        if records is None:
            self._fail("pax-malformed", "a malformed PAX extended header", offset)
        return records

    def _global(self, block: bytes, start: int, offset: int, size: int, pending: Pending) -> Header:
        """Return a global header as Go does: as an entry with a name; it ends the pending extended headers.

        Of its records, only the path applies to the header itself.
        """
        name, _ = self._format_fields(block, offset)
        data = self.position
        records = self._records(size, offset)
        name = records.get("path") or name
        fault = ""
        if size > _LONG and rewritten_bytes(records, cleaned(name), is_global=True) > HEADER_BYTES:
            fault = "long"
        self.note("global-header", offset, "a PAX global header", name)
        if pending.saw:
            message = "a global header stands between an extended header and its entry"
            self.note("dangling-extension", start, message)
        return Header(name, "g", 0, 0, 0, 0, 0, "", (0, 0), start, data, 0, None, None, fault)

    def _extension(self, kind: int, size: int, offset: int, pending: Pending) -> None:
        if kind == _PAX:
            records = self._records(size, offset)
            if _PAX in pending.saw:
                self.note(
                    "repeated-pax-header", offset, "a second PAX header for one entry replaces the first"
                )
            pending.pax = records
            pending.size = size
        else:
            text = parse_text(self._body(size, "a long name"))
            pending.long += len(text)
            if kind in pending.saw:
                self.note(
                    "repeated-long-name", offset, "a second GNU long name for one entry replaces the first"
                )
            if kind == _LONG_NAME:
                pending.name = text
            else:
                pending.link = text
        pending.saw.add(kind)

    def _entry(self, block: bytes, start: int, offset: int, size: int, pending: Pending | None) -> Header:
        kind = block[156]
        mode, uid, gid, mtime = self._numeric_fields(block)
        name, device = self._format_fields(block, offset)
        if size < 0 and kind not in _HEADER_ONLY:
            self._fail("negative-size", "a negative size", offset)
        link = parse_text(block[157:257]) if block[157] else ""
        xattrs: dict[str, str] | None = None
        pax: dict[str, str] = {}
        if pending is not None:
            pax = pending.pax
            if pax:
                merged = self._merge(pax, offset, name, link, uid, gid, mtime, size)
                name, link, uid, gid, mtime, size, xattrs = merged
            if pending.name:
                if pax.get("path"):
                    self.note(
                        "long-name-over-pax", offset, "a GNU long name overrides a PAX path", pending.name
                    )
                name = pending.name
            link = pending.link or link
        if kind == _NUL:
            kind = _DIRECTORY if name.endswith("/") else _REGULAR
        stored = 0 if kind in _HEADER_ONLY else size
        if stored < 0:
            self._fail("negative-size", "a negative size", offset)
        if size and kind in _HEADER_ONLY and kind != ord("1"):
            self.note("size-without-content", offset, "an entry without content has a size", name)
        self._left, self._padding = stored, -stored % BLOCK
        sparse: SparseMap | None = None
        if kind == _SPARSE or "GNU.sparse.major" in pax or "GNU.sparse.map" in pax:
            name, size, sparse = self._sparse(block, kind, pax, name, size, offset)
        if kind == _REGULAR and name.endswith("/"):
            self.note("slash-on-file", offset, "a regular file whose name ends in a slash", name)
        if kind not in _KNOWN_TYPES:
            self.note("unknown-type", offset, f"an entry of the unknown type {chr(kind)!r}", name)
        header_only = kind in _HEADER_ONLY
        fault = unwritable(chr(kind), name, mode, device, size, header_only=header_only)
        if pending is not None and pending.size + pending.long > _LONG and fault in ("", "size"):
            numbers = {"uid": uid, "gid": gid, "size": size, "mtime": mtime}
            if rewritten_bytes(pax, cleaned(name), link, numbers) > HEADER_BYTES:
                fault = "long"
        return Header(
            name, chr(kind), mode, uid, gid, mtime, 0 if header_only else size,
            link, device, start, self.position, self._left, sparse, xattrs, fault,
        )  # fmt: skip

    def _numeric_fields(self, block: bytes) -> tuple[int, int, int, int]:
        number = self._number
        owner = self._owners.get(block[100:124])
        if owner is None:
            owner = number(block, 100, 8), number(block, 108, 8), number(block, 116, 8)
            # A repeated value is not examined for faults again.
            if 0 <= owner[0] <= COMMON_NUMBER and len(self._owners) < REMEMBERED:
                self._owners[block[100:124]] = owner
        return *owner, number(block, 136, 12)

    def _format_fields(self, block: bytes, offset: int) -> tuple[str, tuple[int, int]]:
        """Return name and device of a header in the layout that the format's magic number implies."""
        name = parse_text(block[:100])
        tail = block[257:]
        known = self._tails.get(tail)
        if known is not None:
            return name, known
        magic = block[257:263]
        device = (0, 0)
        prefix = b""
        if magic == b"ustar\0":
            device = self._number(block, 329, 8), self._number(block, 337, 8)
            prefix = block[345:476] if block[508:512] == b"tar\0" else block[345:500]
            if block[508:512] == b"tar\0":
                self._number(block, 476, 12)
                self._number(block, 488, 12)
        elif magic == b"ustar " and block[263:265] == b" \0":
            device = self._number(block, 329, 8), self._number(block, 337, 8)
            times = (block[345:357], block[357:369])
            # Go before 1.8 wrote a prefix here; it shows as times that are not numbers (archive/tar:
            # reader.go).
            if any(field[0] and parse_number(field) is None for field in times):
                old = block[345:500].partition(b"\0")[0]
                prefix = old if old.isascii() else b""
        elif block[345] and magic[:5] != b"ustar":
            self.note("prefix-without-magic", offset, "bytes where only ustar has a name's prefix", name)
        if prefix[:1] not in (b"", b"\0"):
            return f"{parse_text(prefix)}/{name}", device
        # A header without magic may have an irregularity, which is noted each time, as faults are.
        common = device == (0, 0) or all(0 <= number <= COMMON_NUMBER for number in device)
        if common and magic[:5] == b"ustar" and len(self._tails) < REMEMBERED:
            self._tails[tail] = device
        return name, device

    def _merge(
        self,
        pax: dict[str, str],
        offset: int,
        name: str,
        link: str,
        uid: int,
        gid: int,
        mtime: int,
        size: int,
    ) -> tuple[str, str, int, int, int, int, dict[str, str] | None]:
        """Apply PAX records to a header (archive/tar: mergePAX); an empty value keeps the header's value."""
        xattrs: dict[str, str] = {}
        for key, value in pax.items():
            if key.startswith(_XATTR):
                # Runtimes read the records themselves, where an empty value counts.
                xattrs[key.removeprefix(_XATTR)] = value
            elif not value:
                if key == "path":
                    self.note("empty-pax-path", offset, "an empty PAX path", name)
                continue
            if key == "path":
                name = value
            elif key == "linkpath":
                link = value
            elif key == "uid":
                uid = self._decimal(value, key, offset)
            elif key == "gid":
                gid = self._decimal(value, key, offset)
            elif key == "size":
                size = self._decimal(value, key, offset)
            elif key in ("mtime", "atime", "ctime"):
                seconds = self._pax_time(value, key, offset)
                mtime = seconds if key == "mtime" else mtime
        return name, link, uid, gid, mtime, size, xattrs or None

    def _decimal(self, value: str, key: str, offset: int) -> int:
        number = parse_decimal(value)
        if number is None:
            self._fail(
                "pax-malformed", f"expected a number for the PAX record {key!r}, found {value[:40]!r}", offset
            )
        return number

    def _pax_time(self, value: str, key: str, offset: int) -> int:
        whole, _, fraction = value.partition(".")
        if fraction.strip("0123456789"):
            self._fail(
                "pax-malformed", f"expected a time for the PAX record {key!r}, found {value[:40]!r}", offset
            )
        seconds = self._decimal(whole, key, offset)
        # Before the epoch, dropping a fraction rounds away from it; Go keeps nanoseconds.
        below = whole.startswith("-") and fraction[:9].strip("0")
        return seconds - 1 if below and seconds > -(2**63) else seconds

    # -- numbers ---------------------------------------------------------------------------------------------------

    def _number(self, block: bytes, at: int, width: int) -> int:
        field = block[at : at + width]
        found = self._numbers.get(field)
        if found is None:
            found = parse_number(field)
            if found is None:
                self._fail(
                    "number-malformed",
                    f"expected a number, found the bytes {field.hex(' ')}",
                    self.position - BLOCK + at,
                )
            if len(self._numbers) < REMEMBERED:
                self._numbers[field] = found
        return found

    # -- sparse files ----------------------------------------------------------------------------------------------

    def _sparse(
        self, block: bytes, kind: int, pax: dict[str, str], name: str, size: int, offset: int
    ) -> tuple[str, int, SparseMap | None]:
        """Read the data regions of a sparse file, its real name and size (archive/tar: handleSparseFile)."""
        if kind == _SPARSE:
            if not (block[257:263] == b"ustar " and block[263:265] == b" \0"):
                self._fail("sparse-malformed", "a sparse file in a header that is not GNU's", offset)
            size = self._number(block, 483, 12)
            found = self._old_gnu_map(block, offset)
        else:
            major, minor = pax.get("GNU.sparse.major", ""), pax.get("GNU.sparse.minor", "")
            in_data = (major, minor) == ("1", "0")
            if not in_data and (major, minor) not in (("0", "0"), ("0", "1"), ("", "")):
                return name, size, None
            if (major, minor) == ("", "") and not pax.get("GNU.sparse.map"):
                return name, size, None
            name = pax.get("GNU.sparse.name") or name
            real = pax.get("GNU.sparse.size") or pax.get("GNU.sparse.realsize")
            size = self._decimal(real, "GNU.sparse.size", offset) if real else size
            found = self._map_in_data(offset) if in_data else self._map_in_pax(pax, offset)
        if kind in _HEADER_ONLY or not is_valid_sparse(found, size, self._left):
            self._fail("sparse-malformed", "a sparse file whose map does not fit its size", offset)
        if kind == _SPARSE:
            self.note("sparse-type", offset, "a sparse file as an entry of type S", name)
        else:
            self.note("sparse", offset, "a sparse file", name)
        return name, size, found

    def _old_gnu_map(self, block: bytes, offset: int) -> SparseMap:
        found: list[tuple[int, int]] = []
        at, entries, extended = 386, 4, 482
        taken = extended + 1 - at
        while True:
            for entry in range(at, at + 24 * entries, 24):
                if not block[entry]:
                    break
                pair = parse_number(block[entry : entry + 12]), parse_number(block[entry + 12 : entry + 24])
                if pair[0] is None or pair[1] is None:
                    self._fail("sparse-malformed", "a sparse map with malformed numbers", offset)
                found.append((pair[0], pair[1]))
            if not block[extended]:
                return tuple(found)
            taken += BLOCK
            if taken >= self._limits.pax_bytes:
                self._fail("sparse-malformed", "a sparse map without an end", offset)
            block = self._blocks.block()
            if len(block) < BLOCK:
                self._fail("sparse-malformed", "the archive ends in the middle of a sparse map", offset)
            at, entries, extended = 0, 21, 504

    def _map_in_pax(self, pax: dict[str, str], offset: int) -> SparseMap:
        numbers = pax.get("GNU.sparse.map", "").split(",")
        count = self._decimal(pax.get("GNU.sparse.numblocks", ""), "GNU.sparse.numblocks", offset)
        if numbers == [""]:
            numbers = []
        if count < 0 or len(numbers) != 2 * count:
            self._fail("sparse-malformed", "a sparse map of another length than it says", offset)
        values = [self._decimal(number, "GNU.sparse.map", offset) for number in numbers]
        return tuple(zip(values[::2], values[1::2], strict=True))

    def _map_in_data(self, offset: int) -> SparseMap:
        """Read the map at the start of a PAX 1.0 sparse file's content, padded to whole blocks."""
        lines: list[bytes] = []
        tail: list[bytes] = []  # the parts of a line that has not ended yet
        taken = 0

        def number() -> int:
            nonlocal taken
            while not lines:
                taken += BLOCK
                if taken > self._limits.pax_bytes:
                    self._fail("sparse-malformed", "a sparse map without an end", offset)
                first, *others = self._whole_block(offset).split(b"\n")
                tail.append(first)
                if others:
                    lines.extend((b"".join(tail), *others[:-1]))
                    tail[:] = others[-1:]
            return self._decimal(lines.pop(0).decode("latin-1"), "sparse map", offset)

        count = number()
        if not 0 <= count <= self._limits.pax_bytes // 4:
            self._fail("sparse-malformed", "a sparse map of an impossible length", offset)
        return tuple((number(), number()) for _ in range(count))

    def _whole_block(self, offset: int) -> bytes:
        """Return a block of the current entry's content."""
        block = b""
        while len(block) < BLOCK:
            part = self.read(BLOCK - len(block))
            if not part:
                self._fail("sparse-malformed", "the content ends in the middle of its sparse map", offset)
            block += part
        return block

    def _look_behind_the_end(self) -> None:
        """Note bytes after the end mark, which only some readers see; reading them also verifies the blob."""
        offset = self.position
        if self._blocks.drain():
            self.note("data-after-end", offset, "bytes behind the end mark")
