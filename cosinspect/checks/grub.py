"""Checks on GRUB: the menu that installation copies to disk, and the bootargs.cfg that each boot reads from the image."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks.base import CheckContext, NotApplicable, check
from cosinspect.checks.boot_path import BOOTS_FROM_DISK
from cosinspect.formats.boot.bootargs import BootMarkers, Setting, boot_markers, leftover_placeholders
from cosinspect.formats.boot.grub import read_grub_script
from cosinspect.report.report import Capability, Finding, Level

__all__ = [
    "bootargs_generation",
    "bootargs_incomplete",
    "bootargs_iso_scan",
    "bootargs_missing",
    "grub_config_broken",
    "grub_config_missing",
    "grub_tools_missing",
    "menu_path",
    "template_placeholder",
]

READS = ("etc/{cos,elemental}/*.cfg", "system/oem/*.{yaml,yml}")
INSTALLS = (Capability.INSTALL, Capability.RECOVERY)
PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_LOADERS = ("linux", "linux16", "linuxefi", "$linux")


def menu_path(context: CheckContext) -> str:
    """Give the path of the menu that installation copies.

    Raises:
        NotApplicable: the generation has none.
    """
    generation = context.generation
    if not generation.grub_config:
        raise NotApplicable(f"{generation.title} has no menu of GRUB")
    paths = (generation.grub_config, generation.grub_config_fallback)
    return next((path for path in paths if path and context.rootfs.exists(path)), generation.grub_config)


def _at(context: CheckContext, path: str, message: str, line: int | None = None) -> Finding:
    entry = context.rootfs.trace(path).entry
    layer = entry.layer if entry is not None else None
    evidence = (f"{path}:{line}",) if line is not None else ()
    return Finding(message, path, layer, (*evidence, *((context.step(layer),) if layer is not None else ())))


@check(
    id="COS040",
    name="grub-config-missing",
    level=Level.ERROR,
    capabilities=INSTALLS,
    summary="There is no grub.cfg for installation to copy.",
    why="Installation stops with `Failed reading grub config file`; a disk made without it ends at the grub> prompt.",
    remedy="Install system/grub2-config, or put your own menu at /etc/cos/grub.cfg.",
    reads=READS,
)
def grub_config_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the file."""
    path = menu_path(context)
    if context.facts.text(path).text is None:
        yield context.missing(path, f"expected GRUB's menu at {path}, it is not there")
    else:
        yield f"{path} is there"


@check(
    id="COS041",
    name="grub-config-broken",
    level=Level.ERROR,
    capabilities=INSTALLS,
    summary="The grub.cfg cannot start the image.",
    why="The installed disk shows a menu whose entries load nothing, or the grub> prompt.",
    remedy="Start from the toolkit's grub.cfg: each entry loops the image, sources its bootargs.cfg, and loads $kernel.",
    reads=READS,
)
def grub_config_broken(context: CheckContext) -> Iterator[Finding | str]:
    """Read the menu: it must have entries, and source bootargs.cfg."""
    path = menu_path(context)
    text = context.facts.text(path).text
    if text is None:
        raise NotApplicable(f"{path} is not there")
    script = read_grub_script(text)
    bad = False
    for problem in script.problems:
        bad = True
        yield _at(context, path, problem.message, problem.line)
    if bad:
        return
    if not script.entries:
        yield _at(context, path, "expected menu entries, found none")
    elif not any(source.path.endswith("bootargs.cfg") for source in script.sourced):
        yield _at(context, path, "expected it to source the image's bootargs.cfg, it does not")
    elif not any(command.name in _LOADERS for command in script.commands):
        yield _at(context, path, "expected a `linux` command that loads the kernel, found none")
    else:
        yield f"{path} has {len(script.entries)} menu entries and sources bootargs.cfg"


