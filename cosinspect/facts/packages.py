"""The packages of an image, of every kind, with the layer that brought each.

A package is brought by the lowest layer from which on every version of its database lists it, in the same version and for the same
architecture. Only versions of the database at its present place count: a layer that moves the database brings everything in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any

from attrs import evolve, field, frozen

from cosinspect.cache.parsed import Parsed
from cosinspect.deadline import spend
from cosinspect.errors import FormatError, LimitExceeded
from cosinspect.facts.luet_databases import READS as LUET_READS
from cosinspect.facts.luet_databases import LuetDatabaseFile, explain_fault, find_databases
from cosinspect.formats.luet.database import LuetPackage, read_database
from cosinspect.formats.packages.apk import read_apk_installed
from cosinspect.formats.packages.dpkg import read_dpkg_status
from cosinspect.formats.packages.package import TYPES, Package, PackageType
from cosinspect.formats.packages.pacman import database_path, read_pacman_desc
from cosinspect.formats.packages.rpm import read_rpm_database
from cosinspect.formats.text.os_release import read_env_file
from cosinspect.formats.text.problem import MAX_PROBLEMS
from cosinspect.limits import DEFAULT_LIMITS, Limits
from cosinspect.oci.documents import ImageConfig
from cosinspect.rootfs.rootfs import Entry, Rootfs

__all__ = ["PackageDatabase", "find_packages", "package_reads"]

OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
PACMAN_CONFIG = "/etc/pacman.conf"
DPKG_STATUS = "/var/lib/dpkg/status"
DPKG_STATUS_FILES = "/var/lib/dpkg/status.d"
APK_INSTALLED = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")
RPM_DATABASES = tuple(
    f"{directory}/{name}"
    for directory in ("/var/lib/rpm", "/usr/lib/sysimage/rpm", "/usr/share/rpm")
    for name in ("rpmdb.sqlite", "Packages.db", "Packages")
)

_READS: dict[PackageType, tuple[str, ...]] = {
    "alpm": ("etc/pacman.conf", "var/lib/pacman/local/*/desc"),
    "apk": tuple(path.lstrip("/") for path in APK_INSTALLED),
    "deb": (DPKG_STATUS.lstrip("/"), f"{DPKG_STATUS_FILES.lstrip('/')}/*"),
    "luet": LUET_READS,
    "rpm": tuple(f"{path.lstrip('/')}*" for path in RPM_DATABASES if not path.endswith("Packages.db")),
}


def package_reads(types: Iterable[PackageType] = TYPES) -> tuple[str, ...]:
    """Return globs of what `find_packages` reads."""
    return (
        *(path.lstrip("/") for path in OS_RELEASE),
        *(pattern for kind in types for pattern in _READS[kind]),
    )


@frozen(kw_only=True)
class PackageDatabase:
    """A database of installed packages.

    Attributes:
        path: its file, or the directory that holds a file for each package.
        layer: position of the layer that gave its present version.
        type: the kind of its packages.
        packages: what it lists; empty if it cannot be read.
        fault: why it cannot be read, None if it can: which packages are installed is then undecided.
        problems: what else is wrong with it.
    """

    path: str
    layer: int
    type: PackageType
    packages: tuple[Package, ...] = ()
    fault: str | None = None
    problems: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; `files` of a package is null if they are not read."""
        return {
            "path": self.path,
            "layer": self.layer,
            "type": self.type,
            "readable": self.fault is None,
            "problems": [*([self.fault] if self.fault is not None else []), *self.problems],
            "packages": [
                {
                    "type": package.type,
                    "category": package.category,
                    "name": package.name,
                    "version": package.version,
                    "architecture": package.architecture,
                    "source": package.source,
                    "license": package.license,
                    "layer": package.layer,
                    "purl": package.purl,
                    "files": list(package.files) if package.files is not None else None,
                }
                for package in self.packages
            ],
        }


