"""Checks on files of the image below directories over which an installed machine mounts file systems."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve

from cosinspect.checks import remedies
from cosinspect.checks.base import CheckContext, NotApplicable, check
from cosinspect.checks.units import READS as UNIT_READS
from cosinspect.checks.units import started_services
from cosinspect.facts.cloud_configs import CLOUD_CONFIG_DIRECTORIES
from cosinspect.formats.text.systemd import exec_commands
from cosinspect.report.display import counted
from cosinspect.report.evidence import Evidence, Mention
from cosinspect.report.remedy import Remedy
from cosinspect.report.report import Finding, Level
from cosinspect.rootfs.rootfs import Entry

__all__ = ["covered_files", "covered_link", "covered_program", "kept_files"]

_SHOWN = 5
_PERSISTENT = "/usr/local"


def _covered(context: CheckContext) -> tuple[str, ...]:
    """Return the directories that are mounted over, by the image's own layout if it sets VOLUMES.

    Raises:
        NotApplicable: none is known.
    """
    tops = context.generation.covered
    if not tops:
        raise NotApplicable(f"{context.generation.title} has no known mounts over the image")
    volumes = context.cloud_configs.layout(context.boot_world("rootfs")).get("VOLUMES")
    if volumes is not None and _PERSISTENT in tops:
        arguments = context.facts.text(context.facts.bootargs_path).text or ""
        if not any(f":{_PERSISTENT}" in word for word in (*volumes.split(), *arguments.split())):
            return tuple(top for top in tops if top != _PERSISTENT)
    return tops


def _below(path: str, tops: tuple[str, ...]) -> str | None:
    return next((top for top in tops if path == top or path.startswith(f"{top}/")), None)


def _findings(context: CheckContext, tops: tuple[str, ...], why: str) -> Iterator[Finding | str]:
    """Find the directories of `tops` that hold files; `why` states the effect."""
    clean = True
    for top in tops:
        if files := _files(context, top):
            clean = False
            finding = Finding(
                f"expected no files in {top}, {why}, found {len(files)}",
                top,
                files[0].layer,
                _listed(context, files),
            )
            yield evolve(finding, remedy=_moved(top, files))
    if clean:
        yield f"there are no files in {' '.join(tops)}"


def _moved(top: str, files: list[Entry]) -> Remedy:
    """Return the remedy: leave the files out of their layer if they are of one, or move them."""
    layers = {entry.layer for entry in files}
    layer = layers.pop() if len(layers) == 1 else 0
    lead = "put the files elsewhere below /usr, or write them from a cloud-config"
    if top in ("/run", "/tmp"):  # noqa: S108 - paths of the image
        return Remedy.of(
            "Delete the files in the step that made them", f"RUN rm -rf {top}/*", omits=layer or None
        )
    if layer:
        return Remedy(f"Leave the files out of layer {layer}, or {lead}.", omits=layer)
    return Remedy(f"{lead[:1].upper()}{lead[1:]}.")


def _files(context: CheckContext, top: str) -> list[Entry]:
    directory = context.rootfs.trace(top, follow=False).entry
    if directory is None or directory.type != "dir":
        return []
    return [
        entry
        for entry in context.rootfs.walk(top)
        if entry.type != "dir"
        and not (entry.name.endswith((".yaml", ".yml")) and _below(entry.path, CLOUD_CONFIG_DIRECTORIES))
    ]


def _listed(context: CheckContext, files: list[Entry]) -> tuple[Evidence, ...]:
    layers = dict.fromkeys(entry.layer for entry in files)
    steps = tuple(context.step(layer) for layer in list(layers)[:_SHOWN])
    return (*(entry.path for entry in files[:_SHOWN]), *steps)


@check(
    id="COS120",
    name="covered-files",
    level=Level.WARNING,
    summary="Files are in a directory over which an installed machine mounts another file system.",
    why="""The machine's own partitions are mounted at /oem and over /usr/local, and /run and /tmp are in memory: the image's files there are hidden on a machine, although a container sees them.""",
    remedy="Put the files elsewhere, such as below /usr, or write them from a cloud-config; delete what a step left in /run and /tmp.",
)
def covered_files(context: CheckContext) -> Iterator[Finding | str]:
    """Look for files below each mount point; directories do no harm there."""
    yield from _findings(context, _covered(context), "which is a mount point on an installed machine")


@check(
    id="COS121",
    name="covered-program",
    level=Level.WARNING,
    summary="An enabled unit runs a program that an installed machine does not see.",
    why="The machine's persistent partition is mounted over /usr/local: the program is hidden, and the service fails at every boot.",
    remedy="Install the program below /usr, such as in /usr/bin, and name that path in the unit.",
    reads=UNIT_READS,
)
def covered_program(context: CheckContext) -> Iterator[Finding | str]:
    """Read the units that a link starts, and look at the paths of their programs."""
    tops = _covered(context)
    seen = 0
    for name, path, layer, unit in started_services(context):
        seen += 1
        for command in exec_commands(unit):
            real = context.rootfs.trace(command.path).entry if command.path.startswith("/") else None
            top = _below(command.path, tops) or (_below(real.path, tops) if real is not None else None)
            if top is None or real is None or command.may_fail:
                continue
            finding = Finding(
                f"expected {command.directive} of {name} to run a program that an installed machine sees, found "
                f"{command.path}: {top} is mounted over",
                path,
                layer,
                (Mention(f"{real.path} comes from {context.step(real.layer)}", real.layer),),
            )
            lead = f"install {real.path} in /usr/bin, and name that path in the unit"
            yield remedies.with_cure(context, finding, remedies.by_hand(lead))
    if not seen:
        raise NotApplicable("the image has no service that is started by a link")
    yield f"no service runs a program below {' '.join(tops)} ({counted(seen, 'service')})"


@check(
    id="COS122",
    name="kept-files",
    level=Level.NOTE,
    summary="Files are in a directory in which the machine's files hide those of the image.",
    why="""The machine sees the image's files until it has files of its own at the same names; changed files stay unchanged through every upgrade.""",
    remedy="Move files that upgrades must change to another directory below /usr.",
)
def kept_files(context: CheckContext) -> Iterator[Finding | str]:
    """Look for files in the persistent directories of the image's own system."""
    tops = context.generation.kept
    if not tops:
        raise NotApplicable(f"{context.generation.title} has no such directory")
    yield from _findings(context, tops, "where the machine's files hide those of the image")


