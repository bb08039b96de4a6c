"""What files of an image say, each read and parsed at most once and only when a check asks.

A fact holds its own failure: a file that is missing or malformed is a value here, and a check's business to judge.
Only what keeps anything from being decided (a source that fails, bytes that changed) leaves as an exception.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property

from attrs import field, frozen

from cosinspect.errors import FormatError, LimitExceeded
from cosinspect.formats.bootargs import DEFAULT_INITRAMFS, DEFAULT_KERNEL, BootArgs, read_boot_args
from cosinspect.formats.cloud_config import CloudConfig, read_cloud_config
from cosinspect.formats.initrd import Initrd, read_initrd
from cosinspect.formats.kernel import HEAD_BYTES, Kernel, describe, read_kernel
from cosinspect.formats.os_release import EnvFile, read_env_file
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci import ImageConfig
from cosinspect.packages import PackageDatabase, find_databases
from cosinspect.parsed import Parsed
from cosinspect.rootfs import Entry, Rootfs, Trace

__all__ = ["CloudConfigFile", "Facts", "InitrdFile", "KernelFile", "TextFile"]

BOOTARGS_PATHS = ("/etc/cos/bootargs.cfg", "/etc/elemental/bootargs.cfg")
CLOUD_CONFIG_DIRECTORIES = ("/system/oem", "/oem", "/usr/local/cloud-config")
MODULE_DIRECTORIES = ("/usr/lib/modules", "/lib/modules")
OS_RELEASE_PATHS = ("/etc/os-release", "/usr/lib/os-release")
UNIT_DIRECTORIES = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")

# Bodies that checks read out of an initrd: the toolkit's scripts and units, dracut's libraries, what is built in.
_WANTED = re.compile(
    r"(?:usr/)?s?bin/(?:cos|elemental)-[^/]*|(?:usr/|var/)?lib/dracut/hooks/.*|.*/system-generators/[^/]*(?:cos|elemental)[^/]*"
    r"|(?:usr/)?lib/dracut[^/]*lib\.sh|.*/(?:cos|elemental)-[^/]*\.service|.*/modules\.builtin"
)
_VERSIONED = re.compile(r"(?:vmlinuz|vmlinux|zImage|uImage|Image|bzImage)-(.+)")


@frozen
class TextFile:
    """A file of the image as text.

    Attributes:
        trace: how its path resolves.
        text: its content, None if it is not there, no regular file, or too large.
    """

    trace: Trace
    text: str | None = field(repr=False)


@frozen
class KernelFile:
    """A kernel that the boot loader is told to load.

    Attributes:
        path: as bootargs.cfg names it.
        trace: how it resolves.
        kernel: what its header says, None if it is not there or none.
        fault: why it is no kernel, None if it is one or not there.
        description: what libmagic says it is, for people.
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
    """An initrd that the boot loader is told to load.

    Attributes:
        path: as bootargs.cfg names it.
        trace: how it resolves.
        initrd: what it unpacks to, None if it is not there or holds nothing.
        fault: why nothing can be unpacked, None if something can or it is not there.
    """

    path: str
    trace: Trace
    initrd: Initrd | None
    fault: FormatError | None


@frozen
class CloudConfigFile:
    """A cloud-config of the image.

    Attributes:
        path: in the image.
        config: what it says, None if it cannot be parsed.
        fault: why not.
    """

    path: str
    config: CloudConfig | None
    fault: FormatError | None

    @property
    def refusal(self) -> str:
        """Why yip passes over the whole file, "" if it does not: no YAML, or a value of a type that it cannot take."""
        if self.fault is not None:
            return str(self.fault)
        problems = self.config.problems if self.config is not None else ()
        return next((str(problem) for problem in problems if problem.kind == "type"), "")


