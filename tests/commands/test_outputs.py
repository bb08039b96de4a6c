"""Where reports go: several of one inspection, each in its format, none over another."""

import io
import json
import resource
import signal
from pathlib import Path

import pytest
from junitparser import JUnitXml

from cosinspect.cli import main
from cosinspect.render import RENDERERS, SUFFIXES
from cosinspect.testing.derivative import derivative


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return derivative("kernel-dangling").write_layout(tmp_path_factory.mktemp("image"))


def run(*argv):
    out, err = io.StringIO(), io.StringIO()
    status = main([str(word) for word in argv], stdout=out, stderr=err)
    return status, out.getvalue(), err.getvalue()


def test_text_for_the_eye_and_files_for_programs_come_of_one_inspection(image, tmp_path):
    sarif, junit, page = tmp_path / "os.sarif", tmp_path / "os.xml", tmp_path / "summary"

    status, out, err = run(image, "-o", "-", "-o", sarif, "-o", junit, "-o", f"markdown={page}")

    assert (1, "") == (status, err)
    assert out.startswith("FAIL ")
    assert "COS011" == json.loads(sarif.read_text())["runs"][0]["results"][0]["ruleId"]
    assert 1 == JUnitXml.fromfile(str(junit)).failures
    assert page.read_text().startswith("## Fail: ")


def test_without_a_dash_nothing_comes_to_standard_output(image, tmp_path):
    assert (1, "", "") == run(image, "-o", tmp_path / "os.sarif")


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["-o", "FILE.json"], "{"),
        (["-o", "FILE.XML"], "<?xml"),
        (["-o", "FILE.md"], "## "),
        (["-o", "FILE.txt"], "FAIL"),
        (["-o", "FILE"], "FAIL"),
        (["-o", "FILE.json", "--format", "markdown"], "## "),  # what is said goes before what is guessed
        (["-o", "github=FILE.json"], "::error"),
        (["-o", "github=FILE.json", "--format", "text"], "::error"),
    ],
)
def test_the_format_is_that_of_the_output_then_the_one_given_then_what_the_name_means(
    image, tmp_path, arguments, start
):
    words = [word.replace("FILE", f"{tmp_path}/report") for word in arguments]

    assert (1, "", "") == run(image, *words)
    (path,) = tmp_path.iterdir()
    assert path.read_text().startswith(start)


@pytest.mark.parametrize("name", RENDERERS)
def test_every_format_comes_to_standard_output_too(image, name):
    status, out, err = run(image, "--format", name)

    assert (1, "") == (status, err)
    assert "COS011" in out
    assert out.endswith("\n")


def test_a_containerfile_places_findings(image, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM base\nRUN rm -rf /boot/vmlinuz-6.1.0-50-amd64\n")

    status, out, err = run(image, "-o", "github=-", "--containerfile", tmp_path / "Dockerfile")

    assert (1, "") == (status, err)
    assert ",line=2,endLine=2,title=COS011 kernel-link-dangling::" in out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "--containerfile: expected a Containerfile at"),
        ("", "expected a Containerfile with a FROM instruction, found none"),
    ],
)
def test_a_containerfile_that_cannot_be_read_is_told_before_the_work(tmp_path, content, message):
    path = tmp_path / "Dockerfile"
    if content is not None:
        path.write_text(content)

    status, out, err = run("oci:/nonexistent:x", "--containerfile", path)

    assert (2, "") == (status, out)
    assert message in err


def test_suffixes_mean_formats_that_there_are():
    assert set(SUFFIXES.values()) < set(RENDERERS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "-", "-o", "json=-"], "expected different files, found - twice"),
        (["-o", "TMP/a", "-o", "json=TMP/./a"], "expected different files"),
        (["-o", "json="], "expected a file after json="),
        (["-o", "sarif=/nonexistent/x"], "the directory /nonexistent does not exist"),
        (
            ["-o", "serif=x"],
            "expected one of the formats text, json, sarif, junit, github, markdown, html before the =, found serif; did you mean sarif=x?",
        ),
        (["-o", "nonsense=x"], "for a file of that name write ./nonsense=x"),
        (["-o", ""], "--output: expected a file"),
        (["-o", "sarif=TMP"], "is a directory"),
        (["--format", "pdf"], "--format: expected one of text"),
    ],
)
def test_what_cannot_be_written_is_told_before_the_work(tmp_path, arguments, message):
    status, out, err = run("oci:/nonexistent:x", *(word.replace("TMP", str(tmp_path)) for word in arguments))

    assert (2, "") == (status, out)
    assert message in err


def test_a_report_replaces_a_file_whole_and_keeps_its_mode_and_links(image, tmp_path):
    path, link = tmp_path / "os.json", tmp_path / "link.json"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)

    assert (1, "", "") == run(image, "-o", link)

    assert "fail" == json.loads(path.read_text())["verdict"]
    assert 0o640 == path.stat().st_mode & 0o777
    assert link.is_symlink()
    assert {path, link} == set(tmp_path.iterdir())


def test_a_disk_that_is_full_leaves_the_old_report(image, tmp_path):
    """A limit of file sizes ends a write as a full disk does, with another error number."""
    path = tmp_path / "os.html"
    path.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        status, out, err = run(image, "--no-cache", "-o", path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)

    assert (3, "", f"cosinspect: error: {path}: File too large\n") == (status, out, err)
    assert "old" == path.read_text()
    assert [path] == list(tmp_path.iterdir())


def test_a_device_is_written_in_place(image):
    assert (1, "", "") == run(image, "-o", "json=/dev/null")
    assert Path("/dev/null").is_char_device()


def test_the_log_of_a_run_has_the_report_and_its_annotations(tmp_path):
    """The README's recipe for GitHub Actions."""
    out = io.StringIO()

    status = main(
        [derivative("kernel-dangling").write_layout(tmp_path), "-o", "-", "-o", "github=-"], stdout=out
    )

    assert status == 1
    assert "::error" in out.getvalue()
    assert "remedy: " in out.getvalue()
