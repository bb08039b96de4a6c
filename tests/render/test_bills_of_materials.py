"""Bills of materials: the judges are the schema of CycloneDX and the validator of SPDX, each shipped by its own library."""

import io
import json
import lzma
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from cosinspect.cli import main
from cosinspect.facts.packages import PackageDatabase
from cosinspect.formats.packages.package import Package
from cosinspect.render.bill_of_materials import BillOfMaterials
from cosinspect.render.cyclonedx import cyclonedx_document
from cosinspect.render.spdx import spdx_document
from cosinspect.testing import ImageBuilder
from rpm_files import stored

LAYERS = ("sha256:" + "a" * 64, "sha256:" + "b" * 64)
NAMES = [
    "a",
    "lib/../x",
    "\udcff",
    "a\x1b[31m\nb",
    "<script>&amp;",
    "x" * 5000,
    "\u202ename",
    " a ",
    "%00?#@:/",
]
LICENSES = [
    "MIT",
    "GPL-2.0-or-later AND MIT",
    "GPLv2+",
    "((((",
    "(" * 900,
    "\udcff",
    "x" * 2000,
    "NONE",
    "LicenseRef-a b",
]


def bill(*packages, faults=()):
    databases = [
        PackageDatabase(path="/var/lib/dpkg/status", layer=0, type="deb", packages=tuple(packages)),
        *(PackageDatabase(path=f"/{each}", layer=0, type="rpm", fault=each) for each in faults),
    ]
    return BillOfMaterials(
        name="example.org/os:v1",
        digest="sha256:" + "c" * 64,
        layers=LAYERS,
        system="debian",
        release="12",
        databases=databases,
        created=datetime(2026, 11, 30, 12, tzinfo=UTC),
    )


def cyclonedx(text):
    """Validate a document, and return it."""
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    return json.loads(text)


def spdx(text):
    """Validate a document, and return it."""
    document = JsonLikeDictParser().parse(json.loads(text))
    assert validate_full_spdx_document(document) == []
    return json.loads(text)


HOSTILE = [
    *(Package(type="deb", name=name, version="1", layer=1) for name in NAMES),
    *(Package(type="deb", name="a", version="1", license=text) for text in LICENSES),
    Package(type="luet", name="toolchain", category="system", version="", layer=0),
    Package(type="deb", name=" ", version="1"),
]


def test_documents_of_odd_packages_are_valid():
    found = cyclonedx(cyclonedx_document(bill(*HOSTILE)))
    assert len(found["components"]) == len(HOSTILE)  # one has no name, and the system is one
    found = spdx(spdx_document(bill(*HOSTILE)))
    assert len(found["packages"]) == len(HOSTILE)  # one has no name, and the image is one


def test_a_database_that_cannot_be_read_is_named():
    found = cyclonedx(cyclonedx_document(bill(faults=["damaged"])))
    assert {"name": "cosinspect:undecided", "value": "/damaged: damaged"} in found["metadata"]["properties"]
    found = spdx(spdx_document(bill(faults=["damaged"])))
    assert found["comment"] == "undecided: /damaged: damaged\n"


def test_licenses_are_ids_expressions_or_names():
    texts = ["MIT", "GPL-2.0-or-later AND MIT", "GPLv2+"]
    packages = [Package(type="rpm", name=f"p{n}", version="1", license=text) for n, text in enumerate(texts)]

    found = {
        each["name"]: each.get("licenses")
        for each in cyclonedx(cyclonedx_document(bill(*packages)))["components"]
    }
    assert found["p0"] == [{"license": {"id": "MIT"}}]
    assert found["p1"] == [{"expression": "GPL-2.0-or-later AND MIT"}]
    assert found["p2"] == [{"license": {"name": "GPLv2+"}}]
    found = {each["name"]: each for each in spdx(spdx_document(bill(*packages)))["packages"]}
    assert [found[name]["licenseDeclared"] for name in ("p0", "p1", "p2")] == [
        "MIT",
        "GPL-2.0-or-later AND MIT",
        "NOASSERTION",
    ]
    assert found["p2"]["licenseComments"] == "GPLv2+"


# -- by command ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    layer = {
        "etc/os-release": 'ID=fedora\nVERSION_ID="40"\n',
        "var/lib/rpm/rpmdb.sqlite": stored("rpmdb.sqlite"),
        "var/cache/luet/luet.db": lzma.decompress(
            (Path(__file__).parents[1] / "data/luetdb/luet-0.20.6-minimal.db.xz").read_bytes()
        ),
    }
    builder = ImageBuilder().layer({"etc/x": ""}).layer(layer)
    return builder.build().write_layout(tmp_path_factory.mktemp("image"))


def run(*words):
    out, err = io.StringIO(), io.StringIO()
    return main([*words], stdout=out, stderr=err), out.getvalue(), err.getvalue()


def test_the_command_writes_a_valid_cyclonedx_document(image):
    status, out, _ = run("packages", image, "--format", "cyclonedx")

    assert status == 0
    found = {each["name"]: each for each in cyclonedx(out)["components"]}
    assert len(found) == 17 + 5 + 1
    assert found["fedora"]["type"] == "operating-system"
    assert (
        found["beta"]["purl"]
        == "pkg:rpm/fedora/beta@2.5~rc1-3?arch=x86_64&distro=fedora-40&epoch=7&upstream=beta-2.5~rc1-3.src.rpm"
    )
    layers = json.loads(run("layers", image, "--format", "json")[1])["layers"]
    assert {"name": "cosinspect:layer", "value": layers[1]["digest"]} in found["beta"]["properties"]


def test_the_command_writes_a_valid_spdx_document(image):
    status, out, _ = run("packages", image, "--format", "spdx", "--type", "rpm")

    assert status == 0
    assert ["alpha", "beta", "delta+plus", "epsilon", "gamma"] == sorted(
        each["name"] for each in spdx(out)["packages"] if each["SPDXID"] != "SPDXRef-Image"
    )


@pytest.mark.parametrize(("name", "package"), [("cyclonedx", "cyclonedx"), ("spdx", "spdx_tools")])
def test_without_the_extra_the_command_says_how_to_install_it(name, package, image, monkeypatch):
    for module in [each for each in sys.modules if each.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"cosinspect.render.{name}", raising=False)

    status, out, err = run("packages", image, "--format", name)

    assert (status, out) == (2, "")
    assert f"the Python package {package}, it is not installed" in err
    assert "'.[sbom]'" in err
