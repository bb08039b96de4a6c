"""The declaration and execution of checks.

A check is a function of a `CheckContext`. It yields a `Finding` for each defect, and text for each fact that
supports a pass. It raises `NotApplicable` if it does not concern the image, and `Undecided` if it cannot
decide. Any other exception makes its capabilities unknown and never ends the inspection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from attrs import evolve, field, frozen
from attrs.validators import matches_re

from cosinspect.errors import CosinspectError, DigestMismatch, LimitExceeded, SizeMismatch, SourceError
from cosinspect.facts.cloud_configs import CloudConfigs, boot_world
from cosinspect.facts.facts import Facts
from cosinspect.facts.installed import InstalledImage
from cosinspect.facts.loader import ExecutionFault
from cosinspect.formats.text.build_manifest import BuildManifest
from cosinspect.formats.yip.conditions import World
from cosinspect.oci.documents import Choice, ImageConfig
from cosinspect.profiles import Deployment, Generation, Profile
from cosinspect.report.capabilities import Need, needs_of_image
from cosinspect.report.evidence import Evidence, Hop, LastLink, LayerStep, Removal
from cosinspect.report.remedy import Remedy, share_packages
from cosinspect.report.report import Capability, CheckResult, Finding, Kind, Level, Rule
from cosinspect.report.undecided import CRASHED
from cosinspect.rootfs.differences import Comparison
from cosinspect.rootfs.history import Action
from cosinspect.rootfs.partial import Unread
from cosinspect.rootfs.rootfs import Rootfs, Trace
from cosinspect.shortage import shortage_of
from cosinspect.signatures.outcome import Verification

__all__ = [
    "Check",
    "CheckContext",
    "Cure",
    "NotApplicable",
    "Undecided",
    "check",
    "cured",
    "decided_by",
    "run_check",
    "words_of",
]

Run: TypeAlias = "Callable[[CheckContext], Iterator[Finding | str]]"
Applies: TypeAlias = "Callable[[Generation], bool]"
Cure: TypeAlias = "Callable[[CheckContext, Finding], Remedy | None]"
Spares: TypeAlias = "Callable[[CheckContext], Iterable[Capability]]"


class NotApplicable(Exception):
    """A check does not concern the image; the text says what is missing."""


class Undecided(Exception):
    """A check cannot decide; the text gives the reason."""


@frozen
class CheckContext:
    """The input of a check; it cannot fetch data, and has no verdict.

    Attributes:
        rootfs: the merged tree.
        config: the image configuration.
        facts: the facts in the image's files, each parsed at most once.
        profile: paths and names by generation.
        steps: the build step of each layer, bottom first, None if unknown.
        signatures: the result for the image's signatures, None if no signer was given.
        comparisons: the trees of the other readers that the profile names.
        build: the manifest of an ISO, or None.
        choice: the choice from an image index, None without an index.
        installed: the image that the machine runs before an upgrade, None if none was given.
        deployed_by: the generation of the toolkit that deploys the image, "" for the image's own.
    """

    rootfs: Rootfs
    config: ImageConfig
    facts: Facts
    profile: Profile
    steps: tuple[str | None, ...]
    signatures: Verification | None = None
    comparisons: Sequence[Comparison] = ()
    build: BuildManifest | None = None
    choice: Choice | None = None
    installed: InstalledImage | None = None
    deployed_by: str = ""

    @property
    def generation(self) -> Generation:
        """The table of the image's generation, which has the layout of derivatives of cOS.

        Raises:
            NotApplicable: there is no such generation.
        """
        found = self.table
        if found is None or not found.derivative:
            raise NotApplicable(f"no rules for generation {self.facts.generation or 'unknown'}")
        return found

    @property
    def table(self) -> Generation | None:
        """The table of the image's generation, for every kind of image; None if no generation is recognised."""
        return self.profile.generations.get(self.facts.generation)

    @property
    def derivative(self) -> Generation | None:
        """The table of the image's generation if it has the layout of derivatives of cOS, else None."""
        found = self.table
        return found if found is not None and found.derivative else None

    @property
    def deployment(self) -> Deployment:
        """The table of how the deploying toolkit writes the image to disks and media; empty if none is recognised."""
        found = self.profile.generations.get(self.deployed_by) if self.deployed_by else self.table
        return found.deployment if found is not None else Deployment()

    @property
    def needs(self) -> tuple[Need, ...]:
        """The rows of the table of operations for the generation that deploys the image."""
        needs = self.profile.needs(self.deployed_by or self.facts.generation)
        return needs if self.installed is None else needs_of_image(needs)

    @property
    def of_machine(self) -> CheckContext:
        """The input of a check about the image that the machine runs before the upgrade.

        Raises:
            NotApplicable: none was given.
        """
        installed = self.installed
        if installed is None:
            raise NotApplicable("it is about an upgrade from another image, and none was given (--from)")
        return evolve(
            self,
            rootfs=installed.rootfs,
            config=installed.config,
            facts=installed.facts,
            steps=installed.steps,
            signatures=None,
            comparisons=(),
            choice=None,
            installed=None,
        )

    @property
    def cloud_configs(self) -> CloudConfigs:
        """The cloud-configs as the image's version of yip reads them.

        Raises:
            NotApplicable: no generation with a table is recognised.
        """
        generation = self.generation
        return self.facts.cloud_configs(generation.yip, generation.yip_programs)

    def boot_world(self, stage: str) -> World:
        """Return the environment of a stage's conditions in an ordinary boot of the active system."""
        initrd = self.facts.initrd if stage.startswith("rootfs") else None
        table = self.generation
        return boot_world(self.rootfs, initrd, table.active_mode_file, stage, table.recovery_labels)

    @property
    def is_foreign(self) -> bool:
        """Whether the image has a known generation without the layout of derivatives of cOS."""
        return self.facts.generation != "" and self.derivative is None

    def command(self, name: str) -> str | None:
        """Return the path of a command as a shell finds it, or None."""
        return self.facts.execution.find(name)

    def runs(self, path: str) -> bool:
        """Return whether nothing known prevents the execution of a file; another check reports undecided cases."""
        fault = self.facts.execution.fault(path)
        return fault is None or fault.is_undecided

    def require_toolkit(self) -> None:
        """Skip a check of a derivative's parts if the image is not a known derivative.

        Raises:
            NotApplicable: no generation with a table is recognised.
        """
        _ = self.generation

    def step(self, layer: int) -> LayerStep:
        """Return a layer's position and build step as text."""
        return LayerStep(layer, self.steps[layer] if layer < len(self.steps) else None)

    def removal(self, path: str) -> tuple[int | None, tuple[Evidence, ...]]:
        """Return the position of the layer that removed `path`, and the evidence; None and nothing if none did."""
        for change in reversed(self.rootfs.history(path)):
            if change.action is Action.REMOVED:
                return change.layer, (Removal(self.step(change.layer), change.cause),)
        return None, ()

    def broken(self, trace: Trace, message: str) -> Finding:
        """Return the finding for a path that does not resolve, with its links and the layer that broke it."""
        layer, removed = self.removal(trace.at)
        if layer is None and trace.hops:
            layer = trace.hops[-1].layer
            removed = (LastLink(self.step(layer)),)
        return Finding(message, trace.path, layer, (*links_of(trace), *removed))

    def unexecutable(self, path: str, fault: ExecutionFault, message: str) -> Finding:
        """Return the finding for a program that cannot be executed, with what requires it and the layer that broke it."""
        entry = self.rootfs.trace(path).entry
        blamed = self.rootfs.trace(fault.path).entry if fault.path.startswith("/") else None
        searched = dict.fromkeys((*fault.searched, *((path,) if entry is None else ())))
        layer: int | None = None
        removed: tuple[Evidence, ...] = ()
        for place in list(searched)[:_MOST_PLACES]:
            layer, removed = self.removal(place)
            if layer is not None:
                break
        if layer is None and blamed is not None:
            layer, removed = blamed.layer, (self.step(blamed.layer),)
        elif layer is None and entry is not None:
            layer, removed = entry.layer, (self.step(entry.layer),)
        return Finding(message, path if entry is None else entry.path, layer, (*fault.chain, *removed))

    def missing(self, path: str, message: str) -> Finding:
        """Return the finding for a missing path, with the layer that removed it, if any."""
        trace = self.rootfs.trace(path)
        return self.broken(trace, message)


