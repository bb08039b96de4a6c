"""Checks on the layers as archives: entries that runtimes refuse, unpack differently, or that other readers see differently.

The readers note irregularities (`tar.reader`, `layer`, and `rootfs.overlay` for those that appear when layers are merged).
`RULINGS` states for each kind what each tool does and how to repair it; the checks only select by kind. The table comes from
runs of the tools themselves: containerd 2, moby, containers/storage, umoci, ggcr, and elemental-toolkit,
which deploys derivatives with ggcr 0.20.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import frozen

from cosinspect.checks.base import Check, CheckContext, NotApplicable, check
from cosinspect.errors import InvalidLayer
from cosinspect.layer.toc import is_announced
from cosinspect.layer.whiteout import whiteout_path
from cosinspect.report.evidence import LayerStep
from cosinspect.report.report import Capability, CheckResult, Finding, Kind, Level
from cosinspect.tar.names import normalise

__all__ = [
    "RULINGS",
    "Ruling",
    "layer_ambiguous",
    "layer_malformed",
    "layer_name_escapes",
    "layer_overlay_order",
    "layer_reader_dependent",
    "layer_unreadable",
    "layer_unusual",
    "unreadable",
]

_UNPACKED = (
    Capability.BOOT,
    Capability.INSTALL,
    Capability.UPGRADE,
    Capability.RECOVERY,
    Capability.ISO,
)
"""The capabilities that an image loses if it cannot be unpacked."""


@frozen
class Ruling:
    """The facts about one kind of irregularity.

    Attributes:
        check: the id of the check that reports it.
        who: what each tool does.
        remedy: how to repair it.
    """

    check: str
    who: str
    remedy: str


_LINKS = "Hard-link only to earlier files of the same layer, or copy the file."
_WHITEOUTS = "Write whiteouts as empty regular files, each for a path without another entry in the layer."
_EXTENSIONS = "Write each entry with one extended header, directly before it."
_CUT = "The layer was cut or damaged before it was published: build and push it again."
_TABLE = """Convert the image again (nerdctl image convert, podman push --compression-format zstd:chunked). A name that is not UTF-8
cannot be in a table: give the file another one.""".replace("\n", " ")
_TAR = "Write the archive with a current tar library; the library that wrote it counts wrongly."

RULINGS: Mapping[str, Ruling] = {
    # No tool, or almost none, unpacks these.
    "unknown-type": Ruling(
        "COS002",
        "containerd and umoci refuse the layer, elemental refuses the image, Python's tarfile reads the entry as a file",
        "Leave it out.",
    ),
    "sparse-type": Ruling(
        "COS002",
        "containerd refuses the layer (unhandled tar header type), elemental the image, readers that know the type expand the file",
        "Write files whole (GNU tar: without --sparse).",
    ),
    "invalid-whiteout": Ruling(
        "COS002",
        "containerd, Docker and umoci refuse the layer, elemental deletes everything below it",
        f"Write the deleted name in a whiteout: {whiteout_path('NAME')}.",
    ),
    "dangling-hardlink": Ruling("COS002", "every unpacker stops at it", _LINKS),
    "forward-hardlink": Ruling(
        "COS002", "containerd, Docker, Podman, umoci and elemental stop at it", _LINKS
    ),
    "foreign-hardlink": Ruling(
        "COS002",
        "containerd, Docker and Podman on overlayfs stop at it, and so does elemental's installation; umoci links to the lower layer's file",
        _LINKS,
    ),
    "hardlink-to-deleted": Ruling(
        "COS002", "containerd, Docker and Podman on overlayfs stop at it, and so does elemental", _LINKS
    ),
    "hardlink-to-directory": Ruling("COS002", "no file system stores one", _LINKS),
    "escaping-hardlink": Ruling(
        "COS002", "Docker and Podman refuse it, containerd, umoci and elemental find no such file", _LINKS
    ),
    "unusable-name": Ruling(
        "COS002",
        "no file system stores it: every unpacker stops at it",
        "Give the file a name of at most 255 bytes.",
    ),
    "empty-symlink": Ruling("COS002", "no file system stores one", "Give the link a target."),
    "file-as-parent": Ruling(
        "COS002",
        "containerd, Docker and Podman stop at it; elemental loses the entry",
        "Make it a directory if it has entries below it, or remove the file in an earlier layer.",
    ),
    "parent-loop": Ruling("COS002", "every unpacker stops at it", "Break the loop of links."),
    "root-not-directory": Ruling(
        "COS002", "umoci refuses the layer, others skip the entry", "Leave out the entry for the root."
    ),
    # These become different trees.
    "duplicate-entry": Ruling(
        "COS003",
        "containerd, Docker, Podman and umoci use the last one, elemental the first",
        "Write each path once in a layer.",
    ),
    "entry-over-children": Ruling(
        "COS003",
        "runtimes delete the entries below it, readers that go by names keep both",
        "Write no entry below a path that is not a directory.",
    ),
    "symlinked-parent": Ruling(
        "COS003",
        "containerd, Docker, Podman and umoci write through the link, elemental loses the entry",
        "Write the entry under the path that the link leads to.",
    ),
    "whiteout-beside-entry": Ruling(
        "COS003",
        "if the whiteout is last, runtimes on overlayfs refuse the layer; if it is first, elemental loses the entry",
        "Replace a file with its new entry only, and empty a directory with an opaque whiteout.",
    ),
    "nested-whiteout": Ruling(
        "COS003",
        "containerd and Docker on overlayfs refuse the layer, Podman and umoci delete both",
        "Delete a directory with one whiteout.",
    ),
    "whiteout-in-opaque": Ruling(
        "COS003",
        "on overlayfs the name stays in the directory's list and cannot be opened",
        "Leave the whiteout out: the opaque one deletes it already.",
    ),
    "late-opaque": Ruling(
        "COS003",
        "containerd without overlayfs deletes those entries too",
        "Write a directory's own entry and its opaque whiteout before its content.",
    ),
    "root-opaque": Ruling(
        "COS003",
        "umoci empties the image, runtimes on overlayfs and elemental keep everything",
        "Start from an empty image instead (FROM scratch).",
    ),
    "whiteout-directory": Ruling(
        "COS003", "runtimes make a directory of that name, other readers delete the named path", _WHITEOUTS
    ),
    "aufs-metadata": Ruling(
        "COS003",
        "runtimes show parts of it as files, Docker and Podman resolve hard links into it, some scanners delete by it",
        "Export the layer from a storage driver that is not AUFS.",
    ),
    # The archive itself ends there for every runtime.
    "header-checksum": Ruling(
        "COS005",
        "runtimes refuse the layer, Python's tarfile reads it as the end, GNU tar continues after it",
        _CUT,
    ),
    "header-truncated": Ruling(
        "COS005", "runtimes refuse the layer, Python's tarfile reads it as the end", _CUT
    ),
    "content-truncated": Ruling("COS005", "runtimes and GNU tar refuse the layer", _CUT),
    "end-truncated": Ruling("COS005", "runtimes refuse the layer, other readers read it as the end", _CUT),
    "lone-zero-block": Ruling(
        "COS005",
        "runtimes refuse the layer, Python's tarfile and GNU tar read it as the end",
        "End the archive with two blocks of zeros, and have none in it before.",
    ),
    "negative-size": Ruling(
        "COS005", "runtimes and GNU tar refuse the layer, Python's tarfile reads it as 0", _TAR
    ),
    "number-malformed": Ruling("COS005", "runtimes refuse the layer, other readers guess", _TAR),
    "pax-malformed": Ruling("COS005", "runtimes refuse the layer, other readers guess", _TAR),
    "sparse-malformed": Ruling(
        "COS005", "runtimes refuse the layer", "Write files whole (GNU tar: without --sparse)."
    ),
    "compression-damaged": Ruling(
        "COS005",
        "no reader can inflate the layer to its end; elemental installs the part before the damage",
        _CUT,
    ),
    # Runtimes agree on these; other readers, scanners among them, see something else.
    "prefix-without-magic": Ruling(
        "COS006",
        "Python's tarfile puts them before the name, runtimes and GNU tar do not",
        "Write long names with PAX headers.",
    ),
    "repeated-pax-header": Ruling(
        "COS006", "runtimes and GNU tar use the last, Python's tarfile the first", _EXTENSIONS
    ),
    "repeated-long-name": Ruling(
        "COS006", "runtimes and GNU tar use the last, Python's tarfile the first", _EXTENSIONS
    ),
    "long-name-over-pax": Ruling(
        "COS006", "runtimes and GNU tar use the long name, Python's tarfile the PAX path", _EXTENSIONS
    ),
    "global-header": Ruling(
        "COS006",
        "runtimes make no file of it, but containerd deletes what the layer has at its name, and elemental what lower layers have; \
umoci refuses the layer; Python's tarfile and GNU tar apply it to every entry behind it",
        "Leave it out (git archive writes one: unpack its archive and add the files).",
    ),
    "dangling-extension": Ruling(
        "COS006", "runtimes drop it, other readers apply it to the next entry or stop", _EXTENSIONS
    ),
    "empty-pax-path": Ruling(
        "COS006",
        "runtimes keep the header's name, Python's tarfile has an entry without a name, GNU tar stops",
        _EXTENSIONS,
    ),
    "slash-on-file": Ruling(
        "COS006",
        "runtimes make a file of it, Python's tarfile and GNU tar a directory",
        "Write directories with type 5, and files without a slash.",
    ),
    "size-without-content": Ruling(
        "COS006",
        "runtimes ignore the size, elemental installs nothing that follows it, GNU tar and Python's tarfile skip as many bytes, including entries",
        "Write links, directories and devices with size 0.",
    ),
    "data-after-end": Ruling(
        "COS006",
        "runtimes ignore them, tar --ignore-zeros and scanners that search for headers read on",
        "End the layer with the archive's end mark.",
    ),
    # The table of contents of a layer, for lazy readers.
    "table-differs": Ruling(
        "COS111",
        "runtimes that pull lazily (stargz-snapshotter, Podman) use the table, all others and elemental the archive",
        _TABLE,
    ),
    "table-unreadable": Ruling(
        "COS111", "runtimes that pull lazily refuse the layer, or read it whole as all others do", _TABLE
    ),
    # A name that leads out of the root.
    "escaping-name": Ruling(
        "COS007",
        "Docker, Podman and ggcr refuse the layer, containerd, umoci and elemental write it below the root",
        "Write names relative to the root, without '..'.",
    ),
    # Data that overlayfs interprets.
    "overlay-device": Ruling(
        "COS008",
        "on overlayfs, containerd, Docker and Podman delete the lower file, umoci and elemental make a device",
        f"Delete with a whiteout ({whiteout_path('NAME')}), and leave the device out.",
    ),
    "overlay-attribute": Ruling(
        "COS008",
        "with Docker and Podman it hides lower files, or shows those of another directory; containerd, umoci and elemental ignore it",
        "Export the layer from the mounted file system, not from overlayfs' upper directory.",
    ),
    # All readers agree, but no tool should write it.
    "odd-whiteout": Ruling("COS009", "every runtime treats it as a whiteout anyway", _WHITEOUTS),
    "sparse": Ruling(
        "COS009",
        "runtimes expand it, readers without support for sparse files see its map as content",
        "Write files whole (GNU tar: without --sparse).",
    ),
    "missing-padding": Ruling("COS009", "runtimes accept it, GNU tar reports an unexpected end", _CUT),
    "missing-end": Ruling("COS009", "runtimes accept it, and it looks like a truncated layer", _CUT),
}
"""Every kind of irregularity: what each tool does, and how to repair it."""


def _irregular(context: CheckContext, own: str) -> Iterator[Finding]:
    """Yield the findings of one check, those of the resolver first, then by layer and offset."""
    # COS201 and COS202 report what stops another reader, because they know the effect.
    told = {
        (problem.layer, problem.path) for comparison in context.comparisons for problem in comparison.refusals
    }
    for problem in context.rootfs.problems:
        ruling = RULINGS.get(problem.kind)
        if ruling is None or ruling.check != own:
            continue
        told.add((problem.layer, problem.path))
        yield Finding(
            f"{problem.message}; {ruling.who}",
            f"/{problem.path}",
            problem.layer,
            (context.step(problem.layer),),
            ruling.remedy,
        )
    for layer, index in enumerate(context.rootfs.indexes):
        for irregularity in index.irregularities:
            ruling = RULINGS[irregularity.kind]
            if ruling.check != own:
                continue
            path, _ = normalise(irregularity.path)
            # A link that the resolver could not make either is reported once.
            if (layer, path) not in told:
                yield Finding(
                    f"{irregularity.message}; {ruling.who}",
                    f"/{path}" if path else None,
                    layer,
                    (f"byte {irregularity.offset} of the uncompressed layer", context.step(layer)),
                    ruling.remedy,
                )


@check(
    id="COS002",
    name="layer-malformed",
    level=Level.ERROR,
    capabilities=_UNPACKED,
    summary="A layer has an entry that runtimes refuse to unpack.",
    why="The image cannot be pulled or written to disk: every unpacker stops at this entry.",
    remedy="Build the layer again with a current tool, and report the tool that wrote it.",
    universal=True,
)
def layer_malformed(context: CheckContext) -> Iterator[Finding | str]:
    """Report what the resolver and the readers noted."""
    yield from _irregular(context, "COS002")
    yield f"every entry of the layers can be unpacked ({len(context.rootfs.indexes)} read)"


@check(
    id="COS003",
    name="layer-ambiguous",
    level=Level.WARNING,
    summary="A layer has an entry that runtimes unpack differently.",
    why="""The files on the machine depend on the tool that unpacked the image; this report is about readers that
        follow the specification.""",
    remedy="Build the layer again with a tool that writes each path once and whiteouts as empty files.",
    universal=True,
)
def layer_ambiguous(context: CheckContext) -> Iterator[Finding | str]:
    """Report what the readers noted."""
    yield from _irregular(context, "COS003")


@check(
    id="COS005",
    name="layer-unreadable",
    level=Level.ERROR,
    capabilities=_UNPACKED,
    summary="A layer's archive is damaged, so that no runtime can read it to its end.",
    why="""The bytes match the image's digests, so they were damaged before they were published; every unpacker stops at this place.""",
    remedy=_CUT,
    universal=True,
)
def layer_unreadable(context: CheckContext) -> Iterator[Finding | str]:
    """Report that the layers were read; `unreadable` replaces all checks if one could not be read."""
    yield f"every layer was read to its end ({len(context.rootfs.indexes)})"