@check(
    id="COS042",
    name="bootargs-missing",
    level=Level.ERROR,
    capabilities=BOOTS_FROM_DISK,
    summary="There is no bootargs.cfg in the image.",
    why="Every boot reads it from the image: without it GRUB prints `you need to load the kernel first`.",
    remedy="Install system/grub2-config, or put your own at /etc/cos/bootargs.cfg.",
    reads=READS,
)
def bootargs_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the file."""
    if not context.generation.bootargs:
        raise NotApplicable(f"nothing reads a bootargs.cfg of {context.generation.title}")
    path = context.generation.bootargs if context.facts.bootargs is None else context.facts.bootargs_path
    if context.facts.bootargs is None:
        yield context.missing(path, f"expected {path}, it is not there")
    else:
        yield f"{path} is there"


def _settings(context: CheckContext) -> dict[str, tuple[Setting, ...]]:
    bootargs = context.facts.bootargs
    if bootargs is None:
        raise NotApplicable("there is no bootargs.cfg")
    return {"kernel": bootargs.kernel, "kernelcmd": bootargs.kernelcmd, "initramfs": bootargs.initramfs}


@check(
    id="COS043",
    name="bootargs-incomplete",
    level=Level.ERROR,
    capabilities=BOOTS_FROM_DISK,
    summary="The bootargs.cfg does not set everything that GRUB needs.",
    why="GRUB loads `$kernel` with `$kernelcmd` and `$initramfs`; what is empty is not found.",
    remedy='Set all three: set kernel=/boot/vmlinuz, set initramfs=/boot/initrd, set kernelcmd="root=LABEL=...".',
    reads=READS,
)
def bootargs_incomplete(context: CheckContext) -> Iterator[Finding | str]:
    """Read which variables it sets."""
    path = context.facts.bootargs_path
    bootargs = context.facts.bootargs
    settings = _settings(context)
    bad = False
    for problem in bootargs.problems if bootargs is not None else ():
        bad = True
        yield _at(context, path, problem.message, problem.line)
    for name, values in settings.items():
        if not any(value.value.strip() for value in values):
            bad = True
            yield _at(context, path, f"expected it to set ${name}, it does not")
    if not bad:
        yield ", ".join(
            f"{name}={values[0].value}" for name, values in settings.items() if name != "kernelcmd"
        )


@check(
    id="COS044",
    name="template-placeholder",
    level=Level.ERROR,
    capabilities=BOOTS_FROM_DISK,
    summary="A configuration file is an unrendered template.",
    why="Labels such as @STATE_LABEL@ match no partition: the boot waits for a device that never comes.",
    remedy="Install the package that was built from the template, not the template itself.",
    reads=READS,
)
def template_placeholder(context: CheckContext) -> Iterator[Finding | str]:
    """Look for `@NAME@` in GRUB's files and the cloud-configs."""
    paths = [
        menu_path(context),
        context.facts.bootargs_path,
        *(item.path for item in context.facts.cloud_configs),
    ]
    for path in dict.fromkeys(paths):
        text = context.facts.text(path).text
        for placeholder in leftover_placeholders(text) if text is not None else ():
            yield _at(
                context,
                path,
                f"expected a label, found the placeholder @{placeholder.name}@",
                placeholder.line,
            )


def _markers(context: CheckContext) -> list[tuple[Setting, BootMarkers]]:
    found = [
        (setting, boot_markers(setting.value))
        for setting in _settings(context)["kernelcmd"]
        if setting.value.strip()
    ]
    if not found:
        raise NotApplicable("bootargs.cfg sets no kernel command line")
    return found


def _has_live(context: CheckContext) -> bool:
    initrd = context.facts.initrd
    return initrd is not None and (
        "dmsquash-live" in (initrd.dracut_modules or ()) or initrd.exists("sbin/iso-scan")
    )


def _scans(context: CheckContext, setting: Setting, markers: BootMarkers) -> bool:
    """Say whether dracut's own hook loops the image, and the root is then found by the label of that image."""
    given = markers.image_parameters
    if "iso-scan/filename" not in given or "cos-img/filename" in given or not _has_live(context):
        return False
    looped = boot_markers(setting.value.replace("iso-scan/filename", "cos-img/filename"))
    return not looped.generations.isdisjoint(("G1", "G2"))


