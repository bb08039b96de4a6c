"""A bill of materials as SPDX 2.3 in JSON, written by spdx-tools (extra `sbom`)."""

from __future__ import annotations

import io
import uuid
from functools import cache
from typing import Any

from license_expression import get_spdx_licensing
from spdx_tools.spdx.model.actor import Actor, ActorType
from spdx_tools.spdx.model.document import CreationInfo, Document
from spdx_tools.spdx.model.package import (
    ExternalPackageRef,
    ExternalPackageRefCategory,
    Package,
    PackagePurpose,
)
from spdx_tools.spdx.model.relationship import Relationship, RelationshipType
from spdx_tools.spdx.model.spdx_no_assertion import SpdxNoAssertion
from spdx_tools.spdx.writer.json.json_writer import write_document_to_stream

from cosinspect.formats.packages.package import Package as InstalledPackage
from cosinspect.render.bill_of_materials import MOST_LICENSE, BillOfMaterials, readable
from cosinspect.version import __version__

__all__ = ["spdx_document"]

_IMAGE = "SPDXRef-Image"
_NAMESPACE = "https://github.com/cosinspect/cosinspect/spdx"


def spdx_document(bill: BillOfMaterials) -> str:
    """Return the document, with a line break at its end.

    `sourceInfo` of a package names its database and the layer that brought it. The document's comment names each database that cannot be read.
    """
    image = Package(
        spdx_id=_IMAGE,
        name=readable(bill.name),
        download_location=SpdxNoAssertion(),
        version=bill.digest,
        files_analyzed=False,
        primary_package_purpose=PackagePurpose.CONTAINER,
    )
    packages = [
        _package(bill, database.path, package, number)
        for number, (database, package) in enumerate(bill.packages())
    ]
    contains = [Relationship(_IMAGE, RelationshipType.CONTAINS, package.spdx_id) for package in packages]
    document = Document(
        CreationInfo(
            spdx_version="SPDX-2.3",
            spdx_id="SPDXRef-DOCUMENT",
            name=readable(bill.name),
            document_namespace=f"{_NAMESPACE}/{uuid.uuid4()}",
            creators=[Actor(ActorType.TOOL, f"cosinspect-{__version__}")],
            created=bill.created.replace(microsecond=0, tzinfo=None),
            document_comment="".join(f"undecided: {reason}\n" for reason in bill.undecided) or None,
        ),
        packages=[image, *packages],
        relationships=[Relationship("SPDXRef-DOCUMENT", RelationshipType.DESCRIBES, _IMAGE), *contains],
    )
    stream = io.StringIO()
    write_document_to_stream(document, stream, validate=False)
    return stream.getvalue() + "\n"


def _package(bill: BillOfMaterials, path: str, package: InstalledPackage, number: int) -> Any:
    layer = bill.layer_of(package)
    text = readable(package.license).strip()
    declared = _license(text)
    return Package(
        spdx_id=f"SPDXRef-Package-{number}",
        name=readable(package.full_name),
        version=readable(package.version) or None,
        download_location=SpdxNoAssertion(),
        files_analyzed=False,
        source_info=f"{readable(path)} in {f'the layer {layer}' if layer else 'an unknown layer'}",
        license_concluded=SpdxNoAssertion(),
        license_declared=declared,
        license_comment=text if text and isinstance(declared, SpdxNoAssertion) else None,
        external_references=[
            ExternalPackageRef(ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", package.purl)
        ]
        if package.purl
        else [],
    )


@cache
def _license(text: str) -> Any:
    """Return a license as an expression of SPDX's ids; no assertion if it is another text."""
    if not text or len(text) > MOST_LICENSE:
        return SpdxNoAssertion()
    try:
        return get_spdx_licensing().parse(text, validate=True, strict=True)
    except Exception:  # noqa: BLE001 - the parser raises errors of many types for texts that are no expressions
        return SpdxNoAssertion()
