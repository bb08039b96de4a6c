"""What GRUB loads of an image that is deployed, in each state that a machine of its generation can start in.

Two menus are evaluated over the image's own files. The toolkit's menu does what every release of a generation
does (`profiles`, `BootTable`). It decides how a machine with such a menu boots the image, also after an
upgrade, which does not change the menu on the disk. The image's own menu is what installation copies to the
disk.

The disk is as a deployment makes it: its file systems by their labels, the image's root in a file or a
subvolume, the variables that the toolkit writes; without changes by people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from attrs import field, frozen

from cosinspect.formats.boot.grub_evaluator import Evaluator
from cosinspect.formats.boot.grub_menu import GrubBoot, open_menu, run_grub_script
from cosinspect.formats.boot.grub_state import FileKind
from cosinspect.formats.boot.grub_syntax import GrubScript, parse_grub_script
from cosinspect.formats.boot.grub_values import GrubBound, Symbol, Value, literal
from cosinspect.formats.text.problem import Problem
from cosinspect.profiles import BootState, BootTable

__all__ = ["BootFile", "ImageFiles", "Loaded", "OwnMenu", "StateBoot", "evaluate_menu", "evaluate_states"]

MENU_PATH = "/grub2/grub.cfg"
"""The path of the menu on the disk; releases differ, and no menu depends on it."""

_ENVIRONMENT = "/grub_oem_env"
_PLATFORM = Symbol("grub_platform")


@frozen
class ImageFiles:
    """How GRUB sees the image's own files.

    Attributes:
        kind: what is at a path of the image, links followed as far as GRUB follows them.
        text: returns a file of the image as text, or None.
        copies: names that recovery has beside its image, with the paths of the image that they are copies of.
    """

    kind: Callable[[str], FileKind | None]
    text: Callable[[str], str | None]
    copies: Callable[[], Mapping[str, str]]


@frozen
class BootFile:
    """A file that GRUB loads.

    Attributes:
        name: as GRUB receives it, with the resolved device in parentheses; "" if it receives none.
        path: of the image; "" for the image's root itself, None for a file that is elsewhere or unknown.
        is_known: whether every part of the name is known before the boot.
        is_there: whether it is a file.
    """

    name: str
    path: str | None
    is_known: bool
    is_there: bool


@frozen
class Loaded:
    """What is loaded, in one of the ways that conditions leave open.

    Attributes:
        boot: the entry and its command line.
        kernel: None if nothing is loaded.
        initrds: in their order.
    """

    boot: GrubBoot
    kernel: BootFile | None
    initrds: tuple[BootFile, ...]

    @property
    def is_complete(self) -> bool:
        """Whether kernel and initrd are files, or not known before the boot."""
        return (
            self.kernel is not None
            and bool(self.initrds)
            and all(each.is_there or not each.is_known for each in (self.kernel, *self.initrds))
        )


@frozen
class StateBoot:
    """What GRUB loads in a state of the machine.

    Attributes:
        state: the state.
        ways: the loaded files, one result for each combination of open conditions; empty if the menu has no such entry.
        missing: the requested files that do not exist.
        scripts: the files that were run, by their names.
        bound: why this is undecided, "" if it is decided.
    """

    state: BootState
    ways: tuple[Loaded, ...] = ()
    missing: tuple[str, ...] = ()
    scripts: Mapping[str, GrubScript] = field(factory=dict, repr=False, eq=False)
    bound: str = ""

    @property
    def problems(self) -> tuple[tuple[str, Problem], ...]:
        """What GRUB refuses of the files that were run, each with the file's name."""
        return tuple((name, each) for name, script in self.scripts.items() for each in script.problems)


@frozen
class OwnMenu:
    """The image's own menu.

    Attributes:
        path: in the image.
        entries: how many entries it has, 0 if that is undecided.
        default: what it loads without a choice by the user.
        fallbacks: what it loads where that fails.
        states: what it loads in the other states, where an entry is chosen.
    """

    path: str
    entries: int
    default: StateBoot
    fallbacks: StateBoot
    states: tuple[StateBoot, ...]


def evaluate_states(files: ImageFiles, table: BootTable) -> tuple[StateBoot, ...]:
    """Evaluate what the toolkit's menu loads, in each state."""
    found: list[StateBoot] = []
    for state in table.states:
        bound = found[0].bound if found else ""  # what cannot be followed once is not tried again
        found.append(StateBoot(state, bound=bound) if bound else _toolkit_boot(files, table, state))
    return tuple(found)


