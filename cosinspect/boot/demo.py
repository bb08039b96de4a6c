"""A small derivative that really boots: the testing kit's, with a kernel, its drivers and busybox of the machine that makes it.

Busybox stands for every program: it mounts the image's file as an initrd of the toolkit does, switches to the root, and lets somebody log in.
It proves that the way from a registry to a login works here, in seconds; of systemd it proves nothing.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from attrs import frozen

from cosinspect.compression.codecs import detect, inflate
from cosinspect.errors import CannotBoot
from cosinspect.formats.boot.kernel import HEAD_BYTES, read_kernel
from cosinspect.testing import BuiltImage, File, Registry, Symlink
from cosinspect.testing.bootfiles import executable
from cosinspect.testing.derivative.image import derivative_of
from cosinspect.testing.derivative.parts import KERNEL_VERSION, Parts, parts_of

__all__ = ["demo_image", "served_demo"]

_ARCHITECTURES: dict[str, tuple[Literal["amd64", "arm64"], str]] = {
    "x86_64": ("amd64", "ttyS0"),
    "aarch64": ("arm64", "ttyAMA0"),
}
"""What images call the architecture, and the kernel's name of the serial port."""
_KERNELS = ("/boot/vmlinuz-*", "/usr/lib/modules/*/vmlinuz", "/lib/modules/*/vmlinuz")
_NAME = "cos/derivative:demo"
_MODULES = ("/usr/lib/modules", "/lib/modules")
_BUSYBOXES = ("/bin/busybox", "/usr/bin/busybox", "/usr/lib/initramfs-tools/bin/busybox")
_APPLETS = [
    "cat",
    "cp",
    "head",
    "hostname",
    "insmod",
    "login",
    "losetup",
    "ls",
    "ln",
    "mkdir",
    "mount",
    "rm",
    "sh",
    "sleep",
    "sort",
    "switch_root",
    "touch",
    "umount",
]
"""What the scripts and somebody who logged in call; the testing kit's programs of these names do nothing."""
_DRIVERS = ("virtio_pci", "virtio_blk", "ext4", "loop")
_MOST_BYTES = 64 << 20
_INSTALL = "install them: apt-get install busybox-static, and linux-image-cloud-amd64 or linux-image-cloud-arm64 (Debian)"

_INIT = """\
#!/bin/busybox sh
# What the toolkit's initrd does: load drivers, find the state partition, loop the image's file, switch to it.
export PATH=/usr/bin:/usr/sbin
mkdir -p /dev /proc /sys /state /sysroot
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
exec < /dev/console > /dev/console 2>&1
for driver in $(cat /drivers); do
    insmod "$driver"
done
for count in 1 2 3 4 5 6 7 8 9 10; do
    for disk in /dev/vd*[0-9]; do
        mount -o ro "$disk" /state 2> /dev/null || continue
        [ -f /state/cOS/active.img ] && break 2
        umount /state
    done
    sleep 1
done
losetup -r /dev/loop0 /state/cOS/active.img && mount -o ro /dev/loop0 /sysroot
mount -o move /dev /sysroot/dev
mount -o move /proc /sysroot/proc
mount -o move /sys /sysroot/sys
echo "Switching root"
exec switch_root /sysroot /usr/lib/demo/init
echo "Entering emergency mode: there is no root to switch to"
exec sh
"""
_START = """\
#!/bin/busybox sh
export PATH=/usr/bin:/usr/sbin
mount -t tmpfs tmpfs /run
mkdir -p /run/etc
cp -a /etc/. /run/etc/
mount -o bind /run/etc /etc
hostname demo
"""
_INITTAB = """\
::sysinit:/usr/lib/demo/start
{port}::respawn:/bin/busybox getty -L {port} 115200 vt100
"""
_SYSTEMCTL = (
    '#!/bin/busybox sh\ncase "$1" in is-active) echo active ;; is-system-running) echo running ;; esac\n'
)
# The password is `cos`, as the toolkit's own cloud-config has it.
_SHADOW = "root:$6$cosinspect$rkDeHtIcs/VnK9waui4CCg4EZKs.OIiCFkJqj0ksA6d.b5QlpNi/LTzs5QAJZ7TkPZIsOgU2st.aRoWRDpteh1:19000:0:99999:7:::\n"
_ACCOUNT = """\
name: "Default user"
stages:
  initramfs:
    - ensure_entities:
      - path: /etc/shadow
        entity: |
          kind: "shadow"
          username: "root"
          password: "cos"
"""


@frozen
class _Found:
    """What this machine has.

    Attributes:
        kernel: the kernel's bytes.
        version: its release.
        drivers: paths below the modules' directory with the modules' bytes, each after those that it needs.
        busybox: a program that needs no library.
    """

    kernel: bytes
    version: str
    drivers: dict[str, bytes]
    busybox: bytes


