"""Checks on copying an image's files to a disk: conflicting names, attributes, size and number, labels."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from cosinspect.checks import file_remedies, remedies, subjects
from cosinspect.checks.base import CheckContext, Undecided, check, words_of
from cosinspect.checks.boot_path import LOADER_READS
from cosinspect.facts.boot_search import on_host
from cosinspect.facts.ext2 import geometry
from cosinspect.report.capabilities import Need
from cosinspect.report.display import counted
from cosinspect.report.evidence import Line, Mention
from cosinspect.report.report import Capability, Finding, Level
from cosinspect.rootfs.rootfs import Entry, Rootfs

__all__ = [
    "blocked_names",
    "deployment_capacity_exceeded",
    "deployment_directory_blocked",
    "deployment_name_refused",
    "selinux_relabel_fails",
]

DEPLOYS = (Capability.INSTALL, Capability.UPGRADE, Capability.RECOVERY)

_MEBIBYTE = 1024 * 1024
_OVERHEAD_MEBIBYTES = 256
"""The size that elemental adds to a tree's from v0.1 on (pkg/constants ImgOverhead)."""
_BOUND = ("/dev", "/proc", "/sys", "/oem", "/usr/local")
"""The paths that are mounted before a command runs in the new root (pkg/utils/chroot.go)."""
_BLOCK = 4096
_NAME_BYTES = 255
_ATTRIBUTE_BLOCK = 4096
_SELINUX = "/etc/selinux/targeted"
_CONTEXTS = f"{_SELINUX}/contexts/files/file_contexts"
_POLICY_MAGIC = b"\x8c\xff\x7c\xf9"


@check(
    id="COS212",
    name="deployment-directory-blocked",
    level=Level.ERROR,
    capabilities=(*DEPLOYS, Capability.ISO),
    summary="A file or a dangling link is in the place of a directory that elemental makes.",
    why="elemental makes the directories of mount points in the unpacked tree and mounts over them: `mkdir` ends with `not a directory` or `file exists`.",
    remedy="Delete it in the step that made it, or make a directory of it.",
    applies=subjects.deployed_by_elemental,
    cure=file_remedies.replaces_by_directory,
)
def deployment_directory_blocked(context: CheckContext) -> Iterator[Finding | str]:
    """Resolve each name as MkdirAll does (pkg/utils/common.go CreateDirStructure, pkg/utils/chroot.go)."""
    found = list(blocked_names(context.rootfs, context.needs))
    for path, what in found:
        own = context.rootfs.trace(path, follow=False).entry
        layer = own.layer if own is not None else None
        step = (context.step(layer),) if layer is not None else ()
        yield Finding(f"expected a directory or nothing at {path}, found {what}", path, layer, step)
    if not found:
        yield "the names of mount points are directories, or unused"


def blocked_names(rootfs: Rootfs, needs: tuple[Need, ...]) -> Iterator[tuple[str, str]]:
    """Yield the names at which elemental, by these rows of the table of operations, cannot make a directory or mount over it, and the entry there."""
    paths = [path for need in needs for path in need.paths]
    for path in dict.fromkeys(paths):
        for part in _prefixes(path):
            what = _blocked(rootfs, part)
            if what:
                yield part, what
                break


def _prefixes(path: str) -> Iterator[str]:
    parts = path.split("/")
    for number in range(1, len(parts) + 1):
        yield "/" + "/".join(parts[:number])


def _blocked(rootfs: Rootfs, path: str) -> str:
    own = rootfs.trace(path, follow=False).entry
    if own is None:
        return ""
    trace = rootfs.trace(path)
    if trace.entry is None:
        return f"a link that leads to nothing ({trace.chain})"
    if trace.entry.type != "dir":
        return f"a link to a {trace.entry.type}" if own.type == "symlink" else f"a {own.type}"
    why = on_host(rootfs, path)[1] if path in _BOUND else ""
    return f"a link that elemental would mount over on the machine that runs it: {why}" if why else ""