@check(
    id="COS123",
    name="covered-link",
    level=Level.WARNING,
    summary="A link leads to a file that an installed machine does not see.",
    why="The machine's own partition is mounted over the link's target: firmware, libraries or programs at the target are hidden.",
    remedy="Move the target below /usr, and let the link lead there.",
    cure=remedies.by_hand("move the target below /usr, and let the link lead there"),
)
def covered_link(context: CheckContext) -> Iterator[Finding | str]:
    """Look for links outside the mount points with targets below them in the image."""
    tops = tuple(top for top in _covered(context) if top in {"/oem", _PERSISTENT})
    names = tuple(f"{top.rpartition('/')[2]}/" for top in tops)
    found = 0
    for entry in context.rootfs.walk("/") if tops else ():
        # The text of a link that leads there names the directory.
        if entry.type != "symlink" or not any(name in f"{entry.link}/" for name in names):
            continue
        if _below(entry.path, context.generation.covered):
            continue
        target = context.rootfs.trace(entry.path).entry
        if target is None or _below(target.path, tops) is None or target.path in tops:
            continue
        if target.type == "dir" and all(each.type == "dir" for each in context.rootfs.walk(target.path)):
            continue  # a directory for mounts or written files: its content is not needed
        found += 1
        if found <= _SHOWN:
            yield Finding(
                f"expected the link {entry.path} to lead to what an installed machine sees, found {target.path}",
                entry.path,
                entry.layer,
                (context.step(entry.layer), f"{_below(target.path, tops)} is mounted over"),
            )
    if not found:
        yield f"no link leads below {' '.join(tops)}"
