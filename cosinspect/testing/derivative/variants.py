"""Good images of a generation that are laid out otherwise than its usual one: today's Kairos, trusted boot, sealed bootc images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from attrs import frozen

from cosinspect.testing.bootfiles import InitrdEntry, efi_program, executable
from cosinspect.testing.derivative.parts import KERNEL_VERSION, Parts, UnifiedParts, parts_of, program
from cosinspect.testing.derivative.program_breakages import link_programs
from cosinspect.testing.derivative.toolkit_files import GenerationName
from cosinspect.testing.entries import Directory, File, Symlink

__all__ = [
    "VARIANTS",
    "Variant",
    "hadron",
    "multi_call",
    "sealed",
    "standard",
    "trusted_boot",
    "uki_artefact",
]

_MODULES = f"usr/lib/modules/{KERNEL_VERSION}"
_KAIROS = Symlink("/usr/bin/kairos")
_EFI = {"amd64": "x64", "arm64": "aa64", "riscv64": "riscv64"}
# What `auroraboot build-uki` writes into the section .cmdline.
UKI_COMMAND_LINE = (
    "console=ttyS0 console=tty1 net.ifnames=1 rd.immucore.oemlabel=COS_OEM rd.immucore.uki selinux=0 panic=5"
)
COMPOSEFS_DIGEST = "3f" * 64


def _release(parts: Parts, **values: str) -> None:
    """Set keys of /etc/kairos-release, in place of what they were."""
    lines = [
        line
        for line in str(parts.packages["etc/kairos-release"]).splitlines()
        if line.partition("=")[0].removeprefix("KAIROS_") not in values
    ]
    lines += [f'KAIROS_{key}="{value}"' for key, value in values.items()]
    parts.packages["etc/kairos-release"] = "\n".join(lines) + "\n"


def multi_call(parts: Parts) -> None:
    """Lay Kairos out as since August 2026: one program, absolute links to it, and immucore alone in the initrd."""
    runs = parts.packages["usr/bin/kairos-agent"]
    for files in (parts.packages, parts.initrd):
        for name in ("usr/bin/kairos-agent", "usr/bin/immucore", "usr/bin/kcrypt-discovery-challenger"):
            files.pop(name, None)
    parts.packages |= {
        "usr/bin/kairos": runs,
        "usr/bin/kairos-agent": _KAIROS,
        "usr/bin/immucore": _KAIROS,
        "system/discovery/kcrypt-discovery-challenger": _KAIROS,
        "system/installer/kairos-installer": runs,
    }
    parts.initrd |= {"usr/bin/kairos": executable(program(parts.architecture)), "usr/bin/immucore": _KAIROS}


def hadron(parts: Parts) -> None:
    """Lay Kairos out on Hadron: one directory of programs, no NFS client, and a kernel in /boot by its version."""
    multi_call(parts)
    _release(parts, FAMILY="hadron", FLAVOR="hadron", ID="hadron")
    for files in (parts.base, parts.packages):
        for path in [path for path in files if path.startswith("usr/sbin/")]:
            files[path.replace("usr/sbin/", "usr/bin/", 1)] = files.pop(path)
    parts.base |= {"sbin": Symlink("usr/bin"), "usr/sbin": Symlink("bin")}
    for path in [path for path in parts.packages if path.endswith("/mount.nfs")]:
        del parts.packages[path]
    parts.kernel[f"boot/.vmlinuz-{KERNEL_VERSION}.hmac"] = "0" * 128 + "\n"


def standard(parts: Parts) -> None:
    """Make Kairos the standard variant, with its provider."""
    multi_call(parts)
    _release(parts, VARIANT="standard", SOFTWARE_VERSION="v1.34.1+k3s1", SOFTWARE_VERSION_PREFIX="k3s")
    runs = executable(program(parts.architecture))
    parts.packages |= {"system/providers/agent-provider-kairos": runs, "usr/bin/edgevpn": runs}


def trusted_boot(parts: Parts) -> None:
    """Make Kairos the source of a trusted boot image: no initrd, no menu, no module for one."""
    multi_call(parts)
    _release(parts, TRUSTED_BOOT="true")
    gone = ("etc/cos/", "usr/lib/dracut/", "etc/dracut.conf.d/", "usr/lib/grub/", "usr/share/grub2/")
    for path in [path for path in parts.packages if path.startswith(gone)]:
        del parts.packages[path]
    for path in [path for path in parts.base if path.startswith("usr/lib/dracut/")]:
        del parts.base[path]
    parts.boot = {}
    parts.initrd_written = False
    config = f"boot/config-{KERNEL_VERSION}"
    parts.kernel[config] = str(parts.kernel[config]) + "".join(
        f"CONFIG_{name}=y\n" for name in ("EFI_STUB", "BLK_DEV_INITRD", "TMPFS")
    )
    parts.packages |= {
        f"usr/lib/systemd/boot/efi/{name.format(_EFI[parts.architecture])}": efi_program(parts.architecture)
        for name in ("linux{}.efi.stub", "systemd-boot{}.efi")
    }


def uki_artefact(parts: Parts) -> None:
    """Make what `auroraboot build-uki` makes of Kairos: the files of an EFI partition, and no system's root."""
    word = _EFI[parts.architecture].upper()
    kernel = parts.kernel[f"boot/vmlinuz-{KERNEL_VERSION}"]
    runs = executable(program(parts.architecture))
    parts.base = {
        f"EFI/BOOT/BOOT{word}.EFI": efi_program(parts.architecture, loader="systemd-boot 259.1"),
        "EFI/tools": Directory(),
        "loader/loader.conf": "timeout 5\nconsole-mode max\neditor no\nsecure-boot-enroll if-safe\n",
        "loader/entries/norole.conf": "title Kairos\nsort-key norole-0\nuki /EFI/kairos/norole.efi\nprofile 0\n",
        **{f"loader/keys/auto/{name}.auth": b"\x00" * 16 for name in ("PK", "KEK", "db")},
    }
    parts.kernel, parts.packages, parts.boot = {}, {}, {}
    tree: dict[str, InitrdEntry] = {
        **parts.initrd,
        "usr/bin/kairos": runs,
        "usr/bin/kairos-agent": _KAIROS,
        "usr/bin/immucore": _KAIROS,
        "init": Symlink("/usr/bin/immucore"),
        "etc/kairos-release": 'KAIROS_RELEASE="v4.2.0"\nKAIROS_TRUSTED_BOOT="true"\n',
    }
    parts.initrd = tree
    parts.microcode = False
    parts.compression = "zstd"
    parts.initrd_written = False
    parts.unified = {
        "EFI/kairos/norole.efi": UnifiedParts(
            kernel if isinstance(kernel, bytes) else b"", UKI_COMMAND_LINE, architecture=parts.architecture
        )
    }


