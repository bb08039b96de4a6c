"""One inspector for all protocols: it returns known verdicts at once, and inspects each image once for all requests.

Requests are answered in one thread and never wait for each other; inspections run in processes of their own, a bounded number
of them, after a bounded queue. Whoever waits has a time by which it is answered, if only by "not yet".

Two repositories with the same digest share no inspection and no failure, because their bytes are not verified yet. A verdict is
based on verified bytes and holds for the digest in any repository.
"""

from __future__ import annotations

import asyncio
import contextvars
import enum
import hashlib
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attrs import define, evolve, field, frozen

from cosinspect.errors import CosinspectError, SourceError
from cosinspect.image.opening import resolve_digest
from cosinspect.inspection.processes import Processes
from cosinspect.inspection.worker import Outcome, Task
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.oci.reference import Reference
from cosinspect.report.report import Verdict
from cosinspect.server.configuration import AdmissionRule
from cosinspect.server.metrics import Metrics
from cosinspect.server.postgresql_store import is_postgresql
from cosinspect.server.recent import Recent
from cosinspect.server.settings import Settings
from cosinspect.server.tags import NoRoom, Tags
from cosinspect.server.turns import Ticket, Turns
from cosinspect.server.verdicts import Decided, Verdicts
from cosinspect.sources.config.access import Access

__all__ = ["Decision", "Inspector", "Place", "Standing"]

_logger = logging.getLogger("cosinspect.server")

ASKED, PREFETCHED = 0, 1
"""Images that a request waits for go before images that may be requested."""
STORING = 4
"""Verdicts that are read or written in parallel."""
RESOLVE_SECONDS = 30.0
"""The time limit of a registry's answer about a tag."""


class Standing(enum.Enum):
    """What is known about an image."""

    PASS = "pass"  # noqa: S105 - the word of SARIF
    FAIL = "fail"
    UNDECIDED = "undecided"
    """The image cannot be decided: unreachable, damaged, or with an open verdict."""
    PENDING = "pending"
    """The image is being inspected; a later request gets the verdict."""
    BUSY = "busy"
    """The queue is full."""


_STANDINGS = {Verdict.PASS: Standing.PASS, Verdict.FAIL: Standing.FAIL, Verdict.OPEN: Standing.UNDECIDED}


@frozen
class Decision:
    """What is known about an image at one moment.

    Attributes:
        name: the image as it was requested.
        standing: what is known.
        message: why, in one line, with the image's name.
        digest: of the name, None if it is unknown.
        decided: the verdict with its report, if any.
        place: key of the image's repository, "" if it is unknown.
    """

    name: str
    standing: Standing
    message: str
    digest: str | None = None
    decided: Decided | None = None
    place: str = ""


@frozen
class Place:
    """The source of an image: a repository, and the access to its registry.

    Attributes:
        registry: host and port, in their normal spelling.
        repository: below it.
        plain_http: whether the registry is accessed without TLS.
        authorization: a header for the registry, which replaces the credentials of this machine.
    """

    registry: str
    repository: str
    plain_http: bool = False
    authorization: str | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """A short key, which does not reveal credentials."""
        told = "\0".join(
            (self.registry, self.repository, str(self.plain_http), repr(self.authorization))
        ).encode()
        return hashlib.blake2b(told, digest_size=16).hexdigest()


@frozen
class _Asked:
    """The key of an inspection in progress: the place, the digest, and the key of the rule."""

    place: str
    digest: str
    key: str


@define(eq=False)
class _Job:
    """An inspection that waits or runs."""

    name: str
    asked: _Asked
    place: Place
    rule: AdmissionRule
    turn: Ticket
    done: asyncio.Future[Decided | str]
    since: float = field(factory=time.monotonic)
    begun: bool = False


