"""The pipeline: from the name of an image to its report. The one place that wires the floors together."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path

from attrs import evolve, frozen

from cosinspect.cache import Cache
from cosinspect.cache.code import code_digest
from cosinspect.cache.parsed import Parsed
from cosinspect.checks import CATALOGUE
from cosinspect.checks.base import Check, CheckContext, run_check
from cosinspect.checks.layers import unreadable
from cosinspect.checks.plugins import installed_checks
from cosinspect.checks.readers import elemental_refuses, partial_root, worse
from cosinspect.deadline import Deadline
from cosinspect.errors import CosinspectError, FormatError, InvalidBuildManifest, InvalidLayer, TableMismatch
from cosinspect.facts.facts import Facts
from cosinspect.facts.prefetch import InitrdPrefetch
from cosinspect.formats.text.build_manifest import BuildManifest, read_build_manifest
from cosinspect.image.image import JOBS, Image
from cosinspect.image.opening import access_from, open_image
from cosinspect.inspection.cached_results import Results, load_results, store_results
from cosinspect.inspection.early import decide_early
from cosinspect.layer.changeset import LayerIndex
from cosinspect.layer.layer import Layer, Progress
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.documents import Platform
from cosinspect.oci.reference import ImageName, Transport
from cosinspect.policy import Plan, Policy, load_policy, make_plan
from cosinspect.profiles import Profile, load_profile
from cosinspect.report.report import CheckResult, Finding, LayerSummary, Report, Stats, Verdict, name_layer
from cosinspect.rootfs.differences import Comparison, compare_semantics
from cosinspect.rootfs.overlay import PARTIAL
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.rootfs.semantics import Semantics
from cosinspect.signatures.outcome import Verification
from cosinspect.signatures.policy import SignaturePolicy
from cosinspect.signatures.verification import Keyless, verify_signatures
from cosinspect.sources.config.access import Access
from cosinspect.sources.registry.source import RegistrySource
from cosinspect.sources.signature_repository import SignatureRepository

__all__ = [
    "examine_image",
    "inspect",
    "inspect_image",
    "plan_inspection",
    "read_manifest_file",
]

_MANIFEST_BYTES = 1024 * 1024


@frozen
class _Reading:
    """How much of an image is read: tables of contents in place of layers, no more layers than it takes."""

    trust_tables: bool = False
    fast: bool = False


@frozen
class _Standing:
    """What the results rest on less than layers that were read to their ends for: positions, by how they were read."""

    by_table: tuple[int, ...] = ()
    unread: tuple[int, ...] = ()


_WHOLE = _Reading()
_VERIFIED = _Standing()


def inspect(
    name: str,
    *,
    profile: str | Profile = "auto",
    semantics: tuple[Semantics, ...] | None = None,
    platform: str | Platform | None = None,
    plain_http: bool = False,
    docker_config: str | os.PathLike[str] | None = None,
    access: Access | None = None,
    verify_diff_ids: bool = True,
    policies: Iterable[str | os.PathLike[str] | Policy] = (),
    build_manifest: str | os.PathLike[str] | None = None,
    today: date | None = None,
    signatures: SignaturePolicy | None = None,
    plan: Plan | None = None,
    limits: Limits = DEFAULT_LIMITS,
    cache: Cache | None = None,
    jobs: int = JOBS,
    trust_tables: bool = False,
    fast: bool = False,
    only: Iterable[str] = (),
    on_image: Callable[[Image], None] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Find out what an image can do.

    Args:
        name: `quay.io/org/os:v1`, `oci:DIR:ref`, `oci-archive:FILE`, `docker-archive:FILE`, `dir:DIR`.
        profile: what to require: a builtin profile's name (`auto` chooses by the image), the path of a TOML file, or a
            loaded one.
        semantics: whose readings of the layers count, in place of the profile's; the report is on the first.
        platform: `os/architecture[/variant]`, chooses from an image index; by default what the host runs.
        plain_http: talk to the registry without TLS, which is the default for localhost only.
        docker_config: directory or file of the Docker configuration that holds credentials; by default ~/.docker.
        access: how registries are reached and as whom, in place of `plain_http` and `docker_config`.
        verify_diff_ids: whether layers must inflate to what the configuration names.
        policies: what to require beyond the profile: paths of TOML files, or loaded ones.
        build_manifest: path of the manifest by which an ISO is made of the image, of luet-makeiso or `elemental build-iso`.
        today: the day that waivers are held against; by default the present one, in UTC.
        signatures: who must have signed the image; without such a signature it does not pass.
        plan: what to go by, in place of `profile`, `semantics`, `policies`, `build_manifest` and `today`.
        limits: bounds for everything that is read.
        cache: what is known from before, and where to keep what is found out now; nothing is kept without.
        jobs: how many layers are read side by side, at least one.
        trust_tables: believe the tables of contents that layers bring along (eStargz, zstd:chunked) and fetch little more; the
            report is provisional then, unless a table turns out to be wrong: then everything is read.
        fast: read layers from the top down, and no further once the verdict is a failure or every check is decided; the report is
            provisional then and names the layers that were not read.
        only: ids of the checks to run; the report is on these alone, and confirms no capability.
        on_image: told of the image before its layers are read.
        progress: told of each layer and the compressed bytes that came of it, from several threads.

    Raises:
        CosinspectError: it cannot be decided; the subclass says whether name, source, content or image are to blame.
    """
    started = time.monotonic()
    # A profile that cannot be loaded should not cost a connection.
    if plan is None:
        plan = plan_inspection(
            profile, policies, semantics=semantics, build_manifest=build_manifest, today=today
        )
    plan = plan.only(tuple(only))
    keyless = _keyless(signatures)
    if access is None:
        access = access_from(plain_http, docker_config)
    deadline = Deadline(limits.seconds)
    with open_image(
        name,
        platform=platform,
        access=access,
        verify_diff_ids=verify_diff_ids,
        limits=limits,
        cache=cache,
        deadline=deadline,
        jobs=jobs,
        restartable=False,  # checks say beforehand what they read
    ) as image:
        if on_image is not None:
            on_image(image)
        verification = None
        if signatures is not None:
            parsed = ImageName.parse(name)
            place = signatures.location or parsed.reference
            if parsed.transport is Transport.DOCKER_ARCHIVE:
                place = None  # the manifest is made up from the archive, so nobody can have signed it
            source = None
            if place is not None:
                own = parsed.reference is not None and place.registry == parsed.reference.registry
                reach = access if own else access.elsewhere()
                source = RegistrySource(place, access=reach, limits=limits, deadline=deadline)
            verification = _verify(image, source, signatures, keyless)
        reading = _Reading(trust_tables, fast)
        return _inspect(image, plan, verification, progress, started, reading)