def sealed(parts: Parts) -> None:
    """Seal a bootc image: a unified kernel image with the digest, systemd-boot, and neither bootupd nor a kernel beside the modules."""
    word = _EFI[parts.architecture]
    kernel = parts.kernel.pop(f"{_MODULES}/vmlinuz")
    for path in [path for path in parts.packages if "bootup" in path]:
        del parts.packages[path]
    program_of = efi_program(parts.architecture, loader="systemd-boot 258.1")
    parts.packages |= {
        "usr/bin/bootctl": File(program(parts.architecture), mode=0o755),
        f"boot/EFI/BOOT/BOOT{word.upper()}.EFI": program_of,
        f"boot/EFI/systemd/systemd-boot{word}.efi": program_of,
        "etc/hosts": "127.0.0.1 localhost\n",
    }
    parts.initrd_written = False
    parts.unified = {
        f"boot/EFI/Linux/{KERNEL_VERSION}.efi": UnifiedParts(
            kernel if isinstance(kernel, bytes) else b"",
            f"root=UUID=0 rw composefs={COMPOSEFS_DIGEST}",
            architecture=parts.architecture,
        )
    }


@frozen
class Variant:
    """One other layout.

    Attributes:
        summary: what it is.
        generation: of the image that it is made of.
        recognised: what the image is then recognised as.
        apply: lays the parts out.
    """

    summary: str
    generation: GenerationName
    recognised: str
    apply: Callable[[Parts], None]

    def parts(self, architecture: Literal["amd64", "arm64"] = "amd64") -> Parts:
        """Lay out a good image."""
        found = parts_of(self.generation, architecture)
        self.apply(found)
        return found


VARIANTS: Mapping[str, Variant] = {
    "linked-programs": Variant(
        "programs that are linked to libraries, in root and initrd", "G2", "G2", link_programs
    ),
    "kairos-multi-call": Variant(
        "Kairos with one program, since August 2026", "kairos", "kairos", multi_call
    ),
    "kairos-hadron": Variant("Kairos on Hadron", "kairos", "kairos", hadron),
    "kairos-standard": Variant("Kairos with a provider of Kubernetes", "kairos", "kairos", standard),
    "kairos-trusted": Variant("the source of a trusted boot image", "kairos", "kairos-trusted", trusted_boot),
    "uki-artefact": Variant("what build-uki makes of it", "kairos", "uki", uki_artefact),
    "bootc-sealed": Variant("a sealed bootc image", "bootc", "bootc", sealed),
}
"""Good images of other layouts."""
