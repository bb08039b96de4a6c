"""Checks on bootc images: the lints of bootc itself (crates/lib/src/lints.rs), and what installation needs beyond them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check
from cosinspect.checks.grub import find_command
from cosinspect.checks.initrd import CANNOT_READ
from cosinspect.checks.kernel import is_of_unread_machine
from cosinspect.facts.facts import KernelFile
from cosinspect.report.report import Capability, Finding, Level
from cosinspect.rootfs.rootfs import Entry

__all__ = [
    "bootc_bootloader_missing",
    "bootc_composefs_off",
    "bootc_directory_missing",
    "bootc_etc_twice",
    "bootc_initramfs_missing",
    "bootc_injected",
    "bootc_kargs_invalid",
    "bootc_kernel_missing",
    "bootc_kernel_unusable",
    "bootc_kernels_several",
    "bootc_leftovers",
    "bootc_modules_unindexed",
    "bootc_name_undecodable",
    "bootc_root_missing",
    "bootc_var_run",
]

BOOTC = ("bootc",)
# bootc refuses an image at a fatal lint, and whoever builds one runs the lints: it is never deployed.
REFUSED = (Capability.INSTALL, Capability.UPGRADE)
STARTS = (Capability.BOOT, Capability.INSTALL, Capability.UPGRADE)
_KERNELS = "/usr/lib/modules/*/vmlinuz"
_READS = ("usr/lib/modules/*/{vmlinuz,initramfs.img}",)
_SHOWN = 8


def _kernels(context: CheckContext) -> list[Entry]:
    return context.rootfs.glob(_KERNELS)


def _readable(context: CheckContext) -> list[KernelFile]:
    found = [context.facts.kernel_at(entry.path) for entry in _kernels(context)]
    if not found:
        raise NotApplicable("there is no kernel to look at")
    return found


@check(
    id="COS150",
    name="bootc-var-run",
    level=Level.ERROR,
    capabilities=REFUSED,
    summary="/var/run is no link.",
    why="`bootc container lint` refuses the image: what is written to /var/run must go to /run, and be gone after a reboot.",
    remedy="Link it as the base image had it: RUN rm -rf /var/run && ln -s ../run /var/run",
    generations=BOOTC,
)
def bootc_var_run(context: CheckContext) -> Iterator[Finding | str]:
    """Look at /var/run itself; it need not be there."""
    entry = context.rootfs.trace("/var/run", follow=False).entry
    if entry is not None and entry.type != "symlink":
        yield Finding(f"expected /var/run to be a link, found a {entry.type}", entry.path, entry.layer)


@check(
    id="COS151",
    name="bootc-etc-twice",
    level=Level.ERROR,
    capabilities=REFUSED,
    summary="There is both /etc and /usr/etc.",
    why="`bootc container lint` refuses the image: /usr/etc is what bootc makes of /etc, and one of them would be lost.",
    remedy="Move what is in /usr/etc to /etc, and delete /usr/etc.",
    generations=BOOTC,
)
def bootc_etc_twice(context: CheckContext) -> Iterator[Finding | str]:
    """Look for both."""
    second = context.rootfs.trace("/usr/etc", follow=False).entry
    if second is not None and context.rootfs.exists("/etc"):
        yield Finding("expected either /etc or /usr/etc, found both", second.path, second.layer)


@check(
    id="COS152",
    name="bootc-kargs-invalid",
    level=Level.ERROR,
    capabilities=REFUSED,
    summary="A file of kernel arguments cannot be parsed.",
    why="bootc stops at it: installation and every upgrade fail.",
    remedy='Mend the TOML: kargs = ["console=ttyS0"], match-architectures = ["x86_64"].',
    reads=("usr/lib/bootc/kargs.d/*.toml",),
    generations=BOOTC,
)
def bootc_kargs_invalid(context: CheckContext) -> Iterator[Finding | str]:
    """Parse each file below /usr/lib/bootc/kargs.d."""
    for entry in context.rootfs.glob("/usr/lib/bootc/kargs.d/*.toml"):
        text = context.facts.text(entry.path).text
        if text is None:
            raise Undecided(f"{entry.path} cannot be read")
        fault = _kargs_fault(text)
        if fault:
            yield Finding(fault, entry.path, entry.layer, (context.step(entry.layer),))
        else:
            yield f"{entry.path} can be parsed"


def _kargs_fault(text: str) -> str:
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as fault:
        return f"expected TOML: {fault}"
    for key, value in values.items():
        if key not in ("kargs", "match-architectures"):
            return f"expected the keys kargs and match-architectures, found {key[:60]!r}"
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            return f"expected {key} to be a list of strings"
    return "" if "kargs" in values else "expected the key kargs, it is not there"


@check(
    id="COS153",
    name="bootc-kernels-several",
    level=Level.ERROR,
    capabilities=STARTS,
    summary="There is more than one kernel.",
    why="`bootc container lint` and ostree refuse the image: `Found multiple subdirectories in usr/lib/modules`.",
    remedy="Remove the older kernel in the step that installs the newer one: RUN dnf remove -y kernel-core-<version>",
    generations=BOOTC,
)
def bootc_kernels_several(context: CheckContext) -> Iterator[Finding | str]:
    """Count the directories of modules that have a kernel."""
    found = _kernels(context)
    if len(found) > 1:
        evidence = tuple(f"{entry.path} ({context.step(entry.layer)})" for entry in found[:_SHOWN])
        yield Finding(
            f"expected one kernel, found {len(found)}", "/usr/lib/modules", found[-1].layer, evidence
        )


@check(
    id="COS154",
    name="bootc-name-undecodable",
    level=Level.ERROR,
    capabilities=REFUSED,
    summary="The name of a file is not UTF-8.",
    why="`bootc container lint` refuses the image: neither ostree nor composefs takes such names.",
    remedy="Rename the file, or delete it in the step that made it.",
    generations=BOOTC,
)
def bootc_name_undecodable(context: CheckContext) -> Iterator[Finding | str]:
    """Walk the tree."""
    bad = [
        entry
        for entry in context.rootfs.walk()
        if any("\ud800" <= char <= "\udfff" for char in entry.name + entry.link)
    ]
    for entry in bad[:_SHOWN]:
        yield Finding("expected a name in UTF-8, found other bytes", entry.path, entry.layer)


@check(
    id="COS155",
    name="bootc-directory-missing",
    level=Level.ERROR,
    capabilities=STARTS,
    summary="A directory that the kernel's file systems are mounted on is not in the image.",
    why="`bootc container lint` refuses the image: systemd cannot mount /proc, /sys, /dev, /run, /tmp or /var on a read-only root.",
    remedy="Make them in the Dockerfile: RUN mkdir -p /dev /proc /sys /run /tmp /var",
    generations=BOOTC,
)
def bootc_directory_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for each, as a directory of its own."""
    for path in ("/dev", "/proc", "/sys", "/run", "/tmp", "/var"):  # noqa: S108 - paths of the image
        trace = context.rootfs.trace(path, follow=False)
        if trace.entry is None:
            yield context.broken(trace, f"expected the directory {path}, it is not there")
        elif trace.entry.type != "dir":
            yield Finding(
                f"expected the directory {path}, found a {trace.entry.type}", path, trace.entry.layer
            )


