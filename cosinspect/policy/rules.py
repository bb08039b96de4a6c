"""Users' rules about files, packages, labels and sizes, and their conversion to checks.

A rule is data. Each kind returns its own mistakes (`problems`), the files that it opens (`reads`), and the
findings in an image (`run`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from cosinspect.checks.base import Check, CheckContext, NotApplicable, Undecided
from cosinspect.errors import LimitExceeded
from cosinspect.facts.packages import package_reads
from cosinspect.formats.packages.package import PackageType
from cosinspect.mistakes import Parser
from cosinspect.policy.patterns import Pattern
from cosinspect.policy.quantities import VersionRange, parse_size, split_range
from cosinspect.report.report import Capability, Finding, Level
from cosinspect.rootfs.rootfs import Entry

__all__ = ["FileRule", "LabelRule", "PackageRule", "PolicyRule", "SizeRule", "check_of"]

MOST = 100
"""The maximum number of findings of one rule; a pattern over a whole tree could have one per file."""

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
Number = Annotated[int, msgspec.Meta(ge=0, le=2**32)]
_ID = re.compile(r"[A-Z][A-Z0-9]{0,15}-?\d{1,6}")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_MARKS = ("*", "?", "[")
_LUET_NAME = re.compile(r"[^/\s]+/[^/\s]+")
_PACKAGE_NAME = re.compile(r"\S+")


class PolicyRule(msgspec.Struct, kw_only=True, frozen=True):
    """The common attributes of rules.

    Attributes:
        id: capitals and a number, such as `FLEET001`.
        name: names the defect, in small letters with hyphens.
        level: the severity; an error makes the verdict fail.
        summary: the defect in one sentence.
        why: the consequence.
        remedy: what to do.
        capabilities: the capabilities that an image loses if it breaks the rule.
    """

    id: str
    name: str
    level: Level = Level.ERROR
    summary: str = ""
    why: str = "The policy has it so."
    remedy: str = "Change the image, or have whoever keeps the policy waive it."
    capabilities: list[Capability] = []

    @property
    def subject(self) -> str:
        """The subject of the rule, for its summary."""
        return self.name

    @classmethod
    def parsers(cls) -> dict[str, Parser]:
        """Return the parsers of keys with a syntax."""
        return {"id": _read_id, "name": _read_name}

    def problems(self) -> dict[str, str]:
        """Return contradictions between keys, by the key to change."""
        return {}

    @property
    def reads(self) -> tuple[str, ...]:
        """Globs of files whose contents the rule reads."""
        return ()

    def run(self, context: CheckContext) -> Iterator[Finding | str]:
        """Look at an image."""
        raise NotImplementedError


class FileRule(PolicyRule, kw_only=True, frozen=True):
    """What must be, or must not be, at a path.

    Attributes:
        path: absolute; with `*`, `?`, `[...]` within a name and `**` for any directories, all that match.
        exists: whether something must be there, or must not.
        optional: whether it may be missing; if it exists, the other conditions apply.
        type: kind of file.
        mode: permission bits in octal, exactly.
        max_mode: permission bits that are allowed at most.
        uid: number of the owner.
        gid: number of the group.
        contains: pattern that must match somewhere in the content.
        lacks: pattern that must not.
        max_size: of the content.
    """

    path: Text
    exists: bool = True
    optional: bool = False
    type: Literal["file", "dir", "symlink", "char", "block", "fifo"] | None = None
    mode: str | None = None
    max_mode: str | None = None
    uid: Number | None = None
    gid: Number | None = None
    contains: str | None = None
    lacks: str | None = None
    max_size: str | None = None

    @property
    def subject(self) -> str:
        """The path."""
        return self.path

    @classmethod
    def parsers(cls) -> dict[str, Parser]:
        """Add paths, modes, patterns and a size."""
        modes = {"mode": _read_mode, "max_mode": _read_mode}
        patterns = {"contains": Pattern, "lacks": Pattern}
        return {
            **PolicyRule.parsers(),
            "path": _read_path,
            **modes,
            **patterns,
            "max_size": parse_size,
        }

    def problems(self) -> dict[str, str]:
        """Find conditions on a file that must not exist, and an optional file without conditions."""
        found = {}
        asked = ("type", "mode", "max_mode", "uid", "gid", "contains", "lacks", "max_size")
        named = [key for key in asked if getattr(self, key) is not None]
        if not self.exists and (named or self.optional):
            key = named[0] if named else "optional"
            found[key] = "expected nothing to be asked of a file that must not exist"
        if self.optional and not named and self.exists:
            found["optional"] = "expected something that is asked of the file where it is there"
        return found

    @property
    def reads(self) -> tuple[str, ...]:
        """The files whose contents the rule reads."""
        return (self.path.lstrip("/"),) if self.contains or self.lacks else ()

    def run(self, context: CheckContext) -> Iterator[Finding | str]:
        """Look at each file that matches."""
        entries = self._entries(context)
        if not self.exists:
            for entry in entries[:MOST]:
                yield _at(context, entry, "expected nothing there, found a " + entry.type)
            if not entries:
                yield f"{self.path} is not there"
            return
        if not entries:
            if self.optional:
                raise NotApplicable(f"{self.path} is not there")
            if any(mark in self.path for mark in _MARKS):
                yield Finding(f"expected something that matches {self.path}, nothing does", self.path)
            else:
                yield context.missing(self.path, f"expected {self.path}, it is not there")
            return
        found = 0
        for entry in entries:
            for message in self._faults(context, entry):
                found += 1
                if found <= MOST:
                    yield _at(context, entry, message)
        if not found:
            yield (
                f"{self.path}: {len(entries)} as the rule has it"
                if len(entries) > 1
                else f"{entries[0].path} is as the rule has it"
            )

    def _entries(self, context: CheckContext) -> list[Entry]:
        """Return what the path names: a link itself if the rule is about links or absence, else its target."""
        itself = not self.exists or self.type == "symlink"
        if not any(mark in self.path for mark in _MARKS):
            entry = context.rootfs.trace(self.path, follow=not itself).entry
            return [entry] if entry is not None else []
        found = context.rootfs.glob(self.path)
        if itself:
            return found
        led = (context.rootfs.trace(entry.path).entry or entry for entry in found)
        return list({entry.path: entry for entry in led}.values())

    def _faults(self, context: CheckContext, entry: Entry) -> Iterator[str]:
        """Yield the defects of a file."""
        if self.type is not None and entry.type != self.type:
            yield f"expected a {self.type}, found a {entry.type}"
        if self.mode is not None and entry.mode != int(self.mode, 8):
            yield f"expected mode {int(self.mode, 8):04o}, found {entry.mode:04o}"
        if self.max_mode is not None and (more := entry.mode & ~int(self.max_mode, 8)):
            yield f"expected at most mode {int(self.max_mode, 8):04o}, found {entry.mode:04o} with {more:04o} too much"
        if self.uid is not None and entry.uid != self.uid:
            yield f"expected owner {self.uid}, found {entry.uid}"
        if self.gid is not None and entry.gid != self.gid:
            yield f"expected group {self.gid}, found {entry.gid}"
        if self.max_size is not None and entry.size > parse_size(self.max_size):
            yield f"expected at most {self.max_size}, found {entry.size} bytes"
        if self.contains is None and self.lacks is None:
            return
        if entry.type != "file":
            yield f"expected a file to look into, found a {entry.type}"
            return
        try:
            content = context.rootfs.read_bytes(entry.path)
        except LimitExceeded as fault:
            raise Undecided(f"{fault}: too large to look into") from fault
        if self.contains is not None and Pattern(self.contains).line_of(content) is None:
            yield f"expected a match of {self.contains}, there is none"
        if self.lacks is not None and (line := Pattern(self.lacks).line_of(content)) is not None:
            yield f"expected no match of {self.lacks}, found one in line {line}"


class PackageRule(PolicyRule, kw_only=True, frozen=True):
    """A package that the image's databases must list, or must not.

    Attributes:
        package: its name; luet's as `category/name`.
        type: the kind of the package.
        exists: whether it must be installed, or must not.
        version: comparisons that all must hold: `>=0.14, <1.0`.
    """

    package: Text
    type: PackageType = "luet"
    exists: bool = True
    version: str | None = None

    @property
    def subject(self) -> str:
        """The package."""
        return self.package

    @classmethod
    def parsers(cls) -> dict[str, Parser]:
        """Add the package and the form of the range; `problems` knows the kind of the versions."""
        return {**PolicyRule.parsers(), "package": _read_package, "version": split_range}

    def problems(self) -> dict[str, str]:
        """Find a name of another kind, and a range that is not of the kind's versions.

        Raises:
            MissingPackage: the extra `policy` is not installed.
        """
        found = {}
        is_luet_name = _LUET_NAME.fullmatch(self.package) is not None
        if self.type == "luet" and not is_luet_name:
            found["package"] = (
                "expected category/name, such as system/cos-setup, or the type of another kind beside it, such as deb; "
                f"found {self.package[:60]!r}"
            )
        if self.type != "luet" and "/" in self.package:
            found["package"] = (
                f"expected a name without a slash for the type {self.type}, found {self.package[:60]!r}"
            )
        if self.version is not None:
            try:
                VersionRange.parse(self.version, self.type)
            except ValueError as fault:
                found["version"] = str(fault)
        return found

    @property
    def reads(self) -> tuple[str, ...]:
        """The databases."""
        return package_reads((self.type,))

    def run(self, context: CheckContext) -> Iterator[Finding | str]:
        """Look into every database of the image."""
        wanted = VersionRange.parse(self.version, self.type) if self.version is not None else None
        databases = context.facts.packages(self.type)
        fit = others = faults = 0
        for number, database in enumerate(databases):
            for place, package in enumerate(database.packages):
                if package.full_name != self.package:
                    continue
                try:
                    is_fit = wanted is None or wanted.holds(package.version)
                except ValueError as fault:
                    raise Undecided(f"{self.package} in {database.path}: {fault}") from fault
                fit += is_fit
                others += not is_fit
                if is_fit != self.exists:
                    faults += 1
                    asked = f"{self.package} {self.version or ''}".strip()
                    expected = f"expected {asked}" if self.exists else f"expected no {asked}"
                    brought = context.facts.packages(self.type, layers=True)[number].packages[place].layer
                    yield Finding(
                        f"{expected}, found {self.package} {package.version}",
                        database.path,
                        brought,
                        (context.step(brought),) if brought is not None else (),
                    )
        broken = [item for item in databases if item.fault is not None]
        if broken and not fit and not faults:
            raise Undecided(
                f"{broken[0].path} cannot be read, which may list {self.package}: {broken[0].fault}"
            )
        if not fit and not others and self.exists:
            yield Finding(f"expected the package {self.package}, no {self.type} database lists it")
        elif not faults and self.exists:
            yield f"{self.package} is installed"


class LabelRule(PolicyRule, kw_only=True, frozen=True):
    """A label that the image's configuration must have, or must not.

    Attributes:
        label: its key.
        exists: whether it must be there, or must not.
        matches: pattern that its whole value must match.
    """

    label: Text
    exists: bool = True
    matches: str | None = None

    @property
    def subject(self) -> str:
        """The label."""
        return f"the label {self.label}"

    @classmethod
    def parsers(cls) -> dict[str, Parser]:
        """Add the pattern."""
        return {**PolicyRule.parsers(), "matches": Pattern}

    def problems(self) -> dict[str, str]:
        """Find a condition on a label that must not exist."""
        if not self.exists and self.matches is not None:
            return {"matches": "expected nothing to be asked of a label that must not exist"}
        return {}

    def run(self, context: CheckContext) -> Iterator[Finding | str]:
        """Look at the configuration."""
        value = context.config.labels.get(self.label)
        if value is None:
            if self.exists:
                yield Finding(f"expected the label {self.label}, the image has none")
        elif not self.exists:
            yield Finding(f"expected no label {self.label}, found {value[:200]!r}")
        elif self.matches is not None and not Pattern(self.matches).matches(value):
            yield Finding(
                f"expected {self.matches} to match the label {self.label}, its value is {value[:200]!r}"
            )
        else:
            yield f"{self.label} is {value[:200]}"


class SizeRule(PolicyRule, kw_only=True, frozen=True):
    """How large an image may be.

    Attributes:
        max_compressed: all layers, as they are fetched.
        max_layer: the largest layer, as it is fetched.
        max_layers: how many layers there are.
        max_unpacked: the contents of all files of the merged tree, hard links once.
        path: the directory that `max_unpacked` is for.
    """

    max_compressed: str | None = None
    max_layer: str | None = None
    max_layers: Number | None = None
    max_unpacked: str | None = None
    path: Text = "/"

    @property
    def subject(self) -> str:
        """The object whose size is limited."""
        return "the image's size" if self.path == "/" else f"the size of {self.path}"

    @classmethod
    def parsers(cls) -> dict[str, Parser]:
        """Add the sizes and the path."""
        sizes = dict.fromkeys(("max_compressed", "max_layer", "max_unpacked"), parse_size)
        return {**PolicyRule.parsers(), **sizes, "path": _read_path}

    def problems(self) -> dict[str, str]:
        """Find a rule without conditions."""
        found = {}
        if (self.max_compressed, self.max_layer, self.max_layers, self.max_unpacked) == (None,) * 4:
            found["id"] = "expected one of max_compressed, max_layer, max_layers, max_unpacked"
        if self.path != "/" and self.max_unpacked is None:
            found["path"] = "expected max_unpacked beside it"
        return found

    def run(self, context: CheckContext) -> Iterator[Finding | str]:
        """Compute the sizes and compare them."""
        sizes = [index.descriptor.size for index in context.rootfs.indexes]
        found = 0
        if self.max_layers is not None and len(sizes) > self.max_layers:
            found += 1
            yield Finding(f"expected at most {self.max_layers} layers, found {len(sizes)}")
        measured: list[tuple[str, str | None, int, int | None]] = [
            ("the compressed layers", self.max_compressed, sum(sizes), None)
        ]
        if sizes:
            largest = max(range(len(sizes)), key=sizes.__getitem__)
            measured.append(("the largest layer", self.max_layer, sizes[largest], largest))
        if self.max_unpacked is not None:
            measured.append(
                (f"the files below {self.path}", self.max_unpacked, self._unpacked(context), None)
            )
        for what, most, size, layer in measured:
            if most is not None and size > parse_size(most):
                found += 1
                path = self.path if what.startswith("the files") and self.path != "/" else None
                evidence = (context.step(layer),) if layer is not None else ()
                yield Finding(
                    f"expected at most {most} for {what}, found {size} bytes", path, layer, evidence
                )
        if not found:
            yield f"{self.subject} is within its bounds"

    def _unpacked(self, context: CheckContext) -> int:
        top = context.rootfs.trace(self.path).entry
        if top is None:
            raise NotApplicable(f"{self.path} is not there")
        total = 0
        seen = set()
        for entry in context.rootfs.walk(top.path) if top.type == "dir" else (top,):
            inode = entry.node.inode
            if inode is None or inode not in seen:
                total += entry.size
                seen.add(inode)
        return total


def check_of(rule: PolicyRule) -> Check:
    """Return the check of a valid rule."""
    return Check(
        id=rule.id,
        name=rule.name,
        level=rule.level,
        capabilities=tuple(dict.fromkeys(rule.capabilities)),
        summary=" ".join(rule.summary.split()) or f"The image breaks the policy's rule on {rule.subject}.",
        why=" ".join(rule.why.split()),
        remedy=" ".join(rule.remedy.split()),
        reads=rule.reads,
        universal=True,
        run=rule.run,
    )


def _at(context: CheckContext, entry: Entry, message: str) -> Finding:
    return Finding(message, entry.path, entry.layer, (context.step(entry.layer),))


def _read_id(text: str) -> None:
    if not _ID.fullmatch(text):
        raise ValueError(f"expected capitals and a number, such as FLEET001, found {text[:40]!r}")
    if re.fullmatch(r"COS-?\d+", text):
        raise ValueError(f"expected an id of your own, {text} would be the catalogue's")


def _read_name(text: str) -> None:
    if not _NAME.fullmatch(text):
        raise ValueError(f"expected words in small letters with hyphens, found {text[:60]!r}")


def _read_path(text: str) -> None:
    if not text.startswith("/") or "\0" in text:
        raise ValueError(f"expected an absolute path, found {text[:60]!r}")


def _read_mode(text: str) -> None:
    if not re.fullmatch("[0-7]{3,4}", text):
        raise ValueError(f"expected permission bits in octal, such as 0644, found {text[:20]!r}")


def _read_package(text: str) -> None:
    if not _PACKAGE_NAME.fullmatch(text):
        raise ValueError(f"expected the name of a package without blanks, found {text[:60]!r}")
