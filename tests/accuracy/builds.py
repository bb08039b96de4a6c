"""Trees of which `elemental build-iso` made an ISO, or did not: three binaries, run for real, and what each did.

The binaries are those of toolkit v2.2.1 (G5) and v1.1.6 (G4), and of elemental-cli v0.3.1 (for G2), called with the loaders in the root
file system. They read no contents, so an ISO may be made that does not boot; `boots` says what comes of it by what boots under QEMU and
User Mode Linux showed of the same trees.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from cosinspect.testing import Directory, Opaque, Symlink
from cosinspect.testing.derivative import KERNEL_VERSION
from cosinspect.testing.derivative import toolkit_files as toolkit
from cosinspect.testing.derivative.parts import Parts

BUILDERS = ("G2", "G4", "G5")
VERSIONED = f"boot/vmlinuz-{KERNEL_VERSION}"
ALL, OLD, NONE = frozenset(BUILDERS), frozenset({"G2", "G4"}), frozenset()


@frozen
class Build:
    """One tree.

    Attributes:
        name: what was done to a good one.
        change: does it.
        made: the generations whose binary made an ISO.
        boots: the generations of which an ISO that was made boots its live system.
    """

    name: str
    change: Callable[[Parts], None]
    made: frozenset[str] = ALL
    boots: frozenset[str] = ALL


def _linked(target, *more):
    def change(parts):
        parts.kernel["boot/vmlinuz"] = Symlink(target)
        parts.kernel.update({name: Symlink(to) for name, to in more})

    return change


def _chain(links):
    names = ["vmlinuz", *(f"hop{number}" for number in range(1, links)), VERSIONED.removeprefix("boot/")]
    return lambda parts: parts.kernel.update(
        {f"boot/{name}": Symlink(names[number + 1]) for number, name in enumerate(names[:-1])}
    )


def _in_modules(parts):
    path = f"usr/lib/modules/{KERNEL_VERSION}/vmlinuz"
    parts.kernel[path] = parts.kernel.pop(VERSIONED)
    parts.kernel["boot/vmlinuz"] = Symlink(f"../{path}")


def _without_kernel(parts):
    parts.remove("boot/vmlinuz", VERSIONED)


def _without_initrd(parts):
    parts.remove("boot/initrd", parts.initrd_path)


def _without_version(parts):
    parts.kernel["boot/vmlinuz"] = parts.kernel.pop(VERSIONED)


def _written(path, entry):
    return lambda parts: parts.write(path, entry)


def _removed(*paths):
    return lambda parts: parts.remove(*paths)


def _other_modules(parts):
    parts.remove(f"usr/lib/modules/{KERNEL_VERSION}")
    parts.top["usr/lib/modules/5.14.21/modules.dep"] = ""


def _dangling_grub(parts):
    parts.packages["usr/share/grub2/x86_64-efi/grub.efi"] = Symlink("grub-2.06.efi")


def _without_config(name):
    return lambda parts: parts.remove(f"{toolkit.config_directory(parts.generation)}/{name}")


SHARED = "usr/share/efi/x86_64"
MODULES = "usr/share/grub2/x86_64-efi"

BUILDS = (
    Build("as it is", lambda _: None),
    Build("/boot/vmlinuz is an absolute link", _linked(f"/{VERSIONED}")),
    Build("the kernel is among the modules", _in_modules),
    Build("/boot/vmlinuz lies behind four links", _chain(4)),
    Build("/boot/vmlinuz-0-old dangles", _written("boot/vmlinuz-0-old", Symlink("gone"))),
    Build("there is no kernel", _without_kernel, NONE),
    Build("there is no initrd", _without_initrd, NONE),
    Build("/boot is opaque", lambda parts: parts.top.update({"boot": Opaque()}), NONE),
    Build("/boot/vmlinuz is a loop", _linked("vmlinuz"), OLD),
    Build("/boot/vmlinuz climbs above the root", _linked(f"../../../../{VERSIONED}"), OLD),
    Build("a directory comes first among the initrds", _written("boot/elemental.initrd-0", Directory()), OLD),
    Build("the kernel has no version in its name", _without_version, OLD),
    # luet-makeiso, the other builder of G2, takes /boot/vmlinuz.
    Build("a file Image is left in /boot", _written("boot/Image-old", "left over\n"), OLD, frozenset({"G2"})),
    Build("a link Image dangles in /boot", _written("boot/Image", Symlink("gone")), OLD),
    Build("/boot/vmlinuz lies behind five links", _chain(5), OLD),
    Build("there are no modules", _removed("usr/lib/modules"), OLD),
    Build("the modules are for another kernel", _other_modules, OLD),
    Build("there is no shim", _removed(f"{SHARED}/shim.efi"), NONE),
    Build("there is no MokManager", _removed(f"{SHARED}/MokManager.efi"), NONE),
    Build("grub.efi dangles", _dangling_grub, NONE),
    Build("there is no grub.efi", _removed(f"{MODULES}/grub.efi"), NONE),
    Build("there is no squash4.mod", _removed(f"{MODULES}/squash4.mod"), OLD),
    Build("there is no xzio.mod", _removed(f"{MODULES}/xzio.mod"), OLD),
    Build("there is no loopback.mod", _removed(f"{MODULES}/loopback.mod"), OLD),
    Build("there is no grub.cfg", _without_config("grub.cfg")),
    Build("there is no bootargs.cfg", _without_config("bootargs.cfg")),
    Build("the kernel is a text file", _written(VERSIONED, "not a kernel\n" * 400), boots=NONE),
    Build("there is no os-release", _removed("etc/os-release", "usr/lib/os-release"), boots=NONE),
    Build("there is no elemental", _removed("usr/bin/elemental"), boots=NONE),
)
