"""Checks on kernel and initrd as the builders of ISOs and installers find them, which differs from GRUB."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from cosinspect.checks import boot_remedies, remedies, subjects
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check
from cosinspect.checks.boot_path import GRUB_LINK_LIMIT
from cosinspect.facts.boot_search import (
    INITRD_PATTERNS,
    INITRD_PREFIXES,
    KERNEL_PATTERNS,
    KERNEL_PREFIXES,
    Found,
    find_by_name,
    find_by_pattern,
    find_by_prefix,
    on_host,
)
from cosinspect.formats.text.build_manifest import BuildManifest
from cosinspect.report.report import Capability, Finding, Level

__all__ = [
    "boot_files_unfound",
    "iso_boot_files_missing",
    "iso_boot_files_other",
    "iso_boot_files_unusable",
    "spares_iso",
]

_DEFAULT = BuildManifest("luet-makeiso", "/boot/vmlinuz", "/boot/initrd")
_WHAT = ("kernel", "initrd")

Search: TypeAlias = "Callable[[str], Found]"


def _exactly(context: CheckContext, manifest: BuildManifest) -> Search:
    return lambda what: find_by_name(context.rootfs, manifest.kernel if what == "kernel" else manifest.initrd)


def _by_prefix(context: CheckContext) -> Search:
    return lambda what: find_by_prefix(
        context.rootfs, KERNEL_PREFIXES if what == "kernel" else INITRD_PREFIXES
    )


def _by_pattern(context: CheckContext) -> Search:
    return lambda what: find_by_pattern(
        context.rootfs, KERNEL_PATTERNS if what == "kernel" else INITRD_PATTERNS
    )


def _builders(context: CheckContext) -> dict[str, Search]:
    """Return the builders of ISOs of this generation, or the builder of the manifest."""
    manifest = context.build
    if manifest is not None and manifest.tool == "luet-makeiso":
        return {"luet-makeiso, by the manifest,": _exactly(context, manifest)}
    makeiso = {"luet-makeiso": _exactly(context, _DEFAULT)}
    by_patterns = context.deployment.boot_files == "patterns"
    elemental = {"elemental build-iso": _by_pattern(context) if by_patterns else _by_prefix(context)}
    if manifest is not None:
        return elemental
    every = makeiso | elemental
    return {tool: every[tool] for tool in context.deployment.iso_builders or elemental}


def spares_iso(context: CheckContext) -> Iterable[Capability]:
    """Spare the ISO if its builder finds files: it does not read bootargs.cfg, and the medium has its own menu."""
    for search in _builders(context).values():
        found = {what: search(what) for what in _WHAT}
        if any(item.fault for item in found.values()):
            continue
        if context.deployment.boot_files != "patterns" or _version(context, found["kernel"]) is not None:
            return (Capability.ISO,)
    return ()


def _wanted(context: CheckContext) -> dict[str, set[str]]:
    """Return the real paths of the kernel and initrd that boot; another check reports if there are none."""
    facts = context.facts
    traces = {
        "kernel": [item.trace for item in facts.kernels if item.kernel is not None],
        "initrd": [item.trace for item in facts.initrds if item.initrd is not None],
    }
    found = {
        what: {
            each.entry.path for each in every if each.entry is not None and len(each.hops) <= GRUB_LINK_LIMIT
        }
        for what, every in traces.items()
    }
    found = {what: paths for what, paths in found.items() if paths}
    if not found:
        raise NotApplicable("neither kernel nor initrd can be booted")
    return found


@check(
    id="COS018",
    name="iso-boot-files-missing",
    level=Level.WARNING,
    capabilities=(Capability.ISO,),
    summary="The builder of an ISO does not find the kernel or the initrd.",
    why="""The builders of ISOs do not read bootargs.cfg: luet-makeiso uses two names in /boot, elemental the first file there
    with a name on its list, and skips absolute links. They stop with `No Kernel file found` or `No initrd file found`.""",
    remedy="""Link kernel and initrd in /boot by relative links, or name them in the manifest of luet-makeiso (initramfs.kernel_file,
        initramfs.rootfs_file), and give it with --manifest.""",
    applies=lambda table: table.deployment.boot_files == "prefixes",
    cure=boot_remedies.lists_boot_files,
)
def iso_boot_files_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Search as each builder of the generation does; one builder that finds both is enough."""
    builders = _builders(context)
    told: list[str] = []
    for what in _wanted(context):
        found = {tool: search(what) for tool, search in builders.items()}
        if all(item.fault for item in found.values()):
            yield _unfound(context, what, found)
            continue
        told.extend(
            f"{tool} finds no {what}: {item.fault}"
            if item.fault
            else f"{tool} uses {item.name} as the {what}"
            for tool, item in found.items()
        )
    yield "; ".join(told)


