"""Mutations whose result nobody knew when they were written: one file less of what a machine runs through.

Rows of `tests.boots.rows` repeat boots that are written down. These ask the other way round: the inspection answers first, then the machine.
"""

from tests.boots.changes import Row, gone, without

from cosinspect.testing import Directory, File, Symlink

SYSTEM = "usr/lib/systemd/system"
LIBRARIES = "usr/lib/x86_64-linux-gnu"

# Of the initrd: the name of a row, the generation, the members that go.
_INITRD = (
    ("release", "G5", ("etc/initrd-release", "usr/lib/initrd-release")),
    ("default-target", "G5", ("etc/systemd/system/default.target", f"{SYSTEM}/default.target")),
    ("initrd-target", "G2", ("initrd.target",)),
    ("switch-root-service", "G5", ("initrd-switch-root.service",)),
    ("switch-root-target", "G2", ("initrd-switch-root.target",)),
    ("cleanup-service", "G5", ("initrd-cleanup.service",)),
    ("parse-etc-service", "G2", ("initrd-parse-etc.service",)),
    ("fstab-generator", "G5", ("system-generators/systemd-fstab-generator",)),
    ("rootfs-generator", "G2", ("dracut-rootfs-generator",)),
    ("sysroot-generator", "G5", ("dracut-elemental-sysroot-generator",)),
    ("mount", "G2", ("usr/bin/mount",)),
    ("bash", "G5", ("usr/bin/bash",)),
    ("udevadm", "G5", ("usr/bin/udevadm",)),
    ("kmod", "G2", ("usr/bin/kmod",)),
    ("journald", "G5", ("systemd-journald",)),
    ("sysroot", "G2", ("sysroot",)),
    ("run", "G5", ("run",)),
    ("proc", "G2", ("proc",)),
    ("dev", "G5", ("dev", "dev/console", "dev/kmsg", "dev/null", "dev/random", "dev/urandom")),
    ("loader-cache", "G2", ("etc/ld.so.cache", "etc/ld.so.conf")),
    ("lib64", "G5", ("lib64",)),
    ("lib", "G2", ("lib",)),
    ("bin", "G5", ("bin",)),
    ("sbin", "G2", ("sbin",)),
    ("udev-trigger", "G5", ("systemd-udev-trigger.service",)),
    ("udevd-service", "G2", ("systemd-udevd.service",)),
    ("dracut-lib", "G5", ("usr/lib/dracut-lib.sh",)),
    ("dracut-util", "G2", ("usr/bin/dracut-util",)),
    ("dracut-cmdline", "G2", ("usr/bin/dracut-cmdline",)),
    ("dracut-cmdline", "G5", ("usr/bin/dracut-cmdline",)),
    ("drivers-rules", "G5", ("80-drivers.rules",)),
    ("systemd-rules", "G2", ("99-systemd.rules",)),
    ("default-rules", "G5", ("50-udev-default.rules",)),
    ("libkmod", "G2", ("libkmod.so.2", "libkmod.so.2.4.0")),
    ("modules-dep", "G2", ("modules.dep", "modules.dep.bin")),
    ("modules-dep-bin", "G5", ("modules.dep.bin",)),
    ("modules-alias", "G2", ("modules.alias", "modules.alias.bin")),
    ("virtio-blk", "G5", ("virtio_blk.ko",)),
    ("overlay", "G2", ("overlay.ko",)),
    ("loop", "G5", ("loop.ko",)),
    ("rootfs-service", "G2", ("cos-setup-rootfs.service",)),
    ("rootfs-service", "G5", ("elemental-setup-rootfs.service",)),
    ("mount-service", "G5", ("elemental-rootfs.service",)),
    ("config", "G5", ("etc/elemental/config.yaml",)),
    ("passwd", "G2", ("etc/passwd", "etc/group")),
    ("root-fs-target", "G5", ("initrd-root-fs.target",)),
    ("fs-target", "G2", ("initrd-fs.target",)),
    ("sysinit-target", "G5", ("sysinit.target",)),
    ("rsync", "G5", ("usr/bin/rsync",)),
    ("lsblk", "G5", ("usr/bin/lsblk",)),
    ("systemctl", "G2", ("usr/bin/systemctl",)),
)

