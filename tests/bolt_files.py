"""Bolt files written page by page, as bbolt's `node.write` lays them out, and the luet databases kept as test data."""

from __future__ import annotations

import json
import lzma
import struct
from pathlib import Path

from attrs import define, field

DATA = Path(__file__).parent / "data" / "luetdb"
EXPECTED = json.loads((DATA / "expected.json").read_text())["files"]

BRANCH, LEAF, META, FREELIST = 1, 2, 4, 16
MAGIC, VERSION = 0xED0CDAED, 2


def fixture(name: str) -> bytes:
    return lzma.decompress((DATA / f"{name}.xz").read_bytes())


def fnv1a(data: bytes) -> int:
    value = 14695981039346656037
    for byte in data:
        value = ((value ^ byte) * 1099511628211) % 2**64
    return value


@define
class BoltWriter:
    """Pages by number; nothing is checked, so that damage can be written as well."""

    page_size: int = 1024
    order: str = "<"
    pages: dict[int, bytes] = field(factory=dict)

    def header(self, number: int, flags: int, count: int, overflow: int = 0) -> bytes:
        return struct.pack(f"{self.order}QHHI", number, flags, count, overflow)

    def leaf_image(self, items, number: int = 0, overflow: int = 0) -> bytes:
        """Items are (key, value), or (key, value, 1) where the value is a bucket's."""
        head, body = b"", b""
        for index, (key, value, *flags) in enumerate(items):
            pos = 16 * (len(items) - index) + len(body)
            head += struct.pack(f"{self.order}IIII", flags[0] if flags else 0, pos, len(key), len(value))
            body += key + value
        return self.header(number, LEAF, len(items), overflow) + head + body

    def leaf(self, number: int, *items) -> None:
        image = self.leaf_image(items, number)
        overflow = (len(image) - 1) // self.page_size
        self.pages[number] = self.leaf_image(items, number, overflow)

    def branch(self, number: int, *children) -> None:
        """Children are (key, page number)."""
        head, body = b"", b""
        for index, (key, child) in enumerate(children):
            pos = 16 * (len(children) - index) + len(body)
            head += struct.pack(f"{self.order}IIQ", pos, len(key), child)
            body += key
        self.pages[number] = self.header(number, BRANCH, len(children)) + head + body

    def freelist(self, number: int, *free: int) -> None:
        body = struct.pack(f"{self.order}{len(free)}Q", *free)
        self.pages[number] = self.header(number, FREELIST, len(free)) + body

    def bucket(self, root: int, sequence: int = 0) -> bytes:
        return struct.pack(f"{self.order}QQ", root, sequence)

    def inline(self, *items) -> bytes:
        return self.bucket(0) + self.leaf_image(items)

    def meta(
        self, *, root: int, mark: int, freelist: int = 2**64 - 1, txid: int = 0, version: int = VERSION
    ) -> None:
        body = struct.pack(
            f"{self.order}IIIIQQQQQ", MAGIC, version, self.page_size, 0, root, 0, freelist, mark, txid
        )
        checksum = struct.pack(f"{self.order}Q", fnv1a(body))
        self.pages[txid % 2] = self.header(txid % 2, META, 0) + body + checksum

    def metas(self, *, root: int, mark: int, freelist: int = 2**64 - 1) -> None:
        for txid in (4, 5):
            self.meta(root=root, mark=mark, freelist=freelist, txid=txid)

    def file(self) -> bytes:
        data = bytearray()
        for number, image in sorted(self.pages.items()):
            start = number * self.page_size
            data.extend(bytes(max(0, start - len(data))))
            data[start : start + len(image)] = image
        data.extend(bytes(-len(data) % self.page_size))
        return bytes(data)


def single_leaf(*items, **layout) -> bytes:
    """A database whose root bucket is one leaf, as bbolt makes a small one: freelist on page 2, root on page 3."""
    writer = BoltWriter(**layout)
    writer.freelist(2)
    writer.leaf(3, *items)
    writer.metas(root=3, mark=4, freelist=2)
    return writer.file()
