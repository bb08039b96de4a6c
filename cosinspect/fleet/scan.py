"""Inspects many images, each unique layer once: an image waits while another one reads a layer that both share.

The waiting image takes the layer from the cache. Names are resolved ahead of the inspections, a bounded
number at a time. An error of one image is the record of that image.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from attrs import define, evolve, field, frozen

from cosinspect.errors import CosinspectError
from cosinspect.fleet.names import Unusable
from cosinspect.fleet.record import ERROR, ScanRecord
from cosinspect.fleet.workers import Workers
from cosinspect.image.opening import open_image
from cosinspect.inspection.rulebook import Rulebook
from cosinspect.inspection.worker import Outcome, Task
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.oci.documents import Platform
from cosinspect.oci.reference import ImageName, Transport
from cosinspect.sources.config.access import Access

__all__ = ["Finished", "Scan"]

RESOLVERS = 8
"""The number of names that are resolved in parallel."""
AHEAD = 64
"""The number of names that are resolved ahead of the inspections."""


@frozen
class Finished:
    """One finished image.

    Attributes:
        record: of the image.
        outcome: of its inspection; None if an earlier scan has it.
    """

    record: ScanRecord
    outcome: Outcome | None


@define(eq=False)
class _Subject:
    """A digest, and all names that refer to it."""

    names: list[str]
    task: Task
    digest: str
    layers: frozenset[str]


@define
class _Book:
    """The state of a scan."""

    ready: deque[_Subject] = field(factory=deque)
    reading: set[str] = field(factory=set)
    read: set[str] = field(factory=set)
    subjects: dict[str, _Subject] = field(factory=dict)
    resolving: int = 0
    running: int = 0
    left: bool = True


_Event = tuple[str, _Subject | None, "Outcome | None"]


@frozen
class Scan:
    """Inspects many images.

    Attributes:
        rulebook: the requirements.
        access: returns the access for a name's registry.
        workers: execute inspections.
        cache: directory or URL of the cache, through which images share layers.
        local_cache: local directory of a cache by URL.
        seconds: the time limit of one inspection.
        jobs: the number of layers of one image read in parallel.
        packages: whether to list packages too.
        known: records of an earlier scan by name; an image with the same digest is not inspected again.
    """

    rulebook: Rulebook
    access: Callable[[str], Access]
    workers: Workers
    cache: str
    local_cache: str
    seconds: float = DEFAULT_LIMITS.seconds
    jobs: int = 4
    packages: bool = False
    known: Mapping[str, ScanRecord] = field(factory=dict, hash=False)

    def run(self, names: Iterable[str | Unusable]) -> Iterator[Finished]:
        """Yield each image when it is done, each name once.

        Args:
            names: may arrive slowly and be many.

        Raises:
            InvalidProfile: the rulebook cannot be used.
        """
        key = self.rulebook.key()
        events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        book = _Book()
        pending = _unique(names)
        # Not in a `with` statement, which waits for the threads: an interrupt must not wait for a registry.
        resolvers = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolve")
        try:
            while True:
                self._ask(pending, book, resolvers, events)
                self._begin(book, events)
                if not (book.left or book.resolving or book.running or book.ready):
                    return
                yield from self._take(events.get(), book, key)
        finally:
            resolvers.shutdown(wait=False, cancel_futures=True)

    def _ask(
        self,
        names: Iterator[str | Unusable],
        book: _Book,
        resolvers: ThreadPoolExecutor,
        events: queue.SimpleQueue[_Event],
    ) -> None:
        """Start to resolve further names, up to the bound."""
        while book.left and book.resolving + len(book.ready) < AHEAD + 2 * self.workers.count:
            name = next(names, None)
            if name is None:
                book.left = False
                return
            book.resolving += 1
            if isinstance(name, Unusable):
                events.put((name.name, None, Outcome(None, f"{name.name}: {name.reason}")))
            else:
                resolvers.submit(self._resolve, name, events)

    def _resolve(self, name: str, events: queue.SimpleQueue[_Event]) -> None:
        """Return the digest of a name, and its layers."""
        platform = self.rulebook.platform
        wanted = Platform.parse(platform) if platform else None
        try:
            access = self.access(name)
            parsed = ImageName.parse(name)
            limits = evolve(DEFAULT_LIMITS, seconds=min(self.seconds, DEFAULT_LIMITS.seconds))
            with open_image(name, platform=wanted, access=access, limits=limits) as image:
                digest = str(image.index_digest or image.digest)
                layers = frozenset(str(layer.descriptor.digest) for layer in image.layers)
            pinned = name
            if parsed.transport is Transport.DOCKER and parsed.reference is not None:
                reference = parsed.reference
                pinned = f"{reference.registry}/{reference.repository}@{digest}"
            task = Task(
                pinned,
                self.rulebook,
                access,
                self.seconds,
                self.cache,
                self.local_cache,
                self.packages,
                self.jobs,
            )
        except CosinspectError as fault:
            events.put((name, None, Outcome(None, str(fault))))
        except Exception as fault:  # noqa: BLE001 - one image must not end the scan of all
            events.put((name, None, Outcome(None, f"internal error: {type(fault).__name__}: {fault}")))
        else:
            events.put((name, _Subject([name], task, digest, layers), None))

    def _begin(self, book: _Book, events: queue.SimpleQueue[_Event]) -> None:
        """Start the inspections that need not wait for a layer of another image."""
        count = self.workers.count
        for _ in range(len(book.ready)):
            if book.running >= count:
                return
            subject = book.ready.popleft()
            missing = subject.layers - book.read
            if missing & book.reading:
                book.ready.append(subject)
                continue
            book.reading |= missing
            book.running += 1
            self.workers.submit(subject.task, partial(_tell, events, subject))

    def _take(self, event: _Event, book: _Book, key: str) -> Iterator[Finished]:
        name, subject, outcome = event
        if name:
            book.resolving -= 1
            yield from self._resolved(name, subject, outcome, book, key)
            return
        assert subject is not None  # noqa: S101 - only resolved names are inspected
        assert outcome is not None  # noqa: S101 - and this is what came of it
        book.running -= 1
        missing = subject.layers & book.reading
        book.reading -= missing
        if outcome.verdict is not None:
            book.read |= missing
        place = subject.task.name
        # A later name for it finds the verdict in the cache.
        del book.subjects[place]
        for each in subject.names:
            yield Finished(ScanRecord.of(each, subject.digest, key, outcome), outcome)

    def _resolved(
        self, name: str, subject: _Subject | None, outcome: Outcome | None, book: _Book, key: str
    ) -> Iterator[Finished]:
        if subject is None:
            assert outcome is not None  # noqa: S101 - it says why
            yield Finished(ScanRecord.of(name, None, key, outcome), outcome)
            return
        before = self.known.get(name)
        if (
            before is not None
            and (before.digest, before.rules) == (subject.digest, key)
            and before.verdict != ERROR
        ):
            yield Finished(before, None)
            return
        same = book.subjects.get(subject.task.name)
        if same is not None:
            same.names.append(name)
            return
        book.subjects[subject.task.name] = subject
        book.ready.append(subject)


def _tell(events: queue.SimpleQueue[_Event], subject: _Subject, outcome: Outcome) -> None:
    events.put(("", subject, outcome))


def _unique(names: Iterable[str | Unusable]) -> Iterator[str | Unusable]:
    seen: set[str | Unusable] = set()
    for name in names:
        if name not in seen:
            seen.add(name)
            yield name