def evaluate_menu(files: ImageFiles, table: BootTable, path: str, text: str) -> OwnMenu:
    """Evaluate the image's own menu at `path`."""
    first, *others = table.states
    entries = 0
    default = fallbacks = StateBoot(first)
    try:
        disk = _Disk(files, table, first, {MENU_PATH: text})
        menu = open_menu(disk, disk.root, MENU_PATH, _variables(disk))
        if menu is not None:
            entries = len(menu.entries)
            default = _state_boot(first, disk, menu.default(), menu.evaluator)
            fallbacks = _state_boot(first, disk, menu.fallbacks(), menu.evaluator)
    except GrubBound as bound:
        default = fallbacks = StateBoot(first, bound=str(bound))
    if default.bound:
        states = tuple(StateBoot(state, bound=default.bound) for state in others)
    else:
        states = tuple(_chosen(files, table, state, text) for state in others)
    return OwnMenu(path, entries, default, fallbacks, states)


def _chosen(files: ImageFiles, table: BootTable, state: BootState, text: str) -> StateBoot:
    try:
        disk = _Disk(files, table, state, {MENU_PATH: text})
        menu = open_menu(disk, disk.root, MENU_PATH, _variables(disk))
        if menu is None:
            return StateBoot(state)
        return _state_boot(state, disk, menu.choose(*state.entries), menu.evaluator)
    except GrubBound as bound:
        return StateBoot(state, bound=str(bound))


def _toolkit_boot(files: ImageFiles, table: BootTable, state: BootState) -> StateBoot:
    disk = _Disk(files, table, state)
    device = disk.image_device
    variables = {
        **_variables(disk),
        "root": literal(device),
        "volume": literal(device),
        **{name: literal(value) for name, value in {**disk.variables, **state.variables}.items()},
    }
    try:
        boots, evaluator = run_grub_script(disk, parse_grub_script(_toolkit_script(disk)), variables)
    except GrubBound as bound:
        return StateBoot(state, bound=str(bound))
    return _state_boot(state, disk, boots, evaluator)


def _toolkit_script(disk: _Disk) -> str:
    """Write what an entry of the toolkit's menu does once it has set its variables."""
    state, table = disk.state, disk.table
    lines = []
    top = "$root"
    subpath = state.variables.get("root_subpath", "")
    if not state.image.endswith("/") and not state.copied:
        top = table.device
        lines += [f"set volume={top}", f"loopback {top} {disk.image_path}"]
    sources = ["boot/bootargs.cfg"] if state.copied else [path.lstrip("/") for path in table.bootargs]
    lines += [f"source ({top})/{subpath}{path}" for path in sources]
    lines += [f"linux ({top})$kernel $kernelcmd", f"initrd ({top})$initramfs"]
    # `return` ends the entry, as it does in a menu entry.
    return "\n".join(["function entry {", *lines, "}", "entry"]) + "\n"


def _variables(disk: _Disk) -> dict[str, Value]:
    """Return what GRUB has set before it reads a menu."""
    return {
        "root": literal(disk.root),
        "prefix": literal(f"({disk.root})/grub2"),
        "cmdpath": (f"({disk.root})", "/EFI/BOOT"),
        "grub_platform": (_PLATFORM,),
        "grub_cpu": (Symbol("grub_cpu"),),
        **{
            f"feature_{name}": literal("y")
            for name in (
                "menuentry_id",
                "menuentry_options",
                "timeout_style",
                "all_video_module",
                "default_font_path",
                "platform_search_hint",
                "chainloader_bpb",
                "ntldr",
                "200_final",
                "nativedisk_cmd",
            )
        },
    }


def _state_boot(
    state: BootState, disk: _Disk, boots: tuple[GrubBoot, ...], evaluator: Evaluator
) -> StateBoot:
    ways = tuple(_loaded(disk, boot) for boot in boots)
    return StateBoot(state, ways, tuple(evaluator.missing), dict(evaluator.sourced))


def _loaded(disk: _Disk, boot: GrubBoot) -> Loaded:
    kernel = None if boot.kernel is None else disk.file(boot.kernel)
    return Loaded(boot, kernel, tuple(map(disk.file, boot.initrds)))


