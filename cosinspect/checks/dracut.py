"""Checks on dracut's files in the image, from which the next initrd is built."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks import boot_remedies, file_remedies, remedies
from cosinspect.checks.base import CheckContext, NotApplicable, check
from cosinspect.report.report import Finding, Level

__all__ = [
    "dracut_config_missing",
    "dracut_hostonly_set",
    "dracut_missing",
    "dracut_module_incomplete",
    "dracut_module_unknown",
]

_MODULES = "/usr/lib/dracut/modules.d"
_READS = ("etc/dracut.conf", "{etc,usr/lib/dracut}/dracut.conf.d/*.conf")

_DIRECTORIES = ("/etc/dracut.conf.d", "/usr/lib/dracut/dracut.conf.d")


@check(
    id="COS050",
    name="dracut-module-incomplete",
    level=Level.WARNING,
    summary="The cOS dracut module is missing or incomplete in the image.",
    why="The present initrd may be complete, but the next one that dracut builds does not boot.",
    remedy="Install the toolkit's dracut module, and let no later step delete below /usr/lib/dracut.",
    cure=remedies.from_toolkit("module", "install the dracut module"),
)
def dracut_module_incomplete(context: CheckContext) -> Iterator[Finding | str]:
    """Look for each of its files."""
    generation = context.generation
    if not generation.dracut_files:
        raise NotApplicable(f"other tools also build initrds of {generation.title}")
    missing = [
        path
        for name in generation.dracut_files
        if not context.rootfs.exists(path := f"{generation.dracut_directory}/{name}")
    ]
    for path in missing:
        yield context.missing(path, f"expected {path}, it is not there")
    if not missing:
        yield f"{generation.dracut_directory} is complete"


@check(
    id="COS051",
    name="dracut-config-missing",
    level=Level.WARNING,
    summary="A dracut drop-in that builds cOS into an initrd is missing.",
    why="The module is included only on request: the next initrd that dracut builds lacks it, or its services.",
    remedy="Install the toolkit's drop-ins for dracut.",
    cure=remedies.from_toolkit("dropins", "install the drop-ins"),
)
def dracut_config_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for each drop-in."""
    if not context.generation.dracut_configs:
        raise NotApplicable(f"{context.generation.title} has no drop-ins of its own")
    found = 0
    for name in context.generation.dracut_configs:
        if any(context.rootfs.exists(f"{directory}/{name}") for directory in _DIRECTORIES):
            found += 1
        else:
            path = f"{_DIRECTORIES[0]}/{name}"
            yield context.missing(path, f"expected {path}, it is not there")
    yield f"{found} of {len(context.generation.dracut_configs)} drop-ins exist"


@check(
    id="COS052",
    name="dracut-missing",
    level=Level.NOTE,
    summary="dracut is not in the image.",
    why="No initrd can be built from the image itself; the present one is not affected.",
    remedy="Install dracut, unless initrds are built elsewhere.",
    cure=remedies.installs("dracut", lead="install dracut"),
)
def dracut_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the command."""
    table = context.derivative
    if table is not None and not table.dracut_module:
        raise NotApplicable(f"{table.title} has no initrd of dracut")
    if context.command("dracut") is None:
        yield Finding("expected the command dracut, it is not in the image", "/usr/bin/dracut")


@check(
    id="COS053",
    name="dracut-module-unknown",
    level=Level.WARNING,
    summary="A drop-in of dracut requests a module that is not in the image.",
    why="dracut prints one line and builds the initrd without the module: its function is missing at boot.",
    remedy="Install the package that has the module, or correct the name.",
    reads=_READS,
)
def dracut_module_unknown(context: CheckContext) -> Iterator[Finding | str]:
    """Look for each module that the drop-ins name (dracut.conf(5); directories are named 90lvm)."""
    context.require_toolkit()
    settings = context.facts.dracut
    directory = context.rootfs.trace(_MODULES).entry
    if directory is None or directory.type != "dir":
        raise NotApplicable(f"there is no {_MODULES}")
    known = {name.lstrip("0123456789") for name in context.rootfs.children(directory)}
    wanted = {
        name: key
        for key in ("force_add_dracutmodules", "add_dracutmodules")
        for name in settings.words(key)
        if name not in settings.omit_dracutmodules
    }
    for name, key in sorted(wanted.items()):
        if name not in known:
            named = (
                tuple(
                    path
                    for path in settings.origins[key]
                    if name in (context.facts.text(path).text or "").split()
                )
                or settings.origins[key]
            )
            finding = Finding(
                f"expected the dracut module {name}, as {named[0]} requests, found none", named[0]
            )
            yield remedies.with_cure(context, finding, boot_remedies.package_of_module(name))
    if wanted.keys() <= known:
        yield f"the image has every module that drop-ins name ({len(wanted)})"


@check(
    id="COS054",
    name="dracut-hostonly-set",
    level=Level.WARNING,
    summary="The configuration makes dracut build initrds for one machine only.",
    why="""The present initrd may be generic, but the next one has only the drivers of the machine or container that
        builds it; other machines do not boot from it.""",
    remedy='Set hostonly="no" in a drop-in that comes last: of several that set it, the last by name counts.',
    reads=_READS,
    cure=file_remedies.writes(
        "set it in a drop-in that comes last", "/etc/dracut.conf.d/zz-hostonly.conf", 'hostonly="no"'
    ),
)
def dracut_hostonly_set(context: CheckContext) -> Iterator[Finding | str]:
    """Merge the drop-ins in dracut's order."""
    context.require_toolkit()
    settings = context.facts.dracut
    if settings.hostonly is None:
        raise NotApplicable("no drop-in sets it, which leaves it to the distribution")
    (*_, last) = settings.origins["hostonly"]
    if settings.hostonly:
        yield Finding("expected hostonly to be off, it is on", last)
    else:
        yield f"{last} has hostonly off"