def plan_inspection(
    profile: str | Profile,
    policies: Iterable[str | os.PathLike[str] | Policy] = (),
    *,
    semantics: tuple[Semantics, ...] | None = None,
    build_manifest: str | os.PathLike[str] | tuple[str, bytes] | None = None,
    today: date | None = None,
) -> Plan:
    """Put together what an inspection goes by: the profile, the checks of plugins, the policies.

    Args:
        profile: its name, the path of a TOML file, or a loaded one.
        policies: paths of TOML files, or loaded ones.
        semantics: whose readings of the layers count, in place of the profile's.
        build_manifest: path of the manifest by which an ISO is made of the image, or its name and bytes.
        today: the day that waivers are held against; by default the present one, in UTC.

    Raises:
        InvalidProfile: the profile, a policy or the build manifest cannot be used.
        InvalidPlugin: an installed plugin cannot.
    """
    rules = load_profile(profile) if isinstance(profile, str) else profile
    plan = make_plan(
        rules.read_as(semantics) if semantics else rules,
        installed_checks(),
        [each if isinstance(each, Policy) else load_policy(each) for each in policies],
        today=today or datetime.now(UTC).date(),
    )
    if build_manifest is None:
        return plan
    if not isinstance(build_manifest, tuple):
        build_manifest = str(build_manifest), read_manifest_file(Path(build_manifest))
    return evolve(plan, build=_build_manifest(*build_manifest))


