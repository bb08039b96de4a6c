"""How elemental searches an image for kernel, initrd and EFI files: by the host's rules for links, not by the image's.

`elemental` unpacks an image into a directory of the machine that runs it and opens files by path. A symbolic link that is
absolute, or that climbs above the image's root, leads to a file of that machine. Three searches exist: exact names
(luet-makeiso, pkg/burner), the first name with a prefix (elemental-cli v0.0.14 to v0.3.1 and elemental-toolkit v1,
pkg/utils FindFileWithPrefix) and the first match of a list of patterns (elemental-toolkit v2, pkg/utils FindFile).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from attrs import frozen

from cosinspect.deadline import spend
from cosinspect.globs import component_expression
from cosinspect.rootfs.rootfs import Entry, Rootfs

__all__ = [
    "INITRD_PATTERNS",
    "INITRD_PREFIXES",
    "KERNEL_PATTERNS",
    "KERNEL_PREFIXES",
    "Found",
    "find_by_name",
    "find_by_pattern",
    "find_by_prefix",
    "on_host",
]

KERNEL_PREFIXES = ("uImage", "Image", "zImage", "vmlinuz", "image")
INITRD_PREFIXES = ("initrd", "initramfs")
KERNEL_PATTERNS = tuple(f"/boot/{name}*" for name in KERNEL_PREFIXES)
INITRD_PATTERNS = ("/boot/elemental.initrd*", "/boot/initrd*", "/boot/initramfs*")

_MOST_LINKS = 4
"""Links that toolkit v2 follows for one match (pkg/constants MaxLinkDepth)."""

_MAGIC = re.compile(r"[*?\[]")


@frozen
class Found:
    """What a search returns.

    Attributes:
        entry: what it returns; a file of the image, a directory or a special file. None if it returns an error.
        name: the first matching path, or the first one that the search tries.
        path: the path that the search returns, with the links of its last component resolved.
        why: why it returns an error, "" if it does not.
        passed: names that matched and were skipped, with the reason.
    """

    entry: Entry | None
    name: str
    path: str = ""
    why: str = ""
    passed: tuple[str, ...] = ()

    @property
    def is_file(self) -> bool:
        """Whether a regular file was found."""
        return self.entry is not None and self.entry.type == "file"

    @property
    def fault(self) -> str:
        """Why the file cannot be copied, "" if it can."""
        if self.entry is None:
            return self.why
        return "" if self.is_file else f"{self.name} is a {self.entry.type}, and only a file can be copied"


def on_host(rootfs: Rootfs, path: str, *, follow: bool = True) -> tuple[Entry | None, str]:
    """Resolve a path as a machine does that has the image unpacked in a directory.

    Returns what is there, or why there is nothing: an absolute link, or one that climbs above the root,
    leaves the image.
    """
    trace = rootfs.trace(path, follow=follow)
    for hop in trace.hops:
        if hop.target.startswith("/"):
            return None, f"{hop.path} is an absolute link, which leads out of the unpacked image"
        if _clean(hop.path.rpartition("/")[0], hop.target) is None:
            return None, f"{hop.path} -> {hop.target} climbs above the image's root"
    if trace.entry is None:
        return None, f"{trace.chain} leads to nothing" if trace.hops else f"{path} is not there"
    return trace.entry, ""


def _clean(directory: str, target: str) -> str | None:
    """Join a link's target to a directory as Go's filepath.Join does; None if it leaves the image's root."""
    kept = [part for part in directory.split("/") if part]
    for part in target.split("/"):
        if part == "..":
            if not kept:
                return None
            kept.pop()
        elif part not in ("", "."):
            kept.append(part)
    return "/" + "/".join(kept)


def find_by_name(rootfs: Rootfs, path: str) -> Found:
    """Search for one exact path, as luet-makeiso does."""
    entry, why = on_host(rootfs, path)
    return Found(entry, path, path if entry is not None else "", why)


