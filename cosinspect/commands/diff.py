"""`diff IMAGE [OTHER]`: compares how readers read one image, or compares two images."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from attrs import frozen

from cosinspect.checks.initrd import READS as INITRD_READS
from cosinspect.checks.kernel import READS as KERNEL_READS
from cosinspect.commands.command import Terminal, WrongUse
from cosinspect.commands.options import add_format, add_image, open_named, semantics_list
from cosinspect.commands.progress import layer_bars
from cosinspect.facts.facts import Facts
from cosinspect.facts.packages import find_packages, package_reads
from cosinspect.formats.packages.package import PackageType
from cosinspect.image.image import Image
from cosinspect.render.differences import change_lines, comparison_lines
from cosinspect.report.display import printable
from cosinspect.report.json_text import json_text
from cosinspect.report.report import name_layer
from cosinspect.rootfs.differences import FLATTEN, Comparison, Difference, compare, compare_semantics
from cosinspect.rootfs.rootfs import Entry, Rootfs
from cosinspect.rootfs.semantics import USUAL, Semantics

__all__ = ["configure", "run"]

SCHEMA = "cosinspect.diff/1"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_image(parser)
    parser.add_argument(
        "other", nargs="?", metavar="OTHER", help="another image; default: compare the semantics of IMAGE"
    )
    parser.add_argument(
        "--semantics",
        type=semantics_list,
        metavar="A,B[,...]",
        help="with one image: semantics that are compared with the first; default: "
        "oci,overlay,elemental. With two images: the semantics of both; default: oci",
    )
    parser.add_argument(
        "-R",
        "--recursive",
        action="store_true",
        help="also list the content of a directory that is on one side only",
    )
    add_format(parser)


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command and return the exit status."""
    if arguments.other is None:
        return _diff_readings(arguments, terminal)
    return _diff_images(arguments, terminal)


# -- one image, several readers ----------------------------------------------------------------------------------------


def _diff_readings(arguments: argparse.Namespace, terminal: Terminal) -> int:
    first, *others = arguments.semantics or USUAL
    if not others:
        raise WrongUse(
            f"--semantics: expected two semantics to compare, such as oci,elemental; found {first.value}"
        )
    with open_named(arguments.image, arguments) as image:
        with layer_bars(terminal) as bars:
            bars.begin(image)
            rootfs = image.read_rootfs(semantics=first, progress=bars.advance)
        comparisons = [compare_semantics(rootfs, each, limits=image.limits) for each in others]
        if arguments.format == "json":
            values = {
                "schema": SCHEMA,
                "image": _identity(image),
                "comparisons": [_comparison(each) for each in comparisons],
            }
            terminal.out.write(json_text(values, indent=2) + "\n")
        else:
            for number, comparison in enumerate(comparisons):
                lines = comparison_lines(
                    comparison,
                    lambda layer: name_layer(layer, image.layers[layer].created_by),
                    width=terminal.columns,
                    every=arguments.recursive,
                )
                terminal.out.write("\n" * bool(number) + "".join(f"{line}\n" for line in lines))
    return int(any(each.differences or each.other.problems for each in comparisons))


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "first": comparison.first.semantics.value,
        "other": comparison.other.semantics.value,
        "refusals": [
            {
                "kind": each.kind,
                "layer": each.layer,
                "path": f"/{each.path}",
                "message": each.message,
                "remedy": FLATTEN,
            }
            for each in comparison.other.problems
            if each.fatal
        ],
        "differences": [
            {
                **_difference(each),
                "layer": cause.layer,
                "cause": cause.item,
                "kind": cause.kind,
                "why": cause.explain(comparison.other.semantics),
                "remedy": cause.remedy,
            }
            for cause, found in comparison.by_cause()
            for each in found
        ],
    }


def _difference(each: Difference) -> dict[str, Any]:
    return {
        "path": each.path,
        "aspects": list(each.aspects),
        "left": _entry(each.left),
        "right": _entry(each.right),
    }


