"""Checks on the running system: its init, the stage runner and its units, os-release, and mount points."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from cosinspect.checks import file_remedies, remedies
from cosinspect.checks.base import CheckContext, NotApplicable, Undecided, check, words_of
from cosinspect.checks.boot_path import BOOTS, LOADER_READS
from cosinspect.facts.loader import ExecutionFault
from cosinspect.report.report import Finding, Level

__all__ = [
    "cos_units_missing",
    "host_keys_shared",
    "init_link_missing",
    "machine_id_shared",
    "mountpoint_missing",
    "mountpoint_repaired",
    "os_release_missing",
    "stage_runner_missing",
    "starts_openrc",
    "systemd_missing",
]

_SYSTEMD = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
# The directories that elemental makes when it writes an image to disk (CreateDirStructure). It also makes /boot, but an
# image without /boot has no kernel, which another check reports.
_REPAIRED = ("/run", "/sys", "/proc", "/dev", "/tmp", "/usr/local", "/oem")  # noqa: S108 - paths of the image


def _fault(context: CheckContext, path: str) -> ExecutionFault | None:
    """Return the reason why a program cannot be executed.

    Raises:
        Undecided: it may run.
    """
    fault = context.facts.execution.fault(path)
    if fault is not None and fault.is_undecided:
        raise Undecided(f"whether {path} runs is not known: {words_of(path, fault)}")
    return fault


def starts_openrc(context: CheckContext) -> bool:
    """Return whether the image starts with OpenRC instead of systemd, as images of Alpine do."""
    runs = any(_fault(context, path) is None for path in ("/sbin/openrc", "/usr/sbin/openrc", "/bin/openrc"))
    return runs and _fault(context, "/sbin/init") is None and not any(map(context.rootfs.exists, _SYSTEMD))


@check(
    id="COS060",
    name="systemd-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="systemd is not in the image, or cannot run.",
    why="""Without systemd the initrd finds nothing to switch to, and the boot ends in its emergency shell. Without its loader the kernel prints `Failed to execute /sbin/init` and stops; without one of its libraries it panics: `Attempted to kill init`.""",
    remedy="""Install systemd, with the libraries that it is linked to and for the image's architecture; base images for containers often lack
    it. If a layer replaced a link such as /lib by a directory, copy to /usr/lib instead.""",
    reads=LOADER_READS,
    cure=remedies.reinstalls(lead="install systemd and its libraries", else_by="systemd"),
)
def systemd_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the program; /sbin/init is not needed."""
    if (table := context.table) is not None and table.openrc and starts_openrc(context):
        raise NotApplicable("it starts with OpenRC")
    faults = {}
    for path in _SYSTEMD:
        fault = _fault(context, path)
        if fault is None:
            yield f"{path} is there"
            return
        faults[path] = fault
    path = next((path for path in _SYSTEMD if context.rootfs.exists(path)), _SYSTEMD[0])
    yield context.unexecutable(
        path, faults[path], f"expected systemd at {path}, {words_of(path, faults[path])}"
    )


@check(
    id="COS061",
    name="init-link-missing",
    level=Level.WARNING,
    summary="There is no /sbin/init.",
    why="The initrd finds systemd by itself; other ways to start the image (a container, init=) do not.",
    remedy="Link /sbin/init to systemd.",
    cure=file_remedies.links_init,
)
def init_link_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Resolve the link."""
    trace = context.rootfs.trace("/sbin/init")
    if not any(context.rootfs.exists(path) for path in _SYSTEMD):
        raise NotApplicable("there is no systemd to link to")
    if trace.entry is None:
        yield context.broken(trace, "expected /sbin/init, it is missing or dangling")


@check(
    id="COS062",
    name="stage-runner-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The program that runs the boot stages is not in the image, or cannot run.",
    why="""A service that the initrd requires runs it in the root filesystem: it fails, and the boot ends in the
        emergency shell. The copy in the initrd does not help.""",
    remedy="Install the program that runs the boot stages, for the image's platform.",
    reads=LOADER_READS,
    cure=remedies.from_toolkit("runner", "install the program"),
)
def stage_runner_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for one of the alternatives, executable and of the image's architecture."""
    failures: list[Finding] = []
    for names in context.generation.stage_runners:
        faults = {path: fault for path in names if (fault := _fault(context, path)) is not None}
        if not faults:
            yield f"stages are run by {' and '.join(names)}"
            return
        failures.extend(
            context.unexecutable(path, fault, f"expected {path}, {words_of(path, fault)}")
            for path, fault in faults.items()
        )
    # The generation uses the first alternative; a file that exists and cannot run has more information.
    yield next((item for item in failures if item.layer is not None), failures[0])


@check(
    id="COS063",
    name="cos-units-missing",
    level=Level.WARNING,
    summary="Units that run stages after the boot are missing.",
    why="The machine boots to a login; the stages fs, boot, network or reconcile of the cloud-configs never run.",
    remedy="Install the toolkit's units, and let no later step delete them or their links.",
    cure=remedies.from_toolkit("units", "install the units"),
)
def cos_units_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for each unit in systemd's directories."""
    generation = context.generation
    if not generation.units:
        raise NotApplicable(f"the units of {generation.title} are not known")
    found = 0
    for unit in generation.units:
        if any(context.rootfs.exists(f"{directory}/{unit}") for directory in generation.unit_directories):
            found += 1
        else:
            path = f"{generation.unit_directories[1]}/{unit}"
            yield context.missing(path, f"expected the unit {unit}, it is not there")
    yield f"{found} of {len(generation.units)} units are there"


