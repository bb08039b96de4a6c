"""`ls IMAGE [PATH]`: lists the merged tree, with the layer of each name, or the files of an initrd in it."""

from __future__ import annotations

import argparse
import stat
from collections.abc import Iterator
from itertools import islice
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any

from cosinspect.commands.command import NotInImage, Terminal
from cosinspect.commands.options import (
    add_format,
    add_image,
    add_semantics,
    add_trust,
    merged_image,
    path_in_image,
)
from cosinspect.commands.within import add_within, container_of
from cosinspect.errors import RootfsError
from cosinspect.report.display import iso_time, printable
from cosinspect.report.json_text import json_text
from cosinspect.rootfs.rootfs import Entry, Rootfs

if TYPE_CHECKING:
    from cosinspect.facts.inner_files import Container, InnerFile

__all__ = ["configure", "run"]

_FILE_TYPES = {
    "file": stat.S_IFREG,
    "dir": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
    "fifo": stat.S_IFIFO,
}

_PLAIN = frozenset(("file", "dir", "fifo"))
"""Types of which only path, mode, owner, size and time are listed."""
_BLOCK_LINES = 500


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_image(parser)
    add_trust(parser)
    add_semantics(parser)
    parser.add_argument(
        "path",
        nargs="?",
        default="/",
        metavar="PATH",
        help="a directory, whose content is listed, or another file; default: /",
    )
    add_within(parser)
    parser.add_argument(
        "-R", "--recursive", action="store_true", help="list the directory and everything below"
    )
    add_format(parser, json="json for one JSON object per line")


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command and return the exit status."""
    with merged_image(arguments, terminal, restartable=bool(arguments.within)) as (image, rootfs):
        if arguments.within:
            _list_inner(container_of(arguments, image, rootfs), arguments, terminal)
            return 0
        form = _json_line if arguments.format == "json" else _line
        lines = (
            form(rootfs, entry) + "\n"
            for entry in _listed(rootfs, arguments.path, recursive=arguments.recursive)
        )
        while block := "".join(islice(lines, _BLOCK_LINES)):
            terminal.out.write(block)
    return 0


def _listed(rootfs: Rootfs, path: str, *, recursive: bool) -> Iterator[Entry]:
    """Yield the entries to list, sorted component by component."""
    end = rootfs.trace(path).entry
    if end is None or end.type != "dir":
        yield path_in_image(rootfs.lstat, path)
        return
    if recursive:
        yield from rootfs.walk(end.path)
        return
    base = end.path.rstrip("/")
    for name in rootfs.listdir(end.path):
        yield rootfs.lstat(f"{base}/{name}")


def _list_inner(container: Container, arguments: argparse.Namespace, terminal: Terminal) -> None:
    """List the files of an initrd, or the sections of an EFI program."""
    try:
        for file in container.listed(arguments.path, recursive=arguments.recursive):
            line = json_text(_inner_values(file)) if arguments.format == "json" else _inner_line(file)
            terminal.out.write(line + "\n")
    except RootfsError as fault:
        raise NotInImage(str(fault)) from fault


def _inner_values(file: InnerFile) -> dict[str, Any]:
    if file.type == "section":
        return {"path": file.path, "type": file.type, "size": file.size, "offset": file.place}
    values: dict[str, Any] = {
        "path": file.path,
        "type": file.type,
        "mode": file.mode,
        "uid": file.uid,
        "gid": file.gid,
        "size": file.size,
        "mtime": file.mtime,
    }
    if file.type == "symlink":
        values["link"] = file.link
    if file.type in ("char", "block"):
        values["device"] = list(file.device)
    return {**values, "segment": file.place}


def _inner_line(file: InnerFile) -> str:
    if file.type == "section":
        return f"{file.size:>12}  {printable(file.path[1:])}  [offset {file.place}]"
    mode = stat.filemode(file.file_type | file.mode)
    amount = "{}, {}".format(*file.device) if file.type in ("char", "block") else str(file.size)
    name = printable(file.path) + (f" -> {printable(file.link)}" if file.type == "symlink" else "")
    owner = f"{file.uid}:{file.gid}"
    return f"{mode}  {owner:<9} {amount:>12}  {iso_time(file.mtime)}  {name}  [segment {file.place}]"


def _json_line(rootfs: Rootfs, entry: Entry) -> str:
    """Return what `json_text` makes of an entry's values; for nearly all entries in a third of its time."""
    if entry.path.isascii() and entry.type in _PLAIN and entry.node.inode is None and not entry.xattrs:
        return (
            f'{{"path": {encode_basestring_ascii(entry.path)}, "type": "{entry.type}", "mode": {entry.mode}, "uid": {entry.uid}, '
            f'"gid": {entry.gid}, "size": {entry.size}, "mtime": {entry.mtime}, "layer": {entry.layer}}}'
        )
    return json_text(_values(rootfs, entry))


def _values(rootfs: Rootfs, entry: Entry) -> dict[str, Any]:
    values: dict[str, Any] = {
        "path": entry.path,
        "type": entry.type,
        "mode": entry.mode,
        "uid": entry.uid,
        "gid": entry.gid,
        "size": entry.size,
        "mtime": entry.mtime,
    }
    if entry.type == "symlink":
        values["link"] = entry.link
    values["layer"] = entry.layer
    if names := rootfs.hardlinks(entry):
        values["hardlinks"] = list(names)
    if entry.type in ("char", "block"):
        values["device"] = list(entry.device)
    if entry.xattrs:
        values["xattrs"] = dict(entry.xattrs)
    return values


def _line(rootfs: Rootfs, entry: Entry) -> str:
    mode = stat.filemode(_FILE_TYPES[entry.type] | entry.mode)
    owner = f"{entry.uid}:{entry.gid}"
    amount = "{}, {}".format(*entry.device) if entry.type in ("char", "block") else str(entry.size)
    name = printable(entry.path)
    if entry.type == "symlink":
        name = f"{name} -> {printable(entry.link)}"
    elif others := [other for other in rootfs.hardlinks(entry) if other != entry.path]:
        name = f"{name} = {printable(others[0])}" + (f" and {len(others) - 1} more" if others[1:] else "")
    return f"{mode}  {owner:<9} {amount:>12}  {iso_time(entry.mtime)}  {name}  [layer {entry.layer}]"
