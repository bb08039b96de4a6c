"""Conditions on a generation's table, for `check(applies=...)`: whether a check applies to it."""

from __future__ import annotations

from cosinspect.profiles import Family, Generation

__all__ = [
    "bootc",
    "carrier",
    "deployed_by_elemental",
    "elemental3",
    "installed_by_scripts",
    "kairos",
    "kairos_by_grub",
    "searched_by_patterns",
    "toolkit",
    "trusted_boot",
    "uki",
    "unified",
]


def toolkit(table: Generation) -> bool:
    """Return whether it is a derivative of the toolkit."""
    return table.family is Family.TOOLKIT


def kairos(table: Generation) -> bool:
    """Return whether it is Kairos, with or without trusted boot."""
    return table.family is Family.KAIROS


def kairos_by_grub(table: Generation) -> bool:
    """Return whether it is Kairos that GRUB boots."""
    return table.family is Family.KAIROS and not table.trusted_boot


def trusted_boot(table: Generation) -> bool:
    """Return whether a unified kernel image is made from the whole tree."""
    return table.trusted_boot


def uki(table: Generation) -> bool:
    """Return whether it is an artefact of `auroraboot build-uki`."""
    return table.family is Family.UKI


def unified(table: Generation) -> bool:
    """Return whether it has unified kernel images."""
    return table.unified is not None


def bootc(table: Generation) -> bool:
    """Return whether bootc or ostree deploys it."""
    return table.family is Family.BOOTC


def elemental3(table: Generation) -> bool:
    """Return whether it is the system of Elemental 3."""
    return table.family is Family.ELEMENTAL3 and not table.carries


def carrier(table: Generation) -> bool:
    """Return whether it has no system, but other content that Elemental 3 reads."""
    return bool(table.carries)


def installed_by_scripts(table: Generation) -> bool:
    """Return whether the scripts cos-installer and cos-upgrade deploy it."""
    return table.deployment.installer == "scripts"


def deployed_by_elemental(table: Generation) -> bool:
    """Return whether the command elemental deploys it."""
    return table.deployment.installer == "elemental"


def searched_by_patterns(table: Generation) -> bool:
    """Return whether the command elemental finds kernel and initrd by patterns, as toolkit v2 does."""
    return table.deployment.boot_files == "patterns"
