"""Generations are told from the image with what shows them; each has a profile, and what is unknown is none."""

from typing import get_args

import pytest

from cosinspect import inspect
from cosinspect.checks import CATALOGUE
from cosinspect.report.report import Kind, Status, Verdict
from cosinspect.testing import ImageBuilder, Symlink
from cosinspect.testing.bootfiles import unified_kernel_image
from cosinspect.testing.derivative import KERNEL_VERSION, derivative, derivative_of
from cosinspect.testing.derivative import toolkit_files as toolkit
from cosinspect.testing.derivative.parts import parts_of
from cosinspect.testing.derivative.toolkit_files import GenerationName
from cosinspect.testing.derivative.variants import VARIANTS

SHOWN_BY = {
    "G0": "/usr/lib/dracut/modules.d/30cos-immutable-rootfs/parse-cos-overlay.sh",
    "G1": "/usr/lib/systemd/system/cos-setup-boot.service runs cos-setup",
    "G2": "/usr/lib/systemd/system/cos-setup-boot.service runs elemental",
    "G3": "/usr/lib/dracut/modules.d/30cos-immutable-rootfs/cos-fsck.sh",
    "G4": "/usr/lib/dracut/modules.d/30elemental-immutable-rootfs",
    "G5": "/usr/lib/dracut/modules.d/30elemental-rootfs",
    "G6": "/usr/bin/elemental3ctl",
    "kairos": "/etc/kairos-release",
    "bootc": "label containers.bootc=1",
}
PROFILES = {"kairos": "kairos", "bootc": "bootc"}


def test_every_generation_of_the_testing_kit_is_shown_by_something():
    assert set(get_args(GenerationName)) == set(SHOWN_BY)


def of(tmp_path, generation="G2", change=lambda _: None, **options):
    parts = parts_of(generation, "amd64")
    change(parts)
    return inspect(derivative_of(parts).write_layout(tmp_path), **options)


def result_of(report, check):
    return next(result for result in report.results if result.check == check)


@pytest.mark.parametrize("generation", SHOWN_BY)
def test_the_report_shows_by_what_the_generation_is_told(tmp_path, generation):
    report = of(tmp_path, generation)

    assert generation == report.generation
    assert report.generation_title
    assert any(line.endswith(SHOWN_BY[generation]) for line in result_of(report, "COS001").evidence)


@pytest.mark.parametrize("generation", SHOWN_BY)
def test_the_profile_is_chosen_by_the_image_and_named(tmp_path, generation):
    report = of(tmp_path, generation)

    assert PROFILES.get(generation, "cos") == report.profile
    assert ("auto", report.profile) == (report.to_dict()["profile_asked"], report.to_dict()["profile"])


@pytest.mark.parametrize("generation", SHOWN_BY)
@pytest.mark.parametrize("profile", ["cos", "kairos", "bootc", "boot"])
def test_a_profile_is_for_its_own_generations(tmp_path, generation, profile):
    report = of(tmp_path, generation, profile=profile)

    suits = profile in (PROFILES.get(generation, "cos"), "boot")
    assert (Verdict.PASS if suits else Verdict.FAIL) == report.verdict
    assert suits or ["COS001"] == [result.check for result in report.failed]
    assert (profile, profile) == (report.profile, report.profile_asked)


def test_every_check_is_for_some_generation(tmp_path):
    applied = set()
    images = [parts_of(generation, "amd64") for generation in SHOWN_BY]
    for number, parts in enumerate([*images, *(variant.parts() for variant in VARIANTS.values())]):
        report = inspect(derivative_of(parts).write_layout(tmp_path / str(number)))
        applied |= {result.check for result in report.results if result.kind is not Kind.NOT_APPLICABLE}

    # Those of signatures and tables of contents look at what a user names or an image sets, and COS203 at an index, whatever its generation.
    # COS191 looks at an fstab, which no good image of bootc has; COS275 is of images that hold no system;
    # those of an upgrade compare two images.
    assert {item.id for item in CATALOGUE if not item.id.startswith("COS28")} - {
        "COS092",
        "COS093",
        "COS111",
        "COS191",
        "COS203",
        "COS275",
    } == applied


