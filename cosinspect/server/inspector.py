"""One warm inspector for all protocols: verdicts that are known at once, images that are inspected once for all who ask.

Requests are answered in one thread and never wait for each other; inspections run in processes of their own, a bounded number
of them, behind a bounded queue. Whoever waits has a time by which it is answered, if only by "not yet".
"""

from __future__ import annotations

import asyncio
import enum
import itertools
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from attrs import define, evolve, field, frozen

from cosinspect.errors import CosinspectError
from cosinspect.image.opening import resolve_digest
from cosinspect.inspection.processes import Processes
from cosinspect.inspection.worker import Outcome, Task
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.oci.reference import Reference
from cosinspect.report.report import Verdict
from cosinspect.server.configuration import Configuration, Rule
from cosinspect.server.metrics import Metrics
from cosinspect.server.rules import Rulebooks
from cosinspect.server.verdicts import Decided, Verdicts
from cosinspect.sources.config.access import Access

__all__ = ["Decision", "Inspector", "Standing"]

_logger = logging.getLogger("cosinspect.server")

ASKED, PREFETCHED = 0, 1
"""Who somebody waits for goes before who somebody may ask for."""
TAGS = 10_000
"""Tags and failures that are remembered."""
RESOLVE_SECONDS = 30.0
"""What a registry may take to say what a tag means."""


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Standing(enum.Enum):
    """What is known of an image."""

    PASS = "pass"  # noqa: S105 - the word of SARIF
    FAIL = "fail"
    UNDECIDED = "undecided"
    """It cannot be decided: unreachable, damaged, or with an open verdict."""
    PENDING = "pending"
    """It is being inspected, and ready at a later try."""
    BUSY = "busy"
    """There is no room in the queue."""


_STANDINGS = {Verdict.PASS: Standing.PASS, Verdict.FAIL: Standing.FAIL, Verdict.OPEN: Standing.UNDECIDED}


@frozen
class Decision:
    """What is known of an image at one moment.

    Attributes:
        name: the image as it was asked for.
        standing: what is known.
        message: why, in one line, with the image's name.
        digest: what the name meant, None where that is not known.
        decided: the verdict with its report, if there is one.
    """

    name: str
    standing: Standing
    message: str
    digest: str | None = None
    decided: Decided | None = None


@frozen
class _Way:
    """How a registry is reached for somebody."""

    environment: Mapping[str, str] = field(repr=False)
    plain_http: bool
    authorization: str | None = field(repr=False)
    private_addresses: bool = False

    def access(self) -> Access:
        """Look at what this machine knows now; files are read."""
        return evolve(
            Access.of_system(self.environment),
            plain_http=self.plain_http,
            authorization=self.authorization,
            private_addresses=self.private_addresses,
        )


@define(eq=False)
class _Job:
    """An inspection that waits or runs."""

    name: str
    way: _Way
    rule: Rule
    key: str
    digest: str
    done: asyncio.Future[Decided | str]
    urgency: int
    begun: bool = False


