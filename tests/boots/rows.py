"""The mutations that are booted, with what real machines did before and where that is written down.

A row says what is changed, and whether the image boots. `because` explains a disagreement between the inspection and a boot that is known.
"""

from tests.boots.changes import Row, compressed, emptied, gone, junk, with_mode, without
from tests.boots.unforeseen import unforeseen_rows

from cosinspect.testing import Directory, File, Symlink

LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = f"{LIBRARIES}/ld-linux-x86-64.so.2"
SYSTEM = "usr/lib/systemd/system"
EMPTY = File(b"", mode=0o755)


def _initrd_rows(generation):
    for name, summary, change in (
        ("initrd-loader-gone", "ld.so is not in the initrd", without("ld-linux-x86-64.so.2")),
        ("initrd-libc-empty", "libc.so.6 of the initrd is empty", emptied("libc.so.6")),
        ("initrd-libc-gone", "libc.so.6 is not in the initrd", without("libc.so.6")),
        (
            "initrd-libmount-gone",
            "libmount is not in the initrd",
            without("libmount.so.1", "libmount.so.1.1.0"),
        ),
        ("initrd-libmount-empty", "libmount of the initrd is empty", emptied("libmount.so.1")),
        ("initrd-systemd-empty", "systemd of the initrd is empty", emptied("usr/lib/systemd/systemd")),
        ("initrd-init-gone", "/init is not in the initrd", without("init")),
    ):
        yield Row(f"{generation}-{name}", generation, summary, False, initrd=change)


