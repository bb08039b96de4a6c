"""Units in a tree: what systemd finds where, what pulls in what, and systemctl itself as the judge."""

import posixpath
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from attrs import evolve

from cosinspect.errors import LimitExceeded
from cosinspect.facts.unit_tree import SEARCH_PATH, UnitTree
from cosinspect.limits import DEFAULT_LIMITS

UNITS = "/usr/lib/systemd/system"
ENABLED = "/etc/systemd/system"


class Folder:
    """A directory of the machine as a tree of files, links resolved in it."""

    def __init__(self, top):
        self.top = Path(top)

    def _real(self, path, hops=0):
        at = self.top / path.lstrip("/")
        if at.is_symlink() and hops < 9:
            inner = posixpath.normpath(posixpath.join(posixpath.dirname(path), str(at.readlink())))
            return self._real(inner, hops + 1)
        return at

    def names(self, directory):
        at = self._real(directory)
        return sorted(each.name for each in at.iterdir()) if at.is_dir() else ()

    def link(self, path):
        at = self.top / path.lstrip("/")
        return str(at.readlink()) if at.is_symlink() else None

    def size(self, path):
        at = self._real(path)
        return at.stat().st_size if at.is_file() and not at.is_symlink() else None

    def text(self, path):
        at = self._real(path)
        return at.read_text() if at.is_file() else None


def tree(tmp_path, files):
    for path, content in files.items():
        at = tmp_path / path.lstrip("/")
        at.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith("-> "):
            at.symlink_to(content[3:])
        else:
            at.write_text(content)
    return UnitTree(Folder(tmp_path))


def test_the_first_directory_of_the_search_path_counts(tmp_path):
    units = tree(
        tmp_path, {f"{UNITS}/a.target": "[Unit]\nWants=b.target\n", f"{ENABLED}/a.target": "[Unit]\n"}
    )
    assert f"{ENABLED}/a.target" == units.find("a.target").path


def test_an_alias_goes_by_the_name_of_its_target(tmp_path):
    units = tree(
        tmp_path,
        {
            f"{ENABLED}/default.target": "-> /lib/systemd/system/multi-user.target",
            f"{UNITS}/multi-user.target": "[Unit]\n",
        },
    )
    place = units.find("default.target")
    assert (f"{UNITS}/multi-user.target", "multi-user.target") == (place.path, place.id)


@pytest.mark.parametrize("content", ["", "-> /dev/null", "-> ../../../dev/null"])
def test_a_masked_unit_is_not_there(tmp_path, content):
    units = tree(tmp_path, {f"{ENABLED}/a.service": content, f"{UNITS}/a.service": "[Service]\n"})
    assert units.find("a.service").masked
    assert "masks it" in units.find("a.service").reason


def test_an_instance_is_its_template(tmp_path):
    units = tree(tmp_path, {f"{UNITS}/getty@.service": "[Service]\n"})
    assert units.find("getty@tty1.service").is_there
    assert not units.find("other@tty1.service").is_there


def test_what_is_required_is_told_from_what_is_wanted(tmp_path):
    units = tree(
        tmp_path,
        {
            f"{UNITS}/default.target": "[Unit]\nRequires=a.target\nWants=b.target\n",
            f"{UNITS}/a.target": "[Unit]\nBindsTo=c.target\n",
            f"{UNITS}/b.target": "[Unit]\nRequires=d.target\n",
            f"{ENABLED}/a.target.wants/e.service": "-> /nowhere/e.service",
            f"{ENABLED}/a.target.requires/f.service": "-> /dev/null",
            f"{ENABLED}/a.target.d/ours.conf": "[Unit]\nRequires=g.target\n",
        },
    )
    found = {need.name: need.required for need in units.started_by("default.target")}
    assert {"default.target", "a.target", "c.target", "g.target"} == {
        name for name, must in found.items() if must
    }
    assert {"b.target", "d.target", "e.service"} == {name for name, must in found.items() if not must}


def test_more_units_than_the_bound_are_undecided(tmp_path):
    names = [f"u{at}.target" for at in range(20)]
    all_of_them = f"[Unit]\nRequires={' '.join(names)}\n"
    tree(tmp_path, {f"{UNITS}/{name}": all_of_them for name in names})
    files = Folder(tmp_path)
    assert 20 == len(UnitTree(files, limits=evolve(DEFAULT_LIMITS, units=20 + 1)).started_by("u0.target"))
    with pytest.raises(LimitExceeded) as fault:
        UnitTree(files, limits=evolve(DEFAULT_LIMITS, units=19)).started_by("u0.target")
    assert "units" == fault.value.limit


def test_units_that_require_each_other_end(tmp_path):
    units = tree(
        tmp_path,
        {
            f"{UNITS}/a.target": "[Unit]\nRequires=b.target\n",
            f"{UNITS}/b.target": "[Unit]\nRequires=a.target\n",
        },
    )
    assert 2 == len(units.started_by("a.target"))
    loop = tree(
        tmp_path / "loop", {f"{ENABLED}/x.target": "-> y.target", f"{ENABLED}/y.target": "-> x.target"}
    )
    assert not loop.find("x.target").is_there


@pytest.mark.compat
@pytest.mark.skipif(shutil.which("systemctl") is None, reason="systemd is not installed")
def test_systemctl_finds_the_units_that_this_reader_finds(tmp_path):
    """250 units of random trees: masked, there or not found, as `systemctl --root is-enabled` prints."""
    random_ = random.Random(7)
    names = ["a.service", "b.service", "c.target", "t@.service", "d.socket"]
    states = {"masked": 0, "there": 0, "absent": 0}
    for number in range(50):
        files = {}
        for _ in range(random_.randint(2, 7)):
            top = random_.choice(
                [top for top in SEARCH_PATH if top.startswith(("/etc/systemd/system", "/usr"))]
            )
            if top.endswith((".control", ".attached")):
                continue
            name = random_.choice(names)
            contents = ["[Unit]\nDescription=x\n", "", "-> /dev/null"]
            if name == "a.service":
                contents.append(f"-> {UNITS}/b.service")
            files[f"{top}/{name}"] = random_.choice(contents)
        root = tmp_path / str(number)
        units = tree(root, files)
        (root / "etc").mkdir(parents=True, exist_ok=True)
        for name in names:
            told = subprocess.run(
                ["systemctl", f"--root={root}", "is-enabled", name],
                capture_output=True,
                text=True,
                check=False,
            )
            word = told.stdout.strip()
            judged = (
                "masked"
                if word.startswith("masked")
                else "absent"
                if not word or word == "not-found"
                else "there"
            )
            place = units.find(name)
            ours = "masked" if place.masked else "there" if place.is_there else "absent"
            states[ours] += 1
            assert judged == ours, (files, name, word, told.stderr)
    assert min(states.values()) > 15
