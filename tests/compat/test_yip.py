"""Documents and directories, real and made up, as yip itself reads them in nine versions.

The judges are small programs around `pkg/schema` and `pkg/executor` of github.com/mudler/yip and github.com/rancher/yip.
"""

import base64
import functools
import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from attrs import frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosinspect.facts.cloud_configs import read_all
from cosinspect.formats.boot.go_program import read_go_modules
from cosinspect.formats.yip.document import read_document
from cosinspect.formats.yip.schema import DOCUMENT, yip
from cosinspect.layer.retain import Retain
from cosinspect.limits import DEFAULT_LIMITS
from cosinspect.rootfs.rootfs import Rootfs
from cosinspect.testing import Directory, File, Symlink, tar_bytes
from stacks import SCALE, layer_of
from yip_documents import document

pytestmark = pytest.mark.modules
SOURCES = Path(__file__).parent / "yip"
REAL = os.environ.get("COSINSPECT_REAL_FILES")


@frozen
class Judge:
    """A version of yip: its module, and the major version of the file system's module that its executor takes."""

    module: str
    version: str
    files: str = ""


JUDGES = {
    "0.10": Judge("github.com/mudler/yip", "v0.0.0-20220321143540-2617d71ea02a"),
    "0.11": Judge("github.com/mudler/yip", "v0.11.5-0.20230124143654-91e88dfb6648"),
    "1.1.0": Judge("github.com/mudler/yip", "v1.1.0"),
    "1.9.3": Judge("github.com/mudler/yip", "v1.9.3", "v4"),
    "1.10.0": Judge("github.com/mudler/yip", "v1.10.0"),
    "1.15.0": Judge("github.com/mudler/yip", "v1.15.0"),
    "1.21.0": Judge("github.com/mudler/yip", "v1.21.0", "v4"),
    "1.25.0": Judge("github.com/mudler/yip", "v1.25.0", "v5"),
    "rancher-1.9.6": Judge("github.com/rancher/yip", "v1.9.6", "v4"),
}


@functools.cache
def program(name, source):
    """Build a judge, once."""
    judge = JUDGES[name]
    top = Path(tempfile.mkdtemp(prefix="yip"))
    text = (SOURCES / f"{source}.go.txt").read_text()
    text = text.replace("YIP/", f"{judge.module}/").replace(
        '"VFS"', f'"github.com/twpayne/go-vfs/{judge.files}"'
    )
    (top / "main.go").write_text(text)
    # Old versions name a module that is not to be had any more, and decode without it.
    (top / "empty").mkdir()
    (top / "empty/go.mod").write_text("module github.com/tredoe/osutil/v2\n\ngo 1.18\n")
    replace = "" if judge.files else "replace github.com/tredoe/osutil/v2 => ./empty\n"
    (top / "go.mod").write_text(
        f"module cosinspect.test/yip\n\ngo 1.23.0\n\nrequire {judge.module} {judge.version}\n{replace}"
    )
    for command in (["go", "mod", "tidy"], ["go", "build", "-o", "judge", "."]):
        subprocess.run(command, cwd=top, check=True, capture_output=True)
    return top / "judge"


def verdicts(name, documents):
    """What a version makes of each document: the plain value, or None where it refuses it."""
    lines = "".join(json.dumps({"text": base64.b64encode(each).decode()}) + "\n" for each in documents)
    found = subprocess.run([program(name, "decode")], input=lines, text=True, capture_output=True, check=True)
    return [json.loads(line).get("value") for line in found.stdout.splitlines()]


def plain(value, target):
    """Write a decoded value as the judge does: fields that are empty are left out."""
    if target.kind == "pointer":
        return None if value is None else plain(value, target.of)
    if target.kind == "struct":
        fields = {key: plain(each, target.fields[key]) for key, each in value.items()}
        return {key: each for key, each in fields.items() if each not in (None, "", 0, False, [], {})}
    if target.kind == "slice":
        return [plain(each, target.of) for each in value or ()]
    if target.kind == "map":
        return {key: plain(each, target.of) for key, each in (value or {}).items()}
    return value


def agree(name, documents):
    version = yip(name)
    accepted = 0
    for number, (text, judged) in enumerate(zip(documents, verdicts(name, documents), strict=True)):
        found = read_document(text, version)
        assert not found.bound
        ours = None if found.value is None else plain(found.value, version.type(DOCUMENT))
        assert judged == ours, f"document {number}: {text!r}: {found.refusals}"
        accepted += judged is not None
    return accepted