# Of the root: the name of a row, the generation, the paths that go.
_ROOT = (
    ("journald", "G5", ("usr/lib/systemd/systemd-journald",)),
    ("sysinit-target", "G2", (f"{SYSTEM}/sysinit.target",)),
    ("local-fs-target", "G5", (f"{SYSTEM}/local-fs.target",)),
    ("getty-target", "G2", (f"{SYSTEM}/getty.target",)),
    ("serial-getty", "G5", (f"{SYSTEM}/serial-getty@.service",)),
    ("login", "G2", ("usr/bin/login",)),
    ("pam-unix", "G5", (f"{LIBRARIES}/security/pam_unix.so",)),
    ("pam-login", "G2", ("etc/pam.d/login",)),
    ("shadow", "G5", ("etc/shadow",)),
    ("bash", "G5", ("usr/bin/bash",)),
    ("libpam", "G2", (f"{LIBRARIES}/libpam.so.0", f"{LIBRARIES}/libpam.so.0.85.1")),
    ("libcrypt", "G5", (f"{LIBRARIES}/libcrypt.so.1", f"{LIBRARIES}/libcrypt.so.1.1.0")),
    ("nsswitch", "G2", ("etc/nsswitch.conf",)),
    ("logind", "G5", ("usr/lib/systemd/systemd-logind",)),
    ("udevadm", "G2", ("usr/bin/udevadm",)),
    ("systemd-rules", "G5", ("usr/lib/udev/rules.d/99-systemd.rules",)),
    ("storage-rules", "G2", ("usr/lib/udev/rules.d/60-persistent-storage.rules",)),
    ("fsck", "G5", ("usr/lib/systemd/systemd-fsck",)),
    ("modules", "G2", ("usr/lib/modules",)),
    ("libseccomp", "G5", (f"{LIBRARIES}/libseccomp.so.2", f"{LIBRARIES}/libseccomp.so.2.5.4")),
    ("libcap", "G2", (f"{LIBRARIES}/libcap.so.2", f"{LIBRARIES}/libcap.so.2.66")),
    ("libkmod", "G5", (f"{LIBRARIES}/libkmod.so.2", f"{LIBRARIES}/libkmod.so.2.4.0")),
    ("sbin-init", "G5", ("usr/sbin/init",)),
    ("bin", "G2", ("bin",)),
    ("sbin", "G5", ("sbin",)),
    ("lib", "G5", ("lib",)),
    ("remount-service", "G2", (f"{SYSTEM}/systemd-remount-fs.service",)),
    ("tmpfiles", "G2", ("usr/bin/systemd-tmpfiles",)),
    ("fstab-generator", "G5", ("usr/lib/systemd/system-generators/systemd-fstab-generator",)),
    ("dbus-socket", "G5", (f"{SYSTEM}/dbus.socket",)),
)

# Of the root: the name of a row, the generation, what is changed in words, the entries of the layer above.
_LAYERS = (
    ("systemd-mode", "G5", "systemd has mode 0644", {"usr/lib/systemd/systemd": 0o644}),
    ("loader-mode", "G2", "ld.so has mode 0644", {f"{LIBRARIES}/ld-linux-x86-64.so.2": 0o644}),
    ("libc-mode", "G5", "libc.so.6 has mode 0600", {f"{LIBRARIES}/libc.so.6": 0o600}),
    ("login-mode", "G5", "login has mode 0644", {"usr/bin/login": 0o644}),
    (
        "fstab-unknown",
        "G5",
        "/etc/fstab mounts a device that is not there",
        {"etc/fstab": File(b"UUID=00000000-0000-0000-0000-000000000001 /data ext4 defaults 0 2\n")},
    ),
    (
        "fstab-nofail",
        "G2",
        "/etc/fstab mounts a device that is not there, with nofail",
        {"etc/fstab": File(b"UUID=00000000-0000-0000-0000-000000000001 /data ext4 nofail 0 2\n")},
    ),
    (
        "local-fs-masked",
        "G2",
        "local-fs.target is masked",
        {"etc/systemd/system/local-fs.target": Symlink("/dev/null")},
    ),
    (
        "sysinit-masked",
        "G5",
        "sysinit.target is masked",
        {"etc/systemd/system/sysinit.target": Symlink("/dev/null")},
    ),
    (
        "udevd-masked",
        "G5",
        "systemd-udevd.service is masked",
        {"etc/systemd/system/systemd-udevd.service": Symlink("/dev/null")},
    ),
    (
        "getty-masked",
        "G5",
        "getty.target is masked",
        {"etc/systemd/system/getty.target": Symlink("/dev/null")},
    ),
    (
        "default-reboot",
        "G5",
        "default.target is reboot.target",
        {"etc/systemd/system/default.target": Symlink("/usr/lib/systemd/system/reboot.target")},
    ),
    (
        "default-rescue",
        "G2",
        "default.target is rescue.target",
        {"etc/systemd/system/default.target": Symlink("/usr/lib/systemd/system/rescue.target")},
    ),
    ("etc-mode", "G2", "/etc has mode 0700", {"etc": Directory(mode=0o700)}),
    (
        "shell-unknown",
        "G5",
        "root's shell is not in the image",
        {"etc/passwd": File(b"root:x:0:0:root:/root:/bin/zsh\n")},
    ),
    (
        "passwd-root-only",
        "G2",
        "root is the only account",
        {"etc/passwd": File(b"root:x:0:0:root:/root:/bin/bash\n")},
    ),
    (
        "service-in-the-way",
        "G5",
        "a service that never ends is required by sysinit.target",
        {
            "etc/systemd/system/wait.service": File(
                b"[Unit]\nDefaultDependencies=no\nBefore=sysinit.target\n[Service]\nType=oneshot\nTimeoutStartSec=infinity\n"
                b"ExecStart=/bin/sleep infinity\n"
            ),
            "etc/systemd/system/sysinit.target.requires/wait.service": Symlink("../wait.service"),
        },
    ),
)

_BECAUSE = {
    "G5-initrd-no-drivers-rules": "NVMe is built into this kernel, so machines with such a disk boot; COS188 warns of the others",
}


def unforeseen_rows():
    """Give the rows, those of the initrd first: they boot the good derivative's disk."""
    for name, generation, paths in _INITRD:
        missing = " and ".join(path for path in paths if not path.startswith("dev/"))
        yield Row(
            f"{generation}-initrd-no-{name}",
            generation,
            f"the initrd lacks {missing}",
            None,
            initrd=without(*paths),
            because=_BECAUSE.get(f"{generation}-initrd-no-{name}", ""),
        )
    for name, generation, paths in _ROOT:
        yield Row(
            f"{generation}-no-{name}", generation, f"the root lacks {' and '.join(paths)}", None, gone(*paths)
        )
    for name, generation, summary, entries in _LAYERS:
        yield Row(f"{generation}-{name}", generation, summary, None, entries)
