"""Remedies for the files that boot: the links to kernel and initrd, bootargs.cfg, the drivers of the initrd."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from cosinspect.checks.base import CheckContext, Cure
from cosinspect.checks.remedies import (
    install,
    kernel_version,
    link,
    quoted,
    rebuild_steps,
    remedy_of,
    removed,
    runs,
    toolkit_step,
)
from cosinspect.report.remedy import Instruction, Remedy
from cosinspect.report.report import Finding

__all__ = [
    "bootupd_bios",
    "bootupd_missing",
    "bootupd_payload",
    "depmod",
    "index_modules",
    "initrd_missing",
    "kernel_hmac",
    "kernel_link",
    "kernel_package",
    "links_directly",
    "lists_boot_files",
    "module_of_toolkit",
    "needs_dracut_modules",
    "needs_drivers",
    "needs_in_initrd",
    "package_of_module",
    "takes_out_argument",
]

_KERNELS = (
    "/boot/vmlinuz-*",
    "/boot/Image-*",
    "/boot/zImage-*",
    "/usr/lib/modules/*/vmlinuz*",
    "/usr/lib/modules/*/Image*",
)


def _usable_kernels(context: CheckContext) -> Iterable[str]:
    """Yield the kernels of the image for its own architecture, those in /boot first."""
    for pattern in _KERNELS:
        for entry in context.rootfs.glob(pattern):
            found = context.facts.kernel_at(entry.path) if entry.type == "file" else None
            kernel = found.kernel if found is not None else None
            if kernel is not None and context.facts.architecture in (None, kernel.architecture):
                yield entry.path


def kernel_link(context: CheckContext, finding: Finding) -> Remedy | None:
    """Link the kernel that the image has; without one, install its package."""
    path = finding.path or ""
    usable = next(iter(_usable_kernels(context)), None)
    if usable is not None and usable != path:
        return remedy_of(
            context, finding, "link the kernel that is in the image", link(context, path, usable)
        )
    return kernel_package(context, finding)


def kernel_package(context: CheckContext, finding: Finding) -> Remedy | None:
    """Install the kernel's package, or write its files again."""
    step = install(context, "kernel", again=removed(finding) is not None or bool(kernel_version(context)))
    return remedy_of(context, finding, "install the kernel's package again", step) if step else None


def links_directly(context: CheckContext, finding: Finding) -> Remedy | None:
    """Link a file without the links between."""
    path = finding.path or ""
    found = context.rootfs.trace(path).entry
    if found is None:
        return None
    return remedy_of(context, finding, "link the file directly", link(context, path, found.path))


def lists_boot_files(context: CheckContext, finding: Finding) -> Remedy | None:
    """Link in /boot the kernel or the initrd that boots."""
    is_initrd = "initr" in (finding.path or "").rpartition("/")[2]
    path = "/boot/initrd" if is_initrd else "/boot/vmlinuz"
    files = context.facts.initrds if is_initrd else context.facts.kernels
    found = next((each.trace.entry for each in files if each.trace.entry is not None), None)
    if found is None or found.path == path:
        return None
    return remedy_of(context, finding, "link the file that boots", link(context, path, found.path))


def initrd_missing(context: CheckContext, finding: Finding) -> Remedy | None:
    """Link the initrd that the image has; without one, build it."""
    path = finding.path or ""
    step = toolkit_step(context, "boot")
    version = kernel_version(context)
    trace = context.rootfs.trace(path)
    for name in (
        f"/boot/initrd-{version}",
        f"/boot/elemental.initrd-{version}",
        f"/boot/initrd.img-{version}",
    ):
        entry = context.rootfs.trace(name).entry
        is_other = version and entry is not None and entry.type == "file" and trace.at != name
        if is_other and context.facts.initrd_at(name).initrd is not None:
            return remedy_of(
                context, finding, "link the initrd that is in the image", link(context, path, name)
            )
    steps = rebuild_steps(context, finding)
    if step is not None and (trace.hops or not steps):
        return remedy_of(context, finding, "build the initrd again", step)
    return remedy_of(context, finding, "build the initrd", *steps) if steps else None


def depmod(context: CheckContext, finding: Finding) -> Remedy | None:
    """Index the modules of the finding's directory, by the kmod of the image."""
    found = re.search(r"/lib/modules/([^/]+)", finding.path or "")
    if found is None:
        return None
    before = None if context.command("depmod") else install(context, "kmod")
    return remedy_of(context, finding, "index the modules", before, f"RUN depmod -a {quoted(found[1])}")


def kernel_hmac(context: CheckContext, finding: Finding) -> Remedy | None:
    """Write the checksum file beside the kernel."""
    found = re.match(r"(/usr/lib/modules/[^/]+)/", finding.path or "")
    if found is None:
        return None
    before = None if context.command("sha512hmac") else install(context, "hmac")
    step = f"RUN cd {quoted(found[1])} && sha512hmac vmlinuz > .vmlinuz.hmac"
    return remedy_of(context, finding, "write it", before, step)


# -- bootupd -------------------------------------------------------------------------------------------------------------

_METADATA = "RUN bootupctl backend generate-update-metadata /"