def _unfound(context: CheckContext, what: str, found: dict[str, Found]) -> Finding:
    first = next(iter(found.values()))
    entry = context.rootfs.trace(first.name, follow=False).entry
    return Finding(
        f"expected {' or '.join(found)} to find the {what}, {'neither does' if len(found) > 1 else 'it does not'}",
        first.name,
        entry.layer if entry is not None else None,
        tuple(f"{tool}: {item.fault}" for tool, item in found.items()),
    )


@check(
    id="COS019",
    name="iso-boot-files-other",
    level=Level.WARNING,
    summary="The builder of an ISO uses another kernel or initrd than the one that boots.",
    why="""The search goes by name: a rescue kernel, a backup or an Image beside vmlinuz may come first, and the ISO boots that, with an initrd of
        another version.""",
    remedy="Delete the file from /boot, or link /boot/vmlinuz and /boot/initrd, which come first among their kind.",
    applies=lambda table: table.deployment.iso_builders != (),
    cure=remedies.deletes(),
)
def iso_boot_files_other(context: CheckContext) -> Iterator[Finding | str]:
    """Search as each builder of the generation does, and compare with what bootargs.cfg names."""
    if any(isinstance(each, Finding) for each in _usable_pairs(context)):
        raise NotApplicable("the chosen file cannot be booted; another check reports that")
    for what, paths in _wanted(context).items():
        if what == "initrd" and context.deployment.boot_files == "patterns":
            continue  # another check reports that installation also uses the wrong one
        for tool, search in _builders(context).items():
            found = search(what)
            if found.entry is not None and found.is_file and found.entry.path not in paths:
                yield Finding(
                    f"expected {tool} to use the {what} {' or '.join(sorted(paths))}, it uses {found.name}",
                    found.name,
                    found.entry.layer,
                    (context.step(found.entry.layer),),
                )
            elif found.is_file:
                yield f"{tool} uses the {what} that boots"


@check(
    id="COS210",
    name="iso-boot-files-unusable",
    level=Level.WARNING,
    capabilities=(Capability.ISO,),
    summary="The kernel or the initrd that goes onto an ISO cannot be booted.",
    why="""The builders of ISOs search by name and do not read the content: the ISO is made, and its menu entry ends with `invalid magic number`, a panic,
        or an initrd that has no module for the kernel.""",
    remedy="Delete the file from /boot, or give it a name that no builder searches.",
    applies=subjects.toolkit,
    cure=remedies.deletes(),
)
def iso_boot_files_unusable(context: CheckContext) -> Iterator[Finding | str]:
    """Read the files that each builder of the generation uses, if they differ from those in bootargs.cfg; one good pair is enough."""
    told = list(_usable_pairs(context))
    if not told:
        raise NotApplicable("no builder finds both")
    yield from told


def _usable_pairs(context: CheckContext) -> Iterator[Finding | str]:
    """Yield the builder that uses a pair that boots, or else the faults of each pair; nothing if no builder finds both."""
    bad: list[Finding] = []
    for tool, search in _builders(context).items():
        found = {what: search(what) for what in _WHAT}
        if any(item.fault for item in found.values()):
            continue  # another check reports it
        faults = list(_unusable(context, tool, found["kernel"], found["initrd"]))
        if not faults:
            yield f"{tool} uses {found['kernel'].name} and {found['initrd'].name}"
            return
        bad.extend(faults)
    yield from bad