def find_by_prefix(rootfs: Rootfs, prefixes: Sequence[str], directory: str = "/boot") -> Found:
    """Search a directory for the first name that begins with one of `prefixes`; links that lead to nothing are skipped."""
    top, why = on_host(rootfs, directory)
    if top is None or top.type != "dir":
        return Found(None, directory, why=why or f"{directory} is a {top.type if top else 'file'}")
    passed: list[str] = []
    for name, entry in sorted(rootfs.children(top).items(), key=lambda item: _bytes(item[0])):
        if entry.type == "dir" or not name.startswith(tuple(prefixes)):
            continue
        named = f"{directory}/{name}"
        if entry.type != "symlink":
            return Found(entry, named, named, passed=tuple(passed))
        # One link is read and joined by its text; what it names is then opened, all links followed.
        joined = None if entry.link.startswith("/") else _clean(directory, entry.link)
        if joined is None:
            how = "its link is absolute" if entry.link.startswith("/") else "its link climbs above the root"
            passed.append(
                f"{named} -> {entry.link} is passed over: {how} and leads out of the unpacked image"
            )
            continue
        real, why = on_host(rootfs, joined)
        if real is None:
            passed.append(f"{named} -> {entry.link} is passed over: {why}")
            continue
        return Found(real, named, joined, passed=tuple(passed))
    wanted = f"{directory}/{{{','.join(prefixes)}}}*"
    return Found(
        None, f"{directory}/{prefixes[0]}", why="; ".join([f"nothing usable matches {wanted}", *passed])
    )


def find_by_pattern(rootfs: Rootfs, patterns: Iterable[str]) -> Found:
    """Search for the first match of the first pattern that has one; a match whose links lead nowhere ends the search."""
    given = tuple(patterns)
    for pattern in given:
        for path, entry in _matches(rootfs, pattern):
            return _resolved(rootfs, path, entry)
    return Found(None, given[0], why=f"nothing matches {' '.join(given)}")


def _matches(rootfs: Rootfs, pattern: str) -> Iterator[tuple[str, Entry]]:
    """Yield what matches, in the order of Go's filepath.WalkDir: links to directories are not entered."""
    magic = _MAGIC.search(pattern)
    base = pattern[: magic.start()].rpartition("/")[0] if magic else pattern
    top, _ = on_host(rootfs, base or "/")
    if top is None:
        return
    if magic is None:
        entry = rootfs.trace(base, follow=False).entry
        if entry is not None:
            yield base, entry
        return
    rest = [part for part in pattern[len(base) :].split("/") if part]
    waiting: list[tuple[str, Entry, list[str]]] = [(base, top, rest)]
    while waiting:
        spend()
        path, entry, left = waiting.pop()
        if not left:
            yield path, entry
            continue
        if entry.type != "dir":
            continue
        expression = re.compile(component_expression(left[0]))
        named = sorted(rootfs.children(entry).items(), key=lambda item: _bytes(item[0]), reverse=True)
        waiting.extend(
            (f"{path}/{name}", child, left[1:]) for name, child in named if expression.fullmatch(name)
        )


def _resolved(rootfs: Rootfs, name: str, entry: Entry) -> Found:
    """Follow the links of the last component: joined by their text, absolute ones to the image's root, at most four."""
    path, at = name, entry
    chain = [name]
    for _ in range(_MOST_LINKS):
        if at.type != "symlink":
            return Found(at, name, path)
        chain.append(at.link)
        joined = _clean("" if at.link.startswith("/") else path.rpartition("/")[0], at.link)
        told = " -> ".join(chain)
        if joined is None:
            return Found(None, name, why=f"{told} climbs above the image's root, and the search ends there")
        found, why = on_host(rootfs, joined, follow=False)
        if found is None:
            return Found(None, name, why=f"{told} leads to nothing ({why}), and the search ends there")
        path, at = joined, found
    if at.type != "symlink":
        return Found(at, name, path)
    return Found(
        None, name, why=f"{' -> '.join(chain)} takes more than {_MOST_LINKS} links, and the search ends there"
    )


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
