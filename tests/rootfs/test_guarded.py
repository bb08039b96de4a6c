"""The guards of go-containerregistry from 0.21 on, by its own cases, and what they make of an image of Elemental 3."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosinspect import inspect
from cosinspect.image.opening import open_image
from cosinspect.profiles import load_profile
from cosinspect.report.report import Verdict
from cosinspect.rootfs.guarded import OpaqueDirectories, leaves_root, link_leaves_root
from cosinspect.rootfs.semantics import USUAL, Semantics
from cosinspect.testing import Directory, Opaque, Symlink
from cosinspect.testing.derivative import derivative_of
from cosinspect.testing.derivative.parts import parts_of

NAMES = st.lists(st.sampled_from(["a", "b", "..", ".", "", "c:", "..data", "a\\b", "\\"]), max_size=5).map(
    "/".join
)


@pytest.mark.parametrize("name", ["..", "../x", "a/../../x", "..\\x", "\\x", "c:", "c:/x", "Z:x"])
def test_names_that_leave_the_root(name):
    assert leaves_root(name)


@pytest.mark.parametrize("name", ["a", "/../x", "..a", "a/..", ".", "1:x", "ab:c", "a/c:x", "a\\b"])
def test_names_that_stay_in_the_root(name):
    assert not leaves_root(name)


@pytest.mark.parametrize(
    ("name", "target", "leaves"),
    [
        ("a/b", "../c", False),
        ("a/b", "../../c", True),
        ("b", "../c", True),
        ("b", "..data", True),
        ("b", "/../c", False),
        ("/a/b", "../../../c", False),
        ("b", "c:x", True),
        ("b", "..\\c", True),
        ("b", "", False),
    ],
)
def test_links_that_leave_the_root(name, target, leaves):
    assert leaves == link_leaves_root(name, target)


@given(NAMES, NAMES)
def test_any_name_and_target_is_decided(name, target):
    assert isinstance(leaves_root(name), bool)
    assert isinstance(link_leaves_root(name, target), bool)


PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join)


@given(st.lists(PATHS, max_size=4), st.lists(PATHS, min_size=1, max_size=4))
def test_a_directory_hides_what_is_below_it_from_the_next_layer_on(emptied, names):
    directories = OpaqueDirectories()
    for each in emptied:
        directories.stage(each)
    assert not any(map(directories.hides, names))
    directories.promote()
    for name in names:
        below = any(name.startswith(f"{each}/") for each in emptied)
        assert below == directories.hides(name)


def test_the_root_is_emptied_as_any_directory():
    directories = OpaqueDirectories()
    directories.stage(".")
    directories.promote()

    assert directories.hides("a/b")
    assert not directories.hides("/a")
    assert not directories.hides(".")


def test_its_reading_takes_the_place_of_elementals():
    profile = load_profile("auto")

    own = (Semantics.OCI, Semantics.OVERLAY, Semantics.ELEMENTAL3)
    assert (own, USUAL) == (profile.choose("G6").semantics, profile.choose("G5").semantics)
    asked = profile.read_as((Semantics.ELEMENTAL,))
    assert (Semantics.ELEMENTAL,) == asked.choose("G6").semantics


def seen(tmp_path, generation, **entries):
    parts = parts_of(generation, "amd64")
    for name, entry in entries.items():
        parts.write(name, entry)
    report = inspect(derivative_of(parts).write_layout(tmp_path))
    (result,) = (each for each in report.results if each.check == "COS200")
    return report, result.findings


def test_an_opaque_whiteout_is_one_to_elemental_3(tmp_path):
    assert () == seen(tmp_path / "6", "G6", opt=Opaque())[1]
    assert seen(tmp_path / "5", "G5", opt=Opaque())[1]


def test_a_link_that_leaves_the_root_is_not_on_the_disk_of_elemental_3(tmp_path):
    report, (finding,) = seen(tmp_path, "G6", data=Symlink("../run/data"))

    assert "/data" == finding.path
    assert any("leaves a link out" in str(line) for line in finding.evidence)
    assert Verdict.PASS == report.verdict
    assert () == seen(tmp_path / "5", "G5", data=Symlink("../run/data"))[1]


def test_a_whiteout_of_a_name_that_is_written_hides_what_is_below(tmp_path):
    parts = parts_of("G6", "amd64")
    parts.packages["opt/tool/old"] = "old"
    parts.boot |= {"opt/tool": Opaque()}
    parts.top["opt/tool"] = Directory()
    with open_image(derivative_of(parts).write_layout(tmp_path)) as image:
        trees = {each: image.read_rootfs(semantics=each) for each in Semantics}

    assert {Semantics.ELEMENTAL} == {each for each, tree in trees.items() if tree.exists("/opt/tool/old")}
