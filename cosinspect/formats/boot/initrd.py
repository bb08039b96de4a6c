"""Initial RAM disks: the files that a kernel unpacks from one.

Follows the Linux documentation (`driver-api/early-userspace/buffer-format.rst`) and `init/initramfs.c` of Linux 6.1: an
initrd is a row of cpio archives, plain or compressed. Zero bytes between them are skipped. A plain archive counts only at
an offset that is a multiple of 4. Other bytes must begin with the magic number of a compression; the inflated bytes are
also archives and nothing else, and must end where a member ends. Later members replace earlier ones,
through the symbolic links of their directories; a member whose directory is missing is left out. At the first
fault the kernel stops and keeps the members so far. This reader does the same, and reports where and why.

Refuses an initrd without any member. LZO is not supported; it and a bound that is reached make an initrd `opaque`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import frozen

from cosinspect.errors import FormatError
from cosinspect.formats.boot.initrd_segments import Segment, Stream, Unpacking
from cosinspect.formats.boot.initrd_tree import LINK_STEPS, InitrdPaths
from cosinspect.formats.boot.program import Program
from cosinspect.limits import DEFAULT_LIMITS, Limits

__all__ = ["Initrd", "InitrdProblem", "Segment", "UnpackedFile", "read_initrd"]

# dracut's names, and its older ones, of the file that holds the root of a "squash" initrd.
_SQUASHED = ("squash-root.img", "squashfs-root.img", "erofs-root.img", "squash/root.img")
_DRACUT = ("usr/lib/dracut", "lib/dracut", "usr/lib64/dracut", "lib64/dracut")
_DRACUT_NOTES = frozenset(
    f"{top}/{name}" for top in _DRACUT for name in ("modules.txt", "build-parameter.txt")
)


@frozen(kw_only=True)
class UnpackedFile:
    """A file of an unpacked initrd.

    Attributes:
        path: without a leading slash; the links of its directories are resolved.
        type: `file`, `directory`, `symlink`, `character`, `block`, `fifo` or `socket`.
        mode: the permission bits.
        size: in bytes; of a symbolic link, of its target.
        target: of a symbolic link, else None.
        segment: the index of the segment that wrote it last.
        program: how a kernel runs a file that may be executed or loaded as a library; None for others.
        device: the major and minor number of a device, else (0, 0).
    """

    path: str
    type: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    target: str | None
    segment: int
    program: Program | None = None
    device: tuple[int, int] = (0, 0)


@frozen(kw_only=True)
class InitrdProblem:
    """The reason why the rest of an initrd is not unpacked.

    Attributes:
        kind: one word for the class of the fault, as `FormatError.kind`; `magic` means neither an archive nor compressed data.
        message: what was expected and found, as one sentence without a full stop.
        offset: in the initrd; for a fault within a compressed segment, the offset of that segment.
        remedy: what to do, None if there is no general advice.
    """

    kind: str
    message: str
    offset: int
    remedy: str | None = None


@frozen(kw_only=True)
class Initrd:
    """An initrd as the kernel unpacks it.

    Attributes:
        segments: in order; the last one may be incomplete.
        members: by path, without the one in which reading stopped; a kernel keeps a part of that one.
        bodies: of the members that were wanted, by path.
        problems: why it was not read to its end; empty if it was read.
        left_out: names of members that the kernel cannot create, because a parent directory is missing or a
            directory that is not empty has the name.
        microcode: the CPU vendors whose microcode is where a kernel looks for it, sorted.
    """

    segments: tuple[Segment, ...]
    members: Mapping[str, UnpackedFile]
    bodies: Mapping[str, bytes]
    problems: tuple[InitrdProblem, ...] = ()
    left_out: tuple[str, ...] = ()
    microcode: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether it was read to its end without a fault."""
        return not self.problems

    @property
    def opaque(self) -> bool:
        """Whether a kernel may unpack more of it than could be read here."""
        return any(problem.kind in {"unsupported", "limit"} for problem in self.problems)

    @property
    def is_empty(self) -> bool:
        """Whether it unpacks to no file."""
        return not self.members

    @property
    def has_init(self) -> bool:
        """Whether it has an executable `/init`; without it, the kernel ignores an initrd."""
        init = self.lookup("init")
        return init is not None and init.type == "file" and bool(init.mode & 0o111)

    @property
    def squashed(self) -> bool:
        """Whether most of its files are in a filesystem image within it, which is not read here."""
        return any(self.exists(path) for path in _SQUASHED)

    @property
    def kernel_versions(self) -> tuple[str, ...]:
        """The directories below `lib/modules`, sorted."""
        names = set[str]()
        for top in ("usr/lib/modules", "lib/modules"):
            for name in self.listdir(top):
                member = self.lookup(f"{top}/{name}")
                if member is not None and member.type == "directory":
                    names.add(name)
        return tuple(sorted(names))

    @property
    def dracut_modules(self) -> tuple[str, ...] | None:
        """The dracut modules that it records, in order; None if it records none."""
        text = self._read_dracut("modules.txt")
        return None if text is None else tuple(line.strip() for line in text.splitlines() if line.strip())

    @property
    def build_parameters(self) -> str | None:
        """The arguments of dracut that it records; None if it records none."""
        text = self._read_dracut("build-parameter.txt")
        return None if text is None else text.strip()

    def lookup(self, path: str, *, follow: bool = True) -> UnpackedFile | None:
        """Return the file at a path, through at most 40 symbolic links; None if nothing is there, a link dangles or loops.

        Args:
            path: with or without a leading slash.
            follow: whether a link at the end of the path is followed too.
        """
        found = InitrdPaths(self.members, LINK_STEPS).resolve(path, follow=follow)
        return None if found is None else self.members.get(found)

    def exists(self, path: str) -> bool:
        """Return whether a path exists, links followed."""
        return self.lookup(path) is not None

    def listdir(self, path: str) -> tuple[str, ...]:
        """Return the names in a directory, links followed, sorted; empty if there is no such directory."""
        top = InitrdPaths(self.members, LINK_STEPS).resolve(path, follow=True)
        if top is None:
            return ()
        prefix = f"{top}/" if top else ""
        names = (member.removeprefix(prefix) for member in self.members if member.startswith(prefix))
        return tuple(sorted(name for name in names if name and "/" not in name))

    def read(self, path: str) -> bytes:
        """Return the body of a wanted file, links followed.

        Raises:
            FormatError: the path does not exist (`missing`), is not a file (`type`), or its body was not wanted or larger
                than the limits (`unread`).
        """
        member = self.lookup(path)
        if member is None:
            raise FormatError(
                "expected a file in the initrd, the path does not exist", kind="missing", where=path
            )
        if member.type != "file":
            raise FormatError(
                f"expected a file in the initrd and found a {member.type}", kind="type", where=path
            )
        body = self.bodies.get(member.path) if member.size else b""
        if body is None:
            raise FormatError(f"the file of {member.size} bytes was not kept", kind="unread", where=path)
        return body

    def _read_dracut(self, name: str) -> str | None:
        for directory in _DRACUT:
            member = self.lookup(f"{directory}/{name}")
            if member is not None and member.path in self.bodies:
                return self.bodies[member.path].decode("utf-8", "replace")
        return None