@frozen(eq=False)
class _Disk:
    """The disk of a machine in one state, as a `Machine` of the evaluator."""

    files: ImageFiles
    table: BootTable
    state: BootState
    scripts: Mapping[str, str] = field(factory=dict)

    @property
    def root(self) -> str:
        """The device that GRUB starts from."""
        return self._device(self.table.root)

    @property
    def image_device(self) -> str:
        """The device of the file system that holds the image."""
        return self._device(self.state.image.partition(":")[0])

    @property
    def image_path(self) -> str:
        """The image's path there."""
        return self.state.image.partition(":")[2]

    @property
    def variables(self) -> Mapping[str, str]:
        """What the toolkit writes into the disk's environment."""
        return {**self.table.environment, **self.state.environment}

    def search(self, by: str, name: str) -> str | None:
        """Find a device."""
        if by == "label":
            return self._device(name) if name in self._labels else None
        if by == "file":
            found = (self._device(label) for label in self._labels)
            return next((device for device in found if self.kind(device, name) is not None), None)
        return None

    def kind(self, device: str, path: str) -> FileKind | None:
        """Look at a path."""
        path = _normal(path)
        in_image = self._in_image(device, path)
        if in_image is not None:
            return self.files.kind(in_image)
        label = self._label(device)
        if label is None:
            return None
        if path in self._environments(label) or path in self._scripts(label):
            return FileKind.FILE
        known = [each.partition(":")[2] for each in self._images if each.partition(":")[0] == label]
        known += [*self._copies(label), *self._environments(label), *self._scripts(label)]
        if path in known:
            return FileKind.FILE
        above = path.rstrip("/") + "/"
        return FileKind.DIRECTORY if any(each.startswith(above) for each in known) or path == "/" else None

    def text(self, device: str, path: str) -> str | None:
        """Read a file."""
        path = _normal(path)
        in_image = self._in_image(device, path)
        if in_image is not None:
            return self.files.text(in_image)
        label = self._label(device)
        return None if label is None else self._scripts(label).get(path)

    def environment(self, device: str, path: str) -> dict[str, Value] | None:
        """Read a file of variables."""
        path = _normal(path)
        label = self._label(device)
        if label is not None and path in self._environments(label):
            return {name: literal(value) for name, value in self.variables.items()}
        text = self.text(device, path)
        return None if text is None else dict(_environment_block(text))

    def file(self, name: str) -> BootFile:
        """Return the file of the image for a loaded name."""
        if "${" in name or not name.startswith("("):
            return BootFile(name, None, "${" not in name, False)
        device, path = _parted(name)
        in_image = self._in_image(device, _normal(path)) if path else None
        kind = self.kind(device, path) if path else None
        shown = "" if path in {"", "/"} and in_image is None else in_image
        return BootFile(name, shown, True, kind is FileKind.FILE)

    @property
    def _labels(self) -> tuple[str, ...]:
        return (self.table.root, *self.table.labels)

    @property
    def _images(self) -> tuple[str, ...]:
        """The files and directories that are the image's root: of this state, and of the other entries."""
        found = {state.entries[0]: state for state in reversed(self.table.states)}
        found[self.state.entries[0]] = self.state
        return tuple(name for state in found.values() for name in (state.image, *state.also))

    def _device(self, label: str) -> str:
        return f"hd0,gpt{self._labels.index(label) + 1}"

    def _label(self, device: str) -> str | None:
        return next((label for label in self._labels if self._device(label) == device), None)

    def _in_image(self, device: str, path: str) -> str | None:
        """Return the image's path for a path of the disk, None if it is elsewhere."""
        if device.startswith("("):  # what `loopback` made
            outer, file = _parted(device)
            label = self._label(outer)
            if file.endswith("/"):
                return self._in_image(outer, _normal(file + path))
            return path if f"{label}:{_normal(file)}" in self._looped else None
        label = self._label(device)
        if label is None:
            return None
        copied = self._copies(label).get(path)
        if copied is not None:
            return copied
        for image in self._images:
            where, _, top = image.partition(":")
            if where == label and top.endswith("/"):
                if (path + "/").startswith(top):
                    return _normal("/" + path[len(top) :])
                # A subvolume that is the default one is seen at the top.
                if not path.startswith(("/@", "/.snapshots")) and path not in self._environments(label):
                    return path
        return None

    @property
    def _looped(self) -> frozenset[str]:
        return frozenset(each for each in self._images if not each.endswith("/"))

    def _copies(self, label: str) -> Mapping[str, str]:
        where = {state.image.partition(":")[0] for state in self.table.states if state.copied}
        return self.files.copies() if label in where else {}

    def _environments(self, label: str) -> frozenset[str]:
        return frozenset({_ENVIRONMENT} if label == self.table.root else ())

    def _scripts(self, label: str) -> Mapping[str, str]:
        return self.scripts if label == self.table.root else {}


def _parted(name: str) -> tuple[str, str]:
    """Split a file's name into its device and its path; a device may be a file's name in turn."""
    depth = 0
    for position, character in enumerate(name):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return name[1:position], name[position + 1 :]
    return "", name


def _normal(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in {"", "."}:
            parts.append(part)
    return "/" + "/".join(parts)


def _environment_block(text: str) -> Iterator[tuple[str, Value]]:
    """Read the variables of an environment block (grub-core/lib/envblk.c)."""
    for line in text.split("\n"):
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            yield name, literal(value.replace("\\\\", "\\"))