@check(
    id="COS214",
    name="deployment-name-refused",
    level=Level.ERROR,
    capabilities=DEPLOYS,
    summary="A name, a link or an attribute does not fit into the file system of the deployed image.",
    why="The image is copied into ext2: the copy fails with `File name too long` or `No space left on device`.",
    remedy="Shorten the name or the link, or drop the attribute, in the step that made it.",
    applies=subjects.deployed_by_elemental,
    cure=remedies.by_hand("shorten the name or the link, or drop the attribute", unwanted=True),
)
def deployment_name_refused(context: CheckContext) -> Iterator[Finding | str]:
    """Measure names, link targets, and the attributes of each file (ext2: 255 bytes, one block, one block)."""
    bad = False
    block = geometry(_mebibytes(context)).block
    for path in context.facts.usage(_BLOCK).odd:
        entry = context.rootfs.trace(path, follow=False).entry
        for message in _refused(entry, block) if entry is not None else ():
            bad = True
            yield Finding(message, entry.path if entry else path, entry.layer if entry else None)
    if not bad:
        yield "names, links and attributes fit into ext2"


def _refused(entry: Entry, block: int) -> Iterator[str]:
    if len(entry.name) > _NAME_BYTES // 4 and len(_raw(entry.name)) > _NAME_BYTES:
        yield f"expected names of at most {_NAME_BYTES} bytes, found one of {len(_raw(entry.name))}"
    if entry.type == "symlink" and len(entry.link) * 4 >= block and len(_raw(entry.link)) >= block:
        yield f"expected links of less than {block} bytes, found one of {len(_raw(entry.link))}"
    if entry.xattrs:
        size = sum(
            16 + _rounded(len(_raw(name.partition(".")[2]))) + _rounded(len(_raw(value)))
            for name, value in entry.xattrs.items()
        )
        # A block of attributes has a header of 32 bytes and an end mark; the inode itself holds some.
        if size > _ATTRIBUTE_BLOCK - 36 + 96:
            yield f"expected attributes of at most {_ATTRIBUTE_BLOCK - 36} bytes, found {size} in {len(entry.xattrs)}"


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _rounded(size: int) -> int:
    return (size + 3) & ~3


def _mebibytes(context: CheckContext) -> int:
    """Return the size of the file system that elemental makes for this image, in MiB."""
    fixed = context.deployment.filesystem_mebibytes
    if fixed:
        return fixed
    listed = context.facts.usage(_BLOCK).listed
    return listed // _MEBIBYTE + 1 + _OVERHEAD_MEBIBYTES


