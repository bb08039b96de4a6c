"""The pipeline from the name of an image to its report: the only place that connects all floors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Unpack

from attrs import evolve, field, frozen

from cosinspect.cache.code import code_digest
from cosinspect.cache.parsed import Parsed
from cosinspect.checks.base import Check, CheckContext, run_check
from cosinspect.checks.layers import unreadable
from cosinspect.checks.readers import elemental_refuses, partial_root, worse
from cosinspect.deadline import Deadline
from cosinspect.errors import (
    ContentError,
    CosinspectError,
    InvalidImage,
    InvalidLayer,
    NoMatchingPlatform,
    TableMismatch,
)
from cosinspect.facts.facts import Facts
from cosinspect.facts.installed import InstalledImage
from cosinspect.facts.prefetch import InitrdPrefetch
from cosinspect.image.image import Image
from cosinspect.image.opening import open_image
from cosinspect.inspection.cached_results import Results, load_results, store_results
from cosinspect.inspection.early import decide_early
from cosinspect.inspection.options import Keywords, Options
from cosinspect.layer.changeset import LayerIndex
from cosinspect.layer.layer import Layer, Progress
from cosinspect.oci.documents import Platform
from cosinspect.policy import Plan
from cosinspect.report.capabilities import needs_of_image
from cosinspect.report.evidence import LayerStep
from cosinspect.report.report import CheckResult, Finding, LayerSummary, Report, Stats, UpgradeOrigin, Verdict
from cosinspect.rootfs.differences import Comparison, compare_semantics
from cosinspect.rootfs.overlay import PARTIAL
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.rootfs.semantics import Semantics
from cosinspect.signatures.outcome import Verification

__all__ = ["Inspection", "inspect", "inspect_image"]


def inspect(name: str, options: Options | None = None, **keywords: Unpack[Keywords]) -> Report:
    """Inspect an image and return what it can do.

    Args:
        name: of an image, in one of the forms of `cosinspect.oci.reference.FORMS`, such as `quay.io/org/os:v1` or `oci:DIR`.
        options: the options; by default `Options()`.
        keywords: single options, which replace those in `options`. In addition to the attributes of `Options`: `timeout`, the seconds
            that the inspection may take (`limits.seconds`); `plain_http`, to use the registry without TLS, and
            `docker_config`, the directory or file with its credentials (both make the `access`).

    Raises:
        CosinspectError: it cannot be decided; the subclass distinguishes name, source, content and image.
        TypeError: a keyword is not an option, or `options` is not an `Options`.
    """
    started = time.monotonic()
    if options is not None and not isinstance(options, Options):
        raise TypeError(
            f"expected options, found {options!r:.60}; a single option has a name: profile='boot'"
        )
    chosen = (Options() if options is None else options).but(**keywords)
    # An invalid profile should not cost a connection.
    plan = chosen.make_plan()
    if chosen.fast and chosen.upgrade_from is not None:
        raise ValueError("fast and upgrade_from exclude each other: an upgrade depends on all layers")
    # Imported on demand: without a policy of signatures, no registry may be needed.
    signing = import_module("cosinspect.inspection.verification") if chosen.signatures is not None else None
    keyless = signing.load_keyless(chosen.signatures) if signing is not None else None
    deadline = Deadline(chosen.limits.seconds)

    def opened(wanted: str, platform: str | Platform | None) -> Image:
        return open_image(
            wanted,
            platform=platform,
            access=chosen.access,
            verify_diff_ids=chosen.verify_diff_ids,
            limits=chosen.limits,
            cache=chosen.cache,
            deadline=deadline,
            jobs=chosen.jobs,
            restartable=False,  # checks declare what they read
        )

    with ExitStack() as stack:
        image = stack.enter_context(opened(name, chosen.platform))
        if chosen.on_image is not None:
            chosen.on_image(image)
        origin = None
        if chosen.upgrade_from is not None:
            origin = stack.enter_context(_opened_alike(opened, chosen, image.platform))
            if chosen.on_image is not None:
                chosen.on_image(origin)
        verification = None
        if signing is not None:
            verification = signing.verify_image(image, chosen.signatures, chosen.access, keyless)
        return inspect_image(
            image,
            plan,
            verification=verification,
            progress=chosen.progress,
            started=started,
            trust_tables=chosen.trust_tables,
            fast=chosen.fast,
            origin=origin,
        )


def inspect_image(
    image: Image,
    plan: Plan,
    *,
    verification: Verification | None = None,
    progress: Progress | None = None,
    started: float | None = None,
    trust_tables: bool = False,
    fast: bool = False,
    origin: Image | None = None,
) -> Report:
    """Inspect an open image and return what it can do.

    Args:
        image: the open image; it is not closed.
        plan: the plan.
        verification: the result for the image's signatures; if given, the image must be signed to pass.
        progress: called with each layer and the number of its compressed bytes, from several threads.
        started: the start, by `time.monotonic`, for the report's statistics.
        trust_tables: as in `Options`.
        fast: as in `Options`.
        origin: the open image that the machine runs before the upgrade; None for no comparison. It is not closed.

    Raises:
        CosinspectError: a layer cannot be fetched or read.
    """
    begin = time.monotonic() if started is None else started
    inspection = Inspection(image, plan, verification, progress, begin, origin)
    return inspection.run(trust_tables=trust_tables, fast=fast)


def _opened_alike(
    opened: Callable[[str, str | Platform | None], Image], chosen: Options, platform: Platform | None
) -> Image:
    """Open the image of the machine for the platform of the new one; if there is none, for this machine's: a check compares them."""
    name = chosen.upgrade_from or ""
    with _errors_of(name):
        if chosen.platform is None and platform is not None:
            try:
                return opened(name, platform)
            except NoMatchingPlatform:
                pass
        return opened(name, chosen.platform)