@check(
    id="COS064",
    name="os-release-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="There is neither /etc/os-release nor /usr/lib/os-release.",
    why="systemd refuses to switch to a root without it: `Failed to start initrd-switch-root.service`.",
    remedy="Install the base system's package that has it.",
    reads=("etc/os-release", "usr/lib/os-release"),
    cure=remedies.installs("os-release", lead="install the package that has it"),
)
def os_release_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for either."""
    found = context.facts.os_release
    if found is None:
        yield context.missing(
            "/usr/lib/os-release",
            "expected an os-release, found neither /etc/os-release nor /usr/lib/os-release",
        )
    else:
        path, release = found
        yield f"{path}: {release.values.get('PRETTY_NAME') or release.values.get('NAME') or 'without a name'}"


@check(
    id="COS065",
    name="mountpoint-missing",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="The image lacks a directory that is made writable at boot.",
    why="""The root is read-only, so the directory cannot be made: its mount fails, local-fs.target with it, and the boot
        stops in emergency mode.""",
    remedy="Make the directories in the Dockerfile.",
    cure=file_remedies.makes_directory,
)
def mountpoint_missing(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the directories of RW_PATHS, as the cloud-configs of the image set it or by default."""
    overlays = context.generation.overlays
    if not overlays:
        raise NotApplicable(f"{context.generation.title} boots without them")
    paths = context.cloud_configs.layout(context.boot_world("rootfs")).get("RW_PATHS", "").split() or list(
        overlays
    )
    wanted = [path for path in paths if path.startswith("/") and "$" not in path]
    bad = False
    for path in wanted:
        trace = context.rootfs.trace(path)
        if trace.entry is None and posixpath.normpath(path) in _REPAIRED:
            continue  # another check reports it
        if trace.hops and trace.problem == "missing" and _is_made(trace.at, wanted):
            continue  # systemd follows the links of fstab, and makes the directory if its parent is writable
        if trace.entry is None:
            bad = True
            yield context.broken(trace, f"expected the directory {path}, it is not there")
        elif trace.entry.type != "dir":
            bad = True
            yield Finding(
                f"expected the directory {path}, found a {trace.entry.type}", path, trace.entry.layer
            )
    if not bad:
        yield f"{' '.join(path for path in wanted if context.rootfs.exists(path))} are there"


def _is_made(path: str, writable: list[str]) -> bool:
    """Return whether a directory can be made at boot, because its parent is mounted over (systemd-fstab-generator, CHASE_NONEXISTENT)."""
    tops = (*(posixpath.normpath(each) for each in writable), "/oem", "/run", "/tmp")  # noqa: S108 - paths of the image
    return any(path.startswith(f"{top}/") for top in tops)


@check(
    id="COS066",
    name="mountpoint-repaired",
    level=Level.NOTE,
    summary="A mount point that elemental creates during installation is missing.",
    why="The machine boots if elemental installed or upgraded it; a file system made from the tree alone does not.",
    remedy="Make the directories in the Dockerfile.",
    cure=file_remedies.makes_directory,
)
def mountpoint_repaired(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the directories."""
    for path in _REPAIRED:
        trace = context.rootfs.trace(path)
        own = context.rootfs.trace(path, follow=False).entry
        if own is not None and own.type != "dir" and any(need.paths for need in context.needs):
            continue  # elemental cannot make it either, which another check reports
        if trace.entry is None or trace.entry.type != "dir":
            yield context.broken(trace, f"expected the directory {path}, it is not there")


@check(
    id="COS067",
    name="machine-id-shared",
    level=Level.WARNING,
    summary="The image carries a machine id.",
    why="""Every machine that is installed from it has the same identity: DHCP leases, journals and clusters treat them as one machine, and
        ConditionFirstBoot never holds.""",
    remedy="Empty the file in the last step, or write `uninitialized` into it.",
    reads=("etc/machine-id",),
    universal=True,
    cure=remedies.runs(
        "empty the file", lambda _, finding: (f"RUN truncate -s 0 {remedies.quoted(finding.path or '')}",)
    ),
)
def machine_id_shared(context: CheckContext) -> Iterator[Finding | str]:
    """Read /etc/machine-id (machine-id(5))."""
    found = context.facts.text("/etc/machine-id")
    if found.trace.entry is None:
        raise NotApplicable("there is no /etc/machine-id, which systemd makes at the first boot")
    text = (found.text or "").strip()
    if re.fullmatch("[0-9a-f]{32}", text) and text.strip("0"):
        layer = found.trace.entry.layer
        yield Finding(
            f"expected no id of a machine, found {text[:8]}...",
            found.trace.entry.path,
            layer,
            (context.step(layer),),
        )
    else:
        yield f"/etc/machine-id is {text[:40] or 'empty'}"


@check(
    id="COS136",
    name="host-keys-shared",
    level=Level.WARNING,
    summary="The image carries SSH host keys.",
    why="Every machine that runs it has the same keys, and anyone with the image can impersonate each of them.",
    remedy="Delete the keys in the step that installs the SSH server.",
    universal=True,
    cure=remedies.runs("delete the keys", lambda *_: ("RUN rm -f /etc/ssh/ssh_host_*_key*",), unwanted=True),
)
def host_keys_shared(context: CheckContext) -> Iterator[Finding | str]:
    """Look for private host keys in the directories of sshd(8)."""
    for directory in ("/etc/ssh", "/usr/etc/ssh"):
        for entry in context.rootfs.glob(f"{directory}/ssh_host_*_key"):
            yield Finding(
                "expected no SSH host key in an image, found one",
                entry.path,
                entry.layer,
                (context.step(entry.layer),),
            )
