"""Packages of every kind in images: which databases are found, which layer brought each package, and what cannot be decided."""

import contextlib
import json
import lzma
import sqlite3
from pathlib import Path

import pytest
from attrs import evolve

from cosinspect import open_image
from cosinspect.facts.packages import find_packages, package_reads
from cosinspect.formats.packages.rpm_sqlite import sqlite_blobs
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.testing import ImageBuilder, Symlink, Whiteout
from rpm_files import EXPECTED, ndb_file, rows, rpm_header, stored

STATUS = "var/lib/dpkg/status"


def deb(*packages):
    return "".join(
        f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n"
        for name, version in (each.split("=") for each in packages)
    )


def apk(*packages):
    return "".join(f"P:{name}\nV:{version}\n\n" for name, version in (each.split("=") for each in packages))


def desc(name, version, more=""):
    return {f"var/lib/pacman/local/{name}-{version}/desc": f"%NAME%\n{name}\n\n%VERSION%\n{version}\n{more}"}


def find(tmp_path, *layers, limits=DEFAULT_LIMITS, retain=True):
    """Find the packages of an image with these layers."""
    builder = ImageBuilder()
    for layer in layers:
        builder = builder.layer(layer, parents=False)
    with open_image(builder.build().write_layout(tmp_path)) as image:
        rootfs = image.read_rootfs(package_reads() if retain else ())
        return find_packages(rootfs, image.config, limits=limits)


def brought(database):
    return {each.name: (each.version, each.layer) for each in database.packages}


# -- layers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retain", [True, False])
def test_the_layer_that_brought_a_package_is_the_first_that_lists_it_from_then_on(tmp_path, retain):
    (found,) = find(
        tmp_path,
        {"etc/os-release": "ID=debian\n"},
        {STATUS: deb("kept=1", "upgraded=1", "removed=1", "back=1")},
        {"usr/bin/x": ""},
        {STATUS: deb("kept=1", "upgraded=2", "new=1")},
        {STATUS: deb("kept=1", "upgraded=2", "new=1", "back=1")},
        retain=retain,
    )

    assert (f"/{STATUS}", 4, None, ()) == (found.path, found.layer, found.fault, found.problems)
    assert brought(found) == {"kept": ("1", 1), "upgraded": ("2", 3), "new": ("1", 3), "back": ("1", 4)}


def test_a_database_that_was_removed_in_between_begins_anew(tmp_path):
    (found,) = find(
        tmp_path, {STATUS: deb("a=1")}, {"var/lib/dpkg/status": Whiteout()}, {STATUS: deb("a=1", "b=1")}
    )

    assert brought(found) == {"a": ("1", 2), "b": ("1", 2)}


def test_a_database_whose_directory_was_moved_is_the_work_of_that_layer(tmp_path):
    """What the docs state: versions of the database at its present place count."""
    (found,) = find(
        tmp_path,
        {"lib/apk/db/installed": apk("musl=1")},
        {"lib": Whiteout()},
        {"lib": Symlink("usr/lib"), "usr/lib/apk/db/installed": apk("musl=1", "zlib=1")},
    )

    assert ("/usr/lib/apk/db/installed", {"musl": ("1", 2), "zlib": ("1", 2)}) == (found.path, brought(found))


def test_an_earlier_version_that_cannot_be_read_leaves_the_layer_undecided(tmp_path):
    (found,) = find(
        tmp_path,
        {STATUS: deb("a=1")},
        {STATUS: "damaged"},
        {STATUS: deb("a=1")},
        {STATUS: deb("a=1", "b=1")},
    )

    assert brought(found) == {"a": ("1", None), "b": ("1", 3)}
    assert found.fault is None
    (problem,) = found.problems
    assert problem == (
        "which layer brought 1 of the packages is undecided: the version of layer 1 is unreadable: syntax: "
        "expected a field, NAME: VALUE, in line 1"
    )


