"""`cosinspect export`: the archive on standard output or in a file, and what happens if it cannot be written."""

import io
import subprocess
import sys

import pytest

from cosinspect import cli
from cosinspect.testing import Hardlink, ImageBuilder, Whiteout


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def run(*argv, out=io.TextIOWrapper):
    streams = out(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    status = cli.main([str(word) for word in argv], stdout=streams[0], stderr=streams[1])
    for stream in streams:
        stream.flush()
    return status, streams[0].buffer.getvalue(), streams[1].buffer.getvalue().decode()


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    builder = ImageBuilder().layer({"etc/motd": "hello\n", "gone": "x", "large": b"l" * 3_000_000})
    return builder.layer({"gone": Whiteout()}).build().write_layout(tmp_path_factory.mktemp("image"))


def names(archive):
    return subprocess.run(
        ["tar", "-t"], input=archive, check=True, capture_output=True, text=False
    ).stdout.split()


def test_standard_output_gets_the_archive(image):
    status, out, err = run("export", image)

    assert (0, "") == (status, err)
    assert names(out) == [b"./", b"etc/", b"etc/motd", b"large"]


def test_a_file_gets_the_same(image, tmp_path):
    path = tmp_path / "os.tar"

    assert run("export", image, "-o", path, out=Terminal) == (0, b"", "")
    assert path.read_bytes() == run("export", image)[1]
    assert [each.name for each in tmp_path.iterdir()] == ["os.tar"]


def test_a_terminal_gets_none(image):
    status, out, err = run("export", image, out=Terminal)

    assert (2, b"") == (status, out)
    assert "standard output is a terminal; add -o FILE" in err


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["-o", "/nowhere/os.tar"], 2, "the directory /nowhere does not exist"),
        (["-o", "/"], 2, "expected a file, / is a directory"),
        (["-o"], 2, "-o/--output: expected a value, found nothing"),
        (["/etc"], 2, "expected nothing more, found /etc"),
        (["--semantics", "nonsense"], 2, "expected names out of oci, overlay"),
    ],
)
def test_wrong_use_is_refused(image, words, status, message):
    done, out, err = run("export", image, *words)

    assert (status, b"") == (done, out)
    assert message in err


def test_a_layer_that_changes_leaves_no_file(tmp_path):
    built = ImageBuilder().layer({"a": "1" * 5000}, compression="none").build()
    name = built.write_layout(tmp_path / "image")
    (blob,) = (path for path in (tmp_path / "image/blobs/sha256").iterdir() if b"11111" in path.read_bytes())
    cache = tmp_path / "cache"
    assert run("ls", name, "--cache", cache)[0] == 0
    blob.write_bytes(blob.read_bytes().replace(b"11111", b"22222"))
    kept = tmp_path / "os.tar"
    kept.write_text("as it was")

    status, out, err = run("export", name, "--cache", cache, "-o", kept)

    assert (3, b"") == (status, out)
    assert "the archive is not complete" in err
    assert kept.read_text() == "as it was"


def test_a_reader_that_goes_away_ends_it_quietly(image):
    shell = (
        f"{sys.executable} -m cosinspect export {image} | head -c 1000 >/dev/null; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == ("141\n", "")


def test_what_a_reader_refuses_is_said(tmp_path):
    lower = ImageBuilder().layer({"a": "x"})
    name = lower.layer({"b": Hardlink("a"), "c": "y"}).build().write_layout(tmp_path / "image")

    status, out, err = run("export", name, "--semantics", "overlay")

    assert status == 0
    assert names(out) == [b"./", b"a", b"c"]
    assert err.startswith(
        "cosinspect: warning: containerd on overlayfs cannot apply an entry, and the archive lacks it: "
    )
