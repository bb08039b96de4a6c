"""Remedies for files and directories: make, link, move, edit or delete the path of a finding."""

from __future__ import annotations

import posixpath
import re
import shlex

from cosinspect.checks.base import CheckContext, Cure
from cosinspect.checks.remedies import (
    install,
    installs,
    link,
    quoted,
    rebuild_steps,
    remedy_of,
    runs,
    written,
)
from cosinspect.formats.text.systemd import read_unit
from cosinspect.report.evidence import Hop, Line
from cosinspect.report.remedy import Instruction, Remedy
from cosinspect.report.report import Finding

__all__ = [
    "appends",
    "default_target",
    "deletes_line",
    "disables_unit",
    "edits",
    "enables_unit",
    "links_init",
    "links_namesake",
    "links_relatively",
    "makes_directory",
    "merges_directory",
    "moves_to",
    "os_release_for_elemental3",
    "prepare_root",
    "replaces_by_directory",
    "root_filesystem",
    "unmasks",
    "writes",
]

_NOTHING_ELSE = re.compile(r"[\w@.:-]+")


def makes_directory(context: CheckContext, finding: Finding) -> Remedy | None:
    """Make the directory."""
    path = finding.path or ""
    mode = "-m 1777 " if path in ("/tmp", "/var/tmp") else ""  # noqa: S108 - a path of the image
    if context.rootfs.exists(path):
        return replaces_by_directory(context, finding)
    return remedy_of(context, finding, "make the directory", f"RUN mkdir -p {mode}{quoted(path)}")


def replaces_by_directory(context: CheckContext, finding: Finding) -> Remedy | None:
    """Delete the entry in place of a directory, and make the directory."""
    path = quoted(finding.path or "")
    step = f"RUN rm -rf {path} && mkdir {path}"
    return remedy_of(context, finding, "make a directory in its place", step, unwanted=True)


def links_init(context: CheckContext, finding: Finding) -> Remedy | None:
    """Link /sbin/init to systemd; without systemd, install it."""
    target = context.rootfs.trace("/usr/lib/systemd/systemd").entry
    if target is None:
        return installs("systemd", lead="install systemd")(context, finding)
    return remedy_of(context, finding, "link it", link(context, "/sbin/init", target.path))


def links_relatively(context: CheckContext, finding: Finding) -> Remedy | None:
    """Make an absolute link relative, with the same target."""
    path = finding.path or ""
    found = context.rootfs.trace(path).entry
    if found is None or found.path == path:
        return None
    return remedy_of(context, finding, "make the link relative", link(context, path, found.path))


def links_namesake(context: CheckContext, finding: Finding) -> Remedy | None:
    """Link the file of this name that is elsewhere below /usr; without one, install shim and GRUB for EFI."""
    path = finding.path or ""
    found = context.rootfs.glob(f"/usr/**/{posixpath.basename(path)}")
    other = next((each for each in found if each.type == "file" and each.path != path), None)
    if other is None:
        return installs("efi", lead="install shim and GRUB for EFI")(context, finding)
    made = link(context, path, other.path).removeprefix("RUN ")
    lead = f"link {other.path} there"
    return remedy_of(context, finding, lead, f"RUN mkdir -p {quoted(posixpath.dirname(path))} && {made}")


def merges_directory(context: CheckContext, finding: Finding) -> Remedy | None:
    """Restore a link that a directory replaced, and move the directory's content to the link's target."""
    hop = next((each for each in finding.grounds if isinstance(each, Hop)), None)
    if hop is None:
        return None
    path = quoted(hop.path)
    target = quoted(posixpath.normpath(posixpath.join(posixpath.dirname(hop.path), hop.target)))
    step = f"RUN cp -a {path}/. {target}/ && rm -rf {path} && ln -s {quoted(hop.target.lstrip('/'))} {path}"
    return remedy_of(context, finding, "move its files and restore the link", step)


def moves_to(directory: str) -> Cure:
    """Return a cure that moves the file to a directory."""

    def steps(_: CheckContext, finding: Finding) -> tuple[str, ...]:
        return (f"RUN mv {quoted(finding.path or '')} {quoted(directory)}/",)

    return runs(f"move the file to {directory}", steps)


def edits(lead: str, script: str, path: str | None = None) -> Cure:
    """Return a cure that edits a file by a script of sed, the finding's own file if no path is named."""

    def steps(context: CheckContext, finding: Finding) -> tuple[str, ...] | None:
        # A link would be replaced by a file.
        entry = context.rootfs.trace(path or finding.path or "").entry
        return (f"RUN sed -i {shlex.quote(script)} {quoted(entry.path)}",) if entry is not None else None

    return runs(lead, steps)


def deletes_line(lead: str) -> Cure:
    """Return a cure that deletes the line of the evidence."""

    def steps(_: CheckContext, finding: Finding) -> tuple[str, ...] | None:
        line = next((each for each in finding.grounds if isinstance(each, Line) and each.number), None)
        return (f"RUN sed -i {line.number}d {quoted(line.path)}",) if line is not None else None

    return runs(lead, steps)


def writes(lead: str, path: str, *lines: str, then: str = "") -> Cure:
    """Return a cure that writes a file of lines.

    Args:
        lead: the text of the remedy.
        path: of the file.
        lines: its lines.
        then: "initrd" if the initrd has a copy of the file and must be built again.
    """

    def cure(context: CheckContext, finding: Finding) -> Remedy | None:
        directory = posixpath.dirname(path)
        before = "" if context.rootfs.exists(directory) else f"mkdir -p {quoted(directory)} && "
        step = f"RUN {before}{written(*lines)} > {quoted(path)}"
        after = rebuild_steps(context, finding) if then else ()
        return remedy_of(context, finding, lead, step, *after)

    return cure


