"""One inspection in a separate process, which isolates its memory and its faults."""

from __future__ import annotations

import json
import traceback
from datetime import UTC, datetime
from pathlib import Path

from attrs import evolve, field, frozen

from cosinspect.attestation.place import AttestationRepository
from cosinspect.attestation.verdict import find_attested
from cosinspect.cache import Cache, open_directory
from cosinspect.deadline import Deadline
from cosinspect.errors import CosinspectError, SourceError
from cosinspect.extras import load_extra
from cosinspect.facts.packages import find_packages, package_reads
from cosinspect.image.opening import open_image
from cosinspect.inspection.inspection import inspect
from cosinspect.inspection.rulebook import Rulebook
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.reference import Reference
from cosinspect.report.display import printable
from cosinspect.report.json_text import json_text
from cosinspect.report.lines import reasons, standing
from cosinspect.report.report import Verdict
from cosinspect.shortage import shortage_of
from cosinspect.signatures.keys import PublicKey
from cosinspect.sources.config.access import Access
from cosinspect.sources.registry.source import RegistrySource
from cosinspect.version import __version__

__all__ = ["Outcome", "Task", "perform"]

REASONS = 3
"""The number of reasons in a message; the report has all."""


@frozen
class Task:
    """An inspection to make; a value that can be sent to another process.

    Attributes:
        name: the image, by digest if it is in a registry.
        rulebook: the requirements.
        access: access to its registry.
        seconds: the time limit.
        cache: directory or URL; None if there is none.
        local_cache: local directory of a cache by URL.
        packages: whether to list the packages too.
        jobs: the number of layers read in parallel.
        attesters: keys whose attestations with the same rules replace an inspection.
    """

    name: str
    rulebook: Rulebook
    access: Access
    seconds: float
    cache: str | None
    local_cache: str
    packages: bool = False
    jobs: int = 4
    attesters: tuple[PublicKey, ...] = ()


@frozen
class Outcome:
    """The outcome of an inspection.

    Attributes:
        verdict: None if nothing could be decided.
        message: the reason in one line, without the image's name.
        report: as JSON (`cosinspect.report/1`), empty without a verdict.
        packages: databases as JSON, empty if not requested or none exist.
        transient: whether a check is open for a transient reason, so that the verdict must not be stored.
        source_error: class of the error of the image's source, else empty.
        traceback: of an internal error, else empty.
        version: of the cosinspect that made the outcome.
    """

    verdict: Verdict | None
    message: str
    report: bytes = field(default=b"", repr=False)
    packages: bytes = field(default=b"", repr=False)
    transient: bool = False
    source_error: str = ""
    traceback: str = field(default="", repr=False)
    version: str = __version__


def perform(task: Task) -> Outcome:
    """Inspect; return an outcome for every result and error."""
    limits = evolve(DEFAULT_LIMITS, seconds=task.seconds)
    try:
        with Deadline(task.seconds).running(task.name):
            return _performed(task, limits)
    except CosinspectError as fault:
        failed = type(fault).__name__ if isinstance(fault, SourceError) else ""
        return Outcome(None, str(fault), source_error=failed)
    except Exception as fault:  # noqa: BLE001 - the next inspection must not meet what this one did
        if lacking := shortage_of(fault):
            return Outcome(None, f"{task.name}: {lacking}")
        message = f"internal error: {type(fault).__name__}: {fault}"
        return Outcome(None, message, traceback=traceback.format_exc())


def _performed(task: Task, limits: Limits) -> Outcome:
    rulebook = task.rulebook
    attested = _attested(task, limits) if task.attesters else None
    if attested is not None:
        return attested
    cache = _cache(task.cache, task.local_cache)
    plan = rulebook.plan(datetime.now(UTC).date())
    report = inspect(
        task.name,
        plan=plan,
        platform=rulebook.platform,
        access=task.access,
        signatures=rulebook.signatures,
        limits=limits,
        cache=cache,
        jobs=task.jobs,
    )
    packages = b""
    if task.packages and report.stats.entries:
        with open_image(
            task.name, platform=rulebook.platform, access=task.access, limits=limits, cache=cache
        ) as image:
            found = find_packages(image.read_rootfs(package_reads()), image.config, limits=limits)
            packages = json.dumps([_database(each.to_dict()) for each in found]).encode()
    told = list(reasons(report))
    more = f"; and {len(told) - REASONS} more" if len(told) > REASONS else ""
    summary = "; ".join([standing(report), *told[:REASONS]]) + more
    transient = any(result.transient for result in report.results)
    return Outcome(report.verdict, summary, json_text(report.to_dict()).encode(), packages, transient)


def _attested(task: Task, limits: Limits) -> Outcome | None:
    """Return the attestation of the image by a trusted key with the same rules, or None."""
    reference = Reference.parse(task.name)
    with open_image(task.name, platform=task.rulebook.platform, access=task.access, limits=limits) as image:
        subject, judged = image.index_digest or image.digest, image.digest
    source = RegistrySource(evolve(reference, digest=subject), access=task.access, limits=limits)
    try:
        attestations = AttestationRepository(source, limits)
        found = find_attested(subject, judged, task.rulebook.digest(), task.attesters, attestations)
    finally:
        source.close()
    if found is None or found.result.report is None:
        return None
    told = [f"{found.result.result} as attested by {found.key}", *found.result.failed[:REASONS]]
    report = json_text(found.result.report).encode()
    return Outcome(Verdict(found.result.report["verdict"]), printable("; ".join(told)), report)


def _database(database: dict[str, object]) -> dict[str, object]:
    """Return a database without the files of packages, which are thousands."""
    packages = database["packages"]
    assert isinstance(packages, list)  # noqa: S101 - `PackageDatabase.to_dict` made it
    kept = [{name: each[name] for name in each if name not in ("files", "purl")} for each in packages]
    return {**database, "packages": kept}


def _cache(place: str | None, local_cache: str) -> Cache | None:
    if place is None:
        return None
    if "://" not in place:
        return Cache(open_directory(Path(place), trusted=True))
    # Imported on demand: few need it.
    module = load_extra("cosinspect.cache.shared", "cache")
    return Cache(module.open_shared(place, open_directory(Path(local_cache), trusted=True)))