def _unusable(context: CheckContext, tool: str, kernel: Found, initrd: Found) -> Iterator[Finding]:
    facts = context.facts
    traces = (*(item.trace for item in facts.kernels), *(item.trace for item in facts.initrds))
    booted = {trace.entry.path for trace in traces if trace.entry is not None}
    kernels = [facts.kernel_at(kernel.path)]
    initrds = [facts.initrd_at(initrd.path)]
    if all(item.entry is not None and item.entry.path in booted for item in (kernel, initrd)):
        return  # other checks read them
    for item in kernels:
        platform = context.config.platform
        if item.kernel is None:
            yield _taken(
                context, tool, "kernel", kernel, f"it is not a Linux kernel: {item.fault or item.description}"
            )
        elif platform is not None and item.kernel.architecture not in ("", None, platform.architecture):
            yield _taken(context, tool, "kernel", kernel, f"it is for {item.kernel.architecture}")
    for each in (
        () if context.deployment.boot_files == "patterns" else initrds
    ):  # then another check reports the initrd
        if each.fault is not None:
            yield _taken(context, tool, "initrd", initrd, f"it cannot be unpacked: {each.fault}")
        elif each.initrd is not None and not each.initrd.opaque and not each.initrd.squashed:
            version = kernels[0].version
            if not each.initrd.has_init:
                yield _taken(context, tool, "initrd", initrd, "it has no /init")
            elif kernels[0].kernel is not None and version and version not in each.initrd.kernel_versions:
                listed = ", ".join(each.initrd.kernel_versions) or "none"
                message = f"its modules are for {listed}, the kernel {kernel.name} is {version}"
                yield _taken(context, tool, "initrd", initrd, message)


def _taken(context: CheckContext, tool: str, what: str, found: Found, why: str) -> Finding:
    entry = found.entry
    layer = entry.layer if entry is not None else None
    step = (context.step(layer),) if layer is not None else ()
    return Finding(
        f"expected {tool} to use a {what} that boots, it uses {found.name}: {why}", found.name, layer, step
    )


@check(
    id="COS109",
    name="boot-files-unfound",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL, Capability.RECOVERY, Capability.ISO),
    summary="elemental does not find the kernel with its version, or the initrd.",
    why="""elemental (toolkit v2) searches /boot by patterns, and reads the kernel's version from the directory of modules whose name is in the kernel's
    path. The
        first match decides: if it is a directory, or a link that is dangling or leads out of the image, the search
        ends with an error. The same happens if the kernel's name vmlinuz has no version.""",
    remedy="Run `elemental init`, which links /boot/vmlinuz to the kernel with its version, and let no later step change /boot.",
    applies=subjects.searched_by_patterns,
    cure=remedies.from_toolkit("boot", "have the files of /boot written"),
)
def boot_files_unfound(context: CheckContext) -> Iterator[Finding | str]:
    """Search as elemental does (elemental-toolkit v2, pkg/utils/common.go)."""
    search = _by_pattern(context)
    for what in _wanted(context):
        found = search(what)
        if found.fault or found.entry is None:
            yield _unfound(context, what, {"elemental": found})
            continue
        if what == "initrd":
            yield f"elemental uses the initrd {found.name}"
            continue
        version = _version(context, found)
        if version is not None:
            yield f"elemental uses the kernel {found.name}, version {version}"
        else:
            listed = ", ".join(_versions(context)) or "none"
            yield Finding(
                f"expected the name of a directory of modules in {found.path}, found none",
                found.path,
                found.entry.layer,
                (f"directories: {listed}", context.step(found.entry.layer)),
            )


def _version(context: CheckContext, kernel: Found) -> str | None:
    """Return the version that elemental reads from a kernel's path: the first name in /lib/modules that the path contains."""
    return next((name for name in _versions(context) if name in kernel.path), None)


def _versions(context: CheckContext) -> list[str]:
    top, why = on_host(context.rootfs, "/lib/modules")
    if top is None and "absolute" in why:
        raise Undecided(f"/lib/modules is looked up on the machine that runs the command: {why}")
    return sorted(context.rootfs.children(top)) if top is not None else []