class Inspector:
    """Decides images; lives in one event loop, between `start` and `close`.

    Args:
        settings: the server's settings.
        verdicts: earlier verdicts; they stay open.
        metrics: counts events.
        environment: of the process; it names credentials and mirrors.
    """

    def __init__(
        self,
        settings: Settings,
        verdicts: Verdicts,
        metrics: Metrics,
        environment: Mapping[str, str],
    ) -> None:
        self._settings = settings.configuration.inspections
        self._verdicts = verdicts
        self._metrics = metrics
        self._environment = dict(environment)
        self._books = settings.books
        self._jobs: dict[_Asked, _Job] = {}
        self._in_hand: Counter[str] = Counter()
        self._recent: Recent[_Asked, Decided | str] = Recent()
        self._tags = Tags(self._settings.tag_seconds)
        self._turns = Turns(self._settings.workers, _reserve(self._settings.workers))
        self._running: set[asyncio.Task[None]] = set()
        self._processes: Processes | None = None
        self._further: Processes | None = None
        self._inspecting = 0
        # A separate pool: tasks that wait for a slow store must not delay tasks that read files.
        self._storing = ThreadPoolExecutor(STORING, thread_name_prefix="verdicts")

    # -- start and end --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start; the processes are created at once, so that no request waits for them."""
        self._processes = Processes(self._settings.workers)

    def adopt(self, settings: Settings) -> None:
        """Use other settings from now on; inspections under earlier rules end under those rules."""
        self._settings = settings.configuration.inspections
        self._books.adopt(settings.books)
        self._tags.seconds = self._settings.tag_seconds

    async def close(self) -> None:
        """Give up every inspection, also one that nobody waits for; verdicts that were found are kept."""
        for job in list(self._jobs.values()):
            self._finish(job, "the server is ending")
        for each in self._running:
            each.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._tags.close()
        self._storing.shutdown(wait=False)
        for processes in (self._processes, self._further):
            if processes is not None:
                await asyncio.to_thread(processes.close)

    @property
    def waiting(self) -> int:
        """The number of images that wait or are being inspected."""
        return len(self._jobs)

    @property
    def queue_age(self) -> float:
        """The longest time that an image waits for a process, in seconds."""
        since = [job.since for job in list(self._jobs.values()) if not job.begun]
        return max(0.0, time.monotonic() - min(since)) if since else 0.0

    @property
    def failing(self) -> str | None:
        """Why no image can be inspected, None if images can."""
        if self._processes is None or not self._processes.alive:
            return "none of the processes that inspect is alive"
        return None

    # -- requests of protocols ----------------------------------------------------------------------------------------

    async def decide(
        self,
        name: str,
        rule: AdmissionRule,
        *,
        until: float,
        authorization: str | None = None,
        plain_http: bool = False,
    ) -> Decision:
        """Return what is known about an image by `until`; if it is not decided, its inspection continues.

        Args:
            name: of an image in a registry.
            rule: has the requirements.
            until: when an answer is due, by `time.monotonic`.
            authorization: a header for the registry, which replaces the credentials of this machine.
            plain_http: access the registry without TLS.
        """
        try:
            reference = Reference.parse(name)
            key = self._books.key(rule)
        except CosinspectError as fault:
            return Decision(name, Standing.UNDECIDED, str(fault))
        place = self._place(reference, authorization, plain_http=plain_http)
        try:
            digest = await self._digest(reference, place, until)
        except TimeoutError:
            return Decision(name, Standing.PENDING, f"{name}: its registry has not answered yet")
        except NoRoom:
            return Decision(
                name, Standing.BUSY, f"{name}: too many tags wait for the answer of its registry; try again"
            )
        except CosinspectError as fault:
            return Decision(name, Standing.UNDECIDED, str(fault))
        asked = _Asked(place.key, digest, key)
        known = self._remembered(asked) or await self._stored(asked, until) or self._remembered(asked)
        if known is not None:
            return _decision(name, asked, known)
        job = self._job(reference, asked, rule, place, ASKED)
        if job is None:
            return Decision(
                name,
                Standing.BUSY,
                f"{name}: {len(self._jobs)} images wait to be inspected, and the queue is full; try again",
                digest,
                place=asked.place,
            )
        try:
            found = await asyncio.wait_for(asyncio.shield(job.done), max(0.0, until - time.monotonic()))
        except TimeoutError:
            told = f"{name} is being inspected, not decided yet: try again"
            return Decision(name, Standing.PENDING, told, digest, place=asked.place)
        return _decision(name, asked, found)

    def prefetch(self, reference: Reference, rule: AdmissionRule) -> bool:
        """Start the inspection of an image that may be requested; return False if the queue is full or it is already known.

        Args:
            reference: has a digest.
            rule: has the requirements.
        """
        place = self._place(reference, None, plain_http=False)
        asked = _Asked(place.key, str(reference.digest), self._books.key(rule))
        if self._remembered(asked) is not None or asked in self._jobs:
            return False
        return self._job(reference, asked, rule, place, PREFETCHED) is not None

    @property
    def rules(self) -> Iterable[AdmissionRule]:
        """The rules of past and current inspections, including those of earlier settings while they are referenced."""
        return self._books.rules()

    def key(self, rule: AdmissionRule) -> str:
        """Return the key under which a rule's verdicts are stored."""
        return self._books.key(rule)

    def look_up(self, place: str, digest: str, rule: AdmissionRule) -> Decided | None:
        """Return a known verdict, without starting an inspection. It may wait for the store.

        Args:
            place: the key of the image's repository.
            digest: of the image.
            rule: has the requirements.
        """
        asked = _Asked(place, digest, self.key(rule))
        found = self._verdicts.find(digest, asked.key) or self._recent.get(asked)
        return found if isinstance(found, Decided) else None

    def failure(self, place: str, digest: str, rule: AdmissionRule) -> str | None:
        """Return why an image of this repository could not be decided recently, None if it did not fail."""
        found = self._remembered(_Asked(place, digest, self.key(rule)))
        return found if isinstance(found, str) else None

    def is_in_hand(self, place: str, digest: str, rule: AdmissionRule) -> bool:
        """Return whether an image of this repository waits or is being inspected."""
        return _Asked(place, digest, self.key(rule)) in self._jobs

    # -- inspections ---------------------------------------------------------------------------------------

    def _place(self, reference: Reference, authorization: str | None, *, plain_http: bool) -> Place:
        plain = plain_http or reference.registry in self._settings.plain_http
        normal = reference.normal
        return Place(normal.registry, normal.repository, plain, authorization)

    def _access(self, place: Place) -> Access:
        """Return the access to a registry by this machine's current files, which are read."""
        return evolve(
            Access.of_system(self._environment),
            plain_http=place.plain_http,
            authorization=place.authorization,
            private_addresses=self._settings.private_addresses,
        )

    def _task(self, job: _Job) -> Task:
        settings = self._settings
        return Task(
            name=job.name,
            rulebook=self._books.book(job.rule),
            access=self._access(job.place),
            seconds=settings.seconds,
            cache=settings.cache,
            local_cache=self._local_cache(),
            attesters=self._books.attesters(job.rule),
        )

    def _local_cache(self) -> str:
        """Return the local directory of a cache by URL: next to the file of verdicts, if there is one."""
        if not is_postgresql(self._settings.database):
            return str(Path(self._settings.database).with_name("cache"))
        home = self._environment.get("XDG_CACHE_HOME") or Path(self._environment.get("HOME", "/"), ".cache")
        return str(Path(home, "cosinspect"))

    async def _digest(self, reference: Reference, place: Place, until: float) -> str:
        """Return the digest of a name; the digest of a tag is remembered for a moment."""
        if reference.digest is not None:
            return str(reference.digest)
        name = str(reference)
        limits = evolve(DEFAULT_LIMITS, seconds=min(self._settings.seconds, RESOLVE_SECONDS))

        def ask() -> str:
            try:
                return str(resolve_digest(name, access=self._access(place), limits=limits))
            except SourceError as fault:
                self._registry_failed(name, place, type(fault).__name__, str(fault))
                raise

        context = contextvars.copy_context()  # the id of the request, for the log
        return await self._tags.digest(name, place.registry, lambda: context.run(ask), until=until)

    def _remembered(self, asked: _Asked) -> Decided | str | None:
        """Return a verdict in memory, or the failure; None if the image was not inspected recently."""
        decided = self._verdicts.remembered(asked.digest, asked.key)
        return decided if decided is not None else self._recent.get(asked)

    async def _stored(self, asked: _Asked, until: float | None = None) -> Decided | None:
        """Return a verdict of the store, possibly of another server; None if there is none by `until`."""
        finding = asyncio.get_running_loop().run_in_executor(
            self._storing, self._verdicts.find, asked.digest, asked.key
        )
        try:
            patience = None if until is None else max(0.0, until - time.monotonic())
            return await asyncio.wait_for(finding, patience)
        except TimeoutError:
            return None

    def _job(
        self, reference: Reference, asked: _Asked, rule: AdmissionRule, place: Place, urgency: int
    ) -> _Job | None:
        """Return the job of an image; make one if there is none and the queue has room."""
        job = self._jobs.get(asked)
        if job is not None:
            self._turns.hurry(job.turn, urgency)
            return job
        if not self._has_room(place.registry):
            self._metrics.refused.inc()
            return None
        pinned = f"{reference.registry}/{reference.repository}@{asked.digest}"
        turn = self._turns.ask(place.registry, urgency)
        job = _Job(pinned, asked, place, rule, turn, asyncio.get_running_loop().create_future())
        self._jobs[asked] = job
        self._in_hand[place.registry] += 1
        running = asyncio.create_task(self._work(job))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return job

    def _has_room(self, host: str) -> bool:
        """Return whether one more image of a host may wait: if the queue is full, each host has its share of a second queue of equal size."""
        room = self._settings.queue + self._settings.workers
        if len(self._jobs) < room:
            return True
        hosts = len(self._in_hand.keys() | {host})
        return len(self._jobs) < room + self._settings.queue and self._in_hand[host] * hosts < room

    async def _work(self, job: _Job) -> None:
        try:
            await job.turn.granted
            if job.done.done():
                return
            job.begun = True
            stored = await self._stored(job.asked)  # another server may have decided it meanwhile
            self._finish(job, stored or await self._decided(job, await self._outcome(job)))
        finally:
            self._turns.give_back(job.turn)

    async def _outcome(self, job: _Job) -> Outcome:
        started = time.monotonic()
        try:
            return await self._inspected(await asyncio.to_thread(self._task, job))
        except CosinspectError as fault:
            return Outcome(None, str(fault))
        except Exception as fault:  # waiting requests must be answered after any failure
            _logger.exception("internal error while %s was inspected", job.name)
            return Outcome(None, f"internal error: {type(fault).__name__}: {fault}")
        finally:
            self._metrics.seconds.observe(time.monotonic() - started)

    async def _inspected(self, task: Task) -> Outcome:
        """Inspect in one of the `workers` processes, or in a reserve process if all of them are busy."""
        assert self._processes is not None  # noqa: S101 - `start` has made them
        if self._inspecting >= self._settings.workers:
            if self._further is None:
                self._further = Processes(_reserve(self._settings.workers))
            return await asyncio.wrap_future(self._further.submit(task))
        self._inspecting += 1
        try:
            return await asyncio.wrap_future(self._processes.submit(task))
        finally:
            self._inspecting -= 1

    async def _decided(self, job: _Job, outcome: Outcome) -> Decided | str:
        """Return the result of an inspection; a lasting verdict is stored before it is returned."""
        verdict = outcome.verdict.value if outcome.verdict else "error"
        self._metrics.inspected.labels(verdict).inc()
        told = {"image": job.name, "verdict": verdict, "reason": outcome.message}
        _logger.info("inspection", extra=told)
        if outcome.source_error:
            self._registry_failed(job.name, job.place, outcome.source_error, outcome.message)
        if outcome.traceback:
            _logger.error(
                "internal error while %s was inspected", job.name, extra={"exception": outcome.traceback}
            )
        if outcome.verdict is None:
            return outcome.message
        asked = job.asked
        found = Decided(
            asked.digest, asked.key, outcome.verdict, outcome.message, outcome.report, time.time()
        )
        if not outcome.transient and _is_final(found, job.rule):
            await asyncio.get_running_loop().run_in_executor(self._storing, self._verdicts.keep, found)
        return found

    def _finish(self, job: _Job, found: Decided | str) -> None:
        asked = job.asked
        if self._verdicts.remembered(asked.digest, asked.key) is not found:
            self._recent.keep(asked, found, self._settings.retry_seconds)
        if self._jobs.pop(asked, None) is not None:
            host = job.place.registry
            self._in_hand[host] -= 1
            if not self._in_hand[host]:
                del self._in_hand[host]
        if not job.done.done():
            job.done.set_result(found)

    def _registry_failed(self, name: str, place: Place, error: str, message: str) -> None:
        self._metrics.registry_error(place.registry, error)
        told = {"host": place.registry, "image": name, "error": error, "reason": message}
        _logger.warning("registry failure", extra=told)


def _decision(name: str, asked: _Asked, found: Decided | str) -> Decision:
    """Return the state of an image, from its verdict or the failure."""
    if isinstance(found, str):
        return Decision(name, Standing.UNDECIDED, f"{name}: {found}", asked.digest, place=asked.place)
    standing = _STANDINGS[found.verdict]
    return Decision(name, standing, f"{name}: {found.message}", asked.digest, found, asked.place)


def _is_final(decided: Decided, rule: AdmissionRule) -> bool:
    """Return whether a verdict is lasting: a signature may be added later, the image's content does not change."""
    return decided.verdict is Verdict.PASS or not rule.verify_keys


def _reserve(workers: int) -> int:
    """Return the number of reserve processes, for images of hosts without a running inspection; each is started when needed."""
    return max(2, workers)