def _rows():
    for generation in ("G2", "G5", "G4"):
        yield from _initrd_rows(generation)
    yield Row(
        "initrd-libblkid-gone",
        "G2",
        "libblkid is not in the initrd",
        False,
        initrd=without("libblkid.so.1", "libblkid.so.1.1.0"),
    )
    yield Row(
        "initrd-loader-empty",
        "G2",
        "ld.so of the initrd is empty",
        False,
        initrd=emptied("ld-linux-x86-64.so.2"),
    )
    yield Row("initrd-junk", "G2", "the initrd is junk", False, initrd=junk)
    yield Row(
        "initrd-systemd-mode",
        "G2",
        "systemd of the initrd has mode 0644",
        False,
        initrd=with_mode("usr/lib/systemd/systemd", 0o644),
    )
    yield Row("G5-good", "G5", "nothing", True)
    yield Row("G2-good", "G2", "nothing", True)
    yield Row("G4-good", "G4", "nothing", True)
    yield Row(
        "layout-gone",
        "G2",
        "cos-mount-layout is not in the initrd",
        False,
        initrd=without("sbin/cos-mount-layout"),
    )
    yield Row(
        "elemental-empty",
        "G2",
        "elemental of the initrd is empty",
        False,
        initrd=emptied("usr/bin/elemental"),
    )
    yield Row(
        "root-libc-empty", "G2", "libc.so.6 of the root is empty", False, {f"{LIBRARIES}/libc.so.6": EMPTY}
    )
    yield Row(
        "root-libmount-gone",
        "G2",
        "libmount is not in the root",
        False,
        gone(f"{LIBRARIES}/libmount.so.1", f"{LIBRARIES}/libmount.so.1.1.0"),
    )
    yield Row(
        "default-dangling",
        "G2",
        "default.target leads nowhere",
        False,
        {
            "etc/systemd/system/default.target": Symlink("/usr/lib/systemd/system/none.target"),
            **gone(f"{SYSTEM}/default.target"),
        },
    )
    yield Row("opt-gone", "G2", "/opt, which is laid over, is not in the root", False, gone("opt"))
    yield Row(
        "layout-mode",
        "G2",
        "cos-mount-layout of the initrd has mode 0644",
        False,
        initrd=with_mode("cos-mount-layout", 0o644),
    )
    yield Row(
        "elemental-mode",
        "G2",
        "elemental of the initrd has mode 0644",
        False,
        initrd=with_mode("usr/bin/elemental", 0o644),
    )
    yield Row(
        "elemental-gone-initrd",
        "G2",
        "elemental is not in the initrd",
        False,
        initrd=without("usr/bin/elemental"),
    )
    yield Row(
        "layout-empty",
        "G2",
        "cos-mount-layout of the initrd is empty",
        False,
        initrd=emptied("cos-mount-layout"),
    )
    yield Row(
        "requires-gone",
        "G2",
        "no link of the initrd starts cos-setup-rootfs.service",
        False,
        initrd=without("initrd-fs.target.requires/cos-setup-rootfs.service"),
    )
    yield Row(
        "layout-config-gone",
        "G2",
        "no cloud-config writes the layout",
        False,
        gone("system/oem/00_rootfs.yaml"),
    )
    yield Row("elemental-gone-root", "G2", "elemental is not in the root", False, gone("usr/bin/elemental"))
    yield Row(
        "os-release-gone",
        "G2",
        "no os-release is in the root",
        False,
        gone("etc/os-release", "usr/lib/os-release"),
    )
    yield Row(
        "root-systemd-empty", "G2", "systemd of the root is empty", False, {"usr/lib/systemd/systemd": EMPTY}
    )
    yield Row("root-loader-gone", "G2", "ld.so is not in the root", False, gone(LOADER))
    yield Row(
        "root-shared-gone",
        "G2",
        "libsystemd-shared is not in the root",
        False,
        gone("usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-252.so"),
    )
    yield Row("lib64-directory", "G2", "/lib64 is a directory", False, {"lib64": Directory()})
    yield Row(
        "G4-layout-gone",
        "G4",
        "elemental-mount-layout is not in the initrd",
        False,
        initrd=without("sbin/elemental-mount-layout"),
    )
    yield Row(
        "loop-mode",
        "G2",
        "cos-loop-img of the initrd has mode 0644",
        False,
        initrd=with_mode("cos-loop-img", 0o644),
    )
    yield Row(
        "udevd-gone", "G2", "systemd-udevd is not in the initrd", False, initrd=without("systemd-udevd")
    )
    yield Row(
        "rules-gone",
        "G2",
        "60-persistent-storage.rules is not in the initrd",
        False,
        initrd=without("60-persistent-storage.rules"),
    )
    yield Row(
        "hook-gone",
        "G2",
        "the hook that reads the command line is not in the initrd",
        False,
        initrd=without("cmdline/30-parse-cos-cmdline.sh"),
    )
    yield Row(
        "multi-user-gone",
        "G2",
        "multi-user.target is not in the root",
        False,
        gone(f"{SYSTEM}/multi-user.target"),
    )
    yield Row("basic-gone", "G2", "basic.target is not in the root", False, gone(f"{SYSTEM}/basic.target"))
    yield Row("mount-gone", "G2", "mount is not in the root", True, gone("usr/bin/mount"))
    yield Row("dbus-gone", "G2", "dbus-daemon is not in the root", True, gone("usr/bin/dbus-daemon"))
    yield Row("usr-mode", "G2", "/usr has mode 0700", True, {"usr": Directory(mode=0o700)})
    yield Row("agetty-gone", "G2", "agetty is not in the root", False, gone("usr/sbin/agetty"))
    # systemd-sysusers makes it anew, with root.
    yield Row("passwd-gone", "G2", "/etc/passwd is not in the root", True, gone("etc/passwd"))
    yield Row(
        "passwd-gone-for-good",
        "G2",
        "neither /etc/passwd nor systemd-sysusers is in the root",
        False,
        gone("etc/passwd", "usr/bin/systemd-sysusers"),
    )
    yield Row("findmnt-gone", "G2", "findmnt is not in the initrd", True, initrd=without("usr/bin/findmnt"))
    yield Row(
        "default-gone", "G2", "no default.target is in the root", False, gone(f"{SYSTEM}/default.target")
    )
    for generation in ("G5", "G4"):
        yield Row(
            f"{generation}-firmware",
            generation,
            "nothing; by OVMF, shim, GRUB",
            True,
            initrd=compressed,
            firmware=True,
        )
    yield Row(
        "G5-firmware-large",
        "G5",
        "nothing, and the initrd has 114 MB; by OVMF, shim, GRUB",
        None,
        firmware=True,
        because="GRUB prints `error: out of memory` and starts the kernel without the initrd; "
        "how much it can load depends on its build and on the firmware",
    )
    yield Row("bootc-good", "bootc", "nothing; the tree as the root of a plain disk", True)
    yield Row(
        "restarts",
        "G2",
        "a service of the root restarts the machine",
        False,
        {
            f"{SYSTEM}/restart.service": "[Service]\nExecStart=/bin/systemctl reboot -ff\n",
            "etc/systemd/system/multi-user.target.wants/restart.service": Symlink(
                f"/{SYSTEM}/restart.service"
            ),
        },
        because="what a service does is not inspected",
    )
    yield Row(
        "given-up",
        "G2",
        "nothing; `--timeout 20`",
        None,
        cpu_seconds=20,
        because="a bound of ours is reached",
    )
    for generation in ("G5", "G2"):
        yield Row(f"{generation}-recovery", generation, "nothing; entry recovery", None, entry="recovery")
    yield Row(
        "G5-firmware-kernel-gone",
        "G5",
        "/boot/vmlinuz is not in the root; by OVMF, shim, GRUB",
        False,
        gone("boot/vmlinuz"),
        firmware=True,
    )
    yield from unforeseen_rows()


ROWS = {row.name: row for row in _rows()}
