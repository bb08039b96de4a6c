"""What installation writes for firmware, of derivatives whose loaders are known by their bytes."""

import pytest

from cosinspect.boot.firmware import firmware_files
from cosinspect.boot.startup import find_startup
from cosinspect.errors import CannotBoot
from cosinspect.facts.facts import Facts
from cosinspect.image.opening import open_image
from cosinspect.testing.derivative import derivative_of, parts_of


def files_of(parts, tmp_path):
    image = derivative_of(parts)
    with open_image(image.write_layout(tmp_path / "layout")) as opened:
        rootfs = opened.rootfs()
        return firmware_files(rootfs, find_startup(rootfs, Facts(rootfs, opened.config), "active"))


def test_the_second_toolkit_has_everything_on_the_efi_partition(tmp_path):
    found = files_of(parts_of("G5", "amd64"), tmp_path)
    assert found.efi["EFI/BOOT/bootx64.efi"] == b"MZ shim"
    assert found.efi["EFI/BOOT/grub.efi"] == b"MZ grub"
    assert b"menuentry" in found.efi["EFI/BOOT/grub.cfg"]
    assert len(found.efi["grub_oem_env"]) == 1024
    assert b"state_label=COS_STATE\n" in found.efi["grub_oem_env"]
    assert "EFI/BOOT/x86_64-efi/loopback.mod" in found.efi
    assert not found.state


def test_the_toolkit_before_has_its_menu_on_the_state_partition(tmp_path):
    found = files_of(parts_of("G4", "amd64"), tmp_path)
    assert b"search --no-floppy --label --set=root COS_STATE" in found.efi["EFI/BOOT/grub.cfg"]
    assert {"/grub2/grub.cfg", "/grub_oem_env", "/grub2/x86_64-efi/loopback.mod"} <= {
        each.path for each in found.state
    }


@pytest.mark.parametrize("generation", ["G2", "bootc"])
def test_generations_without_a_loader_of_their_own_are_refused(tmp_path, generation):
    with pytest.raises(CannotBoot, match=r"toolkit v0\.10"):
        files_of(parts_of(generation, "amd64"), tmp_path)


def test_an_image_without_shim_is_refused(tmp_path):
    parts = parts_of("G5", "amd64")
    parts.remove("usr/share/efi/x86_64/shim.efi")
    with pytest.raises(CannotBoot, match="expected shim"):
        files_of(parts, tmp_path)
