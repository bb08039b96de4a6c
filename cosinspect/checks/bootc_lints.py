"""Checks for lints of bootc that warn: files in /boot, /run, /tmp and /var, and accounts (lints.rs)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cosinspect.checks import file_remedies, remedies, subjects
from cosinspect.checks.base import CheckContext, NotApplicable, check
from cosinspect.formats.text.sysusers import read_account_names, read_sysusers_conf
from cosinspect.formats.text.tmpfiles import read_tmpfiles_conf
from cosinspect.report.evidence import Mention
from cosinspect.report.report import Finding, Level
from cosinspect.rootfs.rootfs import Entry

__all__ = [
    "REQUIRED_BY_INSTALLATION",
    "bootc_accounts_unlisted",
    "bootc_boot_not_empty",
    "bootc_program_recommended",
    "bootc_run_not_empty",
    "bootc_var_unlisted",
]

_SHOWN = 8
_RESOLVER = "/run/systemd/resolve/stub-resolv.conf"  # container runtimes mount it
_PROGRAMS = ("skopeo", "podman", "ostree", "zstd", "setpriv", "systemctl", "chcon")
REQUIRED_BY_INSTALLATION = ("skopeo", "ostree")
"""Another check reports that installation fails without these."""


@check(
    id="COS165",
    name="bootc-boot-not-empty",
    level=Level.WARNING,
    summary="/boot is missing, or not empty.",
    why="""`bootc container lint` warns about it (nonempty-boot): bootc fills /boot itself, with the kernel from /usr/lib/modules, and hides the image's files there.""",
    remedy="Keep the kernel below /usr/lib/modules, and empty /boot in the step that fills it.",
    applies=subjects.bootc,
    cure=remedies.runs("empty it", lambda *_: ("RUN rm -rf /boot/* && mkdir -p /boot",), unwanted=True),
)
def bootc_boot_not_empty(context: CheckContext) -> Iterator[Finding | str]:
    """Look for any entry except EFI, where unified kernel images lie."""
    trace = context.rootfs.trace("/boot")
    if trace.entry is None or trace.entry.type != "dir":
        yield context.broken(trace, "expected the directory /boot, it is not there")
        return
    entries = [entry for name, entry in sorted(context.rootfs.children(trace.entry).items()) if name != "EFI"]
    if entries:
        yield _crowded(context, "/boot", entries)
    else:
        yield "/boot has nothing but EFI"


def _crowded(context: CheckContext, top: str, entries: list[Entry]) -> Finding:
    shown = tuple(
        Mention(f"{entry.path} ({context.step(entry.layer)})", entry.layer) for entry in entries[:_SHOWN]
    )
    return Finding(f"expected nothing in {top}, found {len(entries)}", top, entries[0].layer, shown)


@check(
    id="COS166",
    name="bootc-run-not-empty",
    level=Level.WARNING,
    summary="/run or /tmp is not empty.",
    why="`bootc container lint` warns about it (nonempty-run-tmp): both are mounted over at boot, so the files are leftovers of the build.",
    remedy="Mount /run and /tmp as tmpfs in the step that writes there (RUN --mount=type=tmpfs), or delete what is left.",
    applies=subjects.bootc,
    cure=remedies.runs(
        "delete what is left", lambda _, finding: (f"RUN rm -rf {remedies.quoted(finding.path or '')}/*",)
    ),
)
def bootc_run_not_empty(context: CheckContext) -> Iterator[Finding | str]:
    """Look for any entry, also directories; files that a container runtime mounts for its resolver are ignored, with their parents."""
    for top in ("/run", "/tmp"):  # noqa: S108 - paths of the image
        directory = context.rootfs.trace(top, follow=False).entry
        if directory is None or directory.type != "dir":
            continue
        entries = {
            entry.path: entry for entry in context.rootfs.walk(top) if entry.path not in (top, _RESOLVER)
        }
        parent = _RESOLVER.rpartition("/")[0]
        while parent != "/run" and not any(path.startswith(f"{parent}/") for path in entries):
            entries.pop(parent, None)
            parent = parent.rpartition("/")[0]
        if entries:
            yield _crowded(context, top, list(entries.values()))
        else:
            yield f"{top} is empty"