def find_packages(
    rootfs: Rootfs,
    config: ImageConfig,
    types: Iterable[PackageType] = TYPES,
    *,
    limits: Limits = DEFAULT_LIMITS,
    parsed: Parsed | None = None,
    layers: bool = True,
) -> tuple[PackageDatabase, ...]:
    """Read the package databases of an image.

    Args:
        rootfs: the merged tree.
        config: the image configuration, whose environment may name luet's database.
        types: the kinds that are looked for.
        limits: bounds for what is read.
        parsed: what is known of luet's files that were read before.
        layers: whether to find the layer that brought each package, which reads earlier versions of the databases, and its package URL.

    Raises:
        SourceError: a layer cannot be fetched again.
        ContentError: a layer has changed.
    """
    search = _Search(rootfs, limits, layers=layers)
    wanted = set(types)
    found: list[PackageDatabase] = []
    if "luet" in wanted:
        luet = find_databases(rootfs, config, limits=limits, parsed=parsed)
        found.extend(search.luet(file) for file in luet)
    if "deb" in wanted:
        found.extend(search.file("deb", DPKG_STATUS, search.read_dpkg))
        found.extend(search.dpkg_files())
    if "apk" in wanted:
        for path in APK_INSTALLED:
            found.extend(search.file("apk", path, search.read_apk))
    if "alpm" in wanted:
        found.extend(search.pacman())
    if "rpm" in wanted:
        for path in RPM_DATABASES:
            log = "rpmdb.sqlite-wal" if path.endswith(".sqlite") else ""
            found.extend(search.file("rpm", path, search.read_rpm, log))
    return tuple(found)


Listed = tuple[tuple[Package, ...], tuple[str, ...]]
"""The packages of a database, and the problems."""

Read = Callable[[bytes, bytes], Listed]
"""Reads a database and its write-ahead log, which is empty if there is none."""


