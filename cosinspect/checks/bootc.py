"""Checks on bootc images: the lints of bootc itself (crates/lib/src/lints.rs), and further needs of installation."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

from cosinspect.checks import boot_remedies, file_remedies, remedies, subjects
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check
from cosinspect.checks.initrd import CANNOT_READ
from cosinspect.checks.kernel import is_of_unread_machine
from cosinspect.errors import FormatError
from cosinspect.facts.facts import KernelFile
from cosinspect.formats.text.key_file import KeyFile, read_key_file
from cosinspect.report.display import counted
from cosinspect.report.evidence import Evidence, Mention
from cosinspect.report.report import Capability, Finding, Level
from cosinspect.rootfs.rootfs import Entry

__all__ = [
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
    "prepare_root",
]

# bootc refuses an image with a fatal lint, and builds run the lints: such an image is never deployed.
REFUSED = (Capability.INSTALL, Capability.UPGRADE)
STARTS = (Capability.BOOT, Capability.INSTALL, Capability.UPGRADE)
_KERNELS = "/usr/lib/modules/*/vmlinuz"
_UNIFIED = "/boot/EFI/Linux/*.efi"
_KARGS = "/usr/lib/bootc/kargs.d"
_BASE = "/usr/share/doc/bootc/baseimage/base"  # of images that say what a base image has
_PREPARE_ROOT = ("/etc/ostree/prepare-root.conf", "/usr/lib/ostree/prepare-root.conf")
_ENABLED = ("yes", "true", "1", "maybe", "signed", "verity")
_READS = ("usr/lib/modules/*/{vmlinuz,initramfs.img}",)
_SHOWN = 8


def _kernels(context: CheckContext) -> list[Entry]:
    return context.rootfs.glob(_KERNELS)


def _readable(context: CheckContext) -> list[KernelFile]:
    if context.rootfs.glob(_UNIFIED):
        raise NotApplicable("a unified kernel image is booted")
    found = [context.facts.kernel_at(entry.path) for entry in _kernels(context)]
    if not found:
        raise NotApplicable("there is no kernel to look at")
    return found


@check(
    id="COS150",
    name="bootc-var-run",
    level=Level.ERROR,
    capabilities=REFUSED,
    summary="/var/run is not a link.",
    why="`bootc container lint` refuses the image: data in /var/run must go to /run, which is empty after a reboot.",
    remedy="Link it as the base image had it.",
    applies=subjects.bootc,
    cure=remedies.runs(
        "link it as the base image had it", lambda *_: ("RUN rm -rf /var/run && ln -s ../run /var/run",)
    ),
)
def bootc_var_run(context: CheckContext) -> Iterator[Finding | str]:
    """Look at /var/run itself, which may be absent."""
    entry = context.rootfs.trace("/var/run", follow=False).entry
    if entry is not None and entry.type != "symlink":
        yield Finding(f"expected /var/run to be a link, found a {entry.type}", entry.path, entry.layer)


@check(
    id="COS151",
    name="bootc-etc-twice",
    level=Level.ERROR,
    capabilities=REFUSED,
    summary="The image has both /etc and /usr/etc.",
    why="`bootc container lint` refuses the image: bootc makes /usr/etc from /etc, so one of them would be lost.",
    remedy="Move the files of /usr/etc to /etc, and delete /usr/etc.",
    applies=subjects.bootc,
    cure=remedies.runs(
        "move its files to /etc", lambda *_: ("RUN cp -a /usr/etc/. /etc/ && rm -rf /usr/etc",), unwanted=True
    ),
)
def bootc_etc_twice(context: CheckContext) -> Iterator[Finding | str]:
    """Look for both."""
    second = context.rootfs.trace("/usr/etc", follow=False).entry
    if second is not None and context.rootfs.trace("/etc", follow=False).entry is not None:
        yield Finding("expected either /etc or /usr/etc, found both", second.path, second.layer)


@check(
    id="COS152",
    name="bootc-kargs-invalid",
    level=Level.ERROR,
    capabilities=REFUSED,
    summary="A file of kernel arguments cannot be parsed.",
    why="bootc refuses the file: installation and every upgrade fail.",
    remedy="Correct the TOML: a list `kargs` of texts, and a list `match-architectures` if the arguments are for some machines.",
    reads=("usr/lib/bootc/kargs.d/*.toml",),
    applies=subjects.bootc,
    cure=remedies.deletes("correct the TOML (a list `kargs` of texts), or delete the file"),
)
def bootc_kargs_invalid(context: CheckContext) -> Iterator[Finding | str]:
    """Parse each file below /usr/lib/bootc/kargs.d, which must be a directory (bootc_kargs.rs)."""
    top = context.rootfs.trace(_KARGS).entry
    if top is not None and top.type != "dir":
        yield Finding(f"expected the directory {_KARGS}, found a {top.type}", top.path, top.layer)
        return
    for found in context.rootfs.glob(f"{_KARGS}/*.toml"):
        entry = context.rootfs.trace(found.path).entry
        if entry is None or entry.type != "file":
            what = "a link to nothing" if entry is None else f"a {entry.type}"
            yield Finding(f"expected a file {found.path}, found {what}", found.path, found.layer)
            continue
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
    return "" if "kargs" in values else "expected the key kargs, it is missing"


@check(
    id="COS153",
    name="bootc-kernels-several",
    level=Level.ERROR,
    capabilities=STARTS,
    summary="There is more than one kernel.",
    why="`bootc container lint` and ostree refuse the image: `Found multiple subdirectories in usr/lib/modules`.",
    remedy="Remove the older kernel in the step that installs the newer one.",
    applies=subjects.bootc,
    tags=("kernel",),
)
def bootc_kernels_several(context: CheckContext) -> Iterator[Finding | str]:
    """Count the directories of modules that have a kernel."""
    found = _kernels(context)
    if len(found) > 1:
        evidence = tuple(
            Mention(f"{entry.path} ({context.step(entry.layer)})", entry.layer) for entry in found[:_SHOWN]
        )
        finding = Finding(
            f"expected one kernel, found {len(found)}", "/usr/lib/modules", found[-1].layer, evidence
        )
        directories = sorted((entry.path.rpartition("/")[0] for entry in found), key=_release)
        steps = [f"RUN rm -rf {remedies.quoted(each)}" for each in directories[:-1]]
        lead = "remove the package of the older kernel, or its files"
        yield remedies.with_cure(context, finding, remedies.runs(lead, lambda *_: steps))


def _release(path: str) -> tuple[tuple[int, ...], str]:
    """Return the sort key of directories of modules, by their versions."""
    return tuple(map(int, re.findall(r"\d+", path))), path


@check(
    id="COS154",
    name="bootc-name-undecodable",
    level=Level.ERROR,
    capabilities=REFUSED,
    summary="The name of a file is not UTF-8.",
    why="`bootc container lint` refuses the image: neither ostree nor composefs accepts such names.",
    remedy="Rename the file, or delete it in the step that made it.",
    applies=subjects.bootc,
    cure=remedies.by_hand("rename the file", unwanted=True),
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
    summary="The image lacks a mount point of the kernel's file systems.",
    why="`bootc container lint` refuses the image: systemd cannot mount /proc, /sys, /dev, /run, /tmp or /var on a read-only root.",
    remedy="Make the directories in the Dockerfile.",
    applies=subjects.bootc,
    cure=file_remedies.makes_directory,
    tags=("system",),
)
def bootc_directory_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for each, as a directory and not a link."""
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
    why="ostree stores deployments there; without it the initrd cannot switch to the deployment.",
    remedy="Make both as the base image has them.",
    applies=subjects.bootc,
    cure=remedies.runs(
        "make both as the base image had them",
        lambda *_: ("RUN mkdir -p /sysroot && rm -rf /ostree && ln -s sysroot/ostree /ostree",),
    ),
    tags=("initrd",),
)
def bootc_root_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look at both without following the link, whose target exists only on a deployed system; and at the base's own description."""
    tops = ["", _BASE] if context.rootfs.exists(_BASE) else [""]
    for top in tops:
        sysroot = context.rootfs.trace(f"{top}/sysroot", follow=False)
        if sysroot.entry is None or sysroot.entry.type != "dir":
            found = "it is not there" if sysroot.entry is None else f"found a {sysroot.entry.type}"
            yield context.broken(sysroot, f"expected the directory {top}/sysroot, {found}")
        ostree = context.rootfs.trace(f"{top}/ostree", follow=False)
        if ostree.entry is None:
            yield context.broken(ostree, f"expected the link {top}/ostree, it is not there")
        elif ostree.entry.type != "symlink" or ostree.entry.link != "sysroot/ostree":
            found = ostree.entry.link or f"a {ostree.entry.type}"
            yield Finding(
                f"expected {top}/ostree -> sysroot/ostree, found {found}",
                ostree.entry.path,
                ostree.entry.layer,
            )


