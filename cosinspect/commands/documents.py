"""The documents that commands print as JSON, as types: their schemas are made from these.

A document is plain values; only readers of the schema need the types. Keys are added, never changed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from cosinspect.formats.packages.package import PackageType
from cosinspect.report.report import Capability, Kind, Verdict
from cosinspect.report.schema import document_schema
from cosinspect.rootfs.history import Action
from cosinspect.rootfs.member import FileType
from cosinspect.rootfs.semantics import Semantics

__all__ = ["schema_of"]

Aspect: TypeAlias = Literal["presence", "type", "content", "link", "device", "mode", "owner"]


class _WireNamedImage(msgspec.Struct):
    name: str
    digest: str


# -- layers --------------------------------------------------------------------------------------------------------------


class _WireStackLayer(msgspec.Struct):
    layer: int
    digest: str
    media_type: str
    size: int
    uncompressed_size: int
    added: int
    changed: int
    removed: int
    content_bytes: int
    wasted_bytes: int
    created_by: str | None


class _WireWasted(msgspec.Struct):
    path: str
    size: int
    layer: int
    gone: int
    action: Action


class _WireDive(msgspec.Struct):
    efficiency: float
    wasted_bytes: int


class _WireLayers(msgspec.Struct):
    schema: Literal["cosinspect.layers/1"]
    image: _WireNamedImage
    semantics: Semantics
    layers: list[_WireStackLayer]
    content_bytes: int
    wasted_bytes: int
    wasted_files: int
    wasted: list[_WireWasted]
    dive: _WireDive


# -- explain -------------------------------------------------------------------------------------------------------------


class _WireCause(msgspec.Struct):
    text: str
    layer: int | None
    created_by: str | None


class _WireRead(msgspec.Struct):
    check: str
    name: str
    kind: Kind


class _WireExplained(msgspec.Struct):
    subject: str
    headline: str
    causes: list[_WireCause]
    consequence: str
    loses: list[Capability]
    remedy: str
    remedy_commands: list[str]
    checks: list[_WireRead]
    kind: Literal["pass", "fail", "open", "notApplicable", ""]
    if_it_fails: str
    at_risk: list[Capability]


class _WireExplanation(msgspec.Struct):
    schema: Literal["cosinspect.explanation/1"]
    image: _WireNamedImage
    verdict: Verdict
    explanations: list[_WireExplained]


# -- diff ----------------------------------------------------------------------------------------------------------------


class _WireTreeEntry(msgspec.Struct):
    type: FileType
    mode: int
    uid: int
    gid: int
    size: int
    link: str
    layer: int


class _WireDifference(msgspec.Struct):
    path: str
    aspects: list[Aspect]
    left: _WireTreeEntry | None
    right: _WireTreeEntry | None


class _WireReadingDifference(_WireDifference):
    layer: int
    cause: str
    kind: str
    why: str
    remedy: str


class _WireRefusal(msgspec.Struct):
    kind: str
    layer: int
    path: str
    message: str
    remedy: str


class _WireComparison(msgspec.Struct):
    first: Semantics
    other: Semantics
    refusals: list[_WireRefusal]
    differences: list[_WireReadingDifference]


class _WireReadings(msgspec.Struct):
    """One image, as several readers see it."""

    schema: Literal["cosinspect.diff/1"]
    image: _WireNamedImage
    comparisons: list[_WireComparison]


class _WireChange(msgspec.Struct):
    left: str | None
    right: str | None


class _WireImages(msgspec.Struct):
    """Two images."""

    schema: Literal["cosinspect.diff/1"]
    images: Annotated[list[_WireNamedImage], msgspec.Meta(min_length=2, max_length=2)]
    system: dict[str, _WireChange]
    packages: dict[str, _WireChange]
    differences: list[_WireDifference]
    undecided_packages: list[list[str]] = []


# -- packages ------------------------------------------------------------------------------------------------------------


class _WirePackage(msgspec.Struct):
    type: PackageType
    category: str
    name: str
    version: str
    architecture: str
    source: str
    license: str
    layer: int | None
    purl: str
    files: list[str] | None


class _WireDatabase(msgspec.Struct):
    path: str
    layer: int
    type: PackageType
    readable: bool
    problems: list[str]
    packages: list[_WirePackage]


class _WirePackages(msgspec.Struct):
    schema: Literal["cosinspect.packages/1"]
    image: _WireNamedImage
    databases: list[_WireDatabase]


_KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    "layers": ("cosinspect.layers/1", (_WireLayers,)),
    "explain": ("cosinspect.explanation/1", (_WireExplanation,)),
    "diff": ("cosinspect.diff/1", (_WireReadings, _WireImages)),
    "packages": ("cosinspect.packages/1", (_WirePackages,)),
}


def schema_of(command: str) -> dict[str, Any]:
    """Return the JSON Schema of what a command prints with `--format json`.

    Args:
        command: `layers`, `explain`, `diff` or `packages`.
    """
    title, kinds = _KINDS[command]
    return document_schema(*kinds, title=title)
