"""A report made by hand, with everything in it that a report can have."""

from __future__ import annotations

from cosinspect.report.report import (
    Capability,
    CheckResult,
    Finding,
    Kind,
    LayerSummary,
    Level,
    Report,
    Stats,
)

BASE = LayerSummary("sha256:" + "1" * 64, "sha256:" + "a" * 64, 412_300_000, "ADD rootfs.tar /")
BREAKING = LayerSummary(
    "sha256:" + "2" * 64, "sha256:" + "b" * 64, 1_200, "/bin/sh -c zypper clean && rm -f /boot/vmlinuz-*"
)
SILENT = LayerSummary("sha256:" + "3" * 64, "sha256:" + "c" * 64, 999, None)

KERNEL = CheckResult(
    "COS011",
    "kernel-link-dangling",
    Kind.FAIL,
    Level.ERROR,
    (Capability.BOOT, Capability.INSTALL),
    (
        Finding(
            "expected a kernel at /boot/vmlinuz, its link leads to nothing",
            "/boot/vmlinuz",
            1,
            (
                "/boot/vmlinuz -> vmlinuz-6.4.0-default (layer 0)",
                "layer 1 (zypper clean && rm -f /boot/vmlinuz-*) removed it: /boot/.wh.vmlinuz-6.4.0-default",
            ),
            "Keep the kernel that the link names.",
        ),
    ),
    tags=("kernel",),
)
UNITS = CheckResult(
    "COS063",
    "cos-units-missing",
    Kind.FAIL,
    Level.WARNING,
    (),
    (
        Finding(
            "expected the unit cos-setup-boot.service, it is not there", remedy="Install system/cos-setup."
        ),
        # A name that would clear a terminal, turn its text around, and is not UTF-8 at its end.
        Finding("expected a unit, found a device", "/etc/\x1b[2J\u202eevil\udcff", 2, remedy="Remove it."),
    ),
    tags=("system",),
)
MICROCODE = CheckResult(
    "COS033",
    "microcode-missing",
    Kind.FAIL,
    Level.NOTE,
    (),
    (Finding("expected microcode in the initrd, found none", "/boot/initrd", 0, (), "Install ucode-intel."),),
    tags=("initrd",),
)
DATABASE = CheckResult(
    "COS082",
    "luet-database-unreadable",
    Kind.OPEN,
    Level.WARNING,
    (Capability.UPGRADE,),
    reason="/var/cache/luet/luet.db: expected at most 134217728 bytes, the file has 999999999",
)
GRUB = CheckResult(
    "COS040",
    "grub-config-missing",
    Kind.PASS,
    Level.ERROR,
    (Capability.ISO,),
    evidence=("/etc/cos/grub.cfg is there", "Gr\u00fc\u00dfe"),
    tags=("boot-menu",),
)
LINKS = CheckResult(
    "COS012", "kernel-links-too-deep", Kind.PASS, Level.WARNING, (Capability.BOOT,), tags=("kernel",)
)
COSIGN = CheckResult(
    "COS090",
    "cosign-missing",
    Kind.PASS,
    Level.NOTE,
    (Capability.VERIFY,),
    evidence=("/usr/bin/cosign is there",),
)
RUNNER = CheckResult(
    "COS062",
    "stage-runner-missing",
    Kind.NOT_APPLICABLE,
    Level.ERROR,
    (Capability.BOOT,),
    reason="no rules",
    tags=("system",),
)
TOOLS = CheckResult(
    "COS047",
    "grub-tools-missing",
    Kind.NOT_APPLICABLE,
    Level.ERROR,
    (),
    reason="no rules",
    tags=("boot-menu",),
)


def report(
    *results: CheckResult,
    required: tuple[Capability, ...] = (Capability.BOOT, Capability.INSTALL),
    name: str = "quay.io/org/os:v1",
    generation: str = "G2",
    platform: str = "linux/amd64",
) -> Report:
    """A report with these results, or with all of the above."""
    return Report(
        name=name,
        digest="sha256:" + "d" * 64,
        index="sha256:" + "e" * 64,
        platform=platform,
        layers=(BASE, BREAKING, SILENT),
        profile="cos",
        generation=generation,
        generation_title="cOS toolkit v0.8.2 to v0.9.7" if generation else "",
        required=required,
        results=results or (KERNEL, LINKS, MICROCODE, GRUB, TOOLS, RUNNER, UNITS, DATABASE, COSIGN),
        stats=Stats(2.41, 412_302_199, 14_089),
    )