@check(
    id="COS157",
    name="bootc-kernel-missing",
    level=Level.ERROR,
    capabilities=STARTS,
    summary="There is no kernel.",
    why="bootc's lints accept it, because base images may have none; such an image cannot be installed.",
    remedy="Install a kernel at vmlinuz in its directory of modules, or a unified kernel image in /boot/EFI/Linux.",
    applies=subjects.bootc,
    cure=boot_remedies.kernel_package,
    tags=("kernel",),
)
def bootc_kernel_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look where ostree looks."""
    found = _kernels(context)
    if found:
        yield from (f"kernel {entry.path} (layer {entry.layer})" for entry in found)
        return
    unified = context.rootfs.glob(_UNIFIED)
    if unified:
        yield f"{unified[0].path} has a kernel, which other checks read"
        return
    if context.facts.unified_kernels:
        path = context.facts.unified_kernels[0]
        raise Undecided(f"{path} has a kernel, and bootc 1.16 looks for it in /boot/EFI/Linux")
    layer: int | None = None
    evidence: tuple[Evidence, ...] = ()
    for entry in context.rootfs.glob("/usr/lib/modules/*"):
        layer, evidence = context.removal(f"{entry.path}/vmlinuz")
    yield Finding(f"expected a kernel at {_KERNELS}, found none", "/usr/lib/modules", layer, evidence)


@check(
    id="COS158",
    name="bootc-initramfs-missing",
    level=Level.ERROR,
    capabilities=STARTS,
    summary="There is no initramfs for the kernel, or it cannot be unpacked.",
    why="ostree takes kernel and initramfs from one directory; without the initramfs the kernel finds no root.",
    remedy="Build the initramfs beside the kernel.",
    reads=_READS,
    applies=subjects.bootc,
    cure=remedies.rebuilds("build the initramfs", options="--add ostree"),
    tags=("initrd",),
)
def bootc_initramfs_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look beside each kernel, and unpack the file there by the kernel's rules."""
    kernels = _kernels(context)
    if not kernels or context.rootfs.glob(_UNIFIED):
        raise NotApplicable("there is no kernel that needs one beside it")
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
            yield f"{path} unpacks to {counted(len(found.initrd.members), 'file')}"


