"""What is copied to a disk, and by what: the checks of operations in both directions, by what upstream's code does."""

import io

import pytest

from cosinspect import inspect
from cosinspect.render.text import TextRenderer
from cosinspect.report.report import Capability, Effect, Kind, Status
from cosinspect.testing import Directory, File, Symlink
from cosinspect.testing.bootfiles import executable, linux_kernel
from cosinspect.testing.derivative import KERNEL_VERSION, derivative, derivative_of, program
from cosinspect.testing.derivative.operation_breakages import OPERATION_DEGRADATIONS, large_file
from cosinspect.testing.derivative.parts import parts_of

POLICY = b"\x8c\xff\x7c\xf9" + bytes(100)
SELINUX = "etc/selinux/targeted"
CONTEXTS = f"{SELINUX}/contexts/files/file_contexts"


def report(tmp_path, generation, change, architecture="amd64", **options):
    parts = parts_of(generation, architecture)
    change(parts)
    return inspect(derivative_of(parts).write_layout(tmp_path / "image"), **options)


def kind_of(found, check):
    return next(each.kind for each in found.results if each.check == check)


def writes(entries):
    return lambda parts: parts.top.update(entries)


def lost(found):
    return {each.value for each, result in found.capabilities.items() if result.status is Status.NO}


# -- names of mount points ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("generation", "entries", "kind"),
    [
        ("G2", {"oem": Symlink("opt/new")}, Kind.FAIL),  # a link to a file
        ("G2", {"oem": Symlink("gone")}, Kind.FAIL),
        ("G2", {"oem": Symlink("srv")}, Kind.PASS),
        ("G4", {"oem": Symlink("/srv")}, Kind.FAIL),  # mounted over on the machine that runs the command
        ("G4", {"usr/local": Symlink("/var/usrlocal"), "var/usrlocal": Directory()}, Kind.FAIL),
        ("G4", {"tmp": Symlink("/var/tmp"), "var/tmp": Directory()}, Kind.PASS),  # only made, and there it is
        (
            "G5",
            {"usr/local": Symlink("/var/usrlocal"), "var/usrlocal": Directory()},
            Kind.PASS,
        ),  # not in its list
        ("G5", {"etc/elemental/config.d": Directory()}, Kind.PASS),
        ("G5", {"dev": File("x")}, Kind.FAIL),
    ],
)
def test_what_stands_where_a_directory_is_made(tmp_path, generation, entries, kind):
    def change(parts):
        for path in entries:
            parts.base.pop(path, None)
        parts.top.update(entries)

    assert kind is kind_of(report(tmp_path, generation, change), "COS212")


# -- names, links, attributes, sizes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("generation", "entries", "kind"),
    [
        ("G2", {"opt/x": Symlink("y" * 4095)}, Kind.PASS),
        ("G5", {"opt/x": Symlink("y" * 1024)}, Kind.FAIL),  # its image is below 512 MiB: blocks of 1024 bytes
        ("G5", {"opt/x": Symlink("y" * 1023)}, Kind.PASS),
        ("G2", {"opt/x": File("x", xattrs={"user.a": "v" * 3000})}, Kind.PASS),
        ("G2", {"opt/x": File("x", xattrs={"user.a": "v" * 2500, "user.b": "v" * 2500})}, Kind.FAIL),
    ],
)
def test_what_the_file_system_takes(tmp_path, generation, entries, kind):
    assert kind is kind_of(report(tmp_path, generation, writes(entries)), "COS214")


@pytest.mark.parametrize(
    ("generation", "mebibytes", "kind"),
    [("G2", 2900, Kind.PASS), ("G2", 3100, Kind.FAIL), ("G5", 3100, Kind.PASS)],
)
def test_the_file_system_of_the_second_generation_has_a_fixed_size(tmp_path, generation, mebibytes, kind):
    found = report(tmp_path, generation, large_file("opt/disk", mebibytes << 20))

    assert kind is kind_of(found, "COS215")
    assert (kind is Kind.FAIL) == ({"install", "upgrade", "recovery"} <= lost(found))


# -- SELinux -----------------------------------------------------------------------------------------------------------

SETFILES = {"usr/sbin/setfiles": executable("#!/bin/sh\n")}
GOOD = "# comment\n/.*\t\tsystem_u:object_r:default_t:s0\n/dev/.* -c system_u:object_r:device_t:s0\n/proc/.* <<none>>\n"


