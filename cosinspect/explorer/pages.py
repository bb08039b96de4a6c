"""The texts of the explorer: a layer, a path, a content, the findings, the boot."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from typing import Protocol

from attrs import frozen

from cosinspect.errors import CosinspectError
from cosinspect.explorer.views import Mark, Row, TreeView, Views
from cosinspect.facts.inner_files import open_container
from cosinspect.report.display import iso_time, printable, size
from cosinspect.report.evidence import shorten_step
from cosinspect.rootfs.rootfs import Entry

__all__ = [
    "LISTED",
    "FindingPage",
    "ImageFindings",
    "content_page",
    "entry_line",
    "path_page",
    "view_page",
    "view_title",
]

HEAD_BYTES = 64 * 1024
"""Bytes of a content that are shown."""

HEX_BYTES = 4096
"""Bytes of a content that is no text that are shown, in hexadecimal digits."""

LISTED = 2000
"""Names that are shown of an initrd, and findings that are listed."""

_FILE_TYPES = {
    "file": stat.S_IFREG,
    "dir": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
    "fifo": stat.S_IFIFO,
}
_CONTAINERS = (
    b"MZ",
    b"0707",
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd",
    b"\xfd7zXZ",
    b"\x02\x21\x4c\x18",
    b"BZh",
    b"\x5d\0\0",
)
"""The first bytes of EFI programs and initrds."""


class ImageFindings(Protocol):
    """What the checks found, as `explorer.results` has it."""

    @property
    def headline(self) -> str:
        """The verdict and the number of findings, one line."""
        ...

    @property
    def findings(self) -> Sequence[FindingPage]:
        """The findings, most severe first."""
        ...

    def path(self, path: str) -> Iterator[str]:
        """Yield the chain from what reads a path to what each layer did to it."""
        ...

    def boot(self) -> Iterator[str]:
        """Yield how the image boots, stage by stage, and where it fails."""
        ...


@frozen
class FindingPage:
    """One finding.

    Attributes:
        title: the check's id, name and level.
        message: what was expected and found.
        path: in the image, None if there is none.
        layer: position of the layer to blame, None if none is known.
        remedy: what to do, "" for nothing.
    """

    title: str
    message: str
    path: str | None
    layer: int | None
    remedy: str


def view_title(views: Views, number: int) -> str:
    """Return the line of a view in the list."""
    name = views.names[number]
    if name.reader is not None:
        return f"as {name.reader.reader} reads it"
    if name.layer is None:
        return f"all {len(views.image.layers)} layers"
    layer = views.image.layers[name.layer]
    step = shorten_step(layer.created_by, 200) if layer.created_by else "(step not named)"
    return f"{name.layer:>3} {size(layer.descriptor.size):>9}  {printable(step)}"


def view_page(views: Views, view: TreeView) -> Iterator[str]:
    """Yield what a view shows."""
    name = view.name
    if name.layer is not None:
        layer, index = views.image.layers[name.layer], views.rootfs.indexes[name.layer]
        yield f"layer {name.layer}"
        yield f"digest        {layer.descriptor.digest}"
        yield f"size          {size(layer.descriptor.size)}, {size(index.uncompressed_size)} uncompressed"
        yield f"step          {printable(layer.created_by or 'not named')}"
        yield ""
        yield f"{view.count(Mark.ADDED)} added, {view.count(Mark.CHANGED)} changed, {view.count(Mark.REMOVED)} removed"
        effect = views.effects.layers[name.layer]
        yield f"wasted: {size(effect.wasted_bytes)} of {size(effect.content_bytes)} are replaced or removed by later layers"
        for file in [each for each in views.effects.wasted if each.layer == name.layer][:10]:
            yield f"{size(file.size):>10}  {printable(file.path)}, {file.action.value} by layer {file.gone}"
        return
    if view.comparison is None:
        yield printable(views.image.name)
        yield f"digest    {views.image.digest}"
        yield f"platform  {views.image.platform or 'not named'}"
        yield f"layers    {len(views.image.layers)}, {size(sum(each.descriptor.size for each in views.image.layers))}"
        yield f"names     {len(view.rootfs)}"
        return
    comparison = view.comparison
    yield f"as {comparison.other.semantics.reader} reads the layers"
    refusals = comparison.refusals
    for problem in refusals[:LISTED]:
        yield f"it refuses the image: layer {problem.layer}, /{printable(problem.path)}: {printable(problem.message)}"
    if comparison.partial is not None:
        yield f"it stops early: {printable(comparison.partial.message)}"
    if not comparison.differences and not refusals:
        yield "it sees the same tree"
    for cause, differences in comparison.by_cause():
        yield ""
        yield f"{len(differences)} path{'s' if differences[1:] else ''} differ: {printable(cause.explain(comparison.other.semantics))}"
        yield f"  layer {cause.layer}, {printable(cause.item)}"
        for each in differences[:20]:
            yield f"  {printable(comparison.describe(each))}"


def entry_line(entry: Entry) -> str:
    """Return mode, owner and size of an entry in columns."""
    mode = stat.filemode(_FILE_TYPES[entry.type] | entry.mode)
    amount = (
        "{}, {}".format(*entry.device)
        if entry.type in ("char", "block")
        else size(entry.size)
        if entry.size
        else "-"
    )
    return f"{mode} {f'{entry.uid}:{entry.gid}':>9} {amount:>10}"


def path_page(views: Views, view: TreeView, row: Row, results: ImageFindings | None) -> Iterator[str]:
    """Yield what is known of a path: attributes, findings, differences, and what each layer did."""
    entry = row.entry
    link = f" -> {printable(entry.link)}" if entry.type == "symlink" else ""
    yield f"{printable(entry.path)}{link}"
    yield f"{entry_line(entry)}  {iso_time(entry.mtime)}"
    layer = views.image.layers[entry.layer] if entry.layer < len(views.image.layers) else None
    step = f" ({printable(shorten_step(layer.created_by))})" if layer is not None and layer.created_by else ""
    yield f"from layer {entry.layer}{step}"
    if row.mark not in (Mark.SAME, Mark.INSIDE):
        yield f"{row.mark.value} in this view"
    for name, value in entry.xattrs.items():
        yield f"{printable(name)} = {printable(value[:200])}"
    if others := [path for path in view.rootfs.hardlinks(entry) if path != entry.path]:
        yield f"also {', '.join(map(printable, others[:10]))}"
    if view.comparison is not None and entry.path in view.comparison.causes:
        yield printable(view.comparison.causes[entry.path].explain(view.comparison.other.semantics))
    for finding in results.findings if results is not None else ():
        if finding.path == entry.path:
            yield ""
            yield finding.title
            yield f"  {finding.message}"
            if finding.remedy:
                yield f"  remedy: {finding.remedy}"
    yield ""
    if results is not None:
        yield from results.path(entry.path)
        return
    for change in views.rootfs.history(entry.path):
        yield f"layer {change.layer}: {change.action.value} by {printable(change.cause)}"


def content_page(view: TreeView, row: Row) -> Iterator[str]:
    """Yield the content of a file: text, or the files of an initrd or EFI program, or hexadecimal digits.

    Raises:
        CosinspectError: it cannot be read.
    """
    entry = row.entry
    tree = view.before if row.mark is Mark.REMOVED else view.rootfs
    if entry.type == "symlink":
        trace = tree.trace(entry.path)
        yield printable(trace.chain)
        if trace.entry is None or trace.entry.type != "file":
            yield (
                f"leads to nothing: {printable(trace.at)} is missing"
                if trace.entry is None
                else f"leads to a {trace.entry.type}"
            )
            return
        entry = trace.entry
    if entry.type != "file":
        yield f"a {entry.type} has no content"
        return
    with tree.open(entry.path) as stream:
        head = b""
        while len(head) < HEAD_BYTES and (piece := stream.read(HEAD_BYTES - len(head))):
            head += piece
    if head.startswith(_CONTAINERS):
        try:
            container = open_container(tree, entry.path)
        except CosinspectError:
            container = None
        if container is not None:
            yield f"{container.kind} of {size(entry.size)}"
            yield from (f"! {printable(problem)}" for problem in container.problems)
            for number, file in enumerate(container.listed("/", recursive=True)):
                if number == LISTED:
                    yield "and more; cosinspect ls -R --in lists them"
                    break
                amount = size(file.size) if file.type in ("file", "section") else file.type
                yield f"{amount:>10}  {printable(file.path)}" + (
                    f" -> {printable(file.link)}" if file.link else ""
                )
            return
    yield from _text(head) if _is_text(head) else _digits(head)
    if entry.size > HEAD_BYTES:
        yield f"and {size(entry.size - HEAD_BYTES)} more; cosinspect cat writes all"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as fault:
        if fault.start < len(head) - 3:
            return False
        text = head[: fault.start].decode("utf-8")  # a character is cut
    return "\0" not in text


def _text(head: bytes) -> Iterator[str]:
    for line in head.decode("utf-8", "surrogateescape").replace("\r\n", "\n").split("\n"):
        yield printable(line.expandtabs(8))


def _digits(head: bytes) -> Iterator[str]:
    for at in range(0, min(len(head), HEX_BYTES), 16):
        row = head[at : at + 16]
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        yield f"{at:08x}  {row.hex(' '):<47}  {shown}"