@check(
    id="COS159",
    name="bootc-kernel-unusable",
    level=Level.ERROR,
    capabilities=STARTS,
    summary="The file is not a kernel, or is for another architecture than the image.",
    why="The boot loader refuses it: `invalid magic number`.",
    remedy="Install the kernel's package again, for the image's platform.",
    reads=_READS,
    applies=subjects.bootc,
    cure=boot_remedies.kernel_package,
    tags=("kernel",),
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
    why="Machines come up without a name or without name resolution: the empty file replaces the generated one.",
    remedy="Build with a tool that leaves none (buildah with --no-hostname, --no-hosts), or delete the file in a last layer.",
    applies=subjects.bootc,
    cure=remedies.deletes("delete the file"),
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
    why="The root of the running system can be changed unnoticed; bootc's lints warn about it.",
    remedy="Enable composefs in prepare-root.conf, and build the initramfs again.",
    reads=("{etc,usr/lib}/ostree/prepare-root.conf", "usr/share/doc/bootc/baseimage/base/**"),
    applies=subjects.bootc,
    cure=file_remedies.prepare_root,
)
def bootc_composefs_off(context: CheckContext) -> Iterator[Finding | str]:
    """Read the file that the initramfs uses (ostree-ext, ostree_prepareroot.rs), and the base's own copy of it."""
    for top in ["", _BASE] if context.rootfs.exists(_BASE) else [""]:
        path, config = prepare_root(context, top)
        if path is None or config is None:
            if not top:
                raise NotApplicable("there is no readable prepare-root.conf, which another check reports")
            yield context.missing(
                f"{top}{_PREPARE_ROOT[1]}", f"expected {top}{_PREPARE_ROOT[1]} to enable composefs"
            )
        elif _has_overlay(config):
            yield f"{path} enables composefs"
        else:
            value = config.groups.get("composefs", {}).get("enabled")
            found = f"found enabled={value[:60]}" if value is not None else "it does not set it"
            yield _at(context, path, f"expected {path} to enable composefs, {found}")