@contextmanager
def _errors_of(name: str) -> Iterator[None]:
    """Add the name of an image to errors of its content within the block."""
    try:
        yield
    except (ContentError, InvalidImage) as fault:
        if name in str(fault):
            raise
        raise fault.but(where=f"{name}, {fault.where}" if fault.where else name) from fault


@frozen
class _Standing:
    """The positions of layers that were not read completely: by table, or not at all."""

    by_table: tuple[int, ...] = ()
    unread: tuple[int, ...] = ()


_VERIFIED = _Standing()


@frozen
class Inspection:
    """One inspection of an open image.

    Attributes:
        image: the open image; it is not closed.
        plan: the plan.
        verification: the result for the image's signatures; if given, the image must be signed to pass.
        progress: called with each layer and the number of its compressed bytes, from several threads.
        started: the start, by `time.monotonic`.
        origin: the open image that the machine runs before the upgrade; None for no comparison.
    """

    image: Image
    plan: Plan
    verification: Verification | None = None
    progress: Progress | None = None
    started: float = field(factory=time.monotonic)
    origin: Image | None = None

    def run(self, *, trust_tables: bool = False, fast: bool = False) -> Report:
        """Take the results from the cache, or read the image and run the checks; return the report.

        Args:
            trust_tables: as in `Options`.
            fast: as in `Options`.

        Raises:
            CosinspectError: a layer cannot be fetched or read.
        """
        with self.image.deadline.running(self.image.name):
            return self._run(trust_tables=trust_tables, fast=fast)

    def _run(self, *, trust_tables: bool, fast: bool) -> Report:
        results = load_results(self.image, self.plan, self.verification, self.origin)
        if results is not None:
            return self.report(results)
        installed = self._read_installed()
        try:
            results, standing = self._read_as_asked(installed, trust_tables=trust_tables, fast=fast)
        except InvalidLayer as fault:
            steps = tuple(layer.created_by for layer in self.image.layers)
            told = self._installed_all_the_same()
            failed = unreadable(fault, self.plan.checks, self.plan.profile.levels, steps, told)
            return self.report(Results("", 0, failed, installed.facts.generation if installed else ""))
        if standing == _VERIFIED:
            store_results(results, self.image, self.plan, self.verification, self.origin)
        return self.report(results, standing)

    def run_checks(
        self,
        *,
        trust_tables: bool = False,
        known: tuple[LayerIndex, ...] = (),
        parsed: Parsed | None = None,
        installed: InstalledImage | None = None,
    ) -> tuple[Results, CheckContext]:
        """Read the unknown layers of the image, and run the checks; return the results and the context.

        Args:
            trust_tables: as in `Options`.
            known: indexes of layers that were read before.
            parsed: values parsed before.
            installed: the image that the machine runs before the upgrade.

        Raises:
            CosinspectError: a layer cannot be fetched or read.
        """
        with self.image.deadline.running(self.image.name):
            return self._run_checks(trust_tables, known, parsed, installed)

    def _read_installed(self) -> InstalledImage | None:
        """Read the image that the machine runs before the upgrade; None without one."""
        origin = self.origin
        if origin is None:
            return None
        with _errors_of(origin.name):
            rootfs = origin.read_rootfs(
                self._reads, semantics=self.plan.profile.semantics[0], progress=self.progress
            )
        parsed = Parsed(origin.cache, limits=origin.limits)
        facts = Facts(rootfs, origin.config, limits=origin.limits, parsed=parsed)
        steps = tuple(layer.created_by for layer in origin.layers)
        return InstalledImage(origin.name, rootfs, origin.config, facts, steps)

    @property
    def _reads(self) -> tuple[str, ...]:
        """The globs of the files that the checks read."""
        return tuple(dict.fromkeys(pattern for item in self.plan.checks for pattern in item.reads))

    def _run_checks(
        self,
        trust_tables: bool,
        known: tuple[LayerIndex, ...],
        parsed: Parsed | None,
        installed: InstalledImage | None,
    ) -> tuple[Results, CheckContext]:
        image, plan = self.image, self.plan
        first = plan.profile.semantics[0]
        if parsed is None:
            parsed = Parsed(image.cache, limits=image.limits)
        prefetch = InitrdPrefetch(parsed, limits=image.limits)
        rootfs = image.read_rootfs(
            self._reads,
            semantics=first,
            known=known,
            progress=self.progress,
            follower=prefetch,
            trust_tables=trust_tables,
        )
        facts = Facts(rootfs, image.config, limits=image.limits, parsed=parsed)
        steps = tuple(layer.created_by for layer in image.layers)
        profile = plan.profile.choose(facts.generation)
        if profile.semantics[0] is not first:
            rootfs = rootfs.under(profile.semantics[0])
            facts = Facts(rootfs, image.config, limits=image.limits, parsed=parsed)
        # Before any check needs the initrd, which may still be parsed.
        comparisons = tuple(_compared(image, rootfs, each) for each in profile.semantics[1:])
        context = CheckContext(
            rootfs,
            image.config,
            facts,
            profile,
            steps,
            self.verification,
            comparisons,
            plan.build,
            image.choice,
            installed,
        )
        results = tuple(_in_time(item, context, image) for item in plan.checks)
        for comparison in comparisons:
            if comparison.differences:
                results = _worse(results, comparison, context, plan.checks, image, parsed)
        image.deadline.heed(image.name)  # a check may have contained the error that no time was left
        origin = installed.facts.generation if installed is not None else ""
        return Results(facts.generation, len(rootfs), results, origin), context

    def report(self, checked: Results, standing: _Standing = _VERIFIED) -> Report:
        """Return the report; an empty tree means that a layer could not be read."""
        image, plan = self.image, self.plan
        read = checked.entries > 0
        profile = plan.profile.choose(checked.generation)
        results, unused = plan.waive(checked.results)
        fetched = image.fetched + image.table_use.fetched
        needs = profile.needs(checked.generation)
        upgrade_from = None
        if self.origin is not None:
            fetched += self.origin.fetched
            needs = needs_of_image(needs)
            upgrade_from = UpgradeOrigin(
                self.origin.name,
                str(self.origin.digest),
                checked.installed,
                profile.title(checked.installed),
            )
        return Report(
            name=image.name,
            digest=str(image.digest),
            index=str(image.index_digest) if image.index_digest else None,
            platform=str(image.platform or ""),
            layers=tuple(_summary(layer) for layer in image.layers),
            profile=profile.name,
            profile_asked=plan.profile.name,
            generation=checked.generation,
            generation_title=profile.title(checked.generation)
            if read
            else "not known, for a layer cannot be read",
            required=profile.required,
            results=results,
            stats=Stats(time.monotonic() - self.started, fetched, checked.entries),
            rules=tuple(item.rule for item in plan.checks),
            policies=plan.policies,
            unused=unused,
            signatures=self.verification,
            signature_required=self.verification is not None or profile.signature_required,
            semantics=tuple(each.value for each in profile.semantics),
            by_table=standing.by_table,
            unread=standing.unread,
            selected=plan.selected,
            strict=plan.strict,
            verified_required=profile.verified_required,
            needs=needs,
            upgrade_from=upgrade_from,
        )

    def _read_as_asked(
        self, installed: InstalledImage | None, *, trust_tables: bool, fast: bool
    ) -> tuple[Results, _Standing]:
        """Read the needed parts of the image, and run the checks; if a table is wrong, read the layers completely."""
        try:
            if fast:
                results, standing = self._read_from_top(trust_tables=trust_tables)
            else:
                results, context = self.run_checks(trust_tables=trust_tables, installed=installed)
                standing = _Standing(context.rootfs.by_table)
        except TableMismatch:
            pass
        else:
            # A check contains the error of a mismatch.
            if self.image.table_use.mismatch is None:
                return results, standing
        return self.run_checks(installed=installed)[0], _VERIFIED

    def _read_from_top(self, *, trust_tables: bool) -> tuple[Results, _Standing]:
        """Read layers from the top down until the verdict is a failure, or everything is decided."""
        image = self.image
        parsed = Parsed(image.cache, limits=image.limits)
        prefetch = InitrdPrefetch(parsed, limits=image.limits)

        def fails(checked: Results) -> bool:
            return self.report(checked).verdict is Verdict.FAIL

        results, known = decide_early(
            image, self.plan, self.verification, parsed, fails,
            progress=self.progress, follower=prefetch, trust_tables=trust_tables,
        )  # fmt: skip
        if results is None:
            results, context = self.run_checks(known=known, parsed=parsed)
            return results, _Standing(context.rootfs.by_table)
        image.deadline.heed(image.name)
        unread = len(image.layers) - len(known)
        by_table = tuple(unread + number for number, index in enumerate(known) if index.table is not None)
        return results, _Standing(by_table, tuple(range(unread)))

    def _installed_all_the_same(self) -> dict[str, Finding]:
        """Return what elemental installs of an image with an unreadable layer, which it does not notice."""
        image, plan = self.image, self.plan
        installer = next((each for each in plan.profile.semantics if each.installs), None)
        if installer is None or elemental_refuses not in plan.checks:
            return {}
        try:
            written = image.salvage(installer)
        except CosinspectError:  # then there is nothing to report
            return {}
        problem = next((each for each in written.problems if each.kind == PARTIAL), None)
        if problem is None or any(each.fatal for each in written.problems):
            return {}
        step = LayerStep(problem.layer, image.layers[problem.layer].created_by)
        return {elemental_refuses.id: partial_root(problem, written, step)}


