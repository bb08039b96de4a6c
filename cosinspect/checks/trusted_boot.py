"""Checks on the source of a Kairos trusted boot image: the files that `auroraboot build-uki` reads (AuroraBoot, pkg/uki/uki.go).

The tool makes a unified kernel image from /boot/vmlinuz and, as its initrd, the whole tree, in which /init is immucore.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cosinspect.checks import boot_remedies, file_remedies, remedies, subjects
from cosinspect.checks.base import CheckContext, NotApplicable, check
from cosinspect.checks.boot_path import BOOTS
from cosinspect.report.report import Finding, Level

__all__ = [
    "trusted_boot_loader_partial",
    "trusted_boot_name_outside",
    "trusted_init_unusable",
    "trusted_kernel_config",
    "trusted_kernel_unfound",
    "trusted_version_missing",
]

_RELEASE = re.compile(r'^KAIROS_RELEASE="(.*)"', re.MULTILINE)
_BLOCK = 4096
_IMMUCORE = "/usr/bin/immucore"
_EFI_NAMES = {"amd64": "x64", "arm64": "aa64", "riscv64": "riscv64"}
# Without these the kernel does not start as an EFI program, does not unpack the initrd of build-uki, or has no file system for it.
_OPTIONS = ("CONFIG_EFI_STUB", "CONFIG_BLK_DEV_INITRD", "CONFIG_RD_ZSTD", "CONFIG_TMPFS")


@check(
    id="COS148",
    name="trusted-version-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="build-uki does not find the version of Kairos, or no os-release.",
    why="""`auroraboot build-uki` takes the version from the line KAIROS_RELEASE="..." with double quotes, and puts /etc/os-release into the
        unified kernel image: without either, it stops and makes no image.""",
    remedy="Run kairos-init in the Dockerfile, which writes /etc/kairos-release; keep the value of KAIROS_RELEASE in double quotes.",
    reads=("etc/kairos-release", "etc/os-release", "usr/lib/os-release"),
    applies=subjects.trusted_boot,
)
def trusted_version_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Read /etc/kairos-release, else /etc/os-release, by the tool's own expression; look for /etc/os-release."""
    path = "/etc/kairos-release" if context.rootfs.exists("/etc/kairos-release") else "/etc/os-release"
    text = context.facts.text(path).text
    found = _RELEASE.search(text) if text is not None else None
    if found is not None:
        yield f"{path} has the version {found[1]}"
    else:
        entry = context.rootfs.trace(path).entry
        near = re.search(r"^KAIROS_RELEASE=.*", text or "", re.MULTILINE)
        finding = Finding(
            f'expected KAIROS_RELEASE="..." in {path}, found {near[0][:60] if near else "no such line"}',
            path,
            entry.layer if entry is not None else None,
        )
        quotes = r"""s/^KAIROS_RELEASE=[\"']*\([^\"']*\).*/KAIROS_RELEASE="\1"/"""
        cure = (
            file_remedies.edits("put the value in double quotes", quotes)
            if near
            else remedies.from_toolkit("release", "run kairos-init, which writes it,")
        )
        yield remedies.with_cure(context, finding, cure)
    if context.facts.text("/etc/os-release").text is None:
        yield context.missing("/etc/os-release", "expected /etc/os-release, it is not there")


@check(
    id="COS149",
    name="trusted-kernel-unfound",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="build-uki does not find the kernel.",
    why="""`auroraboot build-uki` opens the file in /boot with the base name of the target of /boot/vmlinuz, on the machine that builds: it stops with
    `copying kernel` if /boot has no such name, and an absolute link leads to that machine's files.""",
    remedy="Copy the kernel into /boot and link it there.",
    reads=("boot/vmlinuz*",),
    applies=subjects.trusted_boot,
    cure=boot_remedies.kernel_link,
    tags=("kernel",),
)
def trusted_kernel_unfound(context: CheckContext) -> Iterator[Finding | str]:
    """Look at the tool's path; the checks on the kernel read the file."""
    link = context.rootfs.trace("/boot/vmlinuz", follow=False).entry
    if link is None:
        raise NotApplicable("there is no /boot/vmlinuz, which another check reports")
    name = link.link.rstrip("/").rpartition("/")[2] if link.type == "symlink" else "vmlinuz"
    if not context.rootfs.exists("/boot/vmlinuz"):
        raise NotApplicable("/boot/vmlinuz is dangling, which another check reports")
    trace = context.rootfs.trace(f"/boot/{name}")
    absolute = next((hop for hop in trace.hops if hop.target.startswith("/")), None)
    if trace.entry is None or trace.entry.type != "file":
        message = f"expected the kernel at /boot/{name}, where /boot/vmlinuz -> {link.link} leads build-uki, it is not there"
    elif absolute is not None:
        message = f"expected relative links to the kernel, found {absolute}"
    else:
        yield f"build-uki uses {trace.chain}"
        return
    yield Finding(message, link.path, link.layer, (context.step(link.layer),))


