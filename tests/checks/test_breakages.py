"""One good derivative, and each way it breaks: the check named for it fails and no other."""

from typing import get_args

import pytest

from cosinspect import inspect
from cosinspect.checks import CATALOGUE
from cosinspect.report.report import Capability, Kind, Level, Status, Verdict
from cosinspect.testing.derivative import BREAKAGES, derivative
from cosinspect.testing.derivative.toolkit_files import GenerationName


def report(tmp_path, broken=None, **options):
    return inspect(derivative(broken, **options).write_layout(tmp_path))


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
@pytest.mark.parametrize("generation", get_args(GenerationName))
def test_a_good_derivative_passes_every_check(tmp_path, generation, architecture):
    found = report(tmp_path, generation=generation, architecture=architecture)

    bad = [result for result in found.results if result.kind in (Kind.FAIL, Kind.OPEN)]
    assert [] == bad
    assert Verdict.PASS == found.verdict
    assert generation == found.generation


@pytest.mark.parametrize("kind", BREAKAGES)
def test_each_breakage_turns_exactly_its_check_red(tmp_path, kind):
    found = report(tmp_path, kind)

    assert BREAKAGES[kind].checks == sorted(result.check for result in found.failed)
    # Where a layer cannot be read, nothing else is known.
    open_ = 0 if BREAKAGES[kind].check != "COS005" else len(CATALOGUE) - len(BREAKAGES[kind].checks)
    assert open_ == len([result for result in found.results if result.kind is Kind.OPEN])
    assert Verdict.FAIL == found.verdict
    for finding in found.failed[0].findings:
        assert finding.message
        assert finding.remedy


def test_every_check_that_decides_boot_or_install_or_the_verdict_alone_has_a_breakage():
    # COS092 is of signatures, which are no part of the image.
    wanted = {Capability.BOOT, Capability.INSTALL}
    deciding = {
        item.id
        for item in CATALOGUE
        if item.level is Level.ERROR
        and item.id != "COS092"
        and not (item.capabilities and wanted.isdisjoint(item.capabilities))
    }

    assert deciding == {item.check for item in BREAKAGES.values()}


def test_a_removed_kernel_names_layer_step_and_whiteout(tmp_path):
    found = report(tmp_path, "kernel-dangling")

    (finding,) = found.failed[0].findings
    assert 4 == finding.layer
    assert "/boot/vmlinuz -> vmlinuz-6.1.0-50-amd64 (layer 1)" in finding.evidence
    assert any("RUN rm -rf" in line and ".wh.vmlinuz-6.1.0-50-amd64" in line for line in finding.evidence)


def test_install_needs_more_than_boot(tmp_path):
    found = report(tmp_path, "no-grub-config")

    statuses = {capability.value: result.status for capability, result in found.capabilities.items()}
    assert Status.YES == statuses["boot"]
    assert Status.NO == statuses["install"]