def test_an_image_of_no_generation_fails_by_name(tmp_path):
    image = ImageBuilder().layer({"bin": Symlink("usr/bin"), "usr/lib/os-release": "ID=alpine\n"}).build()

    report = inspect(image.write_layout(tmp_path))

    assert ("", "cos") == (report.generation, report.profile)
    assert Verdict.FAIL == report.verdict
    assert "COS001" in [result.check for result in report.failed]


# -- how they are told apart -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [("containers.bootc", "1"), ("ostree.bootable", "true")])
def test_a_label_tells_bootc(tmp_path, label):
    image = ImageBuilder(labels=dict([label])).layer({"etc/hosts": ""}).build()

    assert "bootc" == inspect(image.write_layout(tmp_path)).generation


def test_a_link_and_a_kernel_tell_bootc_without_a_label(tmp_path):
    files = {"ostree": Symlink("sysroot/ostree"), "usr/lib/modules/6.1/vmlinuz": "kernel"}

    assert "bootc" == inspect(ImageBuilder().layer(files).build().write_layout(tmp_path)).generation


def test_a_directory_named_ostree_is_no_bootc(tmp_path):
    report = of(tmp_path, change=lambda parts: parts.write("ostree/data", "mine\n"))

    assert ("G2", Verdict.PASS) == (report.generation, report.verdict)


def test_older_kairos_images_have_their_keys_in_os_release(tmp_path):
    def change(parts):
        del parts.packages["etc/kairos-release"]
        parts.write("etc/os-release", 'ID=kairos\nKAIROS_NAME="kairos"\nKAIROS_FAMILY="suse"\n')

    report = of(tmp_path, "kairos", change)

    assert ("kairos", Verdict.PASS) == (report.generation, report.verdict)


@pytest.mark.parametrize("generation", ["G0", "G3", "G4", "G5"])
def test_the_initrd_tells_the_generation_where_the_module_is_gone(tmp_path, generation):
    report = of(tmp_path, generation, lambda parts: parts.remove("usr/lib/dracut/modules.d"))

    assert generation == report.generation
    assert Verdict.PASS == report.verdict


def test_a_file_of_toolkit_v2_makes_no_v2_of_an_older_derivative(tmp_path):
    report = of(tmp_path, change=lambda parts: parts.write("etc/elemental/bootargs.cfg", "set kernel=/x\n"))

    assert ("G2", Verdict.PASS) == (report.generation, report.verdict)


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_good_image_of_another_layout_passes_every_check(tmp_path, name, architecture):
    variant = VARIANTS[name]

    report = inspect(derivative_of(variant.parts(architecture)).write_layout(tmp_path))

    assert [] == [each for each in report.results if each.kind in (Kind.FAIL, Kind.OPEN)]
    assert (variant.recognised, Verdict.PASS) == (report.generation, report.verdict)
    assert {"boot": Status.YES, "install": Status.YES} == {
        name.value: each.status
        for name, each in report.capabilities.items()
        if name.value in ("boot", "install")
    }


def test_an_efi_partition_beside_a_systems_root_is_no_artefact(tmp_path):
    def change(parts):
        parts.top |= {"EFI/BOOT/BOOTX64.EFI": b"MZ", "loader/loader.conf": "timeout 5\n"}

    assert "G2" == of(tmp_path, change=change).generation


# -- mixtures --------------------------------------------------------------------------------------------------------

FAMILIES = {"G1": "luet", "G2": "luet"}


@pytest.mark.parametrize("image", ["G0", "G1", "G2", "G3", "G4", "G5", "kairos"])
@pytest.mark.parametrize("initrd", ["G0", "G2", "G3", "G4", "G5", "kairos"])
def test_the_initrd_of_another_generation_is_told_as_such(tmp_path, image, initrd):
    if FAMILIES.get(image, image) == FAMILIES.get(initrd, initrd):
        return

    def change(parts):
        parts.initrd = parts_of(initrd, "amd64").initrd

    report = of(tmp_path, image, change)

    assert image == report.generation
    assert ["COS035"] == [result.check for result in report.failed]
    (finding,) = result_of(report, "COS035").findings
    assert FAMILIES.get(initrd, initrd) in (*finding.message.split(), "luet")
    assert Verdict.FAIL == report.verdict


# -- toolkit v2 ------------------------------------------------------------------------------------------------------


def test_toolkit_v2_takes_the_older_places_too(tmp_path):
    def change(parts):
        for name in ("grub.cfg", "bootargs.cfg"):
            parts.packages[f"etc/cos/{name}"] = parts.packages.pop(f"etc/elemental/{name}")

    assert Verdict.PASS == of(tmp_path, "G5", change).verdict


