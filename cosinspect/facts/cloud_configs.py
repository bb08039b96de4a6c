"""The image's cloud-configs as the yip of its generation reads them: which count on an installed machine, and why not.

The directories are read in order, and the files below each of them in the order of their paths. Links are not
followed if yip does not follow them (Go's `filepath.Walk`): a directory that is a link has no files, and a
file that is a link is read where it leads.

On an installed machine only the image's own directory counts: in the stage rootfs the initrd sees nothing
else of the image, and from initramfs on partitions are mounted over the others. A live system sees all of
them, but in rootfs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import frozen

from cosinspect.errors import LimitExceeded, RootfsError
from cosinspect.formats.boot.initrd import Initrd
from cosinspect.formats.text.cloud_config import CloudConfig, read_cloud_config
from cosinspect.formats.text.problem import Problem
from cosinspect.formats.yip.conditions import World
from cosinspect.formats.yip.go_yaml import Budget
from cosinspect.formats.yip.schema import Yip
from cosinspect.limits import Limits
from cosinspect.rootfs.rootfs import Entry, Rootfs

__all__ = [
    "CLOUD_CONFIG_DIRECTORIES",
    "OWN_DIRECTORY",
    "CloudConfigFile",
    "CloudConfigs",
    "boot_world",
    "read_all",
]

OWN_DIRECTORY = "/system/oem"
CLOUD_CONFIG_DIRECTORIES = (OWN_DIRECTORY, "/oem", "/usr/local/cloud-config")

_FILE_COST = 1024

# The files that mark special boot modes (below /run/cos and /run/elemental).
_OTHER_MODES = frozenset(
    ("recovery_mode", "live_mode", "passive_mode", "autoreset_mode", "uki_boot_mode", "uki_install_mode")
)
# Words on other command lines than that of an ordinary boot, as in the toolkits' own conditions.
_OTHER_WORDS = frozenset(
    [
        *(
            "COS_RECOVERY",
            "COS_SYSTEM",
            "CDLABEL",
            "COS_LIVE",
            "rd.cos.disable",
            "elemental.disable",
            "upgrade_failure",
        ),
        *("recovery.img", "recovery.squashfs", "rd.immucore.uki", "install-mode", "install-mode-interactive"),
        *("interactive-install", "nodepair.enable", "kairos.reset", "kairos.remote_recovery_mode"),
        *("kairos.boot_live_mode", "kairos.pull_datasources"),
    ]
)
# Labels of file systems that only the recovery and the live system have in sight.
_OTHER_LABELS = frozenset(("COS_SYSTEM", "COS_LIVE"))
# Directories that the machine mounts, creates or keeps: the image does not show their content.
_MACHINE = (
    *("/run", "/proc", "/sys", "/dev", "/oem", "/usr/local", "/sysroot", "/mnt", "/boot", "/host"),
    "/tmp",  # noqa: S108 - a path of the image
)
_READ_ONLY = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/system")


@frozen
class CloudConfigFile:
    """A cloud-config of the image.

    Attributes:
        path: in the image.
        directory: one of `CLOUD_CONFIG_DIRECTORIES`.
        config: its content; without stages if yip refuses it.
        layer: of the file, None if unknown.
    """

    path: str
    directory: str
    config: CloudConfig
    layer: int | None

    @property
    def refusal(self) -> str:
        """Why yip refuses the whole file, "" if it does not."""
        return self.config.refusal


@frozen
class CloudConfigs:
    """Every cloud-config of an image, as one version of yip reads them.

    Attributes:
        yip: the version.
        told_by: the program of the image that names it, "" if the generation's table does.
        files: in the order in which they are read.
    """

    yip: Yip
    told_by: str
    files: tuple[CloudConfigFile, ...]

    @property
    def stopping(self) -> Mapping[str, CloudConfigFile]:
        """By directory the first file that keeps the whole directory from being run."""
        found: dict[str, CloudConfigFile] = {}
        if self.yip.whole_directory:
            for item in self.files:
                if item.refusal:
                    found.setdefault(item.directory, item)
        return found

    @property
    def unread(self) -> str:
        """Why something about the files that count is not known: a bound was reached. "" if nothing was."""
        bounds = (item for item in self.files if item.config.bound and item.directory == OWN_DIRECTORY)
        return next((f"{item.path}: {item.config.bound}" for item in bounds), "")

    @property
    def depends_on_version(self) -> bool:
        """Whether another version of yip may read the files in another way."""
        return any(
            any(problem.kind != "unknown-key" for problem in item.config.problems)
            or (item.config.kind == "cloud-init" and self.yip.cloud_init_yaml == "v1")
            for item in self.files
        )

    def _runs(self, item: CloudConfigFile) -> bool:
        return not item.refusal and item.directory not in self.stopping

    @property
    def counting(self) -> tuple[CloudConfigFile, ...]:
        """The files whose steps run on an installed machine."""
        return tuple(item for item in self.files if item.directory == OWN_DIRECTORY and self._runs(item))

    @property
    def covered(self) -> tuple[CloudConfigFile, ...]:
        """The files that an installed machine does not see, for a partition is mounted over their directory."""
        return tuple(item for item in self.files if item.directory != OWN_DIRECTORY)

    def passed_over(self) -> tuple[str, ...]:
        """Return the files that do not count, one line each; the wanted one may be among them."""
        lines = [f"{item.path} is passed over: {item.refusal}" for item in self.files if item.refusal]
        lines += [
            f"nothing in {directory} runs, for {item.path} cannot be decoded (yip {self.yip.name})"
            for directory, item in self.stopping.items()
        ]
        return tuple(lines)

    def layout(self, world: World) -> Mapping[str, str]:
        """Return the layout variables that the stage rootfs sets, later files over earlier ones."""
        found: dict[str, str] = {}
        for item in self.counting:
            found.update(item.config.layout(world))
        return found


def read_all(rootfs: Rootfs, yip: Yip, limits: Limits, *, told_by: str = "") -> CloudConfigs:
    """Read every cloud-config of an image as `yip` does."""
    return CloudConfigs(yip, told_by, tuple(_files(rootfs, yip, limits)))


def _files(rootfs: Rootfs, yip: Yip, limits: Limits) -> Iterator[CloudConfigFile]:
    left = limits.cloud_config_bytes
    budget = Budget()
    for directory in CLOUD_CONFIG_DIRECTORIES:
        top = rootfs.trace(directory, follow=False).entry
        if top is None or top.type != "dir":
            continue
        for entry in rootfs.walk(top.path):
            if entry.type == "dir" or not entry.name.endswith((".yaml", ".yml")):
                continue
            config, size = _config(rootfs, entry, yip, limits, budget, left)
            # Each file costs something, so that a million empty ones are bounded too.
            left -= size + _FILE_COST
            yield CloudConfigFile(entry.path, directory, config, entry.layer)


def _config(
    rootfs: Rootfs, entry: Entry, yip: Yip, limits: Limits, budget: Budget, left: int
) -> tuple[CloudConfig, int]:
    def unknown(reason: str) -> tuple[CloudConfig, int]:
        return CloudConfig(entry.path, "yip", None, (), problems=(), bound=reason), 0

    def refused(reason: str) -> tuple[CloudConfig, int]:
        problem = Problem("syntax", reason, None)
        return CloudConfig(entry.path, "yip", None, (), problems=(problem,)), 0

    if entry.type not in {"file", "symlink"}:
        return unknown(f"it is a {entry.type}")
    trace = rootfs.trace(entry.path)
    target = trace.entry
    if target is None:
        # Where a link leads out of the image's own files only the machine knows.
        outside = _is_of_machine(trace.at)
        return unknown(f"its link leads to {trace.at}") if outside else refused("its link leads nowhere")
    if target.type != "file":
        return refused(f"its link leads to a {target.type}")
    if target.size > left:
        return unknown(f"the image's cloud-configs have more than {limits.cloud_config_bytes} bytes")
    try:
        content = rootfs.read_bytes(target.path)
    except (LimitExceeded, RootfsError) as fault:
        return unknown(str(fault))
    return read_cloud_config(entry.path, content, version=yip, limits=limits, budget=budget), len(content)


def _is_of_machine(path: str) -> bool:
    return any(path == each or path.startswith(f"{each}/") for each in _MACHINE)


def boot_world(
    rootfs: Rootfs,
    initrd: Initrd | None,
    active_mode_file: str,
    stage: str,
    recovery_labels: frozenset[str] = frozenset(),
) -> World:
    """Return what the conditions of a stage find in an ordinary boot of the active system.

    Args:
        rootfs: the image, which the stages after rootfs see.
        initrd: which the stage rootfs sees, None if it is not known.
        active_mode_file: the file that this generation writes in such a boot, "" if unknown.
        stage: the stage, `.before` and `.after` included.
        recovery_labels: labels that the command line of the recovery system alone has.
    """
    early = stage.partition(".")[0] == "rootfs"
    modes = {"/run/cos", "/run/elemental", active_mode_file.rpartition("/")[0]}
    words = _OTHER_WORDS.union(recovery_labels)

    def test(operator: str, path: str) -> bool | None:
        top, _, name = path.rpartition("/")
        if top in modes and name in _OTHER_MODES:
            return False
        if path == active_mode_file:
            return operator in {"-e", "-f", "-r", "-s"}
        if not path.startswith("/") or _is_of_machine(path):
            return None
        if early and not path.startswith("/system/"):
            return (
                True
                if operator in {"-e", "-r"} and initrd is not None and initrd.exists(path.strip("/"))
                else None
            )
        return _test(rootfs, operator, path)

    return World(
        test=test,
        command_line=lambda word: False if word in words else None,
        label=lambda label: False if label in _OTHER_LABELS else None,
    )


def _test(rootfs: Rootfs, operator: str, path: str) -> bool | None:
    entry = rootfs.trace(path, follow=operator not in {"-L", "-h"}).entry
    if entry is None:
        # Read-only files are those of the image; the machine may have made any other.
        return False if any(path.startswith(f"{top}/") for top in _READ_ONLY) else None
    match operator:
        case "-e" | "-r":
            return True
        case "-f":
            return entry.type == "file"
        case "-d":
            return entry.type == "dir"
        case "-L" | "-h":
            return entry.type == "symlink"
        case "-x":
            return entry.type == "dir" or bool(entry.mode & 0o111)
        case "-s":
            return entry.type != "file" or entry.size > 0
        case _:
            return None
