"""Images that Elemental 3 reads and that hold no system are named in words, and what they carry is looked at as elemental3 does."""

import pytest

from cosinspect import inspect
from cosinspect.report.report import Kind, Status, Verdict
from cosinspect.testing import ImageBuilder, Symlink
from cosinspect.testing.derivative import derivative_of
from cosinspect.testing.derivative.parts import parts_of

ISO = bytes(0x8001) + b"CD001" + bytes(2048)
CORE = """\
schema: v1
metadata: {name: core, version: "1.0"}
components:
  operatingSystem:
    image: {base: registry.example/os-base:6.2, iso: registry.example/installer-iso:6.2}
"""
SOLUTION = "schema: v1\ncorePlatform: {image: registry.example/core:1.0}\ncomponents: {}\n"
RELEASE = "usr/lib/extension-release.d/extension-release.tools"
GOOD = {
    "iso": ("elemental3-iso", {"iso/base-default-iso-16.0.iso": ISO}),
    "manifest in the root": ("elemental3-manifest", {"release_manifest_core.yaml": CORE}),
    "manifest in its directory": (
        "elemental3-manifest",
        {"etc/release-manifest/release_manifest.yaml": SOLUTION},
    ),
    "extension as a tree": (
        "elemental3-extension",
        {RELEASE: "ID=_any\n", "usr/bin/elemental3ctl": "a program", "opt/tool/x": "x"},
    ),
    "extension as a file": ("elemental3-extension", {"tools.raw": "a file system"}),
    "payload": ("elemental3-payload", {"install.sh": "#!/bin/sh\n", "rke2.linux-amd64.tar.gz": "x"}),
}
BAD = {
    "the ISO is none": ({"iso/a-default-iso.iso": "<html>not found</html>"}, "its signature is missing"),
    "the ISO is empty": ({"iso/a-default-iso.iso": ""}, "found an empty file"),
    "the ISO is a directory": ({"iso/a-default-iso.iso/x": ISO}, "found a dir"),
    "the link to the ISO leads nowhere": (
        {"iso/a-default-iso.iso": Symlink("/data/a.iso")},
        "the link is dangling",
    ),
    "the manifest is no YAML": ({"release_manifest.yaml": "a: [\n"}, "release_manifest.yaml: "),
    "the manifest is a list": ({"release_manifest.yaml": "- a\n"}, "expected a mapping"),
    "the manifest has a key more": ({"release_manifest.yaml": CORE + "componentz: {}\n"}, "found componentz"),
    "the manifest names no ISO": (
        {"release_manifest.yaml": CORE.replace("iso:", "isos:")},
        "expected components.operatingSystem.image.iso",
    ),
    "the manifest names no platform": (
        {"release_manifest.yaml": "corePlatform: {version: 1}\n"},
        "expected corePlatform.image",
    ),
    "the extension has files of /etc": (
        {RELEASE: "ID=_any\n", "etc/tool.conf": "x"},
        "/etc is not copied",
    ),
    "the file has company": (
        {"tools.raw": "x", "README": "x"},
        "expected a single file or the directory /usr",
    ),
    "the script is empty": ({"install.sh": "", "x": "x"}, "found an empty file"),
}


def report_of(tmp_path, files, **options):
    return inspect(ImageBuilder().layer(files).build().write_layout(tmp_path), **options)


def result_of(report, check):
    return next(result for result in report.results if result.check == check)


@pytest.mark.parametrize("kind", GOOD)
def test_each_kind_is_named_and_nothing_of_a_system_is_asked_of_it(tmp_path, kind):
    generation, files = GOOD[kind]

    report = report_of(tmp_path, files)

    assert (generation, Verdict.FAIL) == (report.generation, report.verdict)
    assert ["COS001"] == [result.check for result in report.failed]
    (finding,) = result_of(report, "COS001").findings
    assert report.generation_title in finding.message
    assert "no" != finding.message
    assert "nspect the base OS image" in finding.remedy
    assert Kind.PASS is result_of(report, "COS275").kind
    assert [] == [result.check for result in report.results if result.kind is Kind.OPEN]
    assert {Status.NO} == {report.capabilities[name].status for name in report.required}


@pytest.mark.parametrize("kind", BAD)
def test_what_elemental3_stops_at_is_told(tmp_path, kind):
    files, said = BAD[kind]

    report = report_of(tmp_path, files)

    findings = result_of(report, "COS275").findings
    assert findings, report.generation
    assert any(said in finding.message for finding in findings)


def test_a_system_that_holds_a_manifest_is_a_system(tmp_path):
    parts = parts_of("G6", "amd64")
    parts.write("etc/release-manifest/release_manifest.yaml", CORE)

    report = inspect(derivative_of(parts).write_layout(tmp_path))

    assert ("G6", Verdict.PASS) == (report.generation, report.verdict)
    assert Kind.NOT_APPLICABLE is result_of(report, "COS275").kind
