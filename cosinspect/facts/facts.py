"""What files of an image say, each read and parsed at most once and only when a check asks.

A fact holds its own failure: a file that is missing or malformed is a value here, and a check's business to judge.
Only what keeps anything from being decided (a source that fails, bytes that changed) leaves as an exception.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from importlib import import_module
from typing import TYPE_CHECKING

from attrs import frozen

from cosinspect.cache.parsed import Parsed
from cosinspect.errors import FormatError, LimitExceeded
from cosinspect.facts.cloud_configs import CloudConfigs, read_all
from cosinspect.facts.elemental3 import find_boot_files
from cosinspect.facts.executables import InitrdTree, RootTree
from cosinspect.facts.execution import Execution
from cosinspect.facts.ext2 import data_blocks
from cosinspect.facts.file_trees import RootFiles
from cosinspect.facts.generation import Recognised, recognise
from cosinspect.facts.grub import BootLine, GrubFacts, TextFile
from cosinspect.facts.luet_databases import LuetDatabaseFile, find_databases
from cosinspect.facts.unified import UnifiedKernelFile, read_unified_file
from cosinspect.facts.unit_tree import UnitTree
from cosinspect.formats.boot.bootargs import DEFAULT_INITRAMFS, DEFAULT_KERNEL
from cosinspect.formats.boot.dracut import DracutSettings, merge, read_dracut_conf
from cosinspect.formats.boot.go_program import read_go_modules
from cosinspect.formats.boot.initrd import Initrd, read_initrd
from cosinspect.formats.boot.initrd_segments import Stream
from cosinspect.formats.boot.kernel import HEAD_BYTES, Kernel, describe, read_kernel
from cosinspect.formats.text.os_release import EnvFile, read_env_file
from cosinspect.formats.yip.schema import yip
from cosinspect.globs import component_expression
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.documents import ImageConfig
from cosinspect.profiles import generation_tables
from cosinspect.profiles.fingerprints import fingerprints
from cosinspect.rootfs.rootfs import Entry, Rootfs, Trace
from cosinspect.rootfs.usage import Usage, measure

if TYPE_CHECKING:
    from cosinspect.facts.packages import PackageDatabase
    from cosinspect.formats.packages.package import PackageType

__all__ = [
    "BootLine",
    "Facts",
    "InitrdFile",
    "KernelFile",
    "TextFile",
    "unpack_initrd",
]

MODULE_DIRECTORIES = ("/usr/lib/modules", "/lib/modules")
UNIFIED_KERNELS = (
    "/boot/EFI/Linux/*.efi",
    "/boot/efi/EFI/Linux/*.efi",
    "/efi/EFI/Linux/*.efi",
    "/usr/lib/modules/*/*.efi",
)
BOOTC_UNIFIED_KERNELS = "/boot/EFI/Linux/*.efi"
KAIROS_RELEASE_PATHS = ("/etc/kairos-release", "/etc/os-release")
OS_RELEASE_PATHS = ("/etc/os-release", "/usr/lib/os-release")

YIP_MODULES = {"github.com/mudler/yip": "", "github.com/rancher/yip": "rancher-"}
"""Modules that are yip, with what goes before their versions in `cosinspect.formats.yip.schema.yip`."""

# Bodies that checks read out of an initrd: the toolkit's scripts and units, dracut's libraries, what is built in.
_WANTED = re.compile(
    r"(?:usr/)?s?bin/(?:cos|elemental)-[^/]*|(?:usr/|var/)?lib/dracut/hooks/.*|.*/system-generators/[^/]*(?:cos|elemental|immucore)[^/]*"
    r"|(?:usr/)?lib/dracut[^/]*lib\.sh|.*/modules\.(?:builtin|dep|dep\.bin|softdep)"
    r"|(?:etc|(?:usr/)?lib)/systemd/system/(?:[^/]+\.d/)?[^/]+\.(?:target|service|mount|socket|conf)"
    r"|etc/ld\.so\.cache|etc/ld-musl-[^/]*\.path"
)
# `fsLabel` and `pLabel` of yip's layout, `label` of partitions in elemental's settings.
_LABELS = re.compile(r"""(?i)\b(?:fs_?|p)?label['"]?:\s*['"]?([^\s'",}#]+)""")
_VERSIONED = re.compile(r"(?:vmlinuz|vmlinux|zImage|uImage|Image|bzImage)-(.+)")