@check(
    id="COS156",
    name="bootc-root-missing",
    level=Level.ERROR,
    capabilities=STARTS,
    summary="The image lacks /sysroot, or /ostree does not lead into it.",
    why="ostree keeps the deployments there; without them the initrd cannot switch to the one that is booted.",
    remedy="Make them as the base image had them: RUN mkdir -p /sysroot && ln -sfn sysroot/ostree /ostree",
    generations=BOOTC,
)
def bootc_root_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look at both without following the link, which leads to what only a deployed system has."""
    sysroot = context.rootfs.trace("/sysroot", follow=False)
    if sysroot.entry is None or sysroot.entry.type != "dir":
        yield context.broken(sysroot, "expected the directory /sysroot, it is not there")
    ostree = context.rootfs.trace("/ostree", follow=False)
    if ostree.entry is None:
        yield context.broken(ostree, "expected the link /ostree, it is not there")
    elif ostree.entry.type != "symlink" or ostree.entry.link.strip("/") != "sysroot/ostree":
        found = ostree.entry.link or f"a {ostree.entry.type}"
        yield Finding(f"expected /ostree -> sysroot/ostree, found {found}", "/ostree", ostree.entry.layer)


@check(
    id="COS157",
    name="bootc-kernel-missing",
    level=Level.ERROR,
    capabilities=STARTS,
    summary="There is no kernel.",
    why="bootc's lints let it pass, as base images for others may have none; such an image cannot be installed.",
    remedy="Install a kernel; it must be at /usr/lib/modules/<version>/vmlinuz.",
    generations=BOOTC,
)
def bootc_kernel_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look where ostree looks."""
    found = _kernels(context)
    if found:
        yield from (f"kernel {entry.path} (layer {entry.layer})" for entry in found)
        return
    unified = context.facts.unified_kernels
    if unified:
        raise Undecided(f"{unified[0]} carries a kernel that is not looked into")
    layer: int | None = None
    evidence: tuple[str, ...] = ()
    for entry in context.rootfs.glob("/usr/lib/modules/*"):
        layer, evidence = context.removal(f"{entry.path}/vmlinuz")
    yield Finding(f"expected a kernel at {_KERNELS}, found none", "/usr/lib/modules", layer, evidence)