@check(
    id="COS006",
    name="layer-reader-dependent",
    level=Level.WARNING,
    summary="A layer's archive is read differently by runtimes and by other readers.",
    why="""A scanner or signer with another tar reader sees other files than the machine; an attacker can use that.""",
    remedy="Write the archive with a current tar library, and report the tool that wrote it.",
    universal=True,
)
def layer_reader_dependent(context: CheckContext) -> Iterator[Finding | str]:
    """Report what the tar reader noted."""
    yield from _irregular(context, "COS006")


@check(
    id="COS007",
    name="layer-name-escapes",
    level=Level.ERROR,
    capabilities=_UNPACKED,
    summary="A name in a layer leads out of the root directory.",
    why="""Only hostile or broken tools write such a name. Docker and Podman refuse to pull the image, and a tool that neither refuses
    nor clamps the name writes outside its target directory.""",
    remedy="Write names relative to the root, without '..'.",
    universal=True,
)
def layer_name_escapes(context: CheckContext) -> Iterator[Finding | str]:
    """Report names that lead out of the root."""
    yield from _irregular(context, "COS007")


@check(
    id="COS008",
    name="layer-overlay-order",
    level=Level.WARNING,
    summary="A layer has a whiteout device or an overlay attribute, which overlayfs interprets.",
    why="""It deletes, hides or redirects files on some runtimes only, so the tested container differs from the installed system. It can be an attack.""",
    remedy="Export the layer from the mounted file system, not from overlayfs' upper directory.",
    universal=True,
)
def layer_overlay_order(context: CheckContext) -> Iterator[Finding | str]:
    """Look for devices 0/0 and attributes of overlayfs."""
    yield from _irregular(context, "COS008")