def _compared(image: Image, rootfs: Rootfs, semantics: Semantics) -> Comparison:
    """Compare with another reader's tree; cache the result that both are equal."""
    tables = (index.origin for index in rootfs.indexes if index.table is not None)
    parts = (code_digest(), *image.chain, *tables, rootfs.semantics.value, semantics.value)
    if image.cache is not None and image.cache.value("comparison", *parts) == b"same":
        return Comparison(rootfs, rootfs.alike(semantics), (), {})
    found = compare_semantics(rootfs, semantics, limits=image.limits)
    if found.differences or found.other.problems:
        return found
    if image.cache is not None:
        image.cache.keep_value(b"same", "comparison", *parts)
    # An equal second tree would only take memory until the checks are done.
    return Comparison(rootfs, rootfs.alike(semantics), (), {})


def _worse(
    results: tuple[CheckResult, ...],
    comparison: Comparison,
    context: CheckContext,
    checks: tuple[Check, ...],
    image: Image,
    parsed: Parsed,
) -> tuple[CheckResult, ...]:
    """Run the checks again on another reader's tree, and return the worse result of each."""
    tree = comparison.other
    facts = Facts(tree, context.config, limits=image.limits, parsed=parsed)
    again = evolve(context, rootfs=tree, facts=facts)
    return tuple(
        worse(result, _in_time(item, again, image), tree.semantics)
        for item, result in zip(checks, results, strict=True)
    )


def _in_time(item: Check, context: CheckContext, image: Image) -> CheckResult:
    image.deadline.heed(f"{image.name}, check {item.id}")
    return run_check(item, context)


def _summary(layer: Layer) -> LayerSummary:
    return LayerSummary(
        str(layer.descriptor.digest), str(layer.diff_id), layer.descriptor.size, layer.created_by
    )
