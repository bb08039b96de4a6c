"""How builders of ISOs and installers find kernel and initrd: by name in /boot, by releases differently."""

import pytest

from cosinspect import inspect
from cosinspect.cli import main
from cosinspect.errors import InvalidBuildManifest
from cosinspect.report.report import Capability, Kind, Status
from cosinspect.testing import Symlink
from cosinspect.testing.bootfiles import linux_kernel
from cosinspect.testing.derivative import KERNEL_VERSION, derivative, derivative_of
from cosinspect.testing.derivative.parts import parts_of

VERSIONED = f"boot/vmlinuz-{KERNEL_VERSION}"
RESCUE = "boot/vmlinuz-0-rescue-0123456789abcdef"


def report(tmp_path, generation, change=lambda _: None, manifest=None):
    parts = parts_of(generation, "amd64")
    change(parts)
    tmp_path.mkdir(exist_ok=True)
    if manifest is not None:
        (tmp_path / "manifest.yaml").write_text(manifest)
        manifest = tmp_path / "manifest.yaml"
    return inspect(derivative_of(parts).write_layout(tmp_path / "image"), build_manifest=manifest)


def outcome(found, check):
    (result,) = [item for item in found.results if item.check == check]
    return result


def linked(target):
    return lambda parts: parts.kernel.update({"boot/vmlinuz": Symlink(target)})


def elsewhere(parts):
    """A kernel with a name of its own in /boot, named by bootargs.cfg."""
    del parts.kernel["boot/vmlinuz"]
    parts.kernel["boot/bzImage"] = parts.kernel.pop(VERSIONED)
    text = parts.packages["etc/cos/bootargs.cfg"]
    parts.packages["etc/cos/bootargs.cfg"] = text.replace("/boot/vmlinuz", "/boot/bzImage")


def test_elemental_passes_over_an_absolute_link_and_takes_the_kernel_behind_it(tmp_path):
    found = outcome(report(tmp_path, "G3", linked(f"/{VERSIONED}")), "COS018")

    assert Kind.PASS == found.kind
    assert f"elemental build-iso uses /{VERSIONED} as the kernel" in found.evidence[0]


def test_elemental_takes_a_rescue_kernel_where_the_link_is_absolute(tmp_path):
    def change(parts):
        linked(f"/{VERSIONED}")(parts)
        parts.kernel[RESCUE] = linux_kernel(KERNEL_VERSION, "amd64")

    found = report(tmp_path, "G3", change)

    assert Kind.PASS == outcome(found, "COS018").kind
    (finding,) = outcome(found, "COS019").findings
    assert f"/{RESCUE}" == finding.path


def test_with_a_relative_link_a_rescue_kernel_comes_second(tmp_path):
    found = report(tmp_path, "G3", lambda parts: parts.kernel.update({RESCUE: b"a rescue kernel"}))

    assert Kind.PASS == outcome(found, "COS019").kind


def test_only_absolute_links_are_no_kernel_for_an_iso(tmp_path):
    def change(parts):
        parts.kernel["usr/lib/kernel"] = parts.kernel.pop(VERSIONED)
        linked("/usr/lib/kernel")(parts)

    found = report(tmp_path, "G4", change)

    (finding,) = outcome(found, "COS018").findings
    assert "its link is absolute" in finding.evidence[0]
    assert Status.NO == found.capabilities[Capability.ISO].status
    assert Status.YES == found.capabilities[Capability.BOOT].status


def test_the_second_toolkit_puts_absolute_links_below_the_root(tmp_path):
    assert Kind.PASS == outcome(report(tmp_path, "G5", linked(f"/{VERSIONED}")), "COS109").kind


def test_the_second_toolkit_stops_at_a_link_that_leads_nowhere(tmp_path):
    found = report(tmp_path, "G5", lambda parts: parts.kernel.update({"boot/Image": Symlink("gone")}))

    (finding,) = outcome(found, "COS109").findings
    assert "/boot/Image -> gone leads to nothing" in finding.evidence[0]


@pytest.mark.parametrize(("links", "kind"), [(4, Kind.PASS), (5, Kind.FAIL)])
def test_the_second_toolkit_follows_four_links(tmp_path, links, kind):
    def change(parts):
        names = ["vmlinuz", *(f"hop{number}" for number in range(1, links)), f"vmlinuz-{KERNEL_VERSION}"]
        parts.kernel |= {f"boot/{name}": Symlink(names[n + 1]) for n, name in enumerate(names[:-1])}

    assert kind == outcome(report(tmp_path, "G5", change), "COS109").kind


# -- a manifest ------------------------------------------------------------------------------------------------------


def test_luet_makeisos_manifest_names_the_kernel(tmp_path):
    named = "initramfs: {kernel_file: bzImage, rootfs_file: initrd}"

    assert Status.NO == report(tmp_path / "a", "G2", elsewhere).capabilities[Capability.ISO].status
    found = report(tmp_path / "b", "G2", elsewhere, named)
    assert Kind.PASS == outcome(found, "COS018").kind
    assert "uses /boot/bzImage as the kernel" in outcome(found, "COS018").evidence[0]


def test_a_manifest_that_names_what_is_not_there_makes_no_iso(tmp_path):
    found = report(tmp_path, "G2", manifest="initramfs: {kernel_file: bzImage, rootfs_file: initrd}")

    (finding,) = outcome(found, "COS018").findings
    assert "/boot/bzImage" == finding.path
    assert Status.NO == found.capabilities[Capability.ISO].status
    assert Status.YES == found.capabilities[Capability.INSTALL].status


def test_elementals_manifest_makes_elemental_the_one_builder(tmp_path):
    found = report(tmp_path, "G1", manifest="iso: {label: COS_LIVE}")

    assert "elemental build-iso uses /boot/vmlinuz" in outcome(found, "COS018").evidence[0]


def test_a_manifest_that_is_none_is_refused_before_any_work(tmp_path):
    (tmp_path / "pod.yaml").write_text("kind: Pod\n")

    with pytest.raises(InvalidBuildManifest, match=r"pod\.yaml"):
        inspect("oci:/nowhere", build_manifest=tmp_path / "pod.yaml")
    with pytest.raises(InvalidBuildManifest, match="No such file"):
        inspect("oci:/nowhere", build_manifest=tmp_path / "none.yaml")


def test_the_command_takes_a_manifest(tmp_path, capsys):
    image = derivative().write_layout(tmp_path / "image")
    (tmp_path / "iso.yaml").write_text("initramfs: {kernel_file: other}")

    main(["check", image, "--manifest", str(tmp_path / "iso.yaml")])
    assert "COS018 iso-boot-files-missing" in capsys.readouterr().out
    assert 2 == main(["check", image, "--manifest", str(tmp_path / "none.yaml")])
    assert "build manifest cannot be read" in capsys.readouterr().err