# The number of findings of a check whose remedies are made from the image; further findings have the check's own.
_MOST_CURES = 50
# The number of places of a missing library whose histories are examined.
_MOST_PLACES = 12


def links_of(trace: Trace) -> tuple[Hop, ...]:
    """Return the links that were followed to a path, each once, also in a loop."""
    return tuple(dict.fromkeys(trace.hops))


def words_of(path: str, fault: ExecutionFault) -> str:
    """Return why a program cannot be executed, as a sentence that continues after its path."""
    return fault.reason if fault.path == path else f"{fault.path} prevents it from running: {fault.reason}"


_STAGE_OF: Mapping[str, tuple[str, ...]] = {
    module: (stage,)
    for stage, modules in {
        "boot-menu": ("grub", "boot_menu", "command_line", "loaders"),
        "kernel": ("kernel", "unified"),
        "initrd": (
            "initrd",
            "initrd_base",
            "initrd_programs",
            "initrd_toolkit",
            "drivers",
            "bootc_initramfs",
        ),
        "system": ("system", "units", "targets", "programs", "scripts"),
        "settings": ("cloud_config", "login", "covered", "mounts"),
    }.items()
    for module in modules
}
"""The stage of the boot (`cosinspect.report.boot_chain.STAGES`) for each module's checks."""