@check(
    id="COS215",
    name="deployment-capacity-exceeded",
    level=Level.ERROR,
    capabilities=DEPLOYS,
    summary="The deployed image's file system has too few blocks or inodes for the image.",
    why="""elemental makes an ext2 file system of 3072 MiB (v0.0.15) or of the size of the files and 256 MiB, with one inode for 16 KiB (4 KiB below
        512 MiB), and copies the image into it: the copy ends with `No space left on device`. Many small files run out of inodes first.""",
    remedy="""Delete files that the system does not need: caches, documentation, sources and tests of packages; or set system.size for the installation.""",
    applies=subjects.deployed_by_elemental,
)
def deployment_capacity_exceeded(context: CheckContext) -> Iterator[Finding | str]:
    """Compute the blocks and inodes that mke2fs makes, and compare them with the needs of the tree."""
    size = _mebibytes(context)
    room = geometry(size)
    usage = context.facts.usage(room.block)
    what = f"ext2 of {size} MiB"
    if usage.inodes > room.inodes:
        yield Finding(
            f"expected at most {room.inodes} files and directories for {what}, found {usage.inodes}",
            evidence=_most_files(context),
        )
    if usage.blocks > room.blocks:
        taken = usage.blocks * room.block // _MEBIBYTE
        offered = room.blocks * room.block // _MEBIBYTE
        yield Finding(
            f"expected at most {offered} MiB for {what}, the image takes {taken} MiB",
            evidence=_largest_layers(context),
        )
    elif usage.most_blocks > room.blocks:
        raise Undecided(
            f"the image takes {usage.blocks} to {usage.most_blocks} blocks of the {room.blocks} that {what} has"
        )
    shares = [
        -(-100 * taken // of) for taken, of in ((usage.inodes, room.inodes), (usage.most_blocks, room.blocks))
    ]
    yield f"the image takes {shares[0]} % of the inodes and {shares[1]} % of the blocks of {what}"


def _most_files(context: CheckContext) -> tuple[Mention, ...]:
    counts = sorted(
        ((len(index.entries), number) for number, index in enumerate(context.rootfs.indexes)), reverse=True
    )
    return tuple(
        Mention(f"{counted(count, 'entry', 'entries')} in {context.step(number)}", number)
        for count, number in counts[:3]
    )


def _largest_layers(context: CheckContext) -> tuple[Mention, ...]:
    sizes = [(index.uncompressed_size, number) for number, index in enumerate(context.rootfs.indexes)]
    largest = sorted(sizes, reverse=True)[:3]
    return tuple(
        Mention(f"{size // _MEBIBYTE} MiB in {context.step(number)}", number) for size, number in largest
    )


@check(
    id="COS216",
    name="selinux-relabel-fails",
    level=Level.ERROR,
    capabilities=DEPLOYS,
    summary="elemental cannot set SELinux labels.",
    why="""If the image has file contexts and setfiles (and, before toolkit v2, a policy), elemental runs setfiles in the new root; its error ends
        the installation or the upgrade.""",
    remedy="Install the whole policy package, or remove /etc/selinux/targeted.",
    reads=("etc/selinux/targeted/contexts/files/file_contexts", *LOADER_READS),
    applies=lambda table: table.deployment.relabels != "",
    cure=remedies.installs("selinux-policy", lead="install the policy package"),
)
def selinux_relabel_fails(context: CheckContext) -> Iterator[Finding | str]:
    """Look for contexts, policy and setfiles as elemental does, and read the first two as setfiles does."""
    contexts = context.rootfs.trace(_CONTEXTS)
    if contexts.entry is None:
        yield "there are no file contexts, so nothing is labelled"
        return
    setfiles = context.command("setfiles")
    if setfiles is None:
        yield "setfiles is not in the image, so nothing is labelled"
        return
    second = context.deployment.relabels == "contexts"
    policy = _policy(context)
    if policy is None and not second:
        yield "there is no policy, so nothing is labelled"
        return
    bad = False
    fault = context.facts.execution.fault(setfiles)
    if fault is not None and fault.is_undecided:
        raise Undecided(f"it is not known whether {setfiles} runs: {words_of(setfiles, fault)}")
    if fault is not None:
        bad = True
        yield context.unexecutable(
            setfiles, fault, f"expected {setfiles} to run, {words_of(setfiles, fault)}"
        )
    if policy is not None and not second:
        with context.rootfs.open(policy.path) as stream:
            head = stream.read(4)
        if head != _POLICY_MAGIC:
            bad = True
            yield Finding(
                f"expected a compiled policy at {policy.path}, found {policy.size} bytes of something else",
                policy.path,
                policy.layer,
                (context.step(policy.layer),),
            )
    text = context.facts.text(_CONTEXTS).text
    if text is None:
        if contexts.entry.type == "file":
            raise Undecided(f"{_CONTEXTS} is too large to be read")
        yield Finding(
            f"expected a file at {_CONTEXTS}, found a {contexts.entry.type}", _CONTEXTS, contexts.entry.layer
        )
        return
    for number, line in enumerate(text.splitlines(), 1):
        if (why := _wrong_context(line)) is not None:
            bad = True
            layer = contexts.entry.layer
            yield Finding(
                f"{_CONTEXTS}: {why}", _CONTEXTS, layer, (Line(_CONTEXTS, number), context.step(layer))
            )
            break
    if not bad:
        yield f"setfiles labels by {_CONTEXTS}"


def _policy(context: CheckContext) -> Entry | None:
    """Return the first file of the policy's directory whose name begins with `policy.`."""
    top = context.rootfs.trace(f"{_SELINUX}/policy").entry
    names = sorted(context.rootfs.children(top)) if top is not None else []
    for name in names:
        entry = context.rootfs.trace(posixpath.join(_SELINUX, "policy", name)).entry
        if name.startswith("policy.") and entry is not None and entry.type == "file":
            return entry
    return None


def _wrong_context(line: str) -> str | None:
    """Return why setfiles refuses a line, None if it accepts it: a pattern, perhaps a type, and a context (file_contexts(5))."""
    fields = line.split()
    if not fields or fields[0].startswith("#"):
        return None
    if len(fields) not in (2, 3):
        return (
            f"expected a pattern, perhaps a file type, and a context, found {counted(len(fields), 'field')}"
        )
    if len(fields) == 3 and (len(fields[1]) != 2 or fields[1][0] != "-" or fields[1][1] not in "bcdpls-"):
        return f"expected a file type such as --, -d or -l, found {fields[1][:20]!r}"
    if fields[-1] != "<<none>>" and fields[-1].count(":") < 2:
        return f"expected a context user:role:type, found {fields[-1][:60]!r}"
    return None