@check(
    id="COS009",
    name="layer-unusual",
    level=Level.NOTE,
    summary="A layer has an entry that no tool should write, although all runtimes agree on it.",
    why="It works today; the tool that wrote it is old or wrong, and some readers fail on it.",
    remedy="Build the layer again with a current tool.",
    universal=True,
)
def layer_unusual(context: CheckContext) -> Iterator[Finding | str]:
    """Report what else the readers noted."""
    yield from _irregular(context, "COS009")


@check(
    id="COS111",
    name="layer-table-differs",
    level=Level.ERROR,
    summary="A layer's table of contents differs from its archive.",
    why="""Runtimes that pull lazily use the table, while a machine is installed from the archive: the tested or
        scanned files are not those that run. It can be an attack. The formats' own writers also change names
        that are not UTF-8.""",
    remedy=_TABLE,
    universal=True,
)
def layer_table_differs(context: CheckContext) -> Iterator[Finding | str]:
    """Report differences that were noted while layers were read whole."""
    yield from _irregular(context, "COS111")
    tables = [index for index in context.rootfs.indexes if is_announced(index.descriptor)]
    if not tables:
        raise NotApplicable("no layer has a table of contents that the manifest names")
    compared = sum(index.table is None for index in tables)
    if not compared:
        raise NotApplicable("only the layers' tables of contents were read")
    yield f"tables and archives of {compared} layers agree"