def bootupd_missing(context: CheckContext, finding: Finding) -> Remedy | None:
    """Install bootupd and generate its metadata; without it, systemd-boot needs a unified kernel image."""
    if context.rootfs.glob("/boot/EFI/Linux/*.efi"):
        step = install(context, "systemd", again=removed(finding) is not None)
        return remedy_of(context, finding, "install systemd's bootctl", step)
    again = removed(finding) is not None
    before = None if context.command("bootupctl") else install(context, "bootupd", again=again)
    return remedy_of(context, finding, "install bootupd and generate its metadata", before, _METADATA)


def bootupd_payload(context: CheckContext, finding: Finding) -> Remedy | None:
    """Install one shim and GRUB, and generate the metadata of bootupd."""
    step = install(context, "efi", again=context.rootfs.exists(finding.path or ""))
    return remedy_of(
        context, finding, "install GRUB with exactly one shim and generate the metadata", step, _METADATA
    )


def bootupd_bios(context: CheckContext, finding: Finding) -> Remedy | None:
    """Install GRUB for the other kind of firmware, and generate the metadata of bootupd."""
    component = "grub-bios" if "BIOS" in (finding.path or "") else "efi"
    lead = "install GRUB for the firmware and generate the metadata"
    return remedy_of(context, finding, lead, install(context, component), _METADATA)


# -- what the initrd must have -------------------------------------------------------------------------------------------


def _with_setting(
    context: CheckContext,
    finding: Finding,
    lead: str,
    setting: str,
    name: str,
    *before: str | Instruction | None,
) -> Remedy | None:
    steps = rebuild_steps(context, finding, setting, name=name)
    return remedy_of(context, finding, lead, *before, *steps) if steps else None


def needs_in_initrd(*names: str) -> Cure:
    """Return a cure that makes dracut add commands to the initrd, and installs them first if the image lacks them."""

    def cure(context: CheckContext, finding: Finding) -> Remedy | None:
        paths = [context.command(name) for name in names]
        absent = [name for name, path in zip(names, paths, strict=True) if path is None]
        before = install(context, *absent) if absent else None
        if absent and before is None:
            return None
        wanted = " ".join(path or name for path, name in zip(paths, names, strict=True))
        setting = f'install_items+=" {wanted} "'
        return _with_setting(
            context, finding, "have dracut take it into the initrd", setting, "commands", before
        )

    return cure


def needs_drivers(*names: str) -> Cure:
    """Return a cure that makes dracut add drivers to the initrd."""
    setting = f'add_drivers+=" {" ".join(names)} "'
    return lambda context, finding: _with_setting(
        context, finding, "have dracut take the drivers into the initrd", setting, "drivers"
    )


def needs_dracut_modules(*names: str) -> Cure:
    """Return a cure that makes dracut add its modules to the initrd, and installs them first if the image lacks them."""

    def cure(context: CheckContext, finding: Finding) -> Remedy | None:
        absent = [
            name
            for name in names
            if not context.rootfs.glob(f"/usr/lib/dracut/modules.d/[0-9][0-9]*{name}/module-setup.sh")
        ]
        before = install(context, *(_MODULES.get(name, name) for name in absent)) if absent else None
        setting = f'add_dracutmodules+=" {" ".join(names)} "'
        return _with_setting(
            context, finding, "have dracut take its modules into the initrd", setting, "modules", before
        )

    return cure


# The components that bring modules of dracut.
_MODULES = {"dmsquash-live": "dracut-live", "livenet": "dracut-live", "network": "dracut-network"}


def package_of_module(name: str) -> Cure:
    """Return a cure that installs the package of a module of dracut."""

    def cure(context: CheckContext, finding: Finding) -> Remedy | None:
        lead = f"install the package of the module {name}, or correct the name"
        return remedy_of(context, finding, lead, install(context, _MODULES.get(name, name), again=True))

    return cure


def module_of_toolkit(context: CheckContext, finding: Finding) -> Remedy | None:
    """Make dracut add the toolkit's module, and install the module first if the image lacks it."""
    table = context.generation
    before = None if context.rootfs.exists(table.dracut_directory) else toolkit_step(context, "module")
    setting = f'add_dracutmodules+=" {table.dracut_module} "'
    lead = "have dracut take the toolkit's module into the initrd"
    return _with_setting(context, finding, lead, setting, "toolkit", before)


def index_modules(context: CheckContext, finding: Finding) -> Remedy | None:
    """Index the modules of the kernel, and build the initrd with the index."""
    version = kernel_version(context)
    steps = rebuild_steps(context, finding)
    if version is None or not steps:
        return None
    before = None if context.command("depmod") else install(context, "kmod")
    lead = "index the modules and build the initrd again"
    return remedy_of(context, finding, lead, before, f"RUN depmod -a {quoted(version)}", *steps)


# -- bootargs.cfg --------------------------------------------------------------------------------------------------------


def takes_out_argument(argument: str) -> Cure:
    """Return a cure that removes an argument of the kernel from bootargs.cfg."""

    def steps(context: CheckContext, _: Finding) -> tuple[str, ...]:
        plain = re.sub(r"([\\.*^$\[\]/&])", r"\\\1", argument)
        script = shlex.quote(f"s/ *{plain}\\b//")
        return (f"RUN sed -i {script} {quoted(context.facts.bootargs_path)}",)

    return runs("take the argument out", steps)