class _Search:
    """Looks for databases in one tree; each file is read once, independent of its paths."""

    def __init__(self, rootfs: Rootfs, limits: Limits, *, layers: bool) -> None:
        self._rootfs = rootfs
        self._limits = limits
        self._layers = layers
        self._seen: set[str] = set()
        self._system: tuple[str, str] | None = None

    # -- a database in one file ------------------------------------------------------------------------------------

    def luet(self, file: LuetDatabaseFile) -> PackageDatabase:
        """Convert a database that was read."""
        if file.database is None:
            is_new = self._rootfs.stat(file.path).size == 0  # luet makes a new database of it
            first, *others = file.problems
            return PackageDatabase(
                path=file.path,
                layer=file.layer,
                type="luet",
                fault=None if is_new else first,
                problems=file.problems if is_new else tuple(others),
            )

        packages = tuple(map(_of_luet, file.database.packages))
        return self._attributed("luet", [file.path], (packages, file.problems), self.read_luet)

    def read_luet(self, data: bytes, _: bytes) -> Listed:
        """Read luet's database; an empty file has no packages."""
        database = read_database(data, limits=self._limits) if data else None
        return tuple(map(_of_luet, database.packages if database is not None else ())), ()

    def read_dpkg(self, data: bytes, _: bytes) -> Listed:
        """Read dpkg's database."""
        return read_dpkg_status(data, limits=self._limits)

    def read_apk(self, data: bytes, _: bytes) -> Listed:
        """Read apk's database."""
        return read_apk_installed(data, limits=self._limits), ()

    def read_pacman(self, data: bytes, _: bytes) -> Listed:
        """Read a package of pacman's database."""
        return (read_pacman_desc(data, limits=self._limits),), ()

    def read_rpm(self, data: bytes, log: bytes) -> Listed:
        """Read rpm's database; an empty file has no packages."""
        return read_rpm_database(data, log, limits=self._limits) if data or log else (), ()

    def file(self, kind: PackageType, path: str, read: Read, log: str = "") -> Iterator[PackageDatabase]:
        """Yield the database at a path, if there is one; `log` names its write-ahead log beside it."""
        entry = self._rootfs.trace(path).entry
        if entry is None or entry.type != "file" or entry.path in self._seen:
            return
        self._seen.add(entry.path)
        paths = [entry.path, *([f"{entry.path.rpartition('/')[0]}/{log}"] if log else [])]
        try:
            listed = read(*self._contents(self._rootfs, paths))
        except (FormatError, LimitExceeded) as fault:
            yield PackageDatabase(path=entry.path, layer=entry.layer, type=kind, fault=explain_fault(fault))
            return
        yield self._attributed(kind, paths, listed, read)

    def _attributed(
        self, kind: PackageType, paths: Sequence[str], listed: Listed, read: Read
    ) -> PackageDatabase:
        """Find the layer that brought each package by reading the earlier versions of the database."""
        packages, problems = listed
        if not self._layers:
            layer = self._rootfs.stat(paths[0]).layer
            return PackageDatabase(
                path=paths[0], layer=layer, type=kind, packages=packages, problems=problems
            )
        versions = self._rootfs.versions(paths)
        top = next(versions)[0]
        layers: dict[tuple[str, str, str, str], int | None] = {each.identity: top for each in packages}
        waiting = set(layers)
        for layer, tree in versions:
            if not waiting:
                break
            try:
                earlier = {each.identity for each in read(*self._contents(tree, paths))[0]}
            except (FormatError, LimitExceeded) as fault:
                layers.update(dict.fromkeys(waiting))
                problems = (
                    *problems,
                    f"which layer brought {len(waiting)} of the packages is undecided: the version of layer {layer} is "
                    + explain_fault(fault),
                )
                break
            waiting &= earlier
            layers.update(dict.fromkeys(waiting, layer))
        return PackageDatabase(
            path=paths[0],
            layer=top,
            type=kind,
            packages=tuple(self._with_url(each, layers[each.identity]) for each in packages),
            problems=problems,
        )

    # -- a database of one file for each package -------------------------------------------------------------------

    def dpkg_files(self) -> Iterator[PackageDatabase]:
        """Yield the database in files of status.d, which builders of small images write."""
        entries = [
            entry
            for entry in self._rootfs.glob(f"{DPKG_STATUS_FILES}/*")
            if entry.type == "file" and not entry.name.endswith(".md5sums")
        ]
        yield from self._directory("deb", DPKG_STATUS_FILES, entries, self.read_dpkg)

    def pacman(self) -> Iterator[PackageDatabase]:
        """Yield the database below the path that pacman.conf names."""
        directory = f"/{database_path(self._text(PACMAN_CONFIG)).strip('/')}/local"
        home = self._rootfs.trace(directory).entry
        if home is None or home.type != "dir":
            return
        children = [entry.path for entry in self._rootfs.children(home).values() if entry.type == "dir"]
        found = (self._rootfs.trace(f"{path}/desc").entry for path in sorted(children))
        entries = [entry for entry in found if entry is not None and entry.type == "file"]
        yield from self._directory("alpm", home.path, entries, self.read_pacman)

    def _directory(
        self, kind: PackageType, path: str, entries: Sequence[Entry], read: Read
    ) -> Iterator[PackageDatabase]:
        if not entries:
            return
        faults: list[str] = []
        problems: list[str] = []
        packages: list[Package] = []
        if len(entries) > self._limits.database_records:
            faults.append(f"unreadable: at most {self._limits.database_records} records are read")
            entries = ()
        for entry in entries:
            spend()
            try:
                listed, noted = read(*self._contents(self._rootfs, [entry.path]))
            except (FormatError, LimitExceeded) as fault:
                faults.append(f"{entry.name if kind == 'deb' else entry.path}: {explain_fault(fault)}")
                continue
            problems.extend(noted)
            if self._layers:
                brought = self._first_layer(entry)
                listed = tuple(self._with_url(each, brought) for each in listed)
            packages.extend(listed)
        yield PackageDatabase(
            path=path,
            layer=max((entry.layer for entry in entries), default=0),
            type=kind,
            packages=tuple(packages),
            fault=faults[0] if faults else None,
            problems=(*faults[1:MAX_PROBLEMS], *problems[:MAX_PROBLEMS]),
        )

    def _first_layer(self, entry: Entry) -> int:
        """Return the layer that added a file; later layers may have changed its content."""
        layer = entry.layer
        for change in reversed(self._rootfs.history(entry.path)):
            if change.type != "file":
                break
            layer = change.layer
        return layer

    # -- what both need --------------------------------------------------------------------------------------------

    def _contents(self, tree: Rootfs, paths: Sequence[str]) -> tuple[bytes, bytes]:
        """Read a database and its log in one tree; a file that is not there is empty."""
        contents = [b"", b""]
        for number, path in enumerate(paths):
            entry = tree.trace(path).entry
            if entry is not None and entry.type == "file":
                limit = self._limits.database_bytes
                contents[number] = tree.read_bytes(path, limit=limit, limit_name="database_bytes")
        return contents[0], contents[1]

    def _text(self, path: str) -> str:
        entry = self._rootfs.trace(path).entry
        if entry is None or entry.type != "file":
            return ""
        try:
            return self._rootfs.read_text(path)
        except LimitExceeded:
            return ""

    def _with_url(self, package: Package, layer: int | None) -> Package:
        if self._system is None:
            texts = (self._text(path) for path in OS_RELEASE)
            values = read_env_file(next(filter(None, texts), "")).values
            self._system = (values.get("ID", "").lower(), values.get("VERSION_ID", ""))
        # Imported at its first use: a check of an image does not need it.
        module = import_module("cosinspect.formats.packages.package_url")
        return evolve(package, layer=layer, purl=module.package_url(package, *self._system))


def _of_luet(package: LuetPackage) -> Package:
    return Package(
        type="luet",
        name=package.name,
        version=package.version,
        category=package.category,
        license=package.license,
        files=package.files,
    )
