"""The drivers of an initrd: which modules of the kernel are in it, what each needs, and whether modprobe finds them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from attrs import frozen

from cosinspect.errors import FormatError
from cosinspect.formats.boot.initrd import Initrd
from cosinspect.formats.boot.module_index import (
    module_name,
    read_builtin,
    read_dependencies,
    read_index,
    read_soft_dependencies,
)

__all__ = ["Drivers", "drivers_of", "loadable_drivers", "needs_by_name"]

_TOPS = ("usr/lib/modules", "lib/modules")
_RULES = tuple(f"{top}/udev/rules.d/80-drivers.rules" for top in ("etc", "usr/lib", "lib"))
_EARLY = ("etc/modules-load.d", "usr/lib/modules-load.d", "lib/modules-load.d")
_COMMANDS = ("usr/sbin/modprobe", "usr/bin/modprobe", "sbin/modprobe", "bin/modprobe")


@frozen(kw_only=True)
class Drivers:
    """The modules that an initrd has for a kernel.

    Attributes:
        version: of the kernel.
        directory: of the modules, without a leading slash.
        modules: the path below `directory` of each module by its name.
        needs: the paths below `directory` that each module needs, by the index that modprobe reads; empty if it has none.
        soft: the names or aliases that a module asks to be loaded before it.
        builtin: the names of modules built into the kernel, None if nothing lists them.
        index: the file that modprobe reads, without a leading slash.
        fault: why modprobe can read no index, "" if it can.
        unread: whether the index could not be kept for reading.
        aliases: whether udev finds the table with which it loads drivers of devices.
        has_rules: whether udev has the rules by which it loads drivers of devices.
        has_modprobe: whether the kernel finds the program by which it loads what a mount or a device file asks for.
        early: the names that systemd-modules-load loads before that, None if a list of them was not kept.
    """

    version: str
    directory: str
    modules: Mapping[str, str]
    needs: Mapping[str, tuple[str, ...]]
    soft: Mapping[str, tuple[str, ...]]
    builtin: frozenset[str] | None
    index: str
    fault: str
    unread: bool
    aliases: bool
    has_rules: bool
    has_modprobe: bool
    early: frozenset[str] | None

    def has(self, name: str) -> bool:
        """Return whether a driver is in the initrd or built into the kernel."""
        return name in self.modules or (self.builtin is not None and name in self.builtin)

    def is_unlisted(self, name: str) -> bool:
        """Return whether the index has no entry for a module of the initrd."""
        return name in self.modules and not self.fault and not self.unread and name not in self.needs

    def absent_for(self, name: str, further: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        """Return the names of the modules that a module needs and that are neither in the initrd nor built in.

        Args:
            name: of a module in the initrd.
            further: the needs of modules as another table has them, such as that of the image's root.
        """
        if name not in self.modules:
            return ()
        wanted = [module_name(path) for table in (self.needs, further) for path in table.get(name, ())]
        return tuple(each for each in dict.fromkeys(wanted) if not self.has(each))


def drivers_of(
    initrd: Initrd, version: str, builtin: frozenset[str] | None, *, by_text: bool | None = None
) -> Drivers | None:
    """Return the drivers of an initrd for a kernel, None if it has no directory for it.

    Args:
        initrd: to look into.
        version: of the kernel.
        builtin: the built-in modules that the image's root lists, if the initrd lists none.
        by_text: whether modprobe reads `modules.dep` as busybox does; by default by what modprobe is.
    """
    top = next((each for each in _TOPS if _is_directory(initrd, f"{each}/{version}")), None)
    if top is None:
        return None
    member = initrd.lookup(f"{top}/{version}")
    directory = member.path if member is not None else f"{top}/{version}"
    prefix = f"{directory}/"
    modules = {name: path.removeprefix(prefix) for name, path in _modules(initrd, (prefix,)).items()}
    if by_text is None:
        by_text = _is_busybox(initrd)
    index = f"{directory}/modules.dep" if by_text else f"{directory}/modules.dep.bin"
    needs, fault, unread = _needs(initrd, index, by_text=by_text)
    listed = _text(initrd, f"{directory}/modules.builtin")
    soft = {
        each.module: each.before
        for each in read_soft_dependencies(_text(initrd, f"{directory}/modules.softdep") or "")
        if each.before
    }
    return Drivers(
        version=version,
        directory=directory,
        modules=modules,
        needs=needs,
        soft=soft,
        builtin=read_builtin(listed) if listed is not None else builtin,
        index=index,
        fault=fault,
        unread=unread,
        aliases=by_text or _holds(initrd, f"{directory}/modules.alias.bin"),
        has_rules=by_text or any(_holds(initrd, path) for path in _RULES),
        has_modprobe=any(_is_program(initrd, command) for command in _COMMANDS),
        early=_early(initrd),
    )


def _is_program(initrd: Initrd, path: str) -> bool:
    member = initrd.lookup(path)
    return member is not None and member.type == "file" and bool(member.size)


def _early(initrd: Initrd) -> frozenset[str] | None:
    """Return the names in the lists of modules-load.d(5)."""
    names: set[str] = set()
    for directory in _EARLY:
        for name in initrd.listdir(directory):
            if name.endswith(".conf"):
                text = _text(initrd, f"{directory}/{name}")
                if text is None:
                    return None
                lines = (line.strip() for line in text.splitlines())
                names |= {module_name(line) for line in lines if line and line[0] not in "#;"}
    return frozenset(names)


def loadable_drivers(initrd: Initrd, versions: Collection[str]) -> frozenset[str]:
    """Return the names of the modules of an initrd that kernels can load: files with content in the directory of a version.

    Where there is a directory for none of the versions, which another check reports, those of every directory count.
    """
    tops = tuple(
        f"{member.path}/"
        for version in versions
        for top in _TOPS
        if (member := initrd.lookup(f"{top}/{version}")) is not None and member.type == "directory"
    )
    return frozenset(_modules(initrd, tops))


def _modules(initrd: Initrd, tops: tuple[str, ...]) -> dict[str, str]:
    """Return the paths of modules by name; empty files and dangling links cannot be loaded and do not count."""
    found = {}
    for path in initrd.members:
        if ".ko" in path.rpartition("/")[2] and "modules/" in path and path.startswith(tops or ("",)):
            member = initrd.lookup(path)
            if member is not None and member.type == "file" and member.size:
                found[module_name(path)] = path
    return found


def needs_by_name(table: Mapping[str, Iterable[str]]) -> Mapping[str, tuple[str, ...]]:
    """Return the needs of modules by the modules' names, where a table has them by path."""
    return {module_name(path): tuple(needs) for path, needs in table.items()}


def _needs(initrd: Initrd, index: str, *, by_text: bool) -> tuple[Mapping[str, tuple[str, ...]], str, bool]:
    try:
        body = initrd.read(index)
        if by_text:
            return needs_by_name(read_dependencies(body.decode("utf-8", "replace"))), "", False
        found = {}
        for name, values in read_index(body).items():
            found[name] = tuple(values[0].partition(":")[2].split()) if values else ()
    except FormatError as fault:
        unread = fault.kind in ("unread", "limit")
        return {}, "" if unread else fault.message, unread
    return found, "", False


def _text(initrd: Initrd, path: str) -> str | None:
    try:
        return initrd.read(path).decode("utf-8", "replace")
    except FormatError:
        return None


def _holds(initrd: Initrd, path: str) -> bool:
    member = initrd.lookup(path)
    return member is not None and member.type == "file" and member.size > 0


def _is_directory(initrd: Initrd, path: str) -> bool:
    member = initrd.lookup(path)
    return member is not None and member.type == "directory"


def _is_busybox(initrd: Initrd) -> bool:
    for path in _COMMANDS:
        member = initrd.lookup(path)
        if member is not None:
            return member.path.rpartition("/")[2].startswith("busybox")
    return False
