"""A bbolt database, read from its bytes.

A database is a tree of buckets, each a B+ tree of its own (bbolt `bucket.go`, `cursor.go`, `tx_check.go`; the pages:
`bolt_pages`). A bucket is walked on demand, so damage in other buckets does not matter; damage on the walk is
always reported.

Refused: files and pages as `bolt_pages` does, pages that a walk reaches twice, trees deeper than `TREE_DEPTH`, walks
of more than `ELEMENTS` elements.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Literal

from attrs import define, field, frozen

from cosinspect.deadline import spend
from cosinspect.errors import FormatError
from cosinspect.formats.luet.bolt_pages import BRANCH, LEAF, BoltPages, Meta, Page, Part, damaged, newest_meta
from cosinspect.limits import DEFAULT_LIMITS, Limits

__all__ = ["ELEMENTS", "TREE_DEPTH", "BoltDatabase", "Bucket", "Element", "open_bolt"]

TREE_DEPTH = 64
"""The most pages from the root of a bucket to a leaf; real buckets have fewer than 10."""

ELEMENTS = 1_000_000
"""The most elements of one walk; a luet database of 5,200 packages has 5,200 in its largest bucket."""

_PROBLEMS = 1000

Problem = Callable[[str], None]
Damage = Callable[[FormatError], None]


@frozen
class Bucket:
    """A bucket; `BoltDatabase.elements` reads its pairs.

    Attributes:
        root: the page of its tree's root, or 0 if it is inline.
        sequence: the bucket's counter.
        inline: the image of its only page, if it is inline.
        ancestors: the pages that lead to it, which cannot be its own.
    """

    root: int
    sequence: int
    inline: memoryview | None = field(default=None, repr=False)
    ancestors: frozenset[int] = field(default=frozenset(), repr=False)


@frozen
class Element:
    """One pair of a bucket.

    Attributes:
        key: 1 byte or more.
        value: a view of the database's bytes; for a bucket, its header.
        bucket: the bucket that the pair holds, else None.
    """

    key: bytes
    value: memoryview = field(repr=False)
    bucket: Bucket | None = None


@frozen
class BoltDatabase:
    """A database with at least one valid meta page.

    Attributes:
        pages: the pages that walks read.
        problems: faults that do not prevent reading: an invalid meta page, whose transaction is lost if it was the
            newer one.
    """

    pages: BoltPages
    problems: tuple[str, ...]

    @property
    def meta(self) -> Meta:
        """The meta page that counts: root, freelist, high water mark."""
        return self.pages.meta

    @property
    def page_size(self) -> int:
        """The page size in bytes, that of the machine that wrote the file."""
        return self.meta.page_size

    @property
    def byteorder(self) -> Literal["little", "big"]:
        """The byte order of the machine that wrote the file."""
        return self.meta.byteorder

    @property
    def txid(self) -> int:
        """The number of the last transaction that can be read."""
        return self.meta.txid

    @property
    def root(self) -> Bucket:
        """The bucket that holds all others."""
        return Bucket(self.meta.root, self.meta.sequence)

    def bucket(self, *names: bytes, problem: Problem | None = None) -> Bucket | None:
        """Return the bucket `names[0]`, in it `names[1]` and so on; None if there is none.

        Args:
            names: keys from the root bucket downwards.
            problem: is called with each oddity on the way.

        Raises:
            FormatError: it was not found, and a damaged page on the way may have held it.
        """
        bucket = self.root
        for name in names:
            damage: list[FormatError] = []
            elements = self.elements(bucket, problem=problem, damage=damage.append)
            found = next(
                (element.bucket for element in elements if element.bucket and element.key == name), None
            )
            if found is None:
                if damage:
                    raise damage[0]
                return None
            bucket = found
        return bucket

    def elements(
        self, bucket: Bucket, *, problem: Problem | None = None, damage: Damage | None = None
    ) -> Iterator[Element]:
        """Return the pairs of `bucket` in the order of the file, which is that of the keys in a valid database.

        Args:
            bucket: of this database.
            problem: is called with each readable oddity: keys that are out of order.
            damage: is called with the fault of each page or element that cannot be read; the walk continues with the others.

        Raises:
            FormatError: of kind `truncated`, `page` (another page than referenced), `cycle` (reached twice), `element`
                (outside its page, or overlapping), `depth` or `limit`; with `damage` only of kind `limit`.
        """
        return _LeafWalk(self.pages, damage, problem, set(bucket.ancestors)).elements(bucket)

    def check(self) -> tuple[str, ...]:
        """Walk all buckets and the freelist, and return the faults, as `bbolt check` does, in at most 1000 lines.

        The faults are: damaged pages, pages referenced twice, keys out of order, pages both free and in use, free twice, and
        neither free nor in use.

        Raises:
            FormatError: of kind `limit`; the database has more elements than are walked.
        """
        found: list[str] = []

        def note(problem: str) -> None:
            if len(found) < _PROBLEMS:
                found.append(problem)

        walk = _LeafWalk(self.pages, lambda fault: note(fault.message), note, set())
        free = self._free_pages(walk.visited, note)
        buckets = [self.root]
        while buckets:
            spend()
            # Visited pages are shared by all buckets, so the walk always ends. Each page's ancestors are not kept: that would
            # need memory of the square of the depth.
            inner = (element.bucket for element in walk.elements(buckets.pop()))
            buckets.extend(Bucket(b.root, b.sequence, b.inline) for b in inner if b is not None)
        mark = self.meta.high_water_mark
        present = min(mark, len(self.pages.data) // self.page_size)
        if present < mark:
            note(f"the file has {present} of its {mark} pages")
        if free is not None:
            for number in sorted(walk.visited & free):
                note(f"page {number}: in use and free")
            for number in range(2, present):
                if number not in walk.visited and number not in free:
                    note(f"page {number}: neither in use nor free")
        return tuple(found)

    def _free_pages(self, used: set[int], note: Problem) -> set[int] | None:
        """Return the free pages, None if they are unknown; the pages of the freelist itself are in use."""
        try:
            freelist = self.pages.freelist()
        except FormatError as fault:
            note(f"freelist: {fault.message}")
            return None
        if freelist is None:
            return None
        page, numbers = freelist
        used.update(page.span)
        free: set[int] = set()
        for number in numbers:
            if number in free:
                note(f"page {number}: free twice")
            free.add(number)
        return free


@define
class _LeafWalk:
    """A walk over the leaves of buckets, which visits no page twice."""

    pages: BoltPages
    damage: Damage | None
    problem: Problem | None
    visited: set[int]
    passed: int = 0
    last: bytes = b""  # the greatest key of the current bucket so far

    def elements(self, bucket: Bucket) -> Iterator[Element]:
        self.last = b""
        for leaf, path, bound in self._leaves(bucket):
            spend()
            ordered = self._follows(bound)
            ancestors: frozenset[int] | None = None
            try:
                for key, value, flags, _ in self._parts(leaf):
                    ordered = ordered and key > self.last and key >= bound
                    self.last = key
                    inner = None
                    if flags & 1:  # flag: the value is a bucket
                        if ancestors is None:
                            ancestors = bucket.ancestors.union(*path)
                        try:
                            inner = Bucket(*self.pages.bucket_header(leaf, value), ancestors)
                        except FormatError as fault:
                            self._report(fault)
                            continue
                    yield Element(key, value, inner)
            except FormatError as fault:
                self._report(fault)
            self._note_order(leaf, ordered=ordered)

    def _leaves(self, bucket: Bucket) -> Iterator[tuple[Page, tuple[range, ...], bytes]]:
        """Yield the leaves of a bucket from left to right, each with its ancestors and its key in the last of them.

        That key is at most the leaf's first key, and greater than all keys to its left.
        """
        if bucket.inline is not None:
            try:
                page = self.pages.inline_page(bucket.inline)
            except FormatError as fault:
                self._report(fault)
            else:
                yield page, (), b""
            return
        pending: list[tuple[int, tuple[range, ...], bytes]] = [(bucket.root, (), b"")]
        while pending:
            spend()
            number, path, bound = pending.pop()
            try:
                page = self._visit(number, len(path))
                path = (*path, page.span)
                if page.flags == BRANCH:
                    children = [(child, path, key) for key, _, _, child in self._parts(page)]
                    keys = [key for _, _, key in children]
                    if not page.count:
                        raise damaged(page, "a branch page without elements", kind="element")
                    if not keys:  # no element can be read; each was reported
                        continue
                    ascending = keys[0] >= bound and all(a < b for a, b in itertools.pairwise(keys))
                    self._note_order(page, ordered=ascending and self._follows(bound))
                    pending.extend(reversed(children))
                    continue
            except FormatError as fault:
                self._report(fault)
                continue
            yield page, path, bound

    def _follows(self, bound: bytes) -> bool:
        return not bound or bound > self.last

    def _note_order(self, page: Page, *, ordered: bool) -> None:
        if not ordered and self.problem is not None:
            self.problem(f"{page}: keys out of order")

    def _visit(self, number: int, depth: int) -> Page:
        if number in self.visited:
            offset = number * self.pages.meta.page_size
            raise FormatError(f"page {number} referenced twice", kind="cycle", offset=offset)
        if depth >= TREE_DEPTH:
            raise FormatError(f"page {number} is more than {TREE_DEPTH} pages below its bucket", kind="depth")
        page = self.pages.page(number, BRANCH, LEAF)
        for covered in page.span:
            if covered in self.visited:
                raise damaged(page, f"page {covered} referenced twice", kind="cycle")
        self.visited.update(page.span)
        return page

    def _parts(self, page: Page) -> Iterator[Part]:
        self.passed += page.count
        if self.passed > ELEMENTS:
            raise FormatError(f"a walk passes at most {ELEMENTS} elements", kind="limit", offset=page.offset)
        return self.pages.parts(page, self.damage)

    def _report(self, fault: FormatError) -> None:
        if self.damage is None or fault.kind == "limit":
            raise fault
        self.damage(fault)


def open_bolt(data: bytes | memoryview, *, limits: Limits = DEFAULT_LIMITS) -> BoltDatabase:
    """Open the database at the newest transaction with a valid meta page.

    Args:
        data: the whole file. It is not copied; do not change it while the database is in use.
        limits: `database_bytes` bounds the file.

    Raises:
        FormatError: of kind `limit`, `empty`, `truncated` (fewer than two pages), or, without a valid meta page,
            `magic` (no bolt database at all), `version`, `checksum`, `page-size` or `root`.
    """
    view = memoryview(data).toreadonly().cast("B")
    if len(view) > limits.database_bytes:
        raise FormatError(
            f"expected a database of at most {limits.database_bytes} bytes, found {len(view)}",
            kind="limit",
        )
    meta, problems = newest_meta(view)
    return BoltDatabase(BoltPages(view, meta), problems)