def _entry(entry: Entry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    return {
        "type": entry.type,
        "mode": entry.mode,
        "uid": entry.uid,
        "gid": entry.gid,
        "size": entry.size,
        "link": entry.link,
        "layer": entry.layer,
    }


def _identity(image: Image) -> dict[str, Any]:
    return {"name": image.name, "digest": str(image.digest)}


# -- two images --------------------------------------------------------------------------------------------------------


@frozen
class _Summary:
    """The versions that people compare first, by name.

    Attributes:
        system: of the toolkit, the system, the kernel and the initrd.
        packages: luet's as `category/name`, others as `type:name`; several versions of one name in order.
        undecided: databases that cannot be read, by the prefix of the names of their packages, and why.
    """

    system: dict[str, str]
    packages: dict[str, str]
    undecided: tuple[tuple[str, str], ...]

    def may_have(self, package: str) -> bool:
        """Return whether a package that is not listed may be in a database that cannot be read."""
        return any(
            package.startswith(prefix) if prefix else ":" not in package for prefix, _ in self.undecided
        )


def _diff_images(arguments: argparse.Namespace, terminal: Terminal) -> int:
    semantics = arguments.semantics or (Semantics.OCI,)
    if len(semantics) > 1:
        raise WrongUse("--semantics: expected one semantics for two images, such as elemental")
    reads = (*package_reads(), *KERNEL_READS, *INITRD_READS)
    with ExitStack() as opened:
        images = [
            opened.enter_context(open_named(name, arguments)) for name in (arguments.image, arguments.other)
        ]
        trees: list[Rootfs] = []
        for image in images:
            known = trees[0].indexes if trees else ()
            with layer_bars(terminal) as bars:
                bars.begin(image)
                trees.append(
                    image.read_rootfs(reads, semantics=semantics[0], known=known, progress=bars.advance)
                )
        found = compare(*trees)
        left, right = (_summary(image, tree) for image, tree in zip(images, trees, strict=True))
    if arguments.format == "json":
        values = {
            "schema": SCHEMA,
            "images": [_identity(image) for image in images],
            "system": _changes(left.system, right.system),
            "packages": _package_changes(left, right),
            "undecided_packages": [[reason for _, reason in side.undecided] for side in (left, right)],
            "differences": [_difference(each) for each in found],
        }
        terminal.out.write(json_text(values, indent=2) + "\n")
    else:
        for line in _image_lines(images, left, right, found, every=arguments.recursive):
            terminal.out.write(line + "\n")
    return int(bool(found))


def _summary(image: Image, tree: Rootfs) -> _Summary:
    facts = Facts(tree, image.config, limits=image.limits)
    system = {"generation": facts.generation}
    release = facts.os_release
    if release is not None:
        system["os"] = release[1].values.get("PRETTY_NAME", "") or release[1].values.get("VERSION", "")
    system["kernel"] = ", ".join(each.version or "unknown" for each in facts.kernels if each.trace.entry)
    opened = [each.initrd for each in facts.initrds if each.initrd is not None]
    system["initrd"] = ", ".join(version for each in opened for version in each.kernel_versions)
    system["dracut modules"] = " ".join(name for each in opened for name in each.dracut_modules or ())
    databases = find_packages(tree, image.config, limits=image.limits)
    versions: dict[str, set[str]] = {}
    for package in (package for each in databases for package in each.packages):
        name = f"{package.category}/{package.name}" if package.type == "luet" else package.name
        versions.setdefault(_prefix(package.type) + name, set()).add(package.version)
    packages = {name: ", ".join(sorted(found)) for name, found in versions.items()}
    undecided = tuple(
        (_prefix(each.type), f"{each.path}: {each.fault}") for each in databases if each.fault is not None
    )
    return _Summary(system, packages, undecided)


def _prefix(kind: PackageType) -> str:
    return "" if kind == "luet" else f"{kind}:"


def _package_changes(left: _Summary, right: _Summary) -> dict[str, dict[str, str | None]]:
    """Return the packages that differ, without those that a database which cannot be read may have."""
    return {
        name: change
        for name, change in _changes(left.packages, right.packages).items()
        if not (change["left"] is None and left.may_have(name))
        and not (change["right"] is None and right.may_have(name))
    }


def _changes(left: dict[str, str], right: dict[str, str]) -> dict[str, dict[str, str | None]]:
    return {
        name: {"left": left.get(name), "right": right.get(name)}
        for name in sorted(left.keys() | right.keys())
        if left.get(name) != right.get(name)
    }


def _image_lines(
    images: list[Image], left: _Summary, right: _Summary, found: list[Difference], *, every: bool
) -> Iterator[str]:
    digests = [[layer.descriptor.digest for layer in image.layers] for image in images]
    shared = len(set(digests[0]) & set(digests[1]))
    for sign, image, own in zip("-+", images, digests, strict=True):
        yield f"{sign} {printable(image.name)}  {image.digest}  {len(own)} layers, {shared} shared"
    for name, change in _changes(left.system, right.system).items():
        if name == "dracut modules":
            yield f"  {name:<14}  {_words(change['left'] or '', change['right'] or '')}"
        else:
            yield f"  {name:<14}  {printable(change['left'] or 'none')} -> {printable(change['right'] or 'none')}"
    packages = _package_changes(left, right)
    if packages:
        yield ""
        yield f"packages: {_counted(packages)}"
        for name, change in packages.items():
            yield f"  {_sign(change)} {printable(name)}  {_versions(change)}"
    for sign, side in zip("-+", (left, right), strict=True):
        for _, reason in side.undecided:
            yield f"{sign} packages undecided: {printable(reason)}"
    if not found:
        yield ""
        yield "the same tree"
        return
    counts = {"+": 0, "-": 0, "~": 0}
    for each in found:
        counts["+" if each.left is None else "-" if each.right is None else "~"] += 1
    yield ""
    yield f"paths: {counts['+']} added, {counts['-']} removed, {counts['~']} changed"
    yield from change_lines(found, every=every)


def _words(left: str, right: str) -> str:
    ours, theirs = left.split(), right.split()
    gone = [f"-{name}" for name in ours if name not in theirs]
    new = [f"+{name}" for name in theirs if name not in ours]
    return printable(" ".join([*gone, *new])) or "in another order"


def _sign(change: dict[str, str | None]) -> str:
    return "+" if change["left"] is None else "-" if change["right"] is None else "~"


def _versions(change: dict[str, str | None]) -> str:
    return " -> ".join(printable(version) for version in change.values() if version is not None)


def _counted(changes: dict[str, dict[str, str | None]]) -> str:
    signs = [_sign(change) for change in changes.values()]
    return f"{signs.count('+')} added, {signs.count('-')} removed, {signs.count('~')} changed"
