"""The scenarios of layer-semantics.json: what umoci really made of each stack is what the semantics `oci` must make of it.

The fixture was recorded by running the implementations; nothing in it comes from this project.
"""

import ast
import json
from pathlib import Path

import attrs
import pytest

from cosinspect.rootfs import semantics
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.rootfs.semantics import Semantics
from cosinspect.testing import Device, Directory, File, Hardlink, RawName, Symlink, tar_bytes
from stacks import index_of

SCENARIOS = {
    scenario["id"]: scenario
    for scenario in json.loads((Path(__file__).parents[1] / "data/layer-semantics.json").read_text())[
        "scenarios"
    ]
}

DIFFERENT = {
    # umoci gives the implied directory the mode of the file it replaces, 0644, so that only root could enter it. No
    # specification asks for that; a directory nobody lists is 0755 here, as where nothing was before.
    "implicit_dir_over_file": "p/ p/c=x",
    # umoci refuses these images; the specification calls the name invalid, so it has no effect here and is told.
    "wh_empty_name": "x=x",
    "wh_dotdot": "d/ d/x=x",
    # umoci refuses these images too: there is nothing to link to, and the root cannot be a link.
    "hard_escape": "",
    "root_as_symlink": "a/",
}

TOLD = {
    "wh_empty_name": "invalid-whiteout",
    "wh_dotdot": "invalid-whiteout",
    "hard_escape": "dangling-hardlink",
    "root_as_symlink": "root-not-directory",
}


def entries(layer):
    for item in layer:
        name = RawName(item["name"].encode("latin-1"))
        mode = int(item["mode"], 8)
        xattrs = {
            key.removeprefix("SCHILY.xattr."): value.encode() for key, value in item.get("pax", {}).items()
        }
        match item["type"]:
            case "file":
                yield name, File(item.get("content", ""), mode=mode, xattrs=xattrs)
            case "dir":
                yield name, Directory(mode=mode, xattrs=xattrs)
            case "symlink":
                yield name, Symlink(item["linkname"])
            case "hardlink":
                yield name, Hardlink(RawName(item["linkname"]))
            case "chardev":
                yield name, Device("char", *item["device"])


def notation(rootfs: Rootfs, contents) -> str:
    """Write a tree as the fixture does."""
    lines = []
    shared: dict[tuple[str, ...], int] = {}
    for entry in rootfs.walk():
        if entry.path == "/":
            continue
        text = entry.path[1:]
        if entry.type == "dir":
            text += "/" + ("" if entry.mode == 0o755 else f"{entry.mode:o}")
        elif entry.type == "symlink":
            text += f"->{entry.link}"
        elif entry.type == "char":
            text += f"=chr{entry.device[0]},{entry.device[1]}"
        else:
            text += f"={contents(entry.path)}"
        if names := rootfs.hardlinks(entry):
            text += f"#{shared.setdefault(names, len(shared))}"
        lines.append(text)
    return " ".join(sorted(lines))


def merged(name, semantics=Semantics.OCI):
    layers = SCENARIOS[name]["layers"]
    return Rootfs(
        [index_of(tar_bytes(list(entries(layer)), parents=False)) for layer in layers], semantics=semantics
    )


def tree(rootfs):
    return sorted(notation(rootfs, lambda path: rootfs.read_bytes(path).decode("latin-1")).split(" "))


def parts(text):
    return sorted(text.split(" "))


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_tree_is_umocis(name):
    expected = DIFFERENT.get(name, SCENARIOS[name]["observed"]["umoci"])
    assert not expected.startswith("ERR")
    assert parts(expected) == tree(merged(name))


@pytest.mark.parametrize("name", TOLD)
def test_what_umoci_refuses_is_told(name):
    assert SCENARIOS[name]["observed"]["umoci"].startswith("ERR")
    rootfs = merged(name)

    told = {problem.kind for problem in rootfs.problems}
    told |= {irregularity.kind for index in rootfs.indexes for irregularity in index.irregularities}

    assert TOLD[name] in told


