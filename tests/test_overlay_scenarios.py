"""The scenarios of layer-semantics.json: what umoci really made of each stack is what the semantics `oci` must make of it.

The fixture was recorded by running the implementations; nothing in it comes from this project.
"""

import json
from pathlib import Path

import pytest

from cosinspect.rootfs import Rootfs
from cosinspect.testing import Device, Directory, File, Hardlink, RawName, Symlink, tar_bytes
from stacks import index_of

SCENARIOS = {
    scenario["id"]: scenario
    for scenario in json.loads((Path(__file__).parent / "data/layer-semantics.json").read_text())["scenarios"]
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


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_tree_is_umocis(name):
    scenario = SCENARIOS[name]
    indexes = [index_of(tar_bytes(list(entries(layer)), parents=False)) for layer in scenario["layers"]]

    rootfs = Rootfs(indexes)

    expected = DIFFERENT.get(name, scenario["observed"]["umoci"])
    assert not expected.startswith("ERR")
    found = notation(rootfs, lambda path: rootfs.read_bytes(path).decode("latin-1"))
    assert " ".join(sorted(expected.split(" "))) == " ".join(sorted(found.split(" ")))


@pytest.mark.parametrize("name", TOLD)
def test_what_umoci_refuses_is_told(name):
    assert SCENARIOS[name]["observed"]["umoci"].startswith("ERR")
    indexes = [
        index_of(tar_bytes(list(entries(layer)), parents=False)) for layer in SCENARIOS[name]["layers"]
    ]

    told = {problem.kind for problem in Rootfs(indexes).problems}
    told |= {irregularity.kind for index in indexes for irregularity in index.irregularities}

    assert TOLD[name] in told