def read_initrd(
    stream: Stream, *, size: int, wanted: Callable[[str], bool], limits: Limits = DEFAULT_LIMITS
) -> Initrd:
    """Return an initrd as a kernel unpacks it.

    Args:
        stream: the initrd; it is not read beyond `size`.
        size: of the initrd, in bytes.
        wanted: returns whether to keep the body of a path, as `UnpackedFile.path`. dracut's own records are always kept.
        limits: `initrd_bytes`, `initrd_entries`, `initrd_body_bytes` and `zstd_window_bytes` apply.

    Raises:
        FormatError: it is empty (`empty`), or no member can be read; `kind` is then as in `InitrdProblem`.
    """
    if size == 0:
        raise FormatError("expected an initrd and found an empty file", kind="empty", offset=0)
    if size > limits.initrd_bytes:
        raise FormatError(
            f"the initrd of {size} bytes is larger than the {limits.initrd_bytes} that are read", kind="limit"
        )
    reader = Unpacking(
        stream=stream, left=size, wanted=lambda path: path in _DRACUT_NOTES or wanted(path), limits=limits
    )
    fault = reader.run()
    problems: tuple[InitrdProblem, ...] = ()
    if fault is not None:
        if not reader.count:
            raise fault
        problems = (
            InitrdProblem(
                kind=fault.kind, message=fault.message, offset=reader.fault_offset, remedy=fault.remedy
            ),
        )
    members = {
        path: UnpackedFile(
            path=path,
            type=node.type,
            mode=node.mode & 0o7777,
            uid=node.uid,
            gid=node.gid,
            size=node.size,
            mtime=node.mtime,
            target=node.target,
            segment=node.segment,
            program=node.program,
            device=node.device,
        )
        for path, node in reader.files.nodes.items()
    }
    return Initrd(
        segments=tuple(reader.segments),
        members=members,
        bodies={path: node.body for path, node in reader.files.nodes.items() if node.body is not None},
        problems=problems,
        left_out=tuple(reader.files.left_out),
        microcode=tuple(sorted(reader.microcode)),
    )