@pytest.mark.parametrize(
    ("generation", "entries", "kind"),
    [
        ("G4", {}, Kind.PASS),
        ("G4", {CONTEXTS: GOOD, **SETFILES}, Kind.PASS),  # without a policy nothing is labelled
        ("G4", {CONTEXTS: GOOD, f"{SELINUX}/policy/policy.33": POLICY}, Kind.PASS),  # nor without setfiles
        ("G4", {CONTEXTS: GOOD, f"{SELINUX}/policy/policy.33": POLICY, **SETFILES}, Kind.PASS),
        ("G4", {CONTEXTS: GOOD, f"{SELINUX}/policy/policy.33": "junk", **SETFILES}, Kind.FAIL),
        (
            "G5",
            {CONTEXTS: GOOD, f"{SELINUX}/policy/policy.33": "junk", **SETFILES},
            Kind.PASS,
        ),  # it reads no policy
        ("G5", {CONTEXTS: "/.* default_t\n", **SETFILES}, Kind.FAIL),
        ("G5", {CONTEXTS: "/.*\n", **SETFILES}, Kind.FAIL),
        ("G5", {CONTEXTS: "/.* -x system_u:object_r:default_t:s0\n", **SETFILES}, Kind.FAIL),
        ("G4", {CONTEXTS: "/.*\n", **SETFILES}, Kind.PASS),
        ("G5", {CONTEXTS: GOOD, "usr/sbin/setfiles": executable("#!/usr/bin/gone\n")}, Kind.FAIL),
        ("G5", {CONTEXTS: GOOD, "usr/sbin/setfiles": executable(program("arm64"))}, Kind.FAIL),
    ],
)
def test_labels_are_set_where_elemental_sets_them(tmp_path, generation, entries, kind):
    assert kind is kind_of(report(tmp_path, generation, writes(entries)), "COS216")


# -- configuration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generation", ["G2", "G4", "G5"])
@pytest.mark.parametrize(
    ("text", "kind"),
    [("cosign: true\n", Kind.PASS), ("", Kind.PASS), ("a: [\n", Kind.FAIL), ("a: b: c\n", Kind.FAIL)],
)
def test_the_configuration_of_elemental_is_yaml(tmp_path, generation, text, kind):
    found = report(tmp_path, generation, writes({"etc/elemental/config.d/50-own.yaml": text}))

    assert kind is kind_of(found, "COS102")
    assert (kind is Kind.FAIL) == ("install" in lost(found))


# -- commands ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("generation", "command", "costs"),
    [
        ("G2", "parted", {"install"}),
        ("G2", "tune2fs", {"install", "upgrade", "recovery", "aws", "gcp"}),
        ("G2", "tty", {"install", "recovery", "aws", "gcp"}),
        ("G2", "blkdeactivate", set()),
        ("G3", "blkdeactivate", {"install"}),
        ("G4", "blkdeactivate", {"install"}),
        ("G5", "blkdeactivate", set()),
        ("G4", "mv", {"upgrade"}),
        ("G5", "mv", set()),
        ("G5", "mksquashfs", {"install", "recovery", "aws", "gcp"}),
        ("G4", "mksquashfs", set()),
        ("G2", "sgdisk", set()),
    ],
)
def test_a_command_costs_the_operations_that_call_it(tmp_path, generation, command, costs):
    found = report(
        tmp_path, generation, lambda parts: parts.remove(f"usr/bin/{command}", f"usr/sbin/{command}")
    )

    assert costs == lost(found)


# -- loaders -----------------------------------------------------------------------------------------------------------


def renamed(**names):
    """Give the loaders other names, at the places where the small derivative has them."""

    def change(parts):
        for path in list(parts.packages):
            name = path.rpartition("/")[2]
            if name in names:
                parts.packages[path.replace(name, names[name])] = parts.packages.pop(path)

    return change


DEBIAN = {
    "shim.efi": "shimx64.efi.signed",
    "MokManager.efi": "mmx64.efi.signed",
    "grub.efi": "grubx64.efi.signed",
}
UBUNTU = {"shim.efi": "shimx64.efi.signed", "MokManager.efi": "mmx64.efi", "grub.efi": "grubx64.efi.signed"}
FEDORA = {"shim.efi": "shimx64.efi", "MokManager.efi": "mmx64.efi", "grub.efi": "grubx64.efi"}