class Facts:
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
        self._contents: dict[str, str | None] = {}
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
    def bootargs_path(self) -> str:
        """The bootargs.cfg that is there, else where it should be."""
        return next((path for path in BOOTARGS_PATHS if self._rootfs.exists(path)), BOOTARGS_PATHS[0])

    @cached_property
    def bootargs(self) -> BootArgs | None:
        """What bootargs.cfg sets, None if it is not there."""
        text = self.text(self.bootargs_path).text
        return None if text is None else read_boot_args(text)

    @cached_property
    def kernels(self) -> tuple[KernelFile, ...]:
        """The kernels bootargs.cfg names, or the default one where it names none."""
        named = self.bootargs.kernel_paths if self.bootargs is not None else ()
        return tuple(self._kernel(path) for path in _literal(named, DEFAULT_KERNEL))

    @cached_property
    def initrds(self) -> tuple[InitrdFile, ...]:
        """The initrds bootargs.cfg names, or the default one where it names none."""
        named = self.bootargs.initramfs_paths if self.bootargs is not None else ()
        return tuple(self._initrd(path) for path in _literal(named, DEFAULT_INITRAMFS))

    @cached_property
    def unknown_paths(self) -> Mapping[str, str]:
        """What bootargs.cfg sets `kernel` and `initramfs` to where that depends on other variables."""
        if self.bootargs is None:
            return {}
        named = {"kernel": self.bootargs.kernel_paths, "initramfs": self.bootargs.initramfs_paths}
        return {name: path for name, paths in named.items() for path in paths if "$" in path}

    @cached_property
    def initrd(self) -> Initrd | None:
        """The first initrd that could be unpacked."""
        return next((item.initrd for item in self.initrds if item.initrd is not None), None)

    def _kernel(self, path: str) -> KernelFile:
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

    def _initrd(self, path: str) -> InitrdFile:
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
            return read_initrd(
                stream,
                size=entry.size,
                wanted=lambda name: _WANTED.fullmatch(name) is not None,
                limits=self._limits,
            )

    def kernel_option(self, version: str, option: str) -> str | None:
        """Give `y`, `m` or `n` for an option of the kernel's configuration, None where the image has none of it."""
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
        """Give the names of the modules built into a kernel, None where the image does not tell."""
        for directory in MODULE_DIRECTORIES:
            text = self.text(f"{directory}/{version}/modules.builtin").text
            if text is not None:
                return frozenset(line.rpartition("/")[2].partition(".ko")[0] for line in text.split())
        return None

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
    def cloud_configs(self) -> tuple[CloudConfigFile, ...]:
        """The cloud-configs of the image in the order in which they are read."""
        found: list[CloudConfigFile | None] = []
        for directory in CLOUD_CONFIG_DIRECTORIES:
            top = self._rootfs.trace(directory).entry
            if top is None or top.type != "dir":
                continue
            files = (entry for entry in self._rootfs.walk(top.path) if entry.name.endswith((".yaml", ".yml")))
            found.extend(self._cloud_config(entry) for entry in files)
        return tuple(item for item in found if item is not None)

    def _cloud_config(self, entry: Entry) -> CloudConfigFile | None:
        text = self.text(entry.path).text
        if text is None:
            return None
        try:
            return CloudConfigFile(entry.path, read_cloud_config(entry.path, text), None)
        except FormatError as fault:
            return CloudConfigFile(entry.path, None, fault)

    @cached_property
    def layout(self) -> Mapping[str, str]:
        """The layout variables that cloud-configs set in the stage rootfs, later files over earlier ones."""
        found: dict[str, str] = {}
        for item in self.cloud_configs:
            if item.config is not None and not item.refusal:
                found.update(item.config.layout)
        return found

    @cached_property
    def databases(self) -> tuple[PackageDatabase, ...]:
        """Every luet database of the image."""
        return find_databases(self._rootfs, self._config, limits=self._limits, parsed=self._parsed)

    # -- generation ------------------------------------------------------------------------------------------------

    @cached_property
    def generation(self) -> str:
        """The toolkit's generation, `G0` to `G5`, `kairos` or `bootc`, and "" where none is evident.

        The code that runs decides: the dracut module in the image, else the initrd's copy of it. What else is there
        (units, binaries, bootargs) decides only where that is gone, so that a mixture is seen as one.
        """
        exists = self._rootfs.exists
        if (
            self._config.labels.get("containers.bootc") == "1"
            or self._rootfs.trace("/ostree", follow=False).entry
        ):
            return "bootc"
        if exists("/etc/kairos-release") or exists("/usr/lib/dracut/modules.d/28immucore"):
            return "kairos"
        modules = "/usr/lib/dracut/modules.d"
        if exists(f"{modules}/30elemental-rootfs") or exists("/etc/elemental/bootargs.cfg"):
            return "G5"
        if exists(f"{modules}/30elemental-immutable-rootfs"):
            return "G4"
        if exists(f"{modules}/30cos-immutable-rootfs/parse-cos-overlay.sh"):
            return "G0"
        return self._luet_generation()

    def _luet_generation(self) -> str:
        """Tell G1, G2 and G3 from each other, "" if it is none of them."""
        exists = self._rootfs.exists
        module = "/usr/lib/dracut/modules.d/30cos-immutable-rootfs"
        units = [
            text.text or ""
            for directory in UNIT_DIRECTORIES
            if (text := self.text(f"{directory}/cos-setup-boot.service")).text
        ]
        evident = (
            exists(module)
            or bool(units)
            or exists("/etc/cos/bootargs.cfg")
            or exists("/etc/cos/grub.cfg")
            or exists("/etc/dracut.conf.d/02-cos-immutable-rootfs.conf")
        )
        initrd = self.initrd if evident or self._rootfs.exists("/boot/initrd") else None
        in_initrd = initrd is not None and (
            initrd.exists("sbin/cos-mount-layout") or initrd.exists("sbin/cos-loop-img")
        )
        if not evident and not in_initrd:
            return ""
        if exists(f"{module}/cos-fsck.sh"):
            return "G3"
        if not exists(f"{module}/cos-loop-img.sh") and initrd is not None and initrd.exists("sbin/cos-fsck"):
            return "G3"
        if any("elemental" in text for text in units):
            return "G2"
        # Units tell what runs; that a program is there as well tells only where they are gone.
        runs_script = any("cos-setup " in text for text in units) or (
            exists("/usr/bin/cos-setup") and not exists("/usr/bin/elemental")
        )
        return "G1" if runs_script else "G2"


def _literal(paths: tuple[str, ...], default: str) -> tuple[str, ...]:
    """Leave out paths that depend on variables nobody knows before the boot; the default stands for none at all."""
    named = [path for path in paths if path]
    return tuple(path for path in named if "$" not in path) if named else (default,)


def _version_of(trace: Trace, entry: Entry) -> str | None:
    """Tell a kernel's version by its name: `vmlinuz-<version>`, or `<version>/vmlinuz` among the modules."""
    names = [entry.name, *(hop.target.rpartition("/")[2] for hop in reversed(trace.hops))]
    for name in names:
        found = _VERSIONED.fullmatch(name)
        if found:
            return found[1]
    parts = entry.path.split("/")
    return parts[-2] if len(parts) > 3 and parts[-3] == "modules" else None
