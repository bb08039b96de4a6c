"""Other programs' and the kernel's word on what an image's tree is, in the form of our own listing.

A listing maps absolute paths to what is there: type, mode, owner, and content hash, link or device. Times are left
out: implied directories get the time of unpacking.
"""

import hashlib
import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

from attrs import frozen

from cosinspect.blob import VerifiedStream
from cosinspect.layer.stream import LayerStream
from cosinspect.tar.reader import TarStream

UMOCI = shutil.which("umoci")
IS_ROOT = os.geteuid() == 0


@frozen
class Seen:
    """What stands at a path."""

    type: str
    mode: int
    uid: int
    gid: int
    text: str  # sha256 of a file's content, target of a link, numbers of a device
    same: tuple[str, ...] = ()  # all names of a file that has several


def ours(rootfs):
    """The listing of a merged tree."""
    found = {}
    for entry in rootfs.walk():
        text = entry.link
        if entry.type == "file":
            with rootfs.open(entry.path) as stream:
                text = hashlib.sha256(stream.read()).hexdigest()
        elif entry.type in ("char", "block"):
            text = f"{entry.device[0]},{entry.device[1]}"
        mode = 0o777 if entry.type == "symlink" else entry.mode
        found[entry.path] = Seen(entry.type, mode, entry.uid, entry.gid, text, rootfs.hardlinks(entry))
    return found


def on_disk(root):
    """The listing of a directory."""
    top = os.fsencode(root)
    found = {}
    inodes = {}
    for directory, names, files in os.walk(top):
        for path in [directory] if directory == top else []:
            found["/"] = _seen(path)
        for name in [*names, *files]:
            path = directory + b"/" + name
            shown = path[len(top) :].decode("utf-8", "surrogateescape")
            try:
                status = os.lstat(path)
            except FileNotFoundError:
                # overlayfs lists a whiteout in an opaque directory and then has nothing there: nobody can use the name.
                continue
            found[shown] = _seen(path)
            if not stat.S_ISDIR(status.st_mode) and status.st_nlink > 1:
                inodes.setdefault((status.st_dev, status.st_ino), []).append(shown)
    for shown in inodes.values():
        if len(shown) > 1:
            for path in shown:
                seen = found[path]
                found[path] = Seen(seen.type, seen.mode, seen.uid, seen.gid, seen.text, tuple(sorted(shown)))
    return found


_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
}


def _seen(path):
    status = os.lstat(path)
    kind = _TYPES[stat.S_IFMT(status.st_mode)]
    text = ""
    if kind == "file":
        text = hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest()
    elif kind == "symlink":
        text = os.fsdecode(os.readlink(path))  # noqa: PTH115 - Path.readlink would tidy the target
    elif kind in ("char", "block"):
        text = f"{os.major(status.st_rdev)},{os.minor(status.st_rdev)}"
    return Seen(kind, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, text)


def umoci_unpack(layout, reference, target):
    """Unpack with umoci; gives its error, "" if there is none."""
    done = subprocess.run(
        [UMOCI, "raw", "unpack", "--image", f"{layout}:{reference}", target],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr if done.returncode else ""


class Overlay:
    """The kernel's overlayfs over one directory for each layer; use it in a `with` statement, as root."""

    def __init__(self, archives, work):
        self.merged = Path(work) / "merged"
        self.merged.mkdir(parents=True)
        lowers = [Path(work) / "empty"]  # overlayfs wants two
        lowers[0].mkdir()
        for number, archive in enumerate(archives):
            lower = Path(work) / str(number)
            lower.mkdir()
            _unpack_layer(archive, lower)
            lowers.append(lower)
        lowers[0].chmod(stat.S_IMODE(lowers[-1].stat().st_mode))
        self.lowers = ":".join(str(lower) for lower in reversed(lowers))

    def __enter__(self):
        options = f"ro,lowerdir={self.lowers}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, self.merged], check=True)
        return self.merged

    def __exit__(self, *_):
        subprocess.run(["umount", self.merged], check=True)


def _unpack_layer(archive, target):
    """Unpack one layer as overlayfs keeps it: whiteouts as character devices 0/0, opaque directories by attribute."""
    subprocess.run(
        ["tar", "--extract", "--file", archive, "--directory", target, "--numeric-owner", "--same-owner",
         "--same-permissions", "--delay-directory-restore", "--xattrs"],
        check=True,
    )  # fmt: skip
    with tarfile.open(archive, encoding="utf-8", errors="surrogateescape") as names:
        markers = [name for name in names.getnames() if name.rpartition("/")[2].startswith(".wh.")]
    for marker in markers:
        path = target / marker
        times = path.parent.stat()
        path.unlink()
        name = path.name.removeprefix(".wh.")
        if path.name == ".wh..wh..opq":
            os.setxattr(path.parent, "trusted.overlay.opaque", b"y")
        elif not os.path.lexists(path.parent / name):
            os.mknod(path.parent / name, stat.S_IFCHR, os.makedev(0, 0))
        elif (path.parent / name).is_dir() and not (path.parent / name).is_symlink():
            # Deleted and made again in one layer: nothing lower shows through.
            os.setxattr(path.parent / name, "trusted.overlay.opaque", b"y")
        os.utime(path.parent, ns=(times.st_atime_ns, times.st_mtime_ns))


def content_hashes(image, rootfs):
    """The sha256 of every regular file's content, by path; each layer is read once."""
    hashes = []
    for layer in image.layers:
        stream = LayerStream(
            VerifiedStream(layer.source.open(layer.descriptor), layer.descriptor), layer.diff_id
        )
        archive = TarStream(iter(stream))
        found = {}
        for header in archive:
            if header.type in "0S":
                content = hashlib.sha256()
                while part := archive.read(1 << 20):
                    content.update(part)
                found[header.data] = content.hexdigest()
        stream.finish()
        stream.close()
        hashes.append(found)
    return {
        entry.path: hashes[entry.node.source][entry.node.entry.data]
        for entry in rootfs.walk()
        if entry.type == "file"
    }
