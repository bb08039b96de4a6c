"""The content of a bill of materials, for every format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from attrs import frozen

from cosinspect.facts.packages import PackageDatabase
from cosinspect.formats.packages.package import Package

__all__ = ["MOST_LICENSE", "BillOfMaterials", "readable"]

MOST_LICENSE = 1000
"""The longest license that is parsed as an expression, in characters; longer ones are names."""


@frozen(kw_only=True)
class BillOfMaterials:
    """The packages of an image.

    Attributes:
        name: of the image, as given.
        digest: of its manifest.
        layers: the digests of its layers, bottom first.
        system: `ID` of os-release, "" if there is none.
        release: `VERSION_ID` of os-release, "" if there is none.
        databases: with their packages.
        created: the time that the document states.
    """

    name: str
    digest: str
    layers: Sequence[str]
    system: str
    release: str
    databases: Sequence[PackageDatabase]
    created: datetime

    def packages(self) -> Iterator[tuple[PackageDatabase, Package]]:
        """Yield the packages that have a name, each with its database, in the order of the databases."""
        for database in self.databases:
            for package in database.packages:
                if package.name.strip():
                    yield database, package

    @property
    def undecided(self) -> tuple[str, ...]:
        """The databases that cannot be read, and why: their packages are missing here."""
        return tuple(
            f"{readable(each.path)}: {readable(each.fault)}"
            for each in self.databases
            if each.fault is not None
        )

    def layer_of(self, package: Package) -> str:
        """Return the digest of the layer that brought a package, "" if it is unknown."""
        return self.layers[package.layer] if package.layer is not None else ""


def readable(text: str) -> str:
    """Return a text that can be encoded: bytes that are not UTF-8 become the replacement character."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