@check(
    id="COS167",
    name="bootc-var-unlisted",
    level=Level.WARNING,
    summary="/var has content that no tmpfiles.d entry makes.",
    why="""`bootc container lint` warns about it (var-tmpfiles): content of /var is copied at installation only, so later content never reaches a machine that is upgraded.""",
    remedy="Make directories and links with entries of tmpfiles.d, and keep files below /usr; delete caches in the step that fills them.",
    reads=("usr/lib/tmpfiles.d/*.conf",),
    applies=subjects.bootc,
    cure=remedies.by_hand(
        "make directories and links by entries in /usr/lib/tmpfiles.d, and keep files below /usr"
    ),
)
def bootc_var_unlisted(context: CheckContext) -> Iterator[Finding | str]:
    """Compare each entry below /var with the paths that files below /usr/lib/tmpfiles.d name (crates/tmpfiles)."""
    listed: set[str] = set()
    for entry in context.rootfs.glob("/usr/lib/tmpfiles.d/*.conf"):
        text = context.facts.text(entry.path).text
        conf = read_tmpfiles_conf(text) if text is not None else None
        if conf is None:
            continue
        listed.update(line.path for line in conf.lines)
        for problem in conf.problems[:1]:
            if problem.kind == "syntax":
                yield Finding(f"bootc stops at {entry.path}: {problem}", entry.path, entry.layer)
    top = context.rootfs.trace("/var", follow=False).entry
    if top is None or top.type != "dir":
        raise NotApplicable("there is no directory /var, which another check reports")
    found = [entry for entry in context.rootfs.walk("/var") if entry.path != "/var"]
    absent = [entry for entry in found if entry.path not in listed]
    if absent:
        kinds = {"dir": "d", "symlink": "L"}
        evidence = tuple(f"{kinds.get(entry.type, entry.type)} {entry.path}" for entry in absent[:_SHOWN])
        yield Finding(
            f"expected tmpfiles.d entries for the content of /var, {len(absent)} of {len(found)} have none",
            absent[0].path,
            absent[0].layer,
            (*evidence, context.step(absent[0].layer)),
        )
    else:
        yield f"tmpfiles.d has every entry of /var ({len(found)})"


@check(
    id="COS168",
    name="bootc-accounts-unlisted",
    level=Level.WARNING,
    summary="/etc/passwd or /etc/group has accounts that no sysusers.d entry makes.",
    why="""`bootc container lint` warns about it (sysusers): on a machine whose /etc/passwd was changed, the accounts of a later image are missing, and its services do not start.""",
    remedy="Add an entry to a file in /usr/lib/sysusers.d instead of calling useradd.",
    reads=("usr/lib/sysusers.d/*.conf", "etc/passwd", "etc/group"),
    applies=subjects.bootc,
)
def bootc_accounts_unlisted(context: CheckContext) -> Iterator[Finding | str]:
    """Compare the names in both files with the entries below /usr/lib/sysusers.d (crates/sysusers)."""
    users: set[str] = set()
    groups: set[str] = set()
    for entry in context.rootfs.glob("/usr/lib/sysusers.d/*.conf"):
        text = context.facts.text(entry.path).text
        if text is not None:
            conf = read_sysusers_conf(text)
            users |= conf.users
            groups |= conf.groups
    seen = 0
    for path, listed in (("/etc/passwd", users), ("/etc/group", groups)):
        text = context.facts.text(path).text
        names = read_account_names(text) if text is not None else ()
        seen += len(names)
        absent = [name for name in names if name not in listed]
        if absent:
            holder = context.rootfs.trace(path).entry
            finding = Finding(
                f"expected sysusers.d entries for the names in {path}, {', '.join(absent[:_SHOWN])} "
                f"{'has' if len(absent) == 1 else 'have'} none",
                path,
                holder.layer if holder is not None else None,
            )
            kind = "u" if path == "/etc/passwd" else "g"
            plain = [f"{kind} {name} -" for name in absent if re.fullmatch(r"[\w.-]+", name)]
            cure = file_remedies.appends("list the accounts", "/usr/lib/sysusers.d/image.conf", *plain)
            yield remedies.with_cure(context, finding, cure)
    yield f"sysusers.d has every account ({seen})"


@check(
    id="COS169",
    name="bootc-program-recommended",
    level=Level.WARNING,
    summary="A program that bootc runs is not in the image.",
    why="`bootc container lint` warns about it (runtime-deps, after 1.16.9): the command that runs the program fails on the machine.",
    remedy="Install the package that has the program.",
    applies=subjects.bootc,
    cure=remedies.reinstalls(lead="install what is missing"),
)
def bootc_program_recommended(context: CheckContext) -> Iterator[Finding | str]:
    """Look for each in PATH, except those without which installation fails."""
    names = [name for name in _PROGRAMS if name not in REQUIRED_BY_INSTALLATION]
    for name in names:
        if context.command(name) is None:
            yield context.missing(f"/usr/bin/{name}", f"expected the program {name}, it is not in the image")
    yield f"all programs are in the image ({', '.join(names)})"
