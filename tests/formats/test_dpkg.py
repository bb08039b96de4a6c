"""dpkg's status: the judge is dpkg-query over the same file; what it refuses, we refuse."""

import shutil
import subprocess

import pytest
from attrs import evolve

from cosinspect.errors import FormatError
from cosinspect.formats.packages.dpkg import read_dpkg_status
from cosinspect.limits import DEFAULT_LIMITS

STATUS = b"""\
Package: base-files
Status: install ok installed
Priority: required
Architecture: amd64
Version: 12.4+deb12u5
Description: Debian base system miscellaneous files
 This package contains the basic filesystem hierarchy of a Debian system, and
 .
 Package: not-a-field

Package: libssl3
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Source: openssl (3.0.11-1~deb12u2)
Version: 3.0.11-1~deb12u2+b1

Package: libssl3
Status: install ok installed
Architecture: i386
Multi-Arch: same
Source: openssl
Version: 3.0.11-1~deb12u2+b1

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1.0

Package: never
Status: unknown ok not-installed
Architecture: all

Package: half
Status: install ok unpacked
Architecture: all
Version: 1:2.0-3
"""
NAMES = {
    ("base-files", "12.4+deb12u5", "amd64", "base-files"),
    ("libssl3", "3.0.11-1~deb12u2+b1", "amd64", "openssl"),
    ("libssl3", "3.0.11-1~deb12u2+b1", "i386", "openssl"),
    ("half", "1:2.0-3", "all", "half"),
}


def told(packages):
    return {(each.name, each.version, each.architecture, each.source) for each in packages}


def test_packages_whose_files_are_unpacked_are_listed():
    packages, problems = read_dpkg_status(STATUS)

    assert told(packages) == NAMES
    assert len(packages) == 4
    assert {each.type for each in packages} == {"deb"}
    assert problems == ("half is unpacked: its installation is not complete",)


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="dpkg-query is the judge")
def test_dpkg_query_lists_the_same(tmp_path):
    (tmp_path / "status").write_bytes(STATUS)
    (tmp_path / "info").mkdir()
    fields = "${db:Status-Status}|${Package}|${Version}|${Architecture}|${source:Package}\n"
    listed = subprocess.run(
        ["dpkg-query", "--admindir", tmp_path, "-W", "-f", fields], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split("|") for line in listed.splitlines()]

    assert {tuple(row[1:]) for row in rows if row[0] not in ("not-installed", "config-files")} == NAMES


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"Package: a\nno field\n", "expected a field, NAME: VALUE, in line 2"),
        (b" continued\n", "expected a field, NAME: VALUE, in line 1"),
        (
            b"Version: 1\nStatus: install ok installed\n\n",
            "expected the field Package in the record before line 3",
        ),
    ],
)
@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="dpkg-query is the judge")
def test_what_dpkg_refuses_is_refused(text, message, tmp_path):
    with pytest.raises(FormatError) as caught:
        read_dpkg_status(text)
    assert (caught.value.kind, caught.value.message) == ("syntax", message)

    (tmp_path / "status").write_bytes(text)
    (tmp_path / "info").mkdir()
    judged = subprocess.run(["dpkg-query", "--admindir", tmp_path, "-W"], capture_output=True, check=False)
    assert judged.returncode == 2, judged


def test_a_file_of_status_d_has_no_state():
    (package,), problems = read_dpkg_status(b"Package: tzdata\nVersion: 2024a-0+deb12u1\nArchitecture: all\n")

    assert ((package.name, package.version), problems) == (("tzdata", "2024a-0+deb12u1"), ())


@pytest.mark.parametrize(
    ("bounds", "text", "kind"),
    [
        ({"database_bytes": 10}, b"Package: abc\n", "limit"),
        ({"database_records": 1}, b"Package: a\nVersion: 1\n\nPackage: b\nVersion: 1\n", "limit"),
        ({"database_values": 2}, b"Package: a\n\n\n", "limit"),
        ({}, b"Package: a\n" + b"x" * (1 << 20) + b": a\n", "limit"),
        ({}, b"Package: a\0\n", "binary"),
    ],
)
def test_bounds(bounds, text, kind):
    with pytest.raises(FormatError) as caught:
        read_dpkg_status(text, limits=evolve(DEFAULT_LIMITS, **bounds))
    assert caught.value.kind == kind