def appends(lead: str, path: str, *lines: str) -> Cure:
    """Return a cure that adds lines to the end of a file."""
    return runs(lead, lambda *_: (f"RUN {written(*lines)} >> {quoted(path)}",))


def root_filesystem(*types: str, name: str) -> Cure:
    """Return a cure that names the root filesystem of an installation, one that the image can make.

    Args:
        types: the allowed types, the best first.
        name: of the file, which must come after the others that name one.
    """

    def cure(context: CheckContext, finding: Finding) -> Remedy | None:
        usable = next((each for each in types if context.command(f"mkfs.{each}")), types[0])
        path = f"/usr/lib/bootc/install/{name}"
        lines = ("[install.filesystem.root]", f'type = "{usable}"')
        return writes(f"choose {usable} for the root", path, *lines)(context, finding)

    return cure


def prepare_root(context: CheckContext, finding: Finding) -> Remedy | None:
    """Enable composefs in prepare-root.conf, and build the initramfs with it."""
    path = finding.path or "/usr/lib/ostree/prepare-root.conf"
    lines = context.facts.text(path).text or ""
    if "[composefs]" in lines:
        step = f"RUN sed -i '/^\\[composefs\\]/,/^\\[/s/^enabled.*/enabled = true/' {quoted(path)}"
    else:
        step = f"RUN {written('[composefs]', 'enabled = true')} >> {quoted(path)}"
    return remedy_of(
        context,
        finding,
        "enable composefs and build the initramfs again",
        step,
        *rebuild_steps(context, finding),
    )


# -- units -------------------------------------------------------------------------------------------------------------


def _unit_of(finding: Finding) -> str | None:
    name = posixpath.basename(finding.path or "")
    return name if _NOTHING_ELSE.fullmatch(name) else None


def enables_unit(context: CheckContext, finding: Finding) -> Remedy | None:
    """Enable a unit whose link is missing: by its section Install, or by the link itself."""
    unit, path = _unit_of(finding), finding.path or ""
    if unit is None:
        return None
    place = next(
        (
            each
            for each in (f"/etc/systemd/system/{unit}", f"/usr/lib/systemd/system/{unit}")
            if context.rootfs.exists(each)
        ),
        None,
    )
    if place is None:
        return None
    text = context.facts.text(place).text
    wanted = posixpath.basename(posixpath.dirname(path))
    installed = read_unit(text) if text is not None else None
    keys = {".wants": ("WantedBy",), ".requires": ("RequiredBy",)}.get(
        posixpath.splitext(wanted)[1], ("WantedBy", "RequiredBy")
    )
    targets = [
        target
        for key in keys
        for value in (installed.values("Install", key) if installed is not None else ())
        for target in value.split()
    ]
    if posixpath.splitext(wanted)[0] in targets or (wanted == "*" and targets):
        return remedy_of(context, finding, "enable the unit", f"RUN systemctl enable {unit}")
    if wanted == "*":  # releases of the generation differ in the target
        path = f"/etc/systemd/system/multi-user.target.wants/{unit}"
    directory = (
        ""
        if context.rootfs.exists(posixpath.dirname(path))
        else f"mkdir -p {quoted(posixpath.dirname(path))} && "
    )
    made = link(context, path, place).removeprefix("RUN ")
    return remedy_of(context, finding, "make the link that starts the unit", f"RUN {directory}{made}")


def unmasks(context: CheckContext, finding: Finding) -> Remedy | None:
    """Unmask a unit: systemctl removes a link to /dev/null below /etc; an empty file is deleted; else the package brings the unit."""
    unit = _unit_of(finding)
    if unit is None:
        return None
    own = context.rootfs.trace(f"/etc/systemd/system/{unit}", follow=False).entry
    if own is not None and own.type == "symlink":
        return remedy_of(context, finding, "unmask the unit", f"RUN systemctl unmask {unit}", unwanted=True)
    if own is not None:
        return remedy_of(
            context, finding, "delete the empty file", f"RUN rm {quoted(own.path)}", unwanted=True
        )
    step: Instruction | None = install(context, finding.path or unit, again=True)
    return remedy_of(context, finding, "install the package of the unit again", step)


def disables_unit(context: CheckContext, finding: Finding) -> Remedy | None:
    """Disable the unit of the finding."""
    unit = _unit_of(finding)
    return remedy_of(context, finding, "disable the unit", f"RUN systemctl disable {unit}") if unit else None


def default_target(context: CheckContext, finding: Finding) -> Remedy | None:
    """Set a default target that the image has; without one, install systemd again."""
    usual = "/usr/lib/systemd/system/multi-user.target"
    if "default.target" in (finding.path or "") and context.rootfs.exists(usual):
        return remedy_of(
            context, finding, "set the default target", "RUN systemctl set-default multi-user.target"
        )
    step = install(context, "udev" if "udev" in (finding.path or "") else "systemd", again=True)
    return remedy_of(context, finding, "install the package of systemd again", step)


def os_release_for_elemental3(context: CheckContext, finding: Finding) -> Remedy | None:
    """Make the link to os-release relative, or name the system in it."""
    made = links_relatively(context, finding)
    if made is not None and context.rootfs.trace(finding.path or "").hops:
        return made
    return remedy_of(
        context, finding, "name the system in it", f"RUN echo ID=linux >> {quoted(finding.path or '')}"
    )
