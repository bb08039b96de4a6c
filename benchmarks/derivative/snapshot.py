"""What a directory tree holds, and what changed between two of them."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Entry", "Opaque", "Snapshot", "Whiteout", "changes", "scan"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a tree. `same_file` names every path of the file, where there is more than one."""

    path: str
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int = 0
    sha256: str = ""
    target: str = ""
    rdev: int = 0
    xattrs: tuple[tuple[str, bytes], ...] = ()
    same_file: tuple[str, ...] = ()

    @property
    def is_dir(self) -> bool:
        """Whether this is a directory."""
        return stat.S_ISDIR(self.mode)


@dataclass(frozen=True, slots=True)
class Whiteout:
    """`path` of the layers below is gone."""

    path: str


@dataclass(frozen=True, slots=True)
class Opaque:
    """Everything that the layers below have in the directory `path` is gone."""

    path: str


Snapshot = Mapping[str, Entry]


def scan(root: Path) -> dict[str, Entry]:
    """Every path below `root`, without the root itself; names that are not UTF-8 carry surrogate escapes."""
    found: dict[str, Entry] = {}
    inodes: dict[tuple[int, int], list[str]] = {}
    for path, status in _walk(str(root)):
        relative = path[len(str(root)) + 1 :]
        if not stat.S_ISDIR(status.st_mode) and status.st_nlink > 1:
            inodes.setdefault((status.st_dev, status.st_ino), []).append(relative)
        found[relative] = _entry(relative, path, status)
    for names in inodes.values():
        names.sort(key=_components)
        for name in names if len(names) > 1 else ():
            known = found[name]
            found[name] = Entry(
                **{f: getattr(known, f) for f in Entry.__slots__ if f != "same_file"}, same_file=tuple(names)
            )
    return found


def _walk(top: str) -> Iterator[tuple[str, os.stat_result]]:
    pending = [top]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                yield entry.path, status
                if stat.S_ISDIR(status.st_mode):
                    pending.append(entry.path)


def _entry(relative: str, path: str, status: os.stat_result) -> Entry:
    mode = status.st_mode
    regular = stat.S_ISREG(mode)
    device = stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return Entry(
        path=relative,
        mode=mode,
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=int(status.st_mtime),
        size=status.st_size if regular else 0,
        sha256=_sha256(path) if regular else "",
        target=os.readlink(path) if stat.S_ISLNK(mode) else "",  # noqa: PTH115  # a Path would tidy the target
        rdev=status.st_rdev if device else 0,
        xattrs=tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names),
    )


def _sha256(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _components(path: str) -> tuple[bytes, ...]:
    return tuple(os.fsencode(part) for part in path.split("/"))


def changes(old: Snapshot, new: Snapshot, opaque: Iterable[str] = ()) -> list[Entry | Whiteout | Opaque]:
    """What a layer must hold to make `new` of `old`, sorted by path.

    The directories above a change are part of it, as the kernel's overlayfs has them in its upper directory. A new
    name of an old file brings the file along, for the same reason: a link into a lower layer is refused by several
    programs. The directories named in `opaque` are written anew.
    """
    renewed = tuple(f"{path}/" for path in opaque)
    needed = {path for path, entry in new.items() if old.get(path) != entry or path.startswith(renewed)}
    needed.update(path.rstrip("/") for path in renewed)
    for path in tuple(needed):
        needed.update(new[path].same_file)
    gone = [path for path in old if path not in new and not path.startswith(renewed)]
    whiteouts = [path for path in gone if _is_top(path, old, new)]
    for path in (*needed, *whiteouts):
        needed.update(_parents(path))
    result: list[tuple[tuple[bytes, ...], Entry | Whiteout | Opaque]] = []
    result += [(_components(path), new[path]) for path in needed]
    result += [(_components(_beside(path, f".wh.{Path(path).name}")), Whiteout(path)) for path in whiteouts]
    result += [(_components(f"{path}.wh..wh..opq"), Opaque(path.rstrip("/"))) for path in renewed]
    return [change for _, change in sorted(result, key=lambda pair: pair[0])]


def _is_top(path: str, old: Snapshot, new: Snapshot) -> bool:
    """Whether `path` is gone but the directory it was in is still one."""
    parent = path.rpartition("/")[0]
    return not parent or (old[parent].is_dir and parent in new and new[parent].is_dir)


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _beside(path: str, name: str) -> str:
    parent = path.rpartition("/")[0]
    return f"{parent}/{name}" if parent else name