def test_a_package_of_pacman_is_brought_by_the_layer_that_made_its_directory(tmp_path):
    (found,) = find(
        tmp_path,
        {**desc("bash", "5-1"), "var/lib/pacman/local/ALPM_DB_VERSION": "9\n"},
        desc("zlib", "1-1"),
        desc("bash", "5-1", "\n%REASON%\n1\n"),
    )

    assert ("/var/lib/pacman/local", 2) == (found.path, found.layer)
    assert brought(found) == {"bash": ("5-1", 0), "zlib": ("1-1", 1)}


def test_luet_packages_have_the_layer_of_their_database(tmp_path):
    data = Path(__file__).parents[1] / "data/luetdb"
    known = json.loads((data / "expected.json").read_text())["files"]["luet-0.20.6-minimal.db"]["installed"]
    database = lzma.decompress((data / "luet-0.20.6-minimal.db.xz").read_bytes())
    (found,) = find(tmp_path, {"etc/hosts": ""}, {"var/cache/luet/luet.db": database}, {"etc/x": ""})

    assert sorted((each.category, each.name, each.version, each.files) for each in found.packages) == sorted(
        (each["category"], each["name"], each["version"], tuple(each["files"])) for each in known
    )
    assert {each.layer for each in found.packages} == {1}


def test_packages_of_rpm_in_the_log_of_its_database_count(tmp_path):
    """rpm that is killed leaves its last transactions in the log; SQLite made both files."""
    path = tmp_path / "rpmdb.sqlite"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
        log = path.with_name("rpmdb.sqlite-wal")
        layers = []
        for name in ("first", "second"):
            header = rpm_header({1000: name, 1001: "1", 1002: "2"})
            connection.execute("INSERT INTO Packages (blob) VALUES (?)", (header,))
            layers.append({f"{RPM}/{each.name}": each.read_bytes() for each in (path, log)})

    (found,) = find(
        tmp_path / "image", layers[0], {f"{RPM}/rpmdb.sqlite-wal": layers[1][f"{RPM}/{log.name}"]}
    )

    assert (f"/{RPM}/rpmdb.sqlite", 1, "rpm") == (found.path, found.layer, found.type)
    assert brought(found) == {"first": ("1-2", 0), "second": ("1-2", 1)}


RPM = "usr/lib/sysimage/rpm"


@pytest.mark.parametrize(
    ("directory", "name", "content"),
    [
        ("var/lib/rpm", "rpmdb.sqlite", "rpmdb.sqlite"),
        (RPM, "Packages.db", None),
        ("usr/share/rpm", "Packages", "Packages.big"),
    ],
)
def test_a_database_of_rpm_is_found_in_each_backend_and_place(tmp_path, directory, name, content):
    whole = stored("rpmdb.sqlite")
    data = stored(content) if content else ndb_file(list(sqlite_blobs(whole, b"", DEFAULT_LIMITS)))
    layer = {f"{directory}/{name}": data}
    if directory != "var/lib/rpm":
        layer["var/lib/rpm"] = Symlink(f"../../{directory}")

    (found,) = find(tmp_path, {"etc/x": ""}, layer)

    assert (f"/{directory}/{name}", None) == (found.path, found.fault)
    assert rows(found.packages) == EXPECTED
    assert {each.layer for each in found.packages} == {1}


def test_an_empty_database_of_rpm_has_no_packages(tmp_path):
    (found,) = find(tmp_path, {"var/lib/rpm/Packages": ""})

    assert (None, ()) == (found.fault, found.packages)


# -- places ----------------------------------------------------------------------------------------------------------


def test_all_kinds_are_found_beside_each_other(tmp_path):
    found = find(
        tmp_path,
        {STATUS: deb("a=1"), "lib/apk/db/installed": apk("b=1"), **desc("c", "1-1")},
        {"var/lib/dpkg/status.d/d": "Package: d\nVersion: 1\n", "var/lib/dpkg/status.d/d.md5sums": "x  y\n"},
    )

    assert [
        ("deb", f"/{STATUS}", ["a"]),
        ("deb", "/var/lib/dpkg/status.d", ["d"]),
        ("apk", "/lib/apk/db/installed", ["b"]),
        ("alpm", "/var/lib/pacman/local", ["c"]),
    ] == [(each.type, each.path, [package.name for package in each.packages]) for each in found]