@frozen
class KernelFile:
    """A kernel that the boot loader loads.

    Attributes:
        path: as bootargs.cfg names it.
        trace: how it resolves.
        kernel: the content of its header, None if it is missing or not a kernel.
        fault: why it is not a kernel, None if it is one or missing.
        description: libmagic's description, for messages.
        version: of the header, else of its name, else None.
    """

    path: str
    trace: Trace
    kernel: Kernel | None
    fault: FormatError | None
    description: str
    version: str | None


@frozen
class InitrdFile:
    """An initrd that the boot loader loads.

    Attributes:
        path: as bootargs.cfg names it.
        trace: how it resolves.
        initrd: its unpacked content, None if it is missing or empty.
        fault: why nothing can be unpacked, None if something can or it is missing.
    """

    path: str
    trace: Trace
    initrd: Initrd | None
    fault: FormatError | None


class Facts(GrubFacts):
    """What an image's files say."""

    def __init__(
        self,
        rootfs: Rootfs,
        config: ImageConfig,
        *,
        limits: Limits = DEFAULT_LIMITS,
        parsed: Parsed | None = None,
    ) -> None:
        """Look into `rootfs` when asked; what `parsed` has of the same place in a layer is not read again."""
        self._rootfs = rootfs
        self._config = config
        self._limits = limits
        self._texts: dict[str, TextFile] = {}
        self._cloud_configs: dict[tuple[str, tuple[str, ...]], CloudConfigs] = {}
        self._contents: dict[str, str | None] = {}
        self._executions: dict[int, Execution] = {}
        self._usages: dict[int, Usage] = {}
        self._packages: dict[tuple[PackageType, bool], tuple[PackageDatabase, ...]] = {}
        self._parsed = parsed if parsed is not None else Parsed(limits=limits)

    def text(self, path: str) -> TextFile:
        """Read a file as text, links followed."""
        found = self._texts.get(path)
        if found is None:
            trace = self._rootfs.trace(path)
            found = self._texts[path] = TextFile(trace, self._content(trace.entry))
        return found

    def _content(self, entry: Entry | None) -> str | None:
        if entry is None or entry.type != "file":
            return None
        if entry.path not in self._contents:  # which several links may lead to
            try:
                self._contents[entry.path] = self._rootfs.read_text(entry.path)
            except LimitExceeded:
                self._contents[entry.path] = None
        return self._contents[entry.path]

    # -- boot ------------------------------------------------------------------------------------------------------

    @cached_property
    def kernels(self) -> tuple[KernelFile, ...]:
        """The kernels that GRUB loads, or the default one if none is named."""
        return tuple(self.kernel_at(path) for path in self._boot_paths("kernel", DEFAULT_KERNEL))

    @cached_property
    def initrds(self) -> tuple[InitrdFile, ...]:
        """The initrds that GRUB loads, or the default one if none is named."""
        return tuple(self.initrd_at(path) for path in self._boot_paths("initramfs", DEFAULT_INITRAMFS))

    @cached_property
    def booted_initrds(self) -> tuple[InitrdFile, ...]:
        """The initrds that machines boot with: beside the kernels, in unified kernel images, else those of bootargs.cfg."""
        table = generation_tables().get(self.generation)
        if table is None or table.initrds == "bootargs":
            return self.initrds
        if table.initrds == "unified" and table.unified is not None:
            entries = [entry for pattern in table.unified.files for entry in self._rootfs.glob(pattern)]
            return tuple(self._unified_initrd(entry.path) for entry in entries)
        if table.initrds == "elemental3":
            found = find_boot_files(self._rootfs)
            return (self.initrd_at(found.initrd),) if found.kernel else ()
        unified = self._rootfs.glob(BOOTC_UNIFIED_KERNELS)
        if unified:  # bootc uses the first by name, also if there is a kernel beside the modules
            return (self._unified_initrd(unified[0].path),)
        kernels = self._rootfs.glob("/usr/lib/modules/*/vmlinuz")
        return tuple(self.initrd_at(f"{kernel.path.rpartition('/')[0]}/initramfs.img") for kernel in kernels)

    def _unified_initrd(self, path: str) -> InitrdFile:
        """Return the initrd in a unified kernel image; errors of unpacking are ignored here."""
        file = self.unified_at(path)
        initrd = file.unified.initrd if file.unified is not None else None
        return InitrdFile(file.path, file.trace, initrd, None)

    @cached_property
    def unified_kernels(self) -> tuple[str, ...]:
        """The paths of unified kernel images, which carry kernel and initrd in one file and are not opened here."""
        return tuple(
            entry.path
            for pattern in UNIFIED_KERNELS
            for entry in self._rootfs.glob(pattern)
            if entry.type == "file"
        )

    @cached_property
    def initrd(self) -> Initrd | None:
        """The first initrd that could be unpacked."""
        return next((item.initrd for item in self.initrds if item.initrd is not None), None)

    def kernel_at(self, path: str) -> KernelFile:
        """Read the header of a kernel, links followed."""
        trace = self._rootfs.trace(path)
        entry = trace.entry
        if entry is None or entry.type != "file":
            return KernelFile(path, trace, None, None, entry.type if entry else "", None)
        origin = self._rootfs.origin(entry)
        try:
            kernel = self._parsed.get(
                "kernel", origin, lambda: read_kernel(self._head(entry), size=entry.size), type=Kernel
            )
        except FormatError as fault:
            description = self._parsed.get("magic", origin, lambda: describe(self._head(entry)), type=str)
            return KernelFile(path, trace, None, fault, description, None)
        return KernelFile(path, trace, kernel, None, "", kernel.version or _version_of(trace, entry))

    def _head(self, entry: Entry) -> bytes:
        with self._rootfs.open(entry.path) as stream:
            head = b""
            while len(head) < HEAD_BYTES and (more := stream.read(HEAD_BYTES - len(head))):
                head += more
        return head

    def unified_at(self, path: str) -> UnifiedKernelFile:
        """Read the sections of a unified kernel image, links followed."""
        return read_unified_file(
            self._rootfs, path, self._parsed, lambda stream, size: unpack_initrd(stream, size, self._limits)
        )

    def initrd_at(self, path: str) -> InitrdFile:
        """Unpack an initrd, links followed; it is not kept."""
        trace = self._rootfs.trace(path)
        entry = trace.entry
        if entry is None or entry.type != "file":
            return InitrdFile(path, trace, None, None)
        origin = self._rootfs.origin(entry)
        try:
            initrd = self._parsed.get("initrd", origin, lambda: self._unpack(entry), type=Initrd)
        except FormatError as fault:
            return InitrdFile(path, trace, None, fault)
        return InitrdFile(path, trace, initrd, None)

    def _unpack(self, entry: Entry) -> Initrd:
        with self._rootfs.open(entry.path) as stream:
            return unpack_initrd(stream, entry.size, self._limits)

    def version_beside(self, path: str) -> str | None:
        """Return the version of the kernel that an initrd of bootc is for: of its directory, or of the unified kernel image that holds it."""
        if path.endswith(".efi"):
            unified = self.unified_at(path).unified
            kernel = unified.kernel if unified is not None else None
            named = unified.texts.get(".uname", "").strip() if unified is not None else ""
            return (kernel.version if kernel is not None else None) or named or None
        return path.split("/")[-2]

    def kernel_option(self, version: str, option: str) -> str | None:
        """Return `y`, `m` or `n` for an option of the kernel's configuration, None if the image has none of it."""
        for path in (
            f"/boot/config-{version}",
            f"/usr/lib/modules/{version}/config",
            f"/lib/modules/{version}/config",
        ):
            text = self.text(path).text
            if text is None:
                continue
            found = re.search(rf"^{re.escape(option)}=(\S+)$", text, re.MULTILINE)
            return found[1] if found else "n"
        return None

    def builtin_modules(self, version: str) -> frozenset[str] | None:
        """Return the names of the modules built into a kernel, None if unknown."""
        for directory in MODULE_DIRECTORIES:
            text = self.text(f"{directory}/{version}/modules.builtin").text
            if text is not None:
                return frozenset(line.rpartition("/")[2].partition(".ko")[0] for line in text.split())
        return None

    @cached_property
    def dracut(self) -> DracutSettings:
        """What dracut's configuration files set together."""
        paths = [
            entry.path
            for pattern in (
                "/etc/dracut.conf",
                "/etc/dracut.conf.d/*.conf",
                "/usr/lib/dracut/dracut.conf.d/*.conf",
            )
            for entry in self._rootfs.glob(pattern)
        ]
        texts = {path: self.text(path).text for path in paths}
        return merge({path: read_dracut_conf(text) for path, text in texts.items() if text is not None})

    # -- programs --------------------------------------------------------------------------------------------------

    @property
    def architecture(self) -> str | None:
        """What the image is for, as its configuration names it; None if that does not say."""
        platform = self._config.platform
        return platform.architecture if platform is not None else None

    @cached_property
    def execution(self) -> Execution:
        """What of the image's root can be executed."""
        return Execution(RootTree(self._rootfs), self.architecture, self._option_of_kernels)

    def execution_in(self, initrd: Initrd) -> Execution:
        """What of an initrd can be executed."""
        found = self._executions.get(id(initrd))
        if found is None:
            found = Execution(InitrdTree(initrd), self.architecture, self._option_of_kernels)
            self._executions[id(initrd)] = found
        return found

    def _option_of_kernels(self, option: str) -> str | None:
        versions = (item.version for item in self.kernels if item.version is not None)
        return next((value for version in versions if (value := self.kernel_option(version, option))), None)

    # -- system ----------------------------------------------------------------------------------------------------

    @cached_property
    def os_release(self) -> tuple[str, EnvFile] | None:
        """The os-release that is used and its path, None if there is none."""
        for path in OS_RELEASE_PATHS:
            text = self.text(path).text
            if text is not None:
                return path, read_env_file(text)
        return None

    @cached_property
    def units(self) -> UnitTree:
        """The units of systemd in the root."""
        return UnitTree(RootFiles(self._rootfs, lambda path: self.text(path).text), limits=self._limits)

    @cached_property
    def own_labels(self) -> frozenset[str]:
        """The labels of file systems that cloud-configs and settings of the image have the installation make."""
        texts: list[str] = []
        for pattern in ("/system/oem/*.y*ml", "/etc/elemental/config.yaml", "/etc/elemental/config.d/*.yaml"):
            texts.extend(entry.path for entry in self._rootfs.glob(pattern))
        found: set[str] = set()
        for path in texts:
            found.update(_LABELS.findall(self.text(path).text or ""))
        return frozenset(found)

    @cached_property
    def kairos_release(self) -> tuple[str, Mapping[str, str]] | None:
        """The file that describes a Kairos image and its KAIROS_ keys; older images have them in os-release."""
        for path in KAIROS_RELEASE_PATHS:
            text = self.text(path).text
            values = read_env_file(text).values if text is not None else {}
            own = {name: value for name, value in values.items() if name.startswith("KAIROS_")}
            if own:
                return path, own
        return None

    def cloud_configs(self, version: str, programs: tuple[str, ...]) -> CloudConfigs:
        """Read the cloud-configs as a version of yip does.

        Args:
            version: of yip, if no program of the image names one.
            programs: programs that contain yip. They are large, so they are read only if versions may differ.
        """
        found = self._cloud_configs.get((version, programs))
        if found is None:
            found = read_all(self._rootfs, yip(version), self._limits)
            told = self.yip_of(programs) if found.depends_on_version else None
            if told is not None and told[1] != version:
                found = read_all(self._rootfs, yip(told[1]), self._limits, told_by=told[0])
            self._cloud_configs[version, programs] = found
        return found

    def cloud_configs_of(self, other: Facts, version: str, programs: tuple[str, ...]) -> CloudConfigs:
        """Read the cloud-configs as the yip of another image does.

        Args:
            other: the facts of that image, which has the programs.
            version: of yip, if no program names one.
            programs: programs that contain yip, read only if versions may differ.
        """
        found = read_all(self._rootfs, yip(version), self._limits)
        named = other.yip_of(programs) if found.depends_on_version else None
        return read_all(self._rootfs, yip(named[1]), self._limits, told_by=named[0]) if named else found

    def yip_of(self, programs: tuple[str, ...]) -> tuple[str, str] | None:
        """Return the first program that names its yip, and the version; None if none does."""
        for path in programs:
            entry = self._rootfs.trace(path).entry
            if entry is None or entry.type != "file" or entry.size > self._limits.program_bytes:
                continue
            with self._rootfs.open(entry.path) as stream:
                modules = read_go_modules(iter(lambda: stream.read(1 << 20), b""))
            for module, prefix in YIP_MODULES.items():
                version = modules.get(module, "")
                if re.match(r"v[0-9]{1,6}\.[0-9]{1,6}\.", version):
                    return path, prefix + version.removeprefix("v")
        return None

    def usage(self, block: int) -> Usage:
        """Return what the image takes in an ext2 file system with blocks of `block` bytes."""
        found = self._usages.get(block)
        if found is None:
            found = self._usages[block] = measure(self._rootfs, block, data_blocks)
        return found

    @cached_property
    def databases(self) -> tuple[LuetDatabaseFile, ...]:
        """Every luet database of the image."""
        return find_databases(self._rootfs, self._config, limits=self._limits, parsed=self._parsed)

    def packages(self, kind: PackageType, *, layers: bool = False) -> tuple[PackageDatabase, ...]:
        """Return the databases of a kind of packages; with `layers`, their packages name the layers that brought them."""
        found = self._packages.get((kind, layers))
        if found is None:
            # Imported at its first use: only rules of policies ask.
            find: Callable[..., tuple[PackageDatabase, ...]] = import_module(
                "cosinspect.facts.packages"
            ).find_packages
            found = self._packages[kind, layers] = find(
                self._rootfs, self._config, (kind,), limits=self._limits, parsed=self._parsed, layers=layers
            )
        return found

    # -- generation ------------------------------------------------------------------------------------------------

    @cached_property
    def recognised(self) -> Recognised:
        """The toolkit's generation and what shows it."""
        return recognise(
            self._rootfs,
            self._config,
            lambda path: self.text(path).text,
            lambda: self._initrd_of_any_generation,
            fingerprints(),
        )

    @cached_property
    def _initrd_of_any_generation(self) -> Initrd | None:
        """The first initrd that bootargs.cfg names with any menu, because the generation decides how the menu is read."""
        named = self._boot_files(self._boot_states(None), "initramfs")
        paths = [each.path for each in named if each.path] or [DEFAULT_INITRAMFS]
        return next((item.initrd for item in map(self.initrd_at, paths) if item.initrd is not None), None)

    @property
    def generation(self) -> str:
        """The toolkit's generation or another kind of image, as `Recognised.name`."""
        return self.recognised.name