@pytest.mark.parametrize(
    ("names", "system", "kind"),
    [
        (DEBIAN, "debian", Kind.FAIL),  # taken for SUSE
        (UBUNTU, "ubuntu", Kind.PASS),
        (FEDORA, "fedora", Kind.PASS),
        (FEDORA, "'fedora'", Kind.FAIL),  # only double quotes are taken away
        (FEDORA, "rocky", Kind.FAIL),
        ({}, "debian", Kind.PASS),
        ({"MokManager.efi": "other.efi"}, "debian", Kind.PASS),  # shim alone decides
        ({"grub.efi": "other.efi"}, "debian", Kind.FAIL),
    ],
)
def test_the_first_toolkit_looks_for_names_by_distribution(tmp_path, names, system, kind):
    def change(parts):
        renamed(**names)(parts)
        parts.top["usr/lib/os-release"] = f"ID={system}\nNAME=x\n"

    found = report(tmp_path, "G4", change)

    assert kind is kind_of(found, "COS049")
    assert (kind is Kind.FAIL) == ("install" in lost(found))


def test_the_last_os_release_in_the_order_of_the_walk_decides(tmp_path):
    def change(parts):
        parts.top["var/lib/container/etc/os-release"] = "ID=fedora\n"

    assert Kind.FAIL is kind_of(report(tmp_path, "G4", change), "COS049")


def test_a_dangling_os_release_anywhere_ends_the_search(tmp_path):
    found = report(
        tmp_path, "G4", writes({"var/lib/container/etc/os-release": Symlink("../usr/lib/os-release")})
    )

    assert Kind.FAIL is kind_of(found, "COS049")


@pytest.mark.parametrize("name", ["shim.efi", "MokManager.efi", "grub.efi"])
def test_the_second_toolkit_wants_all_three(tmp_path, name):
    found = report(tmp_path, "G5", renamed(**{name: "other.efi"}))

    assert Kind.FAIL is kind_of(found, "COS049")
    assert {"install", "recovery", "iso"} <= lost(found)


def test_riscv_has_no_secure_boot(tmp_path):
    def change(parts):
        renamed(**{"shim.efi": "other.efi", "MokManager.efi": "another.efi"})(parts)

    found = report(tmp_path, "G5", change, "riscv64")

    assert Kind.PASS is kind_of(found, "COS049")


def test_an_image_without_any_loader_takes_them_from_packages_before_toolkit_v1(tmp_path):
    """The medium's loaders came from luet packages; a Debian has them under other names."""

    def change(parts):
        renamed(**DEBIAN)(parts)

    assert Status.YES is report(tmp_path / "a", "G2", change).capabilities[Capability.ISO].status
    assert Status.NO is report(tmp_path / "b", "G4", change).capabilities[Capability.ISO].status


@pytest.mark.parametrize(
    ("manifest", "status"),
    [
        ("iso: {bootloader-in-rootfs: true}", Status.NO),
        ("iso: {bootloader-in-rootfs: false}", Status.YES),
        ("iso: {uefi: ['dir:/loaders']}", Status.YES),
        ("iso: {label: COS_LIVE}", Status.NO),
    ],
)
def test_a_manifest_says_where_the_loaders_come_from(tmp_path, manifest, status):
    (tmp_path / "manifest.yaml").write_text(manifest)

    found = report(
        tmp_path, "G4", renamed(**{"shim.efi": "other.efi"}), build_manifest=tmp_path / "manifest.yaml"
    )

    assert status is found.capabilities[Capability.ISO].status


# -- live and recovery systems, clouds ---------------------------------------------------------------------------------


def without(*names):
    def change(parts):
        for path in [path for path in parts.initrd if path.rpartition("/")[2] in names]:
            del parts.initrd[path]

    return change


def test_a_driver_that_is_built_in_is_not_looked_for_in_the_initrd(tmp_path):
    def change(parts):
        without("squashfs.ko", "isofs.ko", "ena.ko")(parts)
        path = f"usr/lib/modules/{KERNEL_VERSION}/modules.builtin"
        parts.kernel[path] += (
            "kernel/fs/squashfs/squashfs.ko\nkernel/fs/isofs/isofs.ko\nkernel/drivers/net/ena.ko\n"
        )

    assert set() == lost(report(tmp_path, "G5", change))


def test_what_the_kernel_has_is_undecided_where_nothing_tells(tmp_path):
    def change(parts):
        without("isofs.ko")(parts)
        del parts.kernel[f"boot/config-{KERNEL_VERSION}"]
        del parts.kernel[f"usr/lib/modules/{KERNEL_VERSION}/modules.builtin"]

    found = report(tmp_path, "G2", change)

    assert Status.UNKNOWN is found.capabilities[Capability.ISO].status
    assert ("COS219",) == found.capabilities[Capability.ISO].because