@check(
    id="COS257",
    name="trusted-init-unusable",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The tree cannot be the initrd of a unified kernel image.",
    why="""`auroraboot build-uki` links /init to /usr/bin/immucore, and stops if /init exists. Without a program at its target the kernel panics: `No working init found`.""",
    remedy="Run kairos-init in the Dockerfile, which installs immucore, and do not create /init.",
    applies=subjects.trusted_boot,
    cure=remedies.deletes("delete it"),
    tags=("initrd",),
)
def trusted_init_unusable(context: CheckContext) -> Iterator[Finding | str]:
    """Look at /init, and at immucore with the links that lead to it."""
    init = context.rootfs.trace("/init", follow=False).entry
    if init is not None:
        yield Finding(
            f"expected no /init, found a {init.type}", init.path, init.layer, (context.step(init.layer),)
        )
    trace = context.rootfs.trace(_IMMUCORE)
    if trace.entry is None:
        raise NotApplicable("immucore is missing; another check reports that")
    if not trace.entry.is_executable:
        yield Finding(
            f"expected {_IMMUCORE} to be executable, its mode is {trace.entry.mode:04o}",
            trace.entry.path,
            trace.entry.layer,
        )
    else:
        mebibytes = context.rootfs.blocks(_BLOCK) * _BLOCK >> 20
        yield f"/init will be {trace.chain}; the tree takes {mebibytes} MiB, which the machine's memory must hold"


@check(
    id="COS258",
    name="trusted-kernel-config",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The kernel is built without an option that a unified kernel image needs.",
    why="""The firmware starts the kernel as an EFI program, and the kernel unpacks the tree, packed by zstd, into a tmpfs: without the option
        the machine stops at that step.""",
    remedy="Install a kernel of the distribution, or build yours with CONFIG_EFI_STUB, CONFIG_RD_ZSTD and CONFIG_TMPFS.",
    reads=("boot/config-*", "{usr/,}lib/modules/*/config"),
    applies=subjects.trusted_boot,
    cure=boot_remedies.kernel_package,
    tags=("kernel",),
)
def trusted_kernel_config(context: CheckContext) -> Iterator[Finding | str]:
    """Read the kernel's header, and its configuration if the image has it."""
    seen = False
    for item in context.facts.kernels:
        if item.kernel is None:
            continue
        seen = True
        entry = item.trace.entry
        if not item.kernel.efi_stub and item.kernel.compression is None:
            yield Finding(
                f"expected a kernel that is an EFI program, {item.path} has no EFI header",
                item.path,
                entry.layer if entry is not None else None,
            )
        for option in _OPTIONS:
            if item.version is not None and context.facts.kernel_option(item.version, option) == "n":
                yield Finding(f"expected {option}=y, it is not set for {item.version}", item.path)
        yield f"{item.path} is an EFI program"
    if not seen:
        raise NotApplicable("there is no kernel to look at")


@check(
    id="COS259",
    name="trusted-boot-name-outside",
    level=Level.WARNING,
    summary="/etc/os-release is an absolute link.",
    why="""`auroraboot build-uki` opens the path on the machine that builds, where an absolute link leads to that machine's own file: the boot
        menu then has the builder's name.""",
    remedy="Make the link relative.",
    applies=subjects.trusted_boot,
    cure=file_remedies.links_relatively,
)
def trusted_boot_name_outside(context: CheckContext) -> Iterator[Finding | str]:
    """Look at the link itself."""
    link = context.rootfs.trace("/etc/os-release", follow=False).entry
    if link is None:
        raise NotApplicable("there is no /etc/os-release")
    if link.type == "symlink" and link.link.startswith("/"):
        yield Finding(
            f"expected a relative link, found /etc/os-release -> {link.link}",
            link.path,
            link.layer,
            (context.step(link.layer),),
        )
    else:
        yield "/etc/os-release is read in the image"


@check(
    id="COS260",
    name="trusted-boot-loader-partial",
    level=Level.NOTE,
    summary="The image has only one of systemd's EFI stub and systemd-boot.",
    why="`auroraboot build-uki --sdboot-in-source` requires both in the image, and stops. Without the option it uses its own.",
    remedy="Install both, or build without --sdboot-in-source.",
    applies=subjects.trusted_boot,
    cure=remedies.installs("systemd-boot", lead="install both"),
)
def trusted_boot_loader_partial(context: CheckContext) -> Iterator[Finding | str]:
    """Look for both by name, anywhere in the image."""
    platform = context.config.platform
    word = _EFI_NAMES.get(platform.architecture if platform is not None else "")
    if word is None:
        raise NotApplicable("build-uki is for amd64, arm64 and riscv64")
    names = (f"linux{word}.efi.stub", f"systemd-boot{word}.efi")
    found = [name for name in names if context.rootfs.glob(f"/**/{name}")]
    if not found:
        raise NotApplicable("the image has neither, and build-uki brings its own")
    for name in names:
        if name not in found:
            yield Finding(
                f"expected {name} beside {found[0]}, it is not in the image",
                f"/usr/lib/systemd/boot/efi/{name}",
            )
    yield f"{' and '.join(found)} are in the image"
