"""Manifests from which ISOs are built: those of luet-makeiso and of `elemental build-iso`.

luet-makeiso (pkg/schema, pkg/burner) copies the kernel and the initrd from /boot by the names in `initramfs.kernel_file` and
`initramfs.rootfs_file`, exactly. elemental's manifest has a mapping `iso` without such names: elemental searches.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen

from cosinspect.errors import FormatError
from cosinspect.formats.text.yaml import parse_yaml
from cosinspect.limits import DEFAULT_LIMITS, Limits

__all__ = ["BuildManifest", "read_build_manifest"]

_KERNEL, _INITRD = "vmlinuz", "initrd"
# Keys that only a manifest of luet-makeiso has.
_MAKEISO = frozenset(
    [
        "initramfs",
        "packages",
        "overlay",
        "rootfs_image",
        "image_prefix",
        "image_date",
        "image_name",
        "label",
        "boot_file",
        "boot_catalog",
        "isohybrid_mbr",
        "luet",
    ]
)


@frozen
class BuildManifest:
    """The files that an ISO boots, by a manifest.

    Attributes:
        tool: `luet-makeiso` or `elemental`.
        kernel: path in the image, "" if the tool searches for it.
        initrd: the same for the initrd.
        loader_in_image: whether the EFI loaders of the ISO come from the image; None if the manifest does not say.
    """

    tool: str
    kernel: str = ""
    initrd: str = ""
    loader_in_image: bool | None = None


def read_build_manifest(text: str | bytes, *, limits: Limits = DEFAULT_LIMITS) -> BuildManifest:
    """Read a manifest of luet-makeiso or `elemental build-iso`.

    Raises:
        FormatError: of the kinds that `parse_yaml` names, or `structure`: it is neither, or a name is not text.
    """
    top = parse_yaml(text, limits=limits).value
    if not isinstance(top, dict) or ("iso" not in top and not _MAKEISO & top.keys()):
        raise FormatError(
            "a build manifest is a mapping with the key `iso` (elemental build-iso), or with `initramfs`, `packages` or others "
            "of luet-makeiso, and this is neither",
            kind="structure",
            remedy="name the manifest that the ISO is built with",
        )
    if "iso" in top:
        return BuildManifest("elemental", loader_in_image=_loader_in_image(top["iso"]))
    named = top.get("initramfs")
    if named is not None and not isinstance(named, dict):
        raise FormatError(
            f"expected `initramfs` to be a mapping, found a {type(named).__name__}", kind="structure"
        )
    return BuildManifest(
        "luet-makeiso",
        _name(named or {}, "kernel_file", _KERNEL),
        _name(named or {}, "rootfs_file", _INITRD),
    )


def _loader_in_image(iso: object) -> bool | None:
    """Read `bootloader-in-rootfs`. Without it, a manifest with sources for `uefi` brings the loaders itself."""
    if not isinstance(iso, dict):
        return None
    said = iso.get("bootloader-in-rootfs")
    if isinstance(said, bool):
        return said
    return False if iso.get("uefi") else None


def _name(mapping: dict[str, Any], key: str, default: str) -> str:
    value = mapping.get(key)
    if value is not None and not isinstance(value, str):
        raise FormatError(
            f"expected `initramfs.{key}` to be the name of a file in /boot, found a {type(value).__name__}",
            kind="structure",
        )
    return f"/boot/{value or default}"
