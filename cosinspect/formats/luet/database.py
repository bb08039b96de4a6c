"""luet's database of installed packages.

A bbolt file (`bolt`) of storm records (`luet_records`), written by luet 0.2 and newer (`pkg/database/database_boltdb.go`).
Packages are in the bucket `DefaultPackage` until luet 0.22 and in `Package` from 0.30 on; if both versions were used,
both exist and both count. Their files are in `files/PackageFile`, joined by fingerprint.

Refused: what `bolt` and `luet_records` refuse in one of the three buckets, because a part of a database would look like the
whole. `LuetDatabase.problems` names single records that cannot be read. luet itself lists no package after the first fault,
so an empty list from luet proves nothing.
"""

from __future__ import annotations

import re
from typing import Literal

from attrs import frozen

from cosinspect.deadline import spend
from cosinspect.formats.luet.bolt import open_bolt
from cosinspect.formats.luet.records import Fields, StormRecords
from cosinspect.limits import DEFAULT_LIMITS, Limits

__all__ = [
    "PACKAGE_BUCKETS",
    "LuetDatabase",
    "LuetFileRecord",
    "LuetPackage",
    "LuetSelector",
    "read_database",
]

PACKAGE_BUCKETS = ("Package", "DefaultPackage")
"""The buckets of packages, in the order in which they are read."""

_FILE_BUCKETS = ("files", "PackageFile")

_IRREGULAR_COMPONENTS = ("//", "/./", "/../")
_REPOSITORY = re.compile(r"/repos/([^/]+)/treefs/")


@frozen
class LuetSelector:
    """A package that another one requires, conflicts with or provides; `version` may be a condition such as `>=0`."""

    category: str
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.category}/{self.name}-{self.version}"


@frozen(kw_only=True)
class LuetFileRecord:
    """The files of one package.

    Attributes:
        id: the record's key.
        fingerprint: of the package, see `LuetPackage.fingerprint`.
        files: relative to the root, without `.`, `..` and empty components. They are not trusted.
        irregular_files: names that were stored in another form, unchanged.
        malformed: fields with a value of a type that luet cannot read.
    """

    id: int
    fingerprint: str
    files: tuple[str, ...] = ()
    irregular_files: tuple[str, ...] = ()
    malformed: tuple[str, ...] = ()


@frozen(kw_only=True)
class LuetPackage:
    """An installed package.

    Attributes:
        category: such as `system`; may be empty.
        name: without category and version.
        version: as stored; versions of luet order it differently.
        files: of its file record, empty if it has no such record.
        file_record: the id of that record, None if there is none.
        id: the record's key.
        bucket: one of `PACKAGE_BUCKETS`.
        requires: the packages that it needs.
        conflicts: the packages that it excludes.
        provides: the packages that it replaces.
        annotations: free key-value pairs, in the order stored.
        labels: the same, for selection.
        description: one line.
        license: in the package's own words.
        uri: its homepages.
        path: of its definition at installation.
        build_timestamp: a time in Go's text form.
        hidden: whether searches omit it.
        malformed: fields with a value of a type that luet cannot read; they are empty here.
    """

    category: str
    name: str
    version: str
    files: tuple[str, ...] = ()
    file_record: int | None = None
    id: int
    bucket: str
    requires: tuple[LuetSelector, ...] = ()
    conflicts: tuple[LuetSelector, ...] = ()
    provides: tuple[LuetSelector, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    description: str = ""
    license: str = ""
    uri: tuple[str, ...] = ()
    path: str = ""
    build_timestamp: str = ""
    hidden: bool = False
    malformed: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.category}/{self.name}-{self.version}"

    @property
    def fingerprint(self) -> str:
        """The name that luet prints for the package. It cannot be split again, because names and versions contain hyphens."""
        return _fingerprint(self.name, self.category, self.version)

    @property
    def repository(self) -> str | None:
        """The repository of the package, if luet kept the repository's tree (`cached: true`)."""
        found = _REPOSITORY.search(self.path)
        return found[1] if found else None


