"""What `deploy gatekeeper` prints, in Gatekeeper's own driver: OPA, its client, and its cache of answers."""

import io
import time

import pytest
import yaml

import gatekeeper_judge
from cosinspect.cli import main
from cosinspect.kubernetes_images import BUILTIN
from cosinspect.testing import Registry
from cosinspect.testing.derivative import derivative
from cosinspect.testing.registry.faults import Fault
from real_registries import certificate, written
from serving import serving

RULES = """
[[rules]]
registries = ["127.0.0.1:*"]
repositories = ["org/*"]
profile = "cos"
[[rules]]
mode = "skip"
"""
SUC, ELEMENTAL, KAIROS = "upgrade.cattle.io", "elemental.cattle.io", "operator.kairos.io"


def printed(authority):
    out = io.StringIO()
    arguments = ["deploy", "gatekeeper", "--ca-bundle", str(authority), "--mode", "enforce", "--stage", "all"]
    assert main(arguments, stdout=out, stderr=io.StringIO()) == 0
    return list(yaml.safe_load_all(out.getvalue()))


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A registry, a server on localhost, and Gatekeeper beside it."""
    directory = tmp_path_factory.mktemp("gatekeeper")
    key, chain = written(directory, "tls", certificate("localhost"))
    listen = f'certificate = "{chain.name}"\nkey = "{key.name}"'
    with Registry() as registry, serving(directory, RULES, listen=listen) as server:
        url = f"https://localhost:{server.url.rpartition(':')[2]}/gatekeeper"
        with gatekeeper_judge.running(printed(chain), url) as gatekeeper:
            yield registry, gatekeeper


def reviewed(group, kind, spec, operation="CREATE", before=None):
    return {
        "kind": {"group": group, "version": "v1", "kind": kind},
        "operation": operation,
        "namespace": "fleet",
        "object": {"metadata": {"name": "machines"}, "spec": spec},
        "oldObject": {"metadata": {"name": "machines"}, "spec": before} if before is not None else None,
    }


def until_decided(gatekeeper, review):
    end = time.monotonic() + 600
    while "try again" in str(found := gatekeeper.violations(review)):
        assert time.monotonic() < end, found
        time.sleep(1)
    return found


@pytest.mark.modules
def test_each_kind_is_judged_by_the_image_that_runs(scene):
    registry, gatekeeper = scene
    good = registry.push(derivative(), "org/os:good")
    bad = registry.push(derivative("kernel-dangling"), "org/os:bad")
    name = good.rpartition(":")[0]
    cases = [
        (SUC, "Plan", {"upgrade": {"image": name}, "version": "good"}, None),
        (SUC, "Plan", {"upgrade": {"image": name}, "version": "bad"}, "COS011"),
        (SUC, "Plan", {"upgrade": {"image": bad}, "version": "good"}, "COS011"),
        (SUC, "Plan", {"upgrade": {"image": good}, "prepare": {"image": bad}}, "COS011"),
        (SUC, "Plan", {"upgrade": {"image": name}, "channel": "https://a.example"}, "from a channel"),
        (SUC, "Plan", {"upgrade": {"image": "rancher/k3s-upgrade"}, "channel": "https://a.example"}, None),
        (SUC, "Plan", {"upgrade": {"image": "rancher/k3s-upgrade"}, "version": "v1+k3s1"}, None),
        (ELEMENTAL, "ManagedOSImage", {"osImage": good}, None),
        (ELEMENTAL, "ManagedOSImage", {"osImage": bad}, "COS011"),
        (ELEMENTAL, "ManagedOSImage", {"osImage": good, "upgradeContainer": {"image": bad}}, "COS011"),
        (ELEMENTAL, "ManagedOSImage", {"osImage": bad, "upgradeContainer": {"image": good}}, None),
        (ELEMENTAL, "ManagedOSVersion", {"type": "container", "metadata": {"upgradeImage": bad}}, "COS011"),
        (ELEMENTAL, "SeedImage", {"type": "iso", "baseImage": "https://a.example/os.iso"}, None),
        (ELEMENTAL, "SeedImage", {"type": "raw", "baseImage": bad}, "COS011"),
        (ELEMENTAL, "ManagedOSVersionChannel", {"options": {"image": bad}}, None),
        (ELEMENTAL, "ManagedOSVersionChannel", {"upgradeContainer": {"image": bad}}, "COS011"),
        ("build.kairos.io", "OSArtifact", {"image": {"ref": bad}}, "COS011"),
        ("build.kairos.io", "OSArtifact", {"image": {"buildOptions": {"baseImage": bad}}}, None),
        (
            ELEMENTAL,
            "MachineRegistration",
            {"config": {"elemental": {"install": {"system-uri": f"oci:{bad}"}}}},
            "COS011",
        ),
        (KAIROS, "NodeOpUpgrade", {"image": bad}, "COS011"),
        (KAIROS, "NodeOp", {"image": good}, None),
    ]
    for group, kind, spec, told in cases:
        found = until_decided(gatekeeper, reviewed(group, kind, spec))
        assert bool(found) is (told is not None), (kind, spec, found)
        assert told is None or told in found[0], (kind, spec, found)
    old = {"upgrade": {"image": bad}}
    assert gatekeeper.violations(reviewed(SUC, "Plan", old, "UPDATE", old)) == []
    assert gatekeeper.violations(reviewed(SUC, "Plan", old, "DELETE")) == []
    kinds = {(each.group, each.kind) for each in BUILTIN if "." in each.group}
    assert kinds == {(group, kind) for group, kind, _, _ in cases}, "each kind has a case"


@pytest.mark.modules
def test_a_pending_image_is_denied_in_time_and_not_for_as_long_as_answers_are_kept(scene):
    _, gatekeeper = scene
    with Registry(faults=[Fault.stall("/v2/*/blobs/*", 4.0)]) as slow:
        review = reviewed(KAIROS, "NodeOp", {"image": slow.push(derivative("kernel-removed"), "org/os:late")})
        started = time.monotonic()
        first = gatekeeper.violations(review)
        took = time.monotonic() - started

        assert "try again" in first[0]
        assert took < 3.0, "Gatekeeper's webhook waits no longer"
        assert "COS01" in until_decided(gatekeeper, review)[0]
        assert time.monotonic() - started < 600
