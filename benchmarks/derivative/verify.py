"""Whether umoci makes of the image the very tree that it was made of, and whether the initrd is whole."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.derivative.snapshot import scan

__all__ = ["initrd_lacks", "unpack_differences"]

_FILES = (
    "usr/lib/dracut/hooks/cmdline/30-parse-cos-cmdline.sh",
    "usr/sbin/cos-loop-img",
    "usr/sbin/cos-mount-layout",
    "usr/lib/systemd/system-generators/dracut-cos-generator",
    "usr/lib/systemd/system/cos-immutable-rootfs.service",
    "usr/lib/systemd/system/initrd-fs.target.requires/cos-immutable-rootfs.service",
    "usr/lib/systemd/system/cos-setup-rootfs.service",
    "usr/lib/systemd/system/cos-setup-initramfs.service",
    "etc/systemd/system/initrd-fs.target.requires/cos-setup-rootfs.service",
    "etc/systemd/system/initrd.target.requires/cos-setup-initramfs.service",
    "etc/hosts",
    "usr/bin/elemental",
)
_COMMANDS = [
    "basename",
    "losetup",
    "mkdir",
    "mount",
    "rm",
    "umount",
    "findmnt",
    "ls",
    "mountpoint",
    "rsync",
    "sort",
    "ln",
    "systemctl",
    "rmdir",
]
_DIRECTORIES = ("usr/bin", "usr/sbin")


def unpack_differences(layout: Path, tag: str, tree: Path, work: Path) -> tuple[float, list[str]]:
    """Unpacks the image with umoci: the seconds it took, and every difference to `tree`, a line each."""
    bundle = work / "umoci"
    shutil.rmtree(bundle, ignore_errors=True)
    start = time.monotonic()
    subprocess.run(["umoci", "unpack", "--image", f"{layout}:{tag}", str(bundle)], check=True)
    seconds = time.monotonic() - start
    expected, actual = scan(tree), scan(bundle / "rootfs")
    shutil.rmtree(bundle)
    lines = [f"only in the tree: {path!r}" for path in sorted(expected.keys() - actual.keys())]
    lines += [f"only in umoci's: {path!r}" for path in sorted(actual.keys() - expected.keys())]
    for path in sorted(expected.keys() & actual.keys()):
        for field in dataclasses.fields(expected[path]):
            wanted, found = getattr(expected[path], field.name), getattr(actual[path], field.name)
            if wanted != found:
                lines.append(f"{path!r}: {field.name} {found!r}, expected {wanted!r}")
    return seconds, lines


def initrd_lacks(tree: Path) -> list[str]:
    """The files and commands that the initrd of `tree` should hold and does not."""
    # A /tmp of its own: lsinitrd must not leave a trace in the tree.
    listing = 'mount -t tmpfs tmpfs "$0/tmp" && exec chroot "$0" lsinitrd /boot/initrd'
    listed = subprocess.run(
        ["unshare", "--mount", "sh", "-c", listing, str(tree)],
        check=True,
        capture_output=True,
        text=True,
        errors="replace",
    ).stdout
    paths = set(_listed_paths(listed))
    version = (tree / "boot/initrd").readlink().name.removeprefix("initrd-")
    wanted = [*_FILES, f"usr/lib/modules/{version}/kernel/fs/overlayfs/overlay.ko"]
    lacking = [path for path in wanted if path not in paths]
    lacking += [
        command
        for command in _COMMANDS
        if not any(f"{directory}/{command}" in paths for directory in _DIRECTORIES)
    ]
    lacking += [
        f"dracut module {module}"
        for module in ("cos-immutable-rootfs", "rootfs-block", "dm", "network", "dmsquash-live", "livenet")
        if not re.search(rf"(?m)^{re.escape(module)}$", listed)
    ]
    if "Early CPIO image" not in listed:
        lacking.append("early microcode")
    return lacking


def _listed_paths(listing: str) -> Iterator[str]:
    for line in listing.splitlines():
        match = re.match(
            r"[-dlcbps][-rwxsStT]{9}\s+\d+ \S+\s+\S+\s+(?:\d+, *\d+|\d+) \w{3} +\d+ +[\d:]+ (.+)", line
        )
        if match:
            yield match[1].split(" -> ")[0]
