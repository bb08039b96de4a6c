"""Checks on kernel and initrd as the builders of ISOs and installers find them, which is not as GRUB does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from attrs import frozen

from cosinspect.checks.base import CheckContext, NotApplicable, check
from cosinspect.checks.boot_path import GRUB_LINK_LIMIT
from cosinspect.facts.facts import MODULE_DIRECTORIES
from cosinspect.formats.text.build_manifest import BuildManifest
from cosinspect.report.report import Capability, Finding, Level
from cosinspect.rootfs.rootfs import Entry, Trace

__all__ = ["boot_files_unfound", "iso_boot_files_missing", "iso_boot_files_other"]

# elemental-cli v0.0.14 on (findFileWithPrefix), elemental-toolkit v1, Kairos' agent.
_KERNELS = ("uImage", "Image", "zImage", "vmlinuz", "image")
_INITRDS = ("initrd", "initramfs")
# elemental-toolkit v2 (GetKernelPatterns, GetInitrdPatterns): the first pattern with a match wins.
_KERNEL_PATTERNS = tuple(f"/boot/{name}*" for name in _KERNELS)
_INITRD_PATTERNS = ("/boot/elemental.initrd*", "/boot/initrd*", "/boot/initramfs*")
_MOST_LINKS = 4
_DEFAULT = BuildManifest("luet-makeiso", "/boot/vmlinuz", "/boot/initrd")


@frozen
class _Found:
    """What a search came to: a file, by the name that was found first, or why there is none."""

    entry: Entry | None
    name: str
    why: str = ""


Search: TypeAlias = "Callable[[str], _Found]"


def _exactly(context: CheckContext, manifest: BuildManifest) -> Search:
    def search(what: str) -> _Found:
        path = manifest.kernel if what == "kernel" else manifest.initrd
        trace = context.rootfs.trace(path)
        if trace.entry is None or trace.entry.type != "file":
            return _Found(None, path, f"there is no file {path}")
        return _Found(trace.entry, path)

    return search


def _by_prefix(context: CheckContext) -> Search:
    """The first name of /boot in order that begins as one of the list; links that the host would resolve are passed over."""

    def search(what: str) -> _Found:
        prefixes = _KERNELS if what == "kernel" else _INITRDS
        passed: list[str] = []
        top = context.rootfs.trace("/boot").entry
        names = sorted(context.rootfs.children(top), key=_bytes) if top is not None else []
        for name in names:
            if not name.startswith(prefixes):
                continue
            trace = context.rootfs.trace(f"/boot/{name}")
            if trace.entry is not None and trace.entry.type == "dir" and not trace.hops:
                continue
            if trace.entry is None or any(hop.target.startswith("/") for hop in trace.hops):
                passed.append(f"/boot/{name} is passed over: {_not_followed(trace)}")
                continue
            return _Found(trace.entry, f"/boot/{name}")
        return _Found(
            None, f"/boot/{prefixes[-2]}", "; ".join([f"no usable /boot/{{{','.join(prefixes)}}}*", *passed])
        )

    return search


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _not_followed(trace: Trace) -> str:
    return (
        f"it leads to nothing ({trace.chain})"
        if trace.entry is None
        else f"its link is absolute ({trace.chain})"
    )


def _by_pattern(context: CheckContext) -> Search:
    """The first match of the first pattern that has one; a link that leads nowhere ends the search."""

    def search(what: str) -> _Found:
        patterns = _KERNEL_PATTERNS if what == "kernel" else _INITRD_PATTERNS
        for pattern in patterns:
            for entry in context.rootfs.glob(pattern):
                if entry.type == "dir":
                    continue
                trace = context.rootfs.trace(entry.path)
                if trace.entry is None:
                    return _Found(
                        None, entry.path, f"{trace.chain} leads to nothing, and the search ends there"
                    )
                if len(trace.hops) > _MOST_LINKS:
                    return _Found(None, entry.path, f"{trace.chain} takes more than {_MOST_LINKS} links")
                return _Found(trace.entry, entry.path)
        return _Found(None, patterns[0], f"nothing matches {' '.join(patterns)}")

    return search


def _builders(context: CheckContext) -> dict[str, Search]:
    """What makes ISOs of images of this generation, or what the manifest is for."""
    manifest = context.build
    if manifest is not None and manifest.tool == "luet-makeiso":
        return {"luet-makeiso, by the manifest,": _exactly(context, manifest)}
    makeiso = {"luet-makeiso": _exactly(context, _DEFAULT)}
    if context.facts.generation == "G5":
        return {"elemental build-iso": _by_pattern(context)}
    elemental = {"elemental build-iso": _by_prefix(context)}
    if manifest is not None:
        return elemental
    match context.facts.generation:
        case "G0" | "G1":
            return makeiso
        case "G2":
            return {**makeiso, **elemental}
        case _:
            return elemental


def _wanted(context: CheckContext) -> dict[str, set[str]]:
    """The real paths of the kernel and initrd that boot, where there are any; that there are none is another check's."""
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
    summary="What makes an ISO does not find the kernel or the initrd.",
    why="""The builders of ISOs do not read bootargs.cfg: luet-makeiso takes two names in /boot, elemental the first file there with a name on its
        list, and passes over links that are absolute. They stop with `No Kernel file found` or `No initrd file found`.""",
    remedy="""Link both by relative links: RUN ln -sf vmlinuz-<version> /boot/vmlinuz; or name them in luet-makeiso's manifest
        (initramfs.kernel_file, initramfs.rootfs_file), and give it with --manifest.""",
    generations=("G0", "G1", "G2", "G3", "G4", "kairos"),
)
def iso_boot_files_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Search as each builder of the generation does; one that finds both is enough."""
    builders = _builders(context)
    told: list[str] = []
    for what in _wanted(context):
        found = {tool: search(what) for tool, search in builders.items()}
        if all(item.entry is None for item in found.values()):
            yield _unfound(context, what, found)
            continue
        told.extend(
            f"{tool} takes {item.name} for the {what}"
            if item.entry is not None
            else f"{tool} finds no {what}: {item.why}"
            for tool, item in found.items()
        )
    yield "; ".join(told)


def _unfound(context: CheckContext, what: str, found: dict[str, _Found]) -> Finding:
    first = next(iter(found.values()))
    entry = context.rootfs.trace(first.name, follow=False).entry
    return Finding(
        f"expected {' or '.join(found)} to find the {what}, {'neither does' if len(found) > 1 else 'it does not'}",
        first.name,
        entry.layer if entry is not None else None,
        tuple(f"{tool}: {item.why}" for tool, item in found.items()),
    )


@check(
    id="COS019",
    name="iso-boot-files-other",
    level=Level.WARNING,
    summary="What makes an ISO takes another kernel or initrd than the one that boots.",
    why="""The search goes by name: a rescue kernel, a backup or an Image beside vmlinuz may come first, and the ISO boots that, with an initrd of
        another version.""",
    remedy="Delete what is left in /boot, or link /boot/vmlinuz and /boot/initrd, which come first among their kind.",
    generations=("G0", "G1", "G2", "G3", "G4", "G5", "kairos"),
)
def iso_boot_files_other(context: CheckContext) -> Iterator[Finding | str]:
    """Search as each builder of the generation does, and compare with what bootargs.cfg names."""
    for what, paths in _wanted(context).items():
        if context.facts.generation == "G5" and what == "initrd":
            continue  # another check's, for there installation takes the wrong one as well
        for tool, search in _builders(context).items():
            found = search(what)
            if found.entry is not None and found.entry.path not in paths:
                yield Finding(
                    f"expected {tool} to take the {what} {' or '.join(sorted(paths))}, it takes {found.name}",
                    found.name,
                    found.entry.layer,
                    (context.step(found.entry.layer),),
                )
            elif found.entry is not None:
                yield f"{tool} takes the {what} that boots"


@check(
    id="COS109",
    name="boot-files-unfound",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL, Capability.RECOVERY, Capability.ISO),
    summary="elemental does not find the kernel with its version, or the initrd.",
    why="""elemental (toolkit v2) searches /boot by patterns, and tells the kernel's version by the directory of modules whose name is in
        the kernel's path. A link that leads nowhere ends the search, and so does a kernel called vmlinuz without a version.""",
    remedy="Run `elemental init`, which links /boot/vmlinuz to the kernel with its version, and let no later step change /boot.",
    generations=("G5",),
)
def boot_files_unfound(context: CheckContext) -> Iterator[Finding | str]:
    """Search as elemental does (elemental-toolkit v2, pkg/utils/common.go)."""
    search = _by_pattern(context)
    for what in _wanted(context):
        found = search(what)
        if found.entry is None:
            yield _unfound(context, what, {"elemental": found})
            continue
        if what == "initrd":
            yield f"elemental takes the initrd {found.name}"
            continue
        versions = _versions(context)
        fitting = [version for version in versions if version in found.entry.path]
        if fitting:
            yield f"elemental takes the kernel {found.name}, version {fitting[0]}"
        else:
            yield Finding(
                f"expected the name of a directory of modules in {found.entry.path}, found none",
                found.entry.path,
                found.entry.layer,
                (f"directories: {', '.join(versions) or 'none'}", context.step(found.entry.layer)),
            )


def _versions(context: CheckContext) -> list[str]:
    tops: Iterable[Entry | None] = (context.rootfs.trace(path).entry for path in MODULE_DIRECTORIES)
    top = next((entry for entry in tops if entry is not None), None)
    found = context.rootfs.children(top) if top is not None else {}
    return sorted(name for name, entry in found.items() if entry.type == "dir")