@pytest.mark.parametrize("name", JUDGES)
def test_documents_that_are_made_up_are_decoded_alike(name):
    documents = [document(number) for number in range(500 * SCALE)]
    accepted = agree(name, documents)
    # The generator is no good where one side is rare.
    assert len(documents) // 10 < accepted < len(documents) * 9 // 10


@pytest.mark.skipif(REAL is None, reason="COSINSPECT_REAL_FILES names no folder of real files")
@pytest.mark.parametrize("name", JUDGES)
def test_real_files_are_decoded_alike(name):
    paths = [path for path in sorted(Path(REAL or "").rglob("*")) if path.suffix in {".yaml", ".yml"}]
    assert agree(name, [path.read_bytes() for path in paths]) > 300


# -- directories -----------------------------------------------------------------------------------------------------

STEP = """\
stages:
  boot:
  - if: '@CONDITION@'
    files:
    - path: @MARKS@/@NAME@
      content: x
      permissions: 0644
"""
CONDITIONS = ["true", "false", "[ 1 = 1 ]", "exit 3", '[ -n "" ] || ! :']
FILES = st.one_of(
    st.sampled_from(CONDITIONS).map(lambda condition: STEP.replace("@CONDITION@", condition)),
    st.sampled_from(["", "# empty\n", "#cloud-config\n", "name: x\n", "unknown: 1\n"]),
    st.sampled_from(
        [
            "stages: [\n",
            "stages: {boot: {commands: [a]}}\n",
            "- a\n",
            "stages: {boot: [{name: a, name: b}]}\n",
            "#cloud-config\nusers: [default]\n",
        ]
    ),
)
NAMES = st.sampled_from(
    ["00_a.yaml", "10_b.yml", "20_c.yaml", "sub/30_d.yaml", "40_e.yaml.bak", "50_f.YAML", "60.yaml/70_g.yaml"]
)
TREES = st.dictionaries(NAMES, FILES, max_size=4)
LINKS = st.sampled_from(
    [{}, {}, {}, {"80_l.yaml": "00_a.yaml"}, {"80_l.yaml": "nowhere"}, {"90_m.yaml": "sub"}, {"sub2": "sub"}]
)


def run(name, directory):
    done = subprocess.run(
        [program(name, "run")], input=f"boot\t{directory}\n", text=True, capture_output=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", [name for name, judge in JUDGES.items() if judge.files])
def test_what_runs_of_a_directory_is_what_yip_runs(name):
    @settings(max_examples=60 * SCALE, deadline=None, suppress_health_check=list(HealthCheck))
    @given(TREES, LINKS)
    def check(tree, links):
        with tempfile.TemporaryDirectory() as top:
            marks = Path(top) / "marks"
            marks.mkdir()
            directory = Path(top) / "oem"
            entries = {"system/oem": Directory()}
            directory.mkdir()
            for number, (path, text) in enumerate(tree.items()):
                content = text.replace("@MARKS@", str(marks)).replace("@NAME@", f"m{number}")
                (directory / path).parent.mkdir(parents=True, exist_ok=True)
                (directory / path).write_text(content)
                entries[f"system/oem/{path}"] = File(content)
            for path, target in links.items():
                (directory / path).symlink_to(target)
                entries[f"system/oem/{path}"] = Symlink(target)
            run(name, directory)
            layer = layer_of(tar_bytes(entries))
            image = Rootfs([layer.index(Retain(["**"]))], [layer])
            found = read_all(image, yip(name), DEFAULT_LIMITS)
            ours = {
                file.path.rpartition("/")[2]
                for item in found.counting
                for file in item.config.written_files("boot")
                if file.holds()
            }
            assert {path.name for path in marks.iterdir()} == ours, (tree, links)

    check()


# -- programs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["0.10", "1.25.0", "rancher-1.9.6"])
@pytest.mark.parametrize("stripped", [False, True])
def test_a_program_names_its_yip_as_go_does(name, stripped, tmp_path):
    path = tmp_path / "program"
    path.write_bytes(program(name, "decode").read_bytes())
    if stripped:
        subprocess.run(["strip", path], check=True)
    printed = subprocess.run(["go", "version", "-m", path], check=True, capture_output=True, text=True).stdout
    expected = {
        fields[1]: fields[2]
        for line in printed.splitlines()
        if (fields := line.strip().split("\t"))[0] in {"dep", "mod"} and len(fields) > 2
    }
    with path.open("rb") as stream:
        found = read_go_modules(iter(lambda: stream.read(1000), b""))
    assert JUDGES[name].version == found[JUDGES[name].module]
    assert expected.items() >= {key: value for key, value in found.items() if key in expected}.items()