@check(
    id="COS158",
    name="bootc-initramfs-missing",
    level=Level.ERROR,
    capabilities=STARTS,
    summary="There is no initramfs for the kernel, or it cannot be unpacked.",
    why="ostree takes kernel and initramfs from one directory; without the second the kernel finds no root.",
    remedy="Build it: RUN dracut -f /usr/lib/modules/<version>/initramfs.img <version>",
    reads=_READS,
    generations=BOOTC,
)
def bootc_initramfs_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look beside each kernel, and unpack what is there by the kernel's rule."""
    kernels = _kernels(context)
    if not kernels:
        raise NotApplicable("there is no kernel that needs one")
    for kernel in kernels:
        path = f"{kernel.path.rpartition('/')[0]}/initramfs.img"
        found = context.facts.initrd_at(path)
        entry = found.trace.entry
        if entry is None:
            yield context.broken(found.trace, f"expected the initramfs at {path}, it is not there")
        elif found.fault is not None and found.fault.kind in CANNOT_READ:
            raise Undecided(f"{path} cannot be read here: {found.fault.message}")
        elif found.fault is not None:
            yield Finding(found.fault.message, entry.path, entry.layer, (context.step(entry.layer),))
        elif found.initrd is None:
            yield Finding(f"expected an initramfs, found a {entry.type}", entry.path, entry.layer)
        elif found.initrd.opaque:
            raise Undecided(f"{path} holds a part that cannot be read")
        elif not found.initrd.has_init:
            yield Finding("the initramfs has no /init that can be executed", entry.path, entry.layer)
        else:
            yield f"{path} unpacks to {len(found.initrd.members)} files"


@check(
    id="COS159",
    name="bootc-kernel-unusable",
    level=Level.ERROR,
    capabilities=STARTS,
    summary="The kernel is none, or for another architecture than the image.",
    why="The boot loader refuses it: `invalid magic number`.",
    remedy="Install the kernel's package again, for the image's platform.",
    reads=_READS,
    generations=BOOTC,
)
def bootc_kernel_unusable(context: CheckContext) -> Iterator[Finding | str]:
    """Read the header."""
    platform = context.config.platform
    for item in _readable(context):
        entry = item.trace.entry
        layer = entry.layer if entry is not None else None
        if item.kernel is None and is_of_unread_machine(context):
            raise Undecided(f"kernels for {platform} are not read")
        if item.kernel is None:
            why = f" ({item.fault.message})" if item.fault is not None else ""
            yield Finding(f"expected a Linux kernel, found {item.description}{why}", item.path, layer)
        elif platform is not None and item.kernel.architecture not in (None, platform.architecture):
            yield Finding(
                f"expected a kernel for {platform.architecture}, found one for {item.kernel.architecture}",
                item.path,
                layer,
            )
        else:
            yield f"{item.path} is a Linux {item.version or ''} {item.kernel.kind}"


