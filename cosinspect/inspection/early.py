"""Checks decided by the upper layers of an image, before the lower ones are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import NoReturn

from attrs import evolve

from cosinspect.cache.parsed import Parsed
from cosinspect.checks.base import Check, CheckContext, run_check
from cosinspect.checks.readers import worse
from cosinspect.facts.facts import Facts
from cosinspect.image.image import Image
from cosinspect.inspection.cached_results import Results
from cosinspect.layer.changeset import LayerIndex
from cosinspect.layer.indexing import Follower
from cosinspect.layer.layer import Progress
from cosinspect.policy import Plan
from cosinspect.report.report import CheckResult, Kind
from cosinspect.rootfs.differences import Comparison
from cosinspect.rootfs.partial import PartialRootfs, Unread
from cosinspect.signatures.outcome import Verification

__all__ = ["decide_early"]


def decide_early(
    image: Image,
    plan: Plan,
    verification: Verification | None,
    parsed: Parsed,
    settles: Callable[[Results], bool],
    *,
    progress: Progress | None = None,
    follower: Follower | None = None,
    trust_tables: bool = False,
) -> tuple[Results | None, tuple[LayerIndex, ...]]:
    """Read layers from the top down until the results suffice, and return them; None if all layers had to be read.

    Args:
        image: the open image; it is not closed.
        plan: the plan.
        verification: the result for the image's signatures.
        parsed: values parsed so far.
        settles: returns whether the results suffice.
        progress: called with the number of compressed bytes, from several threads.
        follower: selects files whose bytes it receives, from several threads.
        trust_tables: trust layers' tables of contents.

    Returns:
        The results, and the layers that were read, bottom first. Undecided checks are open.

    Raises:
        as `Image.read_rootfs` does.
    """
    reads = tuple(dict.fromkeys(pattern for item in plan.checks for pattern in item.reads))
    stages = image.from_top(reads, progress=progress, follower=follower, trust_tables=trust_tables)
    decided: dict[str, CheckResult] = {}
    known: tuple[LayerIndex, ...] = ()
    with closing(stages):  # type: ignore[type-var] # a generator, which has it
        for known in stages:
            unread = len(image.layers) - len(known)
            # Each attempt costs a merge, so it is not made after every layer.
            if not unread or len(known) & (len(known) - 1):
                continue
            generation = _look(image, plan, verification, parsed, known, decided)
            checked = Results(
                generation,
                sum(len(index.entries) for index in known) or 1,
                tuple(decided.get(item.id) or _open(item, plan, unread) for item in plan.checks),
            )
            if len(decided) == len(plan.checks) or settles(checked):
                return checked, known
    return None, known


def _look(
    image: Image,
    plan: Plan,
    verification: Verification | None,
    parsed: Parsed,
    known: tuple[LayerIndex, ...],
    decided: dict[str, CheckResult],
) -> str:
    """Run the undecided checks, store decided results, and return the image's generation, "" if unknown."""
    unread = len(image.layers) - len(known)
    indexes = [*(_nothing(known[0]) for _ in range(unread)), *known]
    first = PartialRootfs(
        indexes, image.bodies(indexes), unread, limits=image.limits, semantics=plan.profile.semantics[0]
    )
    facts = Facts(first, image.config, limits=image.limits, parsed=parsed)
    try:
        generation = facts.generation
    except Unread:
        if plan.profile.choices:  # the generation decides the rules
            return ""
        generation = ""
    profile = plan.profile.choose(generation)
    steps = tuple(layer.created_by for layer in image.layers)
    contexts = []
    for semantics in profile.semantics:
        tree = first.under(semantics)
        own = Facts(tree, image.config, limits=image.limits, parsed=parsed)
        contexts.append(
            CheckContext(
                tree,
                image.config,
                own,
                profile,
                steps,
                verification,
                _Comparisons(),
                plan.build,
                image.choice,
            )
        )
    for item in plan.checks:
        if item.id not in decided:
            image.deadline.heed(f"{image.name}, check {item.id}")
            try:
                result = run_check(item, contexts[0])
                for other in contexts[1:]:
                    result = worse(result, run_check(item, other), other.rootfs.semantics)
            except Unread:
                continue
            decided[item.id] = result
    return generation


class _Comparisons(Sequence[Comparison]):
    """The trees of other readers, which are unknown before all layers are read."""

    def __len__(self) -> NoReturn:
        raise Unread

    def __getitem__(self, index: object) -> NoReturn:
        raise Unread


def _nothing(like: LayerIndex) -> LayerIndex:
    """Return the stand-in for an unread layer, which keeps the positions of the others."""
    return evolve(
        like, entries=(), whiteouts=(), opaques=(), irregularities=(), contents={}, nameless=(), table=None
    )


def _open(item: Check, plan: Plan, unread: int) -> CheckResult:
    layers = "layer 0" if unread == 1 else f"layers 0-{unread - 1}"
    level = plan.profile.levels.get(item.id, item.level)
    reason = f"it depends on {layers}, not read as the verdict does not (--fast)"
    return CheckResult(item.id, item.name, Kind.OPEN, level, item.capabilities, (), reason, tags=item.tags)
