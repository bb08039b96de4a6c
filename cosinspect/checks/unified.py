"""Checks on unified kernel images: an EFI program with a kernel, an initrd and a command line in its sections.

Those of Kairos are in a separate image, which `auroraboot build-uki` makes and kairos-agent copies to the EFI partition. Those of
bootc are below /boot/EFI/Linux of the image that they start.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from cosinspect.checks import remedies, subjects
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check
from cosinspect.checks.boot_path import BOOTS
from cosinspect.checks.initrd import CANNOT_READ
from cosinspect.facts.unified import UnifiedKernelFile
from cosinspect.formats.boot.unified_kernel import UnifiedKernel
from cosinspect.formats.text.os_release import read_env_file
from cosinspect.profiles import UnifiedTable
from cosinspect.report.display import counted
from cosinspect.report.report import Finding, Level

__all__ = [
    "unified_command_line",
    "unified_initrd_unusable",
    "unified_kernel_unusable",
    "unified_unreadable",
    "unified_version",
]

READS = ("EFI/*/*", "boot/EFI/Linux/*.efi")
_NAMES = (".osrel", ".uname")
_EFI_APPLICATION = 10
# With a question mark after the key if fs-verity may be missing; later releases name the algorithm in the key's value.
_DIGEST = re.compile(r"[^=]*=.*(?:[0-9a-f]{128}|[0-9a-f]{64})")


def files(context: CheckContext) -> list[UnifiedKernelFile]:
    """Return the unified kernel images that start the system.

    Raises:
        NotApplicable: the image has none.
    """
    table = _table(context)
    entries = [entry for pattern in table.files for entry in context.rootfs.glob(pattern)]
    if table.first:  # bootc uses the first by name (crates/lib/src/kernel.rs)
        entries = entries[:1]
    found = [context.facts.unified_at(entry.path) for entry in entries]
    if not found:
        raise NotApplicable("there is no unified kernel image")
    return found


def _table(context: CheckContext) -> UnifiedTable:
    found = context.table
    if found is None or found.unified is None:
        raise NotApplicable("the generation has no unified kernel images")
    return found.unified


def is_kairos_program(path: str) -> bool:
    """Return whether a path of an artefact is one of its unified kernel images: /EFI/kairos/*.efi, as FAT compares names."""
    lowered = path.lower()
    return lowered.startswith("/efi/kairos/") and lowered.endswith(".efi")


def _opened(context: CheckContext) -> Iterator[tuple[UnifiedKernelFile, UnifiedKernel]]:
    """Yield those that are EFI programs; another check reports the others."""
    found = [(item, item.unified) for item in files(context) if item.unified is not None]
    if not found:
        raise NotApplicable("none of the unified kernel images is an EFI program")
    yield from found


def _at(context: CheckContext, item: UnifiedKernelFile, message: str, *evidence: str) -> Finding:
    entry = item.trace.entry
    if entry is None:
        return context.broken(item.trace, message)
    return Finding(message, entry.path, entry.layer, (*evidence, context.step(entry.layer)))


@check(
    id="COS250",
    name="uki-unreadable",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="A unified kernel image is not an EFI program, or lacks a section.",
    why="The firmware refuses to start it, or its stub stops: a kernel, an initrd and their description must be sections of it.",
    remedy="Build it again: `auroraboot build-uki` for Kairos, `ukify build` with --linux, --initrd and --os-release for bootc.",
    reads=READS,
    applies=subjects.unified,
    cure=remedies.by_hand("build it again"),
)
def unified_unreadable(context: CheckContext) -> Iterator[Finding | str]:
    """Read the headers and the section table."""
    wanted = _table(context).sections
    platform = context.config.platform
    for item in files(context):
        if item.fault is not None and item.fault.kind in CANNOT_READ:
            raise Undecided(f"{item.path} cannot be read here: {item.fault.message}")
        if item.fault is not None:
            yield _at(context, item, item.fault.message)
            continue
        unified = item.unified
        if unified is None:
            yield _at(context, item, "expected a unified kernel image, no file is there")
            continue
        bad = [*unified.problems]
        bad += [f"expected the section {name}, it is not there" for name in wanted if not unified.has(name)]
        if unified.program.subsystem != _EFI_APPLICATION:
            bad.append(f"expected an EFI application, the subsystem is {unified.program.subsystem}")
        machine = unified.program.architecture
        if platform is not None and machine != platform.architecture:
            bad.append(
                f"expected an EFI program for {platform.architecture}, found one for {machine or 'another machine'}"
            )
        if bad:
            for message in bad:
                yield _at(context, item, message)
        else:
            names = " ".join(section.name for section in unified.program.sections)
            yield f"{item.path} has the sections {names}"


@check(
    id="COS251",
    name="uki-kernel-unusable",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The kernel in a unified kernel image is invalid, truncated, or for another architecture.",
    why="The stub loads it as an EFI program, and the firmware refuses it: the machine stops before anything is printed.",
    remedy="Install the kernel's package again, for the image's platform, and build the unified kernel image again.",
    reads=READS,
    applies=subjects.unified,
)
def unified_kernel_unusable(context: CheckContext) -> Iterator[Finding | str]:
    """Read the header of the kernel in the section .linux."""
    platform = context.config.platform
    seen = False
    for item, unified in _opened(context):
        if not unified.has(".linux"):
            continue
        seen = True
        kernel = unified.kernel
        if kernel is None:
            why = unified.kernel_fault.message if unified.kernel_fault is not None else "it is empty"
            yield _at(context, item, f"expected a Linux kernel in the section .linux: {why}")
            continue
        bad = [*kernel.problems]
        if platform is not None and kernel.architecture not in (None, platform.architecture):
            bad.append(f"expected a kernel for {platform.architecture}, found one for {kernel.architecture}")
        if not kernel.efi_stub:
            bad.append("expected a kernel that is an EFI program, it has no EFI header")
        for message in bad:
            yield _at(context, item, message)
        if not bad:
            yield f"{item.path} holds a Linux {kernel.version or ''} {kernel.kind}"
    if not seen:
        raise NotApplicable("no unified kernel image has a section .linux")


@check(
    id="COS252",
    name="uki-initrd-unusable",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The initrd in a unified kernel image cannot be unpacked, or does not start the system.",
    why="The kernel panics: `VFS: Unable to mount root fs` or `No working init found`, or the started program does not find the system.",
    remedy="Build the initrd again, and then the unified kernel image: `auroraboot build-uki` for Kairos, dracut and ukify for bootc.",
    reads=READS,
    applies=subjects.unified,
)
def unified_initrd_unusable(context: CheckContext) -> Iterator[Finding | str]:
    """Unpack the section .initrd by the kernel's rules, and look for /init and its program."""
    seen = False
    for item, unified in _opened(context):
        if not unified.has(".initrd"):
            continue
        seen = True
        initrd, fault = unified.initrd, unified.initrd_fault
        runners = _table(context).runners
        if fault is not None and fault.kind in CANNOT_READ:
            raise Undecided(f"the initrd of {item.path} cannot be read here: {fault.message}")
        if initrd is None:
            yield _at(
                context, item, f"the section .initrd: {fault.message if fault is not None else 'it is empty'}"
            )
        elif initrd.opaque:
            raise Undecided(f"the initrd of {item.path} holds a part that cannot be read")
        elif not initrd.has_init:
            yield _at(context, item, "the initrd has no /init that can be executed")
        elif runners and not any(map(initrd.exists, runners)):
            yield _at(
                context, item, f"expected {posixpath.basename(runners[0])} in the initrd, it is not there"
            )
        else:
            yield f"the initrd of {item.path} unpacks to {counted(len(initrd.members), 'file')}"
    if not seen:
        raise NotApplicable("no unified kernel image has a section .initrd")


@check(
    id="COS253",
    name="uki-command-line",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The command line of a unified kernel image does not start the system.",
    why="""It is signed with the image and cannot be changed at boot. immucore reads `rd.immucore.uki` as the sign that the tree is in memory;
        bootc's initrd finds the deployment by the digest in `composefs=`.""",
    remedy="""Build the unified kernel image again: `auroraboot build-uki` writes the line for Kairos; bootc needs composefs= with the digest of the
        image.""",
    reads=READS,
    applies=subjects.unified,
)
def unified_command_line(context: CheckContext) -> Iterator[Finding | str]:
    """Read the section .cmdline of each, in its profiles too."""
    seen = False
    for item, unified in _opened(context):
        if not unified.has(".cmdline"):
            continue
        for line in (unified.command_line, *filter(None, unified.profiles)):
            seen = True
            words = line.split()
            table = _table(context)
            if table.digest:
                values = [
                    word.removeprefix(table.argument) for word in words if word.startswith(table.argument)
                ]
                good = any(map(_DIGEST.fullmatch, values))
                wanted = f"{table.argument}=<128 hexadecimal digits>"
            else:
                good = any(word.partition("=")[0] == table.argument for word in words)
                wanted = table.argument
            if good:
                yield f"{item.path}: {line[:120]}"
            else:
                yield _at(context, item, f"expected {wanted} in the command line, found {line[:120]!r}")
    if not seen:
        raise NotApplicable("no unified kernel image has a section .cmdline")


@check(
    id="COS254",
    name="uki-version",
    level=Level.WARNING,
    summary="The sections that describe a unified kernel image do not match its kernel or its system.",
    why="The boot menu sorts and displays by them, and modules of another version than the kernel's are not loaded.",
    remedy="Build it again with `--uname` of the kernel that it holds and the os-release of the system.",
    reads=READS,
    applies=subjects.unified,
)
def unified_version(context: CheckContext) -> Iterator[Finding | str]:
    """Compare .uname with the kernel's header and the initrd's modules; read ID or NAME in .osrel."""
    seen = False
    for item, unified in _opened(context):
        for name in _NAMES:
            if not unified.has(name) and name not in _table(context).sections:
                seen = True
                yield _at(context, item, f"expected the section {name}, it is not there")
        version = unified.kernel.version if unified.kernel is not None else None
        named = unified.texts.get(".uname", "").strip()
        told = named or version
        modules = unified.initrd.kernel_versions if unified.initrd is not None else ()
        if version and named and version != named:
            seen = True
            yield _at(
                context,
                item,
                f"expected {version} in the section .uname, as in the kernel, found {named[:60]}",
            )
        elif told and modules and told not in modules and _table(context).versions:
            seen = True  # COS189 reports it for bootc
            yield _at(
                context, item, f"expected modules for {told} in the initrd, found {', '.join(modules[:4])}"
            )
        if unified.has(".osrel"):
            values = read_env_file(unified.texts.get(".osrel", "")).values
            seen = True
            if not values.get("ID") and not values.get("NAME") and not values.get("PRETTY_NAME"):
                yield _at(context, item, "expected ID or NAME in the section .osrel, found neither")
            else:
                yield f"{item.path} is {values.get('PRETTY_NAME') or values.get('NAME') or values.get('ID')} {told or ''}".strip()
    if not seen:
        raise NotApplicable("no unified kernel image has sections that describe it")