def read_manifest_file(path: Path) -> bytes:
    """Read the file of a build manifest.

    Raises:
        InvalidBuildManifest: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(_MANIFEST_BYTES + 1)
    except OSError as fault:
        raise _no_manifest(fault.strerror or str(fault), str(path)) from fault


def _build_manifest(where: str, raw: bytes) -> BuildManifest:
    try:
        return read_build_manifest(raw)
    except FormatError as fault:
        raise _no_manifest(fault.message, where) from fault


def _no_manifest(told: str, where: str) -> InvalidBuildManifest:
    return InvalidBuildManifest(
        f"the build manifest cannot be read: {told}",
        where=where,
        remedy="name the YAML file that luet-makeiso or elemental build-iso is given",
    )


def inspect_image(
    image: Image,
    *,
    profile: Profile,
    verification: Verification | None = None,
    progress: Progress | None = None,
    started: float | None = None,
    checks: tuple[Check, ...] = CATALOGUE,
) -> Report:
    """Find out what an open image can do.

    Args:
        image: stays open.
        profile: what to require.
        verification: what is known of the image's signatures; if it is given, the image must be signed to pass.
        progress: told of each layer and the compressed bytes that came of it, from several threads.
        started: when the work began, by `time.monotonic`, for the report's statistics.
        checks: which to run.

    Raises:
        CosinspectError: a layer cannot be had or read.
    """
    plan = Plan(profile, checks)
    return _inspect(image, plan, verification, progress, time.monotonic() if started is None else started)


def _inspect(
    image: Image,
    plan: Plan,
    verification: Verification | None,
    progress: Progress | None,
    begin: float,
    reading: _Reading = _WHOLE,
) -> Report:
    checked = load_results(image, plan, verification)
    standing = _VERIFIED
    if checked is None:
        try:
            checked, standing = _examine_as(reading, image, plan, verification, progress)
        except InvalidLayer as fault:
            steps = tuple(layer.created_by for layer in image.layers)
            told = _installed_all_the_same(image, plan)
            results = unreadable(fault, plan.checks, plan.profile.levels, steps, told)
            return _report(image, plan, verification, begin, Results("", 0, results))
        if standing == _VERIFIED:
            store_results(checked, image, plan, verification)
    return _report(image, plan, verification, begin, checked, standing)


def _installed_all_the_same(image: Image, plan: Plan) -> dict[str, Finding]:
    """Find out what elemental installs of an image with a layer that cannot be read: it does not notice."""
    if Semantics.ELEMENTAL not in plan.profile.semantics or elemental_refuses not in plan.checks:
        return {}
    try:
        written = image.salvage()
    except CosinspectError:  # then there is nothing to say of it
        return {}
    problem = next((each for each in written.problems if each.kind == PARTIAL), None)
    if problem is None or any(each.fatal for each in written.problems):
        return {}
    step = name_layer(problem.layer, image.layers[problem.layer].created_by)
    return {elemental_refuses.id: partial_root(problem, written, step)}


def _examine_as(
    reading: _Reading,
    image: Image,
    plan: Plan,
    verification: Verification | None,
    progress: Progress | None,
) -> tuple[Results, _Standing]:
    """Read as much of the image as is asked for, and run the checks; where a table is wrong, read the layers after all."""
    try:
        if reading.fast:
            checked, standing = _examine_early(reading, image, plan, verification, progress)
        else:
            checked, context = _examine(
                image, plan, verification, progress, trust_tables=reading.trust_tables
            )
            standing = _Standing(context.rootfs.by_table)
    except TableMismatch:
        pass
    else:
        # A check that met a mismatch has contained it.
        if image.table_use.mismatch is None:
            return checked, standing
    return _examine(image, plan, verification, progress)[0], _VERIFIED


def _examine_early(
    reading: _Reading,
    image: Image,
    plan: Plan,
    verification: Verification | None,
    progress: Progress | None,
) -> tuple[Results, _Standing]:
    """Read layers from the top down until the verdict is a failure, or nothing is left to decide."""
    parsed = Parsed(image.cache, limits=image.limits)
    prefetch = InitrdPrefetch(parsed, limits=image.limits)

    def fails(checked: Results) -> bool:
        return _report(image, plan, verification, time.monotonic(), checked).verdict is Verdict.FAIL

    checked, known = decide_early(
        image, plan, verification, parsed, fails,
        progress=progress, follower=prefetch, trust_tables=reading.trust_tables,
    )  # fmt: skip
    if checked is None:
        checked, context = _examine(image, plan, verification, progress, known=known, parsed=parsed)
        return checked, _Standing(context.rootfs.by_table)
    unread = len(image.layers) - len(known)
    by_table = tuple(unread + number for number, index in enumerate(known) if index.table is not None)
    return checked, _Standing(by_table, tuple(range(unread)))


def examine_image(
    image: Image,
    *,
    plan: Plan,
    verification: Verification | None = None,
    progress: Progress | None = None,
    started: float | None = None,
) -> tuple[Report, CheckContext]:
    """Find out what an open image can do, and give what the checks saw as well; otherwise as `inspect_image`."""
    begin = time.monotonic() if started is None else started
    checked, context = _examine(image, plan, verification, progress)
    return _report(image, plan, verification, begin, checked), context


def _examine(
    image: Image,
    plan: Plan,
    verification: Verification | None,
    progress: Progress | None,
    *,
    trust_tables: bool = False,
    known: tuple[LayerIndex, ...] = (),
    parsed: Parsed | None = None,
) -> tuple[Results, CheckContext]:
    """Read the image, as far as it is not known, and run the checks."""
    checks = plan.checks
    reads = tuple(dict.fromkeys(pattern for item in checks for pattern in item.reads))
    first = plan.profile.semantics[0]
    if parsed is None:
        parsed = Parsed(image.cache, limits=image.limits)
    prefetch = InitrdPrefetch(parsed, limits=image.limits)
    rootfs = image.rootfs(
        reads, semantics=first, known=known, progress=progress, follower=prefetch, trust_tables=trust_tables
    )
    facts = Facts(rootfs, image.config, limits=image.limits, parsed=parsed)
    steps = tuple(layer.created_by for layer in image.layers)
    profile = plan.profile.choose(facts.generation)
    if profile.semantics[0] is not first:
        rootfs = rootfs.under(profile.semantics[0])
        facts = Facts(rootfs, image.config, limits=image.limits, parsed=parsed)
    # Before any check asks for the initrd, which may still be on its way.
    comparisons = tuple(_compared(image, rootfs, each) for each in profile.semantics[1:])
    context = CheckContext(
        rootfs, image.config, facts, profile, steps, verification, comparisons, plan.build, image.choice
    )
    results = tuple(_in_time(item, context, image) for item in checks)
    for comparison in comparisons:
        if comparison.differences:
            results = _worse(results, comparison, context, checks, image, parsed)
    return Results(facts.generation, len(rootfs), results), context


def _compared(image: Image, rootfs: Rootfs, semantics: Semantics) -> Comparison:
    """Compare with what another reader sees; that it sees the same is known from then on."""
    tables = (index.origin for index in rootfs.indexes if index.table is not None)
    parts = (code_digest(), *image.chain, *tables, rootfs.semantics.value, semantics.value)
    if image.cache is not None and image.cache.value("comparison", *parts) == b"same":
        return Comparison(rootfs, rootfs.alike(semantics), (), {})
    found = compare_semantics(rootfs, semantics, limits=image.limits)
    if found.differences or found.other.problems:
        return found
    if image.cache is not None:
        image.cache.keep_value(b"same", "comparison", *parts)
    # A second tree that says the same would only take memory until the checks are done.
    return Comparison(rootfs, rootfs.alike(semantics), (), {})


def _report(
    image: Image,
    plan: Plan,
    verification: Verification | None,
    begin: float,
    checked: Results,
    standing: _Standing = _VERIFIED,
) -> Report:
    """Put a report together; where nothing is in the tree, a layer could not be read."""
    read = checked.entries > 0
    profile = plan.profile.choose(checked.generation)
    results, unused = plan.waive(checked.results)
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
        stats=Stats(time.monotonic() - begin, image.fetched + image.table_use.fetched, checked.entries),
        rules=tuple(item.rule for item in plan.checks),
        policies=plan.policies,
        unused=unused,
        signatures=verification,
        signature_required=verification is not None or profile.signature_required,
        semantics=tuple(each.value for each in profile.semantics),
        by_table=standing.by_table,
        unread=standing.unread,
        selected=plan.selected,
        verified_required=profile.verified_required,
        needs=profile.needs(checked.generation),
    )


def _keyless(policy: SignaturePolicy | None) -> Keyless | None:
    if policy is None or not policy.identities:
        return None
    # Loaded by its name: the extra may be missing, and where it is there it takes half a second that few need.
    module = import_module("cosinspect.signatures.keyless")
    verifier: Keyless = module.KeylessVerifier(policy.identities, policy.trusted_root)
    return verifier


def _verify(
    image: Image, source: RegistrySource | None, policy: SignaturePolicy, keyless: Keyless | None
) -> Verification:
    """Verify the digest that the user named, which an index is, too: what is read is a child of it by digest."""
    subject = image.index_digest or image.digest
    if source is None:
        return Verification(
            subject,
            "",
            policy.signers,
            trouble="the image is in no registry, so where its signatures are must be said; give their repository "
            "(--signature-repository), which helps for every transport but docker-archive: that keeps no digest",
        )
    store = SignatureRepository(source, image.limits)
    try:
        return verify_signatures(subject, store, policy, keyless=keyless, limits=image.limits)
    finally:
        store.close()


def _worse(
    results: tuple[CheckResult, ...],
    comparison: Comparison,
    context: CheckContext,
    checks: tuple[Check, ...],
    image: Image,
    parsed: Parsed,
) -> tuple[CheckResult, ...]:
    """Run the checks again on what another reader sees, and give of each the worse result."""
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