COLUMNS = [
    (semantics, column, name)
    for semantics, column in ((Semantics.OVERLAY, "containerd-overlay"), (Semantics.ELEMENTAL, "elemental"))
    for name in SCENARIOS
]

# Where containerd on overlayfs lists a name and then has no file for it, nobody can use the name: it is not in our tree, but
# it is told.
PHANTOM = {
    "wh_thru_symlink": "lib/ usr/ usr/lib/ usr/lib/x=x",
    "opq_with_explicit_wh": "d/ d/n=x",
}
# The recorded trees mark a file by its count of links. A name that a higher layer has taken over still counts on disk,
# and is not one of the names by which the file can be reached.
COUNTED = {"hard_then_target_replaced": "h=1 t=2"}


@pytest.mark.parametrize(("semantics", "column", "name"), COLUMNS)
def test_the_tree_is_that_of_the_column(semantics, column, name):
    expected = SCENARIOS[name]["observed"][column]
    rootfs = merged(name, semantics)
    fatal = [problem.kind for problem in rootfs.problems if problem.fatal]

    if semantics is Semantics.OVERLAY and name in PHANTOM:
        assert expected.startswith("ERR listed but absent")
        assert ["phantom-name"] == [problem.kind for problem in rootfs.problems]
        expected = PHANTOM[name]
    elif semantics is Semantics.OVERLAY and name in COUNTED:
        assert expected.replace("#0", "") == COUNTED[name]
        expected = COUNTED[name]
    elif expected.startswith("ERR"):
        assert [REFUSALS[semantics, name]] == fatal
        return
    assert [] == fatal
    assert parts(expected) == tree(rootfs)


REFUSALS = {
    (Semantics.OVERLAY, "wh_after_same_layer"): "whiteout-over-entry",
    (Semantics.OVERLAY, "whdir_after_recreate"): "whiteout-over-entry",
    (Semantics.OVERLAY, "whdir_then_implicit_child"): "parent-not-directory",
    (Semantics.OVERLAY, "hard_xlayer"): "dangling-hardlink",
    (Semantics.OVERLAY, "hard_xlayer_wh_after"): "dangling-hardlink",
    (Semantics.OVERLAY, "hard_link_then_target_replaced_same_layer"): "dangling-hardlink",
    (Semantics.OVERLAY, "hard_escape"): "dangling-hardlink",
    (Semantics.OVERLAY, "wh_empty_name"): "invalid-whiteout",
    (Semantics.OVERLAY, "wh_dotdot"): "invalid-whiteout",
    (Semantics.OVERLAY, "wh_in_lowest_layer"): "whiteout-over-entry",
    (Semantics.OVERLAY, "umoci254"): "parent-not-directory",
    (Semantics.OVERLAY, "wh_parent_of_kept"): "lower-not-directory",
    (Semantics.ELEMENTAL, "hard_xlayer"): "dangling-hardlink",
    (Semantics.ELEMENTAL, "hard_xlayer_wh_after"): "dangling-hardlink",
    (Semantics.ELEMENTAL, "hard_link_then_target_replaced_same_layer"): "dangling-hardlink",
    (Semantics.ELEMENTAL, "hard_escape"): "dangling-hardlink",
    (Semantics.ELEMENTAL, "wh_aufs_plnk"): "dangling-hardlink",
}


def test_every_refusal_of_the_columns_is_expected():
    refused = {
        (semantics, name)
        for semantics, column, name in COLUMNS
        if SCENARIOS[name]["observed"][column].startswith("ERR") and name not in PHANTOM
    }
    assert refused == set(REFUSALS)


def test_every_rule_of_a_reader_is_read():
    """A rule that nobody reads would be documented and have no effect."""
    package = Path(semantics.__file__).parent
    read = {
        node.attr
        for path in package.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }
    assert {field.name for field in attrs.fields(semantics.Rules)} <= read