def unreadable(
    fault: InvalidLayer,
    checks: tuple[Check, ...],
    levels: Mapping[str, Level],
    steps: tuple[str | None, ...],
    told: Mapping[str, Finding] | None = None,
) -> tuple[CheckResult, ...]:
    """Return the results for an image with a layer that no runtime can read: it fails, and the other checks are undecided.

    Args:
        fault: the fault that ended the reading; the blob matches the image's digest.
        checks: the checks that should have run.
        levels: the profile's levels by id.
        steps: the build step of each layer, bottom first, None if unknown.
        told: the results of other checks, by their ids.

    Raises:
        InvalidLayer: `fault`, if another tool may be able to read the layer.
    """
    ruling = RULINGS.get(fault.kind)
    if ruling is None or fault.layer is None or layer_unreadable not in checks:
        raise fault
    place = (f"byte {fault.offset} of the uncompressed layer",) if fault.offset is not None else ()
    before = (f"/{fault.after} is the last entry that could be read",) if fault.after is not None else ()
    finding = Finding(
        f"{fault.message}; {ruling.who}",
        f"/{fault.after}" if fault.after is not None else None,
        fault.layer,
        (*place, *before, LayerStep(fault.layer, steps[fault.layer])),
        ruling.remedy,
    )
    reason = f"layer {fault.layer} cannot be read: {fault.message}"

    def result(item: Check) -> CheckResult:
        found = finding if item is layer_unreadable else (told or {}).get(item.id)
        return CheckResult(
            item.id,
            item.name,
            Kind.FAIL if found else Kind.OPEN,
            levels.get(item.id, item.level),
            item.capabilities,
            (found,) if found else (),
            "" if found else reason,
            tags=item.tags,
        )

    return tuple(result(item) for item in checks)