def test_of_two_bootargs_toolkit_v2_goes_by_its_own(tmp_path):
    old = toolkit.bootargs("G4").replace("/boot/vmlinuz", "/boot/nothing")

    assert Verdict.PASS == of(tmp_path, "G5", lambda parts: parts.write("etc/cos/bootargs.cfg", old)).verdict


def test_toolkit_v2_finds_the_editor_by_its_other_name(tmp_path):
    def change(parts):
        parts.base["usr/bin/grub-editenv"] = parts.base.pop("usr/bin/grub2-editenv")
        del parts.base["usr/sbin/grub2-install"]

    assert Verdict.PASS == of(tmp_path, "G5", change).verdict


# -- what cannot be told ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generation", ["G2", "kairos"])
def test_a_unified_kernel_image_in_place_of_a_kernel_is_undecided(tmp_path, generation):
    def change(parts):
        parts.remove("boot/vmlinuz", "boot/initrd")
        parts.top["boot/EFI/Linux/os.efi"] = unified_kernel_image(b"kernel", b"initrd")

    report = of(tmp_path, generation, change)

    assert Verdict.OPEN == report.verdict
    assert "/boot/EFI/Linux/os.efi has one" in result_of(report, "COS010").reason


def test_a_unified_kernel_image_of_bootc_is_undecided(tmp_path):
    def change(parts):
        modules = f"usr/lib/modules/{KERNEL_VERSION}"
        parts.remove(f"{modules}/vmlinuz", f"{modules}/initramfs.img")
        parts.top[f"{modules}/{KERNEL_VERSION}.efi"] = unified_kernel_image(b"kernel", b"initrd")

    report = of(tmp_path, "bootc", change)

    assert Verdict.OPEN == report.verdict
    assert ["COS157"] == [result.check for result in report.results if result.kind is Kind.OPEN]


def test_a_unified_kernel_image_beside_a_kernel_changes_nothing(tmp_path):
    def change(parts):
        parts.write("boot/EFI/Linux/os.efi", unified_kernel_image(b"kernel", b"initrd"))

    assert Verdict.PASS == of(tmp_path, change=change).verdict


@pytest.mark.parametrize("generation", ["G2", "G4", "G5", "kairos"])
def test_an_initrd_of_lzo_is_undecided(tmp_path, generation):
    report = of(tmp_path, generation, lambda parts: setattr(parts, "cut", lambda _: b"\x89LZO\0\r\n" * 99))

    assert [] == list(report.failed)
    assert Verdict.OPEN == report.verdict
    assert Status.UNKNOWN == report.capabilities[next(iter(report.capabilities))].status


@pytest.mark.parametrize("generation", ["G2", "G4", "G5", "kairos"])
def test_an_initrd_that_is_a_squash_inside_is_undecided(tmp_path, generation):
    def change(parts):
        kept = ("bin", "sbin", "lib", "init", "usr/lib/systemd/systemd")
        parts.initrd = {path: parts.initrd[path] for path in kept}
        parts.initrd["squash-root.img"] = b"hsqs" + bytes(60)

    report = of(tmp_path, generation, change)

    assert [] == list(report.failed)
    assert Verdict.OPEN == report.verdict


def test_the_demo_breaks_an_image_of_the_generation_that_a_way_is_for():
    assert derivative("bootc-var-run").digest != derivative("kairos-without-lock").digest


@pytest.mark.parametrize("directory", ["etc/ssh", "usr/etc/ssh"])
@pytest.mark.parametrize("generation", SHOWN_BY)
def test_host_keys_are_told_in_images_of_every_generation(tmp_path, generation, directory):
    key = f"{directory}/ssh_host_ed25519_key"
    report = of(tmp_path, generation, lambda parts: parts.write(key, "PRIVATE\n"))

    (finding,) = result_of(report, "COS136").findings
    assert f"/{key}" == finding.path


def test_host_keys_are_told_in_an_image_of_no_known_generation(tmp_path):
    image = ImageBuilder().layer({"etc/ssh/ssh_host_rsa_key": "PRIVATE\n"}).build()

    report = inspect(image.write_layout(tmp_path))

    assert Kind.FAIL is result_of(report, "COS136").kind