@check(
    id="COS045",
    name="bootargs-generation",
    level=Level.ERROR,
    capabilities=BOOTS_FROM_DISK,
    summary="The bootargs.cfg is made for the initrd of another generation.",
    why="""The initrd does not understand the kernel arguments: the image file is not looped, its labels are not found,
        the boot ends in the emergency shell.""",
    remedy="Take bootargs.cfg and the dracut module from the same release of the toolkit, and build the initrd again.",
    reads=READS,
)
def bootargs_generation(context: CheckContext) -> Iterator[Finding | str]:
    """Compare the kernel arguments with the generation that the dracut module shows."""
    if not context.generation.kernel_argument:
        raise NotApplicable(f"the command lines of {context.generation.title} are not known")
    path = context.facts.bootargs_path
    own = context.facts.generation
    wanted = f"{context.generation.kernel_argument} and root=LABEL=${context.generation.root_variable}"
    fitting = 0
    for setting, markers in _markers(context):
        if own in markers.generations:
            fitting += 1
        elif _scans(context, setting, markers):
            fitting += 1  # another check warns
        else:
            made_for = " or ".join(sorted(markers.generations)) or "no generation"
            yield _at(
                context,
                path,
                f"expected {wanted} for {own}, found a command line for {made_for}: {setting.value[:160]}",
                setting.line,
            )
    if fitting:
        yield f"{fitting} kernel command lines fit {own}"


@check(
    id="COS046",
    name="bootargs-iso-scan",
    level=Level.WARNING,
    capabilities=(Capability.UPGRADE,),
    summary="The bootargs.cfg has dracut's iso-scan loop the image instead of cOS.",
    why="The machine boots, but the state partition is not mounted at /run/initramfs/cos-state: it cannot be upgraded.",
    remedy="Write cos-img/filename=$img instead of iso-scan/filename=$img.",
    reads=READS,
)
def bootargs_iso_scan(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the argument that older documentation shows."""
    if context.generation.kernel_argument != "cos-img/filename":
        raise NotApplicable(f"{context.generation.title} has its image looped otherwise")
    path = context.facts.bootargs_path
    for setting, markers in _markers(context):
        if _scans(context, setting, markers):
            yield _at(
                context,
                path,
                f"expected {context.generation.kernel_argument}, found iso-scan/filename",
                setting.line,
            )


@check(
    id="COS047",
    name="grub-tools-missing",
    level=Level.ERROR,
    capabilities=(Capability.INSTALL, Capability.UPGRADE, Capability.RECOVERY),
    summary="The image lacks the GRUB commands that install and upgrade call.",
    why="""elemental calls grub2-install and grub2-editenv by these very names, on a system that runs this image:
        installation fails, an upgrade ends in `Error running rebrand`.""",
    remedy="Install GRUB; where its commands are called grub-install and grub-editenv, link them: RUN ln -s grub-editenv /usr/bin/grub2-editenv",
)
def grub_tools_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the commands in PATH."""
    if not context.generation.grub_tools:
        raise NotApplicable(f"{context.generation.title} calls none")
    for names in context.generation.grub_tools:
        found = next(filter(None, (find_command(context, name) for name in names)), None)
        if found is not None:
            yield f"{found} is there"
            continue
        known = find_command(context, names[0].replace("grub2", "grub"))
        evidence = (f"{known} is there, under a name that is not looked for",) if known else ()
        wanted = " or ".join(names)
        yield Finding(
            f"expected the command {wanted}, it is not in the image", f"/usr/sbin/{names[0]}", None, evidence
        )


def find_command(context: CheckContext, name: str) -> str | None:
    """Give the path at which a command is found, as a shell finds it, None where it is not."""
    for top in PATH:
        entry = context.rootfs.trace(f"{top}/{name}").entry
        if entry is not None and entry.is_executable:
            return f"{top}/{name}"
    return None
