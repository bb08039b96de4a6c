"""Names that are paths: what is there decides how it is read, and messages say what is there instead of an image."""

import io
import os
import subprocess
import sys

import pytest

from cosinspect.cli import main
from cosinspect.image.recognition import local_name
from cosinspect.testing import ImageBuilder


def run(*argv):
    out, err = io.StringIO(), io.StringIO()
    status = main([str(word) for word in argv], stdout=out, stderr=err)
    return status, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with one image in every form, and much that is no image."""
    place = tmp_path_factory.mktemp("place")
    built = ImageBuilder().layer({"etc/motd": "hello\n"}).build()
    built.write_layout(place / "layout", "v1")
    built.write_directory(place / "copied")
    built.write_archive(place / "layout.tar")
    built.write_archive(place / "layout.tar.gz", compression="gzip")
    built.write_docker_archive(place / "saved.tar", "org/os:v1")
    (place / "empty").mkdir()
    (place / "root" / "etc").mkdir(parents=True)
    (place / "root" / "usr").mkdir()
    (place / "source").mkdir()
    (place / "source" / "Dockerfile").write_text("FROM scratch\n")
    (place / "nothing.tar").write_bytes(b"")
    (place / "notes.txt").write_text("some notes\n")
    (place / "os.iso").write_bytes(bytes(32768) + b"\1CD001\1" + bytes(4096))
    (place / "os.img").write_bytes(bytes(510) + b"\x55\xaa" + bytes(4096))
    (place / "random").write_bytes(bytes(range(1, 255)) * 9)
    (place / "blanks and").symlink_to("layout")
    os.mkfifo(place / "pipe")
    return place


@pytest.fixture(autouse=True)
def inside(place, monkeypatch):
    monkeypatch.chdir(place)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("./layout", "oci:layout"),
        ("layout", "oci:layout"),
        ("./layout:v1", "oci:layout:v1"),
        ("copied", "dir:copied"),
        ("layout.tar", "oci-archive:layout.tar"),
        ("./layout.tar.gz", "oci-archive:layout.tar.gz"),
        ("./saved.tar", "docker-archive:saved.tar"),
        ("./saved.tar:org/os:v1", "docker-archive:saved.tar:org/os:v1"),
        # These are registries' names, whatever files there are.
        ("empty", "empty"),
        ("docker://layout", "docker://layout"),
        ("quay.io/org/os:v1", "quay.io/org/os:v1"),
        ("oci:layout", "oci:layout"),
    ],
)
def test_a_path_is_read_as_what_is_there(given, name):
    assert name == local_name(given)


@pytest.mark.parametrize("given", ["layout", "./layout:v1", "copied", "layout.tar.gz", "saved.tar"])
def test_a_command_takes_a_path(given):
    assert (0, "hello\n", "") == _cat(given)


def _cat(name):
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    err = io.StringIO()
    status = main(["cat", name, "/etc/motd"], stdout=out, stderr=err)
    out.flush()
    return status, out.buffer.getvalue().decode(), err.getvalue()


def test_both_images_of_a_comparison_may_be_paths():
    assert (0, "") == (run("diff", "layout", "./saved.tar")[0], run("diff", "layout", "./saved.tar")[2])


@pytest.mark.parametrize(
    ("given", "status", "parts"),
    [
        ("./absent", 3, ["./absent: expected an image, found no such file or directory", "check the path"]),
        ("./absent.tar:v1", 3, ["found no such file or directory"]),
        ("./empty", 3, ["empty: expected an image, found an empty directory", "name an OCI image layout"]),
        (".", 3, ["found a directory without index.json and manifest.json"]),
        ("./root", 3, ["found a directory with an unpacked root", "FROM scratch"]),
        ("./source", 3, ["found the directory of a Dockerfile", "build the image"]),
        ("nothing.tar", 3, ["nothing.tar: expected an image, found an empty file"]),
        ("notes.txt", 3, ["notes.txt: expected an image, found a text file"]),
        ("os.iso", 3, ["found an ISO image"]),
        ("os.img", 3, ["found a disk image"]),
        ("random", 3, ["expected a tar archive"]),
        ("pipe", 3, ["found a device, a pipe or a socket", "docker-archive:-"]),
        ("./blanks and", 2, ["expected a path without colons and blanks", "make a symbolic link"]),
        ("oci:layout.tar", 3, ["oci: expected a directory, found a file; use oci-archive:layout.tar"]),
        ("dir:saved.tar", 3, ["dir: expected a directory, found a file; use docker-archive:saved.tar"]),
        ("oci:absent", 3, ["oci: expected a directory, found nothing; check the path"]),
        ("oci-archive:layout", 3, ["oci-archive: expected a file, found a directory; use oci:layout"]),
        ("docker-archive:copied", 3, ["expected a file, found a directory; use dir:copied"]),
        ("oci-archive:absent", 3, ["oci-archive: expected a file, found nothing; check the path"]),
        (
            "oci:copied",
            3,
            ["oci: expected a directory with index.json, found a directory without it; use dir:copied"],
        ),
        ("oci:empty", 3, ["expected a directory with index.json", "name an OCI image layout"]),
        ("dir:layout", 3, ["expected a directory with manifest.json", "use oci:layout"]),
        (
            "docker-archive:layout.tar",
            3,
            ["expected a file with manifest.json", "use oci-archive:layout.tar"],
        ),
        ("oci-archive:nothing.tar", 3, ["found an empty file"]),
        ("oci-archive:notes.txt", 3, ["found a text file"]),
        ("docker-archive:os.iso", 3, ["found an ISO image"]),
    ],
)
def test_what_is_no_image_is_named(given, status, parts):
    found, out, err = run("ls", given)

    assert (status, "") == (found, out)
    assert err.startswith("cosinspect: error: ")
    for part in parts:
        assert part in err


# -- standard input --------------------------------------------------------------------------------------------------


def piped(name, content, *, file=None):
    """Run a command as a process whose standard input is a pipe with `content`, or a file."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    words = [sys.executable, "-m", "cosinspect", "cat", name, "/etc/motd"]
    given = {"stdin": file} if file is not None else {"input": content}
    done = subprocess.run(words, env=environment, capture_output=True, timeout=600, check=False, **given)
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.mark.parametrize(
    ("name", "file"),
    [("docker-archive:-", "saved.tar"), ("-", "layout.tar.gz"), ("oci-archive:-", "layout.tar")],
)
def test_an_archive_comes_from_a_pipe(place, name, file):
    assert (0, b"hello\n", "") == piped(name, (place / file).read_bytes())


def test_an_archive_comes_from_a_file_that_is_standard_input(place):
    with (place / "saved.tar").open("rb") as file:
        assert (0, b"hello\n", "") == piped("docker-archive:-", b"", file=file)


def test_empty_standard_input_is_named():
    status, out, err = piped("docker-archive:-", b"")

    assert (3, b"") == (status, out)
    assert err.startswith(
        "cosinspect: error: standard input: expected an image archive, found nothing; for example"
    )
