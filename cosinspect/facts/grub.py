"""The input of GRUB in an image: its scripts, the files that they load, and the command lines that they make.

`boot_menu` evaluates; this module supplies the image to it, and the result to checks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property

from attrs import field, frozen

from cosinspect.facts.boot_menu import (
    BootFile,
    ImageFiles,
    Loaded,
    OwnMenu,
    StateBoot,
    evaluate_menu,
    evaluate_states,
)
from cosinspect.facts.boot_roots import fits
from cosinspect.facts.boot_search import INITRD_PATTERNS, KERNEL_PATTERNS, find_by_pattern
from cosinspect.formats.boot.command_line import CommandLine
from cosinspect.formats.boot.grub_state import FileKind
from cosinspect.formats.boot.grub_syntax import GrubScript, parse_grub_script, walk_commands
from cosinspect.profiles import BootTable, Generation, generation_tables
from cosinspect.rootfs.rootfs import Rootfs, Trace

__all__ = ["BootLine", "GrubFacts", "TextFile"]


@frozen
class TextFile:
    """A file of the image as text.

    Attributes:
        trace: how its path resolves.
        text: its content, None if it is missing, not a regular file, or too large.
    """

    trace: Trace
    text: str | None = field(repr=False)


@frozen
class BootLine:
    """A command line with which GRUB starts the image's kernel.

    Attributes:
        state: the state of the machine, such as `active` or `recovery`, as the generation's table names it.
        menu: the path of the menu in the image, "" if it is the toolkit's own that any machine has.
        entry: the title of the menu entry, "" with the toolkit's own menu.
        line: the command line.
        conditions: the conditions under which it holds, in GRUB's own words; empty if it always holds.
    """

    state: str
    menu: str
    entry: str
    line: CommandLine
    conditions: tuple[str, ...] = ()


class GrubFacts(ABC):
    """The input of GRUB in an image; a part of `Facts`."""

    _rootfs: Rootfs

    @property
    @abstractmethod
    def generation(self) -> str:
        """The toolkit's generation."""

    @abstractmethod
    def text(self, path: str) -> TextFile:
        """Read a file as text, links followed."""

    @cached_property
    def bootargs_path(self) -> str:
        """The existing bootargs.cfg that is read last, else its expected path."""
        # The generation is not used here: it may depend on an initrd that this file names.
        tables = generation_tables().values()
        marked = [table for table in tables if any(map(self._rootfs.exists, table.bootargs_marks))]
        first = (*marked, _usual())[0]
        others = (table.boot.bootargs for table in tables if table.boot is not None)
        paths = (*_last_read(first), *(path for each in others for path in each))
        return next((path for path in dict.fromkeys(paths) if self._rootfs.exists(path)), first.bootargs)

    @cached_property
    def bootargs(self) -> GrubScript | None:
        """The statements of bootargs.cfg, None if it is missing."""
        return self.grub_script(self.bootargs_path)

    def grub_script(self, path: str) -> GrubScript | None:
        """Parse a file of GRUB's script language; return None if it is missing."""
        text = self.text(path).text
        return None if text is None else parse_grub_script(text)

    def bootargs_line(self, variable: str) -> int | None:
        """Return the line of bootargs.cfg that sets a variable last, None if none does by its name."""
        script = self.bootargs
        found = None
        for command in walk_commands(script.scripts) if script is not None else ():
            words = [word.raw.lstrip("\"'") for word in command.words]
            if any(word.startswith(f"{variable}=") for word in words[:2]):
                found = command.line
        return found

    @cached_property
    def boot_states(self) -> tuple[StateBoot, ...]:
        """What GRUB loads in each state of a machine with the toolkit's menu; empty without a bootargs.cfg."""
        return self._boot_states(generation_tables().get(self.generation))

    def _boot_states(self, table: Generation | None) -> tuple[StateBoot, ...]:
        if table is None or not table.derivative:
            table = _usual()
        boot = table.boot
        if self.bootargs is None or boot is None:
            return ()
        return evaluate_states(self._image_files(boot), boot)

    @cached_property
    def fitting_generations(self) -> tuple[str, ...]:
        """The generations whose initrd acts on the command lines that bootargs.cfg makes with their menus."""
        found = []
        for name, table in generation_tables().items():
            states = self._boot_states(table) if table.kernel_argument else ()
            ways = [(each.state, way) for each in states if not each.state.recovery for way in each.ways]
            if ways and all(fits(table, state, way.boot.command_line) for state, way in ways):
                found.append(name)
        return tuple(found)

    @cached_property
    def own_menu(self) -> OwnMenu | None:
        """What the image's own menu loads, None if it has none or its generation has no menu."""
        table = generation_tables().get(self.generation)
        boot = table.boot if table is not None else None
        if table is None or boot is None:
            return None
        for path in filter(None, (table.grub_config, table.grub_config_fallback)):
            text = self.text(path).text
            if text is not None:
                return evaluate_menu(self._image_files(boot), boot, path, text)
        return None

    def menu_of(self, boot: BootTable, path: str, text: str) -> OwnMenu:
        """Evaluate what the menu of a machine that runs another image loads of this one.

        Args:
            boot: how that machine's menu starts images.
            path: of the menu, for messages.
            text: the menu.
        """
        return evaluate_menu(self._image_files(boot), boot, path, text)

    def states_of(self, boot: BootTable) -> tuple[StateBoot, ...]:
        """Evaluate what the toolkit's menu of a machine that runs another image loads of this one."""
        return evaluate_states(self._image_files(boot), boot)

    @cached_property
    def command_lines(self) -> tuple[BootLine, ...]:
        """Every command line with which a kernel is started, by the toolkit's menu and by the image's own."""
        menu = self.own_menu
        found = [("", state) for state in self.boot_states]
        if menu is not None:
            found += [(menu.path, state) for state in (menu.default, menu.fallbacks, *menu.states)]
        lines = (
            BootLine(each.state.name, path, way.boot.entry, way.boot.command_line, way.boot.conditions)
            for path, each in found
            for way in each.ways
            if way.kernel is not None
        )
        return tuple(dict.fromkeys(lines))

    def _image_files(self, boot: BootTable) -> ImageFiles:
        def kind(path: str) -> FileKind | None:
            entry = self._rootfs.trace(path).entry
            if entry is None:
                return None
            if entry.type == "dir":
                return FileKind.DIRECTORY
            return FileKind.FILE if entry.size else FileKind.EMPTY_FILE

        return ImageFiles(kind, lambda path: self.text(path).text, lambda: self._recovery_copies(boot))

    def _recovery_copies(self, boot: BootTable) -> dict[str, str]:
        """What toolkit v2 copies beside the recovery image: kernel and initrd by their names and two more, boot arguments."""
        copies = {"/boot/bootargs.cfg": boot.bootargs[-1]}
        for patterns, links in ((KERNEL_PATTERNS, ("vmlinuz", "linux")), (INITRD_PATTERNS, ("initrd",))):
            found = find_by_pattern(self._rootfs, patterns)
            if found.entry is not None and not found.fault:
                copies |= {f"/boot/{name}": found.path for name in (found.path.rpartition("/")[2], *links)}
        return copies

    def _boot_files(self, states: tuple[StateBoot, ...], what: str) -> tuple[BootFile, ...]:
        """The kernels or initrds of the image that are loaded from within it, each once."""
        found: dict[BootFile, None] = {}
        for state in states:
            if not state.state.copied:
                for way in state.ways:
                    found.update(dict.fromkeys(_files_of(way, what)))
        return tuple(found)

    def _boot_paths(self, what: str, default: str) -> tuple[str, ...]:
        """The paths of the kernels or initrds: those that bootargs.cfg names, and others that the image's own menu loads."""
        menu = self.own_menu
        own = _installed(menu) if menu is not None else ()
        named = [each for each in self._boot_files(self.boot_states, what) if each.path]
        named += [each for each in self._boot_files(own, what) if each.path and each.is_there]
        unknown = self.unknown_paths.get(what)
        return tuple(dict.fromkeys(each.path or "" for each in named)) or (() if unknown else (default,))

    @cached_property
    def unknown_paths(self) -> Mapping[str, str]:
        """The names of kernel and initramfs that are unknown before the boot."""
        return {
            what: each.name
            for what in ("kernel", "initramfs")
            for each in self._boot_files(self.boot_states, what)
            if not each.is_known
        }

    @cached_property
    def boot_bound(self) -> str:
        """Why it is undecided what GRUB loads, "" if it is decided."""
        return next((state.bound for state in self.boot_states if state.bound), "")


def _usual() -> Generation:
    """Return the default table if no generation is recognised."""
    return next(table for table in generation_tables().values() if table.usual)


def _last_read(table: Generation) -> tuple[str, ...]:
    """Return the files of boot arguments that a menu reads, the last one first."""
    return tuple(reversed(table.boot.bootargs)) if table.boot is not None else ()


def _installed(menu: OwnMenu) -> tuple[StateBoot, ...]:
    return (menu.default, *(each for each in menu.states if not each.state.recovery))


def _files_of(way: Loaded, what: str) -> tuple[BootFile, ...]:
    if what == "initramfs":
        return way.initrds
    return () if way.kernel is None else (way.kernel,)