def demo_image(top: Path = Path("/"), machine: str = "") -> BuiltImage:
    """Make the image.

    Args:
        top: where the kernel, its modules and busybox are found.
        machine: their architecture, as `uname -m` prints it; "" for this machine's.

    Raises:
        CannotBoot: there is no kernel with modules, or no busybox that stands alone.
    """
    machine = machine or platform.machine()
    if machine not in _ARCHITECTURES:
        raise CannotBoot(f"expected a machine of {' or '.join(_ARCHITECTURES)}, found {machine}")
    architecture, port = _ARCHITECTURES[machine]
    found = _look(top)
    parts = _renamed(parts_of("G2", architecture), found.version)
    modules = f"usr/lib/modules/{found.version}"
    busybox = executable(found.busybox)
    parts.kernel[f"boot/vmlinuz-{found.version}"] = found.kernel
    own = {f"{modules}/{path}": File(body) for path, body in found.drivers.items()}
    applets = {f"usr/bin/{name}": Symlink("/usr/bin/busybox") for name in _APPLETS}
    parts.initrd.pop("usr/sbin/losetup", None)
    parts.initrd |= {
        "usr/bin/busybox": busybox,
        **applets,
        "usr/lib/systemd/systemd": executable(_INIT),
        "drivers": "".join(f"/{path}\n" for path in own),
        **own,
    }
    parts.compression = "gzip"
    parts.microcode = False
    parts.base.pop("usr/sbin/losetup", None)
    parts.packages |= {
        "usr/bin/busybox": busybox,
        "usr/lib/demo/init": Symlink("/usr/bin/busybox"),
        "usr/lib/demo/start": executable(_START),
        "usr/bin/systemctl": executable(_SYSTEMCTL),
        "etc/inittab": _INITTAB.format(port=port),
        "etc/shadow": File(_SHADOW, mode=0o600),
        "etc/passwd": "root:x:0:0:root:/root:/usr/bin/sh\n",
        **applets,
        "system/oem/04_accounting.yaml": File(_ACCOUNT, mode=0o600),
    }
    return derivative_of(parts)


@contextmanager
def served_demo() -> Iterator[str]:
    """Serve the image from a registry inside the process, and give its name.

    Raises:
        CannotBoot: as `demo_image` does.
    """
    image = demo_image()
    with Registry() as registry:
        yield registry.push(image, _NAME)


def _renamed(parts: Parts, version: str) -> Parts:
    """Return the parts the version of another kernel."""

    def text(value: str) -> str:
        return value.replace(KERNEL_VERSION, version)

    def entry_of(entry: Any) -> Any:
        if isinstance(entry, Symlink):
            return Symlink(text(entry.target.decode()))
        return text(entry) if isinstance(entry, str) else entry

    # The initrd keeps its name, to which a link leads.
    layers: tuple[dict[str, Any], ...] = (parts.base, parts.kernel, parts.packages, parts.initrd)
    for layer in layers:
        entries = {text(path): entry_of(entry) for path, entry in layer.items()}
        layer.clear()
        layer.update(entries)
    return parts


def _look(top: Path) -> _Found:
    """Find a kernel, its drivers and busybox."""
    busybox = next((body for path in _BUSYBOXES if (body := _alone(top / path[1:]))), None)
    if busybox is None:
        raise CannotBoot(
            f"expected a busybox that needs no library at {' or '.join(_BUSYBOXES)}", remedy=_INSTALL
        )
    for path in (path for pattern in _KERNELS for path in sorted(top.glob(pattern[1:]), reverse=True)):
        try:
            body = path.read_bytes()
            # A kernel of arm64 has its version somewhere in the middle; the name has it as well.
            version = (
                read_kernel(body[:HEAD_BYTES], size=len(body)).version
                or path.name.partition("vmlinuz-")[2]
                or path.parent.name
            )
        except (OSError, ValueError):
            continue
        directory = next(
            (
                top / place[1:] / version
                for place in _MODULES
                if version and (top / place[1:] / version).is_dir()
            ),
            None,
        )
        if version and directory is not None:
            return _Found(body, version, _drivers(directory), busybox)
    raise CannotBoot(
        f"expected a readable kernel at {' or '.join(_KERNELS)}, with its modules", remedy=_INSTALL
    )


def _alone(path: Path) -> bytes | None:
    """Read a program that asks for no interpreter."""
    try:
        body = path.read_bytes()
    except OSError:
        return None
    return (
        body
        if body.startswith(b"\x7fELF") and b"/ld-linux" not in body[:4096] and b"ld-musl" not in body[:4096]
        else None
    )


def _drivers(directory: Path) -> dict[str, bytes]:
    """Read the drivers that are no part of the kernel, and what they need, in the order in which they are loaded."""
    needs = {
        name: line.split()
        for name, _, line in (
            each.partition(":") for each in (directory / "modules.dep").read_text().splitlines()
        )
    }
    paths = {name.rpartition("/")[2].partition(".ko")[0].replace("-", "_"): name for name in needs}
    found: dict[str, bytes] = {}
    for driver in _DRIVERS:
        if driver in paths:
            for path in (*reversed(needs[paths[driver]]), paths[driver]):
                plain = path.partition(".ko")[0] + ".ko"
                found.setdefault(plain, _plain((directory / path).read_bytes()))
    return found


def _plain(body: bytes) -> bytes:
    """Inflate a module that is compressed."""
    kind = detect(body[:16])
    if kind is None:
        return body
    rest: Iterable[bytes] = inflate(kind, body, lambda: b"")
    whole = b"".join(rest)
    if len(whole) > _MOST_BYTES:
        raise CannotBoot("expected a module of the kernel's usual size, found a larger one")
    return whole