def test_a_kernel_that_reads_no_squashfs_of_xz_makes_no_live_system(tmp_path):
    def change(parts):
        path = f"boot/config-{KERNEL_VERSION}"
        parts.kernel[path] = parts.kernel[path].replace("CONFIG_SQUASHFS_XZ=y\n", "")

    assert {"iso"} == lost(report(tmp_path / "a", "G4", change))
    assert {"iso", "recovery", "aws", "gcp"} == lost(report(tmp_path / "b", "G5", change))

    def other(parts):
        change(parts)
        parts.top["etc/elemental/config.d/squashfs.yaml"] = "squash-no-compression: true\n"

    assert set() == lost(report(tmp_path / "c", "G5", other))


@pytest.mark.parametrize(
    ("gone", "costs"),
    [
        (("ena.ko",), {"aws"}),
        (("virtio_net.ko",), {"gcp"}),
        (("virtio_scsi.ko",), set()),  # nvme is there
        (("parted",), {"aws", "gcp"}),
        (("partprobe",), {"aws", "gcp"}),
    ],
)
def test_a_cloud_needs_its_drivers_and_what_adds_partitions_in_the_initrd(tmp_path, gone, costs):
    assert costs == lost(report(tmp_path, "G2", without(*gone)))


@pytest.mark.parametrize("generation", ["G3", "G4", "G5"])
def test_recovery_of_later_generations_is_no_squashfs_of_dracut(tmp_path, generation):
    """Its entry boots an image file as the active one does, or mounts a squashfs by itself."""

    def change(parts):
        path = "usr/lib/dracut/modules.txt"
        parts.initrd[path] = parts.initrd[path].replace("dmsquash-live\nlivenet\n", "")

    assert {"iso"} == lost(report(tmp_path, generation, change))


def test_a_rescue_kernel_with_its_own_initrd_makes_an_iso_that_boots(tmp_path):
    def change(parts):
        parts.kernel["boot/vmlinuz"] = Symlink(f"/boot/vmlinuz-{KERNEL_VERSION}")
        parts.kernel["boot/vmlinuz-0-rescue"] = linux_kernel(KERNEL_VERSION, "amd64")

    found = report(tmp_path, "G4", change)

    assert Kind.FAIL is kind_of(found, "COS019")
    assert Status.YES is found.capabilities[Capability.ISO].status


def test_a_kernel_of_another_version_has_no_modules_in_the_initrd_of_the_iso(tmp_path):
    def change(parts):
        parts.kernel["boot/Image-5.14"] = linux_kernel("5.14.21-default", "amd64")

    found = report(tmp_path, "G4", change)

    (finding,) = next(each for each in found.results if each.check == "COS210").findings
    assert "5.14.21-default" in finding.message
    assert Status.NO is found.capabilities[Capability.ISO].status
    assert Status.YES is found.capabilities[Capability.INSTALL].status


# -- reports -----------------------------------------------------------------------------------------------------------


def test_an_iso_whose_live_system_cannot_install_says_so(tmp_path):
    found = report(tmp_path, "G4", lambda parts: parts.remove("etc/cos/grub.cfg"))
    out = io.StringIO()
    TextRenderer().render(found, out)

    assert Status.YES is found.capabilities[Capability.ISO].status
    assert Status.NO is found.capabilities[Capability.INSTALL].status
    assert "  iso: its live system cannot install" in out.getvalue()


def test_an_iso_that_is_made_and_does_not_boot_says_so(tmp_path):
    found = report(tmp_path, "G4", OPERATION_DEGRADATIONS["no-isofs"].apply)
    out = io.StringIO()
    TextRenderer().render(found, out)

    assert Effect.BROKEN is found.capabilities[Capability.ISO].effect
    assert "can be made, but does not boot: COS219 live-drivers-missing" in out.getvalue()


@pytest.mark.parametrize("kind", ["no-squashfs", "no-isofs", "no-ena", "no-mv", "shim-elsewhere"])
@pytest.mark.parametrize("operation", ["upgrade", "recovery", "iso"])
def test_reading_fewer_layers_gives_the_same_verdict(tmp_path, kind, operation):
    profile = tmp_path / "own.toml"
    profile.write_text(f"name = 'own'\nrequired = ['{operation}']\n")
    name = derivative(kind).write_layout(tmp_path / "image")

    whole = inspect(name, profile=str(profile))
    fast = inspect(name, profile=str(profile), fast=True)

    assert whole.verdict is fast.verdict