def test_pacman_conf_names_the_database(tmp_path):
    (found,) = find(
        tmp_path,
        {
            "etc/pacman.conf": "[options]\nDBPath = /usr/lib/pacman\n",
            "usr/lib/pacman/local/a-1-1/desc": "%NAME%\na\n\n%VERSION%\n1-1\n",
        },
    )

    assert ("/usr/lib/pacman/local", {"a": ("1-1", 0)}) == (found.path, brought(found))


def test_a_database_behind_two_names_is_one(tmp_path):
    (found,) = find(tmp_path, {"lib": Symlink("usr/lib"), "usr/lib/apk/db/installed": apk("a=1")})

    assert "/usr/lib/apk/db/installed" == found.path


# -- what cannot be decided ------------------------------------------------------------------------------------------


def test_a_damaged_database_is_undecided_and_hides_no_other(tmp_path):
    damaged, whole = find(tmp_path, {STATUS: "\0", "lib/apk/db/installed": apk("a=1")})

    assert ("unreadable: binary: expected text, found a NUL byte", ()) == (damaged.fault, damaged.packages)
    assert (None, ["a"]) == (whole.fault, [each.name for each in whole.packages])


def test_a_damaged_description_leaves_the_others(tmp_path):
    (found,) = find(tmp_path, {**desc("a", "1-1"), "var/lib/pacman/local/b-1-1/desc": "damaged\n"})

    assert ["a"] == [each.name for each in found.packages]
    assert found.fault == (
        "/var/lib/pacman/local/b-1-1/desc: unreadable: syntax: expected a field such as %NAME% in line 1"
    )


def test_a_database_beyond_a_bound_is_undecided(tmp_path):
    (found,) = find(
        tmp_path, {STATUS: deb("a=1")}, limits=evolve(DEFAULT_LIMITS, database_bytes=10, database_records=0)
    )

    assert found.fault == "unreadable: expected at most 10 bytes, the file has 72"


# -- package URLs ----------------------------------------------------------------------------------------------------


def test_package_urls_are_those_that_scanners_expect(tmp_path):
    """The forms of the types' definitions (purl-spec, types deb, apk and alpm)."""
    system = {"etc/os-release": 'ID=debian\nVERSION_ID="12"\n'}
    record = "Package: libssl3\nSource: openssl\nArchitecture: amd64\nVersion: 1:3.0~rc1+b1\n"
    (found,) = find(tmp_path, {**system, STATUS: record})

    assert (
        found.packages[0].purl
        == "pkg:deb/debian/libssl3@1:3.0~rc1%2Bb1?arch=amd64&distro=debian-12&upstream=openssl"
    )


def test_the_package_url_of_rpm_has_the_epoch_apart(tmp_path):
    """As purl-spec defines the type rpm, and syft writes `upstream`."""
    system = {"etc/os-release": 'ID="opensuse-leap"\nVERSION_ID="15.6"\n'}
    (found,) = find(tmp_path, {**system, "var/lib/rpm/rpmdb.sqlite": stored("rpmdb.sqlite")})

    urls = {each.name: each.purl for each in found.packages}
    assert (
        urls["beta"]
        == "pkg:rpm/opensuse/beta@2.5~rc1-3?arch=x86_64&distro=opensuse-leap-15.6&epoch=7&upstream=beta-2.5~rc1-3.src.rpm"
    )


def test_names_that_are_not_utf_8_have_a_package_url(tmp_path):
    (found,) = find(tmp_path, {STATUS: deb("a=1").encode().replace(b"Package: a", b"Package: \xff")})

    assert ("\udcff", "pkg:deb/%EF%BF%BD@1?arch=amd64") == (found.packages[0].name, found.packages[0].purl)