def prepare_root(context: CheckContext, top: str = "") -> tuple[str | None, KeyFile | None]:
    """Return the prepare-root.conf that ostree reads, and its content: None if GLib cannot read it."""
    for place in _PREPARE_ROOT:
        path = f"{top}{place}"
        text = context.facts.text(path).text
        if text is None:
            continue
        try:
            return path, read_key_file(text)
        except FormatError:
            return path, None
    return None, None


def _has_overlay(config: KeyFile) -> bool:
    """Return whether the root is composefs or a transient overlay, by the values that ostree accepts."""
    try:
        if config.boolean("root", "transient"):
            return True
        return config.string("composefs", "enabled") in _ENABLED
    except FormatError:
        return False


def _at(context: CheckContext, path: str, message: str) -> Finding:
    entry = context.rootfs.trace(path).entry
    layer = entry.layer if entry is not None else None
    return Finding(message, path, layer, (context.step(layer),) if layer is not None else ())


@check(
    id="COS162",
    name="bootc-leftovers",
    level=Level.WARNING,
    summary="Logs of the build are left in /var/log.",
    why="""`bootc container lint` warns about them (var-log): they do not belong to a machine, describe the system that built the image, and make every build different.""",
    remedy="Delete them in the step that makes them.",
    applies=subjects.bootc,
    cure=remedies.runs(
        "delete the logs in the step that makes them", lambda *_: ("RUN rm -rf /var/log/*",), unwanted=True
    ),
)
def bootc_leftovers(context: CheckContext) -> Iterator[Finding | str]:
    """Look for regular files that are not empty; links and empty files do no harm."""
    top = context.rootfs.trace("/var/log").entry
    inside = context.rootfs.walk(top.path) if top is not None and top.type == "dir" else ()
    files = [entry for entry in inside if entry.type == "file" and entry.size]
    if top is not None and files:
        evidence = tuple(entry.path for entry in files[:_SHOWN])
        yield Finding(f"expected no logs in /var/log, found {len(files)}", top.path, files[0].layer, evidence)
    else:
        yield "/var/log has no logs"


@check(
    id="COS164",
    name="bootc-modules-unindexed",
    level=Level.WARNING,
    summary="The kernel's modules directory has no modules.dep.",
    why="modprobe finds nothing: existing drivers are not loaded, and dracut builds an initramfs without them.",
    remedy="Index the modules of the kernel with depmod.",
    applies=subjects.bootc,
    cure=boot_remedies.depmod,
)
def bootc_modules_unindexed(context: CheckContext) -> Iterator[Finding | str]:
    """Look beside each kernel."""
    for kernel in _kernels(context):
        path = f"{kernel.path.rpartition('/')[0]}/modules.dep"
        if not context.rootfs.exists(path):
            yield context.missing(path, "expected modules.dep, it is not there")