class Inspector:
    """Decides images; lives in one event loop, between `start` and `close`.

    Args:
        configuration: what the server goes by.
        verdicts: what was decided before; stays open.
        metrics: told of what happens.
        environment: of the process: where credentials and mirrors are.

    Raises:
        InvalidConfiguration: a rule names what cannot be used.
    """

    def __init__(
        self,
        configuration: Configuration,
        verdicts: Verdicts,
        metrics: Metrics,
        environment: Mapping[str, str],
    ) -> None:
        self._settings = configuration.inspections
        self._verdicts = verdicts
        self._metrics = metrics
        self._environment = dict(environment)
        self._books = Rulebooks(configuration.rules, self._settings.platform)
        self._jobs: dict[tuple[str, str], _Job] = {}
        self._queue: asyncio.PriorityQueue[tuple[int, int, _Job]] = asyncio.PriorityQueue()
        self._order = itertools.count()
        self._recent: dict[tuple[str, str], tuple[float, Decided | str]] = {}
        self._tags: dict[str, tuple[float, str]] = {}
        self._resolving: dict[str, asyncio.Task[str]] = {}
        self._workers: list[asyncio.Task[None]] = []
        self._processes: Processes | None = None

    # -- its life --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to work; the processes that inspect are made at once, so that nobody waits for them."""
        self._processes = Processes(self._settings.workers)
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._settings.workers)]

    async def close(self, seconds: float) -> None:
        """End: what runs may take so long, what waits is given up; verdicts that were found are kept."""
        for job in list(self._jobs.values()):
            if not job.begun:
                self._finish(job, Outcome(None, "the server is ending"))
        running = [job.done for job in self._jobs.values()]
        if running:
            await asyncio.wait(running, timeout=seconds)
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        if self._processes is not None:
            await asyncio.to_thread(self._processes.close)

    @property
    def waiting(self) -> int:
        """How many images wait or are being inspected."""
        return len(self._jobs)

    # -- what protocols ask ----------------------------------------------------------------------------------------

    async def decide(
        self,
        name: str,
        rule: Rule,
        *,
        until: float,
        authorization: str | None = None,
        plain_http: bool = False,
    ) -> Decision:
        """Say what is known of an image by `until`; what is not is being found out from then on.

        Args:
            name: of an image in a registry.
            rule: what is required of it.
            until: when an answer is due, by `time.monotonic`.
            authorization: a header for the registry, in place of the credentials of this machine.
            plain_http: speak to the registry without TLS.
        """
        try:
            reference = Reference.parse(name)
            key = self._books.key(rule)
        except CosinspectError as fault:
            return Decision(name, Standing.UNDECIDED, str(fault))
        way = self._way(reference, authorization, plain_http=plain_http)
        try:
            digest = await self._digest(reference, way, until)
        except TimeoutError:
            return Decision(name, Standing.PENDING, f"{name}: its registry has not answered yet")
        except CosinspectError as fault:
            return Decision(name, Standing.UNDECIDED, str(fault))
        known = self._known(name, digest, key)
        if known is not None:
            return known
        job = self._job(reference, digest, rule, key, way, ASKED)
        if job is None:
            return Decision(
                name,
                Standing.BUSY,
                f"{name}: {len(self._jobs)} images wait to be inspected, and there is no room for more; try again",
                digest,
            )
        try:
            found = await asyncio.wait_for(asyncio.shield(job.done), max(0.0, until - time.monotonic()))
        except TimeoutError:
            return Decision(
                name, Standing.PENDING, f"{name} is being inspected, not decided yet: try again", digest
            )
        return _decision(name, digest, found)

    def prefetch(self, reference: Reference, rule: Rule) -> bool:
        """Have an image inspected that somebody may ask for; False where there is no room, or it needs none.

        Args:
            reference: has a digest.
            rule: what is required of it.
        """
        key = self._books.key(rule)
        digest = str(reference.digest)
        if self._known(str(reference), digest, key) is not None or (digest, key) in self._jobs:
            return False
        way = self._way(reference, None, plain_http=False)
        return self._job(reference, digest, rule, key, way, PREFETCHED) is not None

    def key(self, rule: Rule) -> str:
        """Give the key under which a rule's verdicts are kept."""
        return self._books.key(rule)

    def look_up(self, digest: str, rule: Rule) -> Decided | None:
        """Give a verdict that is known, without having it found out."""
        found = self._found(digest, self.key(rule))
        return found if isinstance(found, Decided) else None

    def failure(self, digest: str, rule: Rule) -> str | None:
        """Tell why an image could not be decided a moment ago, None if nothing failed."""
        found = self._found(digest, self.key(rule))
        return found if isinstance(found, str) else None

    def is_in_hand(self, digest: str, rule: Rule) -> bool:
        """Say whether an image waits or is being inspected."""
        return (digest, self.key(rule)) in self._jobs

    # -- how it is found out ---------------------------------------------------------------------------------------

    def _way(self, reference: Reference, authorization: str | None, *, plain_http: bool) -> _Way:
        plain = plain_http or reference.registry in self._settings.plain_http
        return _Way(self._environment, plain, authorization, self._settings.private_addresses)

    def _task(self, job: _Job) -> Task:
        settings = self._settings
        return Task(
            name=job.name,
            rulebook=self._books.book(job.rule),
            access=job.way.access(),
            seconds=settings.seconds,
            cache=settings.cache,
            local_cache=str(Path(settings.database).with_name("cache")),
            attesters=self._books.attesters(job.rule),
        )

    async def _digest(self, reference: Reference, way: _Way, until: float) -> str:
        """Give what a name means now; a tag means for a moment what it meant."""
        if reference.digest is not None:
            return str(reference.digest)
        name = str(reference)
        known = self._tags.get(name)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        asking = self._resolving.get(name)
        if asking is None:
            asking = asyncio.create_task(self._resolve(name, way))
            self._resolving[name] = asking
            asking.add_done_callback(lambda done: self._resolved(name, done))
        return await asyncio.wait_for(asyncio.shield(asking), max(0.0, until - time.monotonic()))

    async def _resolve(self, name: str, way: _Way) -> str:
        limits = evolve(DEFAULT_LIMITS, seconds=min(self._settings.seconds, RESOLVE_SECONDS))
        found = await asyncio.to_thread(lambda: resolve_digest(name, access=way.access(), limits=limits))
        return str(found)

    def _resolved(self, name: str, done: asyncio.Task[str]) -> None:
        self._resolving.pop(name, None)
        if not done.cancelled() and done.exception() is None and self._settings.tag_seconds:
            _bound(self._tags)
            self._tags[name] = time.monotonic() + self._settings.tag_seconds, done.result()

    def _known(self, name: str, digest: str, key: str) -> Decision | None:
        found = self._found(digest, key)
        return _decision(name, digest, found) if found is not None else None

    def _found(self, digest: str, key: str) -> Decided | str | None:
        """Give a verdict, or why there is none; None where the image was not inspected, or not lately."""
        decided = self._verdicts.find(digest, key)
        if decided is not None:
            return decided
        recent = self._recent.get((digest, key))
        return recent[1] if recent is not None and recent[0] > time.monotonic() else None

    def _job(
        self, reference: Reference, digest: str, rule: Rule, key: str, way: _Way, urgency: int
    ) -> _Job | None:
        """Give the job of an image, a new one if there is none and room for one."""
        job = self._jobs.get((digest, key))
        if job is None:
            if len(self._jobs) >= self._settings.queue + self._settings.workers:
                self._metrics.refused.inc()
                return None
            pinned = f"{reference.registry}/{reference.repository}@{digest}"
            future: asyncio.Future[Decided | str] = asyncio.get_running_loop().create_future()
            job = self._jobs[digest, key] = _Job(pinned, way, rule, key, digest, future, urgency)
        elif job.begun or job.urgency <= urgency:
            return job
        job.urgency = urgency
        self._queue.put_nowait((urgency, next(self._order), job))
        return job

    async def _work(self) -> None:
        while True:
            _, _, job = await self._queue.get()
            if job.begun or job.done.done():
                continue  # it stood in the queue twice, since somebody came to wait for it
            job.begun = True
            started = time.monotonic()
            try:
                outcome = await self._inspected(await asyncio.to_thread(self._task, job))
            except CosinspectError as fault:
                outcome = Outcome(None, str(fault))
            except Exception as fault:  # noqa: BLE001 - the worker must outlive whatever this was
                outcome = Outcome(None, f"internal error: {type(fault).__name__}: {fault}")
            self._metrics.seconds.observe(time.monotonic() - started)
            self._finish(job, outcome)

    async def _inspected(self, task: Task) -> Outcome:
        assert self._processes is not None  # noqa: S101 - `start` has made them
        return await asyncio.wrap_future(self._processes.submit(task))

    def _finish(self, job: _Job, outcome: Outcome) -> None:
        key = job.digest, job.key
        self._metrics.inspected.labels(outcome.verdict.value if outcome.verdict else "error").inc()
        found: Decided | str = outcome.message
        if outcome.verdict is not None:
            found = Decided(*key, outcome.verdict, outcome.message, outcome.report, time.time())
        if isinstance(found, Decided) and not outcome.transient and _is_final(found, job.rule):
            self._verdicts.keep(found)
        else:
            _bound(self._recent)
            self._recent[key] = time.monotonic() + self._settings.retry_seconds, found
        self._jobs.pop(key, None)
        if not job.done.done():
            job.done.set_result(found)


def _decision(name: str, digest: str, found: Decided | str) -> Decision:
    """Say what a verdict, or the reason why there is none, means for an image."""
    if isinstance(found, str):
        return Decision(name, Standing.UNDECIDED, f"{name}: {found}", digest)
    return Decision(name, _STANDINGS[found.verdict], f"{name}: {found.message}", digest, found)


def _is_final(decided: Decided, rule: Rule) -> bool:
    """Say whether a verdict holds for good: a signature may be added later, what the image is does not change."""
    return decided.verdict is Verdict.PASS or not rule.verify_keys


def _bound(known: dict[_Key, tuple[float, _Value]]) -> None:
    """Forget what has run out, and where that is not enough, all."""
    if len(known) < TAGS:
        return
    now = time.monotonic()
    for key in [key for key, (until, _) in known.items() if until <= now]:
        del known[key]
    if len(known) >= TAGS:
        known.clear()