@frozen(kw_only=True)
class LuetDatabase:
    """The content of a luet database.

    Attributes:
        problems: faults of the file that do not prevent reading, lost transactions first.
        packages: in the order of `PACKAGE_BUCKETS`, in each by id. The order of ids has no meaning.
        file_records: by id, with and without a package.
        is_storm: whether storm wrote it; otherwise it is another program's bolt file, and has no packages here.
        is_migration_broken: whether luet 0.30.0 or 0.30.1 damaged the bucket `Package`: its records exist, but luet lists none.
        page_size: of the file, in bytes.
        byteorder: of the machine that wrote it.
        txid: the last transaction.
    """

    problems: tuple[str, ...] = ()
    packages: tuple[LuetPackage, ...] = ()
    file_records: tuple[LuetFileRecord, ...] = ()
    is_storm: bool = True
    is_migration_broken: bool = False
    page_size: int
    byteorder: Literal["little", "big"]
    txid: int


def read_database(data: bytes | memoryview, *, limits: Limits = DEFAULT_LIMITS) -> LuetDatabase:
    """Read all packages and their files.

    Args:
        data: the whole file.
        limits: `database_bytes` bounds the file, `parsed_file_bytes` each record.

    Raises:
        FormatError: of the kinds that `open_bolt` and `BoltDatabase.elements` name.
    """
    database = open_bolt(data, limits=limits)
    records = StormRecords(database, limits, dict.fromkeys(database.problems))
    # File lists come first, so that only one decoded record is in memory at a time.
    file_records = tuple(
        _file_record(record_id, fields) for record_id, fields in records.read(*_FILE_BUCKETS)
    )
    by_fingerprint: dict[str, LuetFileRecord] = {}
    for record in file_records:
        spend()
        by_fingerprint.setdefault(record.fingerprint, record)  # luet also uses the first
    packages = tuple(
        _package(bucket, record_id, fields, by_fingerprint)
        for bucket in PACKAGE_BUCKETS
        for record_id, fields in records.read(bucket)
    )
    return LuetDatabase(
        problems=tuple(records.problems),
        packages=packages,
        file_records=file_records,
        is_storm=database.bucket(b"__storm_db") is not None,
        is_migration_broken="Package" in records.plain_metadata,
        page_size=database.page_size,
        byteorder=database.byteorder,
        txid=database.txid,
    )


def _package(
    bucket: str, record_id: int, fields: Fields, by_fingerprint: dict[str, LuetFileRecord]
) -> LuetPackage:
    name, category, version = fields.text("name"), fields.text("category"), fields.text("version")
    record = by_fingerprint.get(_fingerprint(name, category, version))
    return LuetPackage(
        category=category,
        name=name,
        version=version,
        files=() if record is None else record.files,
        file_record=None if record is None else record.id,
        id=record_id,
        bucket=bucket,
        requires=_selectors(fields, "requires"),
        conflicts=_selectors(fields, "conflicts"),
        provides=_selectors(fields, "provides"),
        annotations=fields.pairs("annotations"),
        labels=fields.pairs("labels"),
        description=fields.text("description"),
        license=fields.text("license"),
        uri=fields.texts("uri"),
        path=fields.text("path"),
        build_timestamp=fields.text("buildtimestamp"),
        hidden=fields.flag("hidden"),
        malformed=tuple(fields.malformed),
    )


def _selectors(fields: Fields, name: str) -> tuple[LuetSelector, ...]:
    return tuple(
        LuetSelector(package.text("category"), package.text("name"), package.text("version"))
        for package in fields.objects(name)
    )


def _file_record(record_id: int, fields: Fields) -> LuetFileRecord:
    fingerprint = fields.text("packagefingerprint")
    stored = fields.texts("files")
    files = stored
    irregular: tuple[str, ...] = ()
    # All names are searched at once first, each between its own slashes: few lists have a name that needs more.
    joined = "/" + "/\0/".join(stored) + "/"
    if stored and any(component in joined for component in _IRREGULAR_COMPONENTS):
        files = tuple(name for name in map(_cleaned, stored) if name)
        irregular = tuple(name for name in stored if not name or name != _cleaned(name))
    return LuetFileRecord(
        id=record_id,
        fingerprint=fingerprint,
        files=files,
        irregular_files=irregular,
        malformed=tuple(fields.malformed),
    )


def _cleaned(name: str) -> str:
    """Make a name relative to the root as luet does, which joins the two: `..` stops at the root."""
    kept: list[str] = []
    for component in name.split("/"):
        if component == "..":
            del kept[-1:]
        elif component not in {"", "."}:
            kept.append(component)
    return "/".join(kept)


def _fingerprint(name: str, category: str, version: str) -> str:
    return f"{name}-{category}-{version}"