@check(
    id="COS160",
    name="bootc-injected",
    level=Level.WARNING,
    summary="A container tool left an empty /etc/hostname or /etc/resolv.conf.",
    why="Machines come up without a name or without name resolution: the empty file takes the place of the generated one.",
    remedy="Build with a tool that leaves none (buildah with --no-hostname, --no-hosts), or delete them in a last layer.",
    generations=BOOTC,
)
def bootc_injected(context: CheckContext) -> Iterator[Finding | str]:
    """Look for regular files without content."""
    for path in ("/etc/hostname", "/etc/resolv.conf"):
        entry = context.rootfs.trace(path, follow=False).entry
        if entry is not None and entry.type == "file" and not entry.size:
            yield Finding(f"expected no empty {path}, found one", path, entry.layer)


@check(
    id="COS161",
    name="bootc-composefs-off",
    level=Level.WARNING,
    summary="composefs is not enabled.",
    why="The root of the running system can be changed unnoticed; bootc's lints warn of it.",
    remedy="Write [composefs] enabled = true to /usr/lib/ostree/prepare-root.conf, and build the initramfs again.",
    reads=("usr/lib/ostree/prepare-root.conf",),
    generations=BOOTC,
)
def bootc_composefs_off(context: CheckContext) -> Iterator[Finding | str]:
    """Read the file that the initramfs goes by."""
    path = "/usr/lib/ostree/prepare-root.conf"
    section = ""
    for line in (context.facts.text(path).text or "").splitlines():
        text = line.strip()
        section = text if text.startswith("[") else section
        key, _, value = text.partition("=")
        if section == "[composefs]" and key.strip() == "enabled":
            if value.strip().lower() in ("yes", "true", "signed", "verity", "1"):
                yield f"{path} enables composefs"
                return
            yield Finding(f"expected composefs to be enabled, found {text[:80]}", path)
            return
    yield Finding(f"expected {path} to enable composefs, it does not", path)


@check(
    id="COS162",
    name="bootc-leftovers",
    level=Level.WARNING,
    summary="Files lie where no image should have any.",
    why="/run and /tmp are mounted over, /boot is filled by bootc, and logs of the build do not belong to a machine.",
    remedy="Delete them in the step that makes them: RUN dnf clean all && rm -rf /var/log/* /tmp/* /run/* /boot/*",
    generations=BOOTC,
)
def bootc_leftovers(context: CheckContext) -> Iterator[Finding | str]:
    """Look for files in /boot, /run, /tmp and /var/log; directories do no harm there."""
    for top in ("/boot", "/run", "/tmp", "/var/log"):  # noqa: S108 - paths of the image
        directory = context.rootfs.trace(top, follow=False).entry
        if directory is None or directory.type != "dir":
            continue
        files = [entry for entry in context.rootfs.walk(top) if entry.type != "dir"]
        if files:
            evidence = tuple(entry.path for entry in files[:_SHOWN])
            yield Finding(f"expected no files in {top}, found {len(files)}", top, files[0].layer, evidence)


@check(
    id="COS163",
    name="bootc-bootloader-missing",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL,),
    summary="There is no boot loader that installation could use.",
    why="`bootc install` calls bootupctl, or takes systemd-boot where the image has that; with neither it stops.",
    remedy="Install bootupd, with its updates below /usr/lib/bootupd.",
    generations=BOOTC,
)
def bootc_bootloader_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for bootupctl, systemd-boot, and zipl on s390x."""
    found = find_command(context, "bootupctl")
    if found is not None:
        yield f"{found} is there"
        return
    loaders = context.rootfs.glob("/usr/lib/systemd/boot/efi/*")
    zipl = find_command(context, "zipl")
    if loaders:
        yield f"{loaders[0].path} is there"
    elif zipl is not None:
        yield f"{zipl} is there"
    else:
        yield context.missing("/usr/bin/bootupctl", "expected bootupctl or systemd-boot, found neither")


@check(
    id="COS164",
    name="bootc-modules-unindexed",
    level=Level.WARNING,
    summary="The kernel's modules directory has no modules.dep.",
    why="modprobe finds nothing: drivers that are there are not loaded, and dracut builds an initramfs without them.",
    remedy="Run depmod in the Dockerfile: RUN depmod -a <version>",
    generations=BOOTC,
)
def bootc_modules_unindexed(context: CheckContext) -> Iterator[Finding | str]:
    """Look beside each kernel."""
    for kernel in _kernels(context):
        path = f"{kernel.path.rpartition('/')[0]}/modules.dep"
        if not context.rootfs.exists(path):
            yield context.missing(path, "expected modules.dep, it is not there")