_STAGES = frozenset(stage for stages in _STAGE_OF.values() for stage in stages)


@frozen(kw_only=True)
class Check:
    """A check: its identity, the capabilities that it decides, and its description.

    Attributes:
        id: capital letters and a number, never reused; the prefix `COS` is reserved for the catalogue.
        name: names the defect.
        level: the severity of a failure.
        capabilities: the capabilities that are lost if the check fails.
        summary: the defect in one sentence.
        why: what happens on a machine.
        remedy: how to repair it, for images of every generation.
        reads: globs of files to keep while layers are read.
        universal: whether it applies to images of every generation, also without a table.
        applies: returns whether the check applies to a generation's table; None for all.
        generations: the names of the generations of a plugin's check; empty for all.
        tags: the subjects by which reports group: a stage of the boot, `signature`.
        run: the function.
        spares: returns the capabilities that this image keeps in spite of a failure; None if there is none.
        cure: returns the remedy for a finding of this image, None if `remedy` applies; None for checks without one.
    """

    id: str = field(validator=matches_re(r"[A-Z][A-Z0-9]{0,15}-?\d{1,6}"))
    name: str = field(validator=matches_re(r"[a-z0-9]+(-[a-z0-9]+)*"))
    level: Level
    capabilities: tuple[Capability, ...] = ()
    summary: str
    why: str
    remedy: str
    reads: tuple[str, ...] = ()
    universal: bool = False
    applies: Applies | None = field(default=None, repr=False, eq=False)
    generations: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    run: Run = field(repr=False, eq=False)
    spares: Spares | None = field(default=None, repr=False, eq=False)
    cure: Cure | None = field(default=None, repr=False, eq=False)

    @property
    def rule(self) -> Rule:
        """The description of the check for reports."""
        return Rule(self.id, self.name, self.level, self.summary, self.why, self.remedy)

    @property
    def is_for_some(self) -> bool:
        """Whether it applies to some generations only."""
        return self.applies is not None or bool(self.generations)

    def generations_of(self, tables: Mapping[str, Generation]) -> tuple[str, ...]:
        """Return the names of the generations to which it applies, among those with these tables."""
        return tuple(
            name
            for name, table in tables.items()
            if (self.applies is None or self.applies(table))
            and (not self.generations or name in self.generations)
        )


def check(
    *,
    id: str,  # noqa: A002 - the word of the interface
    name: str,
    level: Level,
    capabilities: Iterable[Capability] = (),
    summary: str,
    why: str,
    remedy: str,
    reads: Iterable[str] = (),
    universal: bool = False,
    applies: Applies | None = None,
    generations: Iterable[str] = (),
    tags: Iterable[str] = (),
    spares: Spares | None = None,
    cure: Cure | None = None,
) -> Callable[[Run], Check]:
    """Declare the function below as a check, with the tag of its module's stage of the boot."""

    def declare(run: Run) -> Check:
        return Check(
            id=id,
            name=name,
            level=level,
            capabilities=tuple(capabilities),
            summary=_one_line(summary),
            why=_one_line(why),
            remedy=_one_line(remedy),
            reads=tuple(reads),
            universal=universal,
            applies=applies,
            generations=tuple(generations),
            tags=tuple(dict.fromkeys((*_STAGE_OF.get(run.__module__.rpartition(".")[2], ()), *tags))),
            run=run,
            spares=spares,
            cure=cure,
        )

    return declare


def decided_by(item: Check, needs: tuple[Need, ...]) -> tuple[Capability, ...]:
    """Return the capabilities that a check decides for a generation: the declared ones for which a row of operations names it.

    A capability without rows, and a check that is not of the catalogue, are as declared.

    Args:
        item: the check.
        needs: the rows for the generation.
    """
    if not needs or not item.id.startswith("COS"):
        return item.capabilities
    found = []
    for capability in item.capabilities:
        rows = [need for need in needs if capability in need.operations]
        if not rows or any(need.decides and need.is_of(item.id, item.capabilities) for need in rows):
            found.append(capability)
    return tuple(found)


