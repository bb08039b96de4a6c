"""rpm's databases of real systems, as rpm itself lists them; those of the backend ndb, which Debian's rpm does not read, by go-rpmdb.

The files are those of the module go-rpmdb: CentOS 5 to 8, UBI 8 on s390x, Fedora 35, CBL-Mariner 2 and SLE 15.
"""

import functools
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from cosinspect.formats.packages.rpm import read_rpm_database
from rpm_files import printed_by_rpm, rows

pytestmark = pytest.mark.modules
MODULE = "github.com/knqyf263/go-rpmdb"
VERSION = "v0.1.1"
BACKENDS = {"Packages": "bdb_ro", "rpmdb.sqlite": "sqlite", "Packages.db": None}
SYSTEMS = (
    "centos5-plain/Packages", "centos6-devtools/Packages", "centos6-many/Packages", "centos6-plain/Packages",
    "centos7-devtools/Packages", "centos7-httpd24/Packages", "centos7-many/Packages", "centos7-plain/Packages",
    "centos7-python35/Packages", "centos8-modularitylabel/Packages", "libuuid/Packages", "ubi8-s390x/Packages",
    "cbl-mariner-2.0/rpmdb.sqlite", "fedora35-plus-mongo/rpmdb.sqlite", "fedora35/rpmdb.sqlite", "sle15-bci/Packages.db",
)  # fmt: skip
JUDGE = """package main

import (
	"fmt"
	"os"

	rpmdb "github.com/knqyf263/go-rpmdb/pkg"
)

func main() {
	db, err := rpmdb.Open(os.Args[1])
	if err != nil {
		panic(err)
	}
	packages, err := db.ListPackages()
	if err != nil {
		panic(err)
	}
	for _, p := range packages {
		epoch := ""
		if p.Epoch != nil {
			epoch = fmt.Sprintf("%d:", *p.Epoch)
		}
		fmt.Printf("%s|%s%s-%s|%s|%s|%s\\n", p.Name, epoch, p.Version, p.Release, p.Arch, p.SourceRpm, p.License)
	}
}
"""


@functools.cache
def module():
    """The directory of the module."""
    done = subprocess.run(
        ["go", "mod", "download", "-json", f"{MODULE}@{VERSION}"], capture_output=True, check=True
    )
    return Path(json.loads(done.stdout)["Dir"])


def printed_by_module(file, top):
    """What go-rpmdb lists."""
    (top / "main.go").write_text(JUDGE)
    (top / "go.mod").write_text(f"module cosinspect.test/rpm\n\ngo 1.23.0\n\nrequire {MODULE} {VERSION}\n")
    for command in (["go", "mod", "tidy"], ["go", "build", "-o", "judge", "."]):
        subprocess.run(command, cwd=top, check=True, capture_output=True)
    done = subprocess.run([top / "judge", file], capture_output=True, text=True, check=True)
    return sorted(line.replace("||", "|(none)|") for line in done.stdout.splitlines())


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_packages_of_a_real_system_are_those_that_others_list(system, tmp_path):
    file = module() / "pkg/testdata" / system
    data = file.read_bytes()
    backend = BACKENDS[file.name]
    if backend is None:
        listed = printed_by_module(file, tmp_path)
    else:
        shutil.copy(file, tmp_path)
        listed = printed_by_rpm(tmp_path, backend)

    assert rows(read_rpm_database(data)) == listed
    assert listed
