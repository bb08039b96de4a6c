"""The catalogue: every check, in the order of its id. A new check is added to its subject's module and to this tuple."""

from __future__ import annotations

from cosinspect.checks import (
    cloud_config,
    dracut,
    grub,
    image,
    initrd,
    initrd_toolkit,
    kernel,
    luet,
    readers,
    signatures,
    system,
    verification,
)
from cosinspect.checks.base import Check

__all__ = ["CATALOGUE", "find_check"]

CATALOGUE: tuple[Check, ...] = (
    image.generation_unknown,
    image.layer_malformed,
    image.layer_ambiguous,
    kernel.kernel_missing,
    kernel.kernel_link_dangling,
    kernel.kernel_links_too_deep,
    kernel.kernel_not_linux,
    kernel.kernel_truncated,
    kernel.kernel_architecture,
    kernel.kernel_modules_missing,
    kernel.kernel_modules_unindexed,
    initrd.initrd_missing,
    initrd.initrd_link_dangling,
    initrd.initrd_links_too_deep,
    initrd.initrd_unreadable,
    initrd_toolkit.initrd_without_cos,
    initrd_toolkit.initrd_part_missing,
    initrd_toolkit.initrd_command_missing,
    initrd_toolkit.initrd_command_degraded,
    initrd.initrd_kernel_version,
    initrd_toolkit.initrd_overlay_missing,
    initrd.initrd_hostonly,
    initrd.initrd_live_modules_missing,
    initrd.initrd_compression_unsupported,
    initrd.microcode_missing,
    initrd.initrd_tail_ignored,
    grub.grub_config_missing,
    grub.grub_config_broken,
    grub.bootargs_missing,
    grub.bootargs_incomplete,
    grub.template_placeholder,
    grub.bootargs_generation,
    grub.bootargs_iso_scan,
    grub.grub_tools_missing,
    dracut.dracut_module_incomplete,
    dracut.dracut_config_missing,
    dracut.dracut_missing,
    system.systemd_missing,
    system.init_link_missing,
    system.stage_runner_missing,
    system.cos_units_missing,
    system.os_release_missing,
    system.mountpoint_missing,
    system.mountpoint_repaired,
    cloud_config.layout_missing,
    cloud_config.cloud_config_invalid,
    cloud_config.login_missing,
    luet.luet_missing,
    luet.luet_config_invalid,
    luet.luet_database_unreadable,
    luet.package_files_missing,
    verification.cosign_missing,
    verification.luet_cosign_missing,
    signatures.signature_missing,
    verification.cosign_key_missing,
    readers.readers_disagree,
    readers.elemental_refuses,
    readers.containerd_refuses,
)


def find_check(name: str) -> Check | None:
    """Give the check with this id or name, None if there is none."""
    return next((item for item in CATALOGUE if name.lower() in (item.id.lower(), item.name)), None)
