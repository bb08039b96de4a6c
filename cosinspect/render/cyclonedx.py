"""A bill of materials as CycloneDX 1.6 in JSON, written by cyclonedx-python-lib (extra `sbom`)."""

from __future__ import annotations

from functools import cache

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from cosinspect.formats.packages.package import Package
from cosinspect.render.bill_of_materials import MOST_LICENSE, BillOfMaterials, readable
from cosinspect.version import __version__

__all__ = ["cyclonedx_document"]


def cyclonedx_document(bill: BillOfMaterials) -> str:
    """Return the document, with a line break at its end.

    A component has the properties `cosinspect:layer` (the digest of the layer that brought it) and `cosinspect:database`; the metadata has
    `cosinspect:undecided` for each database that cannot be read.
    """
    image = Component(
        name=readable(bill.name), version=bill.digest, type=ComponentType.CONTAINER, bom_ref=bill.digest
    )
    bom = Bom()
    bom.metadata.timestamp = bill.created
    bom.metadata.component = image
    bom.metadata.tools.components.add(
        Component(name="cosinspect", version=__version__, type=ComponentType.APPLICATION)
    )
    bom.metadata.properties.update(
        Property(name="cosinspect:undecided", value=reason) for reason in bill.undecided
    )
    contents = [
        _component(bill, database.path, package, number)
        for number, (database, package) in enumerate(bill.packages())
    ]
    if bill.system:
        contents.append(
            Component(
                name=readable(bill.system),
                version=readable(bill.release) or None,
                type=ComponentType.OPERATING_SYSTEM,
                bom_ref="operating-system",
            )
        )
    bom.components.update(contents)
    bom.register_dependency(image, contents)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _component(bill: BillOfMaterials, path: str, package: Package, number: int) -> Component:
    layer = bill.layer_of(package)
    return Component(
        name=readable(package.name),
        group=readable(package.category) or None,
        version=readable(package.version),
        type=ComponentType.LIBRARY,
        bom_ref=f"package-{number}",
        purl=PackageURL.from_string(package.purl) if package.purl else None,
        licenses=[_license(readable(package.license))] if package.license.strip() else [],
        properties=[
            Property(name="cosinspect:database", value=readable(path)),
            *([Property(name="cosinspect:layer", value=layer)] if layer else []),
        ],
    )


@cache
def _license(text: str) -> License:
    """Return a license by its SPDX id, else as an expression, else by its name."""
    factory = LicenseFactory()
    return factory.make_from_string(text) if len(text) <= MOST_LICENSE else factory.make_with_name(text)