def _decided(item: Check, context: CheckContext) -> tuple[Capability, ...]:
    """Return the capabilities that a check decides for this image.

    Raises:
        Unread: that depends on unread layers, for a required capability.
    """
    if not item.capabilities or not item.id.startswith("COS"):
        return item.capabilities
    try:
        return decided_by(item, context.needs)
    except CosinspectError:  # the checks that need it report the reason
        return item.capabilities
    except Unread:
        required = {*context.profile.required}
        rows = {context.profile.needs(name) for name in ("", *context.profile.generations)}
        every = {frozenset(required.intersection(decided_by(item, needs))) for needs in rows}
        if len(every) > 1:
            raise
        return item.capabilities


def cured(cure: Cure | None, context: CheckContext, finding: Finding) -> Remedy | None:
    """Return the remedy of a cure, None if there is no cure or it fails; the defect remains."""
    try:
        return cure(context, finding) if cure is not None else None
    except (Exception, Unread):  # noqa: BLE001 - a plugin's cure may do anything; --fast may not have read what it needs
        return None


def _lost(item: Check, context: CheckContext, capabilities: tuple[Capability, ...]) -> tuple[Capability, ...]:
    """Return the capabilities that this image loses by a failure."""
    if item.spares is None:
        return capabilities
    try:
        spared = frozenset(item.spares(context))
    except Exception:  # noqa: BLE001 - what cannot be decided is not spared
        return capabilities
    return tuple(capability for capability in capabilities if capability not in spared)


def run_check(item: Check, context: CheckContext) -> CheckResult:
    """Run a check and contain every exception in it."""
    level = context.profile.levels.get(item.id, item.level)
    capabilities = _decided(item, context)

    def result(kind: Kind, reason: str = "", *, seen: Iterable[Finding | str] = ()) -> CheckResult:
        findings = tuple(each for each in seen if isinstance(each, Finding))
        evidence = tuple(each for each in seen if isinstance(each, str))
        cures = share_packages(
            each.cure or (cured(item.cure, context, each) if number < _MOST_CURES else None)
            for number, each in enumerate(findings)
        )
        mended = tuple(
            evolve(finding, remedy=cure or item.remedy) for finding, cure in zip(findings, cures, strict=True)
        )
        lost = _lost(item, context, capabilities) if kind is Kind.FAIL else capabilities
        return CheckResult(item.id, item.name, kind, level, lost, mended, reason, evidence, tags=item.tags)

    seen: list[Finding | str] = []
    ending, reason, transient = Kind.PASS, "", False
    try:
        # The generation is read only if it matters: layers that --fast does not read may decide it.
        if _STAGES.intersection(item.tags) and (table := context.table) is not None and table.carries:
            return result(Kind.NOT_APPLICABLE, f"{table.title}: there is no system in it")
        if item.is_for_some:
            named = item.generations_of(context.profile.generations)
            if context.facts.generation not in named:
                return result(Kind.NOT_APPLICABLE, f"it is for {' and '.join(named) or 'no generation'}")
        elif not item.universal and context.is_foreign:
            # Rules of one generation may be wrong for another: bootc has no kernel in /boot.
            return result(Kind.NOT_APPLICABLE, f"no rules for generation {context.facts.generation}")
        seen.extend(item.run(context))  # results before an exception are kept
    except NotApplicable as given:
        ending, reason = Kind.NOT_APPLICABLE, str(given)
    except (Undecided, CosinspectError) as given:
        ending, reason, transient = Kind.OPEN, str(given), _may_pass(given)
    except Exception as fault:  # noqa: BLE001 - a crashed check must not hide the others, nor pass
        lacking = shortage_of(fault)
        ending, transient = Kind.OPEN, bool(lacking)
        reason = lacking or f"{CRASHED}{type(fault).__name__}: {fault}"
    if any(isinstance(each, Finding) for each in seen):  # a defect remains a defect after any later exception
        return result(Kind.FAIL, reason, seen=seen)
    return evolve(result(ending, reason, seen=seen if ending is Kind.PASS else ()), transient=transient)


def _may_pass(fault: Exception) -> bool:
    """Return whether a retry may decide: the source may answer, deliver the right bytes, or answer in time."""
    if isinstance(fault, LimitExceeded):
        return fault.limit == "seconds"
    return isinstance(fault, SourceError | DigestMismatch | SizeMismatch)


def _one_line(text: str) -> str:
    return " ".join(text.split())
