"""Build manifests: those of luet-makeiso name files, those of elemental do not; anything else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosinspect.errors import FormatError
from cosinspect.formats.text.build_manifest import BuildManifest, read_build_manifest

# The keys of a manifest of the cOS toolkit of 2022-04.
MAKEISO = """\
packages:
  rootfs: [system/cos]
  uefi: [live/grub2-efi-image]
initramfs:
  kernel_file: "bzImage"
  rootfs_file: "initrd-custom"
label: "COS_LIVE"
luet:
  repositories: []
"""


def test_luet_makeiso_has_exact_names_below_boot():
    assert BuildManifest("luet-makeiso", "/boot/bzImage", "/boot/initrd-custom") == read_build_manifest(
        MAKEISO
    )


@pytest.mark.parametrize("text", ["packages: {rootfs: [system/cos]}", "label: COS_LIVE", "initramfs: {}"])
def test_without_names_they_are_vmlinuz_and_initrd(text):
    assert BuildManifest("luet-makeiso", "/boot/vmlinuz", "/boot/initrd") == read_build_manifest(text)


def test_elemental_searches():
    text = "iso:\n  rootfs: [oci:registry.example.org/os]\n  label: COS_LIVE\nname: os\ndate: true\n"
    assert BuildManifest("elemental") == read_build_manifest(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a\n",
        "text",
        "name: os\n",
        "apiVersion: v1\nkind: Pod\n",
        "initramfs: [a]",
        "initramfs: {kernel_file: [a]}",
        "a: [\n",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(FormatError):
        read_build_manifest(text)


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300)))
def test_arbitrary_bytes_are_a_manifest_or_a_format_error(data):
    try:
        found = read_build_manifest(data)
    except FormatError:
        return
    assert found.tool in {"luet-makeiso", "elemental"}