def unpack_initrd(stream: Stream, size: int, limits: Limits) -> Initrd:
    """Unpack an initrd, and keep of it what checks read.

    Raises:
        FormatError: nothing in it can be unpacked.
    """
    scripts, services = _own_files()
    return read_initrd(
        stream,
        size=size,
        wanted=lambda name: name in scripts or bool(_WANTED.fullmatch(name) or services.fullmatch(name)),
        limits=limits,
    )


@cache
def _own_files() -> tuple[frozenset[str], re.Pattern[str]]:
    """Return the scripts that any generation has in an initrd, and a pattern of its services there."""
    tables = generation_tables().values()
    named = [name for table in tables for group in table.initrd_scripts for name in group]
    scripts = frozenset((*named, *(f"usr/{name}" for name in named)))  # also through a link into /usr
    names = dict.fromkeys(name for table in tables for name in table.own_services)
    return scripts, re.compile("|".join(f"(?s:.*)/{component_expression(name)}" for name in names) or "(?!)")


def _version_of(trace: Trace, entry: Entry) -> str | None:
    """Return a kernel's version by its name: `vmlinuz-<version>`, or `<version>/vmlinuz` among the modules."""
    names = [entry.name, *(hop.target.rpartition("/")[2] for hop in reversed(trace.hops))]
    for name in names:
        found = _VERSIONED.fullmatch(name)
        if found:
            return found[1]
    parts = entry.path.split("/")
    return parts[-2] if len(parts) > 3 and parts[-3] == "modules" else None
